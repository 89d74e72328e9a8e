/*
 * postern: the operator's command.  What it does is in the table; whether it may is decided by who may open the files and the
 * control socket.
 */
#include "command.h"

#include "base/mem.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define MANY CLI_ARGUMENTS_MAX
#define SHORT_S 30
#define LONG_S 300

static int run_help(const struct cli *cli, const struct command *command);
static int run_version(const struct cli *cli, const struct command *command);

static const struct command commands[] = {
	{"check", NULL, "[FILE] [--print]", "look for mistakes in the configuration; --print shows it whole", 0, 1, run_check, NULL,
	 0, ROWS_TABLE, ""},
	{"status", NULL, "[--json]", "what runs, and what each process does now", 0, 0, run_ask, "status", SHORT_S, ROWS_TABLE, ""},
	{"reload", NULL, "", "take up the changed configuration; says why when it cannot", 0, 0, run_ask, "reload", LONG_S,
	 ROWS_TABLE, "reloaded"},
	{"upgrade", NULL, "", "take up new programs that were installed; says why when they do not run", 0, 0, run_upgrade, "upgrade",
	 LONG_S, ROWS_TABLE, ""},
	{"stop", NULL, "", "finish what is begun, then end", 0, 0, run_ask, "stop", LONG_S, ROWS_TABLE, "stopping"},
	{"queue", "list", "[--json]", "the messages in the queue", 0, 0, run_ask, "queue.list", SHORT_S, ROWS_TABLE,
	 "the queue is empty"},
	{"queue", "check", "[FOLDER] [--repair] [--json]", "the files of the queue against its index; FOLDER: a spool nobody uses", 0, 1,
	 run_queue_check, "queue.check", LONG_S, ROWS_TABLE, ""},
	{"queue", "show", "ID... [--json]", "one message: its recipients and what happened to them", 1, MANY, run_each, "queue.show",
	 SHORT_S, ROWS_LINES, ""},
	{"queue", "hold", "ID...", "keep a message until it is released", 1, MANY, run_each, "queue.hold", SHORT_S, ROWS_TABLE, ""},
	{"queue", "release", "ID...", "let a held message go", 1, MANY, run_each, "queue.release", SHORT_S, ROWS_TABLE, ""},
	{"queue", "remove", "ID...", "remove a message; nobody is told", 1, MANY, run_each, "queue.remove", SHORT_S, ROWS_TABLE, ""},
	{"queue", "retry", "ID... | all", "try again now", 1, MANY, run_each, "queue.retry", SHORT_S, ROWS_TABLE, ""},
	{"queue", "flush", "", "try all that waits now, also what is queue-only", 0, 0, run_flush, "queue.retry", SHORT_S, ROWS_TABLE, ""},
	{"route", NULL, "ADDRESS [--from S] [--as LOGIN] [--client IP] [--listener N] [--size N] [--header NAME]... [--offline]",
	 "what would become of mail for it, and why; nothing is sent", 1, 1, run_route, "route.explain", SHORT_S, ROWS_TABLE, ""},
	{"table", "test", "NAME KEY [--json]", "what a table answers, where that stands, and why it is unknown", 2, 2, run_table_test,
	 "table.test", SHORT_S, ROWS_LINES, ""},
	{"filter", "test", "FILE MESSAGE [--sender S] [--recipient R] [--user U] [--home H] [--json]",
	 "a .forward, Exim filter or Sieve file over a message, step by step; nothing is done", 2, 2, run_filter_test, NULL, 0, ROWS_TABLE, ""},
	{"domain", "add", "DOMAIN [--user NAME [--transport NAME]]", "take mail for it, from now on", 1, 1, run_domain_add, NULL, 0, ROWS_TABLE, ""},
	{"domain", "user", "DOMAIN NAME [--transport NAME]", "as which system user its mail is delivered", 2, 2, run_domain_user, NULL, 0, ROWS_TABLE, ""},
	{"domain", "list", "[--json]", "all domains, the removed ones too", 0, 0, run_domain_list, NULL, 0, ROWS_TABLE, "there are no domains"},
	{"domain", "show", "DOMAIN [--json]", "one domain: since when, where it is kept, its users and aliases", 1, 1, run_domain_show, NULL, 0,
	 ROWS_LINES, ""},
	{"domain", "remove", "DOMAIN", "take no more mail for it; its aliases, users and mailboxes stay", 1, 1, run_domain_remove, NULL, 0,
	 ROWS_TABLE, ""},
	{"domain", "restore", "DOMAIN", "take mail for a removed one again, as before", 1, 1, run_domain_restore, NULL, 0, ROWS_TABLE, ""},
	{"import", "postfix",
	 "[--virtual FILE] [--transport FILE] [--relayhost HOST] [--sender-relayhost FILE] [--sasl-passwd FILE] [--to FOLDER [--force]] [--dry-run] [--partly]",
	 "tables of a Postfix as a configuration with its tables, and what could not be carried over", 0, 0, run_import_postfix, NULL, 0,
	 ROWS_TABLE, ""},
	{"import", "exim", "--aliases FOLDER [--qualify DOMAIN] [--to FOLDER [--force]] [--dry-run] [--partly]",
	 "alias files of an Exim, one a domain, as a table, and what could not be carried over", 0, 0, run_import_exim, NULL, 0, ROWS_TABLE, ""},
	{"user", "add", "ADDRESS [--password-stdin | --generate] [--quota SIZE]", "a new login; asks for the password", 1, 1, run_user_add, NULL, 0,
	 ROWS_TABLE, ""},
	{"user", "passwd", "ADDRESS [--password-stdin | --generate]", "another password", 1, 1, run_user_passwd, NULL, 0, ROWS_TABLE,
	 ""},
	{"user", "list", "[--json]", "all logins", 0, 0, run_user_list, NULL, 0, ROWS_TABLE, "there are no users"},
	{"user", "remove", "ADDRESS", "remove a login; its mailbox stays", 1, 1, run_user_remove, NULL, 0, ROWS_TABLE, ""},
	{"user", "quota", "ADDRESS [SIZE [MESSAGES] | none | default] [--transport NAME] [--json]",
	 "how much a mailbox holds and may hold; with SIZE: what it may from now on", 1, 3, run_user_quota, NULL, 0, ROWS_LINES, ""},
	{"sandbox", "verify", "[--json]", "whether every process is as locked in as it should be; root only", 0, 0, run_sandbox_verify, NULL, 0,
	 ROWS_TABLE, ""},
	{"version", NULL, "", "the version", 0, 0, run_version, NULL, 0, ROWS_TABLE, ""},
	{"help", NULL, "", "this list", 0, MANY, run_help, NULL, 0, ROWS_TABLE, ""},
};

int complain(int exit, const char *what, const char *why)
{
	fprintf(stderr, "postern: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
	return exit;
}

bool print_out(struct buf *text)
{
	if (!os_write_all(STDOUT_FILENO, buf_slice(text))) {
		complain(CLI_TEMPORARY, "cannot write the output", strerrordesc_np(errno));
		return false;
	}
	buf_clear(text);
	return true;
}

static void add_usage(const struct command *c, struct buf *out)
{
	char words[96];

	snprintf(words, sizeof(words), "%s%s%s %s", c->name, c->sub == NULL ? "" : " ", c->sub == NULL ? "" : c->sub,
		 c->arguments);
	buf_addf(out, "  %-52s %s\n", words, c->what);
}

static int run_help(const struct cli *cli, const struct command *command)
{
	struct buf out = buf_make(16384);
	bool ok;

	(void)cli;
	(void)command;
	buf_add_text(&out, "usage: postern [--config FILE] [--runtime FOLDER] COMMAND\n\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		add_usage(&commands[i], &out);
	buf_add_text(&out, "\nExit codes: 0 done, 1 refused, 64 wrong usage, 69 Postern is not running, 75 not now,\n"
			   "77 not permitted, 78 mistakes in the configuration.  The manual: man 8 postern\n");
	ok = print_out(&out);
	buf_free(&out);
	return ok ? CLI_OK : CLI_TEMPORARY;
}

static int run_version(const struct cli *cli, const struct command *command)
{
	(void)cli;
	(void)command;
	return printf("postern %s\n", POSTERN_VERSION) > 0 && fflush(stdout) == 0 ? CLI_OK : CLI_TEMPORARY;
}

static int help_on(const struct command *c)
{
	struct buf out = buf_make(1024);
	bool ok;

	add_usage(c, &out);
	ok = print_out(&out);
	buf_free(&out);
	return ok ? CLI_OK : CLI_TEMPORARY;
}

int main(int argc, char **argv)
{
	static struct cli cli;
	const struct command *c;
	char why[512];

	cli_begin();
	c = command_parse(commands, ARRAY_LEN(commands), argc, argv, &cli, why, sizeof(why));
	if (c == NULL)
		return complain(CLI_USAGE, why, "");
	return cli.help ? help_on(c) : c->run(&cli, c);
}
