#include "local_owners.h"

#include "base/mem.h"
#include "maildir_path.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

/* Every name that was ever asked for, so that a reload needs no NSS for those known before. */
struct known_user {
	struct known_user *next;
	uid_t uid;
	gid_t gid;
	char name[];
};

static struct known_user *known_users;

static const struct known_user *remember(const char *name, const struct passwd *pw)
{
	struct known_user *u = mem_new(1, sizeof(*u) + strlen(name) + 1);

	if (u == NULL)
		return NULL;
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	memcpy(u->name, name, strlen(name));
	u->next = known_users;
	known_users = u;
	return u;
}

static const struct known_user *find_in_passwd(const char *name)
{
	const struct known_user *found = NULL;
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *pw;

	while (file != NULL && found == NULL && (pw = fgetpwent(file)) != NULL)
		if (strcmp(pw->pw_name, name) == 0)
			found = remember(name, pw);
	if (file != NULL)
		fclose(file);
	return found;
}

static const struct known_user *find_user(const char *name, bool may_use_nss)
{
	const struct passwd *pw;

	for (const struct known_user *u = known_users; u != NULL; u = u->next)
		if (strcmp(u->name, name) == 0)
			return u;
	if (!may_use_nss)
		return find_in_passwd(name);
	pw = getpwnam(name);
	return pw == NULL ? NULL : remember(name, pw);
}

struct making {
	const struct owners_order *order;
	const struct conf_transport *transport;
	char *why;
	size_t why_size;
};

static bool refuse(const struct making *m, const char *what)
{
	const struct conf_transport *t = m->transport;

	snprintf(m->why, m->why_size, "%s:%u: transport %s: %s", t->pos.file, t->pos.line, t->name, what);
	return false;
}

static bool set_user(const struct making *m, struct owner *o)
{
	const struct known_user *user;

	if (!m->order->as_root) {
		o->uid = geteuid();
		o->gid = getegid();
		return true;
	}
	if (m->transport->user == NULL)
		return refuse(m, "a Maildir outside of homes needs `user`: who owns it");
	user = find_user(m->transport->user, m->order->may_use_nss);
	if (user == NULL)
		return refuse(m, "its `user` does not exist on this system");
	if (user->uid == 0 || user->gid == 0)
		return refuse(m, "its `user` is root or of root's group: mail is never delivered as root");
	if (user->uid < m->order->uid_floor)
		return refuse(m, "its `user` has a lower uid than this process may take on: restart to use it");
	o->uid = user->uid;
	o->gid = user->gid;
	return true;
}

static bool set_owner(const struct making *m, struct owner *o)
{
	struct slice template = slice_of(m->transport->maildir), part;

	o->is_maildir = true;
	o->is_home = maildir_is_home(template);
	if (o->is_home) {
		if (!maildir_in_home(template, &part))
			return refuse(m, "a path beneath ~ is plain: no braces, no . or .. in it");
		o->home_part = slice_dup(part);
		return o->home_part != NULL || refuse(m, "out of memory");
	}
	if (!maildir_base(template, &part))
		return refuse(m, "a Maildir's path begins with / or ~/");
	o->base = slice_dup(part);
	if (o->base == NULL)
		return refuse(m, "out of memory");
	return set_user(m, o);
}

struct owners *owners_make(const struct conf *conf, const struct owners_order *order, char *why, size_t why_size)
{
	struct owners *o = mem_new(1, sizeof(*o) + conf->transport_count * sizeof(o->list[0]));

	if (o == NULL) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	o->count = conf->transport_count;
	for (size_t i = 0; i < o->count; i++) {
		const struct making m = {order, &conf->transports[i], why, why_size};

		if (conf->transports[i].kind == TRANSPORT_MAILDIR && !set_owner(&m, &o->list[i])) {
			owners_free(&o);
			return NULL;
		}
	}
	return o;
}

void owners_free(struct owners **op)
{
	struct owners *o = *op;

	*op = NULL;
	for (size_t i = 0; o != NULL && i < o->count; i++) {
		free(o->list[i].base);
		free(o->list[i].home_part);
	}
	free(o);
}

uid_t owners_lowest(const struct owners *o, const struct conf *conf)
{
	uid_t lowest = (uid_t)conf->set.system_uid_min;

	for (size_t i = 0; i < o->count; i++)
		if (o->list[i].is_maildir && !o->list[i].is_home && o->list[i].uid < lowest)
			lowest = o->list[i].uid;
	return lowest;
}
