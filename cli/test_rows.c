#include "rows.h"

#include "ipc/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct pair {
	const char *key, *value;
};

static void add_row(struct buf *records, const struct pair *pairs, size_t count)
{
	struct buf fields = buf_make(60000);
	struct rec_control_row row;

	for (size_t i = 0; i < count; i++) {
		struct rec_control_field f = {slice_of(pairs[i].key), slice_of(pairs[i].value)};

		assert_true(rec_control_field_add(&fields, &f));
	}
	row.control_field_records = buf_slice(&fields);
	assert_true(rec_control_row_add(records, &row));
	buf_free(&fields);
}

static void fill(struct buf *records)
{
	static const struct pair one[] = {{"id", "0000000000001"}, {"sender", "a@b"}, {"size", "4096"}, {"age", "95"}, {"last", ""}};
	static const struct pair two[] = {
		{"id", "0000000000002"}, {"sender", "j\xc3\xb6rg@b"}, {"size", "1000"}, {"age", "7200"}, {"last", "450 \x1b[2J \"x\"\\"}};

	add_row(records, one, 5);
	add_row(records, two, 5);
}

static void check_style(enum rows_style style, bool empty, const char *want)
{
	struct buf records = buf_make(60000), out = buf_make(60000);
	struct rows r = rows_begin(style, &out);

	if (!empty)
		fill(&records);
	assert_true(rows_page(&r, buf_slice(&records)));
	assert_true(rows_end(&r, "nothing here"));
	assert_string_equal(buf_text(&out), want);
	buf_free(&records);
	buf_free(&out);
}

static void styles(void **state)
{
	(void)state;
	check_style(ROWS_TABLE, false,
		    "ID             SENDER  SIZE  AGE  LAST\n"
		    "0000000000001  a@b     4K    95s  -\n"
		    "0000000000002  j\xc3\xb6rg@b  1000  2h   450 \\x1b[2J \"x\"\\\n");
	check_style(ROWS_LINES, false,
		    "id: 0000000000001\nsender: a@b\nsize: 4K\nage: 95s\nlast: \n\n"
		    "id: 0000000000002\nsender: j\xc3\xb6rg@b\nsize: 1000\nage: 2h\nlast: 450 \\x1b[2J \"x\"\\\n");
	check_style(ROWS_JSON, false,
		    "[\n {\"id\": \"0000000000001\", \"sender\": \"a@b\", \"size\": 4096, \"age\": 95, \"last\": \"\"},\n"
		    " {\"id\": \"0000000000002\", \"sender\": \"j\xc3\xb6rg@b\", \"size\": 1000, \"age\": 7200, "
		    "\"last\": \"450 \\u001b[2J \\\"x\\\"\\\\\"}\n]\n");
	check_style(ROWS_TABLE, true, "nothing here\n");
	check_style(ROWS_JSON, true, "[]\n");
}

/* Keys with a group: an object in JSON, one column of a table. */
static void groups(void **state)
{
	static const struct pair one[] = {{"role", "queue"}, {"now.in_memory", "3"}, {"now.scan", "do\x1bne"}, {"now.id", "007"}, {"last", "x"}};
	static const struct pair two[] = {{"role", "log"}, {"now.lines", "0"}};
	struct buf records = buf_make(60000), out = buf_make(60000);
	struct rows r = rows_begin(ROWS_JSON, &out);

	(void)state;
	add_row(&records, one, 5);
	add_row(&records, two, 2);
	assert_true(rows_page(&r, buf_slice(&records)) && rows_end(&r, ""));
	assert_string_equal(buf_text(&out), "[\n {\"role\": \"queue\", \"now\": {\"in_memory\": 3, \"scan\": \"do\\u001bne\", "
					    "\"id\": \"007\"}, \"last\": \"x\"},\n {\"role\": \"log\", \"now\": {\"lines\": 0}}\n]\n");
	buf_clear(&out);
	r = rows_begin(ROWS_TABLE, &out);
	assert_true(rows_page(&r, buf_slice(&records)) && rows_end(&r, ""));
	assert_string_equal(buf_text(&out), "ROLE   NOW                                 LAST\n"
					    "queue  in memory 3, scan do\\x1bne, id 007  x\n"
					    "log    lines 0                             -\n");
	buf_free(&records);
	buf_free(&out);
}

static void numbers(void **state)
{
	static const struct {
		const char *key, *value, *shown, *json;
	} cases[] = {
		{"age", "0", "0", "0"},		       {"age", "59", "59s", "59"},   {"age", "119", "119s", "119"},
		{"age", "120", "2m", "120"},	       {"age", "5400", "90m", "5400"}, {"age", "86400", "1d", "86400"},
		{"age", "-1", "-1", "\"-1\""},	       {"age", "", "", "null"},      {"size", "1023", "1023", "1023"},
		{"size", "1048576", "1M", "1048576"}, {"tries", "7", "7", "7"},	     {"id", "0000000000001", "0000000000001", "\"0000000000001\""},
		{"created", "1790000000", "Mon, 21 Sep 2026 14:13:20 +0000", "1790000000"},
		{"age", "99999999999999999999", "99999999999999999999", "\"99999999999999999999\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct pair one = {cases[i].key, cases[i].value};
		struct buf records = buf_make(60000), out = buf_make(60000), want = buf_make(1000);
		struct rows lines = rows_begin(ROWS_LINES, &out), json;

		add_row(&records, &one, 1);
		assert_true(rows_page(&lines, buf_slice(&records)));
		buf_addf(&want, "%s: %s\n", cases[i].key, cases[i].shown);
		assert_string_equal(buf_text(&out), buf_text(&want));
		buf_clear(&out);
		buf_clear(&want);
		json = rows_begin(ROWS_JSON, &out);
		assert_true(rows_page(&json, buf_slice(&records)) && rows_end(&json, ""));
		buf_addf(&want, "[\n {\"%s\": %s}\n]\n", cases[i].key, cases[i].json);
		assert_string_equal(buf_text(&out), buf_text(&want));
		buf_free(&records);
		buf_free(&out);
		buf_free(&want);
	}
}

static void pages(void **state)
{
	struct buf records = buf_make(60000), out = buf_make(60000);
	struct rows r = rows_begin(ROWS_JSON, &out);
	static const struct pair one[] = {{"a", "1"}};

	(void)state;
	add_row(&records, one, 1);
	assert_true(rows_page(&r, buf_slice(&records)));
	buf_clear(&out);
	assert_true(rows_page(&r, buf_slice(&records)));
	assert_string_equal(buf_text(&out), ",\n {\"a\": \"1\"}");
	buf_free(&records);
	buf_free(&out);
}

/* Nothing that a terminal would obey, whatever a sender's address holds. */
static void safe_text(void **state)
{
	static const struct {
		const char *in, *shown, *json;
	} cases[] = {
		{"plain", "plain", "\"plain\""},
		{"\r\n\t", "\\x0d\\x0a\\x09", "\"\\u000d\\u000a\\u0009\""},
		{"\x1b]0;x\x07", "\\x1b]0;x\\x07", "\"\\u001b]0;x\\u0007\""},
		{"\xc2\x9b" "31m", "\\xc2\\x9b31m", "\"\\u009b31m\""},
		{"\xe2\x80\xae", "\\xe2\\x80\\xae", "\"\\u202e\""},
		{"\xc0\xaf", "\\xc0\\xaf", "\"\\ufffd\\ufffd\""},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80", "\"\\ufffd\\ufffd\\ufffd\""},
		{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
		{"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
		{"\xe2\x80", "\\xe2\\x80", "\"\\ufffd\\ufffd\""},
		{"\x7f", "\\x7f", "\"\\u007f\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = buf_make(1000);

		assert_true(text_add_safe(slice_of(cases[i].in), &out));
		assert_string_equal(buf_text(&out), cases[i].shown);
		buf_clear(&out);
		assert_true(text_add_json(slice_of(cases[i].in), &out));
		assert_string_equal(buf_text(&out), cases[i].json);
		buf_free(&out);
	}
}

/* Every truncation of an answer is found out. */
static void malformed(void **state)
{
	struct buf records = buf_make(60000), out = buf_make(1 << 20);

	(void)state;
	fill(&records);
	for (unsigned style = ROWS_TABLE; style <= ROWS_JSON; style++)
		for (size_t n = 1; n < records.len; n++) {
			struct rows r = rows_begin((enum rows_style)style, &out);
			struct rec_control_row row;
			struct slice rest = slice_make(records.at, n);
			bool whole = rec_control_row_next(&rest, &row) && rest.len == 0;

			assert_int_equal(rows_page(&r, slice_make(records.at, n)), whole);
			buf_clear(&out);
		}
	buf_free(&records);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(styles), cmocka_unit_test(groups), cmocka_unit_test(numbers), cmocka_unit_test(pages), cmocka_unit_test(safe_text), cmocka_unit_test(malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
