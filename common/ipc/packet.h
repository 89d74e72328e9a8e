#ifndef POSTERN_IPC_PACKET_H
#define POSTERN_IPC_PACKET_H

#include "base/buf.h"

/*
 * One packet on a SOCK_SEQPACKET socket, with at most one descriptor.  Nothing here waits on a non-blocking socket.
 */
enum packet_result {
	PACKET_DONE,
	PACKET_AGAIN, /* the socket is full, or empty: it will be ready */
	PACKET_NO_MEMORY, /* to send it now, or too many descriptors are under way; that the socket is ready says nothing */
	PACKET_CLOSED,
	PACKET_BAD, /* the sender's fault */
	PACKET_NO_ROOM, /* ours: no descriptor is left for the one that came */
	PACKET_FAILED, /* ours: the kernel would not, and errno says why; the other end may be well */
};

/* `pass_fd` (or -1) stays the caller's. */
enum packet_result packet_send(int socket, struct slice bytes, int pass_fd);
/* Into `space`.  `fd_out` NULL: no control buffer, so the kernel drops what was passed.  PACKET_BAD: it did not fit, or held
 * more than one descriptor (all are closed). */
enum packet_result packet_receive(int socket, char *space, size_t size, size_t *len_out, int *fd_out);

#endif
