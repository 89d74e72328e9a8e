#ifndef POSTERN_BASE_UTF8_H
#define POSTERN_BASE_UTF8_H

#include "base/buf.h"

/* UTF-8 (RFC 3629): strict about what is well-formed, and one character at a time. */
#define UTF8_REPLACEMENT 0xfffdu /* stands for what cannot be read */

/* Octets of the well-formed sequence at the front of `s`, which is not empty, its code point in *out; 0: there is none (§4). */
size_t utf8_next(struct slice s, uint32_t *out);
/* A code point that is none becomes the replacement. */
bool utf8_add(struct buf *out, uint32_t point);
bool utf8_is_well_formed(struct slice s);
/* Characters; an octet that is part of none counts as one. */
size_t utf8_count(struct slice s);
/* The whole characters in the first `max` octets. */
struct slice utf8_cut(struct slice s, size_t max);

#endif
