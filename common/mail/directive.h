#ifndef POSTERN_MAIL_DIRECTIVE_H
#define POSTERN_MAIL_DIRECTIVE_H

#include "base/slice.h"

/*
 * What a recipient is beyond an address: where in its owner's reach the message is to go.  Programs and files are not addresses, so
 * they are never read out of one.  Carried beside the recipient, by number and argument, from whoever decided it (a route, a forward
 * file, a filter) to the agent that does it.  Pure.
 *
 * As which user: that of the transport, or the recipient's own system user; nothing here says it.  No argument is seen by a shell.
 */
enum directive_kind {
	DIRECTIVE_NONE, /* as its transport says: its owner's forward and filter files are asked */
	DIRECTIVE_INBOX, /* the mailbox, without asking them.  Argument: "", or NUL FLAGS */
	DIRECTIVE_FOLDER, /* that folder of the mailbox.  NAME, or NAME NUL FLAGS; the name in UTF-8, `/` or `.` between levels */
	DIRECTIVE_FILE, /* PATH, absolute or beneath the home: an mbox file, or with `/` at its end a Maildir; or PATH NUL MODE, octal */
	DIRECTIVE_PIPE, /* a program and its arguments, a NUL behind each */
	DIRECTIVE_LIST, /* a list with an owner (RFC 3461 §5.2.7.3): becomes a message of its own, whose sender is the argument.  For the
			 * queue itself, which makes it so: no agent hears of it, and none may ask for it */
	DIRECTIVE_COUNT
};

#define DIRECTIVE_ARGUMENT_MAX 4096u
#define DIRECTIVE_PATH_MAX (DIRECTIVE_ARGUMENT_MAX - 6) /* a mode may stand behind it */
#define DIRECTIVE_WORDS_MAX 64u /* of a program, itself included */

struct directive {
	enum directive_kind kind;
	struct slice text; /* FOLDER: the name; FILE: the path; PIPE, LIST: all of the argument; else "" */
	struct slice extra; /* IMAP flags and keywords, a blank between; of FILE the mode, octal */
};

/* False: a kind that is not known here, or an argument that is none of it. */
bool directive_decode(uint64_t kind, struct slice argument, struct directive *out);
const char *directive_name(uint64_t kind); /* "pipe"; "?" of what is not known */
/* Runs a program or names a file: done by the transport that it was made for, and no other. */
bool directive_is_bound(uint64_t kind);

/* Addresses that were expanded on the way to a message, oldest first, a LF between. */
#define ANCESTORS_MAX 50u
#define ANCESTORS_BYTES_MAX 16384u
bool ancestors_have(struct slice ancestors, struct slice address);

#endif
