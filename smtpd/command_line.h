#ifndef POSTERN_SMTPD_COMMAND_LINE_H
#define POSTERN_SMTPD_COMMAND_LINE_H

#include "base/buf.h"

/*
 * Command lines out of a stream (RFC 5321 §2.3.8, §4.5.3.1.4).  Only CRLF ends a line.  A line with
 * a bare CR, a bare LF, a NUL, or that is too long is told once, as soon as that is seen, and
 * skipped up to the next CRLF, so that nothing behind the fault is ever taken for a command.
 */
#define COMMAND_LINE_MAX (512u + 2048u) /* RFC 5321, and what extensions add */
#define COMMAND_AUTH_MAX (12288u + 2u) /* of AUTH, and in its dialogue (RFC 4954 §4) */
#define COMMAND_SKIPPED_MAX 65536u /* of one line; then the session ends */

enum line_event {
	LINE_MORE, /* all was used, nothing is whole yet */
	LINE_WHOLE, /* text of the line, without CRLF, until the next call */
	LINE_BARE_CR,
	LINE_BARE_LF,
	LINE_NUL,
	LINE_LONG,
	LINE_ENDLESS, /* skipped more than may be */
};

struct command_line {
	struct buf text; /* owned; wiped: it may be a password */
	size_t skipped;
	bool skipping;
	bool in_dialogue; /* set by the owner: the next line is one of a SASL dialogue */
	bool after_cr;
};

struct command_line command_line_make(void);
void command_line_free(struct command_line *l);
/* Returns the event; *used_out bytes of `in` were taken (at least one, unless `in` is empty). */
enum line_event command_line_step(struct command_line *l, struct slice in, size_t *used_out);
/* What was begun is forgotten. */
void command_line_clear(struct command_line *l);

#endif
