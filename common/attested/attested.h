#ifndef POSTERN_ATTESTED_ATTESTED_H
#define POSTERN_ATTESTED_ATTESTED_H

#include "service/service.h"

/*
 * The sessions the gate attests (SESSION_OPEN, SESSION_CLOSE), as policyd and authd keep them.
 *
 * Always: a session is believed only as the gate told it, and only from the worker it was given to.  Its generation is held as long
 * as it stands.  When the gate's link ends its sessions stay (their connections live on in the workers) until the session time-out.
 */
struct attested;

struct attested_session {
	uint64_t number, worker, role, uid;
	struct generation *generation; /* held */
	uint64_t listener; /* its number there; ~0: the local socket, or it is gone */
	char client[65]; /* "" for the local submission socket */
	char local[65]; /* where it came to; "" likewise */
	uint64_t local_port;
	char login[256]; /* for the owner; "" at first */
	void *own; /* zeroed memory of the size the owner asked for */
	uint64_t orphan_until_ms; /* 0: the gate has it */
};

#define ATTESTED_SESSIONS_MAX 1100000u

/* Each session brings `own_size` bytes.  Exits 75 without memory. */
struct attested *attested_new(struct service *s, size_t own_size);
/* Called before the memory of a session goes. */
void attested_on_end(struct attested *a, void (*fn)(struct attested_session *session));
size_t attested_count(const struct attested *a);

/* Handlers of SESSION_OPEN and SESSION_CLOSE. */
void attested_open(struct attested *a, struct link *gate, struct ipc_message *m);
void attested_close(struct attested *a, struct ipc_message *m);
/* From link_up and link_down of the gate. */
void attested_gate_up(struct attested *a);
void attested_gate_down(struct attested *a);

/* Borrowed; NULL: there is none. */
struct attested_session *attested_find(struct attested *a, uint64_t number);

enum attested_answer {
	ATTESTED_YES,
	ATTESTED_NOT_YET, /* not told of yet, or over already: TEMPORARY */
	ATTESTED_NO, /* a lie; the worker's link was broken */
};
/* The session that a worker speaks of, after what the gate may have said meanwhile was read: other sessions may have ended. */
enum attested_answer attested_check(struct attested *a, struct link *worker, uint64_t number, struct attested_session **out);

#endif
