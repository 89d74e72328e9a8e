#include "command.h"

#include "conf/bundle.h"
#include "conf/conf.h"
#include "conf/print.h"
#include "program.h"
#include "rules/rules.h"

#include <stdio.h>

#define MISTAKES_MAX (4u << 20)

static const char *config_of(const struct cli *cli)
{
	if (cli->count > 0)
		return cli->argument[0];
	return cli->where.config != NULL ? cli->where.config : CLI_CONFIG_DEFAULT;
}

static int tell_mistakes(struct conf_mistakes *mistakes, const char *path)
{
	char summary[64];

	if (mistakes->count == 0)
		return complain(CLI_TEMPORARY, path, "out of memory");
	(void)fwrite(mistakes->text.at, 1, mistakes->text.len, stderr);
	snprintf(summary, sizeof(summary), "%zu mistake%s", mistakes->count, mistakes->count == 1 ? "" : "s");
	return complain(CLI_CONFIG, path, summary);
}

static int tell_fine(const struct cli *cli, const struct conf *conf, const char *path)
{
	struct buf text = buf_make(BUNDLE_BYTES_MAX);
	bool ok = cli->print ? conf_print(conf, &text) : buf_addf(&text, "%s: ok\n", path);

	if (!ok)
		complain(CLI_TEMPORARY, path, "out of memory");
	ok = ok && print_out(&text);
	buf_free(&text);
	return ok ? CLI_OK : CLI_TEMPORARY;
}

/* Files that tables are made of can have mistakes too. */
static int check_tables(const struct cli *cli, const struct conf *conf, const char *path)
{
	int exit = conf->table_count > 0 || conf->route->count > 0 ? program_check_tables(path) : CLI_OK;

	return exit == CLI_OK ? tell_fine(cli, conf, path) : complain(exit, path, "its tables have mistakes");
}

int run_check(const struct cli *cli, const struct command *command)
{
	const char *path = config_of(cli);
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), why = buf_make(4096);
	struct conf_mistakes mistakes = {buf_make(MISTAKES_MAX), 0};
	struct conf *conf = NULL;
	int exit;

	(void)command;
	if (!bundle_read(path, &bundle, &why))
		exit = complain(CLI_CONFIG, buf_text(&why), "");
	else if ((conf = conf_compile(buf_slice(&bundle), &mistakes)) == NULL)
		exit = tell_mistakes(&mistakes, path);
	else
		exit = cli->print ? tell_fine(cli, conf, path) : check_tables(cli, conf, path);
	conf_free(&conf);
	buf_free(&mistakes.text);
	buf_free(&bundle);
	buf_free(&why);
	return exit;
}
