#include "command.h"

#include "base/mem.h"
#include "os/fd.h"
#include "program.h"
#include "route_tree.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * route: what becomes of an address, and why.  policyd is asked; where no Postern runs, or with --offline, postern-policyd evaluates
 * the file of the configuration for itself, and what only a server could say is unknown.  Nothing is written anywhere.
 */
#define ROWS_BYTES_MAX (16u << 20)
#define PAGES_MAX 10000u

static const char too_much[] = "it leads to more than can be shown; ask for one of the addresses on the way";

/* What is said on the command line, as fields; false: it does not fit. */
static bool add_fields(const struct cli *cli, struct buf *fields)
{
	const struct {
		const char *key, *value;
	} said[] = {{"address", cli->argument[0]}, {"from", cli->from},		{"as", cli->as},
		    {"client", cli->client},	   {"listener", cli->listener}, {"size", cli->size}};

	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		if (said[i].value != NULL &&
		    !rec_control_field_add(fields, &(struct rec_control_field){slice_of(said[i].key), slice_of(said[i].value)}))
			return false;
	for (size_t i = 0; i < cli->header_count; i++)
		if (!rec_control_field_add(fields, &(struct rec_control_field){slice_of("header"), slice_of(cli->header[i])}))
			return false;
	return true;
}

static int show(const struct cli *cli, const struct command *command, struct slice records)
{
	static const int exits[] = {[ROUTE_END_NONE] = CLI_TEMPORARY,
				    [ROUTE_END_ACCEPTED] = CLI_OK,
				    [ROUTE_END_REFUSED] = CLI_REFUSED,
				    [ROUTE_END_DEFERRED] = CLI_TEMPORARY};
	struct buf out = buf_make(2 * ROWS_BYTES_MAX);
	struct rows rows = rows_begin(ROWS_JSON, &out);
	enum route_end_word word = route_tree_print(records, cli->json ? NULL : &out);
	bool ok = word != ROUTE_END_NONE && (!cli->json || (rows_page(&rows, records) && rows_end(&rows, "")));
	int exit;

	if (ok && buf_ok(&out))
		exit = print_out(&out) ? exits[word] : CLI_TEMPORARY;
	else
		exit = complain(CLI_TEMPORARY, command->name, "the answer is malformed");
	buf_free(&out);
	return exit;
}

/* ---- a Postern that runs ---- */

static int ask_running(struct control *c, const struct command *command, struct slice fields, struct buf *rows)
{
	char cursor[65] = "";
	int exit = CLI_OK;

	for (unsigned i = 0; i < PAGES_MAX; i++) {
		const struct msg_CONTROL_ANSWER *a = control_ask(c, command->verb, slice_of(cursor), fields, command->limit_s);

		exit = a == NULL ? complain(c->exit, command->name, c->why) : ask_verdict(a, command->name);
		if (exit != CLI_OK)
			break;
		if (!buf_add_slice(rows, a->control_row_records))
			return complain(CLI_TEMPORARY, command->name, too_much);
		if (!slice_copy(a->cursor, cursor, sizeof(cursor)))
			return complain(CLI_TEMPORARY, command->name, "the answer is malformed");
		if (cursor[0] == '\0')
			break;
	}
	return exit;
}

/* ---- none ---- */

static _Noreturn void evaluate(const char *config, int in, int out)
{
	char program[PATH_MAX], flag[] = "--route", file[CLI_PATH_MAX];
	char *const argv[] = {program, flag, file, NULL}, *const environment[] = {NULL};

	program_path("postern-policyd", program);
	if (slice_copy(slice_of(config), file, sizeof(file)) && dup2(in, STDIN_FILENO) != -1 &&
	    dup2(out, STDOUT_FILENO) != -1) /* descriptors 0 and 1 are not CLOEXEC: they are what it is given */
		execve(program, argv, environment);
	fprintf(stderr, "postern: route: %s: %s\n", program, strerrordesc_np(errno));
	_exit(CLI_TEMPORARY);
}

static bool read_all(int fd, struct buf *out)
{
	ssize_t n = 1;

	while (n > 0) {
		char *room = buf_room(out, 65536);

		if (room == NULL)
			return false;
		do
			n = read(fd, room, 65536);
		while (n == -1 && errno == EINTR);
		if (n > 0)
			buf_grew(out, (size_t)n);
	}
	return n == 0;
}

/* Closes `fd`: who is not read to the end must not wait to be. */
static int hear(pid_t child, int fd, const struct command *command, struct buf *rows)
{
	bool read_it = read_all(fd, rows);
	int status;

	close(fd);
	if (waitpid(child, &status, 0) != child || (read_it && !WIFEXITED(status)))
		return complain(CLI_TEMPORARY, command->name, "the configuration could not be evaluated");
	if (!read_it)
		return complain(CLI_TEMPORARY, command->name, too_much);
	return WEXITSTATUS(status); /* it has said why */
}

static int ask_file(const struct cli *cli, const struct command *command, struct slice fields, struct buf *rows)
{
	const char *config = cli->where.config != NULL ? cli->where.config : CLI_CONFIG_DEFAULT;
	int in[2], out[2], exit;
	pid_t child;

	if (!os_pipe(in))
		return complain(CLI_TEMPORARY, command->name, strerrordesc_np(errno));
	if (!os_pipe(out)) {
		close(in[0]);
		close(in[1]);
		return complain(CLI_TEMPORARY, command->name, strerrordesc_np(errno));
	}
	child = fork();
	if (child == 0)
		evaluate(config, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	/* Fields are smaller than a pipe. */
	if (child != -1 && write(in[1], fields.at, fields.len) == (ssize_t)fields.len) {
		close(in[1]);
		exit = hear(child, out[0], command, rows);
	} else {
		close(in[1]);
		close(out[0]);
		exit = complain(CLI_TEMPORARY, command->name, "the configuration could not be evaluated");
	}
	return exit;
}

static int ask(const struct cli *cli, const struct command *command, struct slice fields, struct buf *rows)
{
	struct control c = {.fd = -1};
	int exit;

	if (cli->offline)
		return ask_file(cli, command, fields, rows);
	if (ask_open(cli, &c)) {
		exit = ask_running(&c, command, fields, rows);
	} else if (c.exit == CLI_UNREACHABLE) {
		fputs("postern: route: Postern is not running; this is what its configuration says\n", stderr);
		exit = ask_file(cli, command, fields, rows);
	} else {
		exit = complain(c.exit, command->name, c.why);
	}
	control_close(&c);
	return exit;
}

int run_route(const struct cli *cli, const struct command *command)
{
	struct buf fields = buf_make(8192), rows = buf_make(ROWS_BYTES_MAX);
	int exit;

	if (!add_fields(cli, &fields))
		exit = complain(CLI_USAGE, command->name, "an argument is too long");
	else
		exit = ask(cli, command, buf_slice(&fields), &rows);
	if (exit == CLI_OK)
		exit = show(cli, command, buf_slice(&rows));
	buf_free(&fields);
	buf_free(&rows);
	return exit;
}
