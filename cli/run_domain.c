#include "command.h"

#include "configured.h"
#include "domains.h"
#include "listing.h"
#include "mail/address.h"
#include "run_owner.h"
#include "users/users.h"
#include "users/users_file.h"

#include <errno.h>
#include <unistd.h>

/* domain add, user, remove, restore, list, show: which domains mail is taken for. */

/* Into its canonical form.  What is no domain goes no further. */
static int read_domain(const struct cli *cli, char out[MAIL_DOMAIN_MAX + 1])
{
	const char *said = cli->argument[0];

	if (mail_domain_parse(slice_of(said), MAIL_ALLOW_UTF8, out) && out[0] != '[' && out[0] != '.' && strchr(out, '/') == NULL)
		return CLI_OK;
	return complain(CLI_USAGE, said, "this is no domain; write one such as example.org");
}

static int name_no_table(const struct cli *cli)
{
	return complain(CLI_CONFIG, cli->where.config != NULL ? cli->where.config : CLI_CONFIG_DEFAULT,
			"does not say where domains are kept; add: domains NAME, and for that name\n"
			"  table NAME directory FOLDER, or\n"
			"  table NAME sqlite PATH \"select name from domains where name = ? and removed is null\"");
}

/* NULL: *exit_out, and it was said why.  `*conf_out` is then the caller's all the same. */
static struct domains *open_domains(const struct cli *cli, bool create, struct conf **conf_out, int *exit_out)
{
	struct buf why = buf_make(2048);
	struct domains *d = NULL;

	*conf_out = configured(cli, exit_out);
	if (*conf_out != NULL && (*conf_out)->domains == NULL) {
		*exit_out = name_no_table(cli);
	} else if (*conf_out != NULL) {
		d = domains_open((*conf_out)->domains, create, &why);
		if (d == NULL)
			*exit_out = complain(CLI_TEMPORARY, buf_text(&why), "");
	}
	buf_free(&why);
	return d;
}

static int tell(enum outcome oc, const char *about, struct buf *why)
{
	if (oc == OC_DONE)
		return CLI_OK;
	return complain(oc == OC_NOT_FOUND || oc == OC_NOT_ALLOWED || oc == OC_BAD_INPUT ? CLI_REFUSED : CLI_TEMPORARY, about,
			buf_text(why));
}

typedef enum outcome change_fn(struct domains *d, struct slice domain, struct buf *why);

static int change(const struct cli *cli, change_fn *fn)
{
	struct buf why = buf_make(2048);
	char domain[MAIL_DOMAIN_MAX + 1];
	struct conf *conf = NULL;
	struct domains *d;
	int exit = read_domain(cli, domain);

	if (exit == CLI_OK && (d = open_domains(cli, true, &conf, &exit)) != NULL) {
		exit = tell(fn(d, slice_of(domain), &why), domain, &why);
		domains_close(&d);
	}
	conf_free(&conf);
	buf_free(&why);
	return exit;
}

static int add(const struct cli *cli, const struct conf *conf, struct domains *d, const char *domain)
{
	struct buf why = buf_make(2048);
	struct owner_change owner;
	int exit = owner_add(cli, conf, domain, &owner);

	/* The last: from then on mail is taken for it. */
	if (exit == CLI_OK && (exit = tell(domains_add(d, slice_of(domain), &why), domain, &why)) != CLI_OK)
		owner_undo(&owner, domain);
	owner_free(&owner);
	buf_free(&why);
	return exit;
}

int run_domain_add(const struct cli *cli, const struct command *command)
{
	char domain[MAIL_DOMAIN_MAX + 1];
	struct conf *conf = NULL;
	struct domains *d;
	int exit = read_domain(cli, domain);

	(void)command;
	if (exit == CLI_OK && (d = open_domains(cli, true, &conf, &exit)) != NULL) {
		exit = add(cli, conf, d, domain);
		domains_close(&d);
	}
	conf_free(&conf);
	return exit;
}

static bool note_it(const struct domains_entry *e, void *arg)
{
	(void)e;
	(void)arg;
	return true;
}

/* The user of a domain that is there, a removed one too. */
int run_domain_user(const struct cli *cli, const struct command *command)
{
	struct buf why = buf_make(2048);
	char domain[MAIL_DOMAIN_MAX + 1];
	struct owner_change owner;
	struct conf *conf = NULL;
	struct domains *d = NULL;
	struct cli with = *cli;
	int exit = read_domain(cli, domain);

	(void)command;
	with.user = cli->argument[1];
	if (exit == CLI_OK)
		d = open_domains(cli, false, &conf, &exit);
	if (d != NULL && (exit = tell(domains_find(d, slice_of(domain), note_it, NULL, &why), domain, &why)) == CLI_OK) {
		exit = owner_add(&with, conf, domain, &owner);
		owner_free(&owner);
	}
	domains_close(&d);
	conf_free(&conf);
	buf_free(&why);
	return exit;
}

int run_domain_remove(const struct cli *cli, const struct command *command)
{
	(void)command;
	return change(cli, domains_remove);
}

int run_domain_restore(const struct cli *cli, const struct command *command)
{
	(void)command;
	return change(cli, domains_restore);
}

/* ---- to look ---- */

static void describe(struct listing *l, const struct domains_entry *e)
{
	listing_text(l, "domain", e->name);
	listing_number(l, "created", e->created_s);
	listing_text(l, "state", slice_of(e->removed_s == 0 ? "served" : "removed"));
}

static bool list_one(const struct domains_entry *e, void *arg)
{
	describe(arg, e);
	return listing_row(arg);
}

int run_domain_list(const struct cli *cli, const struct command *command)
{
	struct buf why = buf_make(2048);
	struct conf *conf = NULL;
	struct listing l;
	int exit;
	struct domains *d = open_domains(cli, false, &conf, &exit);

	listing_begin(&l, cli, command);
	if (d != NULL)
		exit = tell(domains_list(d, list_one, &l, &why), "domain list", &why);
	exit = listing_end(&l, exit, command);
	domains_close(&d);
	conf_free(&conf);
	buf_free(&why);
	return exit;
}

struct counting {
	struct slice domain;
	int64_t users;
};

static bool count_in_file(struct slice address, void *arg)
{
	struct counting *c = arg;
	size_t at = slice_rindex(address, '@');

	c->users += at != SLICE_NONE && slice_eq_nocase(slice_from(address, at + 1), c->domain);
	return true;
}

static bool count_one(struct slice address, int64_t created_s, void *arg)
{
	(void)created_s;
	return count_in_file(address, arg);
}

/* Of the database, or the file, that `postern user` writes. */
static bool count_users(const struct conf_auth *auth, struct counting *c, struct buf *why)
{
	struct users *u;
	bool done;

	if (access(auth->sqlite != NULL ? auth->sqlite : auth->file, F_OK) == -1 && errno == ENOENT)
		return true; /* nobody was added yet */
	if (auth->sqlite == NULL)
		return users_file_list(auth->file, count_in_file, c, why) == OC_DONE;
	u = users_open_list(auth->sqlite, why);
	if (u == NULL)
		return false;
	done = users_list(u, count_one, c) == OC_DONE;
	if (!done)
		buf_add_text(why, users_why(u));
	users_free(&u);
	return done;
}

struct showing {
	const struct conf *conf;
	struct listing *listing;
};

static void show_users(const struct showing *s, struct slice domain)
{
	struct buf why = buf_make(1024);
	struct counting c = {domain, 0};

	if (count_users(&s->conf->auth, &c, &why))
		listing_number(s->listing, "users", c.users);
	else
		listing_text(s->listing, "users", buf_slice(&why));
	buf_free(&why);
}

static bool show_one(const struct domains_entry *e, void *arg)
{
	const struct showing *s = arg;

	describe(s->listing, e);
	if (e->removed_s != 0)
		listing_number(s->listing, "removed", e->removed_s);
	listing_text(s->listing, "kind", slice_of(s->conf->domains->kind == TABLE_SQLITE ? "sqlite" : "directory"));
	listing_text(s->listing, "table", slice_of(s->conf->domains->name));
	if (s->conf->auth.sqlite != NULL || s->conf->auth.file != NULL)
		show_users(s, e->name);
	owner_show(s->conf, e->name, s->listing);
	if (e->aliases != DOMAINS_UNCOUNTED)
		listing_number(s->listing, "aliases", (int64_t)e->aliases);
	return listing_row(s->listing);
}

int run_domain_show(const struct cli *cli, const struct command *command)
{
	struct buf why = buf_make(2048);
	char domain[MAIL_DOMAIN_MAX + 1];
	struct conf *conf = NULL;
	struct domains *d = NULL;
	struct listing l;
	struct showing s = {NULL, &l};
	int exit = read_domain(cli, domain);

	listing_begin(&l, cli, command);
	if (exit == CLI_OK)
		d = open_domains(cli, false, &conf, &exit);
	s.conf = conf;
	if (d != NULL)
		exit = tell(domains_find(d, slice_of(domain), show_one, &s, &why), domain, &why);
	exit = listing_end(&l, exit, command);
	domains_close(&d);
	conf_free(&conf);
	buf_free(&why);
	return exit;
}
