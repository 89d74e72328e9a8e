#ifndef POSTERN_BASE_BUF_H
#define POSTERN_BASE_BUF_H

#include "base/slice.h"

#include <stdarg.h>

/*
 * Bytes that grow up to a ceiling given when made.  A failed addition (no memory, ceiling) adds nothing and sets `failed`;
 * ask once, at the end (buf_ok).  The owner calls buf_free, which wipes the memory first when `secret` is set.
 */
struct buf {
	char *at; /* owned; NULL while empty */
	size_t len;
	size_t cap;
	size_t max;
	bool failed;
	bool secret;
	bool no_memory; /* it failed for want of memory, not at its ceiling */
};

static inline struct buf buf_make(size_t max)
{
	return (struct buf){NULL, 0, 0, max, false, false, false};
}
static inline struct buf buf_make_secret(size_t max)
{
	return (struct buf){NULL, 0, 0, max, false, true, false};
}

void buf_free(struct buf *b); /* leaves it empty and usable, ceiling kept */
void buf_clear(struct buf *b); /* length 0, memory kept (wiped if secret), failed reset */

bool buf_add(struct buf *b, const void *at, size_t len);
bool buf_add_slice(struct buf *b, struct slice s);
bool buf_add_text(struct buf *b, const char *text);
bool buf_add_char(struct buf *b, char c);
bool buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_addv(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
/* Room for `len` bytes at the end, not yet counted in `len`; NULL as above.  buf_grew counts what was written there. */
char *buf_room(struct buf *b, size_t len);
void buf_grew(struct buf *b, size_t len);
/* Drops `n` bytes at the front. */
void buf_take(struct buf *b, size_t n);
/* Back to its first `len` bytes: for one who adds the whole of something or nothing, and may find room later. */
static inline void buf_undo(struct buf *b, size_t len)
{
	b->len = len;
	b->failed = b->no_memory = false;
}

static inline bool buf_ok(const struct buf *b)
{
	return !b->failed;
}
static inline struct slice buf_slice(const struct buf *b)
{
	return slice_make(b->at, b->len);
}
/* The content with a NUL after it, valid until the next change; "" when failed. */
const char *buf_text(struct buf *b);

#endif
