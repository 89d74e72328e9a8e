#ifndef POSTERN_SMTPD_WORKER_H
#define POSTERN_SMTPD_WORKER_H

#include "conf/conf.h"
#include "ports.h"
#include "tls/tls.h"

#include <sys/queue.h>

/*
 * All connections of one process.
 *
 * Always: a session is told to the gate as ended exactly once, when its connection is closed; one
 * that begins on a generation keeps it.
 */
struct conn;
struct service;
struct generation;

#define READ_BYTES 16384u

/* What smtpd makes of a generation: a TLS server for each listener that has TLS.  Owned by the
 * generation. */
struct smtpd_generation {
	size_t count;
	struct tls_server *tls[]; /* by listener; NULL: none */
};

struct worker {
	struct loop *loop;
	struct ports ports;
	LIST_HEAD(, conn) conns;
	uint64_t count, accepted_messages, sessions;
	uint64_t lost[ROLE_COUNT]; /* how often the link to that role was lost */
	uint64_t keyd_silent_until_ms; /* it did not answer: STARTTLS is 454 until then */
	bool draining;
	struct timer *deadline; /* of draining */
	struct timer *leave_tick; /* NULL until sessions were told to leave */
	void (*on_empty)(struct worker *w); /* the last connection has ended; may be NULL */
	void (*release)(struct worker *w, struct generation **gp);
	void *arg; /* of the two above */
	char space[READ_BYTES]; /* what is being read, by whoever reads */
};

/* ---- listener_tls.c ---- */
/* The server for that listener, or NULL. */
struct tls_server *smtpd_generation_tls(const struct generation *g, uint64_t listener);
/* generation_ready and generation_free of the service. */
bool smtpd_generation_ready(struct service *s, struct generation *g, char *why, size_t why_size);
void smtpd_generation_free(struct service *s, struct generation *g);

/* ---- worker.c ---- */
void worker_init(struct worker *w, struct loop *loop, const struct ports *ports);
/* Takes `fd`, and the hold on `g`. */
void worker_begin(struct worker *w, const struct msg_SESSION_START *start, int fd,
		  struct generation *g);
/* A link is gone: what was known of its sessions there is gone too. */
void worker_lost(struct worker *w, enum role role);
/* Ends the sessions of this and earlier generations between their mails, those that have just begun after their first two seconds,
 * and all of them at the deadline. */
void worker_leave(struct worker *w, uint64_t generation, uint64_t deadline_ms);
/* Ends sessions between their mails; all of them a second before the deadline. */
void worker_drain(struct worker *w, uint64_t deadline_ms);
/* Messages that are on their way into the queue. */
uint64_t worker_drafts(const struct worker *w);
/* keyd can be asked for a signature. */
bool worker_can_sign(const struct worker *w);

#endif
