#ifndef POSTERN_LOCAL_OWNERS_H
#define POSTERN_LOCAL_OWNERS_H

#include "ipc/message.h"

#include <sys/types.h>

/*
 * How mail is delivered by each local transport of a generation, and as whom: as the master told it (GENERATION_DELIVERY), decoded.
 */
struct owner {
	struct owner *next;
	char transport[65];
	bool is_whole; /* all that was told fits */
	struct rec_delivery how; /* its texts lie in `record` */
	char *record; /* owned: as it was told, and goes to who delivers */
	size_t record_len;
	char *path; /* owned: "/var/mail/.", as GENERATION_PATH names it; NULL: of a home, or none */
	char *base; /* owned: "/var/mail"; NULL with path */
	int base_fd; /* borrowed from the generation; -1: not given */
};

struct owners {
	struct owner *first; /* owned */
};

struct owners *owners_new(void);
void owners_add(struct owners *o, struct slice record);
const struct owner *owners_find(const struct owners *o, struct slice transport); /* NULL, also of no owners: none */
/* Whether mail can be delivered as all of them; false with a sentence in `why`.  uid_floor: the filter's, nothing below can be become;
 * 0: no user is changed to.  programs: they can be run. */
bool owners_check(const struct owners *o, uid_t uid_floor, bool programs, char *why, size_t why_size);
void owners_free(struct owners **op);

#endif
