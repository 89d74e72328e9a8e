#include "sasl/sasl.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>

#define ROW(text) print_message("ROW " text "\n")
#define BYTES_OF(literal) slice_make(literal, sizeof(literal) - 1)

static void test_names(void **state)
{
	(void)state;
	for (unsigned m = 0; m < MECHANISM_COUNT; m++)
		assert_int_equal(mechanism_find(slice_of(mechanism_name((enum mechanism)m))), m);
	assert_int_equal(mechanism_find(slice_of("scram-sha-256")), MECHANISM_SCRAM_SHA_256);
	assert_int_equal(mechanism_find(slice_of("SCRAM-SHA-25")), MECHANISM_COUNT);
	assert_int_equal(mechanism_find(slice_of("NTLM")), MECHANISM_COUNT);
	assert_int_equal(mechanism_find(slice_of("GSSAPI")), MECHANISM_COUNT);
	assert_int_equal(mechanism_find(slice_empty()), MECHANISM_COUNT);
	assert_string_equal(mechanism_name(MECHANISM_COUNT), "?");
	ROW("E12 mechanism-names pass");
}

static void test_plain(void **state)
{
	static const struct {
		const char *at;
		size_t len;
		enum sasl_want want;
	} rows[] = {
#define SAYS(literal) literal, sizeof(literal) - 1
		{SAYS("\0alice\0secret"), SASL_PASSWORD},
		{SAYS("alice\0alice\0secret"), SASL_PASSWORD},
		{SAYS("\0alice\0\xc3\xa4"), SASL_PASSWORD},
		{SAYS("bob\0alice\0secret"), SASL_REFUSED},
		{SAYS(""), SASL_MALFORMED},
		{SAYS("alice"), SASL_MALFORMED},
		{SAYS("\0alice"), SASL_MALFORMED},
		{SAYS("\0alice\0"), SASL_MALFORMED},
		{SAYS("\0\0secret"), SASL_MALFORMED},
		{SAYS("\0alice\0se\0cret"), SASL_MALFORMED},
		{SAYS("\0alice\0secret\0"), SASL_MALFORMED},
		{SAYS("\0al\nice\0secret"), SASL_MALFORMED},
		{SAYS("\0al\xc3\0secret"), SASL_MALFORMED},
		{SAYS("\0al\xed\xa0\x80\0secret"), SASL_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl d;

		if (sasl_begin(&d, MECHANISM_PLAIN, true, slice_make(rows[i].at, rows[i].len)) != rows[i].want)
			fail_msg("row %zu", i);
		assert_int_equal(d.why != NULL, rows[i].want == SASL_MALFORMED);
		sasl_clear(&d);
	}
}

static void test_plain_in_two(void **state)
{
	struct sasl d;

	(void)state;
	assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, false, slice_of("never looked at")), SASL_RESPONSE);
	assert_int_equal(d.challenge.len, 0);
	assert_int_equal(sasl_respond(&d, BYTES_OF("\0alice\0secret")), SASL_PASSWORD);
	assert_string_equal(d.login, "alice");
	assert_true(slice_eq(buf_slice(&d.password), slice_of("secret")));
	sasl_clear(&d);
	assert_int_equal(d.password.len, 0);
}

/* CVE-2023-42115 and its kind: many fields, and fields of every length up to beyond the bounds. */
static void test_fields(void **state)
{
	static char nuls[301], long_one[2 * SASL_PASSWORD_MAX + SASL_LOGIN_MAX];
	struct sasl d;

	(void)state;
	for (size_t n = 0; n <= 300; n++) {
		assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, true, slice_make(nuls, n)), SASL_MALFORMED);
		sasl_clear(&d);
	}
	for (size_t login = 1; login < SASL_LOGIN_MAX + 10; login++) {
		memset(long_one, 'a', sizeof(long_one));
		long_one[0] = long_one[1 + login] = '\0';
		assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, true, slice_make(long_one, login + 3)),
				 login <= SASL_LOGIN_MAX ? SASL_PASSWORD : SASL_MALFORMED);
		sasl_clear(&d);
	}
	for (size_t secret = 1; secret < SASL_PASSWORD_MAX + 10; secret++) {
		memset(long_one, 'a', sizeof(long_one));
		long_one[0] = long_one[2] = '\0';
		assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, true, slice_make(long_one, secret + 3)),
				 secret <= SASL_PASSWORD_MAX ? SASL_PASSWORD : SASL_MALFORMED);
		sasl_clear(&d);
	}
	ROW("E13 plain-fields pass");
}

static void test_login(void **state)
{
	struct sasl d;

	(void)state;
	assert_int_equal(sasl_begin(&d, MECHANISM_LOGIN, false, slice_empty()), SASL_RESPONSE);
	assert_true(slice_eq(buf_slice(&d.challenge), slice_of("Username:")));
	assert_int_equal(sasl_respond(&d, slice_of("alice")), SASL_RESPONSE);
	assert_true(slice_eq(buf_slice(&d.challenge), slice_of("Password:")));
	assert_int_equal(sasl_respond(&d, slice_of("secret")), SASL_PASSWORD);
	assert_string_equal(d.login, "alice");
	sasl_clear(&d);
	assert_int_equal(sasl_begin(&d, MECHANISM_LOGIN, true, slice_of("alice")), SASL_RESPONSE);
	assert_int_equal(sasl_respond(&d, slice_empty()), SASL_MALFORMED);
	sasl_clear(&d);
	assert_int_equal(sasl_begin(&d, MECHANISM_LOGIN, true, slice_empty()), SASL_MALFORMED);
	sasl_clear(&d);
}

static void test_who_is_not_spoken_here(void **state)
{
	(void)state;
	assert_true(sasl_speaks(MECHANISM_PLAIN));
	assert_false(sasl_speaks(MECHANISM_XOAUTH2));
	assert_false(sasl_speaks(MECHANISM_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),  cmocka_unit_test(test_plain), cmocka_unit_test(test_plain_in_two),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_login), cmocka_unit_test(test_who_is_not_spoken_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
