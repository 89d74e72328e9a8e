#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int run_nothing(const struct cli *cli, const struct command *command)
{
	(void)cli;
	(void)command;
	return 0;
}

static const struct command table[] = {
	{"check", NULL, "[FILE]", "", 0, 1, run_nothing, NULL, 0, ROWS_TABLE, ""},
	{"queue", "list", "", "", 0, 0, run_nothing, "queue.list", 1, ROWS_TABLE, ""},
	{"queue", "show", "ID...", "", 1, 3, run_nothing, "queue.show", 1, ROWS_LINES, ""},
	{"help", NULL, "", "", 0, 9, run_nothing, NULL, 0, ROWS_TABLE, ""},
};

#define WORDS_MAX 10

static const struct command *parse(const char *const *words, struct cli *cli, char why[300])
{
	static char *argv[WORDS_MAX + 1];
	int argc = 0;

	for (; words[argc] != NULL; argc++) {
		free(argv[argc]);
		argv[argc] = strdup(words[argc]);
	}
	return command_parse(table, sizeof(table) / sizeof(table[0]), argc, argv, cli, why, 300);
}

static void parses(void **state)
{
	static const struct {
		const char *words[WORDS_MAX];
		int command; /* in the table; -1: refused */
		const char *why; /* begins with */
		size_t arguments;
	} cases[] = {
		{{"postern", "check", NULL}, 0, "", 0},
		{{"postern", "check", "x.conf", "--print", NULL}, 0, "", 1},
		{{"postern", "--json", "queue", "list", NULL}, 1, "", 0},
		{{"postern", "queue", "--json", "show", "a", "b", NULL}, 2, "", 2},
		{{"postern", "queue", "show", "--", "-x", NULL}, 2, "", 1},
		{{"postern", "--help", NULL}, 3, "", 0},
		{{"postern", "queue", "show", "--help", NULL}, 2, "", 0},
		{{"postern", NULL}, -1, "say what to do", 0},
		{{"postern", "cheque", NULL}, -1, "no such command; `postern help` lists them: cheque", 0},
		{{"postern", "queue", NULL}, -1, "usage: postern queue list | show ...", 0},
		{{"postern", "queue", "show", NULL}, -1, "usage: postern queue show ID...", 0},
		{{"postern", "queue", "show", "1", "2", "3", "4", NULL}, -1, "usage: postern queue show ID...", 0},
		{{"postern", "check", "--loud", NULL}, -1, "unknown option: --loud", 0},
		{{"postern", "check", "--header", "X-A", "--header=X-B", NULL}, 0, "", 0},
		{{"postern", "check", "--header", NULL}, -1, "this option needs a value: --header", 0},
		{{"postern", "check", "--config", NULL}, -1, "this option needs a value: --config", 0},
		{{"postern", "check", "--configure=x", NULL}, -1, "unknown option: --configure=x", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct cli cli;
		char why[300] = "";
		const struct command *c = parse(cases[i].words, &cli, why);

		if (c != (cases[i].command < 0 ? NULL : &table[cases[i].command]))
			fail_msg("case %zu: %s", i, why);
		if (!slice_starts(slice_of(why), slice_of(cases[i].why)))
			fail_msg("case %zu: %s", i, why);
		if (c != NULL)
			assert_int_equal(cli.count, cases[i].arguments);
	}
}

static void options(void **state)
{
	static const char *const words[] = {"postern", "-c", "a.conf", "--runtime=/x", "check", "--print", "--generate",
					    "--password-stdin", NULL};
	static struct cli cli;
	char why[300];

	(void)state;
	assert_ptr_equal(parse(words, &cli, why), &table[0]);
	assert_string_equal(cli.where.config, "a.conf");
	assert_string_equal(cli.where.runtime, "/x");
	assert_true(cli.print && cli.generate && cli.password_stdin && !cli.json);
}

static void runtime_setting(void **state)
{
	static const struct {
		const char *text, *value;
	} cases[] = {
		{"hostname x\nruntime /run/a\n", "/run/a"},
		{"runtime \"/run/b\"  # comment\n", "/run/b"},
		{"\truntime   /run/c", "/run/c"},
		{"runtimes /x\n# runtime /y\nspool /z\n", ""},
		{"runtime\n", ""},
		{"", ""},
		{"broken {{{\nruntime /run/d\n", "/run/d"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!slice_eq(runtime_in_text(slice_of(cases[i].text)), slice_of(cases[i].value)))
			fail_msg("\"%s\"", cases[i].text);
}

static void socket_path(void **state)
{
	static const struct runtime_order order = {"/x/y", NULL};
	static char longest[CLI_PATH_MAX];
	const struct runtime_order too_long = {longest, NULL};
	char path[CLI_PATH_MAX];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	assert_true(runtime_socket(&order, "control", path));
	assert_string_equal(path, "/x/y/control");
	assert_false(runtime_socket(&too_long, "control", path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses),
		cmocka_unit_test(options),
		cmocka_unit_test(runtime_setting),
		cmocka_unit_test(socket_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
