#ifndef POSTERN_USERS_USERS_H
#define POSTERN_USERS_USERS_H

#include "base/buf.h"
#include "base/outcome.h"

#include <sys/types.h>

/*
 * The users database: who there is, and who may log in.  Two SQLite files, because SQLite gives a reader a file or nothing:
 *
 *     users.db           users(address TEXT PRIMARY KEY COLLATE NOCASE, created INTEGER NOT NULL)     for policyd's tables
 *     users.db.secrets   secrets(address TEXT PRIMARY KEY COLLATE NOCASE, hash TEXT NOT NULL)         for authd alone
 *                        verifiers(address, kind, value): what mechanisms need that never see a password; the row of address "" and
 *                        kind "seed" is a secret of which authd invents what is not there
 *
 * Hashes that an older Postern kept in users.db are moved when it is opened to write: the second file is whole before the first one
 * forgets, so that a death in between leaves them in both, and the next opening goes on.  Until then a reader finds them in users.db.
 *
 * journal_mode is DELETE, so that a reader of another uid needs no write access.  The command `postern user` writes, authd reads.
 * All calls block on the disk; a lock held by another process is waited for at most 2 s (writing) or 50 ms (reading).
 *
 * Outcomes: DONE; NOT_FOUND: no such user; NOT_ALLOWED: there is one already; BAD_INPUT: address or password cannot be one;
 * BUSY: another process holds the lock; IO_ERROR: everything else.  users_why says the last failure for people.
 */
struct users;

#define USERS_ADDRESS_MAX 254
#define USERS_PASSWORD_MAX 511 /* what libcrypt takes */
#define USERS_HASH_MAX 384

#define USERS_SECRETS_SUFFIX ".secrets"

/* Opens it to write.  With `create` it is made where it is missing, mode 0640, of the folder's group, which policyd and authd are in.
 * The file of hashes is always made where it is missing, mode 0640, of `secrets_gid`: authd's own.  NULL with a sentence in `why`. */
struct users *users_open(const char *path, bool create, gid_t secrets_gid, struct buf *why);
/* Opens the hashes to read only, beneath a folder's descriptor (borrowed while it is open); `name` is that of the addresses. */
struct users *users_open_at(int folder_fd, struct slice name, struct buf *why);
/* Opened to read: the hashes still lie beside the addresses, where policyd can read them. */
bool users_is_old(const struct users *u);
/* How many hashes this opening has moved. */
size_t users_moved(const struct users *u);
/* Opens the addresses alone, to read only: for users_list.  NULL with a sentence in `why`. */
struct users *users_open_list(const char *path, struct buf *why);
void users_free(struct users **up);
const char *users_why(const struct users *u);

/* Kept beside the hash of the same password, and gone with it. */
struct users_verifier {
	const char *kind; /* "scram-sha-256" */
	struct slice value;
};
#define USERS_VERIFIER_MAX 512

/* `password` is hashed here (users_hash); `also` are `count` verifiers of the same password, in place of all there were. */
enum outcome users_add(struct users *u, struct slice address, struct slice password, const struct users_verifier *also, size_t count)
	__attribute__((warn_unused_result));
enum outcome users_set_password(struct users *u, struct slice address, struct slice password, const struct users_verifier *also,
				size_t count) __attribute__((warn_unused_result));
enum outcome users_remove(struct users *u, struct slice address) __attribute__((warn_unused_result));
/* DONE with the hash in `hash_out` (a secret buffer); NOT_FOUND; anything else: not known now. */
enum outcome users_find(struct users *u, struct slice address, struct buf *hash_out) __attribute__((warn_unused_result));

/* The same for a verifier; NOT_FOUND also where the database is older than verifiers. */
enum outcome users_find_verifier(struct users *u, struct slice address, const char *kind, struct buf *value_out)
	__attribute__((warn_unused_result));
#define USERS_SEED "seed" /* of address "" */

/* In the order of the addresses; stops when fn returns false. */
typedef bool users_list_fn(struct slice address, int64_t created_s, void *arg);
enum outcome users_list(struct users *u, users_list_fn *fn, void *arg) __attribute__((warn_unused_result));

/* "local@domain" of printable ASCII or UTF-8, without spaces or controls, in bounds. */
bool users_is_address(struct slice address);

/* ---- hashes (crypt(5)); blocking, some 20 ms ---- */

/* A yescrypt hash with a new salt.  False: empty, longer than USERS_PASSWORD_MAX, holds a NUL, or libcrypt failed. */
bool users_hash(struct slice password, struct buf *hash_out);
/* A hash that we would check a password against: of a kind that is allowed ($y$ $7$ $2a$ $2b$ $2y$ $6$ $5$ $gy$) and well
 * formed.  All else (empty, "!", "*", DES, MD5) fits no password. */
bool users_hash_is_usable(struct slice hash);
/* Always computes exactly one hash when the password is in bounds: for an unusable `hash` against a dummy, and false. */
bool users_hash_matches(struct slice password, struct slice hash);

#endif
