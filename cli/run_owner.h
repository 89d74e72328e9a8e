#ifndef POSTERN_CLI_RUN_OWNER_H
#define POSTERN_CLI_RUN_OWNER_H

#include "command.h"
#include "conf/conf.h"
#include "listing.h"

/* Whose the mailboxes of a domain are, where a transport has `user by TABLE`: for the commands of domains. */

struct owner_change {
	const struct conf_transport *transport; /* borrowed; NULL: nothing was to be done */
	struct buf was; /* owned: what the table had; "": no entry */
	bool set, made_folder;
};
/* As `--user` says: checks that it is somebody whom mail may be delivered as, makes the domain's folder beneath the mailboxes, his and mode 0700, and
 * writes the table's entry.  Without --user: the folder, and where the transport has a user of its own beside the table.  0, or an exit code
 * (said), and nothing was changed.  owner_undo takes it back; free with owner_free. */
int owner_add(const struct cli *cli, const struct conf *conf, const char *domain, struct owner_change *out);
void owner_undo(const struct owner_change *change, const char *domain);
void owner_free(struct owner_change *change);

/* `user`, and `user_by`: which table or transport says so, for each transport that asks a table. */
void owner_show(const struct conf *conf, struct slice domain, struct listing *l);

#endif
