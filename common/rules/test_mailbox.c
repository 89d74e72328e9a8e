#include "rules/mailbox.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define T "/var/mail/{domain}/{local}/"

static const struct {
	const char *template, *address, *path; /* NULL: no mailbox */
} paths[] = {
	{T, "alice@example.test", "/var/mail/example.test/alice/"},
	{T, "Alice.B+x@Example.TEST", "/var/mail/example.test/alice.b+x/"},
	{"/m/{address}/Maildir", "a@b.test", "/m/a@b.test/Maildir"},
	{"/m/x{local}y/", "a@b.test", "/m/xay/"},
	{T, "\xc3\xa4@example.test", "/var/mail/example.test/\xc3\xa4/"},
	{T, "${run{id}}@example.test", "/var/mail/example.test/${run{id}}/"},
	{T, "{domain}@example.test", "/var/mail/example.test/{domain}/"},
	{T, "$(id)`id`%s;|&@example.test", "/var/mail/example.test/$(id)`id`%s;|&/"},
	{T, "..@example.test", NULL},
	{T, ".@example.test", NULL},
	{T, ".hidden@example.test", NULL},
	{T, "../../etc/passwd@example.test", NULL},
	{T, "a/b@example.test", NULL},
	{T, "/@example.test", NULL},
	{T, "a@..", NULL},
	{T, "a@../x", NULL},
	{T, "a@.example", NULL},
	{T, "@example.test", NULL},
	{T, "a@", NULL},
	{T, "a", NULL},
	{T, "\"a b\"@example.test", NULL},
	{T, "\"../x\"@example.test", NULL},
	{T, "a\\b@example.test", NULL},
	{T, "a\nb@example.test", NULL},
	{T, "a\x7f@example.test", NULL},
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct buf out = buf_make(MAILBOX_PATH_MAX);
		enum mailbox_answer got = mailbox_path(slice_of(paths[i].template), slice_of(paths[i].address), &out);

		if (paths[i].path == NULL ? got != MAILBOX_NONE || out.len > 0
					  : got != MAILBOX_DONE || !slice_eq(buf_slice(&out), slice_of(paths[i].path)))
			fail_msg("%s: %d %s", paths[i].address, (int)got, buf_text(&out));
		buf_free(&out);
	}
	print_message("ROW E01 mailbox-path pass\nROW E09 mailbox-path pass\n");
}

static void test_nul_and_length(void **state)
{
	struct buf out = buf_make(MAILBOX_PATH_MAX);
	char longest[300];

	(void)state;
	assert_int_equal(mailbox_path(slice_of(T), slice_make("a\0b@example.test", 16), &out), MAILBOX_NONE);
	memset(longest, 'a', sizeof(longest));
	assert_true(mailbox_is_safe_part(slice_make(longest, 255)));
	assert_false(mailbox_is_safe_part(slice_make(longest, 256)));
	assert_int_equal(mailbox_path(slice_of("/{x}/"), slice_of("a@b"), &out), MAILBOX_BAD_TEMPLATE);
	assert_int_equal(mailbox_path(slice_of("/{local"), slice_of("a@b"), &out), MAILBOX_BAD_TEMPLATE);
	assert_int_equal(out.len, 0);
	buf_free(&out);
}

/* Every byte in every place of a local part: the path has as many components as its template, or there is none. */
static void test_every_byte(void **state)
{
	char address[] = "abc@example.test";

	(void)state;
	for (size_t at = 0; at < 3; at++)
		for (int byte = 0; byte < 256; byte++) {
			struct buf out = buf_make(MAILBOX_PATH_MAX);
			size_t slashes = 0;

			memcpy(address, "abc", 3);
			address[at] = (char)byte;
			if (mailbox_path(slice_of(T), slice_make(address, sizeof(address) - 1), &out) == MAILBOX_DONE) {
				for (size_t i = 0; i < out.len; i++)
					slashes += out.at[i] == '/';
				if (slashes != 5 || slice_find(buf_slice(&out), slice_of("/.")) != SLICE_NONE)
					fail_msg("%s", buf_text(&out));
			}
			buf_free(&out);
		}
}

static void test_users(void **state)
{
	static const struct {
		const char *address, *user;
	} cases[] = {
		{"alice@localhost", "alice"}, {"Alice@localhost", "alice"}, {"a.b-c_d9@x", "a.b-c_d9"}, {"_svc@x", "_svc"},
		{"root+${run{id}}@x", NULL},  {"-rf@x", NULL},		    {".@x", NULL},		{"a/b@x", NULL},
		{"a b@x", NULL},	      {"@x", NULL},		    {"\xc3\xa4@x", NULL},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@x", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(256);
		enum mailbox_answer got = mailbox_user(slice_of(cases[i].address), &out);

		if (cases[i].user == NULL ? got != MAILBOX_NONE
					  : got != MAILBOX_DONE || !slice_eq(buf_slice(&out), slice_of(cases[i].user)))
			fail_msg("%s: %d %s", cases[i].address, (int)got, buf_text(&out));
		buf_free(&out);
	}
	print_message("ROW E01 system-user pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_nul_and_length),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
