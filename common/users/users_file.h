#ifndef POSTERN_USERS_USERS_FILE_H
#define POSTERN_USERS_USERS_FILE_H

#include "base/buf.h"
#include "base/outcome.h"

#include <sys/types.h>

/*
 * The other place for logins, a file of lines "login:hash", as `postern user` changes it.  It is read whole and checked, the changed text is
 * written to a new file of the same owner and mode, synced, and takes the place of the old by one rename; comments, order and whatever else
 * stands there are kept.  Who changes it meanwhile with another command is waited for (5 s); with an editor, nothing is changed.
 *
 * Outcomes: DONE; NOT_FOUND: no such login; NOT_ALLOWED: there is one already; BAD_INPUT: no address that may stand in such a file, no
 * password, or a file with a mistake ("line 3: ..."); BUSY: somebody else changes it; IO_ERROR and SPOOL_FULL: the disk.  But for DONE,
 * `why` has a sentence.  All block on the disk.
 */
#define USERS_FILE_MAX (4u << 20) /* what postern-authd reads */

/* Made where it is missing, mode 0640, of the group `gid`. */
enum outcome users_file_add(const char *path, gid_t gid, struct slice address, struct slice password, struct buf *why)
	__attribute__((warn_unused_result));
enum outcome users_file_set_password(const char *path, gid_t gid, struct slice address, struct slice password, struct buf *why)
	__attribute__((warn_unused_result));
enum outcome users_file_remove(const char *path, struct slice address, struct buf *why) __attribute__((warn_unused_result));

/* In the order of the file; stops when fn returns false. */
typedef bool users_file_fn(struct slice address, void *arg);
enum outcome users_file_list(const char *path, users_file_fn *fn, void *arg, struct buf *why) __attribute__((warn_unused_result));

/* ---- the text; pure ---- */

enum users_file_change { USERS_FILE_ADD, USERS_FILE_SET, USERS_FILE_REMOVE };

/* Adds the changed text to `out` (a secret buffer; its ceiling bounds it). */
enum outcome users_file_edit(struct slice text, enum users_file_change change, struct slice address, struct slice hash, struct buf *out,
			     struct buf *why) __attribute__((warn_unused_result));

#endif
