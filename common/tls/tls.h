#ifndef POSTERN_TLS_TLS_H
#define POSTERN_TLS_TLS_H

#include "base/buf.h"

/*
 * TLS as a step function: bytes from the peer in, bytes for the peer out, plain text out, and what it wants next.  No
 * socket, no loop and no clock but the ticket key's age is known here, so one byte at a time gives what one write gives.
 *
 *   handshake --step--> open --step--> closed (close_notify came: all plain text before it was handed out, nothing after it
 *       |  ^                |                   is ever parsed)
 *       v  | tls_key_answer '------> failed  (alert, nonsense, a bound, or the connection ended without close_notify)
 *   waiting for keyd
 *
 * Always: TLS 1.2 at least, ECDHE and AEAD first; "smtp" or no ALPN at all; no renegotiation, no compression, no early data; after TLS_CLOSED or
 * TLS_FAILED every further step answers the same and reads nothing.  A connection never goes back to clear text.
 * All functions work inside the cage, once tls_prepare was called before it.
 */
struct tls_server; /* the server side of one listener in one generation */
struct tls_client; /* the client side of one set of trusted certificates */
struct tls_conn;

#define TLS_CHAIN_MAX (256u << 10) /* bytes of a certificate chain in PEM */
#define TLS_CHAIN_CERTIFICATES_MAX 16u
#define TLS_TRUST_MAX (4u << 20) /* bytes of trusted certificates in PEM */
#define TLS_STEP_MAX (64u << 10) /* bytes given to one step, and held while keyd is asked */
#define TLS_TBS_MAX 1024u /* as SIGN_ASK carries it */
#define TLS_KEY_MS 5000u /* how long keyd may take: the timeout of SIGN_ASK */
#define TLS_WHY_BYTES 256

/* Once, before the cage: starts OpenSSL without its configuration file, loads the providers.  Exits 75 on failure. */
void tls_prepare(void);

/* ---- the private key, which is elsewhere ---- */

/* What keyd is to sign: the message itself.  scheme: TLS SignatureScheme (RFC 8446 §4.2.3).  Borrowed. */
struct tls_key_request {
	uint64_t key;
	uint16_t scheme;
	struct slice tbs;
};
/* Asks keyd (SIGN_ASK, TLS_KEY_MS) and returns at once; false: it cannot be asked now.  Called from inside tls_step, which
 * then returns TLS_WANT_KEY.  Never calls back into the connection. */
typedef bool tls_key_ask_fn(const struct tls_key_request *request, void *arg);

/* ---- contexts ---- */

/* A chain in PEM, leaf first, and the number of its key at keyd (SIGN_ASK carries it).  Listeners share it.  NULL with a sentence
 * in `why`: no usable certificate, or no memory. */
struct tls_certificate;
struct tls_certificate *tls_certificate_new(struct slice chain_pem, uint64_t key, char why[TLS_WHY_BYTES]);
void tls_certificate_free(struct tls_certificate **cp); /* servers made from it live on */

/* A certificate and the host it was configured for ("mail.example.net", "*.example.net"); NULL: the names in it.  Perhaps another one
 * for the same host: of an ECDSA and an RSA key a client is shown the one whose signatures it can verify, ECDSA where it can both. */
struct tls_host {
	const char *name;
	struct tls_certificate *certificate, *other; /* borrowed; other: NULL: there is none */
};

enum tls_client_certificate { TLS_CLIENT_OFF, TLS_CLIENT_ASK, TLS_CLIENT_REQUIRE };

struct tls_server_config {
	const struct tls_host *hosts; /* the first is shown where no other is asked for */
	size_t host_count;
	const char *listener; /* name: a session of another listener is never resumed */
	bool tickets; /* false where one process serves one connection; never with client certificates */
	bool only_known_hosts; /* unrecognized_name to who asks for a name that no certificate is for */
	bool only_tls13;
	const char *ciphers; /* NULL or "compatible", "intermediate", "modern", or a list as OpenSSL writes it, of which ECDHE is used */
	enum tls_client_certificate client_certificate;
	struct slice client_trust_pem; /* whose client certificates are good; may be empty unless they are required */
};
/* NULL with a sentence in `why`.  Which certificate: the one whose configured name is the name asked for; else whose own names
 * have it; the same by wildcard; else the first. */
struct tls_server *tls_server_new(const struct tls_server_config *config, char why[TLS_WHY_BYTES]);
void tls_server_free(struct tls_server **sp); /* connections made from it live on */

/* Sessions that connections left behind are resumed by later ones to the same destination, name and address of this client, so
 * never one that was verified less strictly; at most TLS_SESSIONS_MAX, an hour each, one connection a TLS 1.3 session. */
#define TLS_SESSIONS_MAX 256u
#define TLS_TICKET_MAX 4096u /* a server's ticket that is larger is not kept */
struct tls_client_config {
	struct slice trust_pem; /* trusted certificates; may be empty where `verify` is false */
	bool verify; /* false: any certificate will do, the facts say whether it was good */
	/* What is shown to a server that asks for a certificate, leaf first, and its key, which lies in this process; empty: nothing is. */
	struct slice chain_pem, key_pem;
};
struct tls_client *tls_client_new(const struct tls_client_config *config, char why[TLS_WHY_BYTES]);
void tls_client_free(struct tls_client **cp);
/* The system's trusted certificates, read from its usual places: before the cage.  False: there are none. */
bool tls_trust_read_system(struct buf *out);

/* ---- connections ---- */

enum tls_want {
	TLS_WANT_READ, /* more bytes from the peer (after `out` was sent) */
	TLS_WANT_ROOM, /* `plain` is at its ceiling: take from it, then step with nothing */
	TLS_WANT_KEY, /* keyd was asked: read no more from the peer; after tls_key_answer step with nothing */
	TLS_CLOSED, /* the peer said close_notify */
	TLS_FAILED, /* tls_error says why; `out` may hold an alert worth sending */
};

/* NULL: no memory. */
struct tls_conn *tls_conn_server(struct tls_server *server, tls_key_ask_fn *ask, void *arg);
/* name: of the host to reach, a domain name or an address; sent as SNI and, where the context verifies, the certificate
 * must have it (RFC 6125: a wildcard is a whole leftmost label).  NULL: neither.
 * destination: where it goes, such as "192.0.2.1:25": sessions are kept under it and the name.  NULL: none is kept or resumed. */
struct tls_conn *tls_conn_client(struct tls_client *client, const char *name, const char *destination);
/* Forget an open question to keyd first. */
void tls_conn_free(struct tls_conn **cp);

/* `in`: at most TLS_STEP_MAX bytes, all taken.  Appends to `out` what must be sent and to `plain` what was received; a
 * client's first step has nothing in.  `out` needs a ceiling of 128 KiB or more. */
enum tls_want tls_step(struct tls_conn *c, struct slice in, struct buf *out, struct buf *plain);
/* The connection ended: TLS_CLOSED when close_notify had come, else TLS_FAILED, and what was received is not whole. */
enum tls_want tls_end_of_input(struct tls_conn *c);
/* Plain text for the peer, appended to `out` as records.  False: the handshake is not over, closed, failed or no memory. */
bool tls_write(struct tls_conn *c, struct slice plain, struct buf *out);
/* Appends our close_notify; nothing can be written after it. */
void tls_close(struct tls_conn *c, struct buf *out);

/* keyd's answer: the signature, or an empty slice where it refused, was silent or is gone.  Then call tls_step. */
void tls_key_answer(struct tls_conn *c, struct slice signature);

/* The handshake is over: data may flow. */
bool tls_is_open(const struct tls_conn *c);
/* Why it failed, for a log line; "" otherwise. */
const char *tls_error(const struct tls_conn *c);

/* What a client showed of itself: a certificate whose private key it has. */
struct tls_peer {
	bool verified; /* by the listener's trusted certificates */
	char fingerprint[65]; /* SHA-256 of the certificate (DER) in lower-case hexadecimal */
	char subject[256]; /* RFC 2253, ASCII only; cut where it is longer */
	char names[1024]; /* of its subjectAltName the host names and mail addresses, in lower case, a space between; those that do
			     not fit, or are no names, are left out */
};

struct tls_facts {
	const char *version; /* "TLSv1.3" */
	const char *cipher; /* "TLS_AES_256_GCM_SHA384" */
	unsigned bits; /* of the cipher */
	char sni[256]; /* the name the client asked for, if it is one, in lower case; or the one we sent; "" */
	const char *asked; /* server: what was asked for, whatever bytes: for the log, which escapes it */
	const struct tls_peer *client; /* server: NULL where none was shown; lives as long as the connection */
	bool peer_verified; /* client: the chain and, if asked for, the name were good */
	const char *verify_error; /* client: why not; "" */
	bool resumed;
	bool offered; /* client: a kept session was offered; a failed handshake may be its fault */
};
/* Borrowed; complete once tls_is_open. */
const struct tls_facts *tls_facts(const struct tls_conn *c);

/* What names this channel, for logins that are bound to it (RFC 5056); length 0: it has none of that kind. */
#define TLS_EXPORTER_BYTES 32u
#define TLS_END_POINT_MAX 64u
struct tls_bindings {
	char exporter[TLS_EXPORTER_BYTES]; /* tls-exporter, RFC 9266; TLS 1.3 */
	size_t exporter_len;
	char end_point[TLS_END_POINT_MAX]; /* tls-server-end-point, RFC 5929 */
	size_t end_point_len;
};
/* Server side. */
void tls_bindings(const struct tls_conn *c, struct tls_bindings *out);

#endif
