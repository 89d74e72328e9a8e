#include "waiting.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "scan.h"

#include <errno.h>
#include <stdio.h>

#define PAGE 200u
#define REFILL 500u
#define PAUSE_MS 1000u /* while memory is full of what is being tried */
#define LONGEST_MS 3600000u
#define UNKNOWN_IN_MEMORY_MAX 2000u /* messages whose destination the index does not know */

struct waiting {
	struct queue *q;
	struct timer *timer;
	struct index_key cursor;
	int64_t next_s; /* when the timer is set for */
	bool reading; /* a page is being read */
	bool set_back; /* the cursor was, meanwhile */
	bool refilling;
};

/* A task for the index.  Every one tells how the index is. */
struct index_task {
	struct crew_task task;
	struct queue *q;
	bool ok, reset;
	char why[200];
};

static void task_ran(struct index_task *t, bool ok)
{
	t->ok = ok;
	t->reset = index_was_reset(t->q->index);
	if (!ok)
		(void)snprintf(t->why, sizeof(t->why), "%s", index_trouble(t->q->index));
}

void waiting_after(struct queue *q, bool ok, bool reset, const char *why)
{
	if (!ok)
		LOG(LEVEL_ERROR, "index-failed", KV_STR("why", why));
	if (reset)
		LOG_PLAIN(LEVEL_WARN, "index-begun-anew");
	if (!ok || reset)
		scan_again(q);
}

static void task_give(struct index_task *t, struct queue *q, void (*run)(struct crew_task *),
		      void (*done)(struct crew_task *))
{
	t->task = (struct crew_task){NULL, run, done};
	t->q = q;
	crew_give(q->indexer, 0, &t->task);
}

static void task_after(struct index_task *t)
{
	waiting_after(t->q, t->ok, t->reset, t->why);
}

/* ---- the sweep's time ---- */

static void wake_at(struct waiting *w, int64_t next_s)
{
	int64_t now_ms = clock_wall_ms(), wait_ms;

	w->next_s = next_s;
	wait_ms = next_s > now_ms / 1000 + (int64_t)LONGEST_MS / 1000 ? (int64_t)LONGEST_MS : next_s * 1000 - now_ms;
	timer_set(w->timer, wait_ms > 0 ? (uint64_t)wait_ms : 0);
}

static bool is_behind(const struct waiting *w, int64_t next_s, uint64_t id)
{
	return next_s < w->cursor.next_s || (next_s == w->cursor.next_s && id <= w->cursor.id);
}

/* A new row: the sweep must come by it. */
static void note_row(struct waiting *w, int64_t next_s, uint64_t id)
{
	if (next_s == INDEX_NEVER)
		return;
	if (is_behind(w, next_s, id)) {
		w->cursor = (struct index_key){next_s - 1, INT64_MAX};
		w->set_back = true;
	}
	if (!w->reading && (next_s < w->next_s || !timer_is_set(w->timer)))
		wake_at(w, next_s);
}

/* ---- single rows ---- */

struct put_task {
	struct index_task t; /* first */
	struct index_row row;
	bool forget, put_off;
};

static void run_put(struct crew_task *task)
{
	struct put_task *p = (struct put_task *)(void *)task;
	struct index *ix = p->t.q->index;

	if (p->forget)
		task_ran(&p->t, index_remove(ix, p->row.id));
	else if (p->put_off)
		task_ran(&p->t, index_put_off(ix, p->row.id, p->row.next_s, p->row.tries));
	else
		task_ran(&p->t, index_put(ix, &p->row));
}

static void on_put(struct crew_task *task)
{
	struct put_task *p = (struct put_task *)(void *)task;

	if (!p->forget)
		note_row(p->t.q->waiting, p->row.next_s, p->row.id);
	task_after(&p->t);
	free(p);
}

static void put(struct queue *q, const struct index_row *row, bool forget, bool put_off)
{
	struct put_task *p = mem_new(1, sizeof(*p));

	if (p == NULL)
		log_fatal("index", ENOMEM);
	p->row = *row;
	p->forget = forget;
	p->put_off = put_off;
	task_give(&p->t, q, run_put, on_put);
}

void waiting_put(struct queue *q, const struct index_row *row)
{
	put(q, row, false, false);
}

void waiting_forget(struct queue *q, uint64_t id)
{
	const struct index_row row = {.id = id};

	put(q, &row, true, false);
}

/* ---- pages of due rows ---- */

struct page_task {
	struct index_task t; /* first */
	char destination[INDEX_KEY_MAX]; /* "": the sweep */
	struct index_key after;
	int64_t now_s, next_s;
	size_t count, max;
	struct index_row rows[];
};

static void run_page(struct crew_task *task)
{
	struct page_task *p = (struct page_task *)(void *)task;
	struct index *ix = p->t.q->index;
	struct index_key last = p->after;
	bool ok;

	if (p->destination[0] != '\0') {
		task_ran(&p->t, index_due_for(ix, p->destination, p->now_s, p->rows, p->max, &p->count));
		return;
	}
	ok = index_due(ix, p->now_s, p->after, p->rows, p->max, &p->count);
	if (p->count > 0)
		last = (struct index_key){p->rows[p->count - 1].next_s, p->rows[p->count - 1].id};
	p->next_s = INDEX_NEVER;
	task_ran(&p->t, ok && index_next(ix, last, &p->next_s));
}

static struct page_task *page_new(const char *destination, size_t max)
{
	struct page_task *p = mem_new(1, sizeof(*p) + max * sizeof(struct index_row));

	if (p == NULL)
		log_fatal("index", ENOMEM);
	(void)snprintf(p->destination, sizeof(p->destination), "%s", destination);
	p->max = max;
	p->now_s = clock_wall_s();
	return p;
}

static int64_t age_of(const struct index_row *row, int64_t now_s)
{
	int64_t age = now_s - spool_id_wall_ms(row->id) / 1000;

	return age > 0 ? age : 0;
}

/* A destination that is dead: put off without a look at the file, unless the sender is due a word. */
static bool put_off(struct queue *q, struct index_row *row, int64_t now_s)
{
	const struct conf *conf = queue_conf(q);
	int64_t age = age_of(row, now_s);
	uint64_t wait_s = conf_retry_next(&conf->retry, (uint64_t)age, (unsigned)row->tries + 1);
	bool warn = conf->set.delay_warning_ms > 0 && !row->warned && age >= (int64_t)(conf->set.delay_warning_ms / 1000);

	if (wait_s == 0 || warn)
		return false;
	row->next_s = now_s + (int64_t)wait_s;
	row->tries++;
	put(q, row, false, true);
	return true;
}

/* False: no room for it, nor for what is like it. */
static bool take_row(struct queue *q, struct index_row *row, int64_t now_s)
{
	struct slice destination = slice_of(row->destination);

	if (map_find_u64(q->messages, row->id) != NULL)
		return true;
	if (destination.len == 0 && map_count(q->messages) >= UNKNOWN_IN_MEMORY_MAX)
		return false;
	if (destination.len > 0 && !row->held) {
		if (sched_is_dead(q->sched, destination, clock_mono_ms()) && put_off(q, row, now_s))
			return true;
		if (!sched_has_room(q->sched, destination)) {
			sched_note_stored(q->sched, destination);
			return true;
		}
	}
	message_load(q, row->id, row, WISH_NONE);
	return true;
}

static void sweep(struct waiting *w);

static void on_swept(struct crew_task *task)
{
	struct page_task *p = (struct page_task *)(void *)task;
	struct waiting *w = p->t.q->waiting;
	size_t i = 0;

	w->reading = false;
	for (; i < p->count && take_row(p->t.q, &p->rows[i], p->now_s); i++)
		if (!w->set_back)
			w->cursor = (struct index_key){p->rows[i].next_s, p->rows[i].id};
	task_after(&p->t);
	if (!p->t.ok || i < p->count)
		wake_at(w, clock_wall_s() + (int64_t)(PAUSE_MS / 1000));
	else if (p->count == p->max || w->set_back)
		sweep(w);
	else
		wake_at(w, p->next_s);
	free(p);
}

static void sweep(struct waiting *w)
{
	struct page_task *p;

	if (w->reading || w->q->draining)
		return;
	w->reading = true;
	w->set_back = false;
	p = page_new("", PAGE);
	p->after = w->cursor;
	task_give(&p->t, w->q, run_page, on_swept);
}

static void on_time(void *arg)
{
	sweep(arg);
}

/* ---- by destination ---- */

static void on_refilled(struct crew_task *task)
{
	struct page_task *p = (struct page_task *)(void *)task;
	struct queue *q = p->t.q;

	q->waiting->refilling = false;
	for (size_t i = 0; i < p->count; i++)
		(void)take_row(q, &p->rows[i], p->now_s);
	if (p->count == p->max || !p->t.ok)
		sched_note_stored(q->sched, slice_of(p->destination));
	task_after(&p->t);
	free(p);
}

void waiting_refill(struct queue *q)
{
	struct slice destination;
	char name[INDEX_KEY_MAX];
	struct page_task *p;

	if (q->waiting->refilling || !sched_refill(q->sched, &destination))
		return;
	(void)slice_copy(destination, name, sizeof(name));
	p = page_new(name, REFILL);
	q->waiting->refilling = true;
	task_give(&p->t, q, run_page, on_refilled);
}

/* ---- all ---- */

static void run_all_due(struct crew_task *task)
{
	struct put_task *p = (struct put_task *)(void *)task;

	task_ran(&p->t, index_all_due(p->t.q->index, p->row.next_s));
}

void waiting_all_due(struct queue *q)
{
	struct put_task *p = mem_new(1, sizeof(*p));

	if (p == NULL)
		log_fatal("index", ENOMEM);
	p->row.next_s = clock_wall_s();
	task_give(&p->t, q, run_all_due, on_put);
}

void waiting_start(struct queue *q)
{
	struct waiting *w = mem_new(1, sizeof(*w));

	if (w == NULL)
		log_fatal("queue", ENOMEM);
	w->q = q;
	w->cursor = (struct index_key){INT64_MIN, 0};
	w->next_s = INDEX_NEVER;
	w->timer = timer_new(q->loop, on_time, w);
	q->waiting = w;
	sweep(w);
}

void waiting_stop(struct queue *q)
{
	timer_free(&q->waiting->timer);
	free(q->waiting);
	q->waiting = NULL;
}
