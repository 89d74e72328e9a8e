#include "sendmail_options.h"

#include "mail/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 16

static bool parse(const char *const *words, struct sendmail_options *o, char why[200])
{
	static char *argv[WORDS_MAX + 1];
	int argc = 0;

	for (; words[argc] != NULL; argc++) {
		free(argv[argc]);
		argv[argc] = strdup(words[argc]);
	}
	free(argv[argc]);
	argv[argc] = NULL;
	return sendmail_options_parse(argc, argv, o, why, 200);
}

/* As programs call it. */
static void accepts(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		enum sendmail_mode mode;
		bool take, dots;
		const char *sender; /* NULL: not said */
		const char *full_name;
		size_t recipients;
	} cases[] = {
		{{"sendmail", "a@b", NULL}, SENDMAIL_SUBMIT, false, false, NULL, "", 1},
		{{"/usr/sbin/sendmail", "-t", "-i", NULL}, SENDMAIL_SUBMIT, true, true, NULL, "", 0},
		{{"sendmail", "-ti", NULL}, SENDMAIL_SUBMIT, true, true, NULL, "", 0},
		{{"sendmail", "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root", NULL}, SENDMAIL_SUBMIT, true, true,
		 "root", "CronDaemon", 0},
		{{"sendmail", "-i", "-fwww@x", "--", "-a@b", NULL}, SENDMAIL_SUBMIT, false, true, "www@x", "", 1},
		{{"sendmail", "-f", "<>", "a@b", NULL}, SENDMAIL_SUBMIT, false, false, "", "", 1},
		{{"sendmail", "-f", "", "a@b", NULL}, SENDMAIL_SUBMIT, false, false, "", "", 1},
		{{"sendmail", "-bm", "-r", "x", "a", NULL}, SENDMAIL_SUBMIT, false, false, "x", "", 1},
		{{"sendmail", "-B8BITMIME", "-N", "never", "-R", "hdrs", "-V", "id", "-em", "-G", "-U", "-v", "a", NULL},
		 SENDMAIL_SUBMIT, false, false, NULL, "", 1},
		{{"sendmail", "-oi", "-ODeliveryMode=b", "-O", "ErrorMode=m", "-t", NULL}, SENDMAIL_SUBMIT, true, true, NULL, "", 0},
		{{"sendmail", "-OIgnoreDots=True", "-pSMTP:host", "-odb", "-odq", "-oep", "a", NULL}, SENDMAIL_SUBMIT, false, true, NULL, "", 1},
		{{"sendmail", "-bs", NULL}, SENDMAIL_SESSION, false, false, NULL, "", 0},
		{{"sendmail", "-q", NULL}, SENDMAIL_RETRY, false, false, NULL, "", 0},
		{{"sendmail", "-I", NULL}, SENDMAIL_ALIASES, false, false, NULL, "", 0},
		{{"sendmail", "-bp", NULL}, SENDMAIL_LIST, false, false, NULL, "", 0},
		{{"/usr/bin/mailq", NULL}, SENDMAIL_LIST, false, false, NULL, "", 0},
		{{"newaliases", NULL}, SENDMAIL_ALIASES, false, false, NULL, "", 0},
		{{"sendmail", "-bi", NULL}, SENDMAIL_ALIASES, false, false, NULL, "", 0},
		{{"", "a@b", NULL}, SENDMAIL_SUBMIT, false, false, NULL, "", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sendmail_options o;
		char why[200] = "";

		if (!parse(cases[i].words, &o, why))
			fail_msg("case %zu: %s", i, why);
		assert_int_equal(o.mode, cases[i].mode);
		assert_int_equal(o.take_recipients, cases[i].take);
		assert_int_equal(o.ignore_dots, cases[i].dots);
		assert_int_equal(o.has_sender, cases[i].sender != NULL);
		assert_string_equal(o.sender, cases[i].sender == NULL ? "" : cases[i].sender);
		assert_string_equal(o.full_name, cases[i].full_name);
		assert_int_equal(o.recipient_count, cases[i].recipients);
	}
}

/* What an attacker puts into a web form's address field, and what belongs to daemons. */
static void refuses(void **state)
{
	static const struct {
		const char *variant;
		const char *words[WORDS_MAX];
	} cases[] = {
		{"log-file", {"sendmail", "-X", "/tmp/x", "a@b", NULL}},
		{"log-file-attached", {"sendmail", "-X/tmp/x", "a@b", NULL}},
		{"config", {"sendmail", "-C", "/tmp/x", "a@b", NULL}},
		{"expand", {"sendmail", "-be", "${run}", NULL}},
		{"sender-is-option", {"sendmail", "-f", "-oQ", "a@b", NULL}},
		{"queue-folder", {"sendmail", "-oQ/tmp", "a@b", NULL}},
		{"pid-file", {"sendmail", "-oP", "/tmp/pid", NULL}},
		{"macro", {"sendmail", "-D", "X=1", NULL}},
		{"daemon", {"sendmail", "-bd", "-q15m", NULL}},
		{"long-option", {"sendmail", "--config=/tmp/x", "a", NULL}},
		{"no-value", {"sendmail", "-f", NULL}},
		{"empty-o", {"sendmail", "-o", "", NULL}},
		{"cluster", {"sendmail", "-tX/tmp/x", NULL}},
		{"queue-run-interval", {"sendmail", "-q15m", NULL}},
		{"queue-run-of-some", {"sendmail", "-qRexample.org", NULL}},
		{"address-test", {"sendmail", "-bt", NULL}},
		{"verify", {"sendmail", "-bv", "a@b", NULL}},
		{"batch", {"sendmail", "-bS", NULL}},
		{"long-queue-folder", {"sendmail", "-OQueueDirectory=/tmp", "a@b", NULL}},
		{"long-log-file", {"sendmail", "-O", "PidFile=/tmp/pid", "a@b", NULL}},
		{"long-without-name", {"sendmail", "-O", "", "a@b", NULL}},
		{"notify", {"sendmail", "-N", "never,success", "a@b", NULL}},
		{"notify-line", {"sendmail", "-N", "success\r\nX", "a@b", NULL}},
		{"return", {"sendmail", "-R", "body", "a@b", NULL}},
		{"envid-line", {"sendmail", "-V", "a\nb", "a@b", NULL}},
		{"envid-empty", {"sendmail", "-V", "", "a@b", NULL}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sendmail_options o;
		char why[200] = "";
		bool pass = !parse(cases[i].words, &o, why) && why[0] != '\0';

		printf("ROW S23 %s %s\n", cases[i].variant, pass ? "pass" : "fail");
		if (strstr(cases[i].variant, "file") != NULL || strcmp(cases[i].variant, "config") == 0)
			printf("ROW N08 sendmail-%s %s\n", cases[i].variant, pass ? "pass" : "fail");
		assert_true(pass);
	}
}

static void notifications(void **state)
{
	static const char *const words[] = {"sendmail", "-Nsuccess,delay", "-R", "FULL", "-V", "a b+c", "a@b", NULL};
	static const char *const nothing[] = {"sendmail", "a@b", NULL};
	struct sendmail_options o;
	char why[200];

	(void)state;
	assert_true(parse(words, &o, why));
	assert_int_equal(o.notify, DSN_SUCCESS | DSN_DELAY);
	assert_int_equal(o.ret, DSN_RET_FULL);
	assert_string_equal(o.envid, "a b+c");
	assert_true(parse(nothing, &o, why));
	assert_true(o.notify == 0 && o.ret == DSN_RET_UNSAID && o.envid[0] == '\0');
}

static void no_name(void **state)
{
	char *argv[] = {NULL};
	struct sendmail_options o;
	char why[200];

	(void)state;
	assert_false(sendmail_options_parse(0, argv, &o, why, sizeof(why)));
	printf("ROW N04 no-argv pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(notifications),
		cmocka_unit_test(no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
