#ifndef POSTERN_CLIENT_H
#define POSTERN_CLIENT_H

#include "base/buf.h"
#include "base/outcome.h"
#include "conf/conf.h"
#include "reply.h"

/*
 * The SMTP (RFC 5321) and LMTP (RFC 2033) client: one engine, two faces.  Events go in, bytes for the peer collect in
 * client_out, and each call returns what it wants next.  It knows no socket, no TLS library and no clock.
 *
 *   greeting -> EHLO --(STARTTLS -> TLS -> EHLO again)--> (AUTH) -> ready <--------------------------.
 *                 '-> HELO -----------------------------------------^  |                             |
 *                                        client_mail: MAIL, RCPT..., DATA -> body -> end of data ----'
 *                                        (a binary mail: BDAT n LAST -> n octets, in the place of DATA and the dot)
 *   ready --client_quit--> quit -> closed          any state --failure--> closed
 *
 * What always holds:
 *  - with TLS required or verified nothing but EHLO and STARTTLS is ever said in clear, and a login only where `login_in_clear`;
 *  - what the server said before TLS is forgotten, and bytes behind its 220 to STARTTLS end the session;
 *  - a recipient's verdict is written once, and is PERM only by the remote's own 5xx about it, or by what its EHLO does not
 *    offer: 8BITMIME, BINARYMIME, SMTPUTF8, enough SIZE;
 *  - a session that ends in any other way leaves the verdict of those not decided to client_failure, which is TEMP, or the
 *    remote's own 5xx: to the session, of a host that the domain's MX named, or in the middle of the message.
 */
struct client;

struct client_verdict {
	bool decided;
	enum outcome outcome;
	struct reply reply; /* code 0: the remote said nothing about it; then `text` of the reply is ours */
	const char *phase; /* "RCPT", "end of data"; a literal */
};

struct client_recipient {
	struct slice address; /* borrowed */
	struct slice original; /* borrowed; as the sender wrote it, "" not known */
	struct slice orcpt; /* borrowed; this and the next: mail/dsn.h */
	uint64_t notify;
	uint64_t slot; /* the caller's */
	bool accepted; /* its RCPT was; undecided until the end of data */
	bool left; /* for another transaction */
	bool passed_on; /* the host does DSN, and was told what the sender asked for */
	struct client_verdict verdict;
};

struct client_mail {
	struct slice sender; /* borrowed; "" is the null sender */
	uint64_t size; /* bytes as they will be sent, before dot-stuffing */
	bool has_8bit, has_utf8; /* JOB_8BIT, JOB_SMTPUTF8 */
	bool is_binary; /* JOB_BINARY */
	struct slice envid; /* borrowed; this and the next: mail/dsn.h */
	uint64_t ret;
	struct client_recipient *recipients; /* borrowed, at least one */
	size_t recipient_count;
};

struct client_config {
	bool lmtp;
	bool found_by_mx; /* else the next hop is configured, and its refusing us is a matter of configuration: temporary */
	bool login; /* log in before the first MAIL */
	bool login_in_clear; /* explicitly without TLS, on loopback */
	enum conf_tls_mode tls;
	const char *hostname; /* for EHLO; borrowed */
	const struct conf_settings *set; /* the time-outs; borrowed */
};

enum client_want {
	CLIENT_WANT_READ, /* bytes from the peer, or client_lost; send client_out first */
	CLIENT_WANT_TLS, /* send client_out, then a handshake, then client_tls_open */
	CLIENT_WANT_CREDENTIAL, /* client_credential */
	CLIENT_WANT_MAIL, /* ready: client_mail, or client_quit, now or later */
	CLIENT_WANT_BODY, /* client_body, and at its end client_body_end */
	CLIENT_CLOSED, /* over: send client_out, and close */
};

struct client *client_new(const struct client_config *config); /* NULL: no memory */
void client_free(struct client **cp);

/* The connection is there. */
enum client_want client_start(struct client *c);
/* Bytes from the peer, all taken. */
enum client_want client_input(struct client *c, struct slice bytes);
enum client_want client_tls_open(struct client *c);
/* An empty user: there is none now (`why` goes into the failure). */
enum client_want client_credential(struct client *c, struct slice user, struct slice secret, const char *why);
/* Borrows `mail` until the next CLIENT_WANT_MAIL or CLIENT_CLOSED: then each verdict that will be is decided, but for
 * recipients beyond what the host takes in one transaction (client_mail_is_left): the same mail is given again for those. */
enum client_want client_mail(struct client *c, struct client_mail *mail);
enum client_want client_body(struct client *c, struct slice piece);
enum client_want client_body_end(struct client *c);
enum client_want client_quit(struct client *c);
/* The connection ended, the time was over, TLS failed, the body cannot be read: it is over, nothing more is said. */
enum client_want client_lost(struct client *c, enum outcome outcome, const char *why);

/* Recipients of this mail, which has just ended, wait for another transaction. */
bool client_mail_is_left(const struct client_mail *mail);
/* The host takes no further mail in this session (RFC 9422, MAILMAX). */
bool client_is_spent(const struct client *c);

/* What is to be sent; the caller empties it. */
struct buf *client_out(struct client *c);
/* How long to wait in this state: from the last whole reply, or from the last bytes the peer took. */
uint64_t client_timeout_ms(const struct client *c);
/* Whole replies read so far: a peer that sends a byte now and then gains no time by it. */
uint64_t client_replies(const struct client *c);
/* Where it is, in the field's words: "greeting", "STARTTLS", "end of data". */
const char *client_phase(const struct client *c);

/* CLIENT_CLOSED: why, for the recipients that have no verdict.  Not decided: it ended by QUIT. */
const struct client_verdict *client_failure(const struct client *c);
/* The failure came from STARTTLS or the handshake, so that another connection without TLS may do better. */
bool client_failed_in_tls(const struct client *c);
/* Commands of the present mail were answered, or its body was begun: it is not the peer's old idle time-out that ended it. */
bool client_mail_was_heard(const struct client *c);
/* The end of data was sent and its answer is missing: the peer may have the mail. */
bool client_mail_is_in_doubt(const struct client *c);
/* TLS is optional and was not to be had: the session goes on in clear. */
bool client_is_in_clear(const struct client *c);
/* Reached "ready" at least once. */
bool client_was_ready(const struct client *c);

#endif
