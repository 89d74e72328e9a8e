#ifndef POSTERN_OWNER_FILTER_H
#define POSTERN_OWNER_FILTER_H

#include "body.h"
#include "ipc/message.h"
#include "mail/directive.h"

#include <sys/types.h>

/*
 * What a mailbox's owner wants done with a message: the forward file, and where there is none the filter file, read and run by a process that
 * is the owner, in its cage.  Blocking.
 *
 *	no file, or nothing in it --> PLAN_HERE, into the inbox
 *	one place of this mailbox --> PLAN_HERE, there
 *	anything else --> PLAN_EXPAND: a message of its own for all of it, made by the queue; and mails
 *	a broken list, a file that may not be read now --> PLAN_REFUSED, temporary: nothing is lost, and nobody gets half of it
 *	a broken filter, or one that failed --> the inbox; its owner is told, once a day for the same mistake
 *
 * Always: a file is plain, its owner's or root's, written by nobody else, and so is each folder on the way to it; no link is followed.
 */
enum plan_kind { PLAN_HERE, PLAN_EXPAND, PLAN_REFUSED };

#define PLAN_MAILS_MAX 8u
struct plan_mail {
	bool null_sender;
	struct slice recipients, text;
};

struct plan {
	enum plan_kind kind;
	enum directive_kind directive; /* HERE: INBOX, FOLDER or FILE, with this argument */
	struct buf argument; /* owned, as all below */
	bool hold; /* EXPAND */
	struct buf prepend, without, records; /* EXPAND: as in JOB_EXPAND; records "": nothing but mails */
	struct plan_mail mails[PLAN_MAILS_MAX];
	size_t mail_count;
	struct buf texts; /* of mails */
	enum outcome outcome; /* REFUSED */
	char text[MAILDIR_TEXT_BYTES];
};

struct owner_case {
	int folder_fd; /* the folder beneath which `folder` lies; borrowed */
	struct slice folder; /* the owner's, `~` */
	const char *home; /* folder_fd's path */
	int base_fd;
	struct slice place; /* the mailbox */
	uid_t uid;
	const struct rec_delivery *how;
	const struct maildir_message *message;
	struct slice sender, original, address, user, host;
};

void owner_filter_plan(const struct owner_case *c, struct plan *out);
void plan_free(struct plan *p);

#endif
