#ifndef POSTERN_LOOKUP_STREAM_H
#define POSTERN_LOOKUP_STREAM_H

#include "backend.h"

/* The bytes of a connection, for protocols that are decoded here. */
struct stream {
	int fd; /* owned */
	struct buf in, out; /* owned; out may hold a secret */
};

#define STREAM_BYTES_MAX (128u << 10)

struct stream stream_make(int fd);
void stream_close(struct stream *s);
/* False: broken.  All of `out` that can be written now is. */
bool stream_flush(struct stream *s);
/* False: broken, ended, or more than STREAM_BYTES_MAX waits in `in`.  `*more`: something came. */
bool stream_fill(struct stream *s, bool *more);
static inline enum backend_want stream_want(const struct stream *s)
{
	return s->out.len > 0 ? BACKEND_WRITE : BACKEND_READ;
}

#endif
