#ifndef POSTERN_MAIL_FIELD_H
#define POSTERN_MAIL_FIELD_H

#include "base/slice.h"

/*
 * The fields of a header that is in memory as a whole (RFC 5322 §2.2), lines with LF or CRLF.  Pure; nothing is copied.
 */
struct mail_field {
	struct slice name; /* "" of a line that is no field, or stands at the top and is the rest of none */
	struct slice whole; /* with the lines it goes on in, and their ends */
	struct slice body; /* behind the colon, up to the end; all of what is no field */
};

/* Cuts the next one off `rest`.  False: there is no more. */
bool mail_field_next(struct slice *rest, struct mail_field *out);

/* Whether that line begins a field: a name of printable ASCII, blanks perhaps (§4.5), a colon. */
bool mail_field_begins(struct slice line);

#endif
