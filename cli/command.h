#ifndef POSTERN_CLI_COMMAND_H
#define POSTERN_CLI_COMMAND_H

#include "control.h"
#include "rows.h"
#include "runtime.h"

/*
 * The commands of postern(8): one table says what there is, what it takes and who does it.
 */
#define CLI_ARGUMENTS_MAX 1024
#define CLI_HEADERS_MAX 16

struct cli {
	struct runtime_order where;
	bool json, print, password_stdin, generate, repair, offline, help;
	const char *from, *as, *client, *listener, *size; /* of the session that route asks for; NULL: not said */
	const char *header[CLI_HEADERS_MAX]; /* names of fields that are there */
	size_t header_count;
	const char *sender, *recipient, *user, *home; /* whose mail filter test tries; NULL: not said */
	const char *quota, *transport; /* of a mailbox; NULL: not said */
	struct {
		const char *virtual_aliases, *relayhost, *sender_relayhost, *sasl_passwd; /* of a Postfix; its transport(5) is `transport` */
		const char *aliases, *qualify; /* of an Exim */
		const char *to;
		bool force, dry_run, partly;
	} import; /* NULL: not said */
	const char *argument[CLI_ARGUMENTS_MAX]; /* after the command's own words */
	size_t count;
};

struct command {
	const char *name, *sub; /* sub NULL: the command is one word */
	const char *arguments; /* for the help */
	const char *what;
	size_t min, max; /* arguments */
	int (*run)(const struct cli *cli, const struct command *command);
	const char *verb; /* what the server is asked */
	unsigned limit_s; /* how long the answer may take */
	enum rows_style style;
	const char *nothing; /* said when there is no row */
};

/* NULL with a sentence in `why`: exit 64.  Pure. */
const struct command *command_parse(const struct command *table, size_t table_len, int argc, char *const *argv,
				    struct cli *out, char *why, size_t why_size);

/* The exit code; what is to be said has been said. */
int run_check(const struct cli *cli, const struct command *command);
int run_ask(const struct cli *cli, const struct command *command);
int run_each(const struct cli *cli, const struct command *command); /* one question for each argument, as field `id` */
int run_queue_check(const struct cli *cli, const struct command *command);
int run_flush(const struct cli *cli, const struct command *command); /* `queue retry all` */
int run_route(const struct cli *cli, const struct command *command);
int run_filter_test(const struct cli *cli, const struct command *command);
int run_upgrade(const struct cli *cli, const struct command *command);
/* run_ask.c, for those that ask in steps.  False: `why` and `exit` say more. */
bool ask_open(const struct cli *cli, struct control *c);
/* What the server decided, as an exit code; a refusal is told with the server's words. */
int ask_verdict(const struct msg_CONTROL_ANSWER *a, const char *about);
/* Asks the command's verb with these fields, and shows the rows. */
int ask_fields(const struct cli *cli, const struct command *command, struct slice control_field_records);
int run_table_test(const struct cli *cli, const struct command *command);
int run_sandbox_verify(const struct cli *cli, const struct command *command);
int run_import_postfix(const struct cli *cli, const struct command *command);
int run_import_exim(const struct cli *cli, const struct command *command);
int run_domain_add(const struct cli *cli, const struct command *command);
int run_domain_user(const struct cli *cli, const struct command *command);
int run_domain_remove(const struct cli *cli, const struct command *command);
int run_domain_restore(const struct cli *cli, const struct command *command);
int run_domain_list(const struct cli *cli, const struct command *command);
int run_domain_show(const struct cli *cli, const struct command *command);
int run_user_add(const struct cli *cli, const struct command *command);
int run_user_passwd(const struct cli *cli, const struct command *command);
int run_user_list(const struct cli *cli, const struct command *command);
int run_user_remove(const struct cli *cli, const struct command *command);
int run_user_quota(const struct cli *cli, const struct command *command);

/* "postern: what: why" on stderr; returns `exit`. */
int complain(int exit, const char *what, const char *why);
/* Writes it to stdout; false: it cannot be written (said). */
bool print_out(struct buf *text);

#endif
