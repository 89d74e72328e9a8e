#ifndef POSTERN_TLS_TEST_PAIR_H
#define POSTERN_TLS_TEST_PAIR_H

#include "tls/internal.h"

/* A client and a server of ours in one process, through buffers; the private key is signed with here, as keyd would. */
#define PAIR_NAME "mx.example.test"

/* keyd's part. */
struct key_end {
	EVP_PKEY *key;
	EVP_PKEY *const *keys; /* by number, where there are several; NULL: `key` whatever is asked for */
	bool away; /* cannot be asked */
	bool refuse;
	unsigned asked;
	uint64_t number;
	uint16_t scheme;
	struct buf tbs;
};

struct side {
	struct tls_conn *conn;
	struct buf out, plain;
	enum tls_want want;
};

struct pair {
	struct side client, server;
	struct key_end key;
	size_t piece; /* bytes a step; 0: all there is */
};

bool pair_ask(const struct tls_key_request *request, void *arg);
void pair_answer(struct pair *p);
struct side side_make(struct tls_conn *conn);
void side_free(struct side *s);
/* The first member of a connection. */
#define SSL_OF(conn) (*(SSL **)(conn))
/* The client asks for PAIR_NAME and keeps no session. */
void pair_make(struct pair *p, struct tls_server *server, struct tls_client *client, EVP_PKEY *key);
void pair_make_named(struct pair *p, struct tls_server *server, struct tls_client *client, EVP_PKEY *key, const char *name,
		     const char *destination);
void pair_free(struct pair *p);
/* Carries one piece; false when there was nothing to carry. */
bool pair_carry(struct side *from, struct side *to, size_t piece);
/* Until neither side has anything to say; questions to keyd are answered when nothing else goes on. */
void pair_run(struct pair *p);
void pair_send(struct side *from, const char *text);

/* One certificate, key number 7. */
struct tls_server *server_with(struct slice chain, const char *listener, bool tickets);
struct tls_server *server_from(struct tls_server_config config, struct slice chain);
struct tls_client *client_with(struct slice trust, bool verify);

#endif
