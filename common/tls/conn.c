/*
 * conn.c: one TLS connection, stepped.  The states and promises are in tls.h.
 *
 * The handshake of a server runs as an OpenSSL ASYNC job: when the provider needs a signature, the job is paused on its
 * own stack and the step returns TLS_WANT_KEY.  A paused job must be run to its end before its SSL is freed, or its stack
 * is lost; so freeing answers the open question with a refusal first.
 */
#include "tls/internal.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define KEY_WAITING_MAX 512u /* handshakes that wait for keyd at once: each holds a stack */
#define POST_HANDSHAKE_MAX 64u /* key updates, tickets, attempts to renegotiate on one connection */
#define SIGNATURE_MAX 2048u
#define RECORD_MAX 16384u

enum state { ST_HANDSHAKE, ST_OPEN, ST_CLOSED, ST_FAILED };
enum key_state { KEY_IDLE, KEY_ASKED, KEY_ANSWERED };

struct tls_conn {
	SSL *ssl; /* owned, with both BIOs */
	BIO *from_peer, *to_peer;
	enum state state;
	bool said_close;
	unsigned post_handshake;
	tls_key_ask_fn *ask;
	void *ask_arg;
	enum key_state key;
	struct buf signature;
	struct tls_facts facts;
	struct tls_peer *client; /* owned; NULL: none was shown */
	char *session_key; /* owned; client: sessions are kept under it; NULL: none are */
	char error[TLS_WHY_BYTES];
};

/* The connection whose handshake runs now: what the provider's call belongs to. */
static _Thread_local struct tls_conn *stepping;
static _Thread_local unsigned key_waiting;

static enum tls_want fail(struct tls_conn *c, const char *sentence)
{
	c->state = ST_FAILED;
	tls_explain(c->error, sizeof(c->error), sentence);
	return TLS_FAILED;
}

/* ---- the key ---- */

static bool ask_key(struct tls_conn *c, const struct tls_key_request *request)
{
	if (c->ask == NULL || ASYNC_get_current_job() == NULL || request->tbs.len > TLS_TBS_MAX)
		return false;
	if (key_waiting >= KEY_WAITING_MAX || !c->ask(request, c->ask_arg))
		return false;
	c->key = KEY_ASKED;
	key_waiting++;
	while (c->key == KEY_ASKED && ASYNC_pause_job() == 1)
		continue;
	key_waiting--;
	return c->key == KEY_ANSWERED;
}

bool tls_sign_elsewhere(const struct tls_key_request *request, unsigned char *signature, size_t size, size_t *len_out)
{
	struct tls_conn *c = stepping;
	bool ok;

	if (c == NULL)
		return false;
	ok = ask_key(c, request) && c->signature.len > 0 && c->signature.len <= size;
	if (ok) {
		memcpy(signature, c->signature.at, c->signature.len);
		*len_out = c->signature.len;
	}
	c->key = KEY_IDLE;
	buf_clear(&c->signature);
	return ok;
}

void tls_key_answer(struct tls_conn *c, struct slice signature)
{
	if (c->key != KEY_ASKED)
		return;
	buf_clear(&c->signature);
	(void)buf_add_slice(&c->signature, signature); /* what does not fit is as good as none */
	c->key = KEY_ANSWERED;
}

/* ---- making ---- */

/* Counts what a peer may do after the handshake: a flood of it costs us more than it costs the peer. */
static void on_message(int write_p, int version, int content_type, const void *at, size_t len, SSL *ssl, void *arg)
{
	struct tls_conn *c = arg;

	(void)version;
	(void)at;
	(void)len;
	(void)ssl;
	if (write_p == 0 && content_type == SSL3_RT_HANDSHAKE && c->state == ST_OPEN)
		c->post_handshake++;
}

static bool attach_bios(struct tls_conn *c)
{
	c->from_peer = BIO_new(BIO_s_mem());
	c->to_peer = BIO_new(BIO_s_mem());
	if (c->from_peer == NULL || c->to_peer == NULL) {
		BIO_free(c->from_peer);
		BIO_free(c->to_peer);
		return false;
	}
	BIO_set_mem_eof_return(c->from_peer, -1);
	BIO_set_mem_eof_return(c->to_peer, -1);
	SSL_set_bio(c->ssl, c->from_peer, c->to_peer);
	return true;
}

static struct tls_conn *conn_new(SSL_CTX *ctx)
{
	struct tls_conn *c = mem_new(1, sizeof(*c));

	ERR_clear_error();
	if (c == NULL)
		return NULL;
	c->signature = buf_make(SIGNATURE_MAX);
	c->facts.version = c->facts.cipher = c->facts.verify_error = c->facts.asked = "";
	c->ssl = SSL_new(ctx);
	if (c->ssl == NULL || !attach_bios(c)) {
		tls_conn_free(&c);
		return NULL;
	}
	SSL_set_msg_callback(c->ssl, on_message);
	SSL_set_msg_callback_arg(c->ssl, c);
	SSL_set_app_data(c->ssl, c);
	return c;
}

struct tls_conn *tls_conn_server(struct tls_server *server, tls_key_ask_fn *ask, void *arg)
{
	struct tls_conn *c;

	c = conn_new(server->ctx);
	if (c == NULL)
		return NULL;
	c->ask = ask;
	c->ask_arg = arg;
	SSL_set_accept_state(c->ssl);
	SSL_set_mode(c->ssl, SSL_MODE_ASYNC);
	return c;
}

static bool is_address(const char *name)
{
	unsigned char space[16];

	return inet_pton(AF_INET, name, space) == 1 || inet_pton(AF_INET6, name, space) == 1;
}

static bool set_name(struct tls_conn *c, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
	struct slice text = slice_of(name);

	if (is_address(name))
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	if (text.len > 1 && text.at[text.len - 1] == '.')
		text.len--;
	if (!slice_copy(text, c->facts.sni, sizeof(c->facts.sni)))
		return false;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, c->facts.sni, 0) == 1 &&
	       SSL_set_tlsext_host_name(c->ssl, c->facts.sni) == 1;
}

const char *tls_session_key(const SSL *ssl)
{
	const struct tls_conn *c = SSL_get_app_data(ssl);

	return c == NULL ? NULL : c->session_key;
}

/* A session of before, where there is one for this destination and name. */
static bool set_session(struct tls_conn *c, const char *name, const char *destination)
{
	struct buf key = buf_make(1024);
	bool ok = buf_add_text(&key, destination) && buf_add_char(&key, ' ') && buf_add_text(&key, name == NULL ? "" : name);

	if (ok)
		c->session_key = slice_dup(buf_slice(&key));
	buf_free(&key);
	if (c->session_key == NULL)
		return false;
	c->facts.offered = tls_session_offer(c->ssl, c->session_key);
	return true;
}

struct tls_conn *tls_conn_client(struct tls_client *client, const char *name, const char *destination)
{
	struct tls_conn *c = conn_new(client->ctx);

	if (c == NULL)
		return NULL;
	SSL_set_connect_state(c->ssl);
	/* A name that cannot be checked must not be left unchecked: no connection then. */
	if ((name != NULL && (name[0] == '\0' || !set_name(c, name))) ||
	    (destination != NULL && !set_session(c, name, destination)))
		tls_conn_free(&c);
	ERR_clear_error();
	return c;
}

static void finish_job(struct tls_conn *c)
{
	while (c->key != KEY_IDLE) {
		tls_key_answer(c, slice_empty());
		stepping = c;
		(void)SSL_do_handshake(c->ssl);
		stepping = NULL;
	}
	ERR_clear_error();
}

/* OpenSSL takes a session for spoilt whose connection ended without close_notify; many hosts just go (RFC 5246 §7.2.1 allows to
 * resume it all the same). */
static void keep_session(struct tls_conn *c)
{
	SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void tls_conn_free(struct tls_conn **cp)
{
	struct tls_conn *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	finish_job(c);
	if (c->ssl != NULL && (c->state == ST_OPEN || c->state == ST_CLOSED))
		keep_session(c);
	SSL_free(c->ssl);
	buf_free(&c->signature);
	free(c->client);
	free(c->session_key);
	free(c);
}

/* ---- stepping ---- */

static bool is_host_char(char c)
{
	return ascii_is_alnum(c) || c == '.' || c == '-' || c == '_';
}

static void note_sni(struct tls_conn *c)
{
	struct slice name = slice_of(SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name));

	c->facts.asked = name.at;
	for (size_t i = 0; i < name.len; i++)
		if (!is_host_char(name.at[i]))
			return;
	if (!slice_copy(name, c->facts.sni, sizeof(c->facts.sni)))
		return;
	for (size_t i = 0; i < name.len; i++)
		c->facts.sni[i] = ascii_lower(c->facts.sni[i]);
}

static void note_client(struct tls_conn *c)
{
	c->client = tls_peer_new(SSL_get0_peer_certificate(c->ssl), SSL_get_verify_result(c->ssl) == X509_V_OK);
	c->facts.client = c->client;
}

static void note_host(struct tls_conn *c)
{
	long verdict = SSL_get_verify_result(c->ssl);

	c->facts.peer_verified = verdict == X509_V_OK && SSL_get0_peer_certificate(c->ssl) != NULL;
	if (!c->facts.peer_verified)
		c->facts.verify_error = X509_verify_cert_error_string(verdict);
}

static void enter_open(struct tls_conn *c)
{
	c->state = ST_OPEN;
	SSL_clear_mode(c->ssl, SSL_MODE_ASYNC);
	c->facts.version = SSL_get_version(c->ssl);
	c->facts.cipher = SSL_get_cipher_name(c->ssl);
	c->facts.bits = (unsigned)SSL_get_cipher_bits(c->ssl, NULL);
	c->facts.resumed = SSL_session_reused(c->ssl) == 1;
	if (!SSL_is_server(c->ssl)) {
		note_host(c);
		return;
	}
	note_sni(c);
	note_client(c);
}

static enum tls_want handshake_failed(struct tls_conn *c)
{
	long verdict = SSL_get_verify_result(c->ssl);

	if (c->facts.offered)
		tls_session_spoilt(c->ssl, c->session_key);
	if (verdict == X509_V_OK)
		return fail(c, "TLS handshake failed");
	if (SSL_is_server(c->ssl)) {
		snprintf(c->error, sizeof(c->error), "the client's certificate is not good: %s",
			 X509_verify_cert_error_string(verdict));
		c->state = ST_FAILED;
		ERR_clear_error();
		return TLS_FAILED;
	}
	note_host(c);
	c->state = ST_FAILED;
	snprintf(c->error, sizeof(c->error), "the host's certificate is not good: %s", c->facts.verify_error);
	ERR_clear_error();
	return TLS_FAILED;
}

static enum tls_want step_handshake(struct tls_conn *c)
{
	int rc;

	ERR_clear_error();
	stepping = c;
	rc = SSL_do_handshake(c->ssl);
	stepping = NULL;
	if (rc == 1) {
		enter_open(c);
		return TLS_WANT_READ;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_ASYNC:
		return TLS_WANT_KEY;
	default:
		return handshake_failed(c);
	}
}

static enum tls_want read_stopped(struct tls_conn *c, int rc)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_ZERO_RETURN:
		c->state = ST_CLOSED;
		return TLS_CLOSED;
	default:
		return fail(c, "TLS connection broken");
	}
}

/* Bytes that wait on either side of the decryption. */
static size_t waiting(const struct tls_conn *c)
{
	return BIO_ctrl_pending(c->from_peer) + (size_t)SSL_pending(c->ssl);
}

/* How much to ask for in one read; 0: no room. */
static size_t read_size(const struct tls_conn *c, const struct buf *plain)
{
	size_t size = waiting(c), room = plain->max > plain->len ? plain->max - plain->len : 0;

	if (size == 0)
		size = 1;
	if (size > RECORD_MAX)
		size = RECORD_MAX;
	return size < room ? size : room;
}

static enum tls_want step_open(struct tls_conn *c, struct buf *plain)
{
	for (;;) {
		size_t size = read_size(c, plain), got = 0;
		char *room = size == 0 ? NULL : buf_room(plain, size);
		int rc;

		if (size == 0)
			return waiting(c) > 0 ? TLS_WANT_ROOM : TLS_WANT_READ;
		if (room == NULL)
			return fail(c, "out of memory");
		ERR_clear_error();
		rc = SSL_read_ex(c->ssl, room, size, &got);
		buf_grew(plain, got);
		if (c->post_handshake > POST_HANDSHAKE_MAX)
			return fail(c, "too many handshake messages after the handshake");
		if (rc != 1)
			return read_stopped(c, rc);
	}
}

static bool take_output(struct tls_conn *c, struct buf *out)
{
	size_t pending = BIO_ctrl_pending(c->to_peer), got = 0;
	char *room;

	if (pending == 0)
		return true;
	room = buf_room(out, pending);
	if (room == NULL || BIO_read_ex(c->to_peer, room, pending, &got) != 1 || got != pending)
		return false;
	buf_grew(out, got);
	return true;
}

static enum tls_want standing(const struct tls_conn *c)
{
	return c->state == ST_CLOSED ? TLS_CLOSED : TLS_FAILED;
}

static bool is_over(const struct tls_conn *c)
{
	return c->state == ST_CLOSED || c->state == ST_FAILED;
}

static bool take_input(struct tls_conn *c, struct slice in)
{
	size_t put = 0;

	if (in.len == 0)
		return true;
	if (in.len > TLS_STEP_MAX || BIO_ctrl_pending(c->from_peer) > TLS_STEP_MAX)
		return false;
	return BIO_write_ex(c->from_peer, in.at, in.len, &put) == 1 && put == in.len;
}

enum tls_want tls_step(struct tls_conn *c, struct slice in, struct buf *out, struct buf *plain)
{
	enum tls_want want;

	if (is_over(c))
		return standing(c);
	if (!take_input(c, in))
		return fail(c, "more bytes at once than can be held");
	if (c->key == KEY_ASKED)
		return TLS_WANT_KEY;
	want = c->state == ST_HANDSHAKE ? step_handshake(c) : TLS_WANT_READ;
	if (c->state == ST_OPEN)
		want = step_open(c, plain);
	if (!take_output(c, out) && !is_over(c))
		return fail(c, "more output than can be held");
	return want;
}

enum tls_want tls_end_of_input(struct tls_conn *c)
{
	if (is_over(c))
		return standing(c);
	if (c->state == ST_OPEN)
		keep_session(c);
	return fail(c, c->state == ST_OPEN ? "connection cut off without close_notify" :
					     "connection ended in the TLS handshake");
}

bool tls_write(struct tls_conn *c, struct slice plain, struct buf *out)
{
	size_t put = 0;

	if (c->state != ST_OPEN || c->said_close)
		return false;
	ERR_clear_error();
	if (plain.len > 0 && SSL_write_ex(c->ssl, plain.at, plain.len, &put) != 1) {
		(void)fail(c, "writing TLS records");
		return false;
	}
	if (take_output(c, out))
		return true;
	(void)fail(c, "more output than can be held");
	return false;
}

void tls_close(struct tls_conn *c, struct buf *out)
{
	if (c->said_close || (c->state != ST_OPEN && c->state != ST_CLOSED))
		return;
	c->said_close = true;
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	(void)take_output(c, out);
	ERR_clear_error();
}

bool tls_is_open(const struct tls_conn *c)
{
	return c->state == ST_OPEN;
}

const char *tls_error(const struct tls_conn *c)
{
	return c->error;
}

SSL *tls_ssl(const struct tls_conn *c)
{
	return c->ssl;
}

const struct tls_facts *tls_facts(const struct tls_conn *c)
{
	return &c->facts;
}
