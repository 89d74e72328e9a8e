#ifndef POSTERN_TLS_INTERNAL_H
#define POSTERN_TLS_INTERNAL_H

#include "tls/tls.h"

#include "base/map.h"

#include <openssl/ssl.h>

/* What the files of this folder share; nobody else includes it. */

/* Our own OpenSSL library context: the default provider and ours.  Never NULL after tls_prepare. */
OSSL_LIB_CTX *tls_library(void);
#define TLS_PROPERTIES "?provider=default" /* all but the server's key is the default provider's */

/* "SENTENCE: OpenSSL's first reason"; empties OpenSSL's list of errors. */
void tls_explain(char *why, size_t size, const char *sentence);

/* ---- provider.c ---- */
#define TLS_PROVIDER_NAME "postern-keyd"
bool tls_provider_load(OSSL_LIB_CTX *library);
/* A key whose public half is the certificate's and whose private half is number `key` at keyd. */
EVP_PKEY *tls_key_new(X509 *leaf, uint64_t key);

/* conn.c: called by the provider inside a handshake.  Pauses the handshake until the answer is there; false: refused.
 * `signature` holds at most `size` bytes, `*len_out` are used. */
bool tls_sign_elsewhere(const struct tls_key_request *request, unsigned char *signature, size_t size, size_t *len_out);

SSL *tls_ssl(const struct tls_conn *c); /* borrowed */

/* ---- context.c ---- */
/* NULL: OpenSSL's errors say why. */
SSL_CTX *tls_context_new(const SSL_METHOD *method, const char *ciphers);
/* The next certificate; NULL with `*end_out` at the end of the text, NULL without it for one that cannot be read. */
X509 *tls_next_certificate(BIO *pem, bool *end_out);
/* Trusts what can be read of it; a system's bundle is not ours to judge.  Returns how many. */
size_t tls_add_trusted(SSL_CTX *ctx, struct slice pem);

/* ---- certificate.c ---- */
struct tls_certificate {
	unsigned holders;
	X509 *leaf; /* owned, as the next two */
	STACK_OF(X509) *chain; /* without the leaf */
	EVP_PKEY *key;
};
struct tls_certificate *tls_certificate_hold(struct tls_certificate *c);
/* Calls fn with each host name of a certificate (subjectAltName, or the common name where it has none), in lower case. */
typedef bool tls_name_fn(struct slice name, void *arg);
bool tls_certificate_each_name(X509 *leaf, tls_name_fn *fn, void *arg); /* false as soon as fn is false */
/* What a client showed.  Owned by the caller (free); NULL: nothing, or no memory. */
struct tls_peer *tls_peer_new(X509 *certificate, bool verified);

/* ---- tickets.c ---- */
#define TLS_TICKET_KEY_MS (60u * 60u * 1000u)
struct tls_ticket_key {
	unsigned char name[16], cipher[32], mac[32];
};
/* Tickets under `now` are good; under `before` they are good too and are replaced; after that hour they are worthless. */
struct tls_tickets {
	struct tls_ticket_key now, before;
	bool has_before;
	uint64_t made_ms; /* `now`, by the monotonic clock */
};
/* False: no memory. */
bool tls_tickets_start(SSL_CTX *ctx, struct tls_tickets *t);
void tls_tickets_turn(struct tls_tickets *t);

/* ---- server.c, client.c ---- */
/* Owned by its SSL_CTX, which connections hold. */
struct tls_server {
	SSL_CTX *ctx;
	bool has_tickets, only_known_hosts;
	struct tls_tickets tickets;
	struct map *by_name; /* host name, "*.domain" -> struct tls_shown, borrowed from `shown` */
	struct tls_shown {
		struct tls_certificate *certificate, *other; /* held; other: NULL: there is none */
	} *shown; /* owned; a host each */
	size_t shown_count;
};

struct tls_sessions; /* client.c: what may be resumed */

struct tls_client {
	SSL_CTX *ctx; /* owned */
	bool verify;
	struct tls_sessions *sessions; /* owned by ctx */
};
/* Sets the session kept for `key`, and takes it out where it may be used only once.  True: there was one. */
bool tls_session_offer(SSL *ssl, const char *key);
/* It could not be used: it is forgotten. */
void tls_session_spoilt(SSL *ssl, const char *key);
/* conn.c: under which key sessions of this connection are kept; NULL: under none. */
const char *tls_session_key(const SSL *ssl);

#endif
