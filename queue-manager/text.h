#ifndef POSTERN_QUEUE_TEXT_H
#define POSTERN_QUEUE_TEXT_H

#include "base/buf.h"

/* Text from peers on its way into headers and reports.  Pure. */

/* Adds `text` as one line: every octet that is not printable ASCII becomes '?', at most `max` of them. */
void text_add_line(struct buf *out, struct slice text, size_t max);
/* The same for what goes into a header comment or atom: ( ) \ < > ; and spaces become '?' too. */
void text_add_atom(struct buf *out, struct slice text, size_t max);
bool text_has_control(struct slice text);
bool text_is_ascii(struct slice text);
/* An address as RFC 6533 §3 writes it in a report: "rfc822;..." or "utf-8;..." with \x{...} for what is not ASCII; it ends
 * once `max` octets are written. */
void text_add_typed_address(struct buf *out, struct slice address, size_t max);
/* An ORCPT (mail/dsn.h) as Original-Recipient writes it: the same. */
void text_add_orcpt(struct buf *out, struct slice orcpt, size_t max);
/* Header lines that may stand before a message: each starts with a name and ':' or continues one, each ends in CRLF. */
bool text_is_header_block(struct slice text);
/* Quoted-printable (RFC 2045 §6.7) of CRLF lines. */
void text_add_quoted(struct buf *out, struct slice text);

#endif
