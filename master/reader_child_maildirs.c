#include "os/user.h"
#include "reader_child.h"

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
	enum outcome outcome; /* DONE so far; UNAVAILABLE: not known now; BAD_INPUT: a mistake */
};

/* A mistake stays one, whatever else is not known. */
static bool refuse(struct telling *t, enum outcome outcome, const char *what)
{
	const struct conf_transport *at = t->transport;
	struct buf text = buf_make(4096);

	buf_addf(&text, "%s:%u: transport %s: %s\n", at->pos.file, at->pos.line, at->name, what);
	(void)t->say(IPC_CONF_MISTAKE, &(struct msg_CONF_MISTAKE){buf_slice(&text)}, -1);
	buf_free(&text);
	if (t->outcome != OC_BAD_INPUT)
		t->outcome = outcome;
	return false;
}

static bool find_user(struct telling *t, struct msg_CONF_MAILDIR *m)
{
	static char space[OS_USER_BYTES];
	struct passwd pw;
	enum outcome found;

	if (t->transport->user == NULL)
		return refuse(t, OC_BAD_INPUT, "a Maildir outside of homes needs `user`: who owns it");
	found = os_user_find(t->transport->user, &pw, space);
	if (found == OC_NOT_FOUND)
		return refuse(t, OC_BAD_INPUT, "its `user` does not exist on this system");
	if (found != OC_DONE)
		return refuse(t, OC_UNAVAILABLE, "it cannot be found out now who its `user` is: the system does not say");
	if (pw.pw_uid == 0 || pw.pw_gid == 0)
		return refuse(t, OC_BAD_INPUT, "its `user` is root or of root's group: mail is never delivered as root");
	m->uid = pw.pw_uid;
	m->gid = pw.pw_gid;
	if (pw.pw_uid < t->uid_min)
		t->uid_min = pw.pw_uid;
	return true;
}

static bool set_owner(struct telling *t, struct msg_CONF_MAILDIR *m, char path[CONF_BASE_MAX])
{
	m->is_home = conf_transport_in_home(t->transport, &m->path);
	if (m->is_home)
		return true;
	if (!conf_transport_base(t->transport, path))
		return refuse(t, OC_BAD_INPUT, "its path is too long");
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

	return set_owner(t, &m, path) &&
	       (t->say(IPC_CONF_MAILDIR, &m, -1) || refuse(t, OC_BAD_INPUT, "it is too large to be handed over"));
}

enum outcome reader_child_maildirs(const struct conf *c, bool as_root, reader_say_fn *say)
{
	struct telling t = {NULL, say, as_root, c->set.system_uid_min, OC_DONE};
	struct msg_CONF_CAGE_FACT lowest = {ROLE_LOCAL, slice_of(CONF_CAGE_UID_MIN), 0, slice_empty()};

	for (size_t i = 0; i < c->transport_count; i++) {
		t.transport = &c->transports[i];
		if (t.transport->kind == TRANSPORT_MAILDIR)
			(void)tell(&t);
	}
	lowest.number = t.uid_min;
	if (t.outcome == OC_DONE && !say(IPC_CONF_CAGE_FACT, &lowest, -1))
		return OC_UNAVAILABLE;
	return t.outcome;
}
