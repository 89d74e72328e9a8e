#ifndef POSTERN_OS_USER_H
#define POSTERN_OS_USER_H

#include "base/outcome.h"
#include "base/slice.h"

#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <string.h>

#define OS_USER_NAME_MAX 64u
#define OS_USER_BYTES (64u << 10) /* for the texts of one user */

/*
 * Asks the system's name service (nsswitch.conf(5)) who `name` is.  Blocks, for as long as its modules do.
 *
 * DONE: `*out`, its texts in `space`.  NOT_FOUND: the service was there and said no.  UNAVAILABLE: anything else.  Of the numbers of
 * getpwnam_r(3) only 0 is a no: a module whose daemon does not run yet says ENOENT.
 */
enum outcome os_user_find(const char *name, struct passwd *out, char space[OS_USER_BYTES]) __attribute__((warn_unused_result));
/* The same of a group. */
enum outcome os_group_find(const char *name, struct group *out, char space[OS_USER_BYTES]) __attribute__((warn_unused_result));
/* A name that a user can have, as useradd(8) makes them: the service's modules are asked for nothing else. */
static inline bool os_user_is_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_is_alnum(name.at[i]) && (i == 0 ? name.at[i] != '_' : strchr("._-", name.at[i]) == NULL))
			return false;
	return name.len > 0 && name.len <= OS_USER_NAME_MAX;
}
/* What it loads is loaded: before a cage. */
void os_user_prepare(void);

#endif
