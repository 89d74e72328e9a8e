#ifndef POSTERN_MASTER_MASTER_H
#define POSTERN_MASTER_MASTER_H

#include "child.h"
#include "event/loop.h"
#include "ipc/link.h"
#include "plan.h"
#include "reader.h"
#include "roster.h"
#include "supervise.h"

#include <sys/queue.h>
#include <sys/types.h>

/*
 * What the files of this folder share.  One struct, owned by main; slots are made once and never go.
 */
struct master;

/* One place for one process: a role and an instance. */
struct slot {
	struct master *master;
	const struct roster_row *row;
	uint64_t instance;
	struct supervise life;
	struct timer *timer; /* owned; when life.deadline_ms is due */
	pid_t pid; /* 0: none */
	uid_t uid;
	gid_t gid;
	gid_t group; /* a supplementary one, or 0 */
	struct link *link; /* owned; NULL while there is no process */
	bool wants_successor; /* it has asked for one */
	bool retiring; /* it was told that there is one */
	uint64_t births; /* tells answers to an earlier process apart */
	uint64_t generation; /* the newest it was given */
	uint64_t session_ms; /* the longest session of all it was given */
	uint64_t ready_ms;
	uint64_t missed; /* watch.c: ticks without a PONG */
	bool pinged; /* a PING is under way */
	bool trial; /* it is to begin nothing: probe.c */
	char last_end[64]; /* how the process before ended; "" */
	char missing[128];
};

/* argv, checked: the master's only input of its own. */
struct master_options {
	char self[4096]; /* absolute: by which name the master is executed */
	char config[4096]; /* absolute */
	char libexec[4096];
	bool trial; /* start all that the cage and the configuration can refuse, serve nobody, end: 0 is "it would run" */
	int ready_fd; /* -1: none */
	uint64_t kernel; /* 0; 61: what CAGE says for tests */
};

enum master_phase { PHASE_READING, PHASE_STARTING, PHASE_RUNNING, PHASE_STOPPING };

#define SLOTS_MAX (ROSTER_COUNT + 3 * ROSTER_WORKERS_MAX + 2)

struct reload; /* reload.c */
struct upgrade; /* upgrade.c */
struct renewal; /* renewal.c */

struct master {
	struct loop *loop;
	const struct master_options *options;
	enum master_phase phase;
	bool as_root;
	uid_t conf_uid;
	gid_t conf_gid;
	struct plan *plan; /* owned: the generation in force */
	uint64_t generations; /* counted */
	uint64_t run; /* by chance: tells this run from the one after an upgrade */
	uint64_t begun_ms;
	struct slot *slots[SLOTS_MAX]; /* owned */
	size_t slot_count;
	int spool_fd, empty_fd, runtime_fd; /* owned */
	int control_fd, submission_fd; /* owned: listening */
	struct programs programs;
	uint64_t drain_turn;
	struct timer *watch; /* owned; watch.c */
	struct timer *stop; /* owned; NULL until a command asks for the end */
	LIST_HEAD(, probe) probes;
	struct reload *reload; /* NULL: none is under way */
	struct upgrade *upgrade; /* NULL: no trial is under way */
	bool leaving; /* STOPPING, and then a new master */
	struct renewal *renewal; /* owned; NULL before the first readiness */
	int exit_code;
};

/* ---- slots.c: processes ---- */
/* Makes the slots that the plan wants and there are not; drains the workers it has too many of. */
bool slots_fit(struct master *m);
/* Starts all that are idle: first every role but the gate, and the gate when the others are ready. */
void slots_start(struct master *m);
void slot_event(struct slot *s, enum supervise_event event);
/* It has served enough: starts the one that is to take its place, as soon as that place is free. */
void slot_succeed(struct slot *s);
struct slot *slot_find(struct master *m, enum role role, uint64_t instance); /* NULL: none */
void slots_reap(struct master *m);
bool slots_are(const struct master *m, enum supervise_state state);
static inline bool slot_is_live(const struct slot *s)
{
	return s->link != NULL && (s->life.state == SUPERVISE_STARTING || s->life.state == SUPERVISE_READY);
}

/* ---- hand.c: what a process is handed ---- */
bool hand_clock(struct slot *s); /* in tests: the time of the others */
bool hand_cage(struct slot *s, const struct plan *plan);
bool hand_generation(struct slot *s, const struct plan *plan);
/* Links it with all ready peers the trust table names. */
void hand_links(struct slot *s);

/* ---- message.c: what a process says ---- */
void on_slot_message(struct link *link, struct ipc_message *m, void *arg);

/* ---- control.c: what an operator asks through the gate ---- */
void on_control_ask(struct slot *gate, struct ipc_message *m);

/* ---- reload.c ---- */
typedef void reload_done_fn(struct master *m, bool done, const char *text, void *arg);
/* Begins one.  `done` is called exactly once, maybe from here. */
void reload_start(struct master *m, reload_done_fn *done, void *arg);
/* The same for the configuration in force, whose files (PATH_COPY) are others than they were. */
void reload_files(struct master *m, reload_done_fn *done, void *arg);
/* A process has gone: its answer will not come. */
void reload_slot_gone(struct master *m, struct slot *s);

/* ---- upgrade.c ---- */
typedef void upgrade_done_fn(struct master *m, bool begun, const char *text, void *arg);
/* Tries the programs that are installed now.  `done` is called exactly once, maybe from here: refused with the reason, or begun;
 * then the master leaves (master_leave). */
void upgrade_start(struct master *m, upgrade_done_fn *done, void *arg);
/* A SIGCHLD has come. */
void upgrade_reap(struct master *m);
void upgrade_cancel(struct master *m);
/* All children are gone: becomes the new master.  Returns only when that failed. */
void upgrade_execute(struct master *m);

/* ---- watch.c ---- */
/* From now on, and as the plan in force says: asks all children again and again, and restarts those that hang. */
void watch_children(struct master *m);

/* ---- renewal.c: certificates and the like that change under way ---- */
void renewal_start(struct master *m);
void renewal_free(struct renewal **rp);

/* ---- prepare.c: folders, sockets, users; while still privileged ---- */
bool prepare_folders(struct master *m, struct buf *why);
/* The user the configuration is read as, before a configuration can say so. */
void prepare_reader_user(struct master *m);
bool prepare_slot_user(struct master *m, struct slot *s, struct buf *why);

/* ---- master.c ---- */
int master_run(const struct master_options *options);
void master_stop(struct master *m, int exit_code);
/* Ends all children like a stop, then executes the new master. */
void master_leave(struct master *m);
/* To be called when a slot became ready or dead. */
void master_look(struct master *m);

#endif
