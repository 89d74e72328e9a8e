#include "conf/ldap_filter.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static void test_what_a_filter_is(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"(mail=?)", true},	     {"(&(mail=?)(objectClass=mailUser))", true},   {"(|(uid=?)(mail=?))", true},
		{"(mail=*?*)", true},	     {"(!(uid=?))", true},			    {"", false},
		{"mail=?", false},	     {"(mail=x)", false},			    {"(?=mail)", false},
		{"(&?(mail=?))", false},     {"((mail=?)", false},			    {"(mail=?))", false},
		{"(mail=?)x", false},	     {"(mail=?\n)", false},			    {"(?)", false},
		{"(a=b)(?=c)", false},	     {"(((((((((((((((((mail=?)))))))))))))))))", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if ((ldap_filter_mistake(slice_of(cases[i].text)) == NULL) != cases[i].good)
			fail_msg("\"%s\"", cases[i].text);
}

static void test_values_are_escaped(void **state)
{
	static const struct {
		const char *value;
		size_t len;
		const char *filled;
	} cases[] = {
		{"alice@example.test", 18, "(mail=alice@example.test)"},
		{"*", 1, "(mail=\\2a)"},
		{"x)(uid=*", 8, "(mail=x\\29\\28uid\\3d\\2a)"},
		{"a\\2a", 4, "(mail=a\\5c2a)"},
		{"a\0b", 3, "(mail=a\\00b)"},
		{"\xc3\xa4?", 3, "(mail=\\c3\\a4\\3f)"},
		{"", 0, "(mail=)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(256);

		assert_true(ldap_filter_fill(slice_of("(mail=?)"), slice_make(cases[i].value, cases[i].len), &out));
		assert_string_equal(buf_text(&out), cases[i].filled);
		buf_free(&out);
	}
	print_message("ROW M01 ldap-filter pass\n");
}

static void test_a_full_buffer(void **state)
{
	struct buf out = buf_make(8);

	(void)state;
	assert_false(ldap_filter_fill(slice_of("(mail=?)"), slice_of("alice"), &out));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_filter_is),
		cmocka_unit_test(test_values_are_escaped),
		cmocka_unit_test(test_a_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
