#ifndef POSTERN_SQLITE_AT_SQLITE_AT_H
#define POSTERN_SQLITE_AT_SQLITE_AT_H

#include "base/buf.h"

#include <sys/types.h>

struct sqlite3;

/*
 * SQLite beneath a folder's descriptor: in a process that is in an empty chroot, or whose paths mean nothing, a database is still
 * reached by the descriptor the master handed over, with its journal beside it.  Every file SQLite opens, looks at or removes in
 * this process goes through here, and what does not lie beneath a folder that was given does not exist for it.
 *
 * Always: symbolic links are not followed; the schema is not trusted, nothing can be attached or loaded; memory and time are
 * bounded.  With SQLITE_AT_READ only SELECT with the built-in functions is authorized: a database written by somebody hostile
 * gives wrong answers or an error, nothing else.
 *
 * Blocks on the disk and on locks; for one thread.
 */
enum sqlite_at_mode {
	SQLITE_AT_READ, /* a lock is waited for 50 ms */
	SQLITE_AT_WRITE, /* 2 s; the file must be there (it may be empty) */
};

struct sqlite_at;

/* `folder_fd` is borrowed until sqlite_at_close.  NULL with a sentence in `why`. */
struct sqlite_at *sqlite_at_open(int folder_fd, struct slice name, enum sqlite_at_mode mode, struct buf *why);
/* The same to read, for commands: where somebody died while he wrote, what he had begun is taken back first.  That takes the right to write;
 * without it no statement will run. */
struct sqlite_at *sqlite_at_open_mended(int folder_fd, struct slice name, struct buf *why);
void sqlite_at_close(struct sqlite_at **sp);
struct sqlite3 *sqlite_at_db(struct sqlite_at *s);

/* For who has paths: opens the folder that `path` lies in (the caller closes it); `name_out` points to the rest of `path`.  -1: errno. */
int sqlite_at_folder(const char *path, struct slice *name_out);
/* Makes the file where it is missing, mode 0640, of that group (where we may not give it away, of ours); one that has content is left as
 * it is.  SQLite gives its journal the same owner and mode.  False: errno. */
bool sqlite_at_make(int folder_fd, struct slice name, gid_t gid);

/* What runs from now on is interrupted (SQLITE_INTERRUPT) after that time. */
void sqlite_at_limit(struct sqlite_at *s, uint64_t within_ms);

#endif
