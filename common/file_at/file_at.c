#include "file_at/file_at.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool file_at_init(struct file_at *f, int fd, struct slice path)
{
	size_t slash = slice_rindex(path, '/');
	struct slice name = slash == SLICE_NONE ? path : slice_from(path, slash + 1);

	f->fd = fd;
	if (name.len == 0 || slice_eq(name, slice_of(".")) || slice_eq(name, slice_of("..")))
		return false;
	return slice_copy(name, f->name, sizeof(f->name));
}

static bool is_part(struct slice part)
{
	return part.len > 0 && part.len < 256 && !slice_eq(part, slice_of(".")) && !slice_eq(part, slice_of(".."));
}

static int open_part(int folder, struct slice part)
{
	char name[256];

	errno = EINVAL;
	if (!is_part(part) || !slice_copy(part, name, sizeof(name)))
		return -1;
	return openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

bool file_at_open_beneath(struct file_at *out, int folder, struct slice path)
{
	int fd = fcntl(folder, F_DUPFD_CLOEXEC, 3);
	struct slice part;

	*out = (struct file_at){.fd = -1};
	while (fd >= 0 && slice_index(path, '/') != SLICE_NONE && slice_cut(&path, '/', &part)) {
		int next = open_part(fd, part), err = errno;

		close(fd);
		errno = err;
		fd = next;
	}
	if (fd < 0)
		return false;
	if (is_part(path) && file_at_init(out, fd, path))
		return true;
	close(fd);
	out->fd = -1;
	errno = EINVAL;
	return false;
}

static bool is_folder(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_at_folder(const struct file_at *f)
{
	return is_folder(f->fd) ? f->fd : -1;
}

static struct file_at_mark mark_of(const struct stat *st)
{
	return (struct file_at_mark){st->st_dev, st->st_ino, st->st_size, st->st_ctim, st->st_mtim};
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool file_at_mark_eq(const struct file_at_mark *a, const struct file_at_mark *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       same_time(a->changed, b->changed) && same_time(a->modified, b->modified);
}

static bool is_ordinary(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return true;
	errno = EINVAL;
	return false;
}

bool file_at_look(const struct file_at *f, struct stat *st_out, struct file_at_mark *mark_out)
{
	int got;

	errno = EBADF;
	if (f->fd < 0)
		return false;
	got = is_folder(f->fd) ? fstatat(f->fd, f->name, st_out, AT_SYMLINK_NOFOLLOW) : fstat(f->fd, st_out);
	if (got == -1 || !is_ordinary(st_out))
		return false;
	*mark_out = mark_of(st_out);
	return true;
}

/* A descriptor of our own, or the handed one itself: `*close_it` tells. */
static int open_it(const struct file_at *f, bool *close_it)
{
	*close_it = is_folder(f->fd);
	if (!*close_it)
		return f->fd;
	/* NONBLOCK: a FIFO in its place must not stop us. */
	return openat(f->fd, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

#define PIECE_BYTES 65536u

static bool read_all(int fd, struct buf *out)
{
	off_t at = 0;
	ssize_t n;

	for (;;) {
		size_t left = out->max - out->len;
		size_t piece = left < PIECE_BYTES ? left : PIECE_BYTES;
		char *room = piece > 0 ? buf_room(out, piece) : NULL;

		errno = EFBIG;
		if (room == NULL)
			return false;
		n = pread(fd, room, piece, at);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		buf_grew(out, (size_t)n);
		at += n;
	}
}

static bool read_and_compare(int fd, struct buf *out, struct stat *st_out, struct file_at_mark *mark_out)
{
	struct file_at_mark after;
	struct stat st;

	errno = EBADF;
	if (fd < 0 || fstat(fd, st_out) == -1 || !is_ordinary(st_out))
		return false;
	*mark_out = mark_of(st_out);
	errno = EFBIG;
	if (st_out->st_size < 0 || (uint64_t)st_out->st_size >= out->max - out->len)
		return false;
	if (!read_all(fd, out) || fstat(fd, &st) == -1)
		return false;
	after = mark_of(&st);
	errno = EAGAIN;
	return file_at_mark_eq(mark_out, &after);
}

bool file_at_read(const struct file_at *f, struct buf *out, struct stat *st_out, struct file_at_mark *mark_out)
{
	bool close_it = false;
	int fd, err;
	bool done;

	errno = EBADF;
	if (f->fd < 0)
		return false;
	fd = open_it(f, &close_it);
	if (fd < 0)
		return false;
	done = read_and_compare(fd, out, st_out, mark_out);
	err = errno;
	if (close_it)
		close(fd);
	errno = err;
	return done;
}
