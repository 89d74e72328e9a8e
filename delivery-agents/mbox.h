#ifndef POSTERN_MBOX_H
#define POSTERN_MBOX_H

#include "body.h"

/*
 * Delivery into an mbox file, by a process that already is its owner.  Blocking, with a bound: another's lock is waited for some seconds, then
 * the message is temporary.  Lines are quoted as "mboxrd" (maildir_text.h).
 *
 *	folder --name.lock, where the folder lets us--> file --fcntl lock--> (a part of a message cut off) --> the lock says what will be written
 *		--> written at the file's end, synced --> locks away
 *
 * Always: the file is plain, its owner's, and has no other name; its mode is kept, or made narrower where everybody might read or write it;
 * what fails leaves it as long as it was.  Who dies leaves his lock: it was held, so that the next one knows at once that it is nobody's, and
 * says which part of a message may be cut off (mbox_mark.h).
 */
struct mbox {
	int base_fd; /* borrowed */
	struct slice path; /* beneath it */
	uint32_t mode; /* of a new file; 0: 0600 */
	struct slice sender; /* of the envelope, for its "From " line */
	int64_t now_s;
};
/* DONE: it is on the disk.  Else `text` says why, and there is nothing of it. */
enum outcome mbox_deliver(const struct mbox *box, const struct maildir_message *m, char text[MAILDIR_TEXT_BYTES]);

#endif
