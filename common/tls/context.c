#include "tls/internal.h"
#include "tls/scheme.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <unistd.h>

#define TICKET_KEY_MS (60u * 60u * 1000u)
#define TICKET_KEY_BYTES_MAX 256
#define PEER_CHAIN_MAX (64 << 10)
#define TRUSTED_MAX 2000u

#define CIPHERS_SERVER "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"
/* To an MX that does not do better, some encryption is more than none; a verified host must do better. */
#define CIPHERS_CLIENT "HIGH:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=1"
#define CIPHERS_VERIFIED "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:@SECLEVEL=2"

/* OpenSSL's macros take these as char *, though nothing writes there. */
static char groups[] = TLS_GROUP_LIST;
static char signature_schemes[] = TLS_SCHEME_LIST;

static bool is_end_of_pem(void)
{
	unsigned long last = ERR_peek_last_error();

	return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

/* The next certificate; NULL with `*end_out` at the end of the text, NULL without it for one that cannot be read. */
static X509 *next_certificate(BIO *pem, bool *end_out)
{
	X509 *x = X509_new_ex(tls_library(), TLS_PROPERTIES);

	*end_out = x == NULL;
	if (x == NULL || PEM_read_bio_X509(pem, &x, NULL, NULL) != NULL)
		return x;
	*end_out = is_end_of_pem();
	X509_free(x);
	return NULL;
}

static SSL_CTX *context_new(const SSL_METHOD *method, const char *ciphers)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(tls_library(), TLS_PROPERTIES, method);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_MAX);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(ctx, ciphers) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, groups) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* ---- server ---- */

/* Only "smtp"; who offers names and not this one speaks another protocol (ALPACA). */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
		   unsigned offered_len, void *arg)
{
	static const unsigned char smtp[] = {4, 's', 'm', 't', 'p'};

	(void)ssl;
	(void)arg;
	for (unsigned i = 0; i + 1 <= offered_len; i += 1u + offered[i])
		if (offered_len - i >= sizeof(smtp) && memcmp(offered + i, smtp, sizeof(smtp)) == 0) {
			*out = offered + i + 1;
			*out_len = 4;
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* A session may be resumed on this listener only: the server's names are not its policy. */
static bool set_session_context(SSL_CTX *ctx, const char *listener)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t len = 0;

	return EVP_Q_digest(tls_library(), "SHA256", NULL, listener, strlen(listener), digest, &len) == 1 &&
	       SSL_CTX_set_session_id_context(ctx, digest, (unsigned)len) == 1;
}

static void set_tickets(SSL_CTX *ctx, bool tickets)
{
	if (tickets) {
		SSL_CTX_set_num_tickets(ctx, 1);
		SSL_CTX_set_timeout(ctx, TICKET_KEY_MS / 1000);
	} else {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
	}
}

static bool use_leaf(SSL_CTX *ctx, X509 *leaf, uint64_t number, char *why)
{
	EVP_PKEY *key;

	if (SSL_CTX_use_certificate(ctx, leaf) != 1) {
		tls_explain(why, TLS_WHY_BYTES, "the server's certificate cannot be used");
		return false;
	}
	key = tls_key_new(leaf, number);
	if (key == NULL) {
		snprintf(why, TLS_WHY_BYTES, "the server's certificate has a key of a kind that is not supported; use RSA or EC");
		ERR_clear_error();
		return false;
	}
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1) {
		tls_explain(why, TLS_WHY_BYTES, "the server's key cannot be used");
		EVP_PKEY_free(key);
		return false;
	}
	EVP_PKEY_free(key);
	return true;
}

static bool use_chain(SSL_CTX *ctx, BIO *pem, uint64_t number, char *why)
{
	size_t count = 0;
	bool end, ok = true;
	X509 *x;

	while (ok && (x = next_certificate(pem, &end)) != NULL) {
		ok = count++ == 0 ? use_leaf(ctx, x, number, why) : SSL_CTX_add1_chain_cert(ctx, x) == 1;
		X509_free(x);
		if (!ok && count > 1)
			tls_explain(why, TLS_WHY_BYTES, "a certificate of the chain cannot be used");
		if (ok && count > TLS_CHAIN_CERTIFICATES_MAX) {
			snprintf(why, TLS_WHY_BYTES, "the certificate chain has more than %u certificates",
				 TLS_CHAIN_CERTIFICATES_MAX);
			ok = false;
		}
	}
	if (ok && !end) {
		tls_explain(why, TLS_WHY_BYTES, "a certificate of the chain cannot be read");
		ok = false;
	} else if (ok && count == 0) {
		snprintf(why, TLS_WHY_BYTES, "there is no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
		ok = false;
	}
	ERR_clear_error();
	return ok;
}

static bool read_chain(SSL_CTX *ctx, const struct tls_server_config *config, char *why)
{
	BIO *pem;
	bool ok;

	if (config->chain_pem.len > TLS_CHAIN_MAX) {
		snprintf(why, TLS_WHY_BYTES, "the certificate chain is larger than %u bytes", TLS_CHAIN_MAX);
		return false;
	}
	pem = BIO_new_mem_buf(config->chain_pem.at, (int)config->chain_pem.len);
	if (pem == NULL) {
		snprintf(why, TLS_WHY_BYTES, "out of memory");
		return false;
	}
	ok = use_chain(ctx, pem, config->key, why);
	BIO_free(pem);
	return ok;
}

struct tls_server *tls_server_new(const struct tls_server_config *config, char why[TLS_WHY_BYTES])
{
	struct tls_server *s = mem_new(1, sizeof(*s));

	ERR_clear_error();
	why[0] = '\0';
	if (s == NULL) {
		snprintf(why, TLS_WHY_BYTES, "out of memory");
		return NULL;
	}
	s->tickets = config->tickets;
	s->ticket_key_ms = clock_mono_ms();
	s->ctx = context_new(TLS_server_method(), CIPHERS_SERVER);
	if (s->ctx == NULL || SSL_CTX_set1_sigalgs_list(s->ctx, signature_schemes) != 1 ||
	    !set_session_context(s->ctx, config->listener)) {
		tls_explain(why, TLS_WHY_BYTES, "TLS cannot be set up");
		tls_server_free(&s);
		return NULL;
	}
	set_tickets(s->ctx, config->tickets);
	SSL_CTX_set_alpn_select_cb(s->ctx, on_alpn, NULL);
	if (!read_chain(s->ctx, config, why))
		tls_server_free(&s);
	return s;
}

void tls_server_free(struct tls_server **sp)
{
	struct tls_server *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	SSL_CTX_free(s->ctx);
	free(s);
}

void tls_server_turn_ticket_key(struct tls_server *s)
{
	unsigned char key[TICKET_KEY_BYTES_MAX];
	long len;

	if (!s->tickets || clock_mono_ms() - s->ticket_key_ms < TICKET_KEY_MS)
		return;
	len = SSL_CTX_get_tlsext_ticket_keys(s->ctx, NULL, 0);
	if (len <= 0 || len > TICKET_KEY_BYTES_MAX)
		return;
	mem_random(key, (size_t)len);
	SSL_CTX_set_tlsext_ticket_keys(s->ctx, key, len);
	mem_wipe(key, sizeof(key));
	s->ticket_key_ms = clock_mono_ms();
}

/* ---- client ---- */

/* One that cannot be read is passed over: a system's bundle is not ours to judge.  Returns how many are trusted now. */
static size_t add_trusted(SSL_CTX *ctx, struct slice pem_text)
{
	BIO *pem = BIO_new_mem_buf(pem_text.at, (int)pem_text.len);
	size_t count = 0;
	bool end = pem == NULL;

	for (unsigned i = 0; !end && i < TRUSTED_MAX; i++) {
		X509 *x = next_certificate(pem, &end);

		if (x != NULL && X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1)
			count++;
		X509_free(x);
		ERR_clear_error();
	}
	BIO_free(pem);
	return count;
}

static bool set_trust(SSL_CTX *ctx, const struct tls_client_config *config, char *why)
{
	if (config->trust_pem.len > TLS_TRUST_MAX) {
		snprintf(why, TLS_WHY_BYTES, "the file of trusted certificates is larger than %u bytes", TLS_TRUST_MAX);
		return false;
	}
	if (add_trusted(ctx, config->trust_pem) == 0 && config->verify) {
		snprintf(why, TLS_WHY_BYTES,
			 "there is no trusted certificate to verify with; install ca-certificates or name a file in tls-ca");
		return false;
	}
	SSL_CTX_set_verify(ctx, config->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
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
	c->ctx = context_new(TLS_client_method(), config->verify ? CIPHERS_VERIFIED : CIPHERS_CLIENT);
	if (c->ctx == NULL) {
		tls_explain(why, TLS_WHY_BYTES, "TLS cannot be set up");
		tls_client_free(&c);
	} else if (!set_trust(c->ctx, config, why)) {
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
