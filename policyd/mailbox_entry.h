#ifndef POSTERN_POLICYD_MAILBOX_ENTRY_H
#define POSTERN_POLICYD_MAILBOX_ENTRY_H

#include "facts.h"

#define MAILBOX_ENTRY_MAX 200u /* bytes */

/*
 * What a table has for a mailbox, by its address and by that without its tag (`alias TABLE` has the keys).  YES: `value_out`, made by the
 * caller for MAILBOX_ENTRY_MAX bytes; a longer one has failed (buf_ok) and is never read in part, nor taken for an empty one.
 */
enum answer mailbox_entry_find(const struct conf *conf, const struct conf_table *table, struct slice address, const struct lookups *lookups,
			       struct buf *value_out);

#endif
