#include "waiting.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "deliver.h"
#include "scan.h"

#include <errno.h>
#include <stdio.h>

#define PAGE 200u
#define REFILL 1500u /* more than a destination that is refilled has in memory: each page brings new ones */
#define PAUSE_MS 50u /* while enough is being read */
#define TROUBLE_MS 1000u /* after the index has failed */
#define SKIPPED_S 30
#define LONGEST_MS 3600000u
#define MEND_MS 60000u
#define LONGEST_LEAST_S 25200 /* some times are not set by the retry rule */
#define ROUNDS_MAX 10000u
#define INCOMING_MAX 1000u /* messages that are being read, or wait for their routes */
#define UNKNOWN_MAX 2000u /* messages in memory whose destination the index did not know */

struct waiting {
	struct queue *q;
	struct timer *timer;
	struct index_key cursor;
	int64_t next_s; /* when the timer is set for */
	bool reading; /* a page is being read */
	bool set_back; /* the cursor was, meanwhile */
	bool skipped; /* rows since `skipped_key`, for want of room for their kind */
	struct index_key skipped_key;
	uint64_t skipped_until_ms; /* when to come back to them */
	uint64_t mended_ms; /* when times were last looked at */
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
	if (atomic_exchange(&q->index_lost, false)) {
		ok = false;
		why = "what was to be written could not be; is the disk full?";
	}
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
	t->task = (struct crew_task){NULL, NULL, run, done};
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

static void pause(struct waiting *w, uint64_t ms)
{
	w->next_s = clock_wall_s();
	timer_set(w->timer, ms);
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
	int64_t latest_s; /* 0, or: times after it are mended first */
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
	ok = p->latest_s == 0 || index_mend_times(ix, p->latest_s, p->now_s);
	ok = ok && index_due(ix, p->now_s, p->after, p->rows, p->max, &p->count);
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

enum taken {
	TAKEN, /* or put off, or noted with its destination */
	TAKEN_ALREADY, /* it is in memory */
	SKIPPED, /* no room for its kind: to be looked for again */
	FULL, /* no room for any */
};

static enum taken take_row(struct queue *q, struct index_row *row, int64_t now_s)
{
	struct slice destination = slice_of(row->destination);

	if (map_find_u64(q->messages, row->id) != NULL)
		return TAKEN_ALREADY;
	if (q->incoming >= INCOMING_MAX)
		return FULL;
	if (destination.len == 0 && q->unknown >= UNKNOWN_MAX)
		return SKIPPED;
	if (destination.len > 0 && !row->held) {
		if (sched_is_dead(q->sched, destination, clock_mono_ms()) && put_off(q, row, now_s))
			return TAKEN;
		if (!sched_has_room(q->sched, destination)) {
			sched_note_stored(q->sched, destination);
			return TAKEN;
		}
	}
	message_load(q, row->id, row, WISH_NONE);
	return TAKEN;
}

static struct index_key key_of(const struct index_row *row)
{
	return (struct index_key){row->next_s, row->id};
}

/* The cursor goes on, so that they hold up nobody else. */
static void note_skipped(struct waiting *w, const struct index_row *row)
{
	if (w->skipped)
		return;
	w->skipped = true;
	w->skipped_key = (struct index_key){row->next_s, row->id - 1};
	w->skipped_until_ms = clock_mono_ms() + SKIPPED_S * 1000u;
}

static void take_page(struct waiting *w, struct page_task *p, size_t *at)
{
	for (; *at < p->count; (*at)++) {
		struct index_row *row = &p->rows[*at];
		struct index_key key = key_of(row); /* putting it off changes its time */
		enum taken taken = take_row(w->q, row, p->now_s);

		if (taken == FULL)
			return;
		if (taken == SKIPPED)
			note_skipped(w, row);
		if (!w->set_back)
			w->cursor = key;
	}
}

static void sweep(struct waiting *w);

static void on_swept(struct crew_task *task)
{
	struct page_task *p = (struct page_task *)(void *)task;
	struct waiting *w = p->t.q->waiting;
	size_t i = 0;

	w->reading = false;
	take_page(w, p, &i);
	task_after(&p->t);
	if (!p->t.ok || i < p->count)
		pause(w, p->t.ok ? PAUSE_MS : TROUBLE_MS);
	else if (p->count == p->max || w->set_back)
		sweep(w);
	else
		wake_at(w, p->next_s);
	if (w->skipped && w->next_s > clock_wall_s() + SKIPPED_S)
		wake_at(w, clock_wall_s() + SKIPPED_S);
	free(p);
}

/* No rule makes a message wait longer than this. */
static int64_t latest_s(struct waiting *w, int64_t now_s)
{
	const struct conf_retry *r = &queue_conf(w->q)->retry;
	uint64_t age_s = 0, wait_s, longest_s = LONGEST_LEAST_S;

	for (unsigned i = 0; i < ROUNDS_MAX && (wait_s = conf_retry_next(r, age_s, 1)) != 0; i++) {
		longest_s = longest_s > wait_s ? longest_s : wait_s;
		age_s += wait_s;
	}
	if (r->count > 0 && age_s < r->steps[r->count - 1].until_s) /* a rule of very many rounds */
		longest_s = r->steps[r->count - 1].until_s;
	return now_s + (int64_t)longest_s;
}

/* Once a minute at most, and where the clock has been turned back. */
static bool is_time_to_mend(struct waiting *w)
{
	uint64_t now_ms = clock_mono_ms();

	if (w->mended_ms != 0 && now_ms - w->mended_ms < MEND_MS)
		return false;
	w->mended_ms = now_ms;
	return true;
}

static void back_to_skipped(struct waiting *w)
{
	if (!w->skipped || clock_mono_ms() < w->skipped_until_ms)
		return;
	w->skipped = false;
	if (is_behind(w, w->skipped_key.next_s, w->skipped_key.id))
		w->cursor = w->skipped_key;
}

static void sweep(struct waiting *w)
{
	struct page_task *p;

	if (w->reading || w->q->draining)
		return;
	w->reading = true;
	w->set_back = false;
	back_to_skipped(w);
	p = page_new("", PAGE);
	p->after = w->cursor;
	if (is_time_to_mend(w))
		p->latest_s = latest_s(w, p->now_s);
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
	enum taken taken = TAKEN;
	size_t i = 0, moved = 0;

	q->waiting->refilling = false;
	for (; i < p->count && taken != FULL; i++) {
		taken = take_row(q, &p->rows[i], p->now_s);
		moved += taken == TAKEN;
	}
	if (i < p->count || p->count == p->max || !p->t.ok)
		sched_note_stored(q->sched, slice_of(p->destination));
	task_after(&p->t);
	/* What is in memory comes to the pump again by itself; what was only put off does not. */
	if (moved > 0 && p->t.ok)
		deliver_pump(q);
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

/* Rows may have times that are past: what should have been written over them was not. */
void waiting_rewind(struct queue *q)
{
	struct waiting *w = q->waiting;

	w->cursor = (struct index_key){INT64_MIN, 0};
	w->set_back = true;
	w->skipped = false;
	if (!w->reading)
		sweep(w);
}

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
