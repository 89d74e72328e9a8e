#ifndef POSTERN_FILTER_VIEW_H
#define POSTERN_FILTER_VIEW_H

#include "filter/filter.h"
#include "filter/view_address.h"
#include "filter/view_field.h"
#include "filter/view_part.h"

/*
 * A message as filters see it: its header fields (RFC 5322 §2.2), unfolded, with the encoded words of RFC 2047 as UTF-8, the address
 * lists in them, and the MIME parts of its body (RFC 2045, 2046).  Lenient: a message is what somebody sent; what cannot be read is
 * kept as written.  Each thing is worked out when it is first asked for, and once.  All slices lie in the view or in the message.
 *
 * A function that returns bool gives false when there is no memory, or the body cannot be read now: FILTER_LATER.
 */
#define VIEW_FIELDS_MAX 8192u

struct view;

enum view_made { VIEW_MADE, VIEW_TOO_MANY_FIELDS, VIEW_NO_MEMORY };

/* `message` is borrowed and must outlive the view; up to `body_max` bytes of its body are read, once they are asked for. */
enum view_made view_new(const struct filter_message *message, uint64_t body_max, struct view **out);
void view_free(struct view **vp);

size_t view_field_count(const struct view *v);
const struct view_field *view_field_at(const struct view *v, size_t index);
/* The index of the next field of that name (case does not count; "" is every name) from `from` on; SLICE_NONE: no more. */
size_t view_field_next(const struct view *v, struct slice name, size_t from);

/* Unfolded and trimmed: no CR, no LF. */
bool view_field_text(struct view *v, size_t index, struct slice *out);
/* The same, encoded words decoded. */
bool view_field_decoded(struct view *v, size_t index, struct slice *out);
/* The addresses in it. */
bool view_field_addresses(struct view *v, size_t index, const struct view_addresses **out);

/* Of the first field of that name, decoded; "" where there is none, or it is empty. */
bool view_first(struct view *v, struct slice name, struct slice *out);

/* The body's first `body_max` bytes. */
bool view_body(struct view *v, struct slice *out);
/* Its MIME parts, the whole message first, each behind the one it lies in; never none. */
bool view_parts(struct view *v, const struct view_part **parts_out, size_t *count_out);

#endif
