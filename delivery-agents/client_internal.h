#ifndef POSTERN_CLIENT_INTERNAL_H
#define POSTERN_CLIENT_INTERNAL_H

#include "client.h"
#include "client_auth.h"
#include "mail/dotted.h"

/* What client.c (the session) and client_mail.c (one mail in it) share; nobody else includes it. */

enum client_state {
	ST_GREETING,
	ST_EHLO,
	ST_HELO,
	ST_STARTTLS,
	ST_TLS, /* the caller makes the handshake */
	ST_CREDENTIAL, /* the caller fetches it */
	ST_AUTH,
	ST_READY,
	ST_ENVELOPE,
	ST_BODY,
	ST_END, /* of data */
	ST_VOID, /* DATA was taken though no recipient was: its lone dot is to be answered */
	ST_QUIT,
	ST_CLOSED,
	ST_COUNT
};

enum client_capability {
	CAP_STARTTLS = 1 << 0,
	CAP_PIPELINING = 1 << 1,
	CAP_SIZE = 1 << 2,
	CAP_8BITMIME = 1 << 3,
	CAP_SMTPUTF8 = 1 << 4,
	CAP_CHUNKING = 1 << 5,
	CAP_BINARYMIME = 1 << 6,
	CAP_DSN = 1 << 7,
};

/* What the last EHLO said of sizes; 0: nothing. */
struct client_limits {
	uint64_t size; /* RFC 1870 */
	uint64_t recipients, messages; /* RFC 9422: RCPTMAX, MAILMAX */
};

/* One command of a mail: which, and for RCPT of whom.  STEP_DATA is BDAT for a binary mail. */
enum step_kind { STEP_RSET, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_OVER };
struct client_step {
	enum step_kind kind;
	size_t recipient;
};

struct client {
	struct client_config config;
	enum client_state state; /* written by client_enter only */
	struct reply_parser parser;
	struct buf out; /* owned */
	unsigned capabilities; /* of the last EHLO */
	struct client_limits limits;
	uint64_t begun; /* transactions, since the last EHLO */
	unsigned mechanisms;
	struct auth_dialogue auth; /* owned */
	uint64_t replies;
	bool secured, logged_in, was_ready, in_clear, failed_in_tls;
	struct client_verdict failure;

	/* the mail, between client_mail and its end */
	struct client_mail *mail; /* borrowed; NULL otherwise */
	struct client_step next, awaited; /* to be said; whose answer is next */
	struct client_verdict refusal; /* of the mail as a whole: by MAIL or DATA */
	size_t accepted; /* recipients */
	size_t told; /* LMTP: recipients before this one have their verdict */
	struct dotted_encoder dots;
	uint64_t chunk_left; /* of a binary mail: octets that were announced and not given yet */
	bool needs_rset, heard, in_doubt;
};

void client_enter(struct client *c, enum client_state next);
/* Ends the session for a reason of ours, or with the reply just read. */
enum client_want client_fail(struct client *c, enum outcome outcome, const char *why);
enum client_want client_fail_by_reply(struct client *c, enum outcome outcome);
enum client_want client_ready(struct client *c);

/* Replies in ST_ENVELOPE, ST_BODY, ST_END, ST_VOID. */
enum client_want client_on_envelope(struct client *c);
enum client_want client_on_early(struct client *c);
enum client_want client_on_end(struct client *c);
enum client_want client_on_void(struct client *c);

#endif
