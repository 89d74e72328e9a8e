#ifndef POSTERN_OFFSPRING_H
#define POSTERN_OFFSPRING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * All that comes of this process's children.  From offspring_open on, whoever loses his parent becomes a child of this process
 * (PR_SET_CHILD_SUBREAPER), whatever session or group he is in: so nobody gets out of sight by setsid or by forking twice, and where there is
 * no child there is nobody.  One for a process; SIGCHLD is blocked for it.  No function blocks, but offspring_wait.
 */
struct offspring {
	int ended; /* readable: one has ended, or was stopped */
};

#define OFFSPRING_MAX 512u

/* False with errno: nothing is open.  ENOENT: no /proc, or a kernel without CONFIG_PROC_CHILDREN. */
bool offspring_open(struct offspring *o);
/* Who has ended, or with WUNTRACED among `flags` was stopped; 0: some live; -1: nobody is left. */
pid_t offspring_next(const struct offspring *o, int flags, int *status);
/* Our children now, at most OFFSPRING_MAX of them; who has ended is among them until offspring_next has told of him. */
size_t offspring_list(pid_t out[OFFSPRING_MAX]);
/* SIGKILL to each child but `spared` (0: nobody is); how many that were. */
size_t offspring_kill(pid_t spared);
/* Until one has ended, at most that long. */
void offspring_wait(const struct offspring *o, int ms);

#endif
