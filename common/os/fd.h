#ifndef POSTERN_OS_FD_H
#define POSTERN_OS_FD_H

#include "base/buf.h"

/*
 * Descriptors.  Every one made here is close-on-exec.  Nothing here waits for a peer.
 */

/* Closes it when it is one (>= 0) and writes -1. */
void os_close(int *fd);

/* Descriptors 0, 1 and 2 are open afterwards: what was closed is /dev/null.  False: errno. */
bool os_stdio_open(void);

/* Both ends CLOEXEC; the reading end is out[0].  False: errno. */
bool os_pipe(int out[2]);

/* All of it, however often that takes; blocks as `fd` does.  False: errno, and a part may be written. */
bool os_write_all(int fd, struct slice bytes);

/* A memory file that holds `content` and can never change again (F_SEAL_SEAL SHRINK GROW WRITE), at offset 0.  -1: errno. */
int os_memfd_sealed(const char *name, struct slice content);

/* The same with what the regular file `from` holds now, from its beginning; its bytes never pass through this process.  -1: errno
 * (EFBIG: more than `max` bytes; EINVAL: no regular file). */
int os_memfd_copy(const char *name, int from, size_t max);

bool os_memfd_is_sealed(int fd); /* one of these two */

/* Adds what a sealed memory file holds to `out`.  False (nothing added): not sealed, larger than `max`, or not readable.  The
 * seals are checked first, so the sender cannot change it under the reader's hands. */
bool os_memfd_read(int fd, size_t max, struct buf *out);

/* SO_PASSRIGHTS off: the kernel (6.16 and later) refuses descriptors on this Unix socket.  False: it has no such option. */
bool os_passrights_off(int fd);

#endif
