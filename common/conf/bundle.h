#ifndef POSTERN_CONF_BUNDLE_H
#define POSTERN_CONF_BUNDLE_H

#include "base/buf.h"

/*
 * A configuration as bytes: its files, in the order they were read, each with its name; the first is
 * the main file and `include` names the others.  Read once, by the unprivileged reader; sealed; handed
 * to every process.
 */
#define BUNDLE_FILES_MAX 256
#define BUNDLE_BYTES_MAX (8u << 20)
#define BUNDLE_FILE_MAX (1u << 20)

bool bundle_add(struct buf *bundle, struct slice name, struct slice text);
/* Cuts the next file off `*rest`; false at the end or when malformed (then rest->len > 0). */
bool bundle_next(struct slice *rest, struct slice *name_out, struct slice *text_out);
/* The file of that name; false: not in it. */
bool bundle_find(struct slice bundle, struct slice name, struct slice *text_out);

/* The name of the part that says what the system calls itself (`hostname "..."`): the last one, never
 * included. */
#define BUNDLE_SYSTEM "(system)"

/* Reads the main file and all it includes (relative to the folder of the file that says it; `*` in the
 * last component). False with a sentence for people in `why`.  `bundle` is emptied first and gets its
 * own ceiling; blocks on disk. */
bool bundle_read(const char *path, struct buf *bundle, struct buf *why);

#endif
