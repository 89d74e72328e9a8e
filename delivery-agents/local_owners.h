#ifndef POSTERN_LOCAL_OWNERS_H
#define POSTERN_LOCAL_OWNERS_H

#include "ipc/message.h"

#include <sys/types.h>

/*
 * Whom mail is delivered as, for each Maildir transport of a generation: as the master told it (GENERATION_MAILDIR), decoded.
 */
struct owner {
	struct owner *next;
	char transport[65];
	bool is_home; /* the recipient's own user; uid and gid are not set */
	bool delivered_to; /* the transport's `delivered-to` */
	bool is_whole; /* all that was told fits */
	uid_t uid;
	gid_t gid;
	char *path; /* owned: "/var/mail/.", as GENERATION_PATH names it; NULL with is_home */
	char *base; /* owned: "/var/mail"; NULL with is_home */
	char *home_part; /* owned: "Maildir", with is_home; else NULL */
	int base_fd; /* borrowed from the generation; -1: not given */
};

struct owners {
	struct owner *first; /* owned */
};

struct owners *owners_new(void);
void owners_add(struct owners *o, const struct msg_GENERATION_MAILDIR *m);
const struct owner *owners_find(const struct owners *o, struct slice transport); /* NULL, also of no owners: none */
/* Whether mail can be delivered as all of them; false with a sentence in `why`.  uid_floor: the filter's, nothing below can be become;
 * 0: no user is changed to. */
bool owners_check(const struct owners *o, uid_t uid_floor, char *why, size_t why_size);
void owners_free(struct owners **op);

#endif
