#include "plan.h"

#include "base/log.h"
#include "base/mem.h"
#include "listen.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLAN_CAGE_FACTS_MAX 8192u /* as CAGE carries */

struct plan *plan_new(uint64_t number)
{
	struct plan *p = mem_new(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->number = number;
	p->bundle_fd = -1;
	for (size_t role = 0; role < ROLE_COUNT; role++)
		p->cage_facts[role] = buf_make(PLAN_CAGE_FACTS_MAX);
	return p;
}

void plan_free(struct plan **pp)
{
	struct plan *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->path_count; i++) {
		os_close(&p->paths[i].fd);
		free(p->paths[i].path);
	}
	for (size_t i = 0; i < p->listener_count; i++) {
		os_close(&p->listeners[i].fds[0]);
		os_close(&p->listeners[i].fds[1]);
	}
	for (size_t i = 0; i < p->delivery_count; i++)
		free(p->deliveries[i].record);
	for (size_t role = 0; role < ROLE_COUNT; role++)
		buf_free(&p->cage_facts[role]);
	os_close(&p->bundle_fd);
	free(p->spool);
	free(p->runtime);
	free(p->user_prefix);
	free(p->host);
	free(p->require);
	free(p);
}

bool plan_add_path(struct plan *p, const struct msg_CONF_PATH *m)
{
	struct plan_path *at = &p->paths[p->path_count];

	if (p->path_count == PLAN_PATHS_MAX || m->kind > PATH_COPY || m->path.len == 0 || m->path.at[0] != '/')
		return false;
	*at = (struct plan_path){(uint32_t)m->roles, m->instance, (enum conf_path_kind)m->kind, slice_dup(m->path), -1, 0};
	if (at->path == NULL)
		return false;
	p->path_count++;
	return true;
}

bool plan_add_listener(struct plan *p, uint64_t index, uint64_t port, struct slice address, struct slice name)
{
	struct plan_listener *at = &p->listeners[p->listener_count];

	if (p->listener_count == PLAN_LISTENERS_MAX || port == 0 || port > UINT16_MAX)
		return false;
	*at = (struct plan_listener){.index = index, .port = (uint16_t)port, .fds = {-1, -1}};
	if (!slice_copy(address, at->address, sizeof(at->address)) || !slice_copy(name, at->name, sizeof(at->name)))
		return false;
	p->listener_count++;
	return true;
}

bool plan_add_delivery(struct plan *p, const struct msg_CONF_DELIVERY *m)
{
	struct plan_delivery *at = &p->deliveries[p->delivery_count];
	char *record = p->delivery_count == PLAN_DELIVERIES_MAX ? NULL : mem_new(1, m->delivery_records.len + 1);

	if (record == NULL)
		return false;
	memcpy(record, m->delivery_records.at, m->delivery_records.len);
	*at = (struct plan_delivery){record, m->delivery_records.len};
	p->delivery_count++;
	return true;
}

bool plan_add_cage_fact(struct plan *p, const struct msg_CONF_CAGE_FACT *m)
{
	return m->role < ROLE_COUNT &&
	       rec_cage_fact_add(&p->cage_facts[m->role], &(struct rec_cage_fact){m->name, m->number, m->text});
}

static bool set_text(char **at, struct slice value)
{
	*at = slice_dup(value);
	return *at != NULL;
}

#define SESSION_MOST_MS (86400u * 1000u) /* as settings.def */

bool plan_set(struct plan *p, const struct msg_CONF_SETTINGS *m)
{
	if (p->spool != NULL || m->session_timeout_ms > SESSION_MOST_MS || m->log_level > LEVEL_ERROR || m->smtpd_workers > UINT32_MAX || m->relay_workers > UINT32_MAX)
		return false;
	p->log_level = (enum log_level)m->log_level;
	p->smtpd_workers = m->smtpd_workers;
	p->smtpd_parents = m->smtpd_parents;
	p->relay_workers = m->relay_workers;
	p->lookups = m->lookups;
	p->watchdog_ms = m->watchdog_ms;
	p->session_timeout_ms = m->session_timeout_ms;
	return set_text(&p->spool, m->spool) && set_text(&p->runtime, m->runtime) && set_text(&p->user_prefix, m->user_prefix) &&
	       set_text(&p->host, m->host) && set_text(&p->require, m->require);
}

bool plan_is_whole(const struct plan *p)
{
	return p->bundle_fd >= 0 && p->spool != NULL && p->runtime != NULL && p->user_prefix != NULL && p->host != NULL &&
	       p->require != NULL && p->smtpd_workers > 0 && p->relay_workers > 0 && p->session_timeout_ms > 0;
}

void plan_in_force(const struct plan *p)
{
	log_set_level(p->log_level);
}

/* "/a/b" is in "/a"; "/b" in "/". */
static char *folder_of(const char *path)
{
	size_t slash = slice_rindex(slice_of(path), '/');

	return slice_dup(slice_make(path, slash == 0 ? 1 : slash));
}

/* A folder that only its role may list is still handed over: looking it up needs no right to read it. */
static int open_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd == -1 && errno == EACCES ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : fd;
}

/* O_NONBLOCK: a FIFO in the place of a file must not stop the master. */
static int open_file(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static void add_mark(uint64_t *mark, uint64_t number)
{
	*mark = (*mark ^ number) * 1099511628211u; /* FNV-1a, by numbers */
}

static void add_stat(uint64_t *mark, bool there, const struct stat *st)
{
	if (!there) {
		add_mark(mark, 1);
		return;
	}
	add_mark(mark, st->st_dev);
	add_mark(mark, st->st_ino);
	add_mark(mark, (uint64_t)st->st_size);
	add_mark(mark, (uint64_t)st->st_mtim.tv_sec);
	add_mark(mark, (uint64_t)st->st_mtim.tv_nsec);
	add_mark(mark, (uint64_t)st->st_ctim.tv_sec);
	add_mark(mark, (uint64_t)st->st_ctim.tv_nsec);
}

static int open_copy(const char *path, uint64_t *mark, uint64_t *all)
{
	int from = open_file(path), fd = -1, saved;
	struct stat st;
	bool there = from != -1 && fstat(from, &st) == 0;

	*mark = 0;
	if (from != -1) {
		add_stat(mark, there, &st);
		add_stat(all, there, &st);
		fd = os_memfd_copy("postern-file", from, PLAN_COPY_MAX);
	}
	saved = errno;
	os_close(&from);
	errno = saved;
	return fd;
}

uint64_t plan_files_mark(const struct plan *p)
{
	uint64_t mark = 0;
	struct stat st;

	for (size_t i = 0; i < p->path_count; i++)
		if (p->paths[i].kind == PATH_COPY)
			add_stat(&mark, stat(p->paths[i].path, &st) == 0, &st);
	return mark;
}

static bool open_path(struct plan *p, struct plan_path *at, struct buf *why)
{
	char *folder = at->kind == PATH_FOLDER_OF ? folder_of(at->path) : NULL;
	const char *name = folder != NULL ? folder : at->path;

	if (folder != NULL)
		at->fd = open_folder(folder);
	else
		at->fd = at->kind == PATH_COPY ? open_copy(name, &at->mark, &p->files_mark) : open_file(name);
	if (at->fd == -1)
		buf_addf(why, "cannot open %s, which the configuration names: %s\n", name, strerror(errno));
	free(folder);
	return at->fd >= 0;
}

bool plan_open_paths(struct plan *p, struct buf *why)
{
	bool all = true;

	p->files_mark = 0;
	for (size_t i = 0; i < p->path_count; i++)
		if (p->paths[i].fd == -1)
			all = open_path(p, &p->paths[i], why) && all;
	return all;
}

static const struct plan_listener *find_listener(const struct plan *p, const struct plan_listener *like)
{
	for (size_t i = 0; p != NULL && i < p->listener_count; i++)
		if (p->listeners[i].port == like->port && strcmp(p->listeners[i].address, like->address) == 0)
			return &p->listeners[i];
	return NULL;
}

static int share(int fd)
{
	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
}

static bool copy_settings(struct plan *p, const struct plan *old)
{
	const struct msg_CONF_SETTINGS same = {
		.spool = slice_of(old->spool),
		.runtime = slice_of(old->runtime),
		.user_prefix = slice_of(old->user_prefix),
		.host = slice_of(old->host),
		.require = slice_of(old->require),
		.log_level = old->log_level,
		.smtpd_workers = old->smtpd_workers,
		.smtpd_parents = old->smtpd_parents,
		.relay_workers = old->relay_workers,
		.lookups = old->lookups,
		.watchdog_ms = old->watchdog_ms,
		.session_timeout_ms = old->session_timeout_ms,
	};

	p->bundle_fd = share(old->bundle_fd);
	for (size_t role = 0; role < ROLE_COUNT; role++)
		if (!buf_add_slice(&p->cage_facts[role], buf_slice(&old->cage_facts[role])))
			return false;
	return p->bundle_fd >= 0 && plan_set(p, &same);
}

static bool copy_deliveries(struct plan *p, const struct plan *old)
{
	for (size_t i = 0; i < old->delivery_count; i++) {
		const struct msg_CONF_DELIVERY same = {slice_make(old->deliveries[i].record, old->deliveries[i].len)};

		if (!plan_add_delivery(p, &same))
			return false;
	}
	return true;
}

static bool copy_paths(struct plan *p, const struct plan *old)
{
	for (size_t i = 0; i < old->path_count; i++) {
		const struct plan_path *from = &old->paths[i];

		if (!plan_add_path(p, &(struct msg_CONF_PATH){from->roles, from->instance, from->kind, slice_of(from->path)}))
			return false;
		if (from->kind != PATH_COPY)
			p->paths[i].fd = share(from->fd);
	}
	return true;
}

static bool copy_listeners(struct plan *p, const struct plan *old)
{
	for (size_t i = 0; i < old->listener_count; i++) {
		const struct plan_listener *from = &old->listeners[i];

		if (!plan_add_listener(p, from->index, from->port, slice_of(from->address), slice_of(from->name)))
			return false;
	}
	return true;
}

struct plan *plan_again(const struct plan *old, uint64_t number)
{
	struct plan *p = plan_new(number);

	if (p != NULL && !(copy_settings(p, old) && copy_paths(p, old) && copy_listeners(p, old) && copy_deliveries(p, old)))
		plan_free(&p);
	return p;
}

static bool bind_one(struct plan_listener *at, const struct plan *old, struct buf *why)
{
	const struct plan_listener *same = find_listener(old, at);

	if (same != NULL) {
		at->fds[0] = share(same->fds[0]);
		at->fds[1] = share(same->fds[1]);
		return at->fds[0] >= 0;
	}
	if (at->address[0] == '\0')
		return listen_tcp_any(at->port, at->fds, why);
	at->fds[0] = listen_tcp(at->address, at->port, why);
	return at->fds[0] >= 0;
}

bool plan_bind(struct plan *p, const struct plan *old, struct buf *why)
{
	bool all = true;

	for (size_t i = 0; i < p->listener_count; i++)
		all = bind_one(&p->listeners[i], old, why) && all;
	return all;
}

static bool same_folder(const char *a, const char *b)
{
	size_t slash = slice_rindex(slice_of(a), '/');

	return slash == slice_rindex(slice_of(b), '/') && memcmp(a, b, slash) == 0;
}

static bool has_folder(const struct plan *p, const char *path, enum role role)
{
	for (size_t i = 0; i < p->path_count; i++)
		if (p->paths[i].kind == PATH_FOLDER_OF && (p->paths[i].roles >> role & 1) != 0 &&
		    same_folder(p->paths[i].path, path))
			return true;
	return false;
}

static bool has_new_folder(const struct plan *p, const struct plan *old, enum role role)
{
	for (size_t i = 0; i < p->path_count; i++)
		if (p->paths[i].kind == PATH_FOLDER_OF && (p->paths[i].roles >> role & 1) != 0 &&
		    !has_folder(old, p->paths[i].path, role))
			return true;
	return false;
}

bool plan_path_is_for(const struct plan_path *p, enum role role, uint64_t instance)
{
	return (p->roles >> role & 1) != 0 && (p->instance == CONF_EACH_INSTANCE || p->instance == instance);
}

static bool has_copy(const struct plan *p, const struct plan_path *like)
{
	for (size_t i = 0; i < p->path_count; i++)
		if (p->paths[i].kind == PATH_COPY && p->paths[i].mark == like->mark && strcmp(p->paths[i].path, like->path) == 0)
			return true;
	return false;
}

/* Files of which each process has what they held when it began. */
static bool has_new_copy(const struct plan *p, const struct plan *old, enum role role)
{
	for (size_t i = 0; i < p->path_count; i++)
		if (p->paths[i].kind == PATH_COPY && (p->paths[i].roles >> role & 1) != 0 && !has_copy(old, &p->paths[i]))
			return true;
	return false;
}

/* Their children were forked before the cage, and cannot be forked again. */
static bool is_bound_to_its_start(enum role role)
{
	return role == ROLE_AUTHD || role == ROLE_LOOKUP;
}

bool plan_needs_new_process(const struct plan *p, const struct plan *old, enum role role)
{
	bool same = slice_eq(buf_slice(&p->cage_facts[role]), buf_slice(&old->cage_facts[role]));

	return (is_bound_to_its_start(role) && (!same || has_new_copy(p, old, role))) || has_new_folder(p, old, role);
}
