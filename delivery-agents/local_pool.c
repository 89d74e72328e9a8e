#include "local.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "maildir_text.h"
#include "mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/*
 *	worker:  opening --OPENED done--> ready --WORKER_MESSAGES_MAX sent, or idle--> closed (its link; it then ends by itself)
 *	            '-- OPENED with an error, or dead --> gone: what it had or would have had is temporary
 *
 * A worker answers in the order it was told, so the first of `flying` is the one a verdict is about.
 */

static void worker_lost(struct worker *w, enum outcome outcome, const char *text);

static bool is_same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool is_same(const struct who *a, const struct who *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->group == b->group && a->owns_base == b->owns_base && a->programs == b->programs &&
	       is_same_text(a->base, b->base) && is_same_text(a->home, b->home);
}

static void pool_drop(struct pool *pool)
{
	if (pool->who.base_fd >= 0)
		close(pool->who.base_fd);
	free((char *)(uintptr_t)pool->who.base);
	free((char *)(uintptr_t)pool->who.home);
	free(pool);
}

struct pool *pool_open(struct local *l, const struct who *who)
{
	struct pool *pool;

	TAILQ_FOREACH(pool, &l->pools, peers)
		if (is_same(&pool->who, who))
			return pool;
	pool = mem_new(1, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	pool->local = l;
	pool->who = *who;
	pool->who.base = slice_dup(slice_of(who->base));
	pool->who.home = who->home == NULL ? NULL : slice_dup(slice_of(who->home));
	pool->who.base_fd = who->base_fd < 0 ? -1 : fcntl(who->base_fd, F_DUPFD_CLOEXEC, 0);
	if (pool->who.base == NULL || (who->home != NULL && pool->who.home == NULL)) {
		pool_drop(pool);
		return NULL;
	}
	TAILQ_INIT(&pool->waiting);
	TAILQ_INIT(&pool->workers);
	TAILQ_INSERT_TAIL(&l->pools, pool, peers);
	return pool;
}

static void pool_free(struct pool *pool)
{
	TAILQ_REMOVE(&pool->local->pools, pool, peers);
	pool_drop(pool);
}

void pool_take(struct pool *pool, struct delivery *d)
{
	d->waits_ms = clock_mono_ms();
	TAILQ_INSERT_TAIL(&pool->waiting, d, peers);
}

static void fail_list(struct delivery_list *list, enum outcome outcome, const char *text)
{
	while (!TAILQ_EMPTY(list)) {
		struct delivery *d = TAILQ_FIRST(list);

		TAILQ_REMOVE(list, d, peers);
		delivery_end(d, outcome, slice_of(text), slice_empty());
	}
}

/* ---- workers ---- */

static void count_worker(struct pool *pool, size_t more)
{
	pool->worker_count += more;
	pool->local->worker_count += more;
	if (pool->who.programs)
		pool->local->program_worker_count += more;
}

static void worker_free(struct worker *w)
{
	struct pool *pool = w->pool;

	link_free(&w->link);
	wanted_free(&w->wanted);
	TAILQ_REMOVE(&pool->workers, w, peers);
	count_worker(pool, (size_t)-1);
	free(w);
}

static void on_opened(struct worker *w, const struct msg_MAILBOX_OPENED *opened)
{
	char text[256];

	if (opened->outcome == OC_DONE) {
		w->ready = true;
		w->used_ms = clock_mono_ms();
		return;
	}
	if (!slice_copy(slice_sub(opened->text, 0, sizeof(text) - 1), text, sizeof(text)))
		text[0] = '\0';
	worker_lost(w, outcome_kind(opened->outcome) == KIND_TEMP ? opened->outcome : OC_MAILBOX_TEMP, text);
}

/* A worker's only permanent word is that the message loops, and of one that runs programs what the program said. */
static enum outcome admitted_verdict(const struct worker *w, enum outcome outcome)
{
	bool of_program = outcome == OC_PROGRAM_FAILED || outcome == OC_NO_MAILBOX;
	bool known = outcome_kind(outcome) != KIND_PERM || outcome == OC_MAIL_LOOP || outcome == OC_OWNER_REFUSED || (w->pool->who.programs && of_program);

	return known ? outcome : OC_MAILBOX_TEMP;
}

static void on_delivered(struct worker *w, const struct msg_MAILBOX_DELIVERED *b)
{
	struct delivery *d = TAILQ_FIRST(&w->flying);

	if (d == NULL) {
		link_break(w->link, "a verdict about nothing");
		return;
	}
	TAILQ_REMOVE(&w->flying, d, peers);
	w->in_flight--;
	w->used_ms = clock_mono_ms();
	delivery_end(d, admitted_verdict(w, b->outcome), b->text, b->path);
}

/* What its owner's file wants: no verdict yet, but nothing that this worker does any more. */
static void on_expand(struct worker *w, const struct msg_MAILBOX_EXPAND *b)
{
	struct delivery *d = TAILQ_FIRST(&w->flying);

	if (d == NULL) {
		link_break(w->link, "an expansion of nothing");
		return;
	}
	TAILQ_REMOVE(&w->flying, d, peers);
	if (!delivery_expand(d, &w->wanted, b)) {
		TAILQ_INSERT_HEAD(&w->flying, d, peers);
		link_break(w->link, "an expansion that is none");
		return;
	}
	w->in_flight--;
	w->used_ms = clock_mono_ms();
}

static bool is_spent(const struct worker *w)
{
	return w->sent >= WORKER_MESSAGES_MAX && w->in_flight == 0;
}

/* A place has become free: the others who have no worker at all come first. */
static void pump_hungry(struct local *l, const struct pool *except)
{
	struct pool *pool = TAILQ_FIRST(&l->pools), *next;

	for (; pool != NULL; pool = next) {
		next = TAILQ_NEXT(pool, peers);
		if (pool != except && pool->worker_count == 0 && !TAILQ_EMPTY(&pool->waiting))
			pool_pump(pool);
	}
}

static void on_worker_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct worker *w = arg;
	struct pool *pool = w->pool;
	struct local *l = pool->local;

	if (m->type == IPC_MAILBOX_OPENED && !w->ready) {
		bool opened = m->body.MAILBOX_OPENED.outcome == OC_DONE;

		on_opened(w, &m->body.MAILBOX_OPENED);
		if (opened)
			pool_pump(pool);
		return;
	}
	if (m->type == IPC_MAILBOX_MAIL && w->ready && w->in_flight > 0) {
		if (!wanted_add(&w->wanted, &m->body.MAILBOX_MAIL))
			link_break(link, "more mails than one message may make");
		return;
	}
	if ((m->type != IPC_MAILBOX_DELIVERED && m->type != IPC_MAILBOX_EXPAND) || !w->ready) {
		link_break(link, "a message that is not expected here");
		return;
	}
	if (m->type == IPC_MAILBOX_EXPAND)
		on_expand(w, &m->body.MAILBOX_EXPAND);
	else
		on_delivered(w, &m->body.MAILBOX_DELIVERED);
	if (is_spent(w)) {
		worker_free(w);
		pump_hungry(l, pool);
	}
	pool_pump(pool);
}

static void on_worker_broken(struct link *link, const char *broke_rules, void *arg)
{
	struct worker *w = arg;

	(void)link;
	if (broke_rules != NULL) {
		LOG(LEVEL_ERROR, "mailbox-worker-broke-rules", KV_NUM("pid", w->pid), KV_STR("why", broke_rules));
		worker_kill(w->pool, w->pid);
	}
	worker_lost(w, OC_MAILBOX_TEMP, "the mailbox worker ended unexpectedly");
}

/* What it had in flight may have been delivered: it is tried again, for nothing may be lost.  Without another worker that
 * works, what waits would meet the same end. */
static void worker_lost(struct worker *w, enum outcome outcome, const char *text)
{
	struct pool *pool = w->pool;
	struct local *l = pool->local;
	struct delivery_list lost;

	TAILQ_INIT(&lost);
	TAILQ_CONCAT(&lost, &w->flying, peers);
	worker_free(w);
	if (pool->worker_count == 0)
		TAILQ_CONCAT(&lost, &pool->waiting, peers);
	fail_list(&lost, outcome, text);
	pump_hungry(l, pool);
	pool_pump(pool);
}

static bool worker_start(struct pool *pool)
{
	struct worker *w = mem_new(1, sizeof(*w));
	const struct link_config config = {ROLE_LOCAL, ROLE_MAILBOX, 0, on_worker_message, on_worker_broken, w};

	if (w == NULL)
		return false;
	w->pool = pool;
	TAILQ_INIT(&w->flying);
	wanted_init(&w->wanted);
	w->used_ms = clock_mono_ms();
	w->link = worker_spawn(pool, &config, &w->pid);
	if (w->link == NULL) {
		free(w);
		return false;
	}
	TAILQ_INSERT_TAIL(&pool->workers, w, peers);
	count_worker(pool, 1);
	if (!timer_is_set(pool->local->tick))
		timer_set(pool->local->tick, TICK_MS);
	return true;
}

/* ---- what goes to whom ---- */

static bool send_delivery(struct worker *w, struct delivery *d)
{
	const struct job *job = d->job;
	const struct rec_delivery *how = &job->owner->how;
	struct buf lines = buf_make(28672);
	const struct delivery_lines parts = {
		.sender = slice_of(job->sender),
		.recipient = slice_of(d->recipient),
		.prepend = buf_slice(&job->prepend),
		.delivered_to = (how->add & ADD_DELIVERED_TO) != 0,
		.envelope_to = (how->add & ADD_ENVELOPE_TO) != 0,
		.original = d->original,
		.delivered_s = (how->add & ADD_DELIVERY_DATE) != 0 ? clock_wall_s() : 0,
	};
	struct msg_MAILBOX_DELIVER told = {
		.id = job->id,
		.flags = job->flags,
		.offset = job->offset,
		.length = job->length,
		.place = slice_of(job->place),
		.owner_folder = slice_of(job->owner_folder),
		.sender = slice_of(job->sender),
		.address = slice_of(d->recipient),
		.original = d->original,
		.user = how->is_system != 0 ? slice_of(job->nexthop) : slice_empty(),
		.directive = d->directive.kind,
		.argument = d->argument,
		.quota = job->quota.bytes,
		.quota_messages = job->quota.messages,
		.delivery_records = slice_make(job->owner->record, job->owner->record_len),
	};
	int fd = fcntl(job->fd, F_DUPFD_CLOEXEC, 0);
	bool sent = false;

	if (fd >= 0 && delivery_lines_add(&parts, &lines)) {
		told.prepend = buf_slice(&lines);
		sent = link_tell(w->link, IPC_MAILBOX_DELIVER, &told, fd);
	} else if (fd >= 0) {
		close(fd);
	}
	buf_free(&lines);
	return sent;
}

static void fly(struct worker *w, struct delivery *d)
{
	TAILQ_REMOVE(&w->pool->waiting, d, peers);
	if (d->job->orphan) {
		delivery_end(d, OC_UNAVAILABLE, slice_of("the queue manager ended"), slice_empty());
		return;
	}
	if (!send_delivery(w, d)) {
		delivery_end(d, OC_NO_MEMORY, slice_empty(), slice_empty());
		return;
	}
	if (w->in_flight++ == 0)
		w->used_ms = clock_mono_ms();
	w->sent++;
	TAILQ_INSERT_TAIL(&w->flying, d, peers);
}

/* A program takes its time: nobody waits behind one. */
static size_t most_in_flight(const struct pool *pool)
{
	return pool->who.programs ? 1 : MAILBOX_BATCH;
}

static size_t spread(const struct pool *pool)
{
	return pool->who.programs ? 1 : WORKER_SPREAD;
}

static bool may_take(const struct worker *w)
{
	return w->ready && w->sent < WORKER_MESSAGES_MAX && w->in_flight < most_in_flight(w->pool) && !link_is_broken(w->link);
}

static struct worker *least_busy(struct pool *pool)
{
	struct worker *w, *best = NULL;

	TAILQ_FOREACH(w, &pool->workers, peers)
		if (may_take(w) && (best == NULL || w->in_flight < best->in_flight))
			best = w;
	return best;
}

static bool is_opening_one(const struct pool *pool)
{
	const struct worker *w;

	TAILQ_FOREACH(w, &pool->workers, peers)
		if (!w->ready)
			return true;
	return false;
}

static bool has_room(const struct pool *pool)
{
	const struct local *l = pool->local;

	return l->worker_count < WORKERS_MAX && (!pool->who.programs || l->program_worker_count < PROGRAM_WORKERS_MAX);
}

/* An idle worker of another user makes room: where there are too many of programs, one of those. */
static void make_room(const struct pool *needy)
{
	bool any = !needy->who.programs || needy->local->program_worker_count < PROGRAM_WORKERS_MAX;
	struct pool *pool;
	struct worker *w;

	if (has_room(needy))
		return;
	TAILQ_FOREACH(pool, &needy->local->pools, peers)
		TAILQ_FOREACH(w, &pool->workers, peers)
			if (w->ready && w->in_flight == 0 && (pool->who.programs || any)) {
				worker_free(w);
				return;
			}
}

/* False: one was needed and cannot be had. */
static bool have_workers(struct pool *pool)
{
	const struct worker *best = least_busy(pool);

	if (best != NULL && best->in_flight < spread(pool))
		return true;
	if (pool->worker_count >= WORKERS_A_USER || is_opening_one(pool))
		return true;
	if (pool->worker_count == 0)
		make_room(pool);
	if (!has_room(pool))
		return true;
	return worker_start(pool) || pool->worker_count > 0;
}

void pool_pump(struct pool *pool)
{
	while (!TAILQ_EMPTY(&pool->waiting)) {
		struct worker *w;

		if (!have_workers(pool)) {
			struct delivery_list lost;

			TAILQ_INIT(&lost);
			TAILQ_CONCAT(&lost, &pool->waiting, peers);
			fail_list(&lost, OC_UNAVAILABLE, "no mailbox worker can be started now");
			break;
		}
		w = least_busy(pool);
		if (w == NULL)
			return;
		fly(w, TAILQ_FIRST(&pool->waiting));
	}
	if (pool->worker_count == 0)
		pool_free(pool);
}

/* ---- time ---- */

static uint64_t stuck_ms(const struct worker *w)
{
	return w->pool->who.programs ? PROGRAM_STUCK_MS : WORKER_STUCK_MS;
}

static void check_worker(struct worker *w, uint64_t now)
{
	if (w->in_flight == 0 && w->ready && now - w->used_ms >= WORKER_IDLE_MS) {
		worker_free(w);
		return;
	}
	if ((w->in_flight > 0 || !w->ready) && now - w->used_ms >= stuck_ms(w)) {
		LOG(LEVEL_ERROR, "mailbox-worker-hangs", KV_NUM("pid", w->pid), KV_NUM("uid", w->pool->who.uid));
		worker_kill(w->pool, w->pid);
		link_break(w->link, NULL);
	}
}

/* The queue hears a verdict long before it takes our silence for our end; who has waited longest is the first. */
static void end_long_waits(struct pool *pool, uint64_t now)
{
	struct delivery *d;

	while ((d = TAILQ_FIRST(&pool->waiting)) != NULL && now - d->waits_ms >= POOL_WAIT_MS) {
		TAILQ_REMOVE(&pool->waiting, d, peers);
		delivery_end(d, OC_BUSY, slice_of("no worker was free for it for 10 minutes"), slice_empty());
	}
}

static void check_pool(struct pool *pool, uint64_t now)
{
	struct worker *w = TAILQ_FIRST(&pool->workers), *next;

	for (; w != NULL; w = next) {
		next = TAILQ_NEXT(w, peers);
		check_worker(w, now);
	}
	end_long_waits(pool, now);
	pool_pump(pool);
}

void pools_tick(struct local *l)
{
	uint64_t now = clock_mono_ms();
	struct pool *pool = TAILQ_FIRST(&l->pools), *next;

	for (; pool != NULL; pool = next) {
		next = TAILQ_NEXT(pool, peers);
		check_pool(pool, now);
	}
	if (!TAILQ_EMPTY(&l->pools))
		timer_set(l->tick, TICK_MS);
}

void pools_close(struct local *l)
{
	struct pool *pool;
	struct worker *w;

	TAILQ_FOREACH(pool, &l->pools, peers)
		while ((w = TAILQ_FIRST(&pool->workers)) != NULL)
			worker_free(w);
}
