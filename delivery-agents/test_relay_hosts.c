#include "relay_hosts.h"

#include "base/mem.h"
#include "conf/net.h"
#include "ipc/message.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>

/* "10 name address, 20 name address": "-" for no address */
static void add_records(const char *text, struct buf *out)
{
	struct slice rest = slice_of(text), one, preference, name, address;

	while (slice_cut(&rest, ',', &one)) {
		struct rec_mx_host rec = {.preference = 0};

		assert_true(slice_word(&one, &preference) && slice_word(&one, &name) && slice_word(&one, &address));
		assert_true(slice_u64(preference, 65535, &rec.preference));
		rec.name = name;
		rec.address = slice_eq(address, slice_of("-")) ? slice_empty() : address;
		assert_true(rec_mx_host_add(out, &rec));
	}
}

static const struct {
	const char *name, *records;
	bool allow_local, has_v6;
	enum outcome outcome;
	const char *tried;
} cases[] = {
	{"in order", "5 a 192.0.2.1,10 b 192.0.2.2", false, false, OC_DONE, "a=192.0.2.1 b=192.0.2.2 "},
	{"our name", "5 a 192.0.2.1,10 Mx.Example.Test 192.0.2.7,10 c 192.0.2.3,20 d 192.0.2.4", false, false,
	 OC_DONE, "a=192.0.2.1 "},
	{"our name, no address", "5 a 192.0.2.1,10 mx.example.test -,20 d 192.0.2.4", false, false, OC_DONE,
	 "a=192.0.2.1 "},
	{"our name with a dot", "5 mx.example.test. 192.0.2.8", false, false, OC_ROUTE_LOOP, ""},
	{"our address", "5 a 192.0.2.1,10 other 192.0.2.99,20 d 192.0.2.4", false, false, OC_DONE, "a=192.0.2.1 "},
	{"our mapped address", "10 other ::ffff:192.0.2.99", false, false, OC_ROUTE_LOOP, ""},
	{"our v6 address", "10 other 2001:db8::99,20 d 192.0.2.4", false, false, OC_ROUTE_LOOP, ""},
	{"best is ours", "5 mx.example.test 192.0.2.99,10 b 192.0.2.2", false, false, OC_ROUTE_LOOP, ""},
	{"loopback is nobody", "5 a 127.0.0.1,5 a ::1,10 b 192.0.2.2", false, false, OC_DONE, "b=192.0.2.2 "},
	{"only loopback", "5 a 127.0.0.1,10 b 0.0.0.0,20 c ::", false, false, OC_NO_SUCH_DOMAIN, ""},
	{"no host", "5 a 224.0.0.1,5 b 255.255.255.255,5 c fe80::1", false, false, OC_NO_SUCH_DOMAIN, ""},
	{"localhost by name", "5 localhost 127.0.0.1", false, false, OC_ROUTE_LOOP, ""},
	{"local allowed", "5 localhost 127.0.0.1,10 mx.example.test 192.0.2.99", true, false, OC_DONE,
	 "localhost=127.0.0.1 mx.example.test=192.0.2.99 "},
	{"no v6 here", "5 a 2001:db8::1,5 a 192.0.2.1", false, false, OC_DONE, "a=192.0.2.1 "},
	{"v6 here", "5 a 2001:db8::1,5 a 192.0.2.1", false, true, OC_DONE, "a=2001:db8::1 a=192.0.2.1 "},
	{"nothing but v6", "5 a 2001:db8::1", false, false, OC_DONE, "a=2001:db8::1 "},
	{"no address", "5 a -", false, false, OC_NO_SUCH_DOMAIN, ""},
	{"nonsense", "5 a somewhere", false, false, OC_NO_SUCH_DOMAIN, ""},
	{"nothing", "", false, false, OC_NO_SUCH_DOMAIN, ""},
};

static void show(const struct hosts *hosts, struct buf *out)
{
	for (size_t i = 0; i < hosts->count; i++)
		buf_addf(out, "%s=%s ", hosts->list[i].name, hosts->list[i].address);
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct here here = {.count = 0};
		const struct hosts_facts facts = {&here, "mx.example.test", cases[i].allow_local};
		struct buf records = buf_make(65000), out = buf_make(4096);
		struct hosts hosts;
		struct in6_addr own;
		const char *why;

		assert_true(net_address(slice_of("192.0.2.99"), &own));
		here_add(&here, &own);
		assert_true(net_address(slice_of("2001:db8::99"), &own));
		here_add(&here, &own);
		assert_true(net_address(slice_of("127.0.0.1"), &own));
		here_add(&here, &own);
		here.has_v6 = cases[i].has_v6;
		add_records(cases[i].records, &records);
		if (hosts_read(buf_slice(&records), &facts, &hosts, &why) != cases[i].outcome)
			fail_msg("%s", cases[i].name);
		show(&hosts, &out);
		assert_string_equal(buf_text(&out), cases[i].tried);
		assert_int_equal(cases[i].outcome == OC_DONE, why[0] == '\0');
		buf_free(&records);
		buf_free(&out);
	}
}

static void test_bounds(void **state)
{
	struct here here = {.count = 0};
	const struct hosts_facts facts = {&here, "mx.example.test", false};
	struct buf records = buf_make(65000);
	struct hosts hosts;
	const char *why;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		add_records("5 a 192.0.2.1", &records);
	assert_int_equal(hosts_read(buf_slice(&records), &facts, &hosts, &why), OC_DONE);
	assert_int_equal(hosts.count, HOSTS_TRIED_MAX);
	/* A truncated answer is no answer, least of all a "no". */
	for (size_t len = 1; len < 34; len++)
		assert_int_equal(hosts_read(slice_make(records.at, records.len - len), &facts, &hosts, &why),
				 OC_DNS_UNKNOWN);
	buf_free(&records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
