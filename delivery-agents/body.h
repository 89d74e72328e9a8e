#ifndef POSTERN_BODY_H
#define POSTERN_BODY_H

#include "base/buf.h"
#include "base/outcome.h"

/*
 * A message as it is written where mail is kept, or given to a program: the lines of the delivery first, then its own with LF.  Blocking.
 */
#define MAILDIR_TEXT_BYTES 200

struct maildir_message {
	int fd; /* borrowed: body at [offset, offset + length), CRLF; a binary one: header CRLF, then octets */
	uint64_t offset, length;
	uint64_t id;
	bool is_binary; /* JOB_BINARY */
	struct slice address; /* for the loop guard; "": none */
	struct slice prepend; /* LF lines */
	struct slice host;
	/* of a file in a Maildir: letters behind ":2,", which put it into cur/; "": none, and new/ */
	const char *flags;
	bool sized; /* ",S=1234" in its name (Maildir++) */
};

/* All of it to `fd`.  quotes: lines that an mbox would take for its own (from_quote).  MAIL_LOOP: it was delivered to that address before;
 * `text`: what went wrong, without a path. */
enum outcome body_write(int fd, const struct maildir_message *m, bool quotes, char text[MAILDIR_TEXT_BYTES]);

/* How much that would be. */
enum outcome body_measure(const struct maildir_message *m, bool quotes, uint64_t *bytes, char text[MAILDIR_TEXT_BYTES]);

/* For who cannot take back what was written: looks for the loop alone.  DONE: there is none. */
enum outcome body_check_loop(const struct maildir_message *m, char text[MAILDIR_TEXT_BYTES]);

/* ENOSPC and EDQUOT: MAILBOX_FULL; EIO: IO_ERROR; anything else: MAILBOX_TEMP.  Never a permanent one. */
enum outcome maildir_errno(int err);
/* The same, with "what: error" in `text`. */
enum outcome body_fail(char text[MAILDIR_TEXT_BYTES], const char *what, int err);

#endif
