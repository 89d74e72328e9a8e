#include "tls/internal.h"
#include "tls/scheme.h"

#include <openssl/err.h>
#include <openssl/pem.h>

/* What contexts of servers and clients have in common. */
#define PEER_CHAIN_MAX (64 << 10)
#define PEER_CHAIN_DEPTH 8
#define TRUSTED_MAX 2000u

/* OpenSSL's macro takes it as char *, though nothing writes there. */
static char groups[] = TLS_GROUP_LIST;

static bool is_end_of_pem(void)
{
	unsigned long last = ERR_peek_last_error();

	return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

X509 *tls_next_certificate(BIO *pem, bool *end_out)
{
	X509 *x = X509_new_ex(tls_library(), TLS_PROPERTIES);

	*end_out = x == NULL;
	if (x == NULL || PEM_read_bio_X509(pem, &x, NULL, NULL) != NULL)
		return x;
	*end_out = is_end_of_pem();
	X509_free(x);
	return NULL;
}

SSL_CTX *tls_context_new(const SSL_METHOD *method, const char *ciphers)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(tls_library(), TLS_PROPERTIES, method);

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_recv_max_early_data(ctx, 0);
	SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_MAX);
	SSL_CTX_set_verify_depth(ctx, PEER_CHAIN_DEPTH);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 || SSL_CTX_set_cipher_list(ctx, ciphers) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, groups) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

size_t tls_add_trusted(SSL_CTX *ctx, struct slice pem_text)
{
	BIO *pem = BIO_new_mem_buf(pem_text.at, (int)pem_text.len);
	size_t count = 0;
	bool end = pem == NULL;

	for (unsigned i = 0; !end && i < TRUSTED_MAX; i++) {
		X509 *x = tls_next_certificate(pem, &end);

		if (x != NULL && X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1)
			count++;
		X509_free(x);
		ERR_clear_error();
	}
	BIO_free(pem);
	return count;
}
