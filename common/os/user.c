#include "os/user.h"

enum outcome os_user_find(const char *name, struct passwd *out, char space[OS_USER_BYTES])
{
	struct passwd *found = NULL;
	int err = getpwnam_r(name, out, space, OS_USER_BYTES, &found);

	if (found != NULL)
		return OC_DONE;
	return err == 0 ? OC_NOT_FOUND : OC_UNAVAILABLE;
}

enum outcome os_group_find(const char *name, struct group *out, char space[OS_USER_BYTES])
{
	struct group *found = NULL;
	int err = getgrnam_r(name, out, space, OS_USER_BYTES, &found);

	if (found != NULL)
		return OC_DONE;
	return err == 0 ? OC_NOT_FOUND : OC_UNAVAILABLE;
}

void os_user_prepare(void)
{
	static char space[OS_USER_BYTES];
	struct passwd pw;
	struct group gr;

	(void)!os_user_find("postern-no-such-user", &pw, space);
	(void)!os_group_find("postern-no-such-group", &gr, space);
}
