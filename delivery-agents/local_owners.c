#include "local_owners.h"

#include "base/log.h"
#include "base/mem.h"
#include "maildir_path.h"

#include <stdio.h>

struct owners *owners_new(void)
{
	struct owners *o = mem_new(1, sizeof(*o));

	if (o == NULL)
		log_fatal("owners", 0);
	return o;
}

/* "/var/mail/." -> "/var/mail"; "/." -> "/". */
static struct slice base_of(struct slice path)
{
	return path.len <= 2 ? slice_sub(path, 0, 1) : slice_sub(path, 0, path.len - 2);
}

static bool is_base_path(struct slice path)
{
	return path.len >= 2 && path.at[0] == '/' && slice_eq(slice_from(path, path.len - 2), slice_of("/."));
}

static bool set_place(struct owner *o, struct slice path)
{
	if (o->is_home) {
		o->home_part = slice_dup(path);
		return o->home_part != NULL && maildir_is_safe(path);
	}
	o->path = slice_dup(path);
	o->base = slice_dup(base_of(path));
	return o->path != NULL && o->base != NULL && is_base_path(path);
}

void owners_add(struct owners *all, const struct msg_GENERATION_MAILDIR *m)
{
	struct owner *o = mem_new(1, sizeof(*o));

	if (o == NULL)
		log_fatal("owner", 0);
	o->is_home = m->is_home != 0;
	o->delivered_to = m->delivered_to != 0;
	o->base_fd = -1;
	o->is_whole = slice_copy(m->transport, o->transport, sizeof(o->transport)) && set_place(o, m->path) && m->uid <= INT32_MAX &&
		      m->gid <= INT32_MAX;
	if (o->is_whole) {
		o->uid = (uid_t)m->uid;
		o->gid = (gid_t)m->gid;
	}
	o->next = all->first;
	all->first = o;
}

const struct owner *owners_find(const struct owners *all, struct slice transport)
{
	for (const struct owner *o = all == NULL ? NULL : all->first; o != NULL; o = o->next)
		if (slice_eq(slice_of(o->transport), transport))
			return o;
	return NULL;
}

static const char *mistake_of(const struct owner *o, uid_t uid_floor)
{
	if (!o->is_whole)
		return o->is_home ? "a path beneath ~ is plain: no braces, no . or .. in it" : "its path or its user is none";
	if (o->is_home || uid_floor == 0)
		return NULL;
	if (o->uid == 0 || o->gid == 0)
		return "its `user` is root or of root's group: mail is never delivered as root";
	if (o->uid < uid_floor)
		return "its `user` has a lower uid than this process may take on: restart to use it";
	return NULL;
}

bool owners_check(const struct owners *all, uid_t uid_floor, char *why, size_t why_size)
{
	for (const struct owner *o = all->first; o != NULL; o = o->next) {
		const char *mistake = mistake_of(o, uid_floor);

		if (mistake != NULL) {
			snprintf(why, why_size, "transport %s: %s", o->transport, mistake);
			return false;
		}
	}
	return true;
}

void owners_free(struct owners **op)
{
	struct owners *all = *op;

	*op = NULL;
	while (all != NULL && all->first != NULL) {
		struct owner *o = all->first;

		all->first = o->next;
		free(o->path);
		free(o->base);
		free(o->home_part);
		free(o);
	}
	free(all);
}
