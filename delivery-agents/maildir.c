#include "maildir.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir_text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE_BYTES 65536
#define NAME_TRIES 8

static const struct {
	int err;
	enum outcome outcome;
} outcomes[] = {
	{ENOSPC, OC_MAILBOX_FULL},
	{EDQUOT, OC_MAILBOX_FULL},
	{EIO, OC_IO_ERROR},
	{ENOMEM, OC_NO_MEMORY},
};

enum outcome maildir_errno(int err)
{
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
		if (outcomes[i].err == err)
			return outcomes[i].outcome;
	return OC_MAILBOX_TEMP;
}

static enum outcome tell(char text[MAILDIR_TEXT_BYTES], const char *what, int err)
{
	struct slice why = log_errno_text(err);

	snprintf(text, MAILDIR_TEXT_BYTES, "%s: %.*s", what, SLICE_ARG(why));
	return maildir_errno(err);
}

static enum outcome fail(struct maildir_draft *d, const char *what, int err)
{
	d->outcome = tell(d->text, what, err);
	return d->outcome;
}

/* ---- folders ---- */

static int open_beneath(int base, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = (flags & O_CREAT) != 0 ? 0600 : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, base, path, &how, sizeof(how));
	while (fd == -1 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}

static int open_folder(int base, const char *path)
{
	return open_beneath(base, path, O_RDONLY | O_DIRECTORY);
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
static int make_chain(int base, struct slice relative)
{
	struct slice rest = relative, part;
	int at = open_folder(base, ".");

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

/* new/ last: who finds it, finds the others. */
static int make_maildir(int base, struct slice relative)
{
	static const char *const parts[] = {"tmp", "cur", "new"};
	int folder = make_chain(base, relative);

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

static bool open_pair(int base, struct slice relative, struct maildir *md)
{
	char path[MAILDIR_PATH_MAX + 8];

	snprintf(path, sizeof(path), "%.*s%stmp", SLICE_ARG(relative), relative.len > 0 ? "/" : "");
	md->tmp_fd = open_folder(base, path);
	if (md->tmp_fd < 0)
		return false;
	snprintf(path, sizeof(path), "%.*s%snew", SLICE_ARG(relative), relative.len > 0 ? "/" : "");
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
static bool open_folders(int base, struct slice relative, struct maildir *md)
{
	int folder;

	if (open_pair(base, relative, md))
		return true;
	if (errno != ENOENT)
		return false;
	folder = make_maildir(base, relative);
	if (folder < 0)
		return false;
	close(folder);
	return open_pair(base, relative, md);
}

enum outcome maildir_open(int base_fd, struct slice relative, struct maildir *out, char text[MAILDIR_TEXT_BYTES])
{
	*out = (struct maildir){.tmp_fd = -1, .new_fd = -1};
	if (!maildir_is_safe(relative))
		return tell(text, "the mailbox's path", EINVAL);
	if (!open_folders(base_fd, relative, out))
		return tell(text, "opening the mailbox", errno);
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
		d->file_fd = open_beneath(d->maildir->tmp_fd, d->name, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK);
		if (d->file_fd >= 0 || errno != EEXIST)
			return d->file_fd >= 0;
	}
	return false;
}

static bool write_all(int fd, const char *at, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = EIO;
			return false;
		}
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* Fills `out` from [at, end) of the message file; 0 at the end; -1 with errno.  A file shorter than it was told is EIO. */
static ssize_t read_piece(const struct maildir_message *m, uint64_t at, char *out, size_t room)
{
	uint64_t left = m->offset + m->length - at;
	ssize_t n;

	if (left == 0)
		return 0;
	do
		n = pread(m->fd, out, left < room ? (size_t)left : room, (off_t)at);
	while (n == -1 && errno == EINTR);
	if (n == 0) {
		errno = EIO;
		return -1;
	}
	return n;
}

/* `out` gathers the lines before the body and the first pieces, so that a small message is one write. */
struct body_writer {
	struct maildir_draft *draft;
	const struct maildir_message *message;
	struct loop_guard guard;
	struct lf_writer lf;
	char *in, *out;
	size_t len;
};

static bool flush_body(struct body_writer *b)
{
	bool ok = write_all(b->draft->file_fd, b->out, b->len);

	b->len = 0;
	return ok;
}

/* `out` holds the longest prepend and a whole piece besides. */
#define OUT_BYTES (PIECE_BYTES + 32768u)

static enum outcome copy_body(struct body_writer *b)
{
	const struct maildir_message *m = b->message;
	uint64_t at = m->offset;
	bool looking = true;
	ssize_t n;

	while ((n = read_piece(m, at, b->in, PIECE_BYTES)) > 0) {
		size_t made;

		if (b->len + (size_t)n + 1 > OUT_BYTES && !flush_body(b))
			return fail(b->draft, "writing into the mailbox", errno);
		made = lf_write(&b->lf, slice_make(b->in, (size_t)n), b->out + b->len);
		if (looking)
			looking = loop_guard_read(&b->guard, slice_make(b->out + b->len, made));
		if (b->guard.found) {
			snprintf(b->draft->text, sizeof(b->draft->text), "it was delivered to this address before");
			return OC_MAIL_LOOP;
		}
		b->len += made;
		at += (uint64_t)n;
	}
	if (n < 0)
		return fail(b->draft, "reading the message", errno);
	b->len += lf_end(&b->lf, b->out + b->len);
	if (!flush_body(b))
		return fail(b->draft, "writing into the mailbox", errno);
	return OC_DONE;
}

static enum outcome write_message(struct maildir_draft *d, const struct maildir_message *m)
{
	static char in[PIECE_BYTES], out[OUT_BYTES + 2];
	struct body_writer b = {.draft = d, .message = m, .in = in, .out = out};

	if (m->prepend.len >= OUT_BYTES - PIECE_BYTES)
		return fail(d, "lines before the message", EMSGSIZE);
	b.lf.is_binary = m->is_binary;
	loop_guard_begin(&b.guard, m->address);
	memcpy(out, m->prepend.at, m->prepend.len);
	b.len = m->prepend.len;
	return copy_body(&b);
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
	d->outcome = write_message(d, m);
	if (d->outcome == OC_DONE && !begin_sync(d->file_fd))
		return fail(d, "writing into the mailbox", errno);
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

enum outcome maildir_publish(struct maildir_draft *d, const struct maildir_message *m)
{
	char tmp_name[MAILDIR_NAME_BYTES];

	memcpy(tmp_name, d->name, sizeof(tmp_name));
	for (int i = 0; i < NAME_TRIES; i++) {
		if (renameat2(d->maildir->tmp_fd, tmp_name, d->maildir->new_fd, d->name, RENAME_NOREPLACE) == 0) {
			d->published = true;
			d->maildir->settled = false;
			return OC_DONE;
		}
		if (errno != EEXIST)
			break;
		make_name(d, m);
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
