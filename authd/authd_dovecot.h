#ifndef POSTERN_AUTHD_DOVECOT_H
#define POSTERN_AUTHD_DOVECOT_H

#include "authd.h"
#include "sasl/mechanism.h"

/*
 * Dovecot's authentication service, asked over its Unix socket.  One connection a generation of the configuration, made by
 * postern-dial when there is something to ask.
 *
 *   down --a request--> dialling --descriptor--> greeting --DONE--> ready --lost, nonsense, silence--> down
 *
 * A request:  waits for ready --AUTH--> asked --CONT--> continued --dovecot_continue--> asked --OK, FAIL--> answered
 *
 * Always: a request is answered exactly once a step, never from inside the call that made it; one that was under way when the
 * connection ended, or longer than ANSWER_MS, is "not now".  Dovecot's words are parsed with bounds (dovecot_line.h), and a line that
 * it would never say ends the connection.  At most 512 are under way; then the network (/24, /48) that has most of them loses its oldest.
 * A client may think for a minute.
 */
struct dovecot;
struct dovecot_request;

struct dovecot_answer {
	enum outcome outcome; /* AUTH_CONTINUE, AUTHENTICATED, AUTH_FAILED; anything else: not now */
	struct slice user; /* AUTHENTICATED; also AUTH_FAILED where it is known */
	struct slice challenge; /* AUTH_CONTINUE; decoded */
	bool crowded; /* not now: it made room for another, while Dovecot was at it */
};
/* Unless it is AUTH_CONTINUE the request is over, and its memory gone after this call. */
typedef void dovecot_answer_fn(const struct dovecot_answer *answer, void *arg);

/* Of that generation; made when it is first asked for.  NULL: it names no Dovecot, or no memory. */
struct dovecot *dovecot_of(struct authd *a, const struct generation *g);
void dovecots_drop(struct authd *a, const struct generation *g);
void dovecots_status(const struct authd *a, struct buf *out);

/* `client`: the address of who logs in.  NULL: no room, and no answer. */
struct dovecot_request *dovecot_begin(struct dovecot *d, enum mechanism m, const char *client, bool has_initial, struct slice initial,
				      dovecot_answer_fn *answer, void *arg);
void dovecot_continue(struct dovecot_request *r, struct slice response);
/* Only while it is continued: nothing is answered any more. */
void dovecot_cancel(struct dovecot_request *r);

#endif
