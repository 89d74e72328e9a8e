#ifndef POSTERN_CLIENT_AUTH_H
#define POSTERN_CLIENT_AUTH_H

#include "base/buf.h"

/*
 * The client's side of the login dialogue (RFC 4954): PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195).  One mechanism is picked
 * for a session and no other is tried after it, so a server that refuses the better one cannot ask for the weaker one.
 */
enum auth_mechanism { AUTH_PLAIN, AUTH_LOGIN, AUTH_CRAM_MD5, AUTH_MECHANISM_COUNT };

const char *auth_mechanism_name(enum auth_mechanism m);
/* The bits 1 << mechanism of those in "PLAIN login X"; the case of letters does not matter. */
unsigned auth_mechanisms(struct slice names);
/* AUTH_MECHANISM_COUNT: none of ours.  In clear the one that does not show the secret comes first. */
enum auth_mechanism auth_pick(unsigned offered, bool secured);

struct auth_dialogue {
	enum auth_mechanism mechanism;
	unsigned step; /* responses given */
	struct buf user, secret; /* owned; wiped by auth_end */
};

#define AUTH_TEXT_MAX 1024u /* user, secret and challenge, each */

/* Prepared before the cage is entered: what OpenSSL loads for CRAM-MD5. */
void auth_prepare(void);

/* Adds the AUTH line to `out`.  False: no memory, or a user or secret that SASL cannot carry. */
bool auth_begin(struct auth_dialogue *d, enum auth_mechanism m, struct slice user, struct slice secret,
		struct buf *out);
/* Adds the line that answers the 334 with this text.  False: a challenge that is not the mechanism's; send "*". */
bool auth_respond(struct auth_dialogue *d, struct slice challenge, struct buf *out);
/* Wipes; may be called twice. */
void auth_end(struct auth_dialogue *d);

#endif
