#ifndef POSTERN_POLICYD_MAILBOX_USER_H
#define POSTERN_POLICYD_MAILBOX_USER_H

#include "facts.h"
#include "os/user.h"

/*
 * As which system user mail is delivered to a mailbox: what the table of its transport has for the address (`alias TABLE` has the keys), else
 * the transport's own `user`.  It is a name; who that is only authd says.  Pure.
 *
 * YES: `*out`; NO: neither says it; UNKNOWN: the table cannot be asked, or has what is no name of a user.  But for YES, `why` has a sentence.
 */
#define MAILBOX_USER_WHY_MAX 256u

struct mailbox_user {
	char name[OS_USER_NAME_MAX + 1];
	bool by_table; /* else the transport's own */
};
enum answer mailbox_user_find(const struct conf *conf, const struct conf_transport *transport, struct slice address, const struct lookups *lookups,
			      struct mailbox_user *out, char why[MAILBOX_USER_WHY_MAX]);

#endif
