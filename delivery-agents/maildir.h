#ifndef POSTERN_MAILDIR_H
#define POSTERN_MAILDIR_H

#include "body.h"
#include "maildir_path.h"

/*
 * Delivery into a Maildir, by a process that already is its owner.  Blocking.  Nothing is opened but beneath `base_fd`, and no
 * symbolic link is ever followed (openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS).
 *
 *	maildir_open     its folders, made where they are missing; for any number of messages
 *	maildir_write    tmp/NAME written                     a crash leaves litter in tmp/ only
 *	maildir_sync     its content is on the disk
 *	maildir_publish  renamed into new/, never over anything
 *	maildir_settle   new/ is on the disk: delivered
 *
 * A message with flags is published into cur/ instead.
 *
 * Each step is taken only when the one before gave OC_DONE.  maildir_drop ends it: what is not published is removed again.
 * Several messages may be at the same step together: what was written of all of them is on its way to the disk before the first is
 * waited for, and one commit of the file system's journal serves them all.
 */
struct maildir {
	int tmp_fd, new_fd; /* owned; -1; new: or cur */
	bool settled; /* new/ was synced since the last was published there */
	int sync_errno; /* and what came of it, which holds for all that were published before */
};

struct maildir_draft {
	struct maildir *maildir; /* borrowed */
	int file_fd; /* owned; -1 */
	bool written, published;
	uint64_t size; /* of the file, once written */
	enum outcome outcome;
	char name[MAILDIR_NAME_BYTES]; /* in tmp/ and new/ */
	char text[MAILDIR_TEXT_BYTES]; /* what went wrong, without a path */
};

/* `relative` to the base: "" is the base; a last part that begins with a dot is a folder of a Maildir++.  flagged: for messages with
 * flags, which go to cur/.  Closed by maildir_close whatever the outcome; `text` as a draft's. */
enum outcome maildir_open(int base_fd, struct slice relative, bool flagged, struct maildir *out, char text[MAILDIR_TEXT_BYTES]);
void maildir_close(struct maildir *md);

/* The draft may be dropped whatever the outcome, before its Maildir is closed. */
enum outcome maildir_write(struct maildir *md, const struct maildir_message *m, struct maildir_draft *d);
enum outcome maildir_sync(struct maildir_draft *d);
enum outcome maildir_publish(struct maildir_draft *d, const struct maildir_message *m);
/* After all that go together were published: new/ is synced once. */
enum outcome maildir_settle(struct maildir_draft *d);
void maildir_drop(struct maildir_draft *d);

/* For who writes other files beneath the same base: no link is followed, nothing above it is reached.  As open(2); EAGAIN: the file is leased. */
int beneath_open(int base_fd, const char *path, uint64_t flags);
/* A folder, made where it is missing, with all above it; on the disk then.  -1 with errno. */
int beneath_make_folder(int base_fd, struct slice relative);

#endif
