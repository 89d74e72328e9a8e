#include "log_rate.h"
#include "log_render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1790000000123

static struct log_event taken(const char *event, struct slice fields)
{
	struct msg_LOG_RECORD r = {LEVEL_INFO, NOW, slice_of(event), fields};
	struct log_event e = {.role = ROLE_SMTPD, .instance = 2};

	log_event_take(&r, NOW, &e);
	return e;
}

static void check_render(bool (*render)(const struct log_event *, struct buf *), const struct log_event *e, const char *want)
{
	struct buf out = buf_make(20000);

	assert_true(render(e, &out));
	assert_string_equal(buf_text(&out), want);
	buf_free(&out);
}

static void renders(void **state)
{
	struct log_event e = taken("recipient-refused", slice_of("session=0000 code=550 text=\"no such user\""));

	(void)state;
	check_render(log_render_line, &e,
		     "2026-09-21T14:13:20.123Z info smtpd[2] recipient-refused session=0000 code=550 text=\"no such user\"\n");
	check_render(log_render_syslog, &e,
		     "<22>Sep 21 14:13:20 postern-smtpd[2]: recipient-refused session=0000 code=550 text=\"no such user\"");
	check_render(log_render_journal, &e,
		     "PRIORITY=6\nSYSLOG_FACILITY=2\nSYSLOG_IDENTIFIER=postern-smtpd\nPOSTERN_INSTANCE=2\n"
		     "POSTERN_EVENT=recipient-refused\nMESSAGE=recipient-refused session=0000 code=550 text=\"no such user\"\n");
	e = taken("started", slice_empty());
	check_render(log_render_line, &e, "2026-09-21T14:13:20.123Z info smtpd[2] started\n");
}

static void takes_only_what_is_well_formed(void **state)
{
	static const struct {
		uint64_t level, wall_ms;
		const char *event;
		enum log_level want_level;
		int64_t want_ms;
		const char *want_event;
	} cases[] = {
		{LEVEL_DEBUG, NOW - 5000, "a.b-1", LEVEL_DEBUG, NOW - 5000, "a.b-1"},
		{17, NOW, "x", LEVEL_ERROR, NOW, "x"},
		{UINT64_MAX, NOW, "x", LEVEL_ERROR, NOW, "x"},
		{LEVEL_INFO, NOW + 1, "x", LEVEL_INFO, NOW, "x"},
		{LEVEL_INFO, NOW - 60001, "x", LEVEL_INFO, NOW, "x"},
		{LEVEL_INFO, 0, "x", LEVEL_INFO, NOW, "x"},
		{LEVEL_INFO, UINT64_MAX, "x", LEVEL_INFO, NOW, "x"},
		{LEVEL_INFO, NOW, "", LEVEL_INFO, NOW, "invalid-event"},
		{LEVEL_INFO, NOW, "two words", LEVEL_INFO, NOW, "invalid-event"},
		{LEVEL_INFO, NOW, "Upper", LEVEL_INFO, NOW, "invalid-event"},
		{LEVEL_INFO, NOW, "a\nb", LEVEL_INFO, NOW, "invalid-event"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct msg_LOG_RECORD r = {cases[i].level, cases[i].wall_ms, slice_of(cases[i].event), slice_empty()};
		struct log_event e = {.role = ROLE_GATE};

		log_event_take(&r, NOW, &e);
		assert_int_equal(e.level, cases[i].want_level);
		assert_int_equal(e.wall_ms, cases[i].want_ms);
		assert_true(slice_eq(e.event, slice_of(cases[i].want_event)));
	}
}

static void field_grammar(void **state)
{
	static const struct {
		const char *fields;
		bool valid;
	} cases[] = {
		{"", true},
		{"a=1", true},
		{"a=1 b=\"two words\" c-d.e_f=x", true},
		{"a=\"q\\\"b\\\\c\\n\\r\\t\\x1b\"", true},
		{"a=\"\"", true},
		{"a=", false},
		{"=1", false},
		{"a", false},
		{"a=1 ", false},
		{" a=1", false},
		{"a=1  b=2", false},
		{"a=\"open", false},
		{"a=\"x\"y", false},
		{"a=b=c", false},
		{"a=b\"c", false},
		{"a=\"\\q\"", false},
		{"a=\"\\x1\"", false},
		{"a=\"\\xZZ\"", false},
		{"a=\"\\", false},
		{"A=1", false},
		{"a=\x1b[31m", false},
		{"a=1\nb=2", false},
		{"a=\"\xc3\xa4\"", false},
		{"a=\xff", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (log_fields_are_valid(slice_of(cases[i].fields)) != cases[i].valid)
			fail_msg("\"%s\"", cases[i].fields);
}

static bool is_one_clean_line(struct slice s)
{
	for (size_t i = 0; i + 1 < s.len; i++)
		if (s.at[i] < ' ' || s.at[i] >= 0x7f)
			return false;
	return s.len > 0 && s.at[s.len - 1] == '\n';
}

/* What a taken-over process sends never looks like another event. */
static void injection(void **state)
{
	static char big[8300];
	const struct {
		const char *variant;
		struct slice fields;
	} cases[] = {
		{"crlf", slice_of("rcpt=x\r\n2026-09-21T14:13:20.123Z info authd[0] login-ok")},
		{"escape", slice_of("rcpt=\x1b]0;owned\x07")},
		{"format", slice_of("%s%n%n%s")},
		{"utf8", slice_of("rcpt=\xc0\xae\xff\xfe")},
		{"nul", slice_make("a=\0b", 4)},
		{"c1", slice_of("a=\xc2\x9b" "31m")},
		{"long", slice_make(big, sizeof(big))},
		{"quote", slice_of("a=\"\" b=\"\n\"")},
	};

	(void)state;
	memset(big, 0x1b, sizeof(big));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct log_event e = taken("refused", cases[i].fields);
		struct buf out = buf_make(20000);
		bool pass = log_render_line(&e, &out) && is_one_clean_line(buf_slice(&out)) && out.len < 9000 &&
			    slice_find(buf_slice(&out), slice_of(" smtpd[2] refused raw=")) != SLICE_NONE;

		printf("ROW G01 %s %s\n", cases[i].variant, pass ? "pass" : "fail");
		assert_true(pass);
		buf_free(&out);
	}
}

/* What the writer makes of any bytes is what we take for valid. */
static void writer_and_reader_agree(void **state)
{
	char out[LOG_LINE_MAX], value[64];
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 5000; round++) {
		struct log_kv kv[2] = {KV_NUM("n", round), KV_TEXT("v", slice_make(value, (size_t)round % sizeof(value)))};

		for (size_t i = 0; i < sizeof(value); i++)
			value[i] = (char)(rand_r(&seed) >> 7);
		assert_true(log_fields_are_valid(slice_make(out, log_format(out, sizeof(out), kv, 2))));
	}
}

static void rate(void **state)
{
	struct log_rate r = log_rate_make(1000);

	(void)state;
	for (unsigned i = 0; i < LOG_RATE_BURST; i++)
		assert_true(log_rate_admit(&r, 1000));
	assert_false(log_rate_admit(&r, 1000));
	assert_false(log_rate_admit(&r, 1000));
	assert_int_equal(log_rate_dropped(&r), 2);
	assert_int_equal(log_rate_dropped(&r), 0);
	for (unsigned i = 0; i < LOG_RATE_A_SECOND / 10; i++)
		assert_true(log_rate_admit(&r, 1100));
	assert_false(log_rate_admit(&r, 1100));
	/* a clock that goes back, or far ahead */
	assert_false(log_rate_admit(&r, 0));
	assert_true(log_rate_admit(&r, UINT64_MAX));
	assert_int_equal(r.tokens, (LOG_RATE_BURST - 1) * 1000ull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renders),
		cmocka_unit_test(takes_only_what_is_well_formed),
		cmocka_unit_test(field_grammar),
		cmocka_unit_test(injection),
		cmocka_unit_test(writer_and_reader_agree),
		cmocka_unit_test(rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
