#ifndef POSTERN_AUTHD_PASSWORD_H
#define POSTERN_AUTHD_PASSWORD_H

#include "authd_backends.h"
#include "base/outcome.h"
#include "service/service.h"

#include <sys/queue.h>

/*
 * Who says whether a password is right.  One back-end answers for all logins of a configuration (the checker sees to that), so that
 * how long an answer takes does not tell which of several knew the name.
 *
 * A check is answered exactly once, by AUTHENTICATED, AUTH_FAILED, or anything else: not known now; never from inside
 * password_check.  It stands, and all it holds with it, until then; it cannot be taken back.
 */
struct authd;

struct password_check {
	TAILQ_ENTRY(password_check) peers; /* the back-end's, while the check waits there */
	struct generation *generation; /* borrowed: the session's */
	const char *login; /* in lower case */
	const char *client; /* address; "" for a local submitter */
	struct buf secret; /* owned by who asks; 1 to USERS_PASSWORD_MAX bytes, no NUL; a back-end that has passed it on frees it */
	void (*answer)(struct password_check *check, enum outcome outcome);
	void *own; /* the back-end's */
	char known_as[256]; /* of AUTHENTICATED: how the back-end calls the user; "": as `login` */
};

struct password_backend {
	const char *name;
	bool (*is_named)(const struct conf_auth *auth);
	void (*check)(struct authd *a, struct password_check *check);
};

/* False: no back-end is named; there will be no answer. */
bool password_check(struct authd *a, struct password_check *check);

/* ---- hashes in the users database and the flat file (authd_hash.c) ---- */
struct hashes;
extern const struct password_backend hash_backend;

/* Exits 75 without memory.  The descriptor is that of warm_start, and taken. */
struct hashes *hashes_new(struct authd *a, int verifier_fd, unsigned verifiers);
void hashes_status(const struct hashes *h, struct buf *out);

/* ---- PAM (authd_pam_ask.c) ---- */
struct crew;
extern const struct password_backend pam_backend;
struct crew *pam_crew(struct authd *a);

/* ---- a directory (authd_directory.c) ---- */
extern const struct password_backend directory_backend;
struct crew *directory_crew(struct authd *a);

#endif
