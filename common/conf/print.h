#ifndef POSTERN_CONF_PRINT_H
#define POSTERN_CONF_PRINT_H

#include "conf/conf.h"

/* The canonical form, everything that was left to a default said: read again, it gives the same
 * configuration and prints the same. Files that were included are one text.  False: no memory, or more
 * than the buffer takes. */
bool conf_print(const struct conf *c, struct buf *out);

/* One table, as a statement. */
bool conf_print_table(const struct conf_table *t, struct buf *out);

/* The block of a directory, as it stands in `auth`. */
bool conf_print_ldap(const struct conf_ldap *l, struct buf *out);

#endif
