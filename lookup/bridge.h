#ifndef POSTERN_LOOKUP_BRIDGE_H
#define POSTERN_LOOKUP_BRIDGE_H

#include "stream.h"

/*
 * PostgreSQL's way into TLS, for a libpq that speaks in clear into a pair of sockets of this process: what it says there goes on in TLS, and
 * what comes, decrypted, to it.
 *
 *   bridge_new --SSLRequest--> waiting for one byte --S--> handshake --> open --> the server has ended (libpq hears it behind what came)
 *                                   '--N, another--> broken      '--> broken
 *
 * Always: nothing of libpq's goes out before the server is verified, and not a byte that came before TLS is given to libpq.
 */
struct bridge;

/* Takes `fd`, the connection to the server.  `inner_out` is libpq's end, the caller's.  NULL: no memory; fd is closed. */
struct bridge *bridge_new(int fd, struct tls_client *client, const char *name, int *inner_out);
void bridge_free(struct bridge **bp);

/* Moves what can be moved now, both ways.  `*moved`: something was, so libpq is to look.  False: there is no TLS with this server (`why`). */
bool bridge_move(struct bridge *b, bool *moved);
/* Pure.  The server's first message, as libpq may have it: without SCRAM-SHA-256-PLUS, of which a libpq that takes this for a connection in
 * clear would not hear (the server is verified; SCRAM-SHA-256 is the same without the binding).  False: it is not whole yet. */
bool bridge_first_message(struct buf *in);
bool bridge_is_open(const struct bridge *b);
enum backend_want bridge_want(const struct bridge *b);
const char *bridge_why(const struct bridge *b);

#endif
