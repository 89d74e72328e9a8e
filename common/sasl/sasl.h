#ifndef POSTERN_SASL_SASL_H
#define POSTERN_SASL_SASL_H

#include "base/buf.h"
#include "sasl/mechanism.h"
#include "sasl/scram.h"

/*
 * The server side of one SASL dialogue (RFC 4422).  Pure: what the client says comes in, what is wanted next comes out; no secret of
 * ours is here before the client's words have been parsed and a login is known.
 *
 *   begin, respond --> RESPONSE (send `challenge`, respond with what comes back)
 *                      PASSWORD (is `password` that of `login`?  whoever asked decides; the dialogue is over)
 *                      VERIFIER (find what is stored for `login`, then sasl_verify)
 *                      IDENTITY (find the login of the client's certificate, then sasl_identified)
 *                      ACCEPTED, REFUSED, MALFORMED (`why`, for the client): over
 *
 * Always: each dialogue begins with nothing of any other.  A login is 1 to 255 bytes of clean UTF-8, as the client wrote it; a
 * password 1 to 1024 bytes without NUL.  An authorization identity must be the login's own name: nobody acts as another.
 */
#define SASL_LOGIN_MAX 255u
#define SASL_PASSWORD_MAX 1024u

enum sasl_want { SASL_RESPONSE, SASL_PASSWORD, SASL_VERIFIER, SASL_IDENTITY, SASL_ACCEPTED, SASL_REFUSED, SASL_MALFORMED };

/* The TLS channel it is held on, and who we are.  A binding of length 0: there is none. */
struct sasl_channel {
	const char *hostname; /* borrowed, as long as the dialogue stands */
	char exporter[32], end_point[64];
	size_t exporter_len, end_point_len;
};

/* What is stored for a login beside the hash of its password; the names stand in the database. */
enum sasl_verifier { SASL_NO_VERIFIER, SASL_SCRAM_SHA_256, SASL_CRAM_MD5 };
#define SASL_VERIFIER_MAX SCRAM_TEXT_MAX

const char *sasl_verifier_name(enum sasl_verifier kind); /* "scram-sha-256" */

struct sasl {
	enum mechanism mechanism;
	struct sasl_channel channel;
	unsigned step; /* of the mechanism's own counting */
	char login[SASL_LOGIN_MAX + 1];
	struct buf password; /* owned; wiped */
	struct buf challenge; /* owned; at most MECHANISM_MESSAGE_MAX */
	const char *why; /* MALFORMED */
	struct {
		struct scram_keys keys;
		bool real; /* they are somebody's */
		struct buf header, nonce, binding, auth; /* owned */
	} scram;
	struct {
		unsigned char said[16];
	} cram;
};

/* Once, before the cage: has OpenSSL ready. */
void sasl_start(void);

/* Whether it is one that is spoken here; others are handed on as they are. */
bool sasl_speaks(enum mechanism m);
/* `initial` counts where `has_initial`. */
enum sasl_want sasl_begin(struct sasl *d, enum mechanism m, const struct sasl_channel *channel, bool has_initial,
			  struct slice initial);
/* Only after RESPONSE. */
enum sasl_want sasl_respond(struct sasl *d, struct slice response);
/* After VERIFIER: what is stored of that kind for `login` (the login as it is stored); empty where there is nothing, and what
 * follows tells nobody so.  `seed`: a secret of ours that never changes, of which what is not there is invented. */
enum sasl_verifier sasl_wants_verifier(const struct sasl *d);
enum sasl_want sasl_verify(struct sasl *d, struct slice verifier, struct slice login, struct slice seed);
/* After IDENTITY: whose the certificate is, as it is stored; empty: nobody's.  ACCEPTED or REFUSED, and `login` is that one's. */
enum sasl_want sasl_identified(struct sasl *d, struct slice login);
void sasl_clear(struct sasl *d);

/* SASLprep (RFC 4013) of UTF-8 without NUL.  False: it holds what may not be, or nothing is left of it. */
bool sasl_prepare(struct slice text, struct buf *out);

#endif
