#ifndef POSTERN_AUTHD_KEYD_REQUEST_H
#define POSTERN_AUTHD_KEYD_REQUEST_H

#include "base/slice.h"

/*
 * What keyd signs, and nothing else (pure):
 *
 *   TLS 1.3 server CertificateVerify (RFC 8446 §4.4.3): 64 spaces, "TLS 1.3, server CertificateVerify", 0, a hash of 32 or 48
 *   TLS 1.2 ServerKeyExchange (RFC 8422 §5.4): client random, server random, named curve, its point
 *
 * Neither can be read as the other, nor as a client's CertificateVerify, a certificate, a mail signature or a bare digest.
 */
struct keyd_kind {
	bool is_ec;
	const char *group; /* of an EC key: "prime256v1", "secp384r1", "secp521r1" */
};

/* NULL: it may be signed.  Else why not, for the log. */
const char *keyd_request_refusal(const struct keyd_kind *kind, uint64_t scheme, struct slice tbs);

#endif
