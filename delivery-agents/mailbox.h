#ifndef POSTERN_MAILBOX_H
#define POSTERN_MAILBOX_H

#include "base/slice.h"

#include <sys/types.h>

/*
 * The mailbox worker: a child of postern-local that becomes one user for good, takes a cage of its own with nothing but the
 * base folder in it, and writes messages into Maildirs until its parent closes the link.  Blocking; it has no event loop.
 */
struct mailbox_order {
	int socket; /* to the parent */
	uid_t uid;
	gid_t gid;
	gid_t group; /* instead of gid, which it has besides; 0: none */
	bool as_root; /* false: stays the caller */
	bool owns_base; /* the base is a home and must belong to uid */
	const char *base; /* absolute; opened only after becoming the user */
	const char *home; /* where the base is none: what belongs to the user besides; NULL: nothing */
	int base_fd; /* the base as the master opened it, where the user may not walk to it by name; -1: none */
	const char *host;
	uint64_t file_bytes_max;
	pid_t parent;
};

/* Messages taken together: their files are written, then synced, then published, so that they share journal commits. */
#define MAILBOX_BATCH 32

/* The child's whole life, after the fork.  Closes every descriptor but 0-2 and the socket. */
_Noreturn void mailbox_run(const struct mailbox_order *order);

#endif
