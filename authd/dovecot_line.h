#ifndef POSTERN_AUTHD_DOVECOT_LINE_H
#define POSTERN_AUTHD_DOVECOT_LINE_H

#include "base/slice.h"

/*
 * What Dovecot's authentication service says to a client of its protocol (version 1.1 and later of 1): words between tabs, a line
 * each.  Pure, and hostile until proved otherwise.
 */
#define DOVECOT_LINE_MAX 16384u
#define DOVECOT_USER_MAX 255u

enum dovecot_word {
	DOVECOT_OTHER, /* not known here, and passed over as the protocol wants it */
	DOVECOT_VERSION, /* number: the major version */
	DOVECOT_MECH, /* text: its name */
	DOVECOT_DONE, /* the greeting is over */
	DOVECOT_OK, /* number: of the request; user */
	DOVECOT_FAIL, /* number; user, if told; temporary */
	DOVECOT_CONT, /* number; text: the challenge in base64 */
};

struct dovecot_line {
	enum dovecot_word word;
	uint64_t number;
	struct slice text, user, reason; /* borrowed from the line */
	bool temporary;
};

/* `line` without its end.  False: what no Dovecot says (a known word without its number, a NUL, a user that is none). */
bool dovecot_line_parse(struct slice line, struct dovecot_line *out);

#endif
