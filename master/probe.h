#ifndef POSTERN_MASTER_PROBE_H
#define POSTERN_MASTER_PROBE_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * A process beside one that runs, for a moment: of the same role and program, with what the new configuration gives it.  It enters its
 * cage, checks the configuration, serves nobody and is ended.  For a process that a reload has to start anew (plan_needs_new_process)
 * this is what the check is for the others.
 *
 *   started --CHECKED, silence, death: `done`--> ended --reaped--> gone
 */
struct master;
struct plan;
struct slot;

/* Exactly once, not from inside probe_start. */
typedef void probe_done_fn(bool agreed, struct slice reason, void *arg);
/* False: it could not be started, and `done` will not be called. */
bool probe_start(const struct slot *like, const struct plan *plan, probe_done_fn *done, void *arg);
/* A SIGCHLD has come. */
void probes_reap(struct master *m);
/* Whose question is over: none of them answers any more. */
void probes_end(struct master *m);
void probes_free(struct master *m);

#endif
