#ifndef POSTERN_POLICYD_PAGES_H
#define POSTERN_POLICYD_PAGES_H

#include "base/buf.h"
#include "service/service.h"

/*
 * Answers about lists that are longer than one message: what is left of each, until who asked has had it all.
 *
 *   pages_open --pages_next--> ... --the last page--> gone
 *        '-- its link ends, a minute without a word, another generation --> gone
 *
 * Always: a list is found as a whole before its first page is given, so that no change makes half of one; PAGES_OPEN_MAX of them and
 * PAGES_BYTES_MAX in all; a cursor is good for one page, and for the link that was given it.
 */
#define PAGES_OPEN_MAX 64u
#define PAGES_BYTES_MAX (64u << 20)
#define PAGES_KEEP_MS 60000u

struct pages;

struct pages *pages_new(struct service *s); /* exits 75 without memory */
/* Takes the records (route_target), of which the first `given` bytes are given already; they may be read until the next call.  The cursor; 0: no room, and nothing was taken. */
uint64_t pages_open(struct pages *p, struct link *link, struct buf *records, size_t given);
/* The next page, which is there until pages_end, and the cursor of the one behind it (0: none).  False: there is none of that cursor. */
bool pages_next(struct pages *p, struct link *link, uint64_t cursor, struct slice *page_out, uint64_t *cursor_out);
/* What was given last has been sent. */
void pages_end(struct pages *p);
/* All of that link. */
void pages_drop(struct pages *p, const struct link *link);

#endif
