#include "scan.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "message.h"
#include "waiting.h"

#include <errno.h>
#include <stdio.h>

#define BUCKET_MAX 20000u /* names of one bucket: 20 million messages in all */
#define LOADS_AT_ONCE 500u
#define PAUSE_MS 20u
#define INCOMING_MAX 500u
#define AGAIN_MS 60000u
#define AGAIN_MOST_MS (16u * 60000u)

static const enum spool_folder folders[] = {SPOOL_NEW, SPOOL_CUR, SPOOL_HOLD};

struct scan {
	struct queue *q;
	struct timer *timer; /* for the next bucket, or the next scan */
	unsigned bucket;
	bool running, again;
	uint64_t wait_ms, troubled_ms; /* how long until again; when it was last asked for */
	size_t found;
};

/* Names in a writer thread, then what the index knows in its own. */
struct bucket_task {
	struct crew_task task;
	struct queue *q;
	unsigned bucket;
	uint64_t *ids, *rows; /* owned */
	size_t count, row_count, missing;
	bool ok, index_ok, reset;
	int err;
	char why[200];
};

static void bucket_free(struct bucket_task *b)
{
	free(b->ids);
	free(b->rows);
	free(b);
}

/* ---- in the threads ---- */

static void run_list(struct crew_task *task)
{
	struct bucket_task *b = (struct bucket_task *)(void *)task;
	size_t count = 0;

	b->ok = true;
	for (size_t i = 0; i < ARRAY_LEN(folders) && b->ok; i++) {
		b->ok = spool_list(b->q->spool, folders[i], b->bucket, b->ids + b->count, BUCKET_MAX - b->count, &count,
				   &b->err);
		b->count += count;
	}
}

static int id_cmp(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Rows whose file is gone are taken out; only when all names were read. */
static bool drop_rows(struct bucket_task *b)
{
	bool ok = index_bucket(b->q->index, b->bucket, b->rows, BUCKET_MAX, &b->row_count);

	qsort(b->ids, b->count, sizeof(*b->ids), id_cmp);
	for (size_t i = 0; ok && i < b->row_count && b->count < BUCKET_MAX; i++)
		if (b->rows[i] <= spool_mark(b->q->spool) &&
		    bsearch(&b->rows[i], b->ids, b->count, sizeof(*b->ids), id_cmp) == NULL &&
		    !spool_has(b->q->spool, b->rows[i])) /* it may have been on its way from one folder to another */
			ok = index_remove(b->q->index, b->rows[i]);
	return ok;
}

static void run_compare(struct crew_task *task)
{
	struct bucket_task *b = (struct bucket_task *)(void *)task;

	b->index_ok = drop_rows(b) && index_missing(b->q->index, b->ids, b->count, &b->missing);
	if (!b->index_ok)
		(void)snprintf(b->why, sizeof(b->why), "%s", index_trouble(b->q->index));
	b->reset = index_was_reset(b->q->index);
}

/* ---- in the loop ---- */

static void next_bucket(struct scan *s);

static void scan_ended(struct scan *s)
{
	LOG(s->found > 0 ? LEVEL_INFO : LEVEL_DEBUG, "spool-scanned", KV_NUM("found", s->found));
	s->running = false;
	if (s->again)
		timer_set(s->timer, s->wait_ms);
}

static void on_compared(struct crew_task *task)
{
	struct bucket_task *b = (struct bucket_task *)(void *)task;
	struct queue *q = b->q;
	struct scan *s = q->scan;
	/* Without an index all are simply due. */
	size_t count = b->index_ok ? b->missing : b->count;

	waiting_after(q, b->index_ok, b->reset, b->why);
	for (size_t i = 0; i < count; i++) {
		if (map_find_u64(q->messages, b->ids[i]) != NULL)
			continue;
		s->found++;
		message_load(q, b->ids[i], NULL, WISH_NONE);
	}
	bucket_free(b);
	next_bucket(s);
}

static void on_listed(struct crew_task *task)
{
	struct bucket_task *b = (struct bucket_task *)(void *)task;

	if (!b->ok) {
		LOG(LEVEL_ERROR, "spool-folder-not-readable", KV_NUM("bucket", b->bucket), KV_ERRNO(b->err));
		b->q->scan->again = true;
		next_bucket(b->q->scan);
		bucket_free(b);
		return;
	}
	b->task = (struct crew_task){NULL, NULL, run_compare, on_compared};
	crew_give(b->q->indexer, 0, &b->task);
}

static void list_bucket(struct scan *s)
{
	struct bucket_task *b = mem_new(1, sizeof(*b));

	if (b != NULL) {
		b->ids = mem_new(BUCKET_MAX, sizeof(*b->ids));
		b->rows = mem_new(BUCKET_MAX, sizeof(*b->rows));
	}
	if (b == NULL || b->ids == NULL || b->rows == NULL)
		log_fatal("scan", ENOMEM);
	b->task = (struct crew_task){NULL, NULL, run_list, on_listed};
	b->q = s->q;
	b->bucket = s->bucket++;
	crew_give(s->q->writers, b->bucket, &b->task);
}

/* With many being read already it pauses: what is found must not fill the memory. */
static void next_bucket(struct scan *s)
{
	if (s->q->draining)
		return;
	if (s->bucket == SPOOL_BUCKETS)
		scan_ended(s);
	else if (crew_pending(s->q->writers) > LOADS_AT_ONCE || s->q->incoming > INCOMING_MAX)
		timer_set(s->timer, PAUSE_MS);
	else
		list_bucket(s);
}

static void begin(struct scan *s)
{
	s->running = true;
	s->again = false;
	s->bucket = 0;
	s->found = 0;
	next_bucket(s);
}

/* The index has failed to write: rows may be missing, or older than they should be. */
static void begin_again(struct scan *s)
{
	begin(s);
	waiting_rewind(s->q);
}

static void on_timer(void *arg)
{
	struct scan *s = arg;

	if (s->running)
		next_bucket(s);
	else
		begin_again(s);
}

void scan_start(struct queue *q)
{
	struct scan *s = mem_new(1, sizeof(*s));

	if (s == NULL)
		log_fatal("scan", ENOMEM);
	s->q = q;
	s->timer = timer_new(q->loop, on_timer, s);
	s->wait_ms = AGAIN_MS;
	q->scan = s;
	begin(s);
}

/* Each scan has what waits tried again: on a disk that stays full, that must not be every minute for ever. */
static void wait_longer(struct scan *s)
{
	uint64_t now_ms = clock_mono_ms();

	if (s->troubled_ms == 0 || now_ms - s->troubled_ms > 4 * s->wait_ms)
		s->wait_ms = AGAIN_MS;
	else if (s->wait_ms < AGAIN_MOST_MS)
		s->wait_ms *= 2;
	s->troubled_ms = now_ms;
}

void scan_again(struct queue *q)
{
	struct scan *s = q->scan;

	if (s == NULL)
		return;
	if (s->running) {
		s->again = true;
	} else if (!timer_is_set(s->timer)) {
		wait_longer(s);
		timer_set(s->timer, s->wait_ms);
	}
}

void scan_now(struct queue *q)
{
	struct scan *s = q->scan;

	if (s != NULL && !s->running && timer_is_set(s->timer))
		timer_set(s->timer, 0);
}

void scan_stop(struct queue *q)
{
	timer_free(&q->scan->timer);
	free(q->scan);
	q->scan = NULL;
}

bool scan_is_running(const struct queue *q)
{
	return q->scan != NULL && q->scan->running;
}
