#ifndef POSTERN_AUTHD_BACKENDS_H
#define POSTERN_AUTHD_BACKENDS_H

#include "base/buf.h"
#include "conf/conf.h"

/*
 * Where the hashes and credentials of one generation are.  Files are reached by the descriptors that were handed over; the flat
 * files of users and certificates are read again when they changed (looked at once a second at most), the database is asked each time, credentials are
 * read when they are needed and not kept.  Blocks on the disk, 50 ms at most on the database.
 */
struct backends;

typedef int backends_fd_fn(void *arg, const char *path);

/* False with a sentence in `why`: credentials that everybody can read, are malformed, or lack what a transport names.  NULL in
 * `*out` then. */
bool backends_new(const struct conf *conf, backends_fd_fn *fd, void *arg, struct backends **out, struct buf *why);
void backends_free(struct backends **bp);

/* DONE with the hash in `hash_out`; NOT_FOUND; anything else: not known now (logged once a minute). */
enum outcome backends_find_hash(struct backends *b, struct slice login, struct buf *hash_out);
/* The same for what a mechanism needs that never sees the password (sasl/sasl.h: sasl_verifier_name). */
enum outcome backends_find_verifier(struct backends *b, struct slice login, const char *kind, struct buf *value_out);
/* The login (borrowed until the next question) of the first that has one of what a certificate is known by, a space between.  DONE;
 * NOT_FOUND; anything else: not known now (logged). */
enum outcome backends_find_identity(struct backends *b, struct slice known_by, struct slice *login_out);
/* A secret that is the same as long as the database is: of it the verifiers of nobody are made. */
enum outcome backends_find_seed(struct backends *b, struct buf *seed_out);
/* DONE with both; anything else: not now. */
enum outcome backends_find_credential(struct backends *b, struct slice name, struct buf *user_out, struct buf *password_out);

#endif
