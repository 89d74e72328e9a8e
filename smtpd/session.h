#ifndef POSTERN_SMTPD_SESSION_H
#define POSTERN_SMTPD_SESSION_H

#include "command_line.h"
#include "conf/conf.h"
#include "sasl/mechanism.h"
#include "tls/tls.h"
#include "transaction.h"

/*
 * One SMTP session, server side (RFC 5321; 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 9422).  Pure: bytes
 * of the client and answers of other processes come in, replies and one want come out.  No socket,
 * no loop, no link, no clock.
 *
 * The states and their picture stand in README.md.  How the bytes are cut never matters: a byte at
 * a time gives the same replies as the whole, but for what is sent behind STARTTLS without waiting,
 * which is never read as a command.
 */
enum session_state {
	SESSION_CONNECT, /* no banner yet */
	SESSION_GREETED,
	SESSION_READY,
	SESSION_MAIL,
	SESSION_RCPT,
	SESSION_CHUNKED, /* between two chunks of a mail */
	SESSION_CHUNK, /* the octets of a BDAT, its own or thrown away */
	SESSION_BODY,
	SESSION_AUTH, /* inside the SASL dialogue */
	SESSION_POLICY, /* from here on it waits for somebody else */
	SESSION_LOGIN,
	SESSION_CLIENT,
	SESSION_HEADER,
	SESSION_STORE,
	SESSION_COMMIT,
	SESSION_PAUSE,
	SESSION_TLS,
	SESSION_CLOSING,
	SESSION_STATES
};

const char *session_state_name(enum session_state state);

/* What the driver is to do next, after it has sent what is in `out`. */
enum session_want {
	WANT_INPUT,
	WANT_POLICY, /* ask for `stage`; session_policy_answered */
	WANT_LOGIN, /* tell authd what `sasl` holds; session_login_answered */
	WANT_CLIENT, /* ask whether the client is now `claimed`; session_client_answered */
	WANT_REWRITE, /* ask how transaction->rewrite.records are written; session_rewritten */
	WANT_STORE, /* put transaction->piece away; session_stored */
	WANT_COMMIT, /* the last piece too, then make it durable; session_committed */
	WANT_PAUSE, /* wait pause_ms; session_resume */
	WANT_TLS, /* shake hands; session_tls_open.  Nothing that came before may be read as TLS. */
	WANT_CLOSE, /* after `out` was sent */
};

/*
 * What is known of the encryption.  `client` is the certificate the client showed and whose private key it proved to have in the
 * handshake (TLS_CLIENT_ASK and REQUIRE; NULL: none).  Only with client->verified does the listener's client-ca vouch for the names
 * in it; without, nothing but the fingerprint means anything.  This process has checked it itself: it is worth what a statement of
 * this worker about its own session is worth.  Never from an earlier session: where client certificates are asked for, none is resumed.
 * It lives as long as the connection.
 */
struct session_tls {
	bool active;
	char version[32], cipher[64], sni[256];
	unsigned bits;
	/* Bindings of the channel, for authd; empty where there is none (tls/tls.h). */
	char exporter[32], end_point[64];
	size_t exporter_len, end_point_len;
	const struct tls_peer *client; /* borrowed from the TLS connection */
};

/* Where it stands, and who it is with: only XCLIENT changes it. */
struct session_place {
	uint64_t number;
	const struct conf *conf; /* borrowed */
	enum conf_listener_role role;
	enum conf_tls_mode tls;
	enum conf_auth_mode auth;
	const char *hostname; /* borrowed */
	const char *banner; /* borrowed; behind the host name; NULL: our own words */
	char client[64];
	uint64_t client_port;
	bool may_xclient;
	bool by_proxy; /* XCLIENT named the client: what the connection shows of itself is the proxy's */
	bool takes_logins; /* of this client; inside TLS */
	bool trusted; /* this client */
	enum conf_dsn dsn;
	uint32_t rewrites; /* fields that rules look at, 1 << enum rewrite_field */
	enum conf_senders senders; /* what a login, or a local user, may call itself */
	uint32_t hidden; /* 1 << enum conf_extension */
};

/* XCLIENT: whom the client speaks for. */
struct session_claim {
	char client[64], local[64]; /* addresses; "": not said */
	uint64_t client_port, local_port;
	char name[256], helo[256], protocol[8]; /* for the log only */
};

/* A BDAT whose octets come (RFC 3030 §2). */
struct session_chunk {
	uint64_t left;
	bool last;
	/* Not 0: its octets belong to no mail; this is told when they are over. */
	unsigned refusal;
	const char *dsn, *text; /* literals */
};

/* What the client said last in its dialogue with authd. */
struct sasl_frame {
	enum mechanism mechanism;
	bool open; /* authd has a dialogue, and what is said is its next response; false: a new one */
	bool has_initial;
	struct buf response; /* owned; wiped; decoded */
};

struct session {
	struct session_place place;
	enum session_state state;
	enum session_state
		after;	/* what follows once that which is waited for has come, and allows it */
	struct session_chunk chunk; /* in SESSION_CHUNK, and when it waits in there */
	struct buf out; /* owned; replies not sent yet */
	struct command_line line; /* owned */
	struct transaction *transaction; /* owned; NULL: none */
	struct buf tags; /* owned; of the session */

	bool tls_ready; /* set by the driver: a handshake can be signed now */
	struct session_tls tls;
	char helo[256];
	char hello[256]; /* what HELO or EHLO says while it is judged; "": nothing is */
	bool esmtp, hello_esmtp;
	bool early; /* set by the driver: the client spoke before the banner */
	bool pipelined; /* it sent commands behind HELO or EHLO before the answer (RFC 2920 §3.1, seen only where both came together) */
	bool leaving; /* to be ended as soon as no transaction is open */
	char login[256]; /* "": nobody logged in */

	enum conf_stage stage; /* WANT_POLICY */
	enum session_state refused; /* where a refusal leads */
	uint64_t pause_ms;

	struct sasl_frame sasl;

	struct session_claim *claimed; /* owned; NULL unless it is being asked about */
	bool header_at_end; /* SESSION_HEADER, and nothing of the mail comes any more */
	int64_t wall_s; /* set by the driver with each input */
	uint64_t commands, errors, messages, logins_tried;
	uint64_t transactions; /* begun: tells one from the next */
	uint64_t bodies; /* begun, refused chunks too: each has its time */
	uint64_t thrown_away; /* octets of refused chunks */
	char last_verb[12]; /* for the log; never arguments */
};

/* Sizes for one address of the client, as text. */
void session_init(struct session *s, const struct session_place *place);
void session_clear(struct session *s);

/* Says the banner, or asks the rules for it first.  With implicit TLS: after session_tls_open. */
void session_begin(struct session *s);

enum session_want session_want(const struct session *s);
static inline bool session_takes_input(const struct session *s)
{
	return s->state <= SESSION_AUTH && s->state != SESSION_CONNECT;
}
/* Octets that are no command come now. */
static inline bool session_receives(const struct session *s)
{
	return s->state == SESSION_BODY || s->state == SESSION_CHUNK;
}
/* Takes from `in` until all is used or something else is wanted; returns how much was used. */
size_t session_input(struct session *s, struct slice in);

/* An answer to POLICY_ASK; `outcome` DONE accepts.  code 0 and empty texts: as the outcome has them. */
struct session_verdict {
	enum outcome outcome;
	uint64_t code;
	struct slice dsn, text, rule;
	uint64_t delay_ms;
	bool close;
};
static inline struct session_verdict session_verdict_of(enum outcome outcome)
{
	return (struct session_verdict){outcome, 0, {"", 0}, {"", 0}, {"", 0}, 0, false};
}
/* Effects of the answer, before it.  False: no room; answer with a temporary outcome then. */
bool session_effect(struct session *s, struct slice kind, struct slice text);
/* Those of the session, then those of the message, as many as a message between processes carries; the caller frees it. */
struct buf session_all_tags(const struct session *s);
void session_policy_answered(struct session *s, const struct session_verdict *v);
/* AUTH_CONTINUE with a challenge; AUTHENTICATED with the login as authd writes it; AUTH_FAILED; BAD_INPUT with a reason;
 * anything else is temporary. */
struct session_login {
	enum outcome outcome;
	struct slice login, reason, challenge;
};
void session_login_answered(struct session *s, const struct session_login *answer);
/* DONE: all begins anew, with that client and that number.  Not allowed: 550; anything else is temporary. */
void session_client_answered(struct session *s, enum outcome outcome, uint64_t number, struct slice client, uint64_t port);
void session_rewritten(struct session *s, enum outcome outcome, struct slice records);
void session_stored(struct session *s, enum outcome outcome);
void session_committed(struct session *s, const struct session_verdict *v, uint64_t id);
void session_resume(struct session *s);
/* The handshake is over.  All that the client said before is forgotten (RFC 3207 §4.2). */
void session_tls_open(struct session *s, const struct session_tls *tls);

enum session_end {
	END_IDLE, /* waited too long for a command or a piece of data */
	END_SESSION_LONG,
	END_MESSAGE_LONG,
	END_SHUTDOWN,
	END_GATE_GONE,
	END_LOGIN_LOST, /* who knew of the login has been replaced */
};
/* Says 421 and closes. */
void session_end(struct session *s, enum session_end why);
/* The same, but a transaction that was begun may be finished. */
void session_leave(struct session *s);

/* "ESMTPSA": RFC 3848, RFC 6531 §4.3. */
const char *session_protocol(const struct session *s);
/* The name that HELO or EHLO gave; while one is judged, that. */
const char *session_helo(const struct session *s);

#endif
