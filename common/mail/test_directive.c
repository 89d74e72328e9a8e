#include "mail/directive.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ARG(text) {text, sizeof(text) - 1}

static const struct {
	const char *name;
	uint64_t kind;
	struct slice argument;
	bool ok;
	const char *text, *extra;
} cases[] = {
	{"none", DIRECTIVE_NONE, ARG(""), true, "", ""},
	{"none with an argument", DIRECTIVE_NONE, ARG("x"), false, "", ""},
	{"inbox", DIRECTIVE_INBOX, ARG(""), true, "", ""},
	{"inbox with flags", DIRECTIVE_INBOX, ARG("\0\\Seen"), true, "", "\\Seen"},
	{"inbox with a name", DIRECTIVE_INBOX, ARG("x"), false, "", ""},
	{"folder", DIRECTIVE_FOLDER, ARG("Lists/a"), true, "Lists/a", ""},
	{"folder with flags", DIRECTIVE_FOLDER, ARG("Junk\0\\Seen \\Flagged"), true, "Junk", "\\Seen \\Flagged"},
	{"folder without a name", DIRECTIVE_FOLDER, ARG("\0\\Seen"), false, "", ""},
	{"folder with two NULs", DIRECTIVE_FOLDER, ARG("a\0b\0c"), false, "", ""},
	{"folder with a line end", DIRECTIVE_FOLDER, ARG("a\nb"), false, "", ""},
	{"file", DIRECTIVE_FILE, ARG("/var/mail/x"), true, "/var/mail/x", ""},
	{"file with a mode", DIRECTIVE_FILE, ARG("mail\0" "640"), true, "mail", "640"},
	{"file with no mode", DIRECTIVE_FILE, ARG("mail\0" "9"), false, "", ""},
	{"file without a path", DIRECTIVE_FILE, ARG(""), false, "", ""},
	{"pipe", DIRECTIVE_PIPE, ARG("/bin/x\0a b\0"), true, NULL, ""},
	{"pipe, its last word without an end", DIRECTIVE_PIPE, ARG("/bin/x\0a"), false, "", ""},
	{"pipe without a program", DIRECTIVE_PIPE, ARG("\0a\0"), false, "", ""},
	{"pipe of nothing", DIRECTIVE_PIPE, ARG(""), false, "", ""},
	{"list", DIRECTIVE_LIST, ARG("owner-all@x.test"), true, "owner-all@x.test", ""},
	{"list of nobody", DIRECTIVE_LIST, ARG(""), false, "", ""},
	{"list of what is no address", DIRECTIVE_LIST, ARG("owner-all"), false, "", ""},
	{"list of what would be a command's end", DIRECTIVE_LIST, ARG("o@x.test>\r\nDATA"), false, "", ""},
	{"of a newer version", DIRECTIVE_COUNT, ARG(""), false, "", ""},
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice argument = slice_make(cases[i].argument.at, cases[i].argument.len);
		struct directive d;

		if (directive_decode(cases[i].kind, argument, &d) != cases[i].ok)
			fail_msg("%s", cases[i].name);
		if (!cases[i].ok)
			continue;
		assert_true(slice_eq(d.text, cases[i].text == NULL ? argument : slice_of(cases[i].text)));
		assert_true(slice_eq(d.extra, slice_of(cases[i].extra)));
	}
}

static void test_bounds(void **state)
{
	static char big[DIRECTIVE_ARGUMENT_MAX + 1], words[2 * (DIRECTIVE_WORDS_MAX + 1)];
	struct directive d;

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_true(directive_decode(DIRECTIVE_FOLDER, slice_make(big, sizeof(big) - 1), &d));
	assert_false(directive_decode(DIRECTIVE_FOLDER, slice_make(big, sizeof(big)), &d));
	for (size_t i = 0; i < sizeof(words); i += 2)
		words[i] = 'w';
	assert_true(directive_decode(DIRECTIVE_PIPE, slice_make(words, sizeof(words) - 2), &d));
	assert_false(directive_decode(DIRECTIVE_PIPE, slice_make(words, sizeof(words)), &d));
	assert_true(directive_is_bound(DIRECTIVE_PIPE) && directive_is_bound(DIRECTIVE_FILE) && directive_is_bound(99));
	assert_false(directive_is_bound(DIRECTIVE_NONE) || directive_is_bound(DIRECTIVE_INBOX) || directive_is_bound(DIRECTIVE_FOLDER));
}

static void test_ancestors(void **state)
{
	struct slice two = slice_of("a@x.test\nB@x.test");

	(void)state;
	assert_true(ancestors_have(two, slice_of("a@x.test")));
	assert_true(ancestors_have(two, slice_of("b@X.test")));
	assert_false(ancestors_have(two, slice_of("x.test")));
	assert_false(ancestors_have(slice_empty(), slice_of("a@x.test")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_ancestors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
