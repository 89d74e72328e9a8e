#include "spool_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int do_openat(int dir, const char *path, int flags, mode_t mode)
{
	return openat(dir, path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

static int do_rename(int dir, const char *from, const char *to)
{
	return renameat2(dir, from, dir, to, RENAME_NOREPLACE);
}

static int do_fstat(int fd, struct stat *out)
{
	return fstat(fd, out);
}

static int do_lease(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == -1)
		return -1;
	return fcntl(fd, F_SETLEASE, F_UNLCK);
}

/* What the kernel meets here it may not tell again at fsync, so it counts; that it has no such call does not. */
static int do_begin_sync(int fd)
{
	return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) == -1 && errno != ENOSYS ? -1 : 0;
}

const struct spool_ops spool_ops_real = {
	.openat = do_openat,
	.pwritev = pwritev,
	.pread = pread,
	.begin_sync = do_begin_sync,
	.fsync = fsync,
	.fdatasync = fdatasync,
	.close = close,
	.unlinkat = unlinkat,
	.rename = do_rename,
	.mkdirat = mkdirat,
	.fstat = do_fstat,
	.fstatfs = fstatfs,
	.lease = do_lease,
};
