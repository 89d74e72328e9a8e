#include "client_auth.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const struct {
	const char *names;
	unsigned offered;
	enum auth_mechanism in_tls, in_clear;
} offers[] = {
	{"", 0, AUTH_MECHANISM_COUNT, AUTH_MECHANISM_COUNT},
	{"GSSAPI XPLAIN PLAINX", 0, AUTH_MECHANISM_COUNT, AUTH_MECHANISM_COUNT},
	{"plain", 1, AUTH_PLAIN, AUTH_PLAIN},
	{"LOGIN  PLAIN", 3, AUTH_PLAIN, AUTH_PLAIN},
	{"LOGIN cram-md5", 6, AUTH_LOGIN, AUTH_CRAM_MD5},
	{"CRAM-MD5", 4, AUTH_CRAM_MD5, AUTH_CRAM_MD5},
};

static void test_offers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(offers); i++) {
		assert_int_equal(auth_mechanisms(slice_of(offers[i].names)), offers[i].offered);
		assert_int_equal(auth_pick(offers[i].offered, true), offers[i].in_tls);
		assert_int_equal(auth_pick(offers[i].offered, false), offers[i].in_clear);
	}
}

static const struct {
	enum auth_mechanism mechanism;
	const char *user, *secret, *first;
	struct {
		const char *challenge, *response; /* NULL: refused */
	} steps[3];
	size_t step_count;
} dialogues[] = {
	{AUTH_PLAIN, "tim", "tanstaaftanstaaf", "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n", {{"", NULL}}, 1},
	{AUTH_LOGIN,
	 "user",
	 "secret",
	 "AUTH LOGIN\r\n",
	 {{"VXNlcm5hbWU6", "dXNlcg==\r\n"}, {"not base64", "c2VjcmV0\r\n"}, {"", NULL}},
	 3},
	/* RFC 2195 §2 */
	{AUTH_CRAM_MD5,
	 "tim",
	 "tanstaaftanstaaf",
	 "AUTH CRAM-MD5\r\n",
	 {{"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+",
	   "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n"},
	  {"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+", NULL}},
	 2},
	{AUTH_CRAM_MD5, "tim", "x", "AUTH CRAM-MD5\r\n", {{"", NULL}}, 1},
	{AUTH_CRAM_MD5, "tim", "x", "AUTH CRAM-MD5\r\n", {{"%%%", NULL}}, 1},
};

static void test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogues); i++) {
		struct auth_dialogue d;
		struct buf out = buf_make_secret(8192);

		assert_true(auth_begin(&d, dialogues[i].mechanism, slice_of(dialogues[i].user),
				       slice_of(dialogues[i].secret), &out));
		assert_string_equal(buf_text(&out), dialogues[i].first);
		for (size_t step = 0; step < dialogues[i].step_count; step++) {
			bool expected = dialogues[i].steps[step].response != NULL;

			buf_clear(&out);
			assert_int_equal(auth_respond(&d, slice_of(dialogues[i].steps[step].challenge), &out),
					 expected);
			if (expected)
				assert_string_equal(buf_text(&out), dialogues[i].steps[step].response);
		}
		auth_end(&d);
		assert_null(d.secret.at);
		buf_free(&out);
	}
}

static void test_a_long_secret_waits_for_the_server(void **state)
{
	char secret[600];
	struct auth_dialogue d;
	struct buf out = buf_make_secret(8192);

	(void)state;
	memset(secret, 's', sizeof(secret));
	assert_true(auth_begin(&d, AUTH_PLAIN, slice_of("user"), slice_make(secret, sizeof(secret)), &out));
	assert_string_equal(buf_text(&out), "AUTH PLAIN\r\n");
	assert_true(auth_respond(&d, slice_empty(), &out));
	auth_end(&d);
	buf_free(&out);
}

static void test_what_sasl_cannot_carry(void **state)
{
	static const struct slice nul = {"a\0b", 3};
	struct auth_dialogue d;
	struct buf out = buf_make_secret(8192);

	(void)state;
	assert_false(auth_begin(&d, AUTH_PLAIN, nul, slice_of("x"), &out));
	auth_end(&d);
	assert_false(auth_begin(&d, AUTH_PLAIN, slice_of("x"), nul, &out));
	auth_end(&d);
	assert_false(auth_begin(&d, AUTH_PLAIN, slice_of("x"), slice_empty(), &out));
	auth_end(&d);
	assert_false(auth_begin(&d, AUTH_MECHANISM_COUNT, slice_of("x"), slice_of("x"), &out));
	auth_end(&d);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers),
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_a_long_secret_waits_for_the_server),
		cmocka_unit_test(test_what_sasl_cannot_carry),
	};

	auth_prepare();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
