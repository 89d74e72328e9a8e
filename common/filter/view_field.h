#ifndef POSTERN_FILTER_VIEW_FIELD_H
#define POSTERN_FILTER_VIEW_FIELD_H

#include "base/slice.h"

/* A header field as it stands (RFC 5322 §2.2). */
struct view_field {
	struct slice name; /* as written */
	struct slice raw; /* behind the colon, folded as it came, without its last line end */
};

/* Cuts the next field off a header; lines that are none are passed over, and what goes on behind them.  False: no more. */
bool view_field_cut(struct slice *header, struct view_field *out);
/* The first of that name; case does not count. */
bool view_field_find(struct slice header, struct slice name, struct view_field *out);
/* Cuts the line at the front, its LF with it; false at the end. */
bool view_line_cut(struct slice *rest, struct slice *out);
/* Without the CR and LF at its end. */
struct slice view_line_text(struct slice line);

#endif
