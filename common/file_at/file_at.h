#ifndef POSTERN_FILE_AT_FILE_AT_H
#define POSTERN_FILE_AT_FILE_AT_H

#include "base/buf.h"

#include <sys/stat.h>

/*
 * A file reached through a descriptor that the master handed over: either of the file itself, or of the folder it lies in (then
 * a file that replaces it is found again by its name).  Symbolic links are not followed.  Blocks on the disk only.
 */
struct file_at {
	int fd; /* borrowed; -1: never given to us */
	char name[256]; /* beneath the folder */
};

/* `path` as the configuration names it; its last part is the name.  False: no such name (empty, "..", too long). */
bool file_at_init(struct file_at *f, int fd, struct slice path);

/* For a path of several parts beneath `folder`: the folder that its last part lies in, opened part by part without a symbolic link
 * (which is what openat2's RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS say, in cages whose filter cannot look into its arguments).
 * `out->fd` is then the caller's to close.  False: errno (EINVAL: an empty part, "." or ".."). */
bool file_at_open_beneath(struct file_at *out, int folder, struct slice path);

/* The folder's descriptor when `fd` is one, else -1. */
int file_at_folder(const struct file_at *f);

/* What tells one state of a file from another. */
struct file_at_mark {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed, modified;
};
bool file_at_mark_eq(const struct file_at_mark *a, const struct file_at_mark *b);

/* The state it is in now.  False: errno (EBADF: never given to us; EINVAL: no ordinary file). */
bool file_at_look(const struct file_at *f, struct stat *st_out, struct file_at_mark *mark_out);

/* Adds the whole file to `out`, whose ceiling bounds it, and tells the state that was read.  False: errno (EFBIG: larger than
 * `out` may become; EAGAIN: it was changed while it was read). */
bool file_at_read(const struct file_at *f, struct buf *out, struct stat *st_out, struct file_at_mark *mark_out);

#endif
