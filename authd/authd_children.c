#include "authd_children.h"

#include "base/mem.h"
#include "ipc/link.h"
#include "users/users.h"

#include <errno.h>
#include <pwd.h>

/* Exactly one hash, whether there is such a user or not. */
void verifier_serve(int fd, const struct ipc_message *m)
{
	const struct msg_VERIFY_ASK *ask = &m->body.VERIFY_ASK;
	struct msg_VERIFIED answer = {OC_AUTH_FAILED, {"", 0}, {"", 0}};

	if (m->type != IPC_VERIFY_ASK)
		return;
	if (users_hash_matches(ask->secret, ask->hash))
		answer.outcome = OC_AUTHENTICATED;
	(void)link_tell_now(fd, IPC_VERIFIED, m->request, true, &answer, -1);
}

#define NAME_MAX_BYTES 255u
#define SPACE_BYTES (64u << 10)
#define NOBODY "postern-no-such-user"

static int look_up(const char *name, struct passwd *pw, struct passwd **found)
{
	static char space[SPACE_BYTES];

	return getpwnam_r(name, pw, space, sizeof(space), found);
}

void system_users_prepare(void)
{
	struct passwd pw, *found;

	(void)look_up(NOBODY, &pw, &found);
}

/* getpwnam(3): these numbers, and 0, mean that the name was not found; all else is that it is not known. */
static bool means_not_found(int err)
{
	return err == 0 || err == ENOENT || err == ESRCH;
}

static struct msg_USER_FOUND find_user(struct slice name)
{
	struct msg_USER_FOUND answer = {OC_UNAVAILABLE, 0, 0, {"", 0}};
	char text[NAME_MAX_BYTES + 1];
	struct passwd pw, *found = NULL;
	int err;

	if (!slice_copy(name, text, sizeof(text)))
		return answer;
	err = look_up(text, &pw, &found);
	if (found != NULL && found->pw_dir != NULL && found->pw_dir[0] == '/')
		answer = (struct msg_USER_FOUND){OC_DONE, found->pw_uid, found->pw_gid, slice_of(found->pw_dir)};
	else if (found != NULL || means_not_found(err))
		answer.outcome = OC_NOT_FOUND;
	return answer;
}

void system_users_serve(int fd, const struct ipc_message *m)
{
	struct msg_USER_FOUND answer;

	if (m->type != IPC_USER_ASK)
		return;
	answer = find_user(m->body.USER_ASK.name);
	(void)link_tell_now(fd, IPC_USER_FOUND, m->request, true, &answer, -1);
}
