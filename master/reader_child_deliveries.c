#include "reader_child.h"

#include "os/user.h"

#include <unistd.h>

/*
 * Whom local delivers as.  The agent keeps CAP_SETUID, and so looks up nobody and compiles nothing: names become numbers here, in a
 * process that could do nothing with them.
 */
struct telling {
	const struct conf *conf;
	const struct conf_transport *transport;
	reader_say_fn *say;
	bool as_root;
	uint64_t uid_min;
	enum outcome outcome; /* DONE so far; UNAVAILABLE: not known now; BAD_INPUT: a mistake */
	char base[CONF_BASE_MAX], home[1100];
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

static bool find_user(struct telling *t, struct rec_delivery *d)
{
	static char space[OS_USER_BYTES];
	struct passwd pw;
	enum outcome found = os_user_find(t->transport->user, &pw, space);

	if (found == OC_NOT_FOUND)
		return refuse(t, OC_BAD_INPUT, "its `user` does not exist on this system");
	if (found != OC_DONE)
		return refuse(t, OC_UNAVAILABLE, "it cannot be found out now who its `user` is: the system does not say");
	if (pw.pw_uid == 0 || pw.pw_gid == 0)
		return refuse(t, OC_BAD_INPUT, "its `user` is root or of root's group: mail is never delivered as root");
	d->uid = pw.pw_uid;
	d->gid = pw.pw_gid;
	if (slice_copy(slice_of(pw.pw_dir), t->home, sizeof(t->home)))
		d->home = slice_of(t->home);
	if (pw.pw_uid < t->uid_min)
		t->uid_min = pw.pw_uid;
	return true;
}

static bool find_group(struct telling *t, struct rec_delivery *d)
{
	static char space[OS_USER_BYTES];
	struct group gr;
	enum outcome found = os_group_find(t->transport->group, &gr, space);

	if (found == OC_NOT_FOUND)
		return refuse(t, OC_BAD_INPUT, "its `group` does not exist on this system");
	if (found != OC_DONE)
		return refuse(t, OC_UNAVAILABLE, "it cannot be found out now what its `group` is: the system does not say");
	if (gr.gr_gid == 0)
		return refuse(t, OC_BAD_INPUT, "its `group` is root's: mail is never delivered as root");
	d->group = gr.gr_gid;
	return true;
}

/* Without root everything is the caller's. */
static bool set_user(struct telling *t, struct rec_delivery *d)
{
	d->is_system = conf_transport_is_system(t->transport);
	d->user_asked = t->transport->user_by != NULL;
	if (t->as_root && t->transport->user != NULL)
		return find_user(t, d);
	if (t->as_root && d->user_asked)
		return true; /* nobody of its own: who it is stands in the table alone */
	d->uid = geteuid();
	d->gid = getegid();
	return true;
}

/* "/var/mail/{domain}/{local}/Maildir/": "Maildir". */
static struct slice suffix_of(const char *place)
{
	struct slice all = slice_of(place);
	size_t brace = slice_rindex(all, '}'), slash;
	struct slice rest = brace == SLICE_NONE ? slice_empty() : slice_from(all, brace);

	slash = slice_index(rest, '/');
	rest = slash == SLICE_NONE ? slice_empty() : slice_from(rest, slash + 1);
	while (rest.len > 0 && rest.at[rest.len - 1] == '/')
		rest.len--;
	return rest;
}

static bool set_place(struct telling *t, struct rec_delivery *d)
{
	if (t->transport->kind == TRANSPORT_PIPE)
		return true;
	d->is_home = conf_transport_in_home(t->transport, &d->path);
	if (d->is_home)
		return true;
	if (!conf_transport_base(t->transport, t->base))
		return refuse(t, OC_BAD_INPUT, "its path is too long");
	d->path = slice_of(t->base);
	d->suffix = suffix_of(t->transport->maildir);
	if (t->as_root && conf_transport_is_system(t->transport) && !conf_transport_names_user(t->transport))
		return refuse(t, OC_BAD_INPUT, "a mailbox outside of homes needs `user`: who owns it");
	return true;
}

static struct slice owners_file(const char *path)
{
	return path == NULL ? slice_empty() : slice_from(slice_of(path), 2); /* "~/" */
}

static struct rec_delivery begin(const struct conf_transport *t, const struct conf *c)
{
	return (struct rec_delivery){
		.transport = slice_of(t->name),
		.kind = t->kind,
		.path = slice_empty(),
		.suffix = slice_empty(),
		.home = slice_empty(),
		.add = t->add | (t->delivered_to ? (unsigned)ADD_DELIVERED_TO : 0u),
		.quota = t->quota.bytes,
		.quota_messages = t->quota.messages,
		.quota_asked = t->quota_table != NULL,
		.junk_field = slice_of(t->junk_field),
		.junk_folder = slice_of(t->junk_folder),
		.forward = owners_file(t->forward),
		.filter = owners_file(t->filter),
		.programs = t->programs,
		.program = slice_make(t->program, t->program_bytes),
		.timeout_ms = t->timeout_ms,
		.separators = slice_of(c->set.sub_address),
	};
}

static bool say_it(struct telling *t, const struct rec_delivery *d)
{
	struct buf record = buf_make(12000);
	bool done = rec_delivery_add(&record, d) && t->say(IPC_CONF_DELIVERY, &(struct msg_CONF_DELIVERY){buf_slice(&record)}, -1);

	buf_free(&record);
	return done || refuse(t, OC_BAD_INPUT, "it is too large to be handed over");
}

static bool tell(struct telling *t)
{
	struct rec_delivery d = begin(t->transport, t->conf);

	return set_user(t, &d) && (t->transport->group == NULL || !t->as_root || find_group(t, &d)) && set_place(t, &d) && say_it(t, &d);
}

static bool runs_programs(const struct conf_transport *t)
{
	return t->kind == TRANSPORT_PIPE || t->programs;
}

enum outcome reader_child_deliveries(const struct conf *c, bool as_root, reader_say_fn *say)
{
	struct telling t = {.conf = c, .say = say, .as_root = as_root, .uid_min = c->set.system_uid_min, .outcome = OC_DONE};
	struct msg_CONF_CAGE_FACT lowest = {ROLE_LOCAL, slice_of(CONF_CAGE_UID_MIN), 0, slice_empty()};
	struct msg_CONF_CAGE_FACT programs = {ROLE_LOCAL, slice_of(CONF_CAGE_PROGRAMS), 0, slice_empty()};

	for (size_t i = 0; i < c->transport_count; i++) {
		t.transport = &c->transports[i];
		if (!conf_transport_is_local(t.transport))
			continue;
		(void)tell(&t);
		programs.number |= runs_programs(t.transport);
	}
	lowest.number = t.uid_min;
	if (t.outcome == OC_DONE && !(say(IPC_CONF_CAGE_FACT, &lowest, -1) && say(IPC_CONF_CAGE_FACT, &programs, -1)))
		return OC_UNAVAILABLE;
	return t.outcome;
}
