#ifndef POSTERN_RELAY_H
#define POSTERN_RELAY_H

#include "client.h"
#include "relay_hosts.h"

#include "base/map.h"
#include "service/service.h"
#include "tls/tls.h"

#include <sys/queue.h>

/*
 * What the files of postern-relay share.
 *
 *   relay.c        the process: messages, generations
 *   relay_job.c    one job: a message and recipients, from JOB_START to JOB_END
 *   relay_pool.c   destinations: who waits, which connections there are
 *   relay_conn.c   one connection: finding a host, dialling, ready, closed
 *   relay_io.c     its bytes: socket, TLS, the client engine, the message file
 *   relay_trust.c  trusted certificates of a generation
 *   relay_hosts.c, client*.c, reply.c   pure
 *
 * Who owns whom: a destination owns its waiting jobs and its connections; a connection owns the job it has.  Each job ends in
 * exactly one JOB_RECIPIENT a recipient and one JOB_END, unless the queue's link is gone.
 */
#define RELAY_JOBS_MAX 5000u
#define RELAY_IDLE_MS 5000u /* a connection waits so long for another message */
#define RELAY_JOB_MS (2u * 3600u * 1000u) /* longest transaction, however slowly it moves */
#define RELAY_WIRE_LOW (64u << 10) /* more of the message is read while less waits to be sent */
#define RELAY_PIECE (32u << 10)

struct relay {
	struct service *service;
	struct here here;
	struct map *destinations; /* by key */
	LIST_HEAD(, conn) conns; /* all */
	size_t job_count, conn_count;
	struct timer *drain_end;
};

/* Ends the process when it is draining and nothing is left to finish. */
void relay_stop_if_done(struct relay *r);

/* ---- jobs ---- */

struct job {
	TAILQ_ENTRY(job) waiting; /* in destination.waiting */
	struct relay *relay;
	struct link *queue; /* NULL: gone */
	uint64_t number, id;
	struct generation *generation; /* held */
	const struct conf_transport *transport;
	struct slice nexthop, prepend; /* in store */
	char *store; /* owned: the texts of JOB_START */
	int fd; /* owned: the message file */
	uint64_t offset, length;
	struct client_mail mail; /* recipients owned */
	bool retried; /* once on a fresh connection, after an old one was found dead */
};

/* Takes the descriptor of the message.  NULL: it cannot be done now; the queue was told. */
struct job *job_new(struct relay *r, struct link *queue, struct ipc_message *m);
/* What the remote said about each recipient that has a verdict, and `failure` for the others; JOB_END; frees it. */
struct job_end {
	const struct client_verdict *failure; /* NULL: none needed */
	const char *remote; /* name of the host; "" */
	const char *host; /* "mx.example.test [192.0.2.1]", for people; "" */
	const char *tls; /* "TLSv1.3 cipher verified"; "" */
};
void job_finish(struct job **jp, const struct job_end *end);
/* The same before any host was found, with an outcome of ours. */
void job_fail(struct job **jp, enum outcome outcome, const char *why);
/* Nobody is there to be told. */
void job_free(struct job **jp);

/* ---- destinations ---- */

struct destination {
	struct relay *relay;
	struct slice key; /* in text */
	char *text; /* owned */
	uint64_t generation;
	TAILQ_HEAD(, job) waiting;
	LIST_HEAD(, conn) conns;
	size_t conn_count;
};

/* Finds an idle connection for it, makes a new one, or lets it wait.  Takes the job. */
void pool_give(struct relay *r, struct job *job);
/* The next job of this destination, or NULL. */
struct job *pool_next(struct destination *d);
/* A connection has ended: others are made for who still waits; a destination without either goes.  `failed` (may be NULL):
 * no host could be reached, and who waits gets that too unless another connection is up. */
void pool_conn_ended(struct destination *d, const struct client_verdict *failed, const char *host);
/* It was given to a connection that died of age: first in line again. */
void pool_again(struct destination *d, struct job *job);
void pool_fail_waiting(struct relay *r, enum outcome outcome, const char *why);
void pool_drop_of(struct relay *r, const struct link *queue);

/* ---- connections ---- */

struct conn_ask; /* a question to another process that outlives the connection */

enum conn_state {
	CONN_FINDING, /* the resolver is asked */
	CONN_DIALLING, /* dial is asked */
	CONN_OPEN, /* the client engine talks */
	CONN_IDLE, /* ready, without a job */
};

struct conn {
	LIST_ENTRY(conn) all, peers; /* in relay.conns; in destination.conns */
	struct relay *relay;
	struct destination *destination;
	struct generation *generation; /* held */
	const struct conf_transport *transport;
	enum conn_state state; /* written by conn_enter only */
	bool entered; /* since the timer was set */
	struct job *job; /* owned; NULL while idle */
	struct conn_ask *asked; /* the open question; NULL: none */

	struct hosts hosts;
	size_t host; /* the one that is tried */
	struct client_verdict failure; /* of the hosts tried before */
	char failed_host[352];
	bool without_tls; /* optional TLS failed with this host: once without */
	bool session_offered; /* in the handshake under way, or the last one: a session of an earlier connection */
	bool whole_handshake; /* that failed with this host: once more, from the beginning */

	/* relay_io.c */
	int fd; /* owned; -1 */
	struct client *client; /* owned */
	struct tls_conn *tls; /* owned; NULL in clear */
	struct watch *watch; /* owned */
	struct timer *timer; /* owned */
	struct buf wire; /* owned; bytes for the socket */
	size_t sent; /* of wire */
	uint64_t prepend_sent, body_sent; /* of the job's message */
	uint64_t job_deadline_ms;
	enum client_want want;
	uint64_t replies_seen;
	unsigned messages; /* given to it */
	bool begun; /* the job's mail was given to the engine */
	char label[352]; /* "mx.example.test [192.0.2.1]" */
	char tls_text[128];
};

/* A new connection of this destination, for this job.  Takes the job. */
void conn_start(struct destination *d, struct job *job);
/* An idle one goes on with it.  Takes the job. */
void conn_give(struct conn *c, struct job *job);
/* An idle one says QUIT. */
void conn_quit(struct conn *c);
/* At once, and its job with it. */
void conn_drop(struct conn *c);
void conn_enter(struct conn *c, enum conn_state next);
/* The answer to its open question is nobody's. */
void conn_forget(struct conn *c);

/* The client engine is ready for a mail (what it wants next is the answer), or closed (the connection may be gone after). */
enum client_want conn_ready(struct conn *c);
void conn_closed(struct conn *c);
/* The engine wants a credential. */
void conn_ask_credential(struct conn *c);

/* relay_io.c: takes the connected descriptor. */
bool io_open(struct conn *c, int fd);
void io_close(struct conn *c);
/* Goes on until the peer has to do something; the connection may be gone after. */
void io_go(struct conn *c, enum client_want want);

/* ---- certificates ---- */

/* The contexts of one generation, one for each transport that speaks TLS; freed with it. */
struct trust;
/* Before the cage. */
void trust_prepare(void);
struct trust *trust_new(struct service *s, const struct generation *g, char *why, size_t why_size);
void trust_free(struct trust **tp);
struct tls_client *trust_of(const struct trust *t, const struct conf_transport *transport);

#endif
