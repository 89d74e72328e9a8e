#ifndef POSTERN_MASTER_INHERIT_H
#define POSTERN_MASTER_INHERIT_H

#include "base/buf.h"

/*
 * Sockets that the master before us listened on: an upgrade hands them on as open descriptors, whose numbers stand in argv.
 * What each of them is the kernel is asked; nothing is believed because of its number or its place.
 *
 *   a listening TCP socket           is taken for the address and port it is bound to, by whoever wants to listen there
 *   a listening SOCK_SEQPACKET       the control socket     } of the folder that comes with them, and only while that is the
 *   a listening Unix SOCK_STREAM     the submission socket  } runtime folder of the configuration
 *   a folder                         the runtime folder of these two
 *   anything else                    is closed, and the log says so
 *
 * One process has one set: these functions have no object.
 */
#define INHERIT_MAX 256u

/* "5,7,9" as `inherit_text` wrote it.  False: not such a list, or a descriptor that is not open. */
bool inherit_take(const char *list);
/* Close-on-exec for all that stays, and everything above stderr but these and `keep` (-1: none) closed.  Call it before anything is
 * opened. */
void inherit_close_others(int keep);

/* A socket that listens there already, now the caller's; -1: none. */
int inherit_tcp(const void *address, size_t len);
/* The two named sockets of `folder`, now the caller's.  False: none for this folder. */
bool inherit_named(int folder, int *control_out, int *submission_out);
/* What nobody took is closed. */
void inherit_end(void);

/* The other side: descriptors to be handed on, as the list for argv; and whether an exec shall keep them. */
bool inherit_text(const int *fds, size_t count, struct buf *out);
bool inherit_keep(const int *fds, size_t count, bool keep);

#endif
