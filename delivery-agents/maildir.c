#include "maildir.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME_TRIES 8
#define OPEN_TRIES 8

static enum outcome fail(struct maildir_draft *d, const char *what, int err)
{
	d->outcome = body_fail(d->text, what, err);
	return d->outcome;
}

/* ---- folders ---- */

/* EAGAIN is a rename just now, or a lease (fcntl F_SETLEASE) that its holder may keep for a minute: a few times, then it waits as all mail that
 * cannot be delivered. */
int beneath_open(int base, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = (flags & O_CREAT) != 0 ? 0600 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int left = OPEN_TRIES;
	long fd;

	do
		fd = syscall(SYS_openat2, base, path, &how, sizeof(how));
	while (fd == -1 && (errno == EINTR || (errno == EAGAIN && --left > 0)));
	return (int)fd;
}

static int open_folder(int base, const char *path)
{
	return beneath_open(base, path, O_RDONLY | O_DIRECTORY);
}

/* Opens one part, making it where it is missing; both it and its entry in `parent` are on the disk then.  One that could not be
 * synced is taken back, for who finds it takes it for synced. */
static int make_folder(int parent, const char *part)
{
	int fd = open_folder(parent, part);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(parent, part, 0700) == -1 && errno != EEXIST)
		return -1;
	fd = open_folder(parent, part);
	if (fd >= 0 && (fsync(fd) == -1 || fsync(parent) == -1)) {
		int err = errno;

		close(fd);
		(void)unlinkat(parent, part, AT_REMOVEDIR);
		errno = err;
		return -1;
	}
	return fd;
}

/* Walks down from `base`, making what is missing.  The folder is the caller's. */
int beneath_make_folder(int base, struct slice relative)
{
	struct slice rest = relative, part;
	int at = fcntl(base, F_DUPFD_CLOEXEC, 0); /* who may walk through it need not be allowed to read it */

	while (at >= 0 && slice_cut(&rest, '/', &part)) {
		char name[256];
		int next;

		if (!slice_copy(part, name, sizeof(name))) {
			close(at);
			errno = ENAMETOOLONG;
			return -1;
		}
		next = make_folder(at, name);
		close(at);
		at = next;
	}
	return at;
}

static bool is_folder_of_maildir(struct slice relative)
{
	size_t slash = slice_rindex(relative, '/');
	struct slice last = slash == SLICE_NONE ? relative : slice_from(relative, slash + 1);

	return last.len > 1 && last.at[0] == '.';
}

/* Who counts the quota knows a folder by it. */
static void mark_folder(int folder)
{
	int fd = beneath_open(folder, "maildirfolder", O_WRONLY | O_CREAT | O_NONBLOCK);

	if (fd >= 0)
		close(fd);
}

/* new/ last: who finds it, finds the others. */
static int make_maildir(int base, struct slice relative)
{
	static const char *const parts[] = {"tmp", "cur", "new"};
	int folder = beneath_make_folder(base, relative);

	if (folder >= 0 && is_folder_of_maildir(relative))
		mark_folder(folder);

	for (size_t i = 0; folder >= 0 && i < ARRAY_LEN(parts); i++) {
		int fd = make_folder(folder, parts[i]);

		if (fd < 0) {
			int err = errno;

			close(folder);
			errno = err;
			return -1;
		}
		close(fd);
	}
	return folder;
}

static bool open_pair(int base, struct slice relative, bool flagged, struct maildir *md)
{
	char path[MAILDIR_PATH_MAX + 8];

	snprintf(path, sizeof(path), "%.*s%stmp", SLICE_ARG(relative), relative.len > 0 ? "/" : "");
	md->tmp_fd = open_folder(base, path);
	if (md->tmp_fd < 0)
		return false;
	snprintf(path, sizeof(path), "%.*s%s%s", SLICE_ARG(relative), relative.len > 0 ? "/" : "", flagged ? "cur" : "new");
	md->new_fd = open_folder(base, path);
	if (md->new_fd < 0) {
		int err = errno;

		close(md->tmp_fd);
		md->tmp_fd = -1;
		errno = err;
		return false;
	}
	return true;
}

/* The common case is two opens; folders are looked at one by one only where something is missing. */
static bool open_folders(int base, struct slice relative, bool flagged, struct maildir *md)
{
	int folder;

	if (open_pair(base, relative, flagged, md))
		return true;
	if (errno != ENOENT)
		return false;
	folder = make_maildir(base, relative);
	if (folder < 0)
		return false;
	close(folder);
	return open_pair(base, relative, flagged, md);
}

enum outcome maildir_open(int base_fd, struct slice relative, bool flagged, struct maildir *out, char text[MAILDIR_TEXT_BYTES])
{
	*out = (struct maildir){.tmp_fd = -1, .new_fd = -1};
	if (!maildir_is_safe(relative))
		return body_fail(text, "the mailbox's path", EINVAL);
	if (!open_folders(base_fd, relative, flagged, out))
		return body_fail(text, "opening the mailbox", errno);
	return OC_DONE;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void maildir_close(struct maildir *md)
{
	close_fd(&md->tmp_fd);
	close_fd(&md->new_fd);
}

/* ---- the file ---- */

static void make_name(struct maildir_draft *d, const struct maildir_message *m)
{
	static uint64_t counter;
	struct maildir_name n = {clock_wall_ms(), m->id, (uint64_t)getpid(), ++counter, m->host};

	maildir_name_make(&n, d->name);
}

/* Whatever lies under that name already (a file, a link, a FIFO) belongs to somebody else: another name is taken. */
static bool create_file(struct maildir_draft *d, const struct maildir_message *m)
{
	for (int i = 0; i < NAME_TRIES; i++) {
		make_name(d, m);
		d->file_fd = beneath_open(d->maildir->tmp_fd, d->name, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK);
		if (d->file_fd >= 0 || errno != EEXIST)
			return d->file_fd >= 0;
	}
	return false;
}

/* What the kernel meets here it may not tell again at fsync, so it counts; that it has no such call does not. */
static bool begin_sync(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) == 0 || errno == ENOSYS;
}

enum outcome maildir_write(struct maildir *md, const struct maildir_message *m, struct maildir_draft *d)
{
	*d = (struct maildir_draft){.maildir = md, .file_fd = -1, .outcome = OC_DONE};
	if (m->offset > INT64_MAX || m->length > INT64_MAX - m->offset)
		return fail(d, "reading the message", EINVAL);
	if (!create_file(d, m))
		return fail(d, "making a file in the mailbox", errno);
	d->written = true;
	d->outcome = body_write(d->file_fd, m, false, d->text);
	if (d->outcome == OC_DONE && !begin_sync(d->file_fd))
		return fail(d, "writing into the mailbox", errno);
	d->size = (uint64_t)lseek(d->file_fd, 0, SEEK_CUR);
	return d->outcome;
}

enum outcome maildir_sync(struct maildir_draft *d)
{
	int fd = d->file_fd;

	if (fsync(fd) == -1)
		return fail(d, "writing into the mailbox", errno);
	d->file_fd = -1;
	if (close(fd) == -1 && errno != EINTR) /* NFS tells of a full disk here */
		return fail(d, "writing into the mailbox", errno);
	return OC_DONE;
}

/* What the name says beside being new: https://cr.yp.to/proto/maildir.html, and Maildir++. */
static void end_name(struct maildir_draft *d, const struct maildir_message *m)
{
	size_t len = strlen(d->name);

	if (m->sized)
		len += (size_t)snprintf(d->name + len, sizeof(d->name) - len, ",S=%llu", (unsigned long long)d->size);
	if (m->flags != NULL && m->flags[0] != '\0')
		snprintf(d->name + len, sizeof(d->name) - len, ":2,%s", m->flags);
}

enum outcome maildir_publish(struct maildir_draft *d, const struct maildir_message *m)
{
	char tmp_name[MAILDIR_NAME_BYTES];

	memcpy(tmp_name, d->name, sizeof(tmp_name));
	end_name(d, m);
	for (int i = 0; i < NAME_TRIES; i++) {
		if (renameat2(d->maildir->tmp_fd, tmp_name, d->maildir->new_fd, d->name, RENAME_NOREPLACE) == 0) {
			d->published = true;
			d->maildir->settled = false;
			return OC_DONE;
		}
		if (errno != EEXIST)
			break;
		make_name(d, m);
		end_name(d, m);
	}
	fail(d, "moving into the mailbox", errno);
	memcpy(d->name, tmp_name, sizeof(tmp_name));
	return d->outcome;
}

/* Nobody can tell whether it would stay: it comes again, so it is taken back. */
enum outcome maildir_settle(struct maildir_draft *d)
{
	struct maildir *md = d->maildir;

	if (!md->settled)
		md->sync_errno = fsync(md->new_fd) == 0 ? 0 : errno;
	md->settled = true;
	if (md->sync_errno == 0)
		return OC_DONE;
	fail(d, "writing into the mailbox", md->sync_errno);
	(void)unlinkat(md->new_fd, d->name, 0);
	return d->outcome;
}

void maildir_drop(struct maildir_draft *d)
{
	if (d->written && !d->published)
		(void)unlinkat(d->maildir->tmp_fd, d->name, 0);
	d->written = false;
	close_fd(&d->file_fd);
}
