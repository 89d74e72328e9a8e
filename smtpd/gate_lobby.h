#ifndef POSTERN_SMTPD_GATE_LOBBY_H
#define POSTERN_SMTPD_GATE_LOBBY_H

#include "gate_proxy.h"
#include "gate_session.h"

/*
 * Connections that are no session yet: a PROXY header has to be read, or the client is watched for a moment.
 *
 *   entered --proxy--> header --whole--> pause --time over, or it spoke--> left: on_leave
 *      '-----------------------------------^
 *   header, pause --malformed, too late, gone--> closed, and what is wrong is logged
 *
 * Always: no byte behind the header is taken.  Each guest is counted: while its header is read in all only, for the proxies' hosts
 * are no clients; in the pause as the client it is.  The counts are given back before on_leave, which counts anew.
 */
#define LOBBY_HEADER_MS 10000u /* for the whole header */

struct lobby;

/* `visit` is who came, by the header if there was one; takes `fd`.  `listener` is its name, for the configuration may be another. */
typedef void lobby_leave_fn(const char *listener, struct gate_visit *visit, int fd, void *arg);

struct lobby_terms {
	const char *listener; /* copied */
	struct gate_limits limits;
	bool proxy; /* a header must come */
	bool proxy_is_trusted; /* so it may not stand for a client without an address */
	bool speaks_clear; /* a client that speaks first is early */
	uint64_t pause_ms;
};

struct lobby *lobby_new(struct loop *loop, struct gate_sessions *sessions, lobby_leave_fn *on_leave, void *arg); /* exits 75 */
void lobby_free(struct lobby **lp);

/* Takes `fd` when it returns GATE_ADMIT, and only then; the guest may have left already by then. */
enum gate_verdict lobby_enter(struct lobby *l, const struct gate_visit *visit, const struct lobby_terms *terms, int fd);
size_t lobby_count(const struct lobby *l);
/* All go, unheard. */
void lobby_clear(struct lobby *l);

#endif
