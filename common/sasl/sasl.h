#ifndef POSTERN_SASL_SASL_H
#define POSTERN_SASL_SASL_H

#include "base/buf.h"
#include "sasl/mechanism.h"

/*
 * The server side of one SASL dialogue (RFC 4422).  Pure: what the client says comes in, what is wanted next comes out; no secret of
 * ours is here before the client's words have been parsed and a login is known.
 *
 *   begin, respond --> RESPONSE (send `challenge`, respond with what comes back)
 *                      PASSWORD (is `password` that of `login`?  whoever asked decides; the dialogue is over)
 *                      VERIFIER (find what is stored for `login`, then sasl_verify)
 *                      ACCEPTED, REFUSED, MALFORMED (`why`, for the client): over
 *
 * Always: each dialogue begins with nothing of any other.  A login is 1 to 255 bytes of clean UTF-8, as the client wrote it; a
 * password 1 to 1024 bytes without NUL.  An authorization identity must be the login's own name: nobody acts as another.
 */
#define SASL_LOGIN_MAX 255u
#define SASL_PASSWORD_MAX 1024u

enum sasl_want { SASL_RESPONSE, SASL_PASSWORD, SASL_VERIFIER, SASL_ACCEPTED, SASL_REFUSED, SASL_MALFORMED };

struct sasl {
	enum mechanism mechanism;
	unsigned step; /* of the mechanism's own counting */
	char login[SASL_LOGIN_MAX + 1];
	struct buf password; /* owned; wiped */
	struct buf challenge; /* owned; at most MECHANISM_MESSAGE_MAX */
	const char *why; /* MALFORMED */
};

/* Whether it is one that is spoken here; others are handed on as they are. */
bool sasl_speaks(enum mechanism m);
/* `initial` counts where `has_initial`. */
enum sasl_want sasl_begin(struct sasl *d, enum mechanism m, bool has_initial, struct slice initial);
/* Only after RESPONSE. */
enum sasl_want sasl_respond(struct sasl *d, struct slice response);
void sasl_clear(struct sasl *d);

#endif
