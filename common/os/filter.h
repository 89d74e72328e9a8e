#ifndef POSTERN_OS_FILTER_H
#define POSTERN_OS_FILTER_H

#include "os/cage.h"

/* Loads the seccomp allow-list for a set of enum cage_syscalls into this thread (before any other is started); needs
 * no_new_privs (with CALLS_PROGRAMS: a list of what is denied).  What is not listed kills the process; probes that libraries make without need get an errno.  False: `why`. */
bool filter_load(unsigned calls, uid_t become_min, char *why, size_t why_size);

#endif
