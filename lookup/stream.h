#ifndef POSTERN_LOOKUP_STREAM_H
#define POSTERN_LOOKUP_STREAM_H

#include "backend.h"

#include "tls/tls.h"

/*
 * The bytes of a connection, in clear or in TLS; nothing waits.
 *
 *   clear --stream_secure--> handshake --flush, fill ...--> open     (`out` waits until then; nothing in clear is read or written any more)
 */
struct stream {
	int fd; /* owned */
	struct buf in, out; /* owned: what was said to us, and what is to be said; out may hold a secret */
	struct tls_conn *tls; /* owned; NULL: in clear */
	struct buf wire; /* owned: what TLS makes of `out` */
	const char *why; /* it is broken: a sentence, which lives as long */
	bool ended; /* broken, but no more than that: the server has ended it */
};

#define STREAM_BYTES_MAX (128u << 10)

struct stream stream_make(int fd);
void stream_close(struct stream *s);
/* From now on in TLS, which is begun; the server must have that name.  False: no memory, or the name is none. */
bool stream_secure(struct stream *s, struct tls_client *client, const char *name);
/* It is in clear, or TLS is open. */
bool stream_is_open(const struct stream *s);
/* False: broken (`why`).  All of `out` that can be written now is. */
bool stream_flush(struct stream *s);
/* False: broken, ended, or more than STREAM_BYTES_MAX waits in `in` (`why`); what came before is in `in` all the same.  `*more`: something
 * came. */
bool stream_fill(struct stream *s, bool *more);
enum backend_want stream_want(const struct stream *s);

#endif
