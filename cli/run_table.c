#include "command.h"

/* table test: what a table answers, and from where. */

int run_table_test(const struct cli *cli, const struct command *command)
{
	struct buf fields = buf_make(8192);
	const struct rec_control_field table = {slice_of("table"), slice_of(cli->argument[0])};
	const struct rec_control_field key = {slice_of("key"), slice_of(cli->argument[1])};
	int exit;

	if (rec_control_field_add(&fields, &table) && rec_control_field_add(&fields, &key))
		exit = ask_fields(cli, command, buf_slice(&fields));
	else
		exit = complain(CLI_USAGE, "table test", "the name or the key is too long");
	buf_free(&fields);
	return exit;
}
