#include "reader_child.h"

#include <errno.h>
#include <pwd.h>
#include <unistd.h>

/*
 * Whom local delivers as.  The agent keeps CAP_SETUID, and so looks up nobody and compiles nothing: names become numbers here, in a
 * process that could do nothing with them.
 */
struct telling {
	const struct conf_transport *transport;
	reader_say_fn *say;
	bool as_root;
	uint64_t uid_min;
};

void reader_child_load_users(void)
{
	(void)getpwnam("postern-nobody-of-that-name");
}

static bool refuse(const struct telling *t, const char *what)
{
	const struct conf_transport *at = t->transport;
	struct buf text = buf_make(4096);

	buf_addf(&text, "%s:%u: transport %s: %s\n", at->pos.file, at->pos.line, at->name, what);
	(void)t->say(IPC_CONF_MISTAKE, &(struct msg_CONF_MISTAKE){buf_slice(&text)}, -1);
	buf_free(&text);
	return false;
}

/* getpwnam(3): these numbers, and 0, mean that there is no such user; all else is that it is not known now. */
static bool means_not_found(int err)
{
	return err == 0 || err == ENOENT || err == ESRCH;
}

static bool find_user(struct telling *t, struct msg_CONF_MAILDIR *m)
{
	const struct passwd *pw;

	if (t->transport->user == NULL)
		return refuse(t, "a Maildir outside of homes needs `user`: who owns it");
	errno = 0;
	pw = getpwnam(t->transport->user);
	if (pw == NULL && !means_not_found(errno))
		return refuse(t, "it cannot be found out now who its `user` is: the system does not say");
	if (pw == NULL)
		return refuse(t, "its `user` does not exist on this system");
	if (pw->pw_uid == 0 || pw->pw_gid == 0)
		return refuse(t, "its `user` is root or of root's group: mail is never delivered as root");
	m->uid = pw->pw_uid;
	m->gid = pw->pw_gid;
	if (pw->pw_uid < t->uid_min)
		t->uid_min = pw->pw_uid;
	return true;
}

static bool set_owner(struct telling *t, struct msg_CONF_MAILDIR *m, char path[CONF_BASE_MAX])
{
	m->is_home = conf_transport_in_home(t->transport, &m->path);
	if (m->is_home)
		return true;
	if (!conf_transport_base(t->transport, path))
		return refuse(t, "its path is too long");
	m->path = slice_of(path);
	if (t->as_root)
		return find_user(t, m);
	m->uid = geteuid();
	m->gid = getegid();
	return true;
}

static bool tell(struct telling *t)
{
	struct msg_CONF_MAILDIR m = {.transport = slice_of(t->transport->name), .delivered_to = t->transport->delivered_to};
	char path[CONF_BASE_MAX];

	return set_owner(t, &m, path) && (t->say(IPC_CONF_MAILDIR, &m, -1) || refuse(t, "it is too large to be handed over"));
}

bool reader_child_maildirs(const struct conf *c, bool as_root, reader_say_fn *say)
{
	struct telling t = {NULL, say, as_root, c->set.system_uid_min};
	struct msg_CONF_CAGE_FACT lowest = {ROLE_LOCAL, slice_of(CONF_CAGE_UID_MIN), 0, slice_empty()};
	bool good = true;

	for (size_t i = 0; i < c->transport_count; i++) {
		t.transport = &c->transports[i];
		if (t.transport->kind == TRANSPORT_MAILDIR)
			good = tell(&t) && good;
	}
	lowest.number = t.uid_min;
	return good && say(IPC_CONF_CAGE_FACT, &lowest, -1);
}
