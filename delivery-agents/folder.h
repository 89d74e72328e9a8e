#ifndef POSTERN_FOLDER_H
#define POSTERN_FOLDER_H

#include "base/buf.h"

/*
 * Names of folders and flags, as a Maildir++ writes them.  Pure.
 */

/* A folder's name in UTF-8, `/` or `.` between its levels, to its path beneath the Maildir: "Lists/a" -> ".Lists.a", each level in IMAP's
 * modified UTF-7 (RFC 3501 §5.1.3).  INBOX, and "INBOX/" before a name, are the Maildir itself: "".  False: no name (an empty level,
 * control characters, no UTF-8), or longer than a file's name may be. */
#define FOLDER_BYTES 256
bool folder_path(struct slice name, char out[FOLDER_BYTES]);

/* IMAP flags ("\Seen \Flagged") to the letters of a file's name ("FS"), in order; what has no letter (a keyword) is left out. */
#define FLAG_BYTES 8
void folder_flags(struct slice flags, char out[FLAG_BYTES]);

#endif
