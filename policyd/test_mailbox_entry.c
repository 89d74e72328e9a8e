#include "limit.h"
#include "mailbox_user.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static struct {
	enum answer answer;
	const char *value;
	char address[64], base[64];
} table;

static enum answer find_alias(void *arg, const struct conf_table *t, struct slice address, struct slice base, struct buf *value_out)
{
	(void)arg;
	(void)t;
	assert_true(slice_copy(address, table.address, sizeof(table.address)) && slice_copy(base, table.base, sizeof(table.base)));
	if (table.answer == ANSWER_YES)
		buf_add_text(value_out, table.value);
	return table.answer;
}

#define BLANKS_100 "                                                                                                    "
#define LONG_VALUE "box-a" BLANKS_100 BLANKS_100 "box-b"

static const struct {
	const char *name;
	enum answer answer;
	const char *value, *fixed;
	enum answer want;
	const char *user, *why;
} cases[] = {
	{"an entry", ANSWER_YES, "box-a", NULL, ANSWER_YES, "box-a", NULL},
	{"before the transport's own", ANSWER_YES, " box-a ", "all", ANSWER_YES, "box-a", NULL},
	{"no entry, and one for all", ANSWER_NO, NULL, "all", ANSWER_YES, "all", NULL},
	{"no entry", ANSWER_NO, NULL, NULL, ANSWER_NO, NULL, "no entry"},
	{"unknown", ANSWER_UNKNOWN, NULL, "all", ANSWER_UNKNOWN, NULL, "cannot be asked"},
	{"pending", ANSWER_PENDING, NULL, "all", ANSWER_PENDING, NULL, NULL},
	{"empty", ANSWER_YES, "", "all", ANSWER_UNKNOWN, NULL, "no name"},
	{"two names", ANSWER_YES, "a b", "all", ANSWER_UNKNOWN, NULL, "no name"},
	{"an address", ANSWER_YES, "a@b.test", "all", ANSWER_UNKNOWN, NULL, "no name"},
	{"a path", ANSWER_YES, "../a", "all", ANSWER_UNKNOWN, NULL, "no name"},
	{"a number", ANSWER_YES, "-1", "all", ANSWER_UNKNOWN, NULL, "no name"},
	{"longer than any", ANSWER_YES, LONG_VALUE, "all", ANSWER_UNKNOWN, NULL, "no name"},
	{"too long", ANSWER_YES, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "all", ANSWER_UNKNOWN, NULL, "no name"},
};

static void test_names(void **state)
{
	const struct lookups lookups = {.alias = find_alias};
	const struct conf_table by = {.name = "owners"};
	struct conf conf = {.set.sub_address = "+"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct conf_transport t = {.user = cases[i].fixed, .user_by = "owners", .user_table = &by};
		char why[MAILBOX_USER_WHY_MAX];
		struct mailbox_user user;
		enum answer got;

		table.answer = cases[i].answer;
		table.value = cases[i].value;
		got = mailbox_user_find(&conf, &t, slice_of("alice+tag@a.test"), &lookups, &user, why);
		if (got != cases[i].want)
			fail_msg("%s: %d", cases[i].name, (int)got);
		if (got == ANSWER_YES)
			assert_string_equal(user.name, cases[i].user);
		if (got == ANSWER_YES)
			assert_int_equal(user.by_table, cases[i].answer == ANSWER_YES);
		if (cases[i].why != NULL)
			assert_non_null(strstr(why, cases[i].why));
	}
	assert_string_equal(table.address, "alice+tag@a.test");
	assert_string_equal(table.base, "alice@a.test");
}

static const struct {
	const char *name;
	enum answer answer;
	const char *value;
	enum answer want;
	uint64_t bytes;
} limits[] = {
	{"an entry", ANSWER_YES, " 500M ", ANSWER_YES, 500ull << 20},
	{"empty: the transport's own", ANSWER_YES, "", ANSWER_YES, 7},
	{"no entry: the transport's own", ANSWER_NO, NULL, ANSWER_YES, 7},
	{"no limit", ANSWER_YES, "much", ANSWER_UNKNOWN, 0},
	{"too long, which is not empty", ANSWER_YES, LONG_VALUE, ANSWER_UNKNOWN, 0},
	{"unknown", ANSWER_UNKNOWN, NULL, ANSWER_UNKNOWN, 0},
	{"pending", ANSWER_PENDING, NULL, ANSWER_PENDING, 0},
};

static void test_limits(void **state)
{
	const struct lookups lookups = {.alias = find_alias};
	const struct conf_table by = {.name = "limits"};
	const struct conf_transport t = {.quota = {.bytes = 7}, .quota_table = &by};
	struct conf conf = {.set.sub_address = "+"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		char why[LIMIT_WHY_MAX];
		struct quota_limit limit;
		enum answer got;

		table.answer = limits[i].answer;
		table.value = limits[i].value;
		got = limit_find(&conf, &t, slice_of("alice@a.test"), &lookups, &limit, why);
		if (got != limits[i].want || (got == ANSWER_YES && limit.bytes != limits[i].bytes))
			fail_msg("%s: %d", limits[i].name, (int)got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_limits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
