#include "mailbox_entry.h"

#include "mail/subaddress.h"

enum answer mailbox_entry_find(const struct conf *conf, const struct conf_table *table, struct slice address, const struct lookups *lookups,
			       struct buf *value_out)
{
	char space[MAIL_ADDRESS_MAX + 1];

	return lookups->alias(lookups->arg, table, address, subaddress_base(slice_of(conf->set.sub_address), address, space), value_out);
}
