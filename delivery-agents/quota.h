#ifndef POSTERN_QUOTA_H
#define POSTERN_QUOTA_H

#include "body.h"
#include "quota/maildirsize.h"

/*
 * How much a Maildir holds, kept in its file `maildirsize` (quota/maildirsize.h), which other programs may write too.  It is counted anew where the limit is another one,
 * the file is larger than 5120 bytes, or it says that there is no room and has not just been counted.  Trash is not counted.  Blocking.
 */
/* What the caller took before and has not published yet: it lies in tmp/, where no count sees it. */
struct quota_pending {
	uint64_t bytes;
	unsigned files;
};

/* Takes `bytes` of it: DONE; MAILBOX_FULL: there is no room; else it cannot be found out.  `text` says why. */
enum outcome quota_take(int base_fd, struct slice maildir, const struct quota_limit *limit, struct quota_pending pending, uint64_t bytes,
			char text[MAILDIR_TEXT_BYTES]);
/* What was taken, and not delivered. */
void quota_give_back(int base_fd, struct slice maildir, uint64_t bytes);

#endif
