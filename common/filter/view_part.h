#ifndef POSTERN_FILTER_VIEW_PART_H
#define POSTERN_FILTER_VIEW_PART_H

#include "conf/arena.h"

/*
 * The parts of a message (RFC 2045, 2046): multiparts and messages within messages are taken apart, transfer encodings undone, texts
 * turned into UTF-8 where we know their charset.  What is malformed is text: a multipart without a boundary, a type that is none.
 */
#define VIEW_PARTS_MAX 1000u
#define VIEW_NESTING_MAX 20u /* deeper ones are not taken apart */

struct view_part {
	struct slice type; /* lower case: "text/plain" */
	struct slice header; /* its own, as it stands */
	struct slice raw; /* what is behind that, as it stands */
	/* `raw` without its transfer encoding.  Of a multipart: what stands before its first part; of a message: its header. */
	struct slice content;
	struct slice epilogue; /* of a multipart: behind its last part */
	size_t parent; /* index; its own: the message itself */
	unsigned depth;
};

struct view_part_list {
	struct view_part *at;
	size_t count;
};

/* In the order of the text.  Slices lie in the arena, in `header` or in `body`.  False: no memory. */
bool view_parts_parse(struct arena *arena, struct slice header, struct slice body, struct view_part_list *out);

/* The text of HTML: tags, comments, scripts and styles are left out, and the usual entities resolved.  Never longer than it was. */
struct buf;
bool view_html_text(struct slice html, struct buf *out);

#endif
