#ifndef POSTERN_MASTER_PLAN_H
#define POSTERN_MASTER_PLAN_H

#include "base/buf.h"
#include "base/log.h"
#include "conf/conf.h"
#include "ipc/message.h"

/*
 * One generation of the configuration as the master has it: the sealed text, which it never looks into, and what the reader
 * said about it, each a message of its own: paths to open, addresses to listen on, how mail is delivered here, what cages depend on, a few settings.
 */
#define PLAN_PATHS_MAX 768u /* two for each certificate */
#define PLAN_COPY_MAX (4u << 20) /* bytes of a file that is copied */
#define PLAN_LISTENERS_MAX 64u
#define PLAN_DELIVERIES_MAX 768u

struct plan_path {
	uint32_t roles;
	uint64_t instance; /* of these roles, or CONF_EACH_INSTANCE */
	enum conf_path_kind kind;
	char *path; /* owned: as the configuration names it */
	int fd; /* owned: the file, the folder it lies in, or a sealed copy; -1 until opened */
	uint64_t mark; /* of a file that was copied, as it was then */
};

struct plan_listener {
	uint64_t index;
	uint16_t port;
	char address[65]; /* "" is every address */
	char name[256];
	int fds[2]; /* owned; the second only for every address */
};

/* For local, which compiles nothing; handed on as it is, and not looked into. */
struct plan_delivery {
	char *record; /* owned */
	size_t len;
};

struct plan {
	uint64_t number;
	int bundle_fd; /* owned */
	struct plan_path paths[PLAN_PATHS_MAX];
	size_t path_count;
	struct plan_listener listeners[PLAN_LISTENERS_MAX];
	size_t listener_count;
	struct plan_delivery deliveries[PLAN_DELIVERIES_MAX];
	size_t delivery_count;
	struct buf cage_facts[ROLE_COUNT]; /* owned: what CAGE says to each role, not looked into */
	char *spool, *runtime, *user_prefix, *host, *require; /* owned; NULL until told */
	enum log_level log_level;
	uint64_t smtpd_workers, relay_workers;
	uint64_t session_timeout_ms;
	uint64_t watchdog_ms; /* 0: hung children are left alone */
	uint64_t lookups; /* of a directory, and of tables that other servers keep */
	uint64_t files_mark; /* of the files that were copied, as they were then */
	uint64_t smtpd_parents; /* 1 where a listener has a process for each connection */
};

struct plan *plan_new(uint64_t number); /* NULL: no memory */
void plan_free(struct plan **pp);

/* What the reader says; false: it says too much. */
bool plan_add_path(struct plan *p, const struct msg_CONF_PATH *m);
bool plan_add_listener(struct plan *p, uint64_t index, uint64_t port, struct slice address, struct slice name);
bool plan_add_delivery(struct plan *p, const struct msg_CONF_DELIVERY *m);
bool plan_add_cage_fact(struct plan *p, const struct msg_CONF_CAGE_FACT *m);
bool plan_set(struct plan *p, const struct msg_CONF_SETTINGS *m);
/* All that a start needs was said. */
bool plan_is_whole(const struct plan *p);
/* What the master itself does otherwise from now on. */
void plan_in_force(const struct plan *p);

/* The same generation anew, with its files still to be opened and copied.  NULL: no memory, or no descriptor. */
struct plan *plan_again(const struct plan *old, uint64_t number);
/* A number that is another one when a file that was copied is another file by now, or was written to. */
uint64_t plan_files_mark(const struct plan *p);

/* Opens every path; all that fail are named in `why`. */
bool plan_open_paths(struct plan *p, struct buf *why);
/* Binds every address, or shares the socket that `old` (may be NULL) has for it; all that fail are named in `why`. */
bool plan_bind(struct plan *p, const struct plan *old, struct buf *why);
bool plan_path_is_for(const struct plan_path *p, enum role role, uint64_t instance);
/* What a process of `role` that began with `old` cannot be given any more, so that it takes a new one: a folder (Landlock cannot be
 * widened), what it does before its cage, or what a file held that its children have read. */
bool plan_needs_new_process(const struct plan *p, const struct plan *old, enum role role);

#endif
