#ifndef POSTERN_AUTHD_KEYD_DECIDE_H
#define POSTERN_AUTHD_KEYD_DECIDE_H

#include "keyd_request.h"
#include "keyd_session.h"

/*
 * The whole decision about one SIGN_ASK, but for the key itself (pure): whose session, how often, which keys its listener may use,
 * whether the scheme fits, whether it is a message of a handshake.
 */
struct keyd_ask {
	uint64_t session, worker, key, scheme; /* `worker` is who asks, by its link */
	struct slice tbs;
};

enum keyd_decision {
	KEYD_SIGN,
	KEYD_NOT_NOW, /* a session that is over, or attested to a keyd before this one: no proof of a lie */
	KEYD_REFUSE,
	KEYD_LIE, /* an honest worker never asks that */
};

/* The kind of key `number`, where sessions at that listener in that generation may use it; NULL: not theirs, or none. */
typedef const struct keyd_kind *keyd_kind_fn(void *generation, uint64_t listener, uint64_t number, void *arg);

/* `*why_out` says why it is not KEYD_SIGN; `*session_out` (borrowed) is whose it is where it is. */
enum keyd_decision keyd_decide(struct keyd_sessions *sessions, const struct keyd_ask *ask, keyd_kind_fn *kind_of, void *arg,
			       const struct keyd_session **session_out, const char **why_out);

#endif
