#ifndef POSTERN_AUTHD_KEYD_KEY_H
#define POSTERN_AUTHD_KEYD_KEY_H

#include "keyd_request.h"

#include "base/buf.h"

/*
 * One private key: read into locked memory that no core dump holds, kept there, used only by keyd_key_sign.
 */
struct keyd_key;

#define KEYD_KEY_FILE_MAX 16384u /* bytes of a key in PEM */
#define KEYD_CHAIN_FILE_MAX (256u << 10)
#define KEYD_SIGNATURE_MAX 2048u
#define KEYD_WHY_BYTES 256

/* Once, before the cage: starts OpenSSL without its configuration file and sets the locked memory up.  Exits 75. */
void keyd_key_prepare(void);

/* Reads a PEM private key (RSA of 2048 bits or more, or EC P-256, P-384, P-521; not encrypted) from the beginning of `fd`,
 * which is borrowed.  NULL with a sentence in `why`. */
struct keyd_key *keyd_key_read(int fd, char why[KEYD_WHY_BYTES]);
void keyd_key_free(struct keyd_key **kp);

const struct keyd_kind *keyd_key_kind(const struct keyd_key *k);
const char *keyd_key_kind_name(const struct keyd_key *k); /* "RSA", "ECDSA" */

struct x509_st; /* OpenSSL's X509 */
/* The key is that certificate's. */
bool keyd_key_is_of(const struct keyd_key *k, struct x509_st *certificate);

/* Signs what keyd_request_refusal found nothing against.  False: it cannot be done. */
bool keyd_key_sign(struct keyd_key *k, uint64_t scheme, struct slice tbs, struct buf *signature_out);

#endif
