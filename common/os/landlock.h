#ifndef POSTERN_OS_LANDLOCK_H
#define POSTERN_OS_LANDLOCK_H

#include "os/cage.h"

/*
 * Landlock, by definitions of our own: the platform's headers may be years older than its kernel.
 */
#define LANDLOCK_ABI_NET 4
#define LANDLOCK_ABI_SCOPES 6

struct landlock_wish {
	int abi; /* what landlock_abi said, or less */
	bool only_scopes; /* files and TCP stay as they are */
	bool net; /* TCP stays allowed */
	const struct cage_path *paths;
	size_t path_count;
};

/* The kernel's ABI number; 0: it has no Landlock, or it is switched off. */
int landlock_abi(void);

/* From now on and for good: files only beneath the paths, no TCP unless wished, no signal and no abstract socket beyond what is
 * restricted with us (as far as the ABI goes).  Needs no_new_privs.  False: errno. */
bool landlock_enter(const struct landlock_wish *wish);

#endif
