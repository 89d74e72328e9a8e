#ifndef POSTERN_FILE_AT_FILE_EDIT_H
#define POSTERN_FILE_AT_FILE_EDIT_H

#include "base/buf.h"
#include "base/outcome.h"

#include <sys/types.h>

/*
 * A file of lines that a command changes: read whole, changed in memory, written to a new file (".NAME.new") of the same owner and mode,
 * synced, and put in its place by one rename.  A reader sees the old or the new; a death leaves the old, and at most that new file, which
 * the next command throws away.  Who changes it meanwhile with another command is waited for (5 s); with an editor, nothing is changed.
 *
 * Outcomes: DONE; what `edit` answered; BUSY; SPOOL_FULL; IO_ERROR.  But for DONE, `why` has a sentence.
 */
typedef enum outcome file_edit_fn(void *arg, struct slice text, struct buf *out, struct buf *why);

struct file_edit {
	const char *path;
	const gid_t *make_gid; /* made where it is missing, mode 0640, of that group; NULL: it is not */
	size_t bytes_max;
	bool secret; /* what stands there is wiped */
	file_edit_fn *edit; /* the new text, from the old */
	void *arg;
};
enum outcome file_edit(const struct file_edit *e, struct buf *why) __attribute__((warn_unused_result));

/* Adds the whole file to `out`, whose ceiling bounds it. */
enum outcome file_edit_read(const char *path, struct buf *out, struct buf *why) __attribute__((warn_unused_result));

#endif
