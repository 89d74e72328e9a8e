#include "gate_door.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/queue.h>
#include <unistd.h>

struct door {
	LIST_ENTRY(door) next;
	struct doors *doors;
	enum door_kind kind;
	char name[256];
	uint64_t generation;
	size_t listener;
	int fd; /* owned */
	struct watch *watch; /* owned; NULL while only kept */
};

struct doors {
	LIST_HEAD(, door) list;
	size_t count;
	struct loop *loop;
	struct door_config config;
	struct timer *rest;
	int reserve; /* a descriptor to give up when there is no other */
	bool closed_for_mail;
	bool held; /* callers for mail wait in the backlog */
};

static void on_rested(void *arg);

struct doors *doors_new(struct loop *loop, const struct door_config *config)
{
	struct doors *d = mem_new(1, sizeof(*d));

	if (d == NULL)
		log_fatal("listeners", ENOMEM);
	LIST_INIT(&d->list);
	d->loop = loop;
	d->config = *config;
	d->rest = timer_new(loop, on_rested, d);
	d->reserve = -1;
	return d;
}

static void door_close(struct door *door)
{
	LIST_REMOVE(door, next);
	door->doors->count--;
	watch_free(&door->watch);
	close(door->fd);
	free(door);
}

void doors_free(struct doors **dp)
{
	struct doors *d = *dp;

	if (d == NULL)
		return;
	*dp = NULL;
	while (!LIST_EMPTY(&d->list))
		door_close(LIST_FIRST(&d->list));
	timer_free(&d->rest);
	if (d->reserve >= 0)
		close(d->reserve);
	free(d);
}

/* ---- accepting ---- */

static void keep_reserve(struct doors *d, int any_fd)
{
	if (d->reserve == -1)
		d->reserve = fcntl(any_fd, F_DUPFD_CLOEXEC, 0);
}

static bool accepts_now(const struct door *door)
{
	const struct doors *d = door->doors;

	return !timer_is_set(d->rest) && (!d->held || door->kind == DOOR_CONTROL);
}

static void listen_again(struct doors *d)
{
	struct door *door;

	LIST_FOREACH(door, &d->list, next)
		if (door->watch != NULL)
			watch_want(door->watch, accepts_now(door) ? WATCH_READ : 0);
}

static void on_rested(void *arg)
{
	listen_again(arg);
}

static void rest(struct doors *d)
{
	timer_set(d->rest, DOOR_REST_MS);
	listen_again(d);
}

static bool find_uid(int fd, uid_t *out)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == -1 || len != sizeof(who))
		return false;
	*out = who.uid;
	return true;
}

static int take_caller(struct door *door, struct door_caller *caller)
{
	socklen_t len = sizeof(caller->from);
	int fd;

	*caller = (struct door_caller){.kind = door->kind, .listener = door->listener, .name = door->name};
	fd = accept4(door->fd, (struct sockaddr *)&caller->from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0 && door->kind != DOOR_TCP && !find_uid(fd, &caller->uid)) {
		close(fd);
		errno = ECONNABORTED;
		return -1;
	}
	return fd;
}

/* With the reserve given up, one more can be accepted and told. */
static void refuse_one(struct door *door)
{
	struct doors *d = door->doors;
	struct door_caller caller;
	int fd;

	if (d->reserve >= 0) {
		close(d->reserve);
		d->reserve = -1;
		fd = take_caller(door, &caller);
		if (fd >= 0) {
			d->config.on_refuse(&caller, fd, d->config.arg);
			close(fd);
		}
		keep_reserve(d, door->fd);
	}
	LOG(LEVEL_ERROR, "out-of-descriptors", KV_STR("listener", door->name));
}

/* False: no more from this door in this turn. */
static bool accept_failed(struct door *door, int err)
{
	if (err == EAGAIN)
		return false;
	if (err == EMFILE || err == ENFILE)
		refuse_one(door);
	else if (err != ENOBUFS && err != ENOMEM)
		return true; /* that client is gone already: EINTR, ECONNABORTED, errors of its network */
	rest(door->doors);
	return false;
}

static void on_callers(int listening_fd, unsigned what, void *arg)
{
	struct door *door = arg;
	struct doors *d = door->doors;
	struct door_caller caller;

	(void)listening_fd;
	(void)what;
	for (int i = 0; i < DOOR_TURN; i++) {
		int fd = take_caller(door, &caller);

		if (fd >= 0)
			d->config.on_accept(&caller, fd, d->config.arg);
		else if (!accept_failed(door, errno))
			break;
	}
	d->config.on_turn(d->config.arg);
}

/* ---- which doors there are ---- */

/* A name may have two sockets of one generation: "every address" is IPv4 and IPv6. */
static void close_elder(struct doors *d, enum door_kind kind, struct slice name, uint64_t generation)
{
	struct door *door = LIST_FIRST(&d->list);

	while (door != NULL) {
		struct door *next = LIST_NEXT(door, next);

		if (door->kind == kind && door->generation < generation && slice_eq(slice_of(door->name), name))
			door_close(door);
		door = next;
	}
}

static struct door *door_new(struct doors *d, enum door_kind kind, struct slice name, int fd)
{
	struct door *door = d->count < DOORS_MAX ? mem_new(1, sizeof(*door)) : NULL;

	if (door == NULL)
		return NULL;
	if (!slice_copy(name, door->name, sizeof(door->name))) {
		free(door);
		return NULL;
	}
	door->doors = d;
	door->kind = kind;
	door->fd = fd;
	LIST_INSERT_HEAD(&d->list, door, next);
	d->count++;
	return door;
}

static bool make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags != -1 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != -1;
}

bool doors_add(struct doors *d, uint64_t kind, struct slice name, uint64_t generation, int fd)
{
	struct door *door;

	if (fd < 0 || kind >= DOOR_KINDS || !make_nonblocking(fd))
		goto fail;
	close_elder(d, (enum door_kind)kind, name, generation);
	door = door_new(d, (enum door_kind)kind, name, fd);
	if (door == NULL)
		goto fail;
	door->generation = generation;
	keep_reserve(d, fd);
	return true;
fail:
	if (fd >= 0)
		close(fd);
	return false;
}

static bool find_listener(const struct conf *conf, const char *name, size_t *out)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (strcmp(conf->listeners[i].name, name) == 0) {
			*out = i;
			return true;
		}
	return false;
}

/* A control or submission socket has a successor when one of its kind came with a later generation that is in force. */
static bool has_successor(const struct doors *d, const struct door *door, uint64_t generation)
{
	const struct door *other;

	LIST_FOREACH(other, &d->list, next)
		if (other->kind == door->kind && other->generation > door->generation && other->generation <= generation)
			return true;
	return false;
}

static bool is_wanted(const struct doors *d, struct door *door, const struct conf *conf, uint64_t generation)
{
	if (d->closed_for_mail && door->kind != DOOR_CONTROL)
		return false;
	if (door->kind == DOOR_TCP)
		return find_listener(conf, door->name, &door->listener);
	return !has_successor(d, door, generation);
}

static void door_open(struct door *door)
{
	struct doors *d = door->doors;

	if (door->watch == NULL)
		door->watch = watch_new(d->loop, door->fd, on_callers, door);
	if (door->watch == NULL)
		log_fatal("listener", ENOMEM);
	watch_want(door->watch, accepts_now(door) ? WATCH_READ : 0);
}

void doors_follow(struct doors *d, const struct conf *conf, uint64_t generation)
{
	struct door *door = LIST_FIRST(&d->list);

	while (door != NULL) {
		struct door *next = LIST_NEXT(door, next);

		if (is_wanted(d, door, conf, generation))
			door_open(door);
		else if (door->generation <= generation)
			door_close(door);
		door = next;
	}
}

void doors_drop(struct doors *d, uint64_t generation)
{
	struct door *door = LIST_FIRST(&d->list);

	while (door != NULL) {
		struct door *next = LIST_NEXT(door, next);

		if (door->generation == generation && door->watch == NULL)
			door_close(door);
		door = next;
	}
}

void doors_hold_mail(struct doors *d, bool held)
{
	d->held = held;
	listen_again(d);
}

void doors_close_for_mail(struct doors *d)
{
	struct door *door = LIST_FIRST(&d->list);

	d->closed_for_mail = true;
	while (door != NULL) {
		struct door *next = LIST_NEXT(door, next);

		if (door->kind != DOOR_CONTROL)
			door_close(door);
		door = next;
	}
}

size_t doors_open_count(const struct doors *d)
{
	const struct door *door;
	size_t count = 0;

	LIST_FOREACH(door, &d->list, next)
		count += door->watch != NULL;
	return count;
}
