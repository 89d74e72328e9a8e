#ifndef POSTERN_LOCAL_OWNERS_H
#define POSTERN_LOCAL_OWNERS_H

#include "conf/conf.h"

#include <sys/types.h>

/*
 * Whom mail is delivered as, for each transport of a generation.  Names are looked up with NSS before the cage; in it (at a
 * reload) a new name is found in /etc/passwd only.
 */
struct owner {
	bool is_maildir;
	bool is_home; /* the recipient's own user; uid and gid are not set */
	uid_t uid;
	gid_t gid;
	char *base; /* owned; NULL with is_home */
	char *home_part; /* owned; "Maildir", with is_home */
	int base_fd; /* borrowed from the generation; -1 with is_home */
};

struct owners {
	size_t count; /* by conf_transport.index */
	struct owner list[];
};

struct owners_order {
	bool as_root;
	bool may_use_nss;
	uid_t uid_floor; /* the filter's: nothing below can be become; 0: not set yet */
};

/* NULL with a sentence in `why`: such mail could not be delivered. */
struct owners *owners_make(const struct conf *conf, const struct owners_order *order, char *why, size_t why_size);
void owners_free(struct owners **op);
/* The lowest uid that this configuration needs. */
uid_t owners_lowest(const struct owners *o, const struct conf *conf);

#endif
