#ifndef POSTERN_CLI_RUN_QUOTA_H
#define POSTERN_CLI_RUN_QUOTA_H

#include "command.h"
#include "conf/conf.h"

/* Of user quota, for user add.  Both: 0, or an exit code (said). */

/* Says how much the mailbox of `address` may hold; `words` as on the command line.  What it was is added to `was_out`, for quota_undo. */
int quota_set(const struct cli *cli, const struct conf *conf, const char *address, const char *words, struct buf *was_out);
/* Makes the tables of quotas where there are none. */
int quota_make(const struct conf *conf);
int quota_undo(const struct cli *cli, const struct conf *conf, const char *address, struct slice was);

#endif
