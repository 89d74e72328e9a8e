#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Newer than the headers of the oldest platform. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

void os_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool os_stdio_open(void)
{
	int fd;

	/* The lowest free number is used, so closed ones among 0-2 fill up in order. */
	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd == -1)
			return false;
		if (fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == -1)
			return false;
	} while (fd <= STDERR_FILENO);
	close(fd);
	return true;
}

bool os_pipe(int out[2])
{
	return pipe2(out, O_CLOEXEC) == 0;
}

bool os_write_all(int fd, struct slice bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(fd, bytes.at, bytes.len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0) /* no progress and no reason: not to be tried for ever */
			errno = EIO;
		if (n <= 0)
			return false;
		bytes = slice_from(bytes, (size_t)n);
	}
	return true;
}

static int seal(int fd)
{
	int saved;

	if (fcntl(fd, F_ADD_SEALS, SEALS) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* One byte more than `max` is asked for, to tell that there is more. */
static bool copy_all(int fd, int from, size_t max)
{
	off_t at = 0;
	ssize_t n = 1;

	while (n > 0 && (size_t)at <= max) {
		n = sendfile(fd, from, &at, max + 1 - (size_t)at);
		if (n == -1 && errno == EINTR)
			n = 1;
	}
	if (n == 0)
		return true;
	if (n > 0)
		errno = EFBIG;
	return false;
}

int os_memfd_copy(const char *name, int from, size_t max)
{
	struct stat st;
	int fd, saved;

	if (fstat(from, &st) == -1)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	if (copy_all(fd, from, max))
		return seal(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int os_memfd_sealed(const char *name, struct slice content)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int saved;

	if (fd == -1)
		return -1;
	if (os_write_all(fd, content))
		return seal(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* By pread: several processes share the one file offset. */
static bool read_all(int fd, char *at, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, at + got, len - got, (off_t)got);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

bool os_memfd_is_sealed(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals != -1 && (seals & SEALS) == SEALS;
}

bool os_memfd_read(int fd, size_t max, struct buf *out)
{
	struct stat st;
	char *room;

	if (!os_memfd_is_sealed(fd) || fstat(fd, &st) == -1)
		return false;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return false;
	if (st.st_size == 0)
		return true;
	room = buf_room(out, (size_t)st.st_size);
	if (room == NULL || !read_all(fd, room, (size_t)st.st_size))
		return false;
	buf_grew(out, (size_t)st.st_size);
	return true;
}

bool os_passrights_off(int fd)
{
	int off = 0;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) == 0;
}
