#include "tls/internal.h"

#include <openssl/err.h>
#include <openssl/x509.h>

/* RFC 9266.  Only of TLS 1.3: below it the secret is the channel's own only with an extension that not every client has. */
static size_t exporter(SSL *ssl, char out[TLS_EXPORTER_BYTES])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (SSL_version(ssl) < TLS1_3_VERSION ||
	    SSL_export_keying_material(ssl, (unsigned char *)out, TLS_EXPORTER_BYTES, label, sizeof(label) - 1, NULL, 0, 0) != 1)
		return 0;
	return TLS_EXPORTER_BYTES;
}

/* RFC 5929 §4.1: by the hash of the certificate's signature, but never by a weak one. */
static const EVP_MD *hash_of(X509 *certificate)
{
	int digest = NID_undef;

	if (X509_get_signature_info(certificate, &digest, NULL, NULL, NULL) != 1)
		return NULL;
	if (digest == NID_md5 || digest == NID_sha1 || digest == NID_md5_sha1)
		digest = NID_sha256;
	return digest == NID_undef ? NULL : EVP_get_digestbynid(digest);
}

/* Of two nobody knows any more, in a session that was resumed, which one the client was shown. */
static bool shows_one(SSL *ssl)
{
	return SSL_session_reused(ssl) == 0 ||
	       !(SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST) == 1 && SSL_set_current_cert(ssl, SSL_CERT_SET_NEXT) == 1);
}

static size_t end_point(SSL *ssl, char out[TLS_END_POINT_MAX])
{
	X509 *certificate = shows_one(ssl) ? SSL_get_certificate(ssl) : NULL;
	const EVP_MD *hash = certificate == NULL ? NULL : hash_of(certificate);
	unsigned len = TLS_END_POINT_MAX;

	if (hash == NULL || X509_digest(certificate, hash, (unsigned char *)out, &len) != 1)
		return 0;
	return len;
}

void tls_bindings(const struct tls_conn *c, struct tls_bindings *out)
{
	SSL *ssl = tls_ssl(c);

	*out = (struct tls_bindings){.exporter_len = 0};
	if (!tls_is_open(c))
		return;
	out->exporter_len = exporter(ssl, out->exporter);
	out->end_point_len = end_point(ssl, out->end_point);
	ERR_clear_error();
}
