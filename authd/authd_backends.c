#include "authd_backends.h"

#include "authd_secrets.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "file_at/file_at.h"
#include "users/users.h"

#include <errno.h>

#define LOOK_EVERY_MS 1000
#define LOG_EVERY_MS 60000
#define OLD_EVERY_MS 3600000

/* A file of lines, read again when it changed. */
struct flat {
	const char *path; /* borrowed; NULL: there is none */
	struct file_at at;
	struct file_at_mark mark;
	struct buf text; /* owned, secret: the last good reading */
	bool readable;
};

struct backends {
	const struct conf *conf;
	struct file_at database, secrets, credentials;
	struct file_at_mark database_mark;
	struct users *users; /* owned; NULL while it cannot be read */
	struct flat flat, certificates;
	uint64_t look_at_ms, log_at_ms, old_at_ms;
};

static void complain(struct backends *b, const char *path, struct slice why)
{
	uint64_t now = clock_mono_ms();

	if (now < b->log_at_ms)
		return;
	b->log_at_ms = now + LOG_EVERY_MS;
	LOG(LEVEL_ERROR, "users-unreadable", KV_STR("path", path), KV_TEXT("why", why));
}

/* ---- users ---- */

static void open_database(struct backends *b)
{
	struct buf why = buf_make(512);

	users_free(&b->users);
	b->users = users_open_at(file_at_folder(&b->database), slice_of(b->database.name), &why);
	if (b->users == NULL)
		complain(b, b->conf->auth.sqlite, buf_slice(&why));
	buf_free(&why);
}

static void warn_of_old(struct backends *b)
{
	uint64_t now = clock_mono_ms();

	if (now < b->old_at_ms)
		return;
	b->old_at_ms = now + OLD_EVERY_MS;
	LOG(LEVEL_WARN, "users-not-moved", KV_STR("path", b->conf->auth.sqlite));
}

/* Old ones are opened anew each time: any moment the command may have moved the hashes. */
static void look_at_database(struct backends *b)
{
	struct file_at_mark mark;
	struct stat st;

	if (!file_at_look(&b->secrets, &st, &mark) && !file_at_look(&b->database, &st, &mark)) {
		complain(b, b->conf->auth.sqlite, log_errno_text(errno));
		users_free(&b->users);
		return;
	}
	if (b->users == NULL || users_is_old(b->users) || mark.inode != b->database_mark.inode ||
	    mark.device != b->database_mark.device)
		open_database(b);
	b->database_mark = mark;
	if (b->users != NULL && users_is_old(b->users))
		warn_of_old(b);
}

static void read_flat(struct backends *b, struct flat *f)
{
	struct buf text = buf_make_secret(FLAT_FILE_MAX);
	struct stat st;

	f->readable = file_at_read(&f->at, &text, &st, &f->mark);
	if (!f->readable) {
		complain(b, f->path, log_errno_text(errno));
		buf_free(&text);
		return;
	}
	buf_free(&f->text);
	f->text = text;
}

static void look_at_flat(struct backends *b, struct flat *f)
{
	struct file_at_mark mark;
	struct stat st;

	if (f->path != NULL && (!f->readable || !file_at_look(&f->at, &st, &mark) || !file_at_mark_eq(&mark, &f->mark)))
		read_flat(b, f);
}

static void look(struct backends *b)
{
	uint64_t now = clock_mono_ms();

	if (b->look_at_ms != 0 && now < b->look_at_ms)
		return;
	b->look_at_ms = now + LOOK_EVERY_MS;
	if (b->conf->auth.sqlite != NULL)
		look_at_database(b);
	look_at_flat(b, &b->flat);
	look_at_flat(b, &b->certificates);
}

static enum outcome find_in_database(struct backends *b, struct slice login, struct buf *hash_out)
{
	enum outcome oc;

	if (b->conf->auth.sqlite == NULL)
		return OC_NOT_FOUND;
	if (b->users == NULL)
		return OC_UNAVAILABLE;
	oc = users_find(b->users, login, hash_out);
	if (oc != OC_DONE && oc != OC_NOT_FOUND)
		complain(b, b->conf->auth.sqlite, slice_of(users_why(b->users)));
	return oc;
}

static enum outcome find_in_flat(struct backends *b, struct slice login, struct buf *hash_out)
{
	struct slice hash;
	enum outcome oc;

	if (b->flat.path == NULL)
		return OC_NOT_FOUND;
	if (!b->flat.readable)
		return OC_UNAVAILABLE;
	oc = flat_find(buf_slice(&b->flat.text), login, &hash);
	/* What is too long for a hash fits no password. */
	if (oc == OC_DONE)
		(void)buf_add_slice(hash_out, hash);
	return oc;
}

enum outcome backends_find_hash(struct backends *b, struct slice login, struct buf *hash_out)
{
	enum outcome oc, other;

	look(b);
	oc = find_in_database(b, login, hash_out);
	if (oc == OC_DONE)
		return oc;
	other = find_in_flat(b, login, hash_out);
	/* One that cannot be asked might have known it. */
	return other == OC_NOT_FOUND ? oc : other;
}

enum outcome backends_find_identity(struct backends *b, struct slice known_by, struct slice *login_out)
{
	enum outcome oc;

	look(b);
	if (!b->certificates.readable)
		return OC_UNAVAILABLE;
	oc = certificates_find(buf_slice(&b->certificates.text), known_by, login_out);
	if (oc == OC_BAD_INPUT)
		complain(b, b->certificates.path, slice_of("what stands behind a certificate is no login"));
	return oc == OC_BAD_INPUT ? OC_UNAVAILABLE : oc;
}

/* ---- verifiers: in the users database only ---- */

enum outcome backends_find_verifier(struct backends *b, struct slice login, const char *kind, struct buf *value_out)
{
	enum outcome oc;

	look(b);
	if (b->users == NULL)
		return OC_UNAVAILABLE;
	oc = users_find_verifier(b->users, login, kind, value_out);
	if (oc != OC_DONE && oc != OC_NOT_FOUND)
		complain(b, b->conf->auth.sqlite, slice_of(users_why(b->users)));
	return oc;
}

/* Before the first command that opened it to write there is none, and no verifier either. */
enum outcome backends_find_seed(struct backends *b, struct buf *seed_out)
{
	static unsigned char of_this_process[32];
	static bool made;
	enum outcome oc = backends_find_verifier(b, slice_empty(), USERS_SEED, seed_out);

	if (oc != OC_NOT_FOUND)
		return oc;
	if (!made)
		mem_random(of_this_process, sizeof(of_this_process));
	made = true;
	return buf_add(seed_out, of_this_process, sizeof(of_this_process)) ? OC_DONE : OC_NO_MEMORY;
}

/* ---- credentials ---- */

static const char *directory_login(const struct conf *conf)
{
	return conf->auth.ldap == NULL ? NULL : conf->auth.ldap->login;
}

static bool wants_credentials(const struct conf *conf)
{
	bool wants = directory_login(conf) != NULL;

	for (size_t i = 0; i < conf->transport_count; i++)
		wants = wants || conf->transports[i].login != NULL;
	return wants;
}

static bool has_login(const struct conf *conf, struct slice text, const char *login, const char *of, const char *name, struct buf *why)
{
	struct credential c;

	if (login == NULL || credential_find(text, slice_of(login), &c))
		return true;
	buf_addf(why, "%s: there is no line \"%s: user password\", which %s%s needs (login %s)", conf->credentials, login, of, name, login);
	return false;
}

static bool has_all_logins(const struct conf *conf, struct slice text, struct buf *why)
{
	for (size_t i = 0; i < conf->transport_count; i++)
		if (!has_login(conf, text, conf->transports[i].login, "transport ", conf->transports[i].name, why))
			return false;
	return has_login(conf, text, directory_login(conf), "ldap", "", why);
}

static bool check_text(struct backends *b, const struct stat *st, struct slice text, struct buf *why)
{
	const char *path = b->conf->credentials;
	struct buf mistake = buf_make(256);
	bool good = false;

	if ((st->st_mode & S_IROTH) != 0)
		buf_addf(why, "%s: everybody on this host can read it: chmod o-rwx %s", path, path);
	else if (!credentials_check(text, &mistake))
		buf_addf(why, "%s:%.*s", path, SLICE_ARG(buf_slice(&mistake)));
	else
		good = has_all_logins(b->conf, text, why);
	buf_free(&mistake);
	return good;
}

static bool check_credentials(struct backends *b, struct buf *why)
{
	struct buf text = buf_make_secret(CREDENTIALS_FILE_MAX);
	struct file_at_mark mark;
	struct stat st;
	bool good;

	if (b->conf->credentials == NULL || !wants_credentials(b->conf))
		return true;
	good = file_at_read(&b->credentials, &text, &st, &mark);
	if (good)
		good = check_text(b, &st, buf_slice(&text), why);
	else
		buf_addf(why, "%s: %.*s (postern-authd reads it)", b->conf->credentials, SLICE_ARG(log_errno_text(errno)));
	buf_free(&text);
	return good;
}

enum outcome backends_find_credential(struct backends *b, struct slice name, struct buf *user_out, struct buf *password_out)
{
	struct buf text = buf_make_secret(CREDENTIALS_FILE_MAX);
	enum outcome oc = OC_UNAVAILABLE;
	struct file_at_mark mark;
	struct credential c;
	struct stat st;

	if (b->conf->credentials == NULL || !file_at_read(&b->credentials, &text, &st, &mark))
		complain(b, b->conf->credentials == NULL ? "" : b->conf->credentials, log_errno_text(errno));
	else if (!credential_find(buf_slice(&text), name, &c))
		complain(b, b->conf->credentials, slice_of("a credential that a transport names is not in it"));
	else if (buf_add_slice(user_out, c.user) && buf_add_slice(password_out, c.password))
		oc = OC_DONE;
	buf_free(&text);
	return oc;
}

/* ---- all ---- */

static void reach(struct file_at *f, const char *path, backends_fd_fn *fd, void *arg)
{
	f->fd = -1;
	if (path != NULL)
		(void)file_at_init(f, fd(arg, path), slice_of(path));
}

static void reach_flat(struct flat *f, const char *path, backends_fd_fn *fd, void *arg)
{
	f->path = path;
	f->text = buf_make_secret(FLAT_FILE_MAX);
	reach(&f->at, path, fd, arg);
}

/* In the folder of the addresses, by the same descriptor. */
static void reach_secrets(struct file_at *f, const struct file_at *database)
{
	struct buf name = buf_make(sizeof(f->name));

	f->fd = -1;
	if (buf_addf(&name, "%s" USERS_SECRETS_SUFFIX, database->name))
		(void)file_at_init(f, database->fd, buf_slice(&name));
	buf_free(&name);
}

bool backends_new(const struct conf *conf, backends_fd_fn *fd, void *arg, struct backends **out, struct buf *why)
{
	struct backends *b = mem_new(1, sizeof(*b));

	*out = NULL;
	if (b == NULL) {
		buf_add_text(why, "out of memory");
		return false;
	}
	b->conf = conf;
	reach(&b->database, conf->auth.sqlite, fd, arg);
	reach_secrets(&b->secrets, &b->database);
	reach_flat(&b->flat, conf->auth.file, fd, arg);
	reach_flat(&b->certificates, conf->auth.external, fd, arg);
	reach(&b->credentials, conf->credentials, fd, arg);
	if (!check_credentials(b, why)) {
		backends_free(&b);
		return false;
	}
	*out = b;
	return true;
}

void backends_free(struct backends **bp)
{
	struct backends *b = *bp;

	if (b == NULL)
		return;
	*bp = NULL;
	users_free(&b->users);
	buf_free(&b->flat.text);
	buf_free(&b->certificates.text);
	free(b);
}
