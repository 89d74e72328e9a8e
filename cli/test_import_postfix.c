#include "import_postfix.h"

#include "base/mem.h"
#include "conf/bundle.h"
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void note(enum import_table table, size_t line, struct slice key, const char *what, void *arg)
{
	assert_true(what[0] != '\0');
	buf_addf(arg, "%c%zu %.*s;", "tspr"[table], line, SLICE_ARG(key));
}

static const char *text_of(const struct import_files *files, const char *name)
{
	for (size_t i = 0; i < files->count; i++)
		if (strcmp(files->all[i]->name, name) == 0)
			return buf_text(&files->all[i]->text);
	return "";
}

/* What comes out has no mistake. */
static void compiles(const struct import_files *files)
{
	struct buf bundle = buf_make(1 << 20), text = buf_make(1 << 20);
	struct conf_mistakes mistakes = {buf_make(1 << 20), 0};
	struct conf *conf;

	buf_addf(&text, "postmaster a@example.org\n%s%s", text_of(files, "first.conf"), text_of(files, "last.conf"));
	assert_true(bundle_add(&bundle, slice_of("x"), buf_slice(&text)));
	conf = conf_compile(buf_slice(&bundle), &mistakes);
	if (conf == NULL)
		fail_msg("%s\n%s", buf_text(&text), buf_text(&mistakes.text));
	conf_free(&conf);
	buf_free(&mistakes.text);
	buf_free(&bundle);
	buf_free(&text);
}

static struct import_files import(const char *transport, const char *senders, const char *logins, const char *relayhost, const char *left_expected)
{
	struct import_postfix from = {{slice_of(transport), slice_of(senders), slice_of(logins), slice_of(relayhost)}, "/f", false};
	struct import_files files = {NULL, 0, 0};
	struct buf left = buf_make(4096);

	assert_true(import_postfix(&from, &files, note, &left));
	if (strcmp(buf_text(&left), left_expected) != 0)
		fail_msg("left: %s", buf_text(&left));
	buf_free(&left);
	compiles(&files);
	return files;
}

static void is(const struct import_files *files, const char *name, const char *text)
{
	const char *got = text_of(files, name);

	if (strcmp(got, text) != 0)
		fail_msg("%s: %s", name, got);
}

static void test_transports(void **state)
{
	struct import_files f = import("a.test smtp:[hub.test]\n.a.test relay:[192.0.2.1]:2525\n.b.a.test smtp:[hub.test]:25\nbob@a.test lmtp:inet:127.0.0.1:24\n"
				       "c.test smtp:\nd.test lmtp:unix:/run/lmtp\ne.test error:5.1.6 gone {to} \"B\"\nf.test discard:\ng.test [2001:db8::1]:26\n"
				       "A.test smtp:[other.test]\n",
				       "", "", "", "t10 a.test;");

	(void)state;
	is(&f, "recipients-domains-5f0f8175e59f", "a.test\n");
	is(&f, "recipients-addresses-4fab49cff1b4", "bob@a.test\n");
	is(&f, "first.conf",
	   "# Of a Postfix.  Include this before `route`, and last.conf behind it.\n"
	   "table imported-recipients-addresses-4fab49cff1b4 file \"/f/recipients-addresses-4fab49cff1b4\"\n"
	   "table imported-recipients-domains-5f0f8175e59f file \"/f/recipients-domains-5f0f8175e59f\"\n"
	   "table imported-recipients-domains-89f4d7afd0f7 file \"/f/recipients-domains-89f4d7afd0f7\"\n"
	   "table imported-recipients-domains-3e83a2d778b1 file \"/f/recipients-domains-3e83a2d778b1\"\n"
	   "table imported-recipients-domains-793c7284be7f file \"/f/recipients-domains-793c7284be7f\"\n"
	   "table imported-recipients-domains-1dd1ca6192f4 file \"/f/recipients-domains-1dd1ca6192f4\"\n"
	   "table imported-recipients-domains-083ac26568fd file \"/f/recipients-domains-083ac26568fd\"\n"
	   "transport imported-hub.test-11919007acc2 { smtp \"hub.test:25\"  tls optional }\n"
	   "transport imported-192.0.2.1-14197813470d { smtp \"192.0.2.1:2525\"  tls optional }\n"
	   "transport imported-127.0.0.1-36795314f886 { lmtp \"127.0.0.1:24\"  allow-local yes }\n"
	   "transport imported-mx-9ab855d110d0 { smtp mx }\n"
	   "transport imported-run-lmtp-d08432848d72 { lmtp \"/run/lmtp\" }\n"
	   "transport imported-2001-db8-1-4ce17fc4e93b { smtp \"[2001:db8::1]:26\"  tls optional }\n"
	   "route {\n"
	   "\tdeliver imported-127.0.0.1-36795314f886  if recipient in imported-recipients-addresses-4fab49cff1b4 or recipient.base in imported-recipients-addresses-4fab49cff1b4\n"
	   "\trelay imported-hub.test-11919007acc2  if recipient.domain in imported-recipients-domains-5f0f8175e59f\n"
	   "\trelay imported-mx-9ab855d110d0  if recipient.domain in imported-recipients-domains-89f4d7afd0f7\n"
	   "\tdeliver imported-run-lmtp-d08432848d72  if recipient.domain in imported-recipients-domains-3e83a2d778b1\n"
	   "\treject 550 5.1.6 \"gone {{to} \\\"B\\\"\"  if recipient.domain in imported-recipients-domains-793c7284be7f\n"
	   "\tdiscard  if recipient.domain in imported-recipients-domains-1dd1ca6192f4\n"
	   "\trelay imported-2001-db8-1-4ce17fc4e93b  if recipient.domain in imported-recipients-domains-083ac26568fd\n"
	   "\trelay imported-hub.test-11919007acc2  if recipient.domain matches \"[.]b[.]a[.]test$\"\n"
	   "\trelay imported-192.0.2.1-14197813470d  if recipient.domain matches \"[.]a[.]test$\"\n"
	   "}\n");
	import_files_free(&f);
}

static void test_what_is_not_carried_over(void **state)
{
	struct import_files f = import("a.test smtp:hub.test\nb.test :\nc.test local:\nd.test uucp:x\n/x/ smtp:[y]\n@e.test smtp:[y.test]\nf.test smtp:[x.test], [y.test]\n"
				       "g.test lmtp:unix:private/x\nh.test smtp:[x.test]:nope\ni.test smtp:[]\nj.test\n\"a b\"@k.test smtp:[x.test]\n"
				       "l.test retry:later\n",
				       "joe [x.test]\n@m.test mx.test\n", "[z.test]:587 u:p\n[y.test] nopassword\nn@m.test u:p\n", "isp.test",
				       "p2 [y.test];t1 a.test;t2 b.test;t3 c.test;t4 d.test;t5 /x/;t6 @e.test;t7 f.test;t8 g.test;t9 h.test;t10 i.test;"
				       "t11 j.test;t12 \"a;t13 l.test;s1 joe;s2 @m.test;r1 isp.test;p1 [z.test]:587;p3 n@m.test;");

	(void)state;
	import_files_free(&f);
}

static void test_smarthosts(void **state)
{
	struct import_files f = import("", "@work.test [smtp.work.test]:587\nme@work.test [other.test]\n",
				       "[smtp.work.test]:587 work:secret: x\nisp.test me@isp.test:pass word\nboss@work.test boss:b\n", "[isp.test]:submission", "");

	(void)state;
	is(&f, "credentials",
	   "imported-smtp.work.test-587-caa361a906a0: work secret: x\n"
	   "imported-isp.test-cb2cd241f0ee: me@isp.test pass word\n"
	   "imported-boss-work.test-e0fd787dffa3: boss b\n");
	is(&f, "first.conf",
	   "# Of a Postfix.  Include this before `route`, and last.conf behind it.\n"
	   "credentials \"/f/credentials\"\n"
	   "table imported-senders-addresses-204cd4ee074d file \"/f/senders-addresses-204cd4ee074d\"\n"
	   "table imported-senders-addresses-8b039c5582af file \"/f/senders-addresses-8b039c5582af\"\n"
	   "table imported-senders-domains-9b68a5d803b2 file \"/f/senders-domains-9b68a5d803b2\"\n"
	   "transport imported-smtp.work.test-3dd0638eacb7 { smtp \"smtp.work.test:587\"  login imported-smtp.work.test-587-caa361a906a0 }\n"
	   "transport imported-other.test-d31374414083 { smtp \"other.test:25\"  tls optional }\n"
	   "transport imported-isp.test-08e60c4f4465 { smtp \"isp.test:587\"  login imported-isp.test-cb2cd241f0ee }\n"
	   "transport imported-smtp.work.test-b55bcf725e9e { smtp \"smtp.work.test:587\"  login imported-boss-work.test-e0fd787dffa3 }\n");
	is(&f, "last.conf",
	   "route {\n"
	   "\trelay imported-other.test-d31374414083  if sender in imported-senders-addresses-204cd4ee074d\n"
	   "\trelay imported-smtp.work.test-b55bcf725e9e  if sender in imported-senders-addresses-8b039c5582af\n"
	   "\trelay imported-smtp.work.test-3dd0638eacb7  if sender.domain in imported-senders-domains-9b68a5d803b2\n"
	   "\trelay imported-isp.test-08e60c4f4465\n"
	   "}\n");
	assert_true(f.all[0]->secret);
	import_files_free(&f);
	f = import("* smtp:[hub.test]\n", "@work.test [x.test]\n", "", "[isp.test]", "");
	is(&f, "last.conf", "route {\n\trelay imported-hub.test-11919007acc2\n}\n");
	import_files_free(&f);
}

static void stands_in(const char *lines, const char *other)
{
	struct slice rest = slice_of(lines), line;

	while (slice_cut(&rest, '\n', &line)) {
		char text[500];

		snprintf(text, sizeof(text), "%.*s\n", SLICE_ARG(line));
		if (strstr(other, text) == NULL)
			fail_msg("%sis not in\n%s", text, other);
	}
}

/* Who imports again while the first import is in force: what that names is as it was until the next one is read. */
static void test_a_name_never_means_another_thing(void **state)
{
	static const char logins[] = "[two.test]:587 u:p\n", more_logins[] = "[zero.test]:587 x:y\n[two.test]:587 u:p\n";
	struct import_files before = import("b.test smtp:[one.test]\nc.test smtp:[two.test]:587\nd.test smtp:[two.test]:587\n", "", logins, "", "");
	struct import_files after = import("a.test smtp:[zero.test]:587\nb.test smtp:[one.test]\nc.test smtp:[two.test]:587\nd.test smtp:[two.test]:587\n", "",
					   more_logins, "", "");
	struct import_files moved = import("b.test smtp:[one.test]\nc.test smtp:[two.test]:587\nd.test smtp:[one.test]\n", "", logins, "", "");

	(void)state;
	stands_in(text_of(&before, "first.conf"), text_of(&after, "first.conf"));
	stands_in(text_of(&before, "credentials"), text_of(&after, "credentials"));
	for (size_t i = 0; i < before.count; i++) {
		const char *name = before.all[i]->name, *text = buf_text(&before.all[i]->text);

		if (strstr(name, ".conf") != NULL || before.all[i]->secret)
			continue;
		is(&after, name, text);
		if (text_of(&moved, name)[0] != '\0')
			is(&moved, name, text);
	}
	import_files_free(&before);
	import_files_free(&after);
	import_files_free(&moved);
}

/* Nothing that is there is written over, unless that was said; secrets are for nobody else. */
static void test_writing(void **state)
{
	char folder[] = "/tmp/test-import-XXXXXX", path[64];
	struct import_files f = {NULL, 0, 0};
	struct buf why = buf_make(1000), *text;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(rmdir(folder), 0);
	umask(0077);
	text = import_files_add(&f, "domains/a.test", false);
	assert_true(text != NULL && buf_add_text(text, "x: y\n"));
	text = import_files_add(&f, "credentials", true);
	assert_true(text != NULL && buf_add_text(text, "x: y z\n"));
	assert_int_equal(import_files_write(&f, folder, false, (uid_t)-1, &why), OC_DONE);
	/* Who reads the configuration, and the tables, is not who runs this. */
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	snprintf(path, sizeof(path), "%s/domains", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	snprintf(path, sizeof(path), "%s/domains/a.test", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	snprintf(path, sizeof(path), "%s/credentials", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(import_files_write(&f, folder, false, (uid_t)-1, &why), OC_NOT_ALLOWED);
	assert_int_equal(import_files_write(&f, folder, true, (uid_t)-1, &why), OC_DONE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(import_files_write(&f, folder, false, (uid_t)-1, &why), OC_NOT_ALLOWED); /* and not by half */
	assert_int_equal(stat(path, &st), -1);
	snprintf(path, sizeof(path), "%s/domains/a.test", folder);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/domains", folder);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/tmp", path), 0); /* by somebody who waits for root */
	assert_int_equal(import_files_write(&f, folder, true, (uid_t)-1, &why), OC_IO_ERROR);
	assert_int_equal(access("/tmp/a.test", F_OK), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	import_files_free(&f);
	buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transports),
		cmocka_unit_test(test_what_is_not_carried_over),
		cmocka_unit_test(test_smarthosts),
		cmocka_unit_test(test_a_name_never_means_another_thing),
		cmocka_unit_test(test_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
