#include "users/users_file.h"

#include "base/log.h"
#include "file_at/file_at.h"
#include "sqlite_at/sqlite_at.h"
#include "users/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 50u

static enum outcome fail(struct buf *why, enum outcome oc, const char *text)
{
	buf_add_text(why, text);
	return oc;
}

static enum outcome fail_errno(struct buf *why, const char *path)
{
	enum outcome oc = errno == ENOSPC || errno == EDQUOT ? OC_SPOOL_FULL : OC_IO_ERROR;

	buf_addf(why, "%s: %.*s", path, SLICE_ARG(log_errno_text(errno)));
	return oc;
}

/* ---- the text ---- */

struct line {
	struct slice whole; /* without its LF */
	struct slice login; /* empty: a comment, or nothing */
	size_t number;
};

static const char *read_line(struct line *l)
{
	struct slice text = slice_trim(l->whole);
	size_t colon = slice_index(text, ':');

	l->login = slice_empty();
	for (size_t i = 0; i < l->whole.len; i++)
		if (((unsigned char)l->whole.at[i] < ' ' && l->whole.at[i] != '\t') || l->whole.at[i] == 0x7f)
			return "a control character";
	if (text.len == 0 || text.at[0] == '#')
		return NULL;
	if (colon == SLICE_NONE)
		return "expected login:hash";
	l->login = slice_trim(slice_sub(text, 0, colon));
	return l->login.len > 0 ? NULL : "no login before the colon";
}

/* False at the end, or with `*oc` BAD_INPUT. */
static bool next_line(struct slice *rest, struct line *l, enum outcome *oc, struct buf *why)
{
	const char *mistake;

	if (*oc != OC_DONE || !slice_cut(rest, '\n', &l->whole))
		return false;
	l->number++;
	mistake = read_line(l);
	if (mistake == NULL)
		return true;
	buf_addf(why, "line %zu: %s; nothing was changed", l->number, mistake);
	*oc = OC_BAD_INPUT;
	return false;
}

static bool add_login(struct slice login, struct slice hash, struct buf *out)
{
	return buf_add_slice(out, login) && buf_add_char(out, ':') && buf_add_slice(out, hash) && buf_add_char(out, '\n');
}

static bool add_line(const struct line *l, bool is_it, enum users_file_change change, struct slice hash, struct buf *out)
{
	if (!is_it)
		return buf_add_slice(out, l->whole) && buf_add_char(out, '\n');
	return change == USERS_FILE_REMOVE || add_login(l->login, hash, out);
}

static enum outcome judge(enum users_file_change change, size_t found, struct buf *why)
{
	if (found > 1)
		return fail(why, OC_BAD_INPUT, "this login stands in the file twice; take one of the lines out");
	if (change == USERS_FILE_ADD)
		return found == 0 ? OC_DONE : fail(why, OC_NOT_ALLOWED, "there is such a user already");
	return found == 1 ? OC_DONE : fail(why, OC_NOT_FOUND, "there is no such user");
}

enum outcome users_file_edit(struct slice text, enum users_file_change change, struct slice address, struct slice hash, struct buf *out,
			     struct buf *why)
{
	struct line l = {.number = 0};
	enum outcome oc = OC_DONE;
	size_t found = 0;

	while (next_line(&text, &l, &oc, why)) {
		bool is_it = l.login.len > 0 && slice_eq_nocase(l.login, address);

		found += is_it;
		(void)add_line(&l, is_it, change, hash, out);
	}
	if (oc == OC_DONE)
		oc = judge(change, found, why);
	if (oc == OC_DONE && change == USERS_FILE_ADD)
		(void)add_login(address, hash, out);
	return oc != OC_DONE || buf_ok(out) ? oc : fail(why, OC_SPOOL_FULL, "the file would be larger than 4 MiB; use sqlite");
}

/* ---- the file ---- */

struct opened {
	const char *path;
	int folder, lock; /* owned */
	struct file_at at;
	struct file_at_mark mark;
	struct stat st;
	struct buf text; /* secret: what stands there */
};

static void close_file(struct opened *f)
{
	if (f->lock != -1)
		close(f->lock);
	if (f->folder != -1)
		close(f->folder);
	buf_free(&f->text);
}

static enum outcome open_folder(struct opened *f, const char *path, struct buf *why)
{
	struct slice name;

	*f = (struct opened){.path = path, .folder = -1, .lock = -1, .text = buf_make_secret(USERS_FILE_MAX)};
	f->folder = sqlite_at_folder(path, &name);
	if (f->folder == -1)
		return fail_errno(why, path);
	errno = EINVAL;
	return file_at_init(&f->at, f->folder, slice_of(path)) ? OC_DONE : fail_errno(why, path);
}

/* Whether what we locked is still what the name names. */
static bool is_current(const struct opened *f)
{
	struct stat locked, named;

	return fstat(f->lock, &locked) == 0 && fstatat(f->folder, f->at.name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       locked.st_ino == named.st_ino && locked.st_dev == named.st_dev;
}

static enum outcome lock(struct opened *f, struct buf *why)
{
	const struct timespec pause = {0, 100000000};

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (f->lock != -1)
			close(f->lock);
		f->lock = openat(f->folder, f->at.name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (f->lock == -1)
			return fail_errno(why, f->path);
		if (flock(f->lock, LOCK_EX | LOCK_NB) == 0 && is_current(f))
			return OC_DONE;
		(void)nanosleep(&pause, NULL);
	}
	return fail(why, OC_BUSY, "another command changes the file");
}

static bool write_all(int fd, struct slice text)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.at, text.len);

		if (n == -1 && errno != EINTR)
			return false;
		text = slice_from(text, n > 0 ? (size_t)n : 0);
	}
	return true;
}

/* Of the same owner and mode before the first byte is in it. */
static bool fill(const struct opened *f, int fd, struct slice text)
{
	return fchown(fd, f->st.st_uid, f->st.st_gid) == 0 && fchmod(fd, f->st.st_mode & 07777) == 0 && write_all(fd, text) &&
	       fsync(fd) == 0;
}

static enum outcome replace(const struct opened *f, const char *new_name, struct buf *why)
{
	struct file_at_mark now;
	struct stat st;

	if (!file_at_look(&f->at, &st, &now) || !file_at_mark_eq(&now, &f->mark))
		return fail(why, OC_BUSY, "somebody changed the file meanwhile; nothing was changed");
	if (renameat(f->folder, new_name, f->folder, f->at.name) == -1 || fsync(f->folder) == -1)
		return fail_errno(why, f->path);
	return OC_DONE;
}

static enum outcome write_file(const struct opened *f, struct slice text, struct buf *why)
{
	char new_name[sizeof(f->at.name) + 8];
	enum outcome oc;
	int fd;

	snprintf(new_name, sizeof(new_name), ".%s.new", f->at.name);
	(void)unlinkat(f->folder, new_name, 0); /* of a command that died: we have the lock */
	fd = openat(f->folder, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return fail_errno(why, f->path);
	oc = fill(f, fd, text) ? OC_DONE : fail_errno(why, f->path);
	close(fd);
	if (oc == OC_DONE)
		oc = replace(f, new_name, why);
	if (oc != OC_DONE)
		(void)unlinkat(f->folder, new_name, 0);
	return oc;
}

static enum outcome edit_locked(struct opened *f, enum users_file_change change, struct slice address, struct slice hash, struct buf *why)
{
	struct buf out = buf_make_secret(USERS_FILE_MAX);
	enum outcome oc = lock(f, why);

	if (oc == OC_DONE && !file_at_read(&f->at, &f->text, &f->st, &f->mark))
		oc = fail_errno(why, f->path);
	if (oc == OC_DONE)
		oc = users_file_edit(buf_slice(&f->text), change, address, hash, &out, why);
	if (oc == OC_DONE)
		oc = write_file(f, buf_slice(&out), why);
	buf_free(&out);
	return oc;
}

static enum outcome edit(const char *path, const gid_t *make_gid, enum users_file_change change, struct slice address, struct slice hash,
			 struct buf *why)
{
	struct opened f;
	enum outcome oc = open_folder(&f, path, why);

	if (oc == OC_DONE && make_gid != NULL && !sqlite_at_make(f.folder, slice_of(f.at.name), *make_gid))
		oc = fail_errno(why, path);
	if (oc == OC_DONE)
		oc = edit_locked(&f, change, address, hash, why);
	close_file(&f);
	return oc;
}

/* ---- what is asked for ---- */

static enum outcome set(const char *path, const gid_t *make_gid, enum users_file_change change, struct slice address,
			struct slice password, struct buf *why)
{
	struct buf hash = buf_make_secret(USERS_HASH_MAX + 1);
	enum outcome oc;

	if (!users_is_address(address) || slice_index(address, ':') != SLICE_NONE || address.at[0] == '#')
		oc = fail(why, OC_BAD_INPUT, "a user in a file is an address without a colon, like alice@example.org");
	else if (!users_hash(password, &hash))
		oc = fail(why, OC_BAD_INPUT, "a password has 1 to 511 bytes");
	else
		oc = edit(path, make_gid, change, address, buf_slice(&hash), why);
	buf_free(&hash);
	return oc;
}

enum outcome users_file_add(const char *path, gid_t gid, struct slice address, struct slice password, struct buf *why)
{
	return set(path, &gid, USERS_FILE_ADD, address, password, why);
}

enum outcome users_file_set_password(const char *path, gid_t gid, struct slice address, struct slice password, struct buf *why)
{
	(void)gid;
	return set(path, NULL, USERS_FILE_SET, address, password, why);
}

enum outcome users_file_remove(const char *path, struct slice address, struct buf *why)
{
	return edit(path, NULL, USERS_FILE_REMOVE, address, slice_empty(), why);
}

enum outcome users_file_list(const char *path, users_file_fn *fn, void *arg, struct buf *why)
{
	struct line l = {.number = 0};
	struct slice rest;
	struct opened f;
	enum outcome oc = open_folder(&f, path, why);

	if (oc == OC_DONE && !file_at_read(&f.at, &f.text, &f.st, &f.mark))
		oc = fail_errno(why, path);
	rest = buf_slice(&f.text);
	while (next_line(&rest, &l, &oc, why))
		if (l.login.len > 0 && !fn(l.login, arg))
			break;
	close_file(&f);
	return oc;
}
