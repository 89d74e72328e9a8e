#include "domains.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/test-domains-XXXXXX";
static char path[128];

static int start(void **state)
{
	(void)state;
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static struct conf_table table_of(enum conf_table_kind kind, const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (kind == TABLE_DIRECTORY && mkdir(path, 0750) == -1)
		fail_msg("%s", path);
	return (struct conf_table){.kind = kind, .name = "t", .path = path};
}

static bool list_one(const struct domains_entry *e, void *arg)
{
	char *text = arg;
	size_t len = strlen(text);

	assert_true(e->created_s > 0);
	snprintf(text + len, 256 - len, "%.*s%s ", SLICE_ARG(e->name), e->removed_s == 0 ? "" : "-");
	return true;
}

static void expect_list(struct domains *d, const char *expect)
{
	struct buf why = buf_make(512);
	char text[256] = "";

	assert_int_equal(domains_list(d, list_one, text, &why), OC_DONE);
	assert_string_equal(text, expect);
	buf_free(&why);
}

typedef enum outcome change_fn(struct domains *d, struct slice domain, struct buf *why);

static void expect(struct domains *d, change_fn *fn, const char *domain, enum outcome oc)
{
	struct buf why = buf_make(512);

	assert_int_equal(fn(d, slice_of(domain), &why), oc);
	assert_int_equal(why.len > 0, oc != OC_DONE);
	buf_free(&why);
}

static bool take(const struct domains_entry *e, void *arg)
{
	*(struct domains_entry *)arg = *e;
	return true;
}

static void life(const struct conf_table *t)
{
	struct buf why = buf_make(512);
	struct domains *d = domains_open(t, true, &why);
	struct domains_entry e;

	assert_non_null(d);
	expect_list(d, "");
	expect(d, domains_remove, "one.test", OC_NOT_FOUND);
	expect(d, domains_restore, "one.test", OC_NOT_FOUND);
	expect(d, domains_add, "two.test", OC_DONE);
	expect(d, domains_add, "one.test", OC_DONE);
	expect(d, domains_add, "one.test", OC_NOT_ALLOWED);
	expect_list(d, "one.test two.test ");
	expect(d, domains_restore, "one.test", OC_NOT_ALLOWED);
	expect(d, domains_remove, "one.test", OC_DONE);
	expect(d, domains_remove, "one.test", OC_NOT_ALLOWED);
	expect(d, domains_add, "one.test", OC_NOT_ALLOWED);
	expect_list(d, "one.test- two.test ");
	expect(d, domains_restore, "one.test", OC_DONE);
	expect_list(d, "one.test two.test ");
	assert_int_equal(domains_find(d, slice_of("one.test"), take, &e, &why), OC_DONE);
	assert_int_equal(e.removed_s, 0);
	assert_int_equal(domains_find(d, slice_of("no.test"), take, &e, &why), OC_NOT_FOUND);
	domains_close(&d);
	buf_free(&why);
}

static void test_database(void **state)
{
	struct conf_table t = table_of(TABLE_SQLITE, "domains.db");
	struct buf why = buf_make(512);
	struct stat st;

	(void)state;
	assert_null(domains_open(&t, false, &why));
	assert_true(why.len > 0);
	life(&t);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	buf_free(&why);
}

static void put(const char *name, const char *text)
{
	char at[300];
	FILE *f;

	snprintf(at, sizeof(at), "%s/%s", path, name);
	f = fopen(at, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void test_folder(void **state)
{
	struct conf_table t = table_of(TABLE_DIRECTORY, "a");
	struct buf why = buf_make(512);
	struct domains_entry e;
	struct domains *d;
	struct stat st;
	char at[200];

	(void)state;
	umask(0077);
	life(&t);
	snprintf(at, sizeof(at), "%s/one.test", path);
	assert_int_equal(stat(at, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	/* What stands in a file survives. */
	put("two.test", "# two\ninfo: a@b.test\n\nsales: a@b.test,\n  c@b.test\n*: d@b.test");
	d = domains_open(&t, true, &why);
	expect(d, domains_remove, "two.test", OC_DONE);
	expect(d, domains_restore, "two.test", OC_DONE);
	assert_int_equal(domains_find(d, slice_of("two.test"), take, &e, &why), OC_DONE);
	assert_int_equal(e.aliases, 3);
	/* Files in the way, and what is none of ours. */
	put(".removed-two.test", "older");
	expect(d, domains_remove, "two.test", OC_NOT_ALLOWED);
	put("UPPER.test", "");
	put(".hidden.test", "");
	put("x.test~", "");
	put(".adding-new.test", "half of one");
	snprintf(at, sizeof(at), "%s/link.test", path);
	assert_int_equal(symlink("one.test", at), 0);
	expect(d, domains_add, "link.test", OC_NOT_ALLOWED);
	expect(d, domains_remove, "link.test", OC_NOT_ALLOWED);
	expect(d, domains_add, "new.test", OC_DONE);
	snprintf(at, sizeof(at), "%s/.adding-new.test", path);
	assert_int_equal(access(at, F_OK), -1);
	expect_list(d, "new.test one.test two.test two.test- ");
	domains_close(&d);
	buf_free(&why);
}

static void test_names_for_files(void **state)
{
	struct conf_table t = table_of(TABLE_DIRECTORY, "b");
	struct buf why = buf_make(512);
	struct domains *d = domains_open(&t, true, &why);
	char label[251];

	(void)state;
	memset(label, 'a', sizeof(label) - 1);
	label[sizeof(label) - 1] = '\0';
	expect(d, domains_add, label, OC_BAD_INPUT);
	expect_list(d, "");
	domains_close(&d);
	t.path = "/nonexistent/folder/.";
	assert_null(domains_open(&t, true, &why));
	assert_true(why.len > 0);
	buf_free(&why);
}

/* Many at once add, remove and restore one domain: it is there once, whole, in the end. */
static void race(const struct conf_table *t)
{
	struct buf why = buf_make(4096);
	struct domains *d;
	enum outcome oc;

	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			for (int k = 0; k < 10; k++) {
				d = domains_open(t, true, &why);
				oc = d == NULL ? OC_IO_ERROR : domains_add(d, slice_of("r.test"), &why);
				if (oc != OC_IO_ERROR)
					oc = domains_remove(d, slice_of("r.test"), &why);
				if (oc != OC_IO_ERROR)
					oc = domains_restore(d, slice_of("r.test"), &why);
				domains_close(&d);
				if (oc == OC_IO_ERROR)
					_exit(1);
			}
			_exit(0);
		}
	for (int i = 0, status; i < 4; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	d = domains_open(t, true, &why);
	oc = domains_restore(d, slice_of("r.test"), &why);
	assert_true(oc == OC_DONE || oc == OC_NOT_ALLOWED);
	expect_list(d, "r.test ");
	domains_close(&d);
	buf_free(&why);
}

static void test_many_at_once(void **state)
{
	struct conf_table t = table_of(TABLE_DIRECTORY, "c");

	(void)state;
	race(&t);
	t = table_of(TABLE_SQLITE, "c.db");
	race(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_database),
		cmocka_unit_test(test_folder),
		cmocka_unit_test(test_names_for_files),
		cmocka_unit_test(test_many_at_once),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
