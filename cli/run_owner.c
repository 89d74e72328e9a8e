#include "run_owner.h"

#include "base/mem.h"
#include "os/user.h"
#include "table_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_MAX 300u

static int tell(enum outcome oc, const char *about, struct buf *why)
{
	if (oc == OC_DONE)
		return CLI_OK;
	return complain(oc == OC_NOT_FOUND || oc == OC_BAD_INPUT ? CLI_REFUSED : CLI_TEMPORARY, about, buf_text(why));
}

/* NULL with CLI_OK: there is none, and none is needed. */
static const struct conf_transport *find_transport(const struct cli *cli, const struct conf *conf, int *exit_out)
{
	const struct conf_transport *found = NULL;
	size_t count = 0;

	*exit_out = CLI_OK;
	for (size_t i = 0; i < conf->transport_count; i++) {
		const struct conf_transport *t = &conf->transports[i];

		if (t->user_by == NULL || (cli->transport != NULL && strcmp(t->name, cli->transport) != 0))
			continue;
		found = t;
		count++;
	}
	if (count > 1 && cli->user != NULL)
		*exit_out = complain(CLI_USAGE, "several transports have users by a table; say which one delivers to this domain", "--transport NAME");
	else if (count == 0 && cli->transport != NULL)
		*exit_out = complain(CLI_USAGE, cli->transport, "there is no such transport with users by a table");
	else if (count == 0 && cli->user != NULL)
		*exit_out = complain(CLI_CONFIG, "no transport has users by a table; write in that of the mailboxes: user by NAME, and",
				     "\n  table NAME sqlite /var/lib/postern/users.db \"select user from owners where address = ?\", or\n"
				     "  table NAME file PATH");
	return count == 1 ? found : NULL;
}

/* The same bounds as authd has. */
static int find_user(const struct conf *conf, const char *name, bool is_named, struct passwd *out, char space[OS_USER_BYTES])
{
	enum outcome oc = os_user_is_name(slice_of(name)) ? os_user_find(name, out, space) : OC_NOT_FOUND;

	if (oc == OC_NOT_FOUND)
		return complain(CLI_REFUSED, name, "there is no such user on this system");
	if (oc != OC_DONE)
		return complain(CLI_TEMPORARY, name, "it cannot be found out now who that is: the system does not say");
	if (out->pw_uid == 0 || out->pw_gid == 0)
		return complain(CLI_REFUSED, name, "that is root or of root's group: mail is never delivered as root");
	if (is_named && out->pw_uid < conf->set.system_uid_min)
		return complain(CLI_REFUSED, name, "its uid is below system-uid-min: mail is delivered as no user of the system's own");
	return CLI_OK;
}

/* ---- the folder ---- */

/* "/var/mail/{domain}/...": its folder is one beneath the base. */
static bool has_domain_folder(const struct conf_transport *t, char base[CONF_BASE_MAX])
{
	struct slice rest;

	if (t->kind == TRANSPORT_PIPE || geteuid() != 0 || !conf_transport_base(t, base))
		return false;
	rest = slice_from(slice_of(t->maildir), strlen(base) - 1);
	return slice_starts(rest, slice_of("{domain}/"));
}

/* Who may write to it could put his own folder in another's place; who cannot walk through it gets no mail. */
static int check_base(const struct conf_transport *t, const char *base, int fd)
{
	mode_t walk = t->group != NULL ? S_IXGRP | S_IXOTH : S_IXOTH;
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return complain(CLI_REFUSED, base, strerrordesc_np(errno));
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 || (st.st_mode & walk) == 0)
		return complain(CLI_REFUSED, base, "the folder of all mailboxes is to be root's, and others walk through it and write nothing: mode 0711");
	return CLI_OK;
}

static int check_folder(const char *domain, int base, const struct passwd *pw)
{
	char text[300];
	struct stat st;

	if (fstatat(base, domain, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return complain(CLI_TEMPORARY, domain, strerrordesc_np(errno));
	if (S_ISDIR(st.st_mode) && st.st_uid == pw->pw_uid && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
		return CLI_OK;
	snprintf(text, sizeof(text), "its folder is there, and is not %.64s's alone (uid %u, mode %o); see to it with chown -R and chmod", pw->pw_name,
		 (unsigned)st.st_uid, (unsigned)st.st_mode & 07777u);
	return complain(CLI_REFUSED, domain, text);
}

/* Whole before it has its name. */
static bool make_folder(const char *domain, int base, const struct passwd *pw)
{
	char adding[KEY_MAX];
	int fd;
	bool done;

	snprintf(adding, sizeof(adding), ".adding-%s", domain);
	if (mkdirat(base, adding, 0700) == -1 && errno != EEXIST)
		return false;
	fd = openat(base, adding, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return false;
	done = fchown(fd, pw->pw_uid, pw->pw_gid) == 0 && fchmod(fd, 0700) == 0 && fsync(fd) == 0 &&
	       renameat2(base, adding, base, domain, RENAME_NOREPLACE) == 0 && fsync(base) == 0;
	close(fd);
	return done;
}

static int need_folder(const struct conf_transport *t, const char *domain, const struct passwd *pw, bool *made_out)
{
	char path[CONF_BASE_MAX];
	struct stat st;
	int base, exit;

	if (!has_domain_folder(t, path))
		return CLI_OK;
	base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	exit = check_base(t, path, base);
	if (exit == CLI_OK && fstatat(base, domain, &st, AT_SYMLINK_NOFOLLOW) == 0)
		exit = check_folder(domain, base, pw);
	else if (exit == CLI_OK && make_folder(domain, base, pw))
		*made_out = true;
	else if (exit == CLI_OK)
		exit = complain(CLI_TEMPORARY, path, strerrordesc_np(errno));
	if (base != -1)
		close(base);
	return exit;
}

static void drop_folder(const struct conf_transport *t, const char *domain)
{
	char path[CONF_BASE_MAX];
	int base = has_domain_folder(t, path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (base == -1)
		return;
	(void)unlinkat(base, domain, AT_REMOVEDIR); /* what has something in it stays */
	close(base);
}

/* ---- the table ---- */

static enum outcome set_entry(const struct conf_transport *t, const char *domain, struct slice value, struct buf *was_out, struct buf *why)
{
	char key[KEY_MAX];

	snprintf(key, sizeof(key), "@%s", domain);
	return table_rows_set(&table_rows_owners, t->user_table, slice_of(key), value, was_out, why);
}

/* By the keys that are asked for any address of the domain. */
static void find_entry(const struct conf_transport *t, struct slice domain, struct buf *user, struct buf *by)
{
	char whole[KEY_MAX];
	const char *const keys[] = {whole, "*"}, *const names[] = {"its domain", "*"};
	enum outcome oc = OC_NOT_FOUND;
	size_t i = 0;

	snprintf(whole, sizeof(whole), "@%.*s", SLICE_ARG(domain));
	for (; i < ARRAY_LEN(keys) && oc == OC_NOT_FOUND; i++) {
		buf_clear(by);
		oc = table_rows_find(t->user_table, slice_of(keys[i]), user, by);
	}
	if (oc != OC_DONE && oc != OC_NOT_FOUND)
		return; /* and why stands there */
	buf_clear(by);
	if (oc == OC_DONE)
		buf_addf(by, "table %s, by %s", t->user_by, names[i - 1]);
	else if (t->user != NULL && buf_add_text(user, t->user))
		buf_addf(by, "transport %s", t->name);
	else
		buf_addf(by, "not in table %s: its mail waits", t->user_by);
}

static int set_user(const struct cli *cli, const char *domain, struct owner_change *change)
{
	const struct conf_transport *t = change->transport;
	struct buf why = buf_make(2048);
	enum outcome oc;
	int exit;

	if (cli->user != NULL)
		oc = set_entry(t, domain, slice_of(cli->user), &change->was, &why);
	else
		oc = table_rows_make(&table_rows_owners, t->user_table, &why); /* who is not in it is then known not to be */
	change->set = cli->user != NULL && oc == OC_DONE;
	exit = tell(oc, cli->user != NULL ? domain : t->user_by, &why);
	buf_free(&why);
	return exit;
}

/* As whom it will be delivered: NULL: not known, or nobody. */
static const char *name_of(const struct cli *cli, const struct conf_transport *t, const char *domain, struct buf *user)
{
	struct buf by = buf_make(2048);

	if (cli->user == NULL)
		find_entry(t, slice_of(domain), user, &by);
	else
		buf_add_text(user, cli->user);
	buf_free(&by);
	return user->len > 0 ? buf_text(user) : NULL;
}

/* The folder before the entry: who has the entry has where to put his mail. */
static int add(const struct cli *cli, const struct conf *conf, const char *domain, struct owner_change *change)
{
	static char space[OS_USER_BYTES];
	const struct conf_transport *t = change->transport;
	struct buf user = buf_make(4096);
	const char *name = name_of(cli, t, domain, &user);
	bool is_own = name != NULL && t->user != NULL && strcmp(name, t->user) == 0;
	struct passwd pw;
	int exit = CLI_OK;

	if (name != NULL)
		exit = find_user(conf, name, !is_own, &pw, space);
	if (name != NULL && exit == CLI_OK)
		exit = need_folder(t, domain, &pw, &change->made_folder);
	if (exit == CLI_OK)
		exit = set_user(cli, domain, change);
	buf_free(&user);
	return exit;
}

int owner_add(const struct cli *cli, const struct conf *conf, const char *domain, struct owner_change *out)
{
	int exit;

	*out = (struct owner_change){.was = buf_make(4096)};
	out->transport = find_transport(cli, conf, &exit);
	if (out->transport == NULL)
		return exit;
	exit = add(cli, conf, domain, out);
	if (exit != CLI_OK)
		owner_undo(out, domain);
	return exit;
}

void owner_undo(const struct owner_change *change, const char *domain)
{
	struct buf why = buf_make(2048), now = buf_make(4096);

	if (change->set)
		(void)tell(set_entry(change->transport, domain, buf_slice(&change->was), &now, &why), domain, &why);
	if (change->made_folder)
		drop_folder(change->transport, domain);
	buf_free(&why);
	buf_free(&now);
}

void owner_free(struct owner_change *change)
{
	buf_free(&change->was);
}

/* ---- to look ---- */

void owner_show(const struct conf *conf, struct slice domain, struct listing *l)
{
	struct buf users = buf_make(4096), by = buf_make(4096);

	for (size_t i = 0; i < conf->transport_count; i++) {
		struct buf user = buf_make(4096), says = buf_make(2048);

		if (conf->transports[i].user_by != NULL) {
			find_entry(&conf->transports[i], domain, &user, &says);
			buf_addf(&users, "%s%.*s", users.len > 0 ? ", " : "", SLICE_ARG(user.len > 0 ? buf_slice(&user) : slice_of("nobody")));
			buf_addf(&by, "%s%.*s", by.len > 0 ? ", " : "", SLICE_ARG(buf_slice(&says)));
		}
		buf_free(&user);
		buf_free(&says);
	}
	if (users.len > 0) {
		listing_text(l, "user", buf_slice(&users));
		listing_text(l, "user_by", buf_slice(&by));
	}
	buf_free(&users);
	buf_free(&by);
}
