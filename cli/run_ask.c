#include "command.h"

#include <stdio.h>

#define OUT_MAX (16u << 20)
#define PAGES_MAX 1000000u

bool ask_open(const struct cli *cli, struct control *c)
{
	char path[CLI_PATH_MAX];

	*c = (struct control){.fd = -1, .exit = CLI_USAGE, .why = "the path of the control socket is too long"};
	return runtime_socket(&cli->where, "control", path) && control_open(c, path);
}

int ask_verdict(const struct msg_CONTROL_ANSWER *a, const char *about)
{
	struct buf text = buf_make(65536);
	const struct outcome_info *info = outcome_info(a->outcome);
	int exit = CLI_OK;

	if (info->kind != KIND_OK) {
		(void)text_add_safe_lines(a->text.len > 0 ? a->text : slice_of(info->text), &text);
		exit = complain(info->kind == KIND_TEMP ? CLI_TEMPORARY : CLI_REFUSED, about, buf_text(&text));
	}
	buf_free(&text);
	return exit;
}

/* Shows a page and empties `out`, so that a long list needs no memory. */
static int show_page(struct rows *rows, const struct msg_CONTROL_ANSWER *a, const char *about)
{
	int exit = ask_verdict(a, about);

	if (exit != CLI_OK)
		return exit;
	if (!rows_page(rows, a->control_row_records))
		return complain(CLI_TEMPORARY, about, "the answer is malformed");
	return print_out(rows->out) ? CLI_OK : CLI_TEMPORARY;
}

static int ask_pages(struct control *c, const struct command *command, struct slice fields, struct rows *rows)
{
	char cursor[65] = "", before[65];
	int exit = CLI_OK;

	for (unsigned i = 0; exit == CLI_OK && i < PAGES_MAX; i++) {
		const struct msg_CONTROL_ANSWER *a =
			control_ask(c, command->verb, slice_of(cursor), fields, command->limit_s);

		if (a == NULL)
			return complain(c->exit, command->name, c->why);
		memcpy(before, cursor, sizeof(before));
		if (!slice_copy(a->cursor, cursor, sizeof(cursor)))
			return complain(CLI_TEMPORARY, command->name, "the answer is malformed");
		exit = show_page(rows, a, command->name);
		if (exit == CLI_OK && rows->count == 0 && a->text.len > 0 && rows->style != ROWS_JSON) {
			(void)text_add_safe_lines(a->text, rows->out);
			buf_add_char(rows->out, '\n');
		}
		if (cursor[0] == '\0' || strcmp(cursor, before) == 0)
			break;
	}
	return exit;
}

static int ask_with(const struct cli *cli, struct control *c, const struct command *command, struct slice fields)
{
	struct buf out = buf_make(OUT_MAX);
	struct rows rows = rows_begin(cli->json ? ROWS_JSON : command->style, &out);
	int exit = ask_pages(c, command, fields, &rows);

	if (exit == CLI_OK) {
		if (!rows_end(&rows, out.len > 0 ? "" : command->nothing) || !print_out(&out))
			exit = CLI_TEMPORARY;
	}
	buf_free(&out);
	return exit;
}

int run_ask(const struct cli *cli, const struct command *command)
{
	return ask_fields(cli, command, slice_empty());
}

int ask_fields(const struct cli *cli, const struct command *command, struct slice control_field_records)
{
	struct control c;
	int exit;

	if (ask_open(cli, &c))
		exit = ask_with(cli, &c, command, control_field_records);
	else
		exit = complain(c.exit, command->name, c.why);
	control_close(&c);
	return exit;
}

static int ask_about(const struct cli *cli, struct control *c, const struct command *command, const char *id)
{
	struct buf fields = buf_make(8192);
	const struct rec_control_field field = {slice_of("id"), slice_of(id)};
	int exit;

	if (rec_control_field_add(&fields, &field))
		exit = ask_with(cli, c, command, buf_slice(&fields));
	else
		exit = complain(CLI_USAGE, id, "this is no message's id");
	buf_free(&fields);
	return exit;
}

int run_flush(const struct cli *cli, const struct command *command)
{
	struct control c;
	int exit = ask_open(cli, &c) ? ask_about(cli, &c, command, "all") : complain(c.exit, command->name, c.why);

	control_close(&c);
	return exit;
}

/* The worst of all exit codes: one that failed must not look fine because the next did not. */
int run_each(const struct cli *cli, const struct command *command)
{
	struct control c;
	int exit = CLI_OK;

	if (!ask_open(cli, &c))
		exit = complain(c.exit, command->name, c.why);
	for (size_t i = 0; c.fd >= 0 && i < cli->count; i++) {
		int one = ask_about(cli, &c, command, cli->argument[i]);

		exit = one > exit ? one : exit;
	}
	control_close(&c);
	return exit;
}
