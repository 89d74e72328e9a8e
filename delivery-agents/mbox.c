#include "mbox.h"

#include "base/clock.h"
#include "base/mem.h"
#include "maildir.h"
#include "mbox_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_MS 5000u
#define LOCK_AGAIN_MS 100
#define LOOKED_AT_MS 500u /* who looks whether a lock is nobody's has it for a moment */
#define LOCK_STALE_S (15 * 60) /* who locks for longer has died */
#define NAME_BYTES 256

struct box {
	const struct mbox *of;
	const struct maildir_message *message;
	char *text;
	int folder_fd, fd, lock_fd; /* owned; -1 */
	char name[NAME_BYTES], lock[NAME_BYTES];
	char head[1100]; /* the message's first line, and what goes before it */
	char left[MBOX_MARK_BYTES]; /* of who died with the lock */
	size_t head_len, left_len;
	bool locked, held; /* by name; so that others see that it is somebody's, and may read what it says */
	bool is_new, sync_failed;
	off_t length; /* before */
};

static enum outcome box_fail(struct box *b, const char *what, int err)
{
	return body_fail(b->text, what, err);
}

static void wait_a_little(void)
{
	const struct timespec t = {0, LOCK_AGAIN_MS * 1000000L};

	(void)nanosleep(&t, NULL);
}

/* ---- where it lies ---- */

static enum outcome open_folder_of(struct box *b)
{
	size_t slash = slice_rindex(b->of->path, '/');
	struct slice folder = slash == SLICE_NONE ? slice_empty() : slice_sub(b->of->path, 0, slash);
	struct slice name = slash == SLICE_NONE ? b->of->path : slice_from(b->of->path, slash + 1);

	if (!maildir_is_safe(b->of->path) || name.len == 0 || !slice_copy(name, b->name, sizeof(b->name) - 5))
		return box_fail(b, "the mailbox's path", EINVAL);
	snprintf(b->lock, sizeof(b->lock), "%.250s.lock", b->name);
	b->folder_fd = beneath_make_folder(b->of->base_fd, folder);
	return b->folder_fd >= 0 ? OC_DONE : box_fail(b, "opening the mailbox's folder", errno);
}

/* ---- locks ---- */

/* A lock that ends with this descriptor, and that those of fcntl(2) of other programs respect.  0, or an errno: EAGAIN, another has it. */
static int hold(int fd)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_SETLK, &all) == 0)
		return 0;
	return errno == EACCES || errno == EINTR ? EAGAIN : errno;
}

static int hold_within(int fd, uint64_t ms)
{
	uint64_t until = clock_mono_ms() + ms;
	int err;

	while ((err = hold(fd)) == EAGAIN && clock_mono_ms() < until)
		wait_a_little();
	return err;
}

static bool is_named(const struct box *b, const char *name, const struct stat *st)
{
	struct stat named;

	return fstatat(b->folder_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_ino == st->st_ino && named.st_dev == st->st_dev;
}

static void remove_stale(struct box *b)
{
	struct stat st;

	if (fstatat(b->folder_fd, b->lock, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    clock_wall_s() - (int64_t)st.st_mtim.tv_sec > LOCK_STALE_S)
		(void)unlinkat(b->folder_fd, b->lock, 0);
}

/* Who made it holds it as long as he lives, and says so: only a lock that says it and is not held is known to be nobody's. */
static int make_lock(struct box *b)
{
	int fd = beneath_open(b->folder_fd, b->lock, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK);

	if (fd < 0)
		return errno;
	b->lock_fd = fd;
	b->locked = true;
	b->held = hold_within(fd, LOOKED_AT_MS) == 0;
	if (b->held)
		(void)!write(fd, MBOX_MARK_OURS, strlen(MBOX_MARK_OURS));
	return 0;
}

static bool is_nobodys(struct box *b, int fd)
{
	struct mbox_mark mark;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != geteuid() || hold(fd) != 0 || !is_named(b, b->lock, &st))
		return false;
	n = pread(fd, b->left, sizeof(b->left), 0);
	b->left_len = n > 0 ? (size_t)n : 0;
	return mbox_mark_read(slice_make(b->left, b->left_len), &mark);
}

/* One of us died with it: it is ours. */
static bool take_over(struct box *b)
{
	int fd = beneath_open(b->folder_fd, b->lock, O_RDWR | O_NONBLOCK);

	if (fd < 0)
		return false;
	if (!is_nobodys(b, fd)) {
		b->left_len = 0;
		close(fd);
		return false;
	}
	b->lock_fd = fd;
	b->locked = b->held = true;
	return true;
}

/* 0; or an errno.  A folder that we may not write to has no such locks: then the other lock is all there is. */
static int lock_by_name(struct box *b)
{
	uint64_t until = clock_mono_ms() + LOCK_MS;

	for (;;) {
		int err = make_lock(b);

		if (err == EACCES || err == EROFS || err == EPERM)
			return 0;
		if (err != EEXIST)
			return err;
		if (take_over(b))
			return 0;
		if (clock_mono_ms() >= until)
			return EAGAIN;
		remove_stale(b);
		wait_a_little();
	}
}

/* ---- the file ---- */

static bool create(struct box *b)
{
	uint32_t mode = b->of->mode & 0660;

	b->fd = beneath_open(b->folder_fd, b->name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK);
	b->is_new = b->fd >= 0;
	if (b->is_new && mode != 0)
		(void)fchmod(b->fd, mode | 0600);
	return b->is_new;
}

static enum outcome open_file(struct box *b)
{
	b->fd = beneath_open(b->folder_fd, b->name, O_RDWR | O_NONBLOCK);
	if (b->fd < 0 && errno == ENOENT && !create(b) && errno == EEXIST)
		b->fd = beneath_open(b->folder_fd, b->name, O_RDWR | O_NONBLOCK);
	return b->fd >= 0 ? OC_DONE : box_fail(b, "opening the mailbox", errno);
}

static enum outcome check_file(struct box *b)
{
	struct stat st;

	if (fstat(b->fd, &st) == -1)
		return box_fail(b, "looking at the mailbox", errno);
	if (!S_ISREG(st.st_mode) || st.st_nlink > 1 || st.st_uid != geteuid())
		return box_fail(b, "the mailbox is no plain file of its owner's, or has another name", EPERM);
	/* renamed or removed while we waited: it comes again */
	if (!is_named(b, b->name, &st))
		return box_fail(b, "the mailbox was moved meanwhile", EAGAIN);
	if ((st.st_mode & 0007) != 0 && fchmod(b->fd, st.st_mode & 0770) == -1)
		return box_fail(b, "making the mailbox private", errno);
	b->length = st.st_size;
	return OC_DONE;
}

/* ---- what somebody left who died ---- */

/* What lies behind the mark is the beginning of the message that it speaks of, and nothing else. */
static bool is_part_of(struct box *b, const struct mbox_mark *m)
{
	static char piece[65536];
	struct mbox_search search = {0};
	uint64_t at = m->before;
	size_t head;
	ssize_t n;

	while ((n = pread(b->fd, piece, sizeof(piece), (off_t)at)) > 0) {
		head = at > m->before ? 0 : m->head.len < (size_t)n ? m->head.len : (size_t)n;
		if (memcmp(piece, m->head.at, head) != 0 || mbox_search_finds(&search, slice_make(piece + head, (size_t)n - head)))
			return false;
		at += (uint64_t)n;
	}
	return n == 0;
}

/* All of a message stays, whoever died after it; so does what another program has written since. */
static enum outcome cut_back(struct box *b)
{
	struct mbox_mark m;

	if (b->left_len == 0 || !mbox_mark_read(slice_make(b->left, b->left_len), &m) || m.after == 0)
		return OC_DONE;
	if ((uint64_t)b->length <= m.before || (uint64_t)b->length >= m.after || !is_part_of(b, &m))
		return OC_DONE;
	if (ftruncate(b->fd, (off_t)m.before) == -1 || fsync(b->fd) == -1) {
		b->locked = false; /* the mark must stay */
		return box_fail(b, "cutting off a part of a message in the mailbox", errno);
	}
	b->length = (off_t)m.before;
	return OC_DONE;
}

/* ---- the message ---- */

/* What stood there ends with an empty line, whoever wrote it. */
static const char *line_before(struct box *b)
{
	char last[2] = {'\n', '\n'};

	if (b->length == 0)
		return "";
	if (pread(b->fd, last, b->length == 1 ? 1 : 2, b->length == 1 ? 0 : b->length - 2) < 1)
		return "\n";
	if (b->length == 1)
		return last[0] == '\n' ? "" : "\n\n";
	if (last[1] != '\n')
		return "\n\n";
	return last[0] == '\n' ? "" : "\n";
}

/* "From a@b Sat Nov 28 18:00:00 2026": nothing of the sender but what stands in a word. */
static bool make_head(struct box *b)
{
	struct buf line = buf_make(sizeof(b->head));
	struct slice sender = b->of->sender.len == 0 ? slice_of("MAILER-DAEMON") : b->of->sender;
	time_t now = (time_t)b->of->now_s;
	struct tm tm;
	char date[40];
	bool ok;

	if (localtime_r(&now, &tm) == NULL || strftime(date, sizeof(date), "%a %b %e %H:%M:%S %Y", &tm) == 0)
		date[0] = '\0';
	buf_addf(&line, "%sFrom ", line_before(b));
	for (size_t i = 0; i < sender.len; i++)
		buf_add_char(&line, (unsigned char)sender.at[i] <= ' ' || sender.at[i] == 0x7f ? '?' : sender.at[i]);
	buf_addf(&line, " %s\n", date);
	ok = buf_ok(&line);
	if (ok)
		memcpy(b->head, line.at, line.len);
	b->head_len = ok ? line.len : 0;
	buf_free(&line);
	return ok;
}

/* What it will be, before the first octet of it: without a lock that we hold there is no place to say it. */
static enum outcome leave_mark(struct box *b)
{
	struct mbox_mark mark = {.before = (uint64_t)b->length, .head = {b->head, b->head_len}};
	struct buf text = buf_make(MBOX_MARK_BYTES);
	uint64_t bytes;
	enum outcome outcome = b->held ? body_measure(b->message, true, &bytes, b->text) : OC_DONE;

	if (outcome == OC_DONE && b->held) {
		mark.after = mark.before + b->head_len + bytes + 1;
		buf_add(&text, MBOX_MARK_OURS, strlen(MBOX_MARK_OURS));
		mbox_mark_print(&text, &mark);
		if (!buf_ok(&text) || pwrite(b->lock_fd, text.at, text.len, 0) != (ssize_t)text.len || ftruncate(b->lock_fd, (off_t)text.len) == -1)
			outcome = box_fail(b, "writing into the mailbox's lock", errno == 0 ? ENOSPC : errno);
	}
	buf_free(&text);
	return outcome;
}

static enum outcome write_message(struct box *b)
{
	enum outcome outcome;

	if (lseek(b->fd, b->length, SEEK_SET) == -1 || write(b->fd, b->head, b->head_len) != (ssize_t)b->head_len)
		return box_fail(b, "writing into the mailbox", errno == 0 ? ENOSPC : errno);
	outcome = body_write(b->fd, b->message, true, b->text);
	if (outcome != OC_DONE)
		return outcome;
	if (write(b->fd, "\n", 1) != 1)
		return box_fail(b, "writing into the mailbox", errno == 0 ? ENOSPC : errno);
	b->sync_failed = fsync(b->fd) == -1 || (b->is_new && fsync(b->folder_fd) == -1);
	return b->sync_failed ? box_fail(b, "writing into the mailbox", errno) : OC_DONE;
}

/* A sync that failed is not tried again: the next message's has it. */
static void take_back(struct box *b)
{
	if (ftruncate(b->fd, b->length) == -1)
		b->locked = b->locked && !b->held; /* the mark stays, for the next one */
	else if (!b->sync_failed)
		(void)fsync(b->fd);
}

static enum outcome deliver_locked(struct box *b)
{
	enum outcome outcome = open_file(b);
	int err;

	if (outcome != OC_DONE)
		return outcome;
	err = hold_within(b->fd, LOCK_MS);
	if (err != 0)
		return box_fail(b, "another program has locked the mailbox", err);
	outcome = check_file(b);
	if (outcome == OC_DONE)
		outcome = cut_back(b);
	if (outcome != OC_DONE)
		return outcome;
	if (!make_head(b))
		return box_fail(b, "the mailbox's line", ENOMEM);
	outcome = leave_mark(b);
	if (outcome == OC_DONE && (outcome = write_message(b)) != OC_DONE)
		take_back(b);
	return outcome;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

enum outcome mbox_deliver(const struct mbox *box, const struct maildir_message *m, char text[MAILDIR_TEXT_BYTES])
{
	struct box b = {.of = box, .message = m, .text = text, .folder_fd = -1, .fd = -1, .lock_fd = -1};
	enum outcome outcome = open_folder_of(&b);
	int err;

	if (outcome == OC_DONE) {
		err = lock_by_name(&b);
		outcome = err == 0 ? deliver_locked(&b) : box_fail(&b, "another program has locked the mailbox", err);
	}
	close_fd(&b.fd);
	if (b.locked)
		(void)unlinkat(b.folder_fd, b.lock, 0);
	close_fd(&b.lock_fd);
	close_fd(&b.folder_fd);
	return outcome;
}
