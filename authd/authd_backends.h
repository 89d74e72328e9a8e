#ifndef POSTERN_AUTHD_BACKENDS_H
#define POSTERN_AUTHD_BACKENDS_H

#include "base/buf.h"
#include "conf/conf.h"

/*
 * Where the hashes and credentials of one generation are.  Files are reached by the descriptors that were handed over; the flat
 * file of users is read again when it changed (looked at once a second at most), the database is asked each time, credentials are
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
/* DONE with both; anything else: not now. */
enum outcome backends_find_credential(struct backends *b, struct slice name, struct buf *user_out, struct buf *password_out);

#endif
