#ifndef POSTERN_MAIL_HEADER_H
#define POSTERN_MAIL_HEADER_H

#include "mail/header_names.h"

/*
 * A walk over the header of a message (RFC 5322 §2.2), in whatever pieces it comes: counts, finds,
 * and knows where it ends. A line that is no field is noted and the walk goes on, so that nothing
 * behind it hides from the counts.
 */
#define HEADER_NAME_MAX 64u
#define HEADER_VALUE_KEPT 2048u /* octets of one value; the rest of it is not kept */

/* Once for each field: name as written, value unfolded (CRLF taken out) and trimmed.  Borrowed. */
typedef void header_field_fn(struct slice name, struct slice value, void *arg);

enum header_state { HEADER_LINE_START, HEADER_NAME, HEADER_VALUE, HEADER_JUNK, HEADER_ENDED };

struct header_walk {
	header_field_fn *fn; /* may be NULL */
	void *arg;
	struct header_names *names; /* borrowed; NULL: not wanted */
	struct buf value; /* owned; empty without `fn` */
	enum header_state state;
	char name[HEADER_NAME_MAX + 1];
	uint32_t name_len;
	bool has_field; /* a name is there whose value may go on */
	bool name_over; /* a space came after it: only the colon may follow */
	bool malformed; /* a line that was neither a field nor the rest of one */
	bool loose; /* a line that goes on, and nothing is there that it could be the rest of */
	bool cut; /* of the value in hand not all was kept: it is too long */
	bool no_memory; /* of a value not all was kept, for want of memory */
	bool high; /* an octet above 127 */
	uint32_t received; /* Received fields */
	uint64_t bytes; /* with the empty line at the end */
};

struct header_walk header_walk_make(header_field_fn *fn, void *arg);
void header_walk_free(struct header_walk *w);

/* Returns how many bytes of `in` are header: all, or those up to and with the empty line, after
 * which header_is_ended. */
size_t header_walk_step(struct header_walk *w, struct slice in);
/* The message ends here: a field that was being read is told. */
void header_walk_end(struct header_walk *w);

static inline bool header_is_ended(const struct header_walk *w)
{
	return w->state == HEADER_ENDED;
}

#endif
