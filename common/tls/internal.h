#ifndef POSTERN_TLS_INTERNAL_H
#define POSTERN_TLS_INTERNAL_H

#include "tls/tls.h"

#include <openssl/ssl.h>

/* What the files of this folder share; nobody else includes it. */

/* Our own OpenSSL library context: the default provider and ours.  Never NULL after tls_prepare. */
OSSL_LIB_CTX *tls_library(void);
#define TLS_PROPERTIES "?provider=default" /* all but the server's key is the default provider's */

/* "SENTENCE: OpenSSL's first reason"; empties OpenSSL's list of errors. */
void tls_explain(char *why, size_t size, const char *sentence);

/* provider.c */
#define TLS_PROVIDER_NAME "postern-keyd"
bool tls_provider_load(OSSL_LIB_CTX *library);
/* A key whose public half is the certificate's and whose private half is number `key` at keyd. */
EVP_PKEY *tls_key_new(X509 *leaf, uint64_t key);

/* conn.c: called by the provider inside a handshake.  Pauses the handshake until the answer is there; false: refused.
 * `signature` holds at most `size` bytes, `*len_out` are used. */
bool tls_sign_elsewhere(const struct tls_key_request *request, unsigned char *signature, size_t size, size_t *len_out);

SSL *tls_ssl(const struct tls_conn *c); /* borrowed */

struct tls_server {
	SSL_CTX *ctx; /* owned */
	bool tickets;
	uint64_t ticket_key_ms; /* when the ticket key was made, monotonic */
};
/* Makes a new ticket key once the old one had its hour: tickets under the old one are worthless then. */
void tls_server_turn_ticket_key(struct tls_server *s);

struct tls_client {
	SSL_CTX *ctx; /* owned */
	bool verify;
};

#endif
