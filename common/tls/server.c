#include "tls/internal.h"
#include "tls/scheme.h"

#include "base/mem.h"

#include <openssl/err.h>
#include <stdio.h>

/*
 * What a listener allows: certificates by name, versions, ciphers, client certificates, tickets.  keyd signs, and never decrypts,
 * so that whatever a list of ciphers says, only ECDHE is used.
 */
#define NAMES_MAX 20000u /* of all certificates of a listener */
#define CA_NAMES_MAX 64 /* told to a client, so that it knows which certificate to show */

#define ECDHE_ONLY ":!aNULL:!eNULL:!kRSA:!kDHE:!PSK:!SRP"
static const struct {
	const char *name, *list;
	bool only_tls13;
} policies[] = {
	/* The first is what is used unless something is said. */
	{"compatible", "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES" ECDHE_ONLY, false},
	{"intermediate", "ECDHE+AESGCM:ECDHE+CHACHA20" ECDHE_ONLY, false},
	{"modern", "ECDHE+AESGCM:ECDHE+CHACHA20" ECDHE_ONLY, true},
};

/* OpenSSL's macros take them as char *, though nothing writes there. */
static char signature_schemes[] = TLS_SCHEME_LIST;
static char client_schemes[] = TLS_SCHEME_LIST ":ed25519";

/* ---- which certificate ---- */

struct naming {
	struct tls_server *server;
	struct tls_shown *shown;
};

/* The first to have a name keeps it. */
static bool add_name(struct slice name, void *arg)
{
	const struct naming *n = arg;

	return map_find(n->server->by_name, name) != NULL || map_put(n->server->by_name, name, n->shown);
}

/* All configured names before those that only stand in certificates. */
static bool add_names(struct tls_server *s, const struct tls_server_config *config)
{
	bool ok = true;

	for (size_t i = 0; ok && i < s->shown_count; i++)
		ok = config->hosts[i].name == NULL || add_name(slice_of(config->hosts[i].name), &(struct naming){s, &s->shown[i]});
	for (size_t i = 0; ok && i < s->shown_count; i++) {
		struct naming n = {s, &s->shown[i]};

		ok = tls_certificate_each_name(n.shown->certificate->leaf, add_name, &n) &&
		     (n.shown->other == NULL || tls_certificate_each_name(n.shown->other->leaf, add_name, &n));
	}
	return ok;
}

static bool is_ec(const struct tls_certificate *c)
{
	return EVP_PKEY_is_a(c->key, "EC") == 1;
}

/* OpenSSL keeps one of a kind for a connection: a second of that kind would take the place of the first. */
static bool hold_host(struct tls_server *s, const struct tls_host *host, char *why)
{
	if (host->other != NULL && is_ec(host->certificate) == is_ec(host->other)) {
		snprintf(why, TLS_WHY_BYTES, "both certificates of a host have %s keys; one must have an RSA key, the other an ECDSA key",
			 is_ec(host->other) ? "ECDSA" : "RSA");
		return false;
	}
	s->shown[s->shown_count++] = (struct tls_shown){
		tls_certificate_hold(host->certificate), host->other == NULL ? NULL : tls_certificate_hold(host->other)};
	return true;
}

static bool take_certificates(struct tls_server *s, const struct tls_server_config *config, char *why)
{
	snprintf(why, TLS_WHY_BYTES, config->host_count == 0 ? "there is no certificate" : "out of memory");
	s->by_name = map_new(NAMES_MAX);
	s->shown = mem_new(config->host_count, sizeof(*s->shown));
	if (config->host_count == 0 || s->by_name == NULL || s->shown == NULL)
		return false;
	for (size_t i = 0; i < config->host_count; i++)
		if (!hold_host(s, &config->hosts[i], why))
			return false;
	if (add_names(s, config))
		return true;
	snprintf(why, TLS_WHY_BYTES, "the certificates of a listener have more than %u names", NAMES_MAX);
	return false;
}

/* In lower case, without the dot at the end; false: no host name (RFC 6066 §3). */
static bool clean_name(const char *asked, char out[256], struct slice *name_out)
{
	struct slice name = slice_of(asked);

	if (name.len > 1 && name.at[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || !slice_copy(name, out, 256))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (!ascii_is_alnum(out[i]) && strchr("-._", out[i]) == NULL)
			return false;
		out[i] = ascii_lower(out[i]);
	}
	*name_out = slice_make(out, name.len);
	return true;
}

static const struct tls_shown *find_shown(const struct tls_server *s, const char *asked)
{
	const struct tls_shown *found;
	char space[256], pattern[256];
	struct slice name;
	size_t dot;

	if (!clean_name(asked, space, &name))
		return NULL;
	found = map_find(s->by_name, name);
	dot = slice_index(name, '.');
	if (found != NULL || dot == SLICE_NONE || dot == 0)
		return found;
	snprintf(pattern, sizeof(pattern), "*%s", space + dot);
	return map_find(s->by_name, slice_of(pattern));
}

static bool use_one(SSL *ssl, const struct tls_certificate *c)
{
	return c == NULL || SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1;
}

static bool use(SSL *ssl, const struct tls_shown *shown)
{
	SSL_certs_clear(ssl);
	return use_one(ssl, shown->certificate) && use_one(ssl, shown->other);
}

/* Called once for each ClientHello, also where it asks for no name. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *s = arg;
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls_shown *found = asked == NULL ? NULL : find_shown(s, asked);

	if (asked != NULL && found == NULL && s->only_known_hosts) {
		*alert = SSL_AD_UNRECOGNIZED_NAME;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	if (found != NULL && found != &s->shown[0] && !use(ssl, found)) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	return found != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static bool use_one_by_default(SSL_CTX *ctx, const struct tls_certificate *c)
{
	return c == NULL || SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) == 1;
}

static bool use_default(struct tls_server *s, char *why)
{
	if (!use_one_by_default(s->ctx, s->shown[0].certificate) || !use_one_by_default(s->ctx, s->shown[0].other)) {
		tls_explain(why, TLS_WHY_BYTES, "the server's certificate cannot be used");
		return false;
	}
	SSL_CTX_set_tlsext_servername_callback(s->ctx, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(s->ctx, s);
	return true;
}

/* ---- what is spoken ---- */

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

static bool set_tickets(struct tls_server *s, const struct tls_server_config *config)
{
	/* A resumed session would bring a client certificate back that may have ended meanwhile. */
	s->has_tickets = config->tickets && config->client_certificate == TLS_CLIENT_OFF;
	if (s->has_tickets)
		return tls_tickets_start(s->ctx, &s->tickets);
	SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(s->ctx, 0);
	return true;
}

static bool has_tls12_cipher(SSL_CTX *ctx)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);

	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++)
		if (SSL_CIPHER_get_kx_nid(sk_SSL_CIPHER_value(all, i)) == NID_kx_ecdhe)
			return true;
	return false;
}

static SSL_CTX *new_context(const struct tls_server_config *config, char *why)
{
	const char *said = config->ciphers == NULL ? policies[0].name : config->ciphers;
	bool only_tls13 = config->only_tls13;
	char list[2048];
	SSL_CTX *ctx;

	snprintf(list, sizeof(list), "%.1900s" ECDHE_ONLY, said);
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (strcmp(policies[i].name, said) == 0) {
			snprintf(list, sizeof(list), "%s", policies[i].list);
			only_tls13 = only_tls13 || policies[i].only_tls13;
		}
	ctx = tls_context_new(TLS_server_method(), list);
	if (ctx != NULL && only_tls13 && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	if (ctx != NULL && (only_tls13 || has_tls12_cipher(ctx)))
		return ctx;
	snprintf(why, TLS_WHY_BYTES, "of the ciphers \"%.100s\" none with ECDHE is known here", said);
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

/* ---- client certificates ---- */

/* Where one is only asked for, none, or one nobody vouches for, is a fact and no failure. */
static int note_only(int good, X509_STORE_CTX *store)
{
	(void)good;
	(void)store;
	return 1;
}

static void tell_ca_names(SSL_CTX *ctx)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ctx));
	int count = sk_X509_OBJECT_num(all);

	for (int i = 0; count <= CA_NAMES_MAX && i < count; i++) {
		X509 *x = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));

		if (x != NULL)
			(void)SSL_CTX_add_client_CA(ctx, x);
	}
}

static bool set_client_certificates(SSL_CTX *ctx, const struct tls_server_config *config, char *why)
{
	bool require = config->client_certificate == TLS_CLIENT_REQUIRE;

	if (config->client_certificate == TLS_CLIENT_OFF)
		return true;
	if (config->client_trust_pem.len > TLS_TRUST_MAX ||
	    (tls_add_trusted(ctx, config->client_trust_pem) == 0 && (require || config->client_trust_pem.len > 0))) {
		snprintf(why, TLS_WHY_BYTES, "client-ca: there is no trusted certificate in PEM form, or more than %u bytes",
			 TLS_TRUST_MAX);
		return false;
	}
	tell_ca_names(ctx);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), require ? NULL : note_only);
	return true;
}

/* ---- making ---- */

static void on_context_free(void *parent, void *at, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
	struct tls_server *s = at;

	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->shown_count; i++) {
		tls_certificate_free(&s->shown[i].certificate);
		tls_certificate_free(&s->shown[i].other);
	}
	free(s->shown);
	map_free(&s->by_name);
	mem_wipe(&s->tickets, sizeof(s->tickets));
	free(s);
}

/* What a context's callbacks use goes with the context, which connections may hold longer than we do. */
static bool give_to_context(struct tls_server *s)
{
	static int index = -1;

	if (index == -1)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_free);
	return index != -1 && SSL_CTX_set_app_data(s->ctx, s) == 1 && SSL_CTX_set_ex_data(s->ctx, index, s) == 1;
}

static bool fill(struct tls_server *s, const struct tls_server_config *config, char *why)
{
	if (SSL_CTX_set1_sigalgs_list(s->ctx, signature_schemes) != 1 ||
	    SSL_CTX_set1_client_sigalgs_list(s->ctx, client_schemes) != 1 ||
	    !set_session_context(s->ctx, config->listener) || !set_tickets(s, config)) {
		tls_explain(why, TLS_WHY_BYTES, "TLS cannot be set up");
		return false;
	}
	s->only_known_hosts = config->only_known_hosts;
	SSL_CTX_set_alpn_select_cb(s->ctx, on_alpn, NULL);
	return set_client_certificates(s->ctx, config, why) && take_certificates(s, config, why) && use_default(s, why);
}

struct tls_server *tls_server_new(const struct tls_server_config *config, char why[TLS_WHY_BYTES])
{
	struct tls_server *s = mem_new(1, sizeof(*s));

	ERR_clear_error();
	snprintf(why, TLS_WHY_BYTES, "out of memory");
	if (s == NULL)
		return NULL;
	s->ctx = new_context(config, why);
	if (s->ctx == NULL || !give_to_context(s)) {
		SSL_CTX_free(s->ctx);
		free(s);
		return NULL;
	}
	if (!fill(s, config, why))
		tls_server_free(&s);
	else
		why[0] = '\0';
	return s;
}

void tls_server_free(struct tls_server **sp)
{
	struct tls_server *s = *sp;

	*sp = NULL;
	if (s != NULL)
		SSL_CTX_free(s->ctx);
}
