#include "reply.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>

/* Reads `text` in pieces of `piece` bytes up to the first whole or bad reply; what is not read is left in `*rest`. */
static enum reply_want read_reply(struct reply_parser *p, struct slice text, size_t piece, struct slice *rest)
{
	enum reply_want got = REPLY_MORE;

	while (text.len > 0 && got != REPLY_DONE && got != REPLY_BAD) {
		struct slice in = slice_sub(text, 0, piece);
		size_t given = in.len;

		do
			got = reply_step(p, &in);
		while (in.len > 0 && got != REPLY_DONE && got != REPLY_BAD);
		text = slice_from(text, given - in.len);
	}
	*rest = text;
	return got;
}

#define TEXT(literal) \
	{ \
		literal, sizeof(literal) - 1 \
	}

static const struct {
	const char *name;
	struct slice in;
	enum reply_want want;
	unsigned code;
	const char *dsn, *text;
} cases[] = {
	{"one line", TEXT("250 ok\r\n"), REPLY_DONE, 250, "", "ok"},
	{"a code alone", TEXT("250\r\n"), REPLY_DONE, 250, "", ""},
	{"enhanced code", TEXT("550 5.1.1 no such user\r\n"), REPLY_DONE, 550, "5.1.1", "no such user"},
	{"enhanced code, each line", TEXT("550-5.1.1 no\r\n550 5.1.1 user\r\n"), REPLY_DONE, 550, "5.1.1", "no user"},
	{"another class", TEXT("250 5.1.1 x\r\n"), REPLY_DONE, 250, "", "5.1.1 x"},
	{"no enhanced code", TEXT("250 2.0.0.0 x\r\n"), REPLY_DONE, 250, "", "2.0.0.0 x"},
	{"too many digits", TEXT("250 2.1234.0 x\r\n"), REPLY_DONE, 250, "", "2.1234.0 x"},
	{"enhanced code alone", TEXT("250 2.0.0\r\n"), REPLY_DONE, 250, "2.0.0", ""},
	{"several lines", TEXT("250-a\r\n250-b\r\n250 c\r\n"), REPLY_DONE, 250, "", "a b c"},
	{"8-bit and controls", TEXT("554 \xc3\xa9\x01\x1b[2J\tx\x7f\r\n"), REPLY_DONE, 554, "", "????[2J x?"},
	{"no digit", TEXT("hello\r\n"), REPLY_BAD, 0, "", ""},
	{"empty line", TEXT("\r\n"), REPLY_BAD, 0, "", ""},
	{"one digit", TEXT("5\r\n"), REPLY_BAD, 0, "", ""},
	{"two digits", TEXT("55\r\n"), REPLY_BAD, 0, "", ""},
	{"class one", TEXT("150 x\r\n"), REPLY_BAD, 0, "", ""},
	{"class six", TEXT("650 x\r\n"), REPLY_BAD, 0, "", ""},
	{"short last line", TEXT("553-\r\n553\r\n"), REPLY_DONE, 553, "", ""},
	{"four digits", TEXT("2500 x\r\n"), REPLY_BAD, 0, "", ""},
	{"lone LF", TEXT("250 x\n"), REPLY_BAD, 0, "", ""},
	{"lone LFs, short", TEXT("553-\n553\n"), REPLY_BAD, 0, "", ""},
	{"LF alone", TEXT("\n"), REPLY_BAD, 0, "", ""},
	{"bare CR", TEXT("250 a\rb\r\n"), REPLY_BAD, 0, "", ""},
	{"CR CR LF", TEXT("250 a\r\r\n"), REPLY_BAD, 0, "", ""},
	{"NUL", TEXT("250 a\0b\r\n"), REPLY_BAD, 0, "", ""},
	{"code change", TEXT("250-a\r\n550 b\r\n"), REPLY_BAD, 250, "", "a"},
	{"goes on", TEXT("250-a\r\n250-"), REPLY_MORE, 250, "", "a"},
};

static void test_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t piece = 1; piece <= cases[i].in.len; piece++) {
			struct reply_parser p;
			struct slice rest;
			enum reply_want got;

			reply_start(&p);
			got = read_reply(&p, cases[i].in, piece, &rest);
			if (got != cases[i].want)
				fail_msg("%s: %d instead of %d", cases[i].name, (int)got, (int)cases[i].want);
			assert_int_equal(p.reply.code, cases[i].code);
			assert_string_equal(p.reply.dsn, cases[i].dsn);
			assert_string_equal(p.reply.text, cases[i].text);
		}
}

static void test_truncated_is_never_whole(void **state)
{
	static const struct slice whole = TEXT("550-5.1.1 first\r\n550 5.1.1 second\r\n");

	(void)state;
	for (size_t len = 0; len < whole.len; len++) {
		struct reply_parser p;
		struct slice rest;

		reply_start(&p);
		assert_int_not_equal(read_reply(&p, slice_sub(whole, 0, len), 7, &rest), REPLY_DONE);
	}
}

/* Whatever one byte becomes: what is kept is one printable line, within its bounds. */
static void test_every_byte_changed(void **state)
{
	char text[] = "550-5.1.1 first\r\n550 5.1.1 second\r\n";
	const size_t len = sizeof(text) - 1;

	(void)state;
	for (size_t at = 0; at < len; at++)
		for (int c = 0; c < 256; c++) {
			char was = text[at];
			struct reply_parser p;
			struct slice rest;

			text[at] = (char)c;
			reply_start(&p);
			read_reply(&p, slice_make(text, len), len, &rest);
			for (const char *t = p.reply.text; *t != '\0'; t++)
				assert_in_range(*t, ' ', '~');
			assert_true(strlen(p.reply.dsn) < REPLY_DSN_BYTES);
			text[at] = was;
		}
}

static void test_a_reply_has_an_end(void **state)
{
	struct reply_parser p;
	unsigned lines = 0;
	enum reply_want got;
	char line[REPLY_LINE_MAX + 1];

	(void)state;
	reply_start(&p);
	do {
		struct slice in = slice_of("250-and another one\r\n");

		got = reply_step(&p, &in);
		lines++;
	} while (got == REPLY_LINE && lines < 1000000);
	assert_int_equal(got, REPLY_BAD);
	assert_int_equal(lines, REPLY_LINES_MAX + 1);
	assert_true(strlen(p.reply.text) <= REPLY_TEXT_MAX);

	memset(line, '2', sizeof(line));
	reply_start(&p);
	got = read_reply(&p, slice_make(line, sizeof(line)), 100, &(struct slice){"", 0});
	assert_int_equal(got, REPLY_BAD);
}

static void test_a_bad_parser_stays_bad(void **state)
{
	struct slice good = slice_of("250 ok\r\n"), bad = slice_of("x\r\n");
	struct reply_parser p;

	(void)state;
	reply_start(&p);
	assert_int_equal(reply_step(&p, &bad), REPLY_BAD);
	assert_int_equal(reply_step(&p, &good), REPLY_BAD);
	assert_int_equal(good.len, 8);
}

static void test_one_reply_at_a_time(void **state)
{
	struct slice in = slice_of("250 one\r\n354 two\r\n");
	struct reply_parser p;

	(void)state;
	reply_start(&p);
	assert_true(reply_is_between(&p));
	assert_int_equal(reply_step(&p, &in), REPLY_DONE);
	assert_true(reply_is_between(&p));
	assert_string_equal(p.reply.text, "one");
	assert_int_equal(in.len, 9);
	assert_int_equal(reply_step(&p, &in), REPLY_DONE);
	assert_int_equal(p.reply.code, 354);
	assert_int_equal(in.len, 0);
	in = slice_of("25");
	assert_int_equal(reply_step(&p, &in), REPLY_MORE);
	assert_false(reply_is_between(&p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_truncated_is_never_whole),
		cmocka_unit_test(test_every_byte_changed),
		cmocka_unit_test(test_a_reply_has_an_end),
		cmocka_unit_test(test_a_bad_parser_stays_bad),
		cmocka_unit_test(test_one_reply_at_a_time),
	};
	int failures = cmocka_run_group_tests(tests, NULL, NULL);

	printf("ROW O02 reply-parser %s\n", failures == 0 ? "pass" : "fail");
	return failures;
}
