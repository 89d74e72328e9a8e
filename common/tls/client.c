#include "tls/internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/queue.h>
#include <unistd.h>

/* The client's side: what is trusted, and the sessions that may be resumed. */

/* To an MX that does not do better, some encryption is more than none; a verified host must do better. */
#define CIPHERS_CLIENT "HIGH:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=1"
#define CIPHERS_VERIFIED "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:@SECLEVEL=2"
#define SESSION_MS (60u * 60u * 1000u)

/* ---- sessions ---- */

/*
 * One session a key, the newest.  Everything a session was judged by is the client's (trusted certificates, whether they must
 * verify) or in the key (destination, name), so that who finds one may use it.
 */
struct kept {
	TAILQ_ENTRY(kept) age; /* the oldest first */
	SSL_SESSION *session; /* owned */
	uint64_t until_ms;
	char key[];
};

struct tls_sessions {
	struct map *by_key;
	TAILQ_HEAD(kept_list, kept) by_age;
};

static void forget(struct tls_sessions *all, struct kept *k)
{
	TAILQ_REMOVE(&all->by_age, k, age);
	(void)map_take(all->by_key, slice_of(k->key));
	SSL_SESSION_free(k->session);
	free(k);
}

static bool is_worth_keeping(const SSL_SESSION *session)
{
	const unsigned char *ticket;
	size_t len = 0;

	SSL_SESSION_get0_ticket(session, &ticket, &len);
	return SSL_SESSION_is_resumable(session) == 1 && len <= TLS_TICKET_MAX;
}

/* Takes the session when it is true. */
static bool keep(struct tls_sessions *all, const char *key, SSL_SESSION *session)
{
	size_t len = strlen(key) + 1;
	struct kept *old = map_find(all->by_key, slice_of(key)), *k;

	if (old != NULL)
		forget(all, old);
	else if (map_count(all->by_key) >= TLS_SESSIONS_MAX)
		forget(all, TAILQ_FIRST(&all->by_age));
	k = mem_new(1, sizeof(*k) + len);
	if (k == NULL)
		return false;
	memcpy(k->key, key, len);
	if (!map_put(all->by_key, slice_of(key), k)) {
		free(k);
		return false;
	}
	k->session = session;
	k->until_ms = clock_mono_ms() + SESSION_MS;
	TAILQ_INSERT_TAIL(&all->by_age, k, age);
	return true;
}

static struct tls_sessions *sessions_of(const SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	const char *key = tls_session_key(ssl);

	return key != NULL && is_worth_keeping(session) && keep(sessions_of(ssl), key, session);
}

bool tls_session_offer(SSL *ssl, const char *key)
{
	struct tls_sessions *all = sessions_of(ssl);
	struct kept *k = map_find(all->by_key, slice_of(key));
	bool offered = false;

	if (k == NULL)
		return false;
	if (clock_mono_ms() < k->until_ms && SSL_SESSION_is_resumable(k->session) == 1)
		offered = SSL_set_session(ssl, k->session) == 1;
	/* Shown twice, a ticket would tell an observer that both connections are ours (RFC 8446 §C.4). */
	if (!offered || SSL_SESSION_get_protocol_version(k->session) >= TLS1_3_VERSION)
		forget(all, k);
	return offered;
}

void tls_session_spoilt(SSL *ssl, const char *key)
{
	struct tls_sessions *all = sessions_of(ssl);
	struct kept *k = map_find(all->by_key, slice_of(key));

	if (k != NULL)
		forget(all, k);
}

static void on_context_free(void *parent, void *at, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	struct tls_sessions *all = at;

	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	if (all == NULL)
		return;
	while (!TAILQ_EMPTY(&all->by_age))
		forget(all, TAILQ_FIRST(&all->by_age));
	map_free(&all->by_key);
	free(all);
}

/* They go with the context, which connections may hold longer than we do. */
static bool start_sessions(struct tls_client *c)
{
	struct tls_sessions *all = mem_new(1, sizeof(*all));
	static int index = -1;

	if (index == -1)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_free);
	if (all != NULL)
		all->by_key = map_new(TLS_SESSIONS_MAX);
	if (index == -1 || all == NULL || all->by_key == NULL || SSL_CTX_set_ex_data(c->ctx, index, all) != 1) {
		free(all);
		return false;
	}
	TAILQ_INIT(&all->by_age);
	c->sessions = all;
	SSL_CTX_set_app_data(c->ctx, all);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c->ctx, on_new_session);
	return true;
}

/* ---- what is trusted ---- */

static bool set_trust(SSL_CTX *ctx, const struct tls_client_config *config, char *why)
{
	if (config->trust_pem.len > TLS_TRUST_MAX) {
		snprintf(why, TLS_WHY_BYTES, "the file of trusted certificates is larger than %u bytes", TLS_TRUST_MAX);
		return false;
	}
	if (tls_add_trusted(ctx, config->trust_pem) == 0 && config->verify) {
		snprintf(why, TLS_WHY_BYTES,
			 "there is no trusted certificate to verify with; install ca-certificates or name a file in tls-ca");
		return false;
	}
	SSL_CTX_set_verify(ctx, config->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return true;
}

/* ---- who we are ---- */

/* A key under a password has nobody to ask for it. */
static int no_password(char *at, int size, int for_writing, void *arg)
{
	(void)at;
	(void)size;
	(void)for_writing;
	(void)arg;
	return -1;
}

static bool use_chain(SSL_CTX *ctx, struct slice text)
{
	BIO *pem = text.len > TLS_CHAIN_MAX ? NULL : BIO_new_mem_buf(text.at, (int)text.len);
	unsigned count = 0;
	bool end = pem == NULL, good = !end;

	while (good && !end && count < TLS_CHAIN_CERTIFICATES_MAX) {
		X509 *x = tls_next_certificate(pem, &end);

		if (x != NULL)
			good = (count++ == 0 ? SSL_CTX_use_certificate(ctx, x) : SSL_CTX_add1_chain_cert(ctx, x)) == 1;
		else
			good = end;
		X509_free(x);
	}
	BIO_free(pem);
	return good && count > 0;
}

static bool use_key(SSL_CTX *ctx, struct slice text)
{
	BIO *pem = text.len > TLS_CHAIN_MAX ? NULL : BIO_new_mem_buf(text.at, (int)text.len);
	EVP_PKEY *key = pem == NULL ? NULL : PEM_read_bio_PrivateKey_ex(pem, NULL, no_password, NULL, tls_library(), TLS_PROPERTIES);
	bool good = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;

	EVP_PKEY_free(key);
	BIO_free(pem);
	return good;
}

static bool set_identity(SSL_CTX *ctx, const struct tls_client_config *config, char *why)
{
	if (config->chain_pem.len == 0)
		return true;
	ERR_clear_error();
	if (!use_chain(ctx, config->chain_pem)) {
		tls_explain(why, TLS_WHY_BYTES, "our own certificate cannot be used");
		return false;
	}
	ERR_clear_error();
	if (!use_key(ctx, config->key_pem)) {
		tls_explain(why, TLS_WHY_BYTES, "the key of our own certificate cannot be used, or is not its");
		return false;
	}
	return true;
}

struct tls_client *tls_client_new(const struct tls_client_config *config, char why[TLS_WHY_BYTES])
{
	struct tls_client *c = mem_new(1, sizeof(*c));

	ERR_clear_error();
	why[0] = '\0';
	if (c == NULL) {
		snprintf(why, TLS_WHY_BYTES, "out of memory");
		return NULL;
	}
	c->verify = config->verify;
	c->ctx = tls_context_new(TLS_client_method(), config->verify ? CIPHERS_VERIFIED : CIPHERS_CLIENT);
	if (c->ctx == NULL || !start_sessions(c)) {
		tls_explain(why, TLS_WHY_BYTES, "TLS cannot be set up");
		tls_client_free(&c);
	} else if (!set_trust(c->ctx, config, why) || !set_identity(c->ctx, config, why)) {
		tls_client_free(&c);
	}
	return c;
}

void tls_client_free(struct tls_client **cp)
{
	struct tls_client *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	SSL_CTX_free(c->ctx);
	free(c);
}

static bool read_whole(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	char *room;

	if (fd == -1)
		return false;
	do {
		room = buf_room(out, 65536);
		n = room == NULL ? -1 : read(fd, room, 65536);
		if (n > 0)
			buf_grew(out, (size_t)n);
	} while (n > 0 || (n == -1 && errno == EINTR && room != NULL));
	close(fd);
	return n == 0 && out->len > 0;
}

bool tls_trust_read_system(struct buf *out)
{
	static const char *const places[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch, Gentoo */
		"/etc/pki/tls/certs/ca-bundle.crt", /* Fedora */
		"/etc/ssl/ca-bundle.pem", /* SUSE */
		"/etc/ssl/cert.pem", /* Alpine */
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		buf_clear(out);
		if (read_whole(places[i], out))
			return true;
	}
	buf_clear(out);
	return false;
}
