#include "folder.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct {
	const char *name, *want; /* NULL: none */
} names[] = {
	{"Junk", ".Junk"},
	{"Lists/a", ".Lists.a"},
	{"Lists.a.b", ".Lists.a.b"},
	{"INBOX", ""},
	{"inbox/Junk", ".Junk"},
	{"INBOXES", ".INBOXES"},
	{"a&b", ".a&-b"},
	{"\xc3\xbc", ".&APw-"},
	{"x\xc3\xbcy", ".x&APw-y"},
	{"\xe5\x8f\xb0\xe5\x8c\x97", ".&U,BTFw-"}, /* RFC 3501 §5.1.3 */
	{"\xf0\x9f\x98\x80", ".&2D3eAA-"},
	{"a b", ".a b"},
	{"~", ".~"},
	{"", NULL},
	{"/", NULL},
	{"/a", NULL},
	{"a/", NULL},
	{"a//b", NULL},
	{"..", NULL},
	{"../x", NULL},
	{"a/../b", NULL},
	{"a\x01", NULL},
	{"\xff", NULL},
	{"\xc0\xaf", NULL}, /* `/`, in more octets than it needs */
	{"\xed\xa0\x80", NULL},
};

static void test_names(void **state)
{
	bool all = true;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char got[FOLDER_BYTES];
		bool ok = folder_path(slice_of(names[i].name), got);

		if (ok != (names[i].want != NULL) || (ok && strcmp(got, names[i].want) != 0))
			fail_msg("%s: %s", names[i].name, ok ? got : "none");
		all = all && (!ok || strchr(got, '/') == NULL);
	}
	printf("ROW F19 folder-names %s\n", all ? "pass" : "fail");
}

static void test_long_names(void **state)
{
	char name[400], got[FOLDER_BYTES];

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_true(folder_path(slice_make(name, 254), got));
	assert_false(folder_path(slice_make(name, 255), got));
	assert_false(folder_path(slice_make(name, sizeof(name)), got));
}

static void test_flags(void **state)
{
	static const char *const cases[][2] = {
		{"", ""}, {"\\Seen", "S"}, {"\\seen \\FLAGGED", "FS"}, {"\\Deleted \\Draft \\Answered $Forwarded", "DPRT"}, {"keyword", ""},
	};
	char got[FLAG_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		folder_flags(slice_of(cases[i][0]), got);
		assert_string_equal(got, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_long_names), cmocka_unit_test(test_flags)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
