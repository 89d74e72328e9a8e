#include "authd_children.h"

#include "base/mem.h"
#include "ipc/link.h"
#include "os/user.h"
#include "users/users.h"

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

static struct msg_USER_FOUND find_user(struct slice name)
{
	static char space[OS_USER_BYTES];
	struct msg_USER_FOUND answer = {OC_UNAVAILABLE, 0, 0, {"", 0}};
	char text[NAME_MAX_BYTES + 1];
	struct passwd pw;

	if (!slice_copy(name, text, sizeof(text)))
		return answer;
	answer.outcome = os_user_find(text, &pw, space);
	if (answer.outcome != OC_DONE)
		return answer;
	if (pw.pw_dir == NULL || pw.pw_dir[0] != '/')
		answer.outcome = OC_NOT_FOUND;
	else
		answer = (struct msg_USER_FOUND){OC_DONE, pw.pw_uid, pw.pw_gid, slice_of(pw.pw_dir)};
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
