#include "run_quota.h"

#include "base/log.h"
#include "base/mem.h"
#include "conf/table_keys.h"
#include "configured.h"
#include "file_at/file_at.h"
#include "listing.h"
#include "mail/subaddress.h"
#include "quota/maildirsize.h"
#include "table_rows.h"
#include "rules/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

/* user quota: how much a mailbox holds and may hold, and what its table says of it. */

#define WORDS_MAX 200u

static const char *config_path(const struct cli *cli)
{
	return cli->where.config != NULL ? cli->where.config : CLI_CONFIG_DEFAULT;
}

/* ---- which transport ---- */

static bool has_quota(const struct conf_transport *t)
{
	return t->kind == TRANSPORT_MAILDIR && (t->quota_by != NULL || !quota_limit_is_none(&t->quota));
}

static int complain_of_none(const struct cli *cli)
{
	return complain(CLI_CONFIG, config_path(cli),
			"no transport has a quota; for one that this command sets add to a maildir transport: quota NAME, and\n"
			"  table NAME sqlite /var/lib/postern/users.db \"select quota from quotas where address = ?\", or\n"
			"  table NAME file PATH");
}

/* NULL: *exit_out, and it was said why. */
static const struct conf_transport *find_transport(const struct cli *cli, const struct conf *conf, int *exit_out)
{
	const struct conf_transport *found = NULL;

	*exit_out = CLI_OK;
	for (size_t i = 0; i < conf->transport_count; i++) {
		const struct conf_transport *t = &conf->transports[i];

		if (!has_quota(t) || (cli->transport != NULL && strcmp(t->name, cli->transport) != 0))
			continue;
		if (found != NULL) {
			*exit_out = complain(CLI_USAGE, "several transports have a quota; say which one delivers to this mailbox", "--transport NAME");
			return NULL;
		}
		found = t;
	}
	if (found == NULL && cli->transport != NULL)
		*exit_out = complain(CLI_USAGE, cli->transport, "there is no such transport with a quota");
	else if (found == NULL)
		*exit_out = complain_of_none(cli);
	return found;
}

/* ---- what it may hold ---- */

struct limit {
	struct quota_limit is;
	const struct conf_table *table; /* that says so; NULL: the transport */
	const char *key; /* of the table */
};

static const char *key_name(struct slice key)
{
	size_t at = slice_rindex(key, '@');

	if (slice_eq(key, slice_of("*")))
		return "*";
	return at == SLICE_NONE ? "its local part" : at == 0 ? "its domain" : "its address";
}

/* DONE: the key stands there; without a value it leaves the transport's own limit. */
static enum outcome read_limit(const struct conf_table *table, struct slice key, struct limit *out, struct buf *why)
{
	struct buf value = buf_make(4096);
	enum outcome oc = table_rows_find(table, key, &value, why);

	if (oc == OC_DONE && slice_trim(buf_slice(&value)).len > 0) {
		*out = (struct limit){out->is, table, key_name(key)};
		if (!quota_limit_read(buf_slice(&value), &out->is)) {
			buf_addf(why, "table %s has for %.*s what is no quota; write one such as 500M", table->name, SLICE_ARG(key));
			oc = OC_BAD_INPUT;
		}
	}
	buf_free(&value);
	return oc;
}

/* By the keys that policyd asks for: the first that stands there decides, whatever it has. */
static enum outcome find_limit(const struct conf *conf, const struct conf_transport *t, const struct mail_address *a, struct limit *out, struct buf *why)
{
	char space[MAIL_ADDRESS_MAX + 1];
	struct slice whole = mail_address_text(a);
	struct table_keys keys = {.count = 0};
	enum outcome oc = OC_NOT_FOUND;

	*out = (struct limit){t->quota, NULL, NULL};
	if (t->quota_table != NULL)
		(void)table_keys_alias(t->quota_table->kind, whole, subaddress_base(slice_of(conf->set.sub_address), whole, space), &keys);
	for (size_t i = 0; oc == OC_NOT_FOUND && i < keys.count; i++) {
		buf_clear(why);
		oc = read_limit(t->quota_table, keys.at[i], out, why);
	}
	return oc == OC_NOT_FOUND ? OC_DONE : oc;
}

/* ---- what it holds ---- */

/* The folder that the template or the home begins with; -1: errno. */
static int open_base(const struct conf_transport *t, struct slice address, struct buf *path_out)
{
	char base[CONF_BASE_MAX];
	struct buf user = buf_make(MAILBOX_PATH_MAX);
	const struct passwd *pw = NULL;
	struct slice part;
	int fd = -1;

	errno = ENOENT;
	if (conf_transport_in_home(t, &part)) {
		if (mailbox_user(address, &user) == MAILBOX_DONE)
			pw = getpwnam(buf_text(&user));
		if (pw != NULL && buf_add_slice(path_out, part))
			fd = open(pw->pw_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else if (conf_transport_base(t, base) && mailbox_path(slice_of(t->maildir), address, path_out) == MAILBOX_DONE) {
		/* "/var/mail/." of "/var/mail/example.org/alice/" */
		buf_take(path_out, strlen(base) - 1);
		fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	buf_free(&user);
	return fd;
}

/* No symbolic link is followed beneath it: its owner made what lies there. */
static bool read_size(int base, struct buf *path, struct maildirsize *out)
{
	struct buf text = buf_make(MAILDIRSIZE_BYTES_MAX + 1);
	struct file_at file = {.fd = -1};
	struct file_at_mark mark;
	struct stat st;
	bool done;

	if (path->len > 0 && path->at[path->len - 1] != '/')
		buf_add_char(path, '/');
	done = buf_add_text(path, MAILDIRSIZE_NAME) && file_at_open_beneath(&file, base, buf_slice(path));
	done = done && file_at_read(&file, &text, &st, &mark);
	if (file.fd != -1)
		close(file.fd);
	if (done && !maildirsize_read(buf_slice(&text), out)) {
		done = false;
		errno = ENOENT; /* counted anew at the next delivery */
	}
	buf_free(&text);
	return done;
}

/* False with errno; ENOENT: it was never counted. */
static bool find_use(const struct conf_transport *t, struct slice address, struct maildirsize *out)
{
	struct buf path = buf_make(MAILBOX_PATH_MAX + 32);
	int base = open_base(t, address, &path);
	bool done = base != -1 && read_size(base, &path, out);
	int err = errno;

	if (base != -1)
		close(base);
	buf_free(&path);
	errno = err;
	return done;
}

/* ---- to show ---- */

static void show_use(struct listing *l, const struct conf_transport *t, struct slice address)
{
	struct maildirsize use;

	if (find_use(t, address, &use)) {
		listing_number(l, "used", use.bytes);
		listing_number(l, "messages", use.files);
	} else {
		listing_text(l, "used", errno == ENOENT ? slice_of("not counted yet") : log_errno_text(errno));
	}
}

static void show_limit(struct listing *l, const struct conf_transport *t, const struct limit *limit)
{
	struct buf text = buf_make(200), by = buf_make(400);

	quota_limit_print(&text, &limit->is);
	listing_text(l, "quota", buf_slice(&text));
	if (limit->is.bytes != 0)
		listing_number(l, "limit", (int64_t)(limit->is.bytes > INT64_MAX ? INT64_MAX : limit->is.bytes));
	if (limit->is.messages != 0)
		listing_number(l, "limit_messages", (int64_t)limit->is.messages);
	if (limit->table != NULL)
		buf_addf(&by, "table %s, by %s", limit->table->name, limit->key);
	else
		buf_addf(&by, "transport %s", t->name);
	listing_text(l, "by", buf_slice(&by));
	buf_free(&text);
	buf_free(&by);
}

static int tell(enum outcome oc, const char *about, struct buf *why)
{
	if (oc == OC_DONE)
		return CLI_OK;
	return complain(oc == OC_NOT_FOUND || oc == OC_BAD_INPUT ? CLI_REFUSED : CLI_TEMPORARY, about, buf_text(why));
}

static int show(struct listing *l, const struct conf *conf, const struct conf_transport *t, const struct mail_address *a)
{
	struct buf why = buf_make(2048);
	struct limit limit;
	enum outcome oc = find_limit(conf, t, a, &limit, &why);

	if (oc == OC_DONE) {
		listing_text(l, "address", mail_address_text(a));
		listing_text(l, "transport", slice_of(t->name));
		show_use(l, t, mail_address_text(a));
		show_limit(l, t, &limit);
	}
	int exit = tell(oc, mail_address_text(a).at, &why);

	buf_free(&why);
	return exit;
}

/* ---- to change ---- */

/* "default": it has none of its own. */
static int read_words(const char *words, struct buf *value_out)
{
	struct quota_limit limit;

	if (strcmp(words, "default") == 0)
		return CLI_OK;
	if (!quota_limit_read(slice_of(words), &limit))
		return complain(CLI_USAGE, words, "this is no quota; write one such as 500M, \"500M 10000\" (and messages), none, or default; 64K at least");
	quota_limit_print(value_out, &limit);
	return CLI_OK;
}

static int set_value(const struct conf_transport *t, const char *address, struct slice value, struct buf *was_out)
{
	struct buf why = buf_make(2048);
	int exit;

	if (t->quota_table == NULL)
		exit = complain(CLI_CONFIG, t->name, "the quota of this transport is the same for all; for one that this command sets name a table there: quota NAME");
	else
		exit = tell(table_rows_set(&table_rows_quotas, t->quota_table, slice_of(address), value, was_out, &why), address, &why);
	buf_free(&why);
	return exit;
}

int quota_set(const struct cli *cli, const struct conf *conf, const char *address, const char *words, struct buf *was_out)
{
	struct buf value = buf_make(WORDS_MAX);
	int exit = read_words(words, &value);
	const struct conf_transport *t = exit == CLI_OK ? find_transport(cli, conf, &exit) : NULL;

	if (t != NULL)
		exit = set_value(t, address, buf_slice(&value), was_out);
	buf_free(&value);
	return exit;
}

int quota_undo(const struct cli *cli, const struct conf *conf, const char *address, struct slice was)
{
	struct buf now = buf_make(4096);
	int exit;
	const struct conf_transport *t = find_transport(cli, conf, &exit);

	if (t != NULL)
		exit = set_value(t, address, was, &now);
	buf_free(&now);
	return exit;
}

int quota_make(const struct conf *conf)
{
	struct buf why = buf_make(2048);
	int exit = CLI_OK;

	for (size_t i = 0; exit == CLI_OK && i < conf->transport_count; i++)
		if (conf->transports[i].quota_table != NULL)
			exit = tell(table_rows_make(&table_rows_quotas, conf->transports[i].quota_table, &why), conf->transports[i].quota_by, &why);
	buf_free(&why);
	return exit;
}

static int change(const struct cli *cli, const struct conf *conf, const char *address, struct listing *l)
{
	struct buf words = buf_make(WORDS_MAX), was = buf_make(4096);
	int exit;

	buf_add_text(&words, cli->argument[1]);
	if (cli->count > 2)
		buf_addf(&words, " %s", cli->argument[2]);
	if (buf_ok(&words))
		exit = quota_set(cli, conf, address, buf_text(&words), &was);
	else
		exit = complain(CLI_USAGE, "this is no quota", "");
	if (exit == CLI_OK)
		listing_text(l, "was", was.len > 0 ? buf_slice(&was) : slice_of("default"));
	buf_free(&words);
	buf_free(&was);
	return exit;
}

int run_user_quota(const struct cli *cli, const struct command *command)
{
	struct mail_address address;
	struct conf *conf = NULL;
	const struct conf_transport *t;
	struct listing l;
	int exit = CLI_OK;

	listing_begin(&l, cli, command);
	if (mail_address_parse(slice_of(cli->argument[0]), MAIL_ALLOW_UTF8, &address) != MAIL_OK)
		exit = complain(CLI_USAGE, cli->argument[0], "a mailbox is an address: local@domain");
	else
		conf = configured(cli, &exit);
	t = conf != NULL ? find_transport(cli, conf, &exit) : NULL;
	if (t != NULL && cli->count > 1)
		exit = change(cli, conf, mail_address_text(&address).at, &l);
	if (t != NULL && exit == CLI_OK)
		exit = show(&l, conf, t, &address);
	if (t != NULL && exit == CLI_OK && !listing_row(&l))
		exit = CLI_TEMPORARY;
	exit = listing_end(&l, exit, command);
	conf_free(&conf);
	return exit;
}
