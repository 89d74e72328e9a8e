#include "local_owners.h"

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
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

static bool set_place(struct owner *o)
{
	struct slice path = o->how.path;

	if (o->how.kind == TRANSPORT_PIPE)
		return path.len == 0;
	if (o->how.is_home)
		return maildir_is_safe(path);
	o->path = slice_dup(path);
	o->base = slice_dup(base_of(path));
	return o->path != NULL && o->base != NULL && is_base_path(path);
}

static bool decode(struct owner *o)
{
	struct slice rest = slice_make(o->record, o->record_len);

	return rec_delivery_next(&rest, &o->how) && rest.len == 0 && slice_copy(o->how.transport, o->transport, sizeof(o->transport)) &&
	       set_place(o) && o->how.uid <= INT32_MAX && o->how.gid <= INT32_MAX && o->how.group <= INT32_MAX;
}

void owners_add(struct owners *all, struct slice record)
{
	struct owner *o = mem_new(1, sizeof(*o));

	if (o != NULL)
		o->record = mem_new(1, record.len + 1);
	if (o == NULL || o->record == NULL)
		log_fatal("owner", 0);
	memcpy(o->record, record.at, record.len);
	o->record_len = record.len;
	o->base_fd = -1;
	o->is_whole = decode(o);
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

static bool runs_programs(const struct owner *o)
{
	return o->how.kind == TRANSPORT_PIPE || o->how.programs != 0;
}

static const char *mistake_of(const struct owner *o, uid_t uid_floor, bool programs)
{
	if (!o->is_whole)
		return o->how.is_home ? "a path beneath ~ is plain: no braces, no . or .. in it" : "its path or its user is none";
	if (runs_programs(o) && !programs)
		return "it runs programs, and this process was begun without what runs them: restart to use it";
	if (o->how.is_system || uid_floor == 0 || (o->how.user_asked && o->how.uid == 0 && o->how.gid == 0))
		return NULL;
	if (o->how.uid == 0 || o->how.gid == 0)
		return "its `user` is root or of root's group: mail is never delivered as root";
	if (o->how.uid < uid_floor)
		return "its `user` has a lower uid than this process may take on: restart to use it";
	return NULL;
}

bool owners_check(const struct owners *all, uid_t uid_floor, bool programs, char *why, size_t why_size)
{
	for (const struct owner *o = all->first; o != NULL; o = o->next) {
		const char *mistake = mistake_of(o, uid_floor, programs);

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
		free(o->record);
		free(o);
	}
	free(all);
}
