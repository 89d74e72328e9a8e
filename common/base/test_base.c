#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>

static void test_slice_cutting(void **state)
{
	struct slice rest = slice_of("  one\ttwo  "), word;

	(void)state;
	assert_true(slice_word(&rest, &word) && slice_eq(word, slice_of("one")));
	assert_true(slice_word(&rest, &word) && slice_eq(word, slice_of("two")));
	assert_false(slice_word(&rest, &word));
	rest = slice_of("a:b:");
	assert_true(slice_cut(&rest, ':', &word) && slice_eq(word, slice_of("a")));
	assert_true(slice_cut(&rest, ':', &word) && slice_eq(word, slice_of("b")));
	assert_false(slice_cut(&rest, ':', &word));
	assert_int_equal(slice_sub(slice_of("abc"), 5, 1).len, 0);
	assert_true(slice_eq(slice_sub(slice_of("abc"), 1, SIZE_MAX), slice_of("bc")));
	assert_int_equal(slice_find(slice_of("hay needle"), slice_of("needle")), 4);
	assert_true(slice_ends_nocase(slice_of("a.TEST"), slice_of(".test")));
	assert_false(slice_ends_nocase(slice_of("st"), slice_of(".test")));
}

static void test_slice_u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		bool ok;
		uint64_t value;
	} cases[] = {
		{"0", 10, true, 0},
		{"10", 10, true, 10},
		{"11", 10, false, 0},
		{"", 10, false, 0},
		{"-1", 10, false, 0},
		{"+1", 10, false, 0},
		{"1 ", 10, false, 0},
		{"0x1", 10, false, 0},
		{"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, false, 0},
		{"99999999999999999999999", UINT64_MAX, false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t v = 77;

		assert_int_equal(slice_u64(slice_of(cases[i].text), cases[i].max, &v), cases[i].ok);
		assert_int_equal(v, cases[i].ok ? cases[i].value : 77);
	}
}

static void test_slice_copies_refuse_nul(void **state)
{
	char out[4];

	(void)state;
	assert_true(slice_copy(slice_of("abc"), out, sizeof(out)));
	assert_false(slice_copy(slice_of("abcd"), out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(slice_copy(slice_make("a\0b", 3), out, sizeof(out)));
	assert_null(slice_dup(slice_make("a\0b", 3)));
}

static void test_buf_ceiling(void **state)
{
	struct buf b = buf_make(10);

	(void)state;
	assert_true(buf_add_text(&b, "12345"));
	assert_true(buf_addf(&b, "%d", 678));
	assert_false(buf_add_text(&b, "xyz"));
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 8);
	assert_false(buf_add_text(&b, "x"));
	buf_clear(&b);
	assert_true(buf_add_text(&b, "0123456789"));
	assert_string_equal(buf_text(&b), "0123456789");
	buf_take(&b, 4);
	assert_string_equal(buf_text(&b), "456789");
	buf_take(&b, 100);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

/* One that found no room does not stand in the way of the next. */
static void test_buf_undo(void **state)
{
	struct buf b = buf_make(8);

	(void)state;
	assert_true(buf_add_text(&b, "whole"));
	assert_false(buf_add_text(&b, "ha") && buf_add_text(&b, "lf"));
	assert_false(buf_add_char(&b, '.'));
	buf_undo(&b, 5);
	assert_true(buf_ok(&b) && slice_eq(buf_slice(&b), slice_of("whole")));
	assert_true(buf_add_text(&b, "one"));
	assert_string_equal(buf_text(&b), "wholeone");
	buf_free(&b);
}

static void test_buf_grows(void **state)
{
	struct buf b = buf_make(1 << 20);

	(void)state;
	for (int i = 0; i < 5000; i++)
		assert_true(buf_addf(&b, "%04d", i));
	assert_int_equal(b.len, 20000);
	assert_memory_equal(b.at + 4 * 1234, "1234", 4);
	buf_free(&b);
}

static void test_map(void **state)
{
	struct map *m = map_new(10001);
	static int values[10001];

	(void)state;
	for (uint64_t i = 0; i < 10000; i++)
		assert_true(map_put_u64(m, i, &values[i]));
	assert_int_equal(map_count(m), 10000);
	for (uint64_t i = 0; i < 10000; i++)
		assert_ptr_equal(map_find_u64(m, i), &values[i]);
	assert_null(map_find_u64(m, 10000));
	for (uint64_t i = 0; i < 10000; i += 2)
		assert_ptr_equal(map_take_u64(m, i), &values[i]);
	assert_int_equal(map_count(m), 5000);
	assert_null(map_find_u64(m, 2));
	assert_ptr_equal(map_find_u64(m, 3), &values[3]);
	assert_true(map_put(m, slice_of("key"), &values[1]));
	assert_true(map_put(m, slice_of("key"), &values[2]));
	assert_ptr_equal(map_find(m, slice_of("key")), &values[2]);
	map_free(&m);
	assert_null(m);
}

static void test_map_is_bounded(void **state)
{
	struct map *m = map_new(2);

	(void)state;
	assert_true(map_put_u64(m, 1, m) && map_put_u64(m, 2, m));
	assert_false(map_put_u64(m, 3, m));
	assert_true(map_put_u64(m, 2, m));
	map_free(&m);
}

static void test_base64_vectors(void **state)
{
	/* RFC 4648 §10 */
	static const char *const pairs[][2] = {{"", ""},	     {"f", "Zg=="},	    {"fo", "Zm8="},
					       {"foo", "Zm9v"},	     {"foob", "Zm9vYg=="},  {"fooba", "Zm9vYmE="},
					       {"foobar", "Zm9vYmFy"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct buf b = buf_make(100);

		assert_true(base64_encode(slice_of(pairs[i][0]), &b));
		assert_string_equal(buf_text(&b), pairs[i][1]);
		buf_clear(&b);
		assert_true(base64_decode(slice_of(pairs[i][1]), &b));
		assert_true(slice_eq(buf_slice(&b), slice_of(pairs[i][0])));
		buf_free(&b);
	}
}

static void test_base64_refuses(void **state)
{
	static const char *const bad[] = {"Z",	  "Zg",	  "Zg=",   "Zh==", "Zm9=",  "Zm9v Zm9v", "Zg==Zg==", "====",
					  "Z===", "=Zg=", "Zm9v\n", "Zm9*", "Zm8=Zm8="};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = buf_make(100);

		if (base64_decode(slice_of(bad[i]), &b))
			fail_msg("took %s", bad[i]);
		assert_int_equal(b.len, 0);
		buf_free(&b);
	}
	print_message("ROW E04 base64 pass\n");
}

static void test_base64_round_trip_of_every_length(void **state)
{
	char bytes[300];
	struct buf text = buf_make(1000), back = buf_make(1000);

	(void)state;
	mem_random(bytes, sizeof(bytes));
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		buf_clear(&text);
		buf_clear(&back);
		assert_true(base64_encode(slice_make(bytes, n), &text));
		assert_true(base64_decode(buf_slice(&text), &back));
		assert_true(slice_eq(buf_slice(&back), slice_make(bytes, n)));
	}
	buf_free(&text);
	buf_free(&back);
}

static void test_ids(void **state)
{
	static const uint64_t ids[] = {0, 1, 31, 32, 0x123456789abcdef0u, UINT64_MAX};
	static const char *const bad[] = {"", "000000000000", "00000000000000", "000000000000u", "zzzzzzzzzzzzz",
					  "000000000000U", "00000000000\0"};
	char text[ID_CHARS + 1], before[ID_CHARS + 1] = "";
	uint64_t back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		id_text(ids[i], text);
		assert_int_equal(strlen(text), ID_CHARS);
		assert_true(strcmp(before, text) < 0);
		memcpy(before, text, sizeof(text));
		assert_true(id_parse(slice_of(text), &back));
		assert_true(back == ids[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(id_parse(slice_of(bad[i]), &back));
}

static void test_log_values_cannot_forge_a_line(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
		{"plain", "k=plain"},
		{"", "k=\"\""},
		{"two words", "k=\"two words\""},
		{"a=b", "k=\"a=b\""},
		{"say \"x\"\\", "k=\"say \\\"x\\\"\\\\\""},
		{"x\n2026-01-01 forged", "k=\"x\\n2026-01-01 forged\""},
		{"\x1b[31m\x7f\xff", "k=\"\\x1b[31m\\x7f\\xff\""},
		{"%s%n", "k=%s%n"},
	};
	char out[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct log_kv kv = KV_STR("k", cases[i].value);
		size_t n = log_format(out, sizeof(out), &kv, 1);

		assert_true(slice_eq(slice_make(out, n), slice_of(cases[i].want)));
	}
	print_message("ROW G01 escaping pass\n");
}

static void test_log_is_bounded(void **state)
{
	char big[5000] = "", out[8192];
	struct log_kv kv[] = {KV_TEXT("k", slice_make(big, sizeof(big))), KV_NUM("n", -5), KV_ID(1)};
	size_t n;

	(void)state;
	memset(big, 'a', sizeof(big));
	n = log_format(out, sizeof(out), kv, 3);
	assert_true(n < LOG_VALUE_MAX + 60);
	assert_true(slice_ends_nocase(slice_make(out, n), slice_of("a...\" n=-5 id=0000000000001")));
	assert_int_equal(log_format(out, 10, kv, 3), 10);
}

static void test_dates(void **state)
{
	char date[CLOCK_DATE_BYTES];

	(void)state;
	clock_rfc5322(0, date);
	assert_string_equal(date, "Thu, 1 Jan 1970 00:00:00 +0000");
	clock_rfc5322(1795252291, date);
	assert_string_equal(date, "Sat, 21 Nov 2026 09:11:31 +0000");
	clock_iso(1795252291123, date);
	assert_string_equal(date, "2026-11-21T09:11:31.123Z");
}

static void test_the_clock_turns(void **state)
{
	uint64_t before = clock_mono_ms();
	int64_t turned = clock_turned_ms();

	(void)state;
	clock_turn_ms(3600000);
	assert_true(clock_mono_ms() >= before + 3600000);
	assert_int_equal(clock_turned_ms(), turned + 3600000);
}

/* Doubt is temporary: whatever is not in the table is not a refusal. */
static void test_outcomes(void **state)
{
	(void)state;
	assert_int_equal(outcome_kind(outcome_from(99999)), KIND_TEMP);
	for (unsigned i = 0; i < OC_COUNT; i++) {
		const struct outcome_info *info = outcome_info((enum outcome)i);
		unsigned first = info->kind == KIND_OK ? 2 : info->kind == KIND_TEMP ? 4 : 5;

		if (i == OC_AUTH_CONTINUE) { /* RFC 4954 §4: the one reply that is neither */
			assert_int_equal(info->smtp, 334);
			continue;
		}
		assert_int_equal(info->smtp / 100, first);
		assert_true(info->dsn[0] == (char)('0' + first) || i == OC_EXPIRED);
	}
}

static void test_secrets_compare(void **state)
{
	(void)state;
	assert_true(mem_equal_secret(slice_of("abc"), slice_of("abc")));
	assert_false(mem_equal_secret(slice_of("abc"), slice_of("abd")));
	assert_false(mem_equal_secret(slice_of("abc"), slice_of("ab")));
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t count;
		bool good;
	} cases[] = {
		{"", 0, true},
		{"a\u00e9\u20ac\U0001f4e7", 4, true},
		{"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", 3, true},
		{"\xc0\xaf", 2, false}, /* overlong */
		{"\xe0\x80\xaf", 3, false},
		{"\xed\xa0\x80", 3, false}, /* a surrogate */
		{"\xf4\x90\x80\x80", 4, false}, /* beyond the last */
		{"\xe2\x82", 2, false}, /* cut off */
		{"\xff", 1, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(utf8_is_well_formed(slice_of(cases[i].text)), cases[i].good);
		assert_int_equal(utf8_count(slice_of(cases[i].text)), cases[i].count);
	}
}

static void test_utf8_of_every_point(void **state)
{
	struct buf b = buf_make(8);

	(void)state;
	for (uint32_t point = 0; point < 0x110100; point++) {
		bool real = point < 0x110000 && (point < 0xd800 || point >= 0xe000);
		uint32_t got = 0;

		assert_true(utf8_add(&b, point));
		assert_int_equal(utf8_next(buf_slice(&b), &got), b.len);
		assert_int_equal(got, real ? point : UTF8_REPLACEMENT);
		buf_clear(&b);
	}
	buf_free(&b);
}

static void test_utf8_is_cut_between_characters(void **state)
{
	struct slice s = slice_of("a\u20acb");

	(void)state;
	assert_int_equal(utf8_cut(s, 0).len, 0);
	assert_int_equal(utf8_cut(s, 3).len, 1);
	assert_int_equal(utf8_cut(s, 4).len, 4);
	assert_int_equal(utf8_cut(s, 99).len, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_utf8_of_every_point),
		cmocka_unit_test(test_utf8_is_cut_between_characters),
		cmocka_unit_test(test_slice_cutting),
		cmocka_unit_test(test_slice_u64),
		cmocka_unit_test(test_slice_copies_refuse_nul),
		cmocka_unit_test(test_buf_ceiling),
		cmocka_unit_test(test_buf_undo),
		cmocka_unit_test(test_buf_grows),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_is_bounded),
		cmocka_unit_test(test_base64_vectors),
		cmocka_unit_test(test_base64_refuses),
		cmocka_unit_test(test_base64_round_trip_of_every_length),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_log_values_cannot_forge_a_line),
		cmocka_unit_test(test_log_is_bounded),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_the_clock_turns),
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_secrets_compare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
