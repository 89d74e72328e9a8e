#ifndef POSTERN_TLS_SCHEME_H
#define POSTERN_TLS_SCHEME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The signature schemes a server of ours uses (RFC 8446 §4.2.3): what the worker offers is what keyd signs. */
struct tls_scheme {
	uint16_t number;
	bool is_ec;
	bool is_pss;
	bool in_tls13;
	const char *digest; /* OpenSSL's name */
	size_t digest_bytes;
	const char *group; /* the only curve of an ecdsa scheme in TLS 1.3; in TLS 1.2 the curve is free; NULL for RSA */
};

extern const struct tls_scheme tls_schemes[];
extern const size_t tls_scheme_count;

const struct tls_scheme *tls_scheme_find(uint64_t number); /* NULL: not one of ours */

/* The same list as SSL_CTX_set1_sigalgs_list takes it, and the groups whose ServerKeyExchange keyd knows. */
#define TLS_SCHEME_LIST                                                                                \
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:"                                                  \
	"rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"                             \
	"RSA+SHA256:RSA+SHA384:RSA+SHA512"
#define TLS_GROUP_LIST "X25519:P-256:P-384:P-521:X448"

#endif
