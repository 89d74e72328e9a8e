#include "mail/dsn.h"
#include "mail/xtext.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- xtext ---- */

static const struct {
	const char *text;
	const char *bytes; /* NULL: it is none */
	size_t len;
} xtexts[] = {
	{"", "", 0},
	{"plain", "plain", 5},
	{"a+2Bb", "a+b", 3},
	{"+3D", "=", 1},
	{"+20", " ", 1},
	{"+00+0D+0A+7F+FF", "\0\r\n\x7f\xff", 5},
	{"+41", "A", 1}, /* not the shortest form, but one */
	{"+", NULL, 0},
	{"+2", NULL, 0},
	{"a+2", NULL, 0},
	{"+2b", NULL, 0}, /* upper case only */
	{"+0x", NULL, 0},
	{"+ 0", NULL, 0},
	{"a=b", NULL, 0},
	{"a b", NULL, 0},
	{"a\tb", NULL, 0},
	{"a\x7f", NULL, 0},
	{"\xc3\xb6", NULL, 0},
};

static void test_xtext_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(xtexts); i++) {
		struct buf out = buf_make(100);

		assert_int_equal(xtext_decode(slice_of(xtexts[i].text), &out), xtexts[i].bytes != NULL);
		if (xtexts[i].bytes != NULL)
			assert_true(slice_eq(buf_slice(&out), slice_make(xtexts[i].bytes, xtexts[i].len)));
		buf_free(&out);
	}
}

/* Every octet, and every length up to what a field holds, comes back as it was. */
static void test_xtext_round_trip(void **state)
{
	static char bytes[512];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 37 % 256);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct buf text = buf_make(3 * sizeof(bytes)), back = buf_make(sizeof(bytes));

		assert_true(xtext_encode(slice_make(bytes, len), &text));
		assert_true(xtext_decode(buf_slice(&text), &back));
		assert_true(slice_eq(buf_slice(&back), slice_make(bytes, len)));
		buf_free(&text);
		buf_free(&back);
	}
}

static void test_xtext_has_its_ceiling(void **state)
{
	struct buf out = buf_make(2);

	(void)state;
	assert_false(xtext_decode(slice_of("abc"), &out));
	buf_clear(&out);
	assert_false(xtext_encode(slice_of("a b"), &out));
	buf_free(&out);
}

/* ---- NOTIFY, RET ---- */

#define BAD UINT64_MAX

static const struct {
	const char *value;
	uint64_t notify;
} notifies[] = {
	{"NEVER", DSN_NEVER},
	{"never", DSN_NEVER},
	{"SUCCESS", DSN_SUCCESS},
	{"success,Failure", DSN_SUCCESS | DSN_FAILURE},
	{"DELAY,FAILURE,SUCCESS", DSN_SUCCESS | DSN_FAILURE | DSN_DELAY},
	{"", BAD},
	{",", BAD},
	{"SUCCESS,", BAD},
	{",SUCCESS", BAD},
	{"SUCCESS,,DELAY", BAD},
	{"SUCCESS,SUCCESS", BAD},
	{"NEVER,SUCCESS", BAD},
	{"SUCCESS,NEVER", BAD},
	{"NEVER,NEVER", BAD},
	{"SOMETIMES", BAD},
	{"SUCCESS DELAY", BAD},
	{"SUCCES", BAD},
	{"SUCCESSS", BAD},
};

static void test_notify(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(notifies); i++) {
		struct buf out = buf_make(100);
		uint64_t got = 0, again = 0;
		bool ok = dsn_notify_parse(slice_of(notifies[i].value), &got);

		assert_int_equal(ok, notifies[i].notify != BAD);
		if (ok) {
			assert_int_equal(got, notifies[i].notify);
			assert_true(dsn_notify_add(got, &out) && dsn_notify_parse(buf_slice(&out), &again));
			assert_int_equal(got, again);
		}
		buf_free(&out);
	}
	assert_false(dsn_notify_parse(slice_make("NEVER\0", 6), &(uint64_t){0}));
	assert_false(dsn_notify_is_valid(DSN_NEVER | DSN_DELAY));
	assert_false(dsn_notify_is_valid(16));
	assert_true(dsn_notify_is_valid(0));
}

static void test_ret(void **state)
{
	uint64_t ret = 7;

	(void)state;
	assert_true(dsn_ret_parse(slice_of("full"), &ret) && ret == DSN_RET_FULL);
	assert_true(dsn_ret_parse(slice_of("HDRS"), &ret) && ret == DSN_RET_HDRS);
	assert_false(dsn_ret_parse(slice_of(""), &ret) || dsn_ret_parse(slice_of("FUL"), &ret) ||
		     dsn_ret_parse(slice_of("FULL,HDRS"), &ret));
	assert_string_equal(dsn_ret_text(DSN_RET_HDRS), "HDRS");
	assert_string_equal(dsn_ret_text(99), "");
}

static void test_what_is_asked_for(void **state)
{
	(void)state;
	assert_true(dsn_wants(0, DSN_FAILURE) && dsn_wants(0, DSN_DELAY) && !dsn_wants(0, DSN_SUCCESS));
	assert_false(dsn_wants(DSN_NEVER, DSN_FAILURE) || dsn_wants(DSN_NEVER, DSN_DELAY) || dsn_wants(DSN_NEVER, DSN_SUCCESS));
	assert_true(dsn_wants(DSN_SUCCESS, DSN_SUCCESS) && !dsn_wants(DSN_SUCCESS, DSN_FAILURE));
	assert_int_equal(dsn_notify_join(0, 0), 0);
	assert_int_equal(dsn_notify_join(DSN_NEVER, DSN_NEVER), DSN_NEVER);
	assert_int_equal(dsn_notify_join(DSN_NEVER, 0), DSN_FAILURE | DSN_DELAY);
	assert_int_equal(dsn_notify_join(DSN_SUCCESS, DSN_NEVER), DSN_SUCCESS);
	assert_int_equal(dsn_notify_join(DSN_SUCCESS, 0), DSN_SUCCESS | DSN_FAILURE | DSN_DELAY);
	assert_int_equal(dsn_notify_of_member(0), 0);
	assert_int_equal(dsn_notify_of_member(DSN_SUCCESS), DSN_NEVER); /* failures were not asked for */
	assert_int_equal(dsn_notify_of_member(DSN_SUCCESS | DSN_DELAY), DSN_DELAY);
	assert_int_equal(dsn_notify_of_member(DSN_NEVER), DSN_NEVER);
}

/* ---- ENVID, ORCPT ---- */

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X100 X50 X50
#define X480 X100 X100 X100 X100 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

enum what { ENVID, ORCPT, ORCPT_UTF8 };

static const struct {
	const char *row;
	enum what what;
	const char *value, *decoded; /* NULL: refused */
} values[] = {
	{NULL, ENVID, "QQ314159", "QQ314159"},
	{NULL, ENVID, "a+20b+2Bc", "a b+c"},
	{NULL, ENVID, X100, X100},
	{"N21", ENVID, X100 "x", NULL},
	{NULL, ENVID, "", NULL},
	{"N16", ENVID, "a+0Ab", NULL},
	{"N16", ENVID, "a+0Db", NULL},
	{"N16", ENVID, "a+00", NULL},
	{"N16", ENVID, "a+7F", NULL},
	{"N16", ENVID, "a+09b", NULL},
	{"N16", ENVID, "a+80", NULL},
	{"N17", ENVID, "a+", NULL},
	{"N17", ENVID, "a+4", NULL},
	{"N17", ENVID, "\"", "\""},
	{NULL, ORCPT, "rfc822;bob@example.test", "rfc822;bob@example.test"},
	{NULL, ORCPT, "RFC822;bob+2Btag@example.test", "RFC822;bob+tag@example.test"},
	{NULL, ORCPT, "x400;/c=us", NULL},
	{NULL, ORCPT, "x400;/c+3Dus/", "x400;/c=us/"},
	{NULL, ORCPT, "rfc822;" X480, "rfc822;" X480},
	{"N21", ORCPT, "rfc822;" X480 "xxxxxxxxxxxxxx", NULL}, /* 501 */
	{NULL, ORCPT, "rfc822;", NULL},
	{NULL, ORCPT, ";bob@example.test", NULL},
	{NULL, ORCPT, "bob@example.test", NULL},
	{NULL, ORCPT, "rfc 822;bob@example.test", NULL},
	{NULL, ORCPT, "a@b;bob@example.test", NULL},
	{"N10", ORCPT, "rfc822;bob+0AX@example.test", NULL},
	{"N10", ORCPT, "rfc822;bob+0DX@example.test", NULL},
	{"N10", ORCPT, "rfc822;bob+00@example.test", NULL},
	{"N10", ORCPT, "rfc822;j+C3+B6rg@example.test", NULL},
	{"N10", ORCPT, "rfc822;j\xc3\xb6rg@example.test", NULL},
	{NULL, ORCPT, "utf-8;j\\x{F6}rg@example.test", "utf-8;j\xc3\xb6rg@example.test"},
	{NULL, ORCPT, "utf-8;a\\x{2B}b\\x{5C}\\x{20AC}\\x{1F600}", "utf-8;a+b\\\xe2\x82\xac\xf0\x9f\x98\x80"},
	{NULL, ORCPT, "UTF-8;bob@example.test", "UTF-8;bob@example.test"},
	{NULL, ORCPT, "utf-8;a+b", NULL},
	{NULL, ORCPT, "utf-8;j\xc3\xb6rg@example.test", NULL}, /* without SMTPUTF8 */
	{NULL, ORCPT_UTF8, "utf-8;j\xc3\xb6rg@example.test", "utf-8;j\xc3\xb6rg@example.test"},
	{NULL, ORCPT_UTF8, "rfc822;j\xc3\xb6rg@example.test", NULL},
	{"N10", ORCPT_UTF8, "utf-8;j\xc3rg", NULL},
	{"N10", ORCPT, "utf-8;a\\x{0A}b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{00}b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{7F}b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{85}b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{D800}b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{110000}b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{}b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{F6", NULL},
	{"N10", ORCPT, "utf-8;a\\x{f6}b", NULL},
	{"N10", ORCPT, "utf-8;a\\b", NULL},
	{"N10", ORCPT, "utf-8;a\\x{0000000F6}b", NULL},
};

static bool parse(enum what what, struct slice value, struct buf *out)
{
	return what == ENVID ? dsn_envid_parse(value, out) : dsn_orcpt_parse(value, what == ORCPT_UTF8, out);
}

static void test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		struct buf out = buf_make(512), again = buf_make(512), back = buf_make(512);
		bool ok = parse(values[i].what, slice_of(values[i].value), &out);

		if (ok != (values[i].decoded != NULL) || (ok && !slice_eq(buf_slice(&out), slice_of(values[i].decoded))))
			fail_msg("%s: %s", values[i].value, buf_text(&out));
		if (ok && values[i].what == ENVID) {
			assert_true(dsn_envid_is_valid(buf_slice(&out)) && dsn_envid_add(buf_slice(&out), &again));
		} else if (ok) {
			assert_true(dsn_orcpt_is_valid(buf_slice(&out)) && dsn_orcpt_add(buf_slice(&out), &again));
		}
		if (ok) {
			assert_true(parse(values[i].what == ORCPT_UTF8 ? ORCPT : values[i].what, buf_slice(&again), &back));
			assert_true(slice_eq(buf_slice(&out), buf_slice(&back)));
		}
		if (values[i].row != NULL)
			printf("ROW %s dsn-value-%zu pass\n", values[i].row, i);
		buf_free(&out);
		buf_free(&again);
		buf_free(&back);
	}
	assert_false(dsn_envid_is_valid(slice_make("a\0b", 3)) || dsn_orcpt_is_valid(slice_make("rfc822;a\0b", 10)));
	assert_false(dsn_orcpt_is_valid(slice_of("rfc822;a\nb")) || dsn_orcpt_is_valid(slice_of("nothing")));
}

/* What grows beyond a command's bounds in ASCII is left out rather than cut. */
static void test_orcpt_that_does_not_fit(void **state)
{
	struct buf long_one = buf_make(512), out = buf_make(2000);

	(void)state;
	buf_add_text(&long_one, "utf-8;");
	for (unsigned i = 0; i < 200; i++)
		buf_add_text(&long_one, "\xc3\xb6");
	assert_true(dsn_orcpt_is_valid(buf_slice(&long_one)));
	assert_false(dsn_orcpt_add(buf_slice(&long_one), &out));
	assert_int_equal(out.len, 0);
	buf_free(&long_one);
	buf_free(&out);
}

static void test_utf8_address_of_anything(void **state)
{
	struct buf out = buf_make(200);

	(void)state;
	dsn_utf8_address_add(slice_make("a\0\r\n\x7f\xff\xc3 \xc3\xb6", 10), 100, &out);
	assert_string_equal(buf_text(&out), "a????\\x{FF}\\x{C3}\\x{20}\\x{F6}");
	buf_clear(&out);
	dsn_utf8_address_add(slice_of("aaaaaaaaaa"), 3, &out);
	assert_string_equal(buf_text(&out), "aaa");
	buf_free(&out);
}

static void test_status(void **state)
{
	static const char *const good[] = {"5.7.1", "5.0.0", "5.123.999"};
	static const char *const bad[] = {"5.7.1.", "5.7", "5.7.", "4.7.1", "5.7.1000", "5.7.1 ", "5..1", ".7.1", "", "5", "5.7.1.1", "5.7.0001", "5.x.1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(dsn_is_status(slice_of(good[i]), 5));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(dsn_is_status(slice_of(bad[i]), 5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_xtext_cases),	   cmocka_unit_test(test_xtext_round_trip),
		cmocka_unit_test(test_xtext_has_its_ceiling), cmocka_unit_test(test_notify),
		cmocka_unit_test(test_ret),		   cmocka_unit_test(test_what_is_asked_for),
		cmocka_unit_test(test_values),		   cmocka_unit_test(test_orcpt_that_does_not_fit),
		cmocka_unit_test(test_utf8_address_of_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
