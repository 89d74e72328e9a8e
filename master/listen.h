#ifndef POSTERN_MASTER_LISTEN_H
#define POSTERN_MASTER_LISTEN_H

#include "base/buf.h"

#include <sys/types.h>

/* Listening sockets, made for the gate; all close-on-exec and non-blocking.  -1 with a sentence for people in `why`. */

/* `address` is a literal; IPv6 sockets take no IPv4. */
int listen_tcp(const char *address, uint16_t port, struct buf *why);
/* The same for every address: IPv4 and, where the host has it, IPv6.  out[1] is -1 without. */
bool listen_tcp_any(uint16_t port, int out[2], struct buf *why);
/* A named socket in `folder` (borrowed); a stale one is replaced.  `type`: SOCK_STREAM or SOCK_SEQPACKET. */
int listen_unix(int folder, const char *folder_name, const char *name, int type, mode_t mode, struct buf *why);

#endif
