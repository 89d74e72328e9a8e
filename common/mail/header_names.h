#ifndef POSTERN_MAIL_HEADER_NAMES_H
#define POSTERN_MAIL_HEADER_NAMES_H

#include "base/buf.h"

/*
 * Which fields a header has, as one text: ":from:to:subject:", in lower case, each once, in the order they came.  It ends with "*" where
 * there were more than are kept: a name that is not there may be in the header then.  "": nobody has looked.  Pure.
 */
#define HEADER_NAMES_MAX 8192u
#define HEADER_NAMES_LOOKED_AT 1000u /* fields of one header: bounds the work */

struct header_names {
	struct buf text; /* owned: header_names_free */
	uint32_t fields;
	bool cut;
};

struct header_names header_names_make(void);
void header_names_free(struct header_names *n);
void header_names_add(struct header_names *n, struct slice name);
/* Those of a header, or of a message up to its empty line, that is in memory; lines with LF or CRLF. */
void header_names_add_header(struct header_names *n, struct slice header);
/* Those of such a text, but for the names in `without`, a LF between. */
void header_names_add_all(struct header_names *n, struct slice names, struct slice without);
/* Borrowed; "" for want of memory. */
struct slice header_names_text(struct header_names *n);

enum header_has { HEADER_HAS_NOT, HEADER_HAS, HEADER_HAS_UNKNOWN };
enum header_has header_names_have(struct slice names, struct slice name);

#endif
