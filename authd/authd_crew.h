#ifndef POSTERN_AUTHD_CREW_H
#define POSTERN_AUTHD_CREW_H

#include "authd_password.h"
#include "ipc/link.h"

/*
 * Passwords that others look at: a bounded number is asked about at once, a bounded number waits, and each question gets one answer.
 *
 *   check --room--> waiting --somebody is free--> asked --VERIFIED, or silence--> answered
 *      '-- none ----> answered AUTH_UNAVAILABLE in the next turn
 *
 * Always: only AUTHENTICATED and AUTH_FAILED are taken for what they are; anything else is "not known now".  The password is
 * freed when it has been passed on.
 */
struct crew;

#define CREW_WAITING_MAX 64u

struct crew_spec {
	const char *name; /* for the log */
	unsigned at_once;
	/* Passes the question on; `answered` is called once with `check` (link_ask), never from inside this.  False: it cannot be asked. */
	bool (*ask)(struct authd *a, struct password_check *check, link_answer_fn *answered);
	bool names_user; /* VERIFIED.login says whose password it was; else it was the login's, whatever is said */
};

struct crew *crew_new(struct authd *a, const struct crew_spec *spec); /* exits 75 without memory; `spec` is borrowed for good */
void crew_check(struct crew *c, struct password_check *check);
/* Not now: answered so in the next turn. */
void crew_refuse(struct crew *c, struct password_check *check);
void crew_status(const struct crew *c, struct buf *out);

#endif
