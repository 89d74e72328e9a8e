#include "file_at/file_edit.h"

#include "base/log.h"
#include "file_at/file_at.h"
#include "os/fd.h"
#include "sqlite_at/sqlite_at.h"

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

struct opened {
	const char *path;
	int folder, lock; /* owned */
	struct file_at at;
	struct file_at_mark mark;
	struct stat st;
	struct buf text; /* secret, where the file is */
};

static void close_file(struct opened *f)
{
	if (f->lock != -1)
		close(f->lock);
	if (f->folder != -1)
		close(f->folder);
	buf_free(&f->text);
}

static enum outcome open_folder(struct opened *f, const char *path, struct buf text, struct buf *why)
{
	struct slice name;

	*f = (struct opened){.path = path, .folder = -1, .lock = -1, .text = text};
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

/* Of the same owner and mode before the first byte is in it. */
static bool fill(const struct opened *f, int fd, struct slice text)
{
	return fchown(fd, f->st.st_uid, f->st.st_gid) == 0 && fchmod(fd, f->st.st_mode & 07777) == 0 && os_write_all(fd, text) &&
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

static struct buf make_text(const struct file_edit *e)
{
	return e->secret ? buf_make_secret(e->bytes_max) : buf_make(e->bytes_max);
}

static enum outcome edit_locked(const struct file_edit *e, struct opened *f, struct buf *why)
{
	struct buf out = make_text(e);
	enum outcome oc = lock(f, why);

	if (oc == OC_DONE && !file_at_read(&f->at, &f->text, &f->st, &f->mark))
		oc = fail_errno(why, f->path);
	if (oc == OC_DONE)
		oc = e->edit(e->arg, buf_slice(&f->text), &out, why);
	if (oc == OC_DONE)
		oc = write_file(f, buf_slice(&out), why);
	buf_free(&out);
	return oc;
}

enum outcome file_edit(const struct file_edit *e, struct buf *why)
{
	struct opened f;
	enum outcome oc = open_folder(&f, e->path, make_text(e), why);

	if (oc == OC_DONE && e->make_gid != NULL && !sqlite_at_make(f.folder, slice_of(f.at.name), *e->make_gid))
		oc = fail_errno(why, e->path);
	if (oc == OC_DONE)
		oc = edit_locked(e, &f, why);
	close_file(&f);
	return oc;
}

enum outcome file_edit_read(const char *path, struct buf *out, struct buf *why)
{
	struct opened f;
	enum outcome oc = open_folder(&f, path, buf_make(0), why);

	if (oc == OC_DONE && !file_at_read(&f.at, out, &f.st, &f.mark))
		oc = fail_errno(why, path);
	close_file(&f);
	return oc;
}
