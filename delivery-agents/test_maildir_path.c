#include "maildir_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_slice(struct slice got, const char *want)
{
	if (!slice_eq(got, slice_of(want)))
		fail_msg("got \"%.*s\", want \"%s\"", SLICE_ARG(got), want);
}

static void beneath(void **state)
{
	static const struct {
		const char *base, *path, *part; /* part NULL: refused */
	} cases[] = {
		{"/var/mail", "/var/mail/example.test/alice/", "example.test/alice"},
		{"/var/mail", "/var/mail/example.test/alice", "example.test/alice"},
		{"/", "/alice", "alice"},
		{"/var/mail", "/var/mail", ""},
		{"/var/mail", "/var/mailbox/alice", NULL},
		{"/var/mail", "/etc/passwd", NULL},
		{"/var/mail", "/var/mail/../../etc", NULL},
		{"/var/mail", "/var/mail/a/../b", NULL},
		{"/var/mail", "/var/mail/./b", NULL},
		{"/var/mail", "/var/mail//b", NULL},
		{"/var/mail", "/var/mail/a/\x01", NULL},
		{"/var/mail", "/var/mail/a/\x7f", NULL},
		{"/var/mail", "/var/mail/a//", NULL},
		{"/var/mail", "/var/mail/...", "..."},
		{"/var/mail", "", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice part;
		bool ok = maildir_beneath(slice_of(cases[i].base), slice_of(cases[i].path), &part);

		if (ok != (cases[i].part != NULL))
			fail_msg("%s", cases[i].path);
		if (ok)
			check_slice(part, cases[i].part);
	}
	assert_false(maildir_is_safe(slice_make("a\0b", 3)));
}

static void bounds(void **state)
{
	char deep[2 * MAILDIR_DEPTH_MAX + 4] = "";
	char wide[300];

	(void)state;
	for (int i = 0; i < MAILDIR_DEPTH_MAX; i++)
		memcpy(deep + 2 * i, "a/", 2);
	deep[2 * MAILDIR_DEPTH_MAX - 1] = '\0';
	assert_true(maildir_is_safe(slice_of(deep)));
	memcpy(deep + 2 * MAILDIR_DEPTH_MAX - 1, "/a", 3);
	assert_false(maildir_is_safe(slice_of(deep)));
	memset(wide, 'a', sizeof(wide));
	assert_true(maildir_is_safe(slice_make(wide, 255)));
	assert_false(maildir_is_safe(slice_make(wide, 256)));
}

static void names(void **state)
{
	char one[MAILDIR_NAME_BYTES], two[MAILDIR_NAME_BYTES], host[400];
	struct maildir_name n = {1790000000123, 77, 4711, 1, slice_of("mx/1:example.org")};

	(void)state;
	maildir_name_make(&n, one);
	assert_string_equal(one, "1790000000.M123I000000000002dP4711Q1.mx_1_example.org");
	n.counter = 2;
	maildir_name_make(&n, two);
	assert_string_not_equal(one, two);
	memset(host, 'h', sizeof(host));
	n = (struct maildir_name){INT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, slice_make(host, sizeof(host))};
	maildir_name_make(&n, one);
	assert_true(strlen(one) < MAILDIR_NAME_BYTES - 1);
	n.host = slice_empty();
	maildir_name_make(&n, one);
	assert_true(slice_ends_nocase(slice_of(one), slice_of(".localhost")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beneath),
		cmocka_unit_test(bounds),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
