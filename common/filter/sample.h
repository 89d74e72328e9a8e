#ifndef POSTERN_FILTER_SAMPLE_H
#define POSTERN_FILTER_SAMPLE_H

#include "filter/filter.h"

/*
 * A message whose whole text is in memory, as filters see it: for `postern filter test` and for tests.  Lines end with LF or CRLF; a line
 * "From ..." of an mbox before it is left out.  `body` reads in the text, so `s` must stay where it is while the message is used.
 */
struct filter_sample {
	struct slice body;
};

/* Sets header, size, body and arg of *message; the rest is the caller's. */
void filter_sample_set(struct filter_sample *s, struct slice text, struct filter_message *message);

#endif
