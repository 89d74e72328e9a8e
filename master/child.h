#ifndef POSTERN_MASTER_CHILD_H
#define POSTERN_MASTER_CHILD_H

#include "ipc/message.h"

#include <sys/types.h>

/* Starting a role's program. */
struct child_order {
	const char *libexec;
	enum role role;
	uint64_t instance;
	int master_fd; /* becomes descriptor 3; borrowed */
};

/* Forks and executes; -1: errno.  A program that cannot be executed exits 126, after a line on stderr. */
pid_t child_spawn(const struct child_order *order);

/* "exit 75", "signal 9 (Killed)": for the log. */
#define CHILD_END_BYTES 64
void child_end_text(int status, char out[CHILD_END_BYTES]);

#endif
