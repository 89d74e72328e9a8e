#include "users/users_file.h"

#include "users/users.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT "# ours\nalice@a.test:H1\n\n  bob@a.test : H2  \n# end"

static const struct {
	const char *name, *text;
	enum users_file_change change;
	const char *address;
	enum outcome outcome;
	const char *after;
} rows[] = {
	{"added at the end", TEXT, USERS_FILE_ADD, "c@a.test", OC_DONE, TEXT "\nc@a.test:NEW\n"},
	{"to an empty file", "", USERS_FILE_ADD, "c@a.test", OC_DONE, "c@a.test:NEW\n"},
	{"there already", TEXT, USERS_FILE_ADD, "BOB@A.test", OC_NOT_ALLOWED, NULL},
	{"set in its place", TEXT, USERS_FILE_SET, "Alice@a.test", OC_DONE,
	 "# ours\nalice@a.test:NEW\n\n  bob@a.test : H2  \n# end\n"},
	{"set, not there", TEXT, USERS_FILE_SET, "ice@a.test", OC_NOT_FOUND, NULL},
	{"removed", TEXT, USERS_FILE_REMOVE, "bob@a.test", OC_DONE, "# ours\nalice@a.test:H1\n\n# end\n"},
	{"a comment is nobody", TEXT, USERS_FILE_REMOVE, "# ours", OC_NOT_FOUND, NULL},
	{"twice", "a@a.test:1\nA@a.test:2\n", USERS_FILE_SET, "a@a.test", OC_BAD_INPUT, NULL},
	{"no colon", "a@a.test:1\nwhat\n", USERS_FILE_ADD, "c@a.test", OC_BAD_INPUT, NULL},
	{"no login", ":1\n", USERS_FILE_ADD, "c@a.test", OC_BAD_INPUT, NULL},
	{"no text", "a@a.test:1\x01\n", USERS_FILE_ADD, "c@a.test", OC_BAD_INPUT, NULL},
};

static void test_edits(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = buf_make(1024), why = buf_make(512);
		enum outcome oc = users_file_edit(slice_of(rows[i].text), rows[i].change, slice_of(rows[i].address), slice_of("NEW"), &out, &why);

		if (oc != rows[i].outcome || (oc == OC_DONE && strcmp(buf_text(&out), rows[i].after) != 0))
			fail_msg("%s: %d %s", rows[i].name, oc, buf_text(&out));
		assert_int_equal(why.len > 0, oc != OC_DONE);
		buf_free(&out);
		buf_free(&why);
	}
}

static void test_room(void **state)
{
	struct buf out = buf_make(16), why = buf_make(512);

	(void)state;
	assert_int_equal(users_file_edit(slice_of("alice@a.test:1\n"), USERS_FILE_ADD, slice_of("c@a.test"), slice_of("NEW"), &out, &why),
			 OC_SPOOL_FULL);
	buf_free(&out);
	buf_free(&why);
}

static char folder[] = "/tmp/test-users-file-XXXXXX", path[64];

static bool count(struct slice address, void *arg)
{
	(void)address;
	++*(int *)arg;
	return true;
}

static void test_life(void **state)
{
	struct slice alice = slice_of("alice@a.test"), secret = slice_of("wonder");
	struct buf why = buf_make(512);
	struct stat st;
	int n = 0, fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/users", folder);
	assert_int_equal(users_file_set_password(path, getgid(), alice, secret, &why), OC_IO_ERROR);
	assert_int_equal(users_file_add(path, getgid(), alice, secret, &why), OC_DONE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(users_file_add(path, getgid(), slice_of("b@a.test"), secret, &why), OC_DONE);
	assert_int_equal(users_file_add(path, getgid(), alice, secret, &why), OC_NOT_ALLOWED);
	assert_int_equal(users_file_add(path, getgid(), slice_of("x:y@a.test"), secret, &why), OC_BAD_INPUT);
	assert_int_equal(users_file_add(path, getgid(), slice_of("#y@a.test"), secret, &why), OC_BAD_INPUT);
	assert_int_equal(users_file_set_password(path, getgid(), alice, slice_of("other"), &why), OC_DONE);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(users_file_list(path, count, &n, &why), OC_DONE);
	assert_int_equal(n, 2);
	/* Another command has it. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(users_file_remove(path, alice, &why), OC_BUSY);
	close(fd);
	assert_int_equal(users_file_remove(path, alice, &why), OC_DONE);
	assert_int_equal(users_file_remove(path, alice, &why), OC_NOT_FOUND);
	snprintf(path, sizeof(path), "%s/link", folder);
	assert_int_equal(symlink("users", path), 0);
	assert_int_equal(users_file_remove(path, slice_of("b@a.test"), &why), OC_IO_ERROR);
	buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
