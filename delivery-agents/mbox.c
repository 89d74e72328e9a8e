#include "mbox.h"

#include "base/clock.h"
#include "base/mem.h"
#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_MS 5000u
#define LOCK_AGAIN_MS 100
#define LOCK_STALE_S (15 * 60) /* who locks for longer has died */
#define NAME_BYTES 256

struct box {
	const struct mbox *of;
	const struct maildir_message *message;
	char *text;
	int folder_fd, fd; /* owned; -1 */
	char name[NAME_BYTES], lock[NAME_BYTES];
	bool locked, is_new;
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

/* ---- name.lock ---- */

static void remove_stale(struct box *b)
{
	struct stat st;

	if (fstatat(b->folder_fd, b->lock, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    clock_wall_s() - (int64_t)st.st_mtim.tv_sec > LOCK_STALE_S)
		(void)unlinkat(b->folder_fd, b->lock, 0);
}

/* 0; or an errno.  A folder that we may not write to has no such locks: then the other lock is all there is. */
static int lock_by_name(struct box *b)
{
	uint64_t until = clock_mono_ms() + LOCK_MS;

	for (;;) {
		int fd = beneath_open(b->folder_fd, b->lock, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK);

		if (fd >= 0) {
			close(fd);
			b->locked = true;
			return 0;
		}
		if (errno == EACCES || errno == EROFS || errno == EPERM)
			return 0;
		if (errno != EEXIST)
			return errno;
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

/* A lock that ends with this descriptor, and that those of fcntl(2) of other programs respect. */
static int lock_file(struct box *b)
{
	uint64_t until = clock_mono_ms() + LOCK_MS;
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	while (fcntl(b->fd, F_OFD_SETLK, &all) == -1) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return errno;
		if (clock_mono_ms() >= until)
			return EAGAIN;
		wait_a_little();
	}
	return 0;
}

static enum outcome check_file(struct box *b)
{
	struct stat st, named;

	if (fstat(b->fd, &st) == -1)
		return box_fail(b, "looking at the mailbox", errno);
	if (!S_ISREG(st.st_mode) || st.st_nlink > 1 || st.st_uid != geteuid())
		return box_fail(b, "the mailbox is no plain file of its owner's, or has another name", EPERM);
	/* renamed or removed while we waited: it comes again */
	if (fstatat(b->folder_fd, b->name, &named, AT_SYMLINK_NOFOLLOW) == -1 || named.st_ino != st.st_ino || named.st_dev != st.st_dev)
		return box_fail(b, "the mailbox was moved meanwhile", EAGAIN);
	if ((st.st_mode & 0007) != 0 && fchmod(b->fd, st.st_mode & 0770) == -1)
		return box_fail(b, "making the mailbox private", errno);
	b->length = st.st_size;
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
static bool write_from(struct box *b)
{
	struct buf line = buf_make(1024);
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
	ok = buf_ok(&line) && write(b->fd, line.at, line.len) == (ssize_t)line.len;
	buf_free(&line);
	return ok;
}

static enum outcome write_message(struct box *b)
{
	enum outcome outcome;

	if (lseek(b->fd, b->length, SEEK_SET) == -1 || !write_from(b))
		return box_fail(b, "writing into the mailbox", errno == 0 ? ENOSPC : errno);
	outcome = body_write(b->fd, b->message, true, b->text);
	if (outcome != OC_DONE)
		return outcome;
	if (write(b->fd, "\n", 1) != 1 || fsync(b->fd) == -1 || (b->is_new && fsync(b->folder_fd) == -1))
		return box_fail(b, "writing into the mailbox", errno == 0 ? ENOSPC : errno);
	return OC_DONE;
}

static void take_back(struct box *b)
{
	if (ftruncate(b->fd, b->length) == 0)
		(void)fsync(b->fd);
}

static enum outcome deliver_locked(struct box *b)
{
	enum outcome outcome = open_file(b);
	int err;

	if (outcome != OC_DONE)
		return outcome;
	err = lock_file(b);
	if (err != 0)
		return box_fail(b, "another program has locked the mailbox", err);
	outcome = check_file(b);
	if (outcome != OC_DONE)
		return outcome;
	outcome = write_message(b);
	if (outcome != OC_DONE)
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
	struct box b = {.of = box, .message = m, .text = text, .folder_fd = -1, .fd = -1};
	enum outcome outcome = open_folder_of(&b);
	int err;

	if (outcome == OC_DONE) {
		err = lock_by_name(&b);
		outcome = err == 0 ? deliver_locked(&b) : box_fail(&b, "another program has locked the mailbox", err);
	}
	close_fd(&b.fd);
	if (b.locked)
		(void)unlinkat(b.folder_fd, b.lock, 0);
	close_fd(&b.folder_fd);
	return outcome;
}
