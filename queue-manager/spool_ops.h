#ifndef POSTERN_QUEUE_SPOOL_OPS_H
#define POSTERN_QUEUE_SPOOL_OPS_H

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * Every call the spool makes on its file system, in one table, so that a test can make the n-th of them fail.  Results and
 * errno are those of the calls of the same names.
 */
struct spool_ops {
	int (*openat)(int dir, const char *path, int flags, mode_t mode);
	ssize_t (*pwritev)(int fd, const struct iovec *parts, int count, off_t offset);
	ssize_t (*pread)(int fd, void *into, size_t len, off_t offset);
	int (*begin_sync)(int fd); /* the data is on its way to the disk; 0 means nothing of it being there */
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	int (*close)(int fd);
	int (*unlinkat)(int dir, const char *path, int flags);
	int (*rename)(int dir, const char *from, const char *to); /* never replaces */
	int (*mkdirat)(int dir, const char *path, mode_t mode);
	int (*fstat)(int fd, struct stat *out);
	int (*fstatfs)(int fd, struct statfs *out);
	int (*lease)(int fd); /* F_SETLEASE F_RDLCK, and given back: fails while anybody can write */
};

extern const struct spool_ops spool_ops_real;

#endif
