#include "dovecot_line.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const struct {
	const char *line;
	bool good;
	enum dovecot_word word;
	uint64_t number;
	const char *text, *user;
	bool temporary;
} rows[] = {
	{"VERSION\t1\t2", true, DOVECOT_VERSION, 1, "", "", false},
	{"VERSION\t2\t0", true, DOVECOT_VERSION, 2, "", "", false},
	{"MECH\tPLAIN\tplaintext", true, DOVECOT_MECH, 0, "PLAIN", "", false},
	{"SPID\t123", true, DOVECOT_OTHER, 0, "", "", false},
	{"COOKIE\tabc", true, DOVECOT_OTHER, 0, "", "", false},
	{"", true, DOVECOT_OTHER, 0, "", "", false},
	{"DONE", true, DOVECOT_DONE, 0, "", "", false},
	{"OK\t7\tuser=alice", true, DOVECOT_OK, 7, "", "alice", false},
	{"OK\t7\tuid=1\tuser=alice@example.test\tx", true, DOVECOT_OK, 7, "", "alice@example.test", false},
	{"CONT\t7\tPGE+", true, DOVECOT_CONT, 7, "PGE+", "", false},
	{"CONT\t7\t", true, DOVECOT_CONT, 7, "", "", false},
	{"CONT\t7", true, DOVECOT_CONT, 7, "", "", false},
	{"FAIL\t7", true, DOVECOT_FAIL, 7, "", "", false},
	{"FAIL\t7\tuser=bob\tauthz", true, DOVECOT_FAIL, 7, "", "bob", false},
	{"FAIL\t7\tuser=bob\ttemp", true, DOVECOT_FAIL, 7, "", "bob", true},
	{"FAIL\t7\tuser=bob\tuser_disabled", true, DOVECOT_FAIL, 7, "", "bob", false},
	{"FAIL\t7\tcode=temp_fail", true, DOVECOT_FAIL, 7, "", "", true},
	{"FAIL\t7\tuser=b\x01ob", true, DOVECOT_FAIL, 7, "", "", false},
	{"OK\t7", false, DOVECOT_OK, 0, "", "", false},
	{"OK\t7\tuser=", false, DOVECOT_OK, 0, "", "", false},
	{"OK\t7\tuser=a\x01" "tb", false, DOVECOT_OK, 0, "", "", false},
	{"OK\t7\tuser=\xff", false, DOVECOT_OK, 0, "", "", false},
	{"OK\tx\tuser=alice", false, DOVECOT_OK, 0, "", "", false},
	{"OK\t-1\tuser=alice", false, DOVECOT_OK, 0, "", "", false},
	{"OK\t4294967296\tuser=alice", false, DOVECOT_OK, 0, "", "", false},
	{"OK", false, DOVECOT_OK, 0, "", "", false},
	{"FAIL", false, DOVECOT_FAIL, 0, "", "", false},
	{"CONT", false, DOVECOT_CONT, 0, "", "", false},
	{"MECH", false, DOVECOT_MECH, 0, "", "", false},
	{"VERSION\tone", false, DOVECOT_VERSION, 0, "", "", false},
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dovecot_line l;
		bool good = dovecot_line_parse(slice_of(rows[i].line), &l);

		if (good != rows[i].good)
			fail_msg("%s", rows[i].line);
		if (good && (l.word != rows[i].word || l.number != rows[i].number || !slice_eq(l.text, slice_of(rows[i].text)) ||
			     !slice_eq(l.user, slice_of(rows[i].user)) || l.temporary != rows[i].temporary))
			fail_msg("%s", rows[i].line);
	}
}

/* Every line cut short, and with each byte another. */
static void test_broken_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[128];
		size_t len = strlen(rows[i].line);
		struct dovecot_line l;

		for (size_t at = 0; at < len; at++) {
			(void)dovecot_line_parse(slice_make(rows[i].line, at), &l);
			memcpy(text, rows[i].line, len);
			for (unsigned c = 0; c < 256; c++) {
				text[at] = (char)c;
				if (dovecot_line_parse(slice_make(text, len), &l))
					assert_true(c != 0);
			}
		}
	}
	print_message("ROW S13 dovecot-lines pass\n");
}

static void test_long_lines(void **state)
{
	static char text[DOVECOT_LINE_MAX + 2];
	struct dovecot_line l;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "OK\t7\tuser=", 10);
	assert_true(dovecot_line_parse(slice_make(text, 10 + DOVECOT_USER_MAX), &l));
	assert_false(dovecot_line_parse(slice_make(text, 11 + DOVECOT_USER_MAX), &l));
	memcpy(text, "XX", 2);
	assert_true(dovecot_line_parse(slice_make(text, DOVECOT_LINE_MAX), &l));
	assert_false(dovecot_line_parse(slice_make(text, DOVECOT_LINE_MAX + 1), &l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_broken_lines),
		cmocka_unit_test(test_long_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
