#include "lookup.h"

#include "base/mem.h"
#include "conf/net.h"
#include "ipc/message.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

/* DNS as a table: "name TYPE" and what it answers.  A question that is not in it does not exist; "?" is not known. */
struct zone_line {
	const char *name;
	enum rdata_type type;
	const char *data; /* "10 mx1.example.test", "192.0.2.1"; "": nothing of this type; "?": unknown */
};

static const struct zone_line zone[] = {
	{"example.test", RDATA_MX, "10 mx1.example.test"},
	{"example.test", RDATA_MX, "5 mx0.example.test"},
	{"example.test", RDATA_MX, "20 mx2.example.test"},
	{"mx0.example.test", RDATA_A, "192.0.2.10"},
	{"mx0.example.test", RDATA_AAAA, "2001:db8::10"},
	{"mx1.example.test", RDATA_A, ""},
	{"mx2.example.test", RDATA_A, "192.0.2.12"},
	{"mx2.example.test", RDATA_AAAA, "?"},
	{"implicit.test", RDATA_MX, ""},
	{"implicit.test", RDATA_A, "192.0.2.1"},
	{"null.test", RDATA_MX, "0 ."},
	{"broken.test", RDATA_MX, "?"},
	{"half.test", RDATA_MX, "10 mx1.example.test"},
	{"half.test", RDATA_MX, "20 unknown.test"},
	{"unknown.test", RDATA_A, "?"},
	{"unknown.test", RDATA_AAAA, "?"},
	{"none.test", RDATA_MX, "10 mx1.example.test"},
	{"xn--bcher-kva.test", RDATA_MX, "10 mx0.example.test"},
	{"7.2.0.192.in-addr.arpa", RDATA_PTR, "7 a.example.test"},
	{"7.2.0.192.in-addr.arpa", RDATA_PTR, "7 b.example.test"},
	{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", RDATA_PTR, "7 six.example.test"},
	{"9.2.0.192.in-addr.arpa", RDATA_PTR, "?"},
};

static void read_line(const char *data, struct rdata_record *to)
{
	struct slice rest = slice_of(data), number;
	uint64_t preference = 0;

	*to = (struct rdata_record){.preference = 0};
	if (net_address(rest, &to->address))
		return;
	slice_word(&rest, &number);
	assert_true(slice_u64(number, 65535, &preference));
	to->preference = (uint16_t)preference;
	rest = slice_trim(rest);
	assert_true(slice_copy(slice_eq(rest, slice_of(".")) ? slice_empty() : rest, to->name, sizeof(to->name)));
}

/* False: unknown. */
static bool resolve(const struct lookup_query *q, bool secure, struct rdata *out)
{
	*out = (struct rdata){.secure = secure};
	for (size_t i = 0; i < ARRAY_LEN(zone); i++) {
		if (strcmp(zone[i].name, q->name) != 0)
			continue;
		out->exists = true;
		if (zone[i].type != q->type)
			continue;
		if (strcmp(zone[i].data, "?") == 0)
			return false;
		if (zone[i].data[0] != '\0')
			read_line(zone[i].data, &out->records[out->count++]);
	}
	return true;
}

static void show(struct lookup *l, struct buf *out)
{
	struct buf records = buf_make(65000);
	struct slice rest;
	struct rec_mx_host host;

	assert_true(lookup_is_over(l));
	buf_addf(out, "%s", outcome_info(lookup_outcome(l))->name);
	if (lookup_outcome(l) == OC_DONE) {
		assert_true(lookup_records(l, &records));
		rest = buf_slice(&records);
		while (rec_mx_host_next(&rest, &host))
			buf_addf(out, ", %u %.*s %.*s", (unsigned)host.preference, SLICE_ARG(host.name),
				 SLICE_ARG(host.address));
		assert_int_equal(rest.len, 0);
	}
	buf_free(&records);
}

/* Answers in the order asked, or all questions first and then the answers from the last to the first. */
static void run(struct lookup *l, bool backwards, bool secure)
{
	struct lookup_query queries[64];
	size_t numbers[64], count = 0;
	struct rdata a;

	do {
		count = 0;
		while (count < (backwards ? ARRAY_LEN(queries) : 1) &&
		       lookup_next(l, &queries[count], &numbers[count]))
			count++;
		for (size_t i = count; i-- > 0;) {
			assert_false(lookup_is_over(l));
			lookup_answer(l, numbers[i], resolve(&queries[i], secure, &a) ? &a : NULL);
		}
	} while (count > 0);
}

static const struct {
	enum lookup_kind kind;
	const char *subject, *expect;
} cases[] = {
	{LOOKUP_MX, "example.test",
	 "DONE, 5 mx0.example.test 192.0.2.10, 5 mx0.example.test 2001:db8::10, 10 mx1.example.test , 20 "
	 "mx2.example.test 192.0.2.12"},
	{LOOKUP_MX, "Example.TEST.",
	 "DONE, 5 mx0.example.test 192.0.2.10, 5 mx0.example.test 2001:db8::10, 10 mx1.example.test , 20 "
	 "mx2.example.test 192.0.2.12"},
	{LOOKUP_MX, "implicit.test", "DONE, 0 implicit.test 192.0.2.1"},
	{LOOKUP_MX, "null.test", "NULL_MX"},
	{LOOKUP_MX, "nowhere.test", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX, "broken.test", "DNS_UNKNOWN"},
	{LOOKUP_MX, "half.test", "DNS_UNKNOWN"},
	{LOOKUP_MX, "none.test", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX,
	 "b\xc3\xbc"
	 "cher.test",
	 "DONE, 10 mx0.example.test 192.0.2.10, 10 mx0.example.test 2001:db8::10"},
	{LOOKUP_MX, "[192.0.2.9]", "DONE, 0 [192.0.2.9] 192.0.2.9"},
	{LOOKUP_MX, "[IPv6:2001:db8::9]", "DONE, 0 [IPv6:2001:db8::9] 2001:db8::9"},
	{LOOKUP_MX, "localhost", "DONE, 0 localhost 127.0.0.1, 0 localhost ::1"},
	{LOOKUP_MX, "", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX, ".", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX, "a..b", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX, "a b.test", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX, "a\nb.test", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX, "\xff\xfe.test", "NO_SUCH_DOMAIN"},
	{LOOKUP_MX, "[192.0.2.9", "NO_SUCH_DOMAIN"},
	{LOOKUP_HOST, "mx0.example.test", "DONE, 0 mx0.example.test 192.0.2.10, 0 mx0.example.test 2001:db8::10"},
	{LOOKUP_HOST, "mx2.example.test", "DONE, 0 mx2.example.test 192.0.2.12"},
	{LOOKUP_HOST, "mx1.example.test", "NO_SUCH_DOMAIN"},
	{LOOKUP_HOST, "unknown.test", "DNS_UNKNOWN"},
	{LOOKUP_HOST, "192.0.2.3", "DONE, 0 192.0.2.3 192.0.2.3"},
	{LOOKUP_HOST, "::1", "DONE, 0 ::1 ::1"},
	{LOOKUP_HOST, "LOCALHOST", "DONE, 0 localhost 127.0.0.1, 0 localhost ::1"},
	{LOOKUP_PTR, "192.0.2.7", "DONE, 0 a.example.test , 0 b.example.test "},
	{LOOKUP_PTR, "2001:db8::1", "DONE, 0 six.example.test "},
	{LOOKUP_PTR, "192.0.2.8", "NO_SUCH_DOMAIN"},
	{LOOKUP_PTR, "192.0.2.9", "DNS_UNKNOWN"},
	{LOOKUP_PTR, "no address", "NO_SUCH_DOMAIN"},
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(cases); i++) {
		struct lookup *l = lookup_new(cases[i / 2].kind, slice_of(cases[i / 2].subject));
		struct buf out = buf_make(4096);

		run(l, i % 2 == 1, false);
		show(l, &out);
		assert_string_equal(buf_text(&out), cases[i / 2].expect);
		buf_free(&out);
		lookup_free(&l);
	}
}

static void test_giving_up_is_never_a_no(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (unsigned answers = 0; answers < 8; answers++) {
			struct lookup *l = lookup_new(cases[i].kind, slice_of(cases[i].subject));
			struct lookup_query q;
			struct rdata a;
			size_t number;

			for (unsigned k = 0; k < answers && lookup_next(l, &q, &number); k++)
				lookup_answer(l, number, resolve(&q, false, &a) ? &a : NULL);
			if (!lookup_is_over(l)) {
				lookup_give_up(l);
				assert_true(lookup_is_over(l));
				assert_false(lookup_next(l, &q, &number));
				assert_int_not_equal(lookup_outcome(l), OC_NO_SUCH_DOMAIN);
			}
			lookup_free(&l);
		}
}

static void test_secure_when_all_is(void **state)
{
	struct lookup *l = lookup_new(LOOKUP_MX, slice_of("implicit.test"));

	(void)state;
	run(l, false, true);
	assert_true(lookup_is_secure(l));
	lookup_free(&l);
	l = lookup_new(LOOKUP_MX, slice_of("example.test"));
	run(l, false, true);
	assert_false(lookup_is_secure(l)); /* one answer is missing */
	lookup_free(&l);
}

/* Answers to nothing, twice, or out of range change nothing. */
static void test_stray_answers(void **state)
{
	struct lookup *l = lookup_new(LOOKUP_HOST, slice_of("mx0.example.test"));
	struct rdata a = {.exists = true};

	(void)state;
	for (size_t number = 0; number < 100; number++)
		lookup_answer(l, number, &a);
	assert_false(lookup_is_over(l));
	run(l, false, false);
	for (size_t number = 0; number < 100; number++)
		lookup_answer(l, number, &a);
	assert_int_equal(lookup_outcome(l), OC_DONE);
	lookup_free(&l);
}

static void test_many_hosts_are_cut(void **state)
{
	struct lookup *l = lookup_new(LOOKUP_MX, slice_of("many.test"));
	struct rdata a = {.exists = true, .count = RDATA_RECORDS_MAX};
	struct lookup_query q;
	size_t number, asked = 0;

	(void)state;
	for (size_t i = 0; i < a.count; i++) {
		a.records[i].preference = (uint16_t)(1000 - i);
		slice_copy(slice_of("mx.test"), a.records[i].name, RDATA_NAME_BYTES);
	}
	assert_true(lookup_next(l, &q, &number));
	lookup_answer(l, number, &a);
	a = (struct rdata){.exists = true, .count = RDATA_RECORDS_MAX};
	while (lookup_next(l, &q, &number)) {
		lookup_answer(l, number, &a);
		asked++;
	}
	assert_int_equal(asked, 2 * LOOKUP_HOSTS_MAX);
	assert_int_equal(lookup_outcome(l), OC_DONE);
	for (unsigned i = 0; i < 2; i++) {
		struct buf out = buf_make(65000);

		assert_true(lookup_records(l, &out));
		buf_free(&out);
	}
	lookup_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_giving_up_is_never_a_no),
		cmocka_unit_test(test_secure_when_all_is),
		cmocka_unit_test(test_stray_answers),
		cmocka_unit_test(test_many_hosts_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
