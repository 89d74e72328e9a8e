#ifndef POSTERN_SMTPD_CONN_H
#define POSTERN_SMTPD_CONN_H

#include "draft.h"
#include "session.h"
#include "worker.h"

/*
 * One connection: the only place that knows socket, TLS and session at once.  It turns what arrives
 * into input and answers of the session, and what the session wants into questions, timers and what
 * is waited for on the socket.
 *
 *   handshake (implicit TLS) --> open --WANT_CLOSE--> flushing --> lingering --> gone
 *                  ^--WANT_TLS---
 *
 * Back-pressure: the socket is read only while the session takes input and all that came before has
 * been used, and not while replies wait to be sent.
 */
enum conn_phase { CONN_HANDSHAKE, CONN_OPEN, CONN_FLUSHING, CONN_LINGERING, CONN_GONE };

/* A question under way; it outlives the connection that asked it. */
struct ticket;

struct conn {
	LIST_ENTRY(conn) peers;
	struct worker *worker;
	struct generation *generation; /* held */
	struct session session;
	struct draft draft;
	LIST_HEAD(, ticket) tickets;
	const struct conf_listener *listener; /* borrowed from the generation; NULL: the submission socket */
	struct tls_server *tls_server; /* borrowed from the generation; NULL: no TLS here */
	struct tls_conn *tls; /* owned; NULL: clear text */
	struct watch *watch; /* owned */
	struct timer *timer; /* owned */
	struct buf in; /* owned; clear text the session has not taken yet */
	struct buf out; /* owned; for the socket */
	int fd; /* owned */
	enum conn_phase phase;
	bool asked; /* what the session wants has been asked for */
	bool waits_key; /* the handshake waits for keyd */
	bool greeted; /* the banner is on its way */
	bool ended; /* nothing more comes from the peer */
	bool dialogue; /* authd has one of this session, and waits for its next response */
	bool login_lost; /* queue or policyd does not know it any more */
	uint64_t login_witness; /* worker's count of losses when the login was asked for */
	uint64_t began_ms;
	uint64_t active_ms; /* the last time it got on */
	uint64_t message_ms; /* when the body, or a refused chunk, began */
	uint64_t pause_until_ms;
	uint64_t commands_seen, bodies_seen;
	uint64_t leave_ms, leave_until_ms; /* told to leave: when it begins to, and has to; 0: not told */
	uint64_t lingered; /* bytes thrown away */
	enum session_state state_seen;
};

/* Takes fd and the generation in every case. */
void conn_begin(struct worker *w, const struct msg_SESSION_START *start, int fd, struct generation *g);
/* Goes on with what there is to do; the connection may be gone afterwards. */
void conn_run(struct conn *c);
void conn_end(struct conn *c, enum session_end why);

/* asks.c.  `fn` is called once with the answer, or NULL, unless the connection is gone by then. */
typedef void conn_answer_fn(struct conn *c, struct ipc_message *m);
void conn_ask(struct conn *c, enum role role, enum ipc_type type, const void *body,
	      uint64_t timeout_ms, conn_answer_fn *fn);
void conn_forget_asks(struct conn *c);
/* The session's wants; each is called once for one want.  False: nothing more can be done now. */
bool ask_policy(struct conn *c);
bool ask_rewrite(struct conn *c);
bool ask_login(struct conn *c);
bool ask_client(struct conn *c);
/* authd has a dialogue that ended here by other than its word. */
void drop_dialogue(struct conn *c);

#endif
