#include "authd_secrets.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static void test_credentials(void **state)
{
	static const char text[] = "# smarthosts\n\nisp: me@isp.example pass word \r\n backup:\tu:v  p#x:y\nlast-one: a b";
	static const struct {
		const char *name, *user, *password;
	} rows[] = {{"isp", "me@isp.example", "pass word"}, {"backup", "u:v", "p#x:y"}, {"last-one", "a", "b"}};
	struct buf why = buf_make(256);
	struct credential c;

	(void)state;
	assert_true(credentials_check(slice_of(text), &why));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(credential_find(slice_of(text), slice_of(rows[i].name), &c));
		assert_true(slice_eq(c.user, slice_of(rows[i].user)));
		assert_true(slice_eq(c.password, slice_of(rows[i].password)));
	}
	assert_false(credential_find(slice_of(text), slice_of("ISP"), &c));
	assert_false(credential_find(slice_of(text), slice_of(""), &c));
	buf_free(&why);
}

static void test_credential_mistakes(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"isp", "1: expected NAME: user password"},
		{"\nisp:", "2: there is no user behind the name"},
		{"isp: user", "1: there is no password behind the user"},
		{"is p: user pw", "1: a name has 1 to 64 letters, digits, '-', '_' and '.'"},
		{": user pw", "1: a name has 1 to 64 letters, digits, '-', '_' and '.'"},
		{"isp: a b\nx: c d\nisp: e f", "1: the name isp stands in it twice"},
		{"isp: a \x01", "1: a control character (is this a text file?)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf why = buf_make(256);

		assert_false(credentials_check(slice_of(rows[i].text), &why));
		assert_string_equal(buf_text(&why), rows[i].why);
		buf_free(&why);
	}
}

/* What is wrong is told without the secret. */
static void test_mistakes_quote_nothing(void **state)
{
	static const char *const texts[] = {"canary-secret", "isp: canary-secret", "i p: user canary-secret",
					    "isp: user canary-secret\x02"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct buf why = buf_make(256);

		assert_false(credentials_check(slice_of(texts[i]), &why));
		assert_int_equal(slice_find(buf_slice(&why), slice_of("canary")), SLICE_NONE);
		buf_free(&why);
	}
	print_message("ROW E10 credentials-file pass\n");
}

static void test_flat_users(void **state)
{
	static const char text[] = "# users\nAlice@example.test:$5$a$b\nbob: !\n:nobody\nnocolon\ncarol:$y$x:y\n%u:x\ncut\x01:x\n";
	static const struct {
		const char *login, *hash; /* NULL: not found */
	} rows[] = {
		{"alice@example.test", "$5$a$b"}, {"ALICE@EXAMPLE.TEST", "$5$a$b"}, {"bob", "!"}, {"carol", "$y$x:y"}, {"nocolon", NULL},
		{"", NULL}, {"dave", NULL}, {"%u", "x"}, {"alice", NULL}, {"# users", NULL}, {"cut\x01", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice hash = slice_empty();
		enum outcome oc = flat_find(slice_of(text), slice_of(rows[i].login), &hash);

		if (oc != (rows[i].hash == NULL ? OC_NOT_FOUND : OC_DONE) ||
		    (oc == OC_DONE && !slice_eq(hash, slice_of(rows[i].hash))))
			fail_msg("%s: %.*s", rows[i].login, SLICE_ARG(hash));
	}
	print_message("ROW S17 flat-file pass\n");
}

static void test_certificates(void **state)
{
	static const char text[] = "# certificates\n00ff: Carol\nALICE@example.test : alice@example.test\npc.example.test:bob\nempty:\nodd: a\x01\nbad: \xff\n";
	static const struct {
		const char *known_by, *login;
		enum outcome outcome;
	} rows[] = {
		{"00ff", "Carol", OC_DONE},
		{"00ff alice@example.test", "Carol", OC_DONE}, /* the fingerprint comes first */
		{"00fe alice@example.test", "alice@example.test", OC_DONE},
		{"00fe pc.example.test alice@example.test", "bob", OC_DONE}, /* then the names, as they stand in the certificate */
		{"00fe other pc.example.test", "bob", OC_DONE},
		{"", "", OC_NOT_FOUND},
		{" ", "", OC_NOT_FOUND},
		{"00f", "", OC_NOT_FOUND},
		{"*.example.test example.test", "", OC_NOT_FOUND},
		{"odd", "", OC_NOT_FOUND},
		{"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 00ff", "Carol", OC_DONE},
		{"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 00ff", "", OC_NOT_FOUND},
		{"empty 00ff", "", OC_BAD_INPUT},
		{"bad", "", OC_BAD_INPUT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice login = slice_empty();
		enum outcome oc = certificates_find(slice_of(text), slice_of(rows[i].known_by), &login);

		if (oc != rows[i].outcome || (oc == OC_DONE && !slice_eq(login, slice_of(rows[i].login))))
			fail_msg("%s: %.*s", rows[i].known_by, SLICE_ARG(login));
	}
}

static void test_every_cut_and_change(void **state)
{
	static const char sample[] = "isp: me pw\n# c\nx:\ty z\r\n";
	char text[sizeof(sample)];

	(void)state;
	for (size_t at = 0; at < sizeof(sample) - 1; at++)
		for (int byte = 0; byte < 256; byte++) {
			struct buf why = buf_make(256);
			struct slice hash, all;
			bool good;

			memcpy(text, sample, sizeof(sample));
			text[at] = (char)byte;
			all = slice_make(text, at % 2 == 0 ? sizeof(sample) - 1 : at + 1);
			good = credentials_check(all, &why);
			assert_int_equal(good, why.len == 0);
			(void)flat_find(all, slice_of("isp"), &hash);
			(void)certificates_find(all, slice_of("nobody x isp"), &hash);
			buf_free(&why);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_credentials), cmocka_unit_test(test_credential_mistakes),
		cmocka_unit_test(test_mistakes_quote_nothing), cmocka_unit_test(test_flat_users), cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_every_cut_and_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
