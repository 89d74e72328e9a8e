#ifndef POSTERN_SMTPD_GATE_SESSION_H
#define POSTERN_SMTPD_GATE_SESSION_H

#include "gate_count.h"

#include "ipc/link.h"

/*
 * The sessions there are, who serves each, and who has been told.  (Two ways to be served, shared and private: gate.md.)
 *
 *   admitted --attested to queue, authd, keyd, policyd--> started (descriptor at a worker) --SESSION_END or worker gone-->
 *   closed (SESSION_CLOSE to the four, counts back)
 *
 * Always: SESSION_OPEN leaves before SESSION_START.  A process of the four that comes up anew is told of every session there
 * is; one that is away meanwhile stops nobody: smtpd answers 451 or 454 for it.  A session number is never used twice, also
 * not after a restart.
 */
#define GATE_LISTENER_NAME_BYTES 80u
struct gate_sessions;

/* Who came, and how. */
struct gate_visit {
	struct gate_origin origin;
	uint64_t generation;
	uint64_t listener; /* number in the configuration; GATE_LISTENER_LOCAL for the submission socket */
	char listener_name[GATE_LISTENER_NAME_BYTES]; /* the same in each generation; "" */
	uint64_t role; /* enum conf_listener_role */
	uint64_t uid; /* of a local submitter, else GATE_NO_UID */
	char client[64], local[64]; /* addresses, or "" */
	char proxy[64]; /* who said so, in a PROXY header; else "" */
	uint64_t client_port, local_port;
	bool early; /* spoke before the banner */
	bool isolated; /* one process for this connection */
	bool may_xclient; /* who first came may speak for others; stays with the connection */
};
#define GATE_LISTENER_LOCAL UINT64_MAX
#define GATE_NO_UID UINT64_MAX

#define GATE_BATCH 16u /* sessions attested together */
#define GATE_WORKERS_MAX 160u /* warm parents too, and those that retire */
/* Instance numbers of smtpd: shared workers; warm parents, which fork a process a session; those processes. */
#define GATE_PARENT_FIRST 1000u
#define GATE_PRIVATE_FIRST 100000u

struct gate_sessions_config {
	/* A session is over: SESSION_END was said, or its worker is gone. */
	void (*on_ended)(void *arg);
	/* Whether a client that may speak for others may speak for this one; DONE with the limits that hold now. */
	enum outcome (*may_claim)(const struct gate_visit *visit, const char *client, struct gate_limits *limits_out, void *arg);
	void *arg;
	/* A shared worker was given one more, so many in all. */
	void (*on_served)(uint64_t instance, uint64_t sessions, void *arg);
	uint64_t worker_max; /* sessions of one shared worker: what it has descriptors for; 0: no bound */
};

struct gate_sessions *gate_sessions_new(struct loop *loop, const struct gate_sessions_config *config); /* exits 75 without memory */
void gate_sessions_free(struct gate_sessions **gp);

/* Links of the four and of the workers; borrowed until link_down, which must come before the link's memory goes. */
void gate_sessions_link_up(struct gate_sessions *g, struct link *link);
void gate_sessions_link_down(struct gate_sessions *g, struct link *link);
/* The four have all been there once, and there is a worker or the parent of private ones now. */
bool gate_sessions_can_serve(const struct gate_sessions *g);

/* Counts the visit and says SESSION_OPEN.  Takes `fd` when it returns GATE_ADMIT, and only then. */
enum gate_verdict gate_sessions_admit(struct gate_sessions *g, const struct gate_visit *visit,
				      const struct gate_limits *limits, int fd);
/* A visit that waits to be admitted is counted too.  Once uncounted for each that was admitted here. */
enum gate_verdict gate_sessions_count_in(struct gate_sessions *g, const struct gate_origin *from, const struct gate_limits *limits);
void gate_sessions_uncount(struct gate_sessions *g, const struct gate_origin *from);
/* Hands over what was admitted since the last call; at the latest after GATE_BATCH of them. */
void gate_sessions_hand_over(struct gate_sessions *g);
/* SESSION_END: false when the session is another worker's.  One that is over already is no lie. */
bool gate_sessions_end(struct gate_sessions *g, uint64_t session, const struct link *worker);

/* CLIENT_ASK: answered on `worker`.  False: that session is another's, or its client may not speak for anybody. */
bool gate_sessions_claim(struct gate_sessions *g, const struct ipc_message *m, struct link *worker);
/* The same of all there are now; gate_sessions_guests counts those of them that are still there. */
void gate_sessions_leave_now(struct gate_sessions *g, uint64_t deadline_ms);
size_t gate_sessions_guests(const struct gate_sessions *g);
/* WORKER_RETIRE: it gets no more sessions; answered behind those it has got. */
void gate_sessions_retire(struct gate_sessions *g, struct link *worker, uint64_t request);
/* Tells the workers to end what is of this and earlier generations (SESSIONS_LEAVE); what is being handed over goes first. */
void gate_sessions_leave(struct gate_sessions *g, uint64_t generation, uint64_t deadline_ms);

/* How many sessions each generation has, the newest first; generations beyond the array count as the oldest in it. */
struct gate_generation {
	uint64_t number, sessions;
};
#define GATE_GENERATIONS_SEEN 16u
size_t gate_sessions_generations(const struct gate_sessions *g, struct gate_generation out[GATE_GENERATIONS_SEEN]);
/* Those that have a process of their own. */
uint64_t gate_sessions_private(const struct gate_sessions *g);

uint64_t gate_sessions_count(const struct gate_sessions *g);
uint64_t gate_sessions_started(const struct gate_sessions *g); /* since the process began */

/* The next number after `last`: seconds of the wall clock above, a counter below. */
uint64_t gate_session_mint(uint64_t last, int64_t wall_s, uint32_t chance);

#endif
