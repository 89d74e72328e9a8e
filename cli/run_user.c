#include "command.h"

#include "base/mem.h"
#include "configured.h"
#include "domains.h"
#include "listing.h"
#include "mail/address.h"
#include "password.h"
#include "run_quota.h"
#include "sasl/cram.h"
#include "sasl/sasl.h"
#include "users/users.h"
#include "users/users_file.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

struct database {
	char path[CLI_PATH_MAX];
	bool is_file; /* of lines, for there is no database */
	gid_t secrets_gid; /* who reads the hashes */
	uint32_t mechanisms; /* offered: what is kept of a password */
};

/* As the master looks it up.  Where there is no such user Postern runs as the caller. */
static gid_t group_of_authd(const char *prefix)
{
	const struct passwd *pw;
	char name[256];
	int n = snprintf(name, sizeof(name), "%s-authd", prefix);

	pw = n > 0 && (size_t)n < sizeof(name) ? getpwnam(name) : NULL;
	if (pw == NULL)
		pw = getpwnam(prefix);
	return pw != NULL ? pw->pw_gid : getgid();
}

static void note_secrets(const struct conf *conf, struct database *out)
{
	out->secrets_gid = group_of_authd(conf->set.user_prefix);
	out->mechanisms = conf->auth.mechanisms;
}

/* The users database, as the configuration names it; 0, or an exit code (said). */
static int find_database(const struct cli *cli, struct database *out)
{
	const char *path = cli->where.config != NULL ? cli->where.config : CLI_CONFIG_DEFAULT;
	const char *named;
	int exit;
	struct conf *conf = configured(cli, &exit);

	if (conf == NULL)
		return exit;
	named = conf->auth.sqlite != NULL ? conf->auth.sqlite : conf->auth.file;
	out->is_file = conf->auth.sqlite == NULL;
	if (named == NULL)
		exit = complain(CLI_CONFIG, path, "names no users database; add: auth { sqlite PATH }");
	else if (!slice_copy(slice_of(named), out->path, sizeof(out->path)))
		exit = complain(CLI_CONFIG, path, "the path of the users database is too long");
	else
		note_secrets(conf, out);
	conf_free(&conf);
	return exit;
}

static void tell_moved(const struct database *at, size_t moved)
{
	if (moved > 0)
		fprintf(stderr, "postern: %s: the password hashes of %zu user%s are now in %s%s, which only postern-authd may read\n",
			at->path, moved, moved == 1 ? "" : "s", at->path, USERS_SECRETS_SUFFIX);
}

/* NULL: *exit_out, and it was said why. */
static struct users *open_users(const struct database *at, bool create, int *exit_out)
{
	struct buf why = buf_make(2048);
	struct users *users = users_open(at->path, create, at->secrets_gid, &why);

	*exit_out = users == NULL ? complain(CLI_TEMPORARY, buf_text(&why), "") : CLI_OK;
	if (users != NULL)
		tell_moved(at, users_moved(users));
	buf_free(&why);
	return users;
}

static bool is_refusal(enum outcome oc)
{
	return oc == OC_NOT_FOUND || oc == OC_NOT_ALLOWED || oc == OC_BAD_INPUT;
}

static int tell_file(enum outcome oc, const char *about, struct buf *why)
{
	return oc == OC_DONE ? CLI_OK : complain(is_refusal(oc) ? CLI_REFUSED : CLI_TEMPORARY, about, buf_text(why));
}

static int tell(struct users *u, enum outcome outcome, const char *address, const char *not_allowed)
{
	if (outcome == OC_DONE)
		return CLI_OK;
	if (outcome == OC_NOT_FOUND)
		return complain(CLI_REFUSED, address, "there is no such user");
	if (outcome == OC_NOT_ALLOWED)
		return complain(CLI_REFUSED, address, not_allowed);
	return complain(is_refusal(outcome) ? CLI_REFUSED : CLI_TEMPORARY, address, users_why(u));
}

static bool get_password(const struct cli *cli, const char *address, struct buf *out, const char **why)
{
	*why = "no password can be made: out of memory";
	if (cli->generate)
		return password_generate(out);
	if (cli->password_stdin)
		return password_read(STDIN_FILENO, out, why);
	return password_ask(address, out, why);
}

static bool show_generated(const struct cli *cli, struct buf *password)
{
	struct buf line = buf_make_secret(PASSWORD_MAX + 2);
	bool ok = true;

	if (cli->generate)
		ok = buf_add_slice(&line, buf_slice(password)) && buf_add_char(&line, '\n') && print_out(&line);
	buf_free(&line);
	return ok;
}

typedef enum outcome set_fn(struct users *u, struct slice address, struct slice password, const struct users_verifier *also,
			    size_t count);

/* What the mechanisms that the configuration offers need beside the hash. */
struct verifiers {
	struct buf scram, cram; /* owned */
	struct users_verifier all[2];
	size_t count;
};

static void add_verifier(struct verifiers *v, enum sasl_verifier kind, const struct buf *value)
{
	v->all[v->count++] = (struct users_verifier){sasl_verifier_name(kind), buf_slice(value)};
}

static bool make_scram(struct verifiers *v, struct slice password)
{
	struct scram_keys keys;
	bool done = scram_keys_make(password, &keys) && scram_keys_print(&keys, &v->scram);

	mem_wipe(&keys, sizeof(keys));
	if (done)
		add_verifier(v, SASL_SCRAM_SHA_256, &v->scram);
	return done;
}

static bool make_cram(struct verifiers *v, struct slice password)
{
	bool done = cram_keys_print(password, &v->cram);

	if (done)
		add_verifier(v, SASL_CRAM_MD5, &v->cram);
	return done;
}

static bool make_verifiers(struct verifiers *v, uint32_t mechanisms, struct slice password)
{
	sasl_start();
	*v = (struct verifiers){.scram = buf_make_secret(SCRAM_TEXT_MAX), .cram = buf_make_secret(CRAM_TEXT)};
	return ((mechanisms & MECHANISM_BIT(MECHANISM_SCRAM_SHA_256)) == 0 || make_scram(v, password)) &&
	       ((mechanisms & MECHANISM_BIT(MECHANISM_CRAM_MD5)) == 0 || make_cram(v, password));
}

static int keep(struct users *u, uint32_t mechanisms, set_fn *set, const char *address, struct slice password)
{
	struct verifiers v;
	int exit;

	if (make_verifiers(&v, mechanisms, password))
		exit = tell(u, set(u, slice_of(address), password, v.all, v.count), address,
			    "there is such a user already; `postern user passwd` changes the password");
	else
		exit = complain(CLI_REFUSED, address,
				"this password holds a character that SCRAM cannot carry (RFC 4013); take another password");
	buf_free(&v.scram);
	buf_free(&v.cram);
	return exit;
}

/* How a password is set in either place. */
struct setting {
	set_fn *in_database;
	enum outcome (*in_file)(const char *path, gid_t gid, struct slice address, struct slice password, struct buf *why);
	bool create;
};

static int set_in_file(const struct database *at, const struct setting *how, const char *address, struct slice password)
{
	struct buf why = buf_make(2048);
	int exit = tell_file(how->in_file(at->path, at->secrets_gid, slice_of(address), password, &why), address, &why);

	buf_free(&why);
	return exit;
}

static int set_in_database(const struct database *at, const struct setting *how, const char *address, struct slice password)
{
	int exit;
	struct users *u = open_users(at, how->create, &exit);

	if (u != NULL)
		exit = keep(u, at->mechanisms, how->in_database, address, password);
	users_free(&u);
	return exit;
}

static bool is_served(const struct domains_entry *e, void *arg)
{
	*(bool *)arg = e->removed_s == 0;
	return true;
}

/* A login needs no domain of ours, but a typing mistake looks just so. */
static void tell_domain(const struct conf *conf, const char *address)
{
	const char *at = strrchr(address, '@');
	struct buf why = buf_make(1024);
	struct domains *d = at == NULL || conf->domains == NULL ? NULL : domains_open(conf->domains, false, &why);
	char domain[MAIL_DOMAIN_MAX + 1];
	enum outcome oc = OC_IO_ERROR; /* nothing is known of it then, and nothing said */
	bool served = false;

	if (d != NULL && mail_domain_parse(slice_of(at + 1), MAIL_ALLOW_UTF8, domain) && domain[0] != '[' && domain[0] != '.')
		oc = domains_find(d, slice_of(domain), is_served, &served, &why);
	if (oc == OC_NOT_FOUND || (oc == OC_DONE && !served))
		fprintf(stderr, "postern: %s: note: mail for %s is not taken here; `postern domain add %s` changes that\n", address, domain, domain);
	domains_close(&d);
	buf_free(&why);
}

/* The quota first: without its user it means nothing, and what was there comes back where the user cannot be made. */
static int set_with_quota(const struct cli *cli, const struct database *at, const struct setting *how, struct slice password)
{
	const char *address = cli->argument[0];
	struct buf was = buf_make(4096);
	struct conf *conf = NULL;
	int exit = CLI_OK;

	if (how->create && (conf = configured(cli, &exit)) != NULL)
		exit = quota_make(conf);
	if (exit == CLI_OK && conf != NULL && cli->quota != NULL)
		exit = quota_set(cli, conf, address, cli->quota, &was);
	if (exit == CLI_OK)
		exit = (at->is_file ? set_in_file : set_in_database)(at, how, address, password);
	else
		conf_free(&conf);
	if (exit == CLI_OK && conf != NULL)
		tell_domain(conf, address);
	if (exit != CLI_OK && conf != NULL && cli->quota != NULL)
		(void)quota_undo(cli, conf, address, buf_slice(&was));
	conf_free(&conf);
	buf_free(&was);
	return exit;
}

static int set_password(const struct cli *cli, const struct setting *how)
{
	const char *address = cli->argument[0], *why;
	struct buf password = buf_make_secret(PASSWORD_MAX + 1);
	struct database at;
	int exit;

	if (!users_is_address(slice_of(address)))
		return complain(CLI_USAGE, address, "a user is an address: local@domain");
	exit = find_database(cli, &at);
	if (exit == CLI_OK && !get_password(cli, address, &password, &why))
		exit = complain(CLI_REFUSED, address, why);
	if (exit == CLI_OK)
		exit = set_with_quota(cli, &at, how, buf_slice(&password));
	if (exit == CLI_OK && !show_generated(cli, &password))
		exit = CLI_TEMPORARY;
	buf_free(&password);
	return exit;
}

int run_user_add(const struct cli *cli, const struct command *command)
{
	const struct setting how = {users_add, users_file_add, true};

	(void)command;
	return set_password(cli, &how);
}

int run_user_passwd(const struct cli *cli, const struct command *command)
{
	const struct setting how = {users_set_password, users_file_set_password, false};

	(void)command;
	return set_password(cli, &how);
}

static int remove_from_database(const struct database *at, const char *address)
{
	int exit;
	struct users *u = open_users(at, false, &exit);

	if (u != NULL)
		exit = tell(u, users_remove(u, slice_of(address)), address, "");
	users_free(&u);
	return exit;
}

int run_user_remove(const struct cli *cli, const struct command *command)
{
	const char *address = cli->argument[0];
	struct buf why = buf_make(2048);
	struct database at;
	int exit = find_database(cli, &at);

	(void)command;
	if (exit == CLI_OK && at.is_file)
		exit = tell_file(users_file_remove(at.path, slice_of(address), &why), address, &why);
	else if (exit == CLI_OK)
		exit = remove_from_database(&at, address);
	buf_free(&why);
	return exit;
}

static bool list_line(struct slice address, void *arg)
{
	listing_text(arg, "address", address);
	return listing_row(arg);
}

static bool list_one(struct slice address, int64_t created_s, void *arg)
{
	listing_text(arg, "address", address);
	listing_number(arg, "created", created_s);
	return listing_row(arg);
}

static int list_database(const struct database *at, struct listing *l)
{
	int exit;
	struct users *u;

	if (access(at->path, F_OK) == -1 && errno == ENOENT)
		return CLI_OK; /* nobody was added yet */
	u = open_users(at, false, &exit);

	if (u != NULL)
		exit = tell(u, users_list(u, list_one, l), "user list", "");
	users_free(&u);
	return exit;
}

int run_user_list(const struct cli *cli, const struct command *command)
{
	struct buf why = buf_make(2048);
	struct listing l;
	struct database at;
	int exit = find_database(cli, &at);

	listing_begin(&l, cli, command);
	if (exit == CLI_OK && at.is_file)
		exit = tell_file(users_file_list(at.path, list_line, &l, &why), "user list", &why);
	else if (exit == CLI_OK)
		exit = list_database(&at, &l);
	exit = listing_end(&l, exit, command);
	buf_free(&why);
	return exit;
}
