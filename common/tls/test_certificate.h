#ifndef POSTERN_TLS_TEST_CERTIFICATE_H
#define POSTERN_TLS_TEST_CERTIFICATE_H

#include "tls/tls.h"

#include <openssl/evp.h>

/* Certificates and signatures for the tests of this folder and of keyd. */

/* A self-signed certificate for `name` (a DNS name, or several: "one.test,DNS:two.test") valid from..until, seconds from now,
 * appended to `pem`. */
void test_certificate(EVP_PKEY *key, const char *name, long from_s, long until_s, struct buf *pem);
/* The same with a common name that is not the first. */
void test_certificate_named(EVP_PKEY *key, const char *common, const char *names, long from_s, long until_s, struct buf *pem);
/* The key in PEM. */
void test_key_pem(EVP_PKEY *key, struct buf *pem);
/* Signs as keyd does; false: not possible with this key. */
bool test_sign(EVP_PKEY *key, uint16_t scheme, struct slice tbs, struct buf *out);
/* A listener with one certificate, whose key has the number 0.  NULL: it cannot be used. */
struct tls_server *test_server(struct slice chain, const char *listener, bool tickets);

#endif
