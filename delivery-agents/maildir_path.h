#ifndef POSTERN_MAILDIR_PATH_H
#define POSTERN_MAILDIR_PATH_H

#include "base/slice.h"

/*
 * Where a Maildir lies, as text.  Pure.  It is beneath a base: a system user's home, or the folder before the first part of a
 * transport's template that differs between recipients; nothing is ever opened outside of it.
 */
#define MAILDIR_PATH_MAX 4096
#define MAILDIR_DEPTH_MAX 32

/* The part of `path` beneath `base`.  False when it is not beneath it or has an unsafe part. */
bool maildir_beneath(struct slice base, struct slice path, struct slice *relative_out);
/* Parts between single slashes, none of them empty, "." or "..", no control byte, at most MAILDIR_DEPTH_MAX; "" is safe. */
bool maildir_is_safe(struct slice relative);

/* A name nobody has used in that folder: time, message id, process, counter and host ('/' and ':' replaced, as in
 * https://cr.yp.to/proto/maildir.html). */
#define MAILDIR_NAME_BYTES 208
struct maildir_name {
	int64_t wall_ms;
	uint64_t id;
	uint64_t process;
	uint64_t counter;
	struct slice host;
};
void maildir_name_make(const struct maildir_name *n, char out[MAILDIR_NAME_BYTES]);

#endif
