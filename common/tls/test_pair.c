#include "tls/test_pair.h"

#include "tls/test_certificate.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

bool pair_ask(const struct tls_key_request *request, void *arg)
{
	struct key_end *k = arg;

	if (k->away)
		return false;
	k->asked++;
	k->number = request->key;
	k->scheme = request->scheme;
	buf_clear(&k->tbs);
	return buf_add_slice(&k->tbs, request->tbs);
}

void pair_answer(struct pair *p)
{
	struct buf signature = buf_make(2048);
	EVP_PKEY *key = p->key.keys == NULL ? p->key.key : p->key.keys[p->key.number];

	if (!p->key.refuse)
		assert_true(test_sign(key, p->key.scheme, buf_slice(&p->key.tbs), &signature));
	tls_key_answer(p->server.conn, buf_slice(&signature));
	p->server.want = tls_step(p->server.conn, slice_empty(), &p->server.out, &p->server.plain);
	buf_free(&signature);
}

struct tls_server *server_from(struct tls_server_config config, struct slice chain)
{
	char why[TLS_WHY_BYTES];
	struct tls_host host = {.certificate = tls_certificate_new(chain, 7, why)};
	struct tls_server *s = NULL;

	config.hosts = &host;
	config.host_count = 1;
	if (host.certificate != NULL)
		s = tls_server_new(&config, why);
	tls_certificate_free(&host.certificate);
	if (s == NULL)
		print_message("%s\n", why);
	return s;
}

struct tls_server *server_with(struct slice chain, const char *listener, bool tickets)
{
	return server_from((struct tls_server_config){.listener = listener, .tickets = tickets}, chain);
}

struct tls_client *client_with(struct slice trust, bool verify)
{
	struct tls_client_config config = {.trust_pem = trust, .verify = verify};
	char why[TLS_WHY_BYTES];

	return tls_client_new(&config, why);
}

struct side side_make(struct tls_conn *conn)
{
	assert_non_null(conn);
	return (struct side){conn, buf_make(1 << 20), buf_make(1 << 20), TLS_WANT_READ};
}

void pair_make_named(struct pair *p, struct tls_server *server, struct tls_client *client, EVP_PKEY *key, const char *name,
		     const char *destination)
{
	p->key = (struct key_end){.key = key, .tbs = buf_make(TLS_TBS_MAX)};
	p->piece = 0;
	p->server = side_make(tls_conn_server(server, pair_ask, &p->key));
	p->client = side_make(tls_conn_client(client, name, destination));
}

void pair_make(struct pair *p, struct tls_server *server, struct tls_client *client, EVP_PKEY *key)
{
	pair_make_named(p, server, client, key, PAIR_NAME, NULL);
}

void side_free(struct side *s)
{
	tls_conn_free(&s->conn);
	buf_free(&s->out);
	buf_free(&s->plain);
}

void pair_free(struct pair *p)
{
	side_free(&p->client);
	side_free(&p->server);
	buf_free(&p->key.tbs);
}

bool pair_carry(struct side *from, struct side *to, size_t piece)
{
	size_t n = from->out.len;
	struct buf moved = buf_make(1 << 20);

	if (n == 0)
		return false;
	if (piece > 0 && n > piece)
		n = piece;
	if (n > TLS_STEP_MAX)
		n = TLS_STEP_MAX;
	assert_true(buf_add(&moved, from->out.at, n));
	buf_take(&from->out, n);
	to->want = tls_step(to->conn, buf_slice(&moved), &to->out, &to->plain);
	buf_free(&moved);
	return true;
}

void pair_run(struct pair *p)
{
	p->client.want = tls_step(p->client.conn, slice_empty(), &p->client.out, &p->client.plain);
	for (;;) {
		bool moved = p->server.want != TLS_WANT_KEY && pair_carry(&p->client, &p->server, p->piece);

		moved = pair_carry(&p->server, &p->client, p->piece) || moved;
		if (!moved && p->server.want != TLS_WANT_KEY)
			return;
		if (!moved)
			pair_answer(p);
	}
}

void pair_send(struct side *from, const char *text)
{
	assert_true(tls_write(from->conn, slice_of(text), &from->out));
}
