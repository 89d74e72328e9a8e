#ifndef POSTERN_MASTER_CHILD_H
#define POSTERN_MASTER_CHILD_H

#include "ipc/message.h"

#include <sys/types.h>

/* Starting a role's program. */
struct child_order {
	const char *libexec;
	int program; /* O_PATH, borrowed; -1: by its name in `libexec` */
	enum role role;
	uint64_t instance;
	int master_fd; /* becomes descriptor 3; borrowed */
};

/*
 * The programs as they were when the master began: opened once, and executed by descriptor.  A package manager that replaces the
 * files does not mix an old master with new programs; `postern upgrade` changes both.
 */
struct programs {
	int fd[ROLE_COUNT]; /* O_PATH, owned; -1: could not be opened */
};
void programs_open(struct programs *p, const char *libexec);
void programs_close(struct programs *p);

/* For a forked child that is about to execute something: signals as from a shell. */
void child_reset_signals(void);

/* Forks and executes; -1: errno.  A program that cannot be executed exits 126, after a line on stderr. */
pid_t child_spawn(const struct child_order *order);

/* "exit 75", "signal 9 (Killed)": for the log. */
#define CHILD_END_BYTES 64
void child_end_text(int status, char out[CHILD_END_BYTES]);

#endif
