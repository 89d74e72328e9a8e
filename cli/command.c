#include "command.h"

#include <stdio.h>

struct parsing {
	struct cli *cli;
	char *why;
	size_t why_size;
};

static bool refuse(struct parsing *p, const char *what, const char *word)
{
	snprintf(p->why, p->why_size, "%s%s%.200s", what, word[0] != '\0' ? ": " : "", word);
	return false;
}

static bool set_flag(struct cli *cli, const char *option)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"--json", &cli->json},
		{"--print", &cli->print},
		{"--password-stdin", &cli->password_stdin},
		{"--generate", &cli->generate},
		{"--repair", &cli->repair},
		{"--offline", &cli->offline},
		{"--force", &cli->import.force},
		{"--dry-run", &cli->import.dry_run},
		{"--partly", &cli->import.partly},
		{"--help", &cli->help},
		{"-h", &cli->help},
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (strcmp(option, flags[i].name) == 0) {
			*flags[i].flag = true;
			return true;
		}
	return false;
}

/* "--name VALUE" and "--name=VALUE".  NULL: not this option; *missing: it has no value. */
static const char *value_of(const char *name, int argc, char *const *argv, int *at, bool *missing)
{
	size_t len = strlen(name);

	*missing = false;
	if (strncmp(argv[*at], name, len) != 0)
		return NULL;
	if (argv[*at][len] == '=')
		return argv[*at] + len + 1;
	if (argv[*at][len] != '\0')
		return NULL;
	*missing = *at + 1 >= argc;
	return *missing ? NULL : argv[++*at];
}

/* The only one that may be said more than once. */
static bool set_header(struct parsing *p, const char *value)
{
	if (p->cli->header_count == CLI_HEADERS_MAX)
		return refuse(p, "too many arguments", "--header");
	p->cli->header[p->cli->header_count++] = value;
	return true;
}

static bool set_value(struct parsing *p, int argc, char *const *argv, int *at)
{
	const struct {
		const char *name;
		const char **value;
	} values[] = {{"--config", &p->cli->where.config},   {"-c", &p->cli->where.config}, {"--runtime", &p->cli->where.runtime},
		      {"--from", &p->cli->from},	     {"--as", &p->cli->as},	    {"--client", &p->cli->client},
		      {"--listener", &p->cli->listener}, {"--size", &p->cli->size},
		      {"--sender", &p->cli->sender},	     {"--recipient", &p->cli->recipient}, {"--user", &p->cli->user},
		      {"--home", &p->cli->home},	     {"--quota", &p->cli->quota}, {"--transport", &p->cli->transport},	     {"--virtual", &p->cli->import.virtual_aliases},
		      {"--relayhost", &p->cli->import.relayhost}, {"--sender-relayhost", &p->cli->import.sender_relayhost},
		      {"--sasl-passwd", &p->cli->import.sasl_passwd}, {"--aliases", &p->cli->import.aliases},
		      {"--qualify", &p->cli->import.qualify}, {"--to", &p->cli->import.to}};
	const char *option = argv[*at], *header;
	bool no_header;

	header = value_of("--header", argc, argv, at, &no_header);
	if (header != NULL)
		return set_header(p, header);
	if (no_header)
		return refuse(p, "this option needs a value", option);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		bool missing;
		const char *value = value_of(values[i].name, argc, argv, at, &missing);

		if (missing)
			return refuse(p, "this option needs a value", option);
		if (value != NULL) {
			*values[i].value = value;
			return true;
		}
	}
	return refuse(p, "unknown option", option);
}

/* Options may stand anywhere before "--"; the rest are words. */
static bool sort_words(struct parsing *p, int argc, char *const *argv)
{
	bool options = true;

	for (int at = 1; at < argc; at++) {
		if (options && strcmp(argv[at], "--") == 0) {
			options = false;
		} else if (options && argv[at][0] == '-' && argv[at][1] != '\0') {
			if (!set_flag(p->cli, argv[at]) && !set_value(p, argc, argv, &at))
				return false;
		} else if (p->cli->count == CLI_ARGUMENTS_MAX) {
			return refuse(p, "too many arguments", "");
		} else {
			p->cli->argument[p->cli->count++] = argv[at];
		}
	}
	return true;
}

static void drop_words(struct cli *cli, size_t n)
{
	cli->count -= n;
	memmove(cli->argument, cli->argument + n, cli->count * sizeof(cli->argument[0]));
}

static bool is_command(const struct command *c, const struct cli *cli)
{
	if (cli->count == 0 || strcmp(c->name, cli->argument[0]) != 0)
		return false;
	return c->sub == NULL || (cli->count > 1 && strcmp(c->sub, cli->argument[1]) == 0);
}

static const struct command *find_command(const struct command *table, size_t table_len, struct cli *cli)
{
	for (size_t i = 0; i < table_len; i++)
		if (is_command(&table[i], cli)) {
			drop_words(cli, table[i].sub == NULL ? 1 : 2);
			return &table[i];
		}
	return NULL;
}

/* "usage: postern domain add | list | ...".  False: no command begins so. */
static bool name_subs(const struct command *table, size_t table_len, const char *name, char *why, size_t why_size)
{
	struct buf text = buf_make(400);
	size_t count = 0;

	for (size_t i = 0; i < table_len; i++) {
		if (strcmp(table[i].name, name) != 0 || table[i].sub == NULL)
			continue;
		buf_addf(&text, "%s%s", count++ > 0 ? " | " : "", table[i].sub);
	}
	snprintf(why, why_size, "usage: postern %.60s %s ...; `postern help` says more", name, buf_text(&text));
	buf_free(&text);
	return count > 0;
}

const struct command *command_parse(const struct command *table, size_t table_len, int argc, char *const *argv, struct cli *out,
				    char *why, size_t why_size)
{
	struct parsing p = {out, why, why_size};
	const struct command *c;

	*out = (struct cli){0};
	if (!sort_words(&p, argc, argv))
		return NULL;
	if (out->count == 0 && out->help) {
		out->argument[out->count++] = "help";
		out->help = false;
	}
	c = find_command(table, table_len, out);
	if (c == NULL && out->count > 0 && name_subs(table, table_len, out->argument[0], why, why_size))
		return NULL;
	if (c == NULL) {
		refuse(&p, out->count == 0 ? "say what to do; `postern help` lists the commands"
					   : "no such command; `postern help` lists them",
		       out->count == 0 ? "" : out->argument[0]);
		return NULL;
	}
	if (!out->help && (out->count < c->min || out->count > c->max)) {
		snprintf(why, why_size, "usage: postern %s%s%s %s", c->name, c->sub == NULL ? "" : " ",
			 c->sub == NULL ? "" : c->sub, c->arguments);
		return NULL;
	}
	return c;
}
