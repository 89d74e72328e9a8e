#ifndef POSTERN_LOCAL_H
#define POSTERN_LOCAL_H

#include "local_owners.h"
#include "mail/directive.h"
#include "quota/quota_limit.h"
#include "service/service.h"

#include <sys/queue.h>

/*
 * The parent of local delivery, inside: jobs (what the queue asked) hold deliveries (one recipient each); a pool is one user
 * with one base folder, its workers and the deliveries that wait for them.
 *
 *	delivery:  asked --owner known--> waiting (in its pool) --sent--> in flight (at a worker) --verdict--> told, gone
 *
 * Every delivery gets exactly one verdict; a job ends when its last one has it.
 */
#define JOBS_MAX 4096
#define WORKERS_MAX 32
#define PROGRAM_WORKERS_MAX 16 /* of these: programs may sleep, and mailboxes need workers besides */
#define WORKERS_A_USER 4
#define WORKER_MESSAGES_MAX 64
#define WORKER_SPREAD 8 /* in flight at each worker before another is made */
#define POOL_WAIT_MS 600000u /* what waits longer for a worker is tried again later */
#define WORKER_IDLE_MS 5000u
#define WORKER_STUCK_MS 300000u
#define PROGRAM_STUCK_MS (WORKER_STUCK_MS + 3600000u) /* the longest `timeout`, and as long again as others have */
#define TICK_MS 1000u
#define RUNNERLESS_MS 30000u /* for the jobs that there are, once nobody runs programs */
#define FULL_MAILBOXES_MAX 10000u

struct local;
struct map;
struct pool;

struct job {
	TAILQ_ENTRY(job) jobs;
	struct local *local;
	uint64_t number, id, flags, offset, length;
	int fd; /* owned: the message file */
	bool orphan; /* the queue that asked is gone: nobody hears the verdicts */
	struct generation *generation; /* held */
	const struct owner *owner; /* of the generation; NULL: it has no such local transport */
	struct quota_limit quota;
	char *sender, *nexthop; /* owned */
	char *place, *owner_folder; /* owned: the mailbox, and what `~` is, beneath the pool's base */
	struct buf prepend; /* owned */
	TAILQ_HEAD(delivery_list, delivery) asked; /* no owner yet */
	size_t open; /* deliveries without a verdict */
};

struct delivery {
	TAILQ_ENTRY(delivery) peers;
	struct job *job;
	uint64_t slot;
	uint64_t waits_ms; /* since when, in its pool */
	struct directive directive;
	uint64_t handover; /* enum job_handover, of a success */
	struct slice argument, original; /* these and the directive's texts lie behind the recipient */
	char recipient[];
};

/* Mails that a worker has told of, and whose message it has not yet. */
#define WANTED_MAX 8u
struct wanted_mail;
struct wanted {
	STAILQ_HEAD(, wanted_mail) mails;
	size_t count;
};

struct worker {
	TAILQ_ENTRY(worker) peers;
	struct pool *pool;
	struct link *link; /* owned */
	pid_t pid;
	bool ready;
	size_t sent, in_flight;
	uint64_t used_ms; /* when the oldest in flight was sent, or the last verdict came */
	struct delivery_list flying;
	struct wanted wanted; /* owned */
};

/* Who does it, and where. */
struct who {
	uid_t uid;
	gid_t gid;
	gid_t group; /* instead of gid, which it has besides; 0: none */
	const char *base; /* of programs: where they begin */
	int base_fd; /* the base, opened by the master; -1 */
	const char *home; /* beside the base; NULL: the base is it, or there is none */
	bool owns_base; /* it is a home, and must be the user's */
	bool programs; /* its workers run programs, and have no cage */
};

struct pool {
	TAILQ_ENTRY(pool) peers;
	struct local *local;
	struct who who; /* its texts and its descriptor are owned */
	struct delivery_list waiting;
	TAILQ_HEAD(, worker) workers;
	size_t worker_count;
};

struct local {
	struct service *service;
	TAILQ_HEAD(, job) jobs;
	TAILQ_HEAD(, pool) pools;
	size_t job_count, worker_count;
	size_t program_worker_count; /* of worker_count */
	struct timer *tick;
	struct timer *drain_end;
	bool ending; /* nothing new is taken on, and with the last job we end */
	uid_t uid_floor;
	int runner_fd; /* owned: what runs programs; -1: nobody */
	char host[256];
	uint64_t delivered, failed;
	struct map *full; /* owned: "transport nexthop" of mailboxes that policyd was told are full */
};

/* local_job.c */
void on_job_start(struct service *s, struct link *link, struct ipc_message *m);
/* The verdict on one delivery, which is gone after it, and its job with the last. */
void delivery_end(struct delivery *d, enum outcome outcome, struct slice text, struct slice file);
void jobs_orphan(struct local *l);

/* local_expand.c */
void wanted_init(struct wanted *w);
void wanted_free(struct wanted *w);
bool wanted_add(struct wanted *w, const struct msg_MAILBOX_MAIL *b); /* false: too many, or no memory */
/* Takes the delivery, which is nobody's list's any more, and the mails.  False: malformed, and nothing is taken. */
bool delivery_expand(struct delivery *d, struct wanted *mails, const struct msg_MAILBOX_EXPAND *b);

/* local_pool.c */
struct pool *pool_open(struct local *l, const struct who *who); /* copies it; NULL: no memory */
void pool_take(struct pool *pool, struct delivery *d);
/* Sends what can be sent; the pool may be gone after it. */
void pool_pump(struct pool *pool);
void pools_tick(struct local *l);
/* Every worker is let go (they end with their links). */
void pools_close(struct local *l);

/* local_spawn.c */
/* Before the cage: what runs programs of users, which a cage would be handed down to.  Its end of the link; -1: logged. */
int runner_spawn(struct service *s, uid_t uid_floor, pid_t *pid_out);
/* Forks a worker of that pool, or has it forked; its link, or NULL (logged). */
struct link *worker_spawn(struct pool *pool, const struct link_config *config, pid_t *pid_out);
/* For a worker that hangs. */
void worker_kill(const struct pool *pool, pid_t pid);

#endif
