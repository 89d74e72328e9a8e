#include "control_check.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "check.h"
#include "check_rows.h"
#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define BUCKET_IDS 20000u
#define PAGE_BYTES 48000u /* of rows: then the page is full, and what is found beyond is counted only */
#define PAGE_MS 1000u
#define RUNS_MAX 2u
#define TAKE_MAX 1000u /* of one bucket that are taken up again */

struct run {
	struct crew_task task;
	struct run *next; /* in q->checks */
	struct queue *q;
	struct link *link; /* borrowed; NULL: gone */
	uint64_t request, begun_ms;
	bool repair;
	unsigned bucket;
	struct check check;
	struct buf rows;
	uint64_t *ids, *row_ids; /* owned, BUCKET_IDS each */
	size_t count, row_count, missing;
	uint64_t take[TAKE_MAX]; /* to be looked at by the queue again */
	size_t take_count;
	bool index_ok;
};

static void run_free(struct run *r)
{
	struct run **at = &r->q->checks;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	buf_free(&r->rows);
	free(r->ids);
	free(r->row_ids);
	free(r);
}

void control_check_link_down(struct queue *q, const struct link *link)
{
	for (struct run *r = q->checks; r != NULL; r = r->next)
		if (r->link == link)
			r->link = NULL;
}

/* ---- what is found: in a thread, or in the loop, never both at once ---- */

static void take_again(struct run *r, uint64_t id)
{
	if (r->take_count < TAKE_MAX)
		r->take[r->take_count++] = id;
}

static bool mend(struct run *r, const struct check_finding *f)
{
	switch (f->kind) {
	case CHECK_WRONG_FOLDER:
		if (!spool_put_right(r->q->spool, f->id, f->path))
			return false;
		take_again(r, f->id);
		return true;
	case CHECK_ABOVE_MARK:
		return spool_mark_raise(r->q->spool, f->id);
	case CHECK_NO_FILE:
		return index_remove(r->q->index, f->id);
	case CHECK_NOT_IN_INDEX:
	case CHECK_UNFINISHED:
	case CHECK_CORRUPT:
		take_again(r, f->id);
		return r->take_count < TAKE_MAX;
	case CHECK_NOT_A_MESSAGE:
	case CHECK_NOT_A_FILE:
	case CHECK_LINKED:
	case CHECK_OWNER:
	case CHECK_MODE:
	case CHECK_TWICE:
	case CHECK_NEWER:
	case CHECK_UNREADABLE:
	case CHECK_SLOTS:
	case CHECK_FOLDER_UNREADABLE:
	case CHECK_KINDS:
		break;
	}
	return false;
}

static void on_finding(const struct check_finding *f, void *arg)
{
	struct run *r = arg;
	bool mended = r->repair && mend(r, f);

	if (mended)
		r->check.counts.findings--;
	if (r->rows.len < PAGE_BYTES)
		check_rows_add_finding(&r->rows, f, mended);
}

/* ---- the steps of a bucket ---- */

static void run_files(struct crew_task *task)
{
	struct run *r = (struct run *)(void *)task;

	if (r->bucket == 0)
		check_drafts(&r->check);
	r->check.mark = spool_mark_now(r->q->spool);
	check_bucket(&r->check, r->bucket, r->ids, BUCKET_IDS, &r->count);
}

/* Only what is still there lacks a row. */
static void find_missing(struct run *r)
{
	size_t kept = 0;

	r->index_ok = index_missing(r->q->index, r->ids, r->count, &r->missing);
	for (size_t i = 0; r->index_ok && i < r->missing; i++)
		if (spool_has(r->q->spool, r->ids[i]))
			r->ids[kept++] = r->ids[i];
	r->missing = r->index_ok ? kept : 0;
}

static void run_rows(struct crew_task *task)
{
	struct run *r = (struct run *)(void *)task;

	r->index_ok = index_bucket(r->q->index, r->bucket, r->row_ids, BUCKET_IDS, &r->row_count);
	if (r->index_ok && r->count < BUCKET_IDS)
		check_rows(&r->check, r->ids, r->count, r->row_ids, r->row_count);
	if (r->index_ok)
		find_missing(r);
}

static void run_once_more(struct crew_task *task)
{
	find_missing((struct run *)(void *)task);
}

static void begin_bucket(struct run *r);

static void answer_page(struct run *r, unsigned next)
{
	struct msg_CONTROL_ANSWER said = {OC_DONE, slice_empty(), slice_empty(), slice_empty()};
	char cursor[16];

	(void)snprintf(cursor, sizeof(cursor), "%u", next);
	if (next < SPOOL_BUCKETS)
		said.cursor = slice_of(cursor);
	check_rows_add_counts(&r->rows, &r->check.counts);
	said.control_row_records = buf_slice(&r->rows);
	if (r->link != NULL)
		link_answer(r->link, r->request, IPC_CONTROL_ANSWER, &said, -1);
	run_free(r);
}

static void end_bucket(struct run *r)
{
	unsigned next = r->bucket + 1;

	for (size_t i = 0; i < r->take_count; i++)
		message_load(r->q, r->take[i], NULL, WISH_NONE);
	r->take_count = 0;
	if (r->link == NULL || r->q->draining) {
		run_free(r);
	} else if (next == SPOOL_BUCKETS || r->rows.len >= PAGE_BYTES || clock_mono_ms() - r->begun_ms > PAGE_MS) {
		answer_page(r, next);
	} else {
		r->bucket = next;
		begin_bucket(r);
	}
}

/* What is in memory has no row for good reason; what went from there to the index meanwhile was asked for once more. */
static void on_once_more(struct crew_task *task)
{
	struct run *r = (struct run *)(void *)task;

	for (size_t i = 0; i < r->missing; i++)
		if (map_find_u64(r->q->messages, r->ids[i]) == NULL && map_find_u64(r->q->endings, r->ids[i]) == NULL) {
			r->check.counts.findings++;
			on_finding(&(struct check_finding){CHECK_NOT_IN_INDEX, "", r->ids[i]}, r);
		}
	end_bucket(r);
}

static void on_rows(struct crew_task *task)
{
	struct run *r = (struct run *)(void *)task;
	size_t kept = 0;

	for (size_t i = 0; i < r->missing; i++)
		if (map_find_u64(r->q->messages, r->ids[i]) == NULL)
			r->ids[kept++] = r->ids[i];
	r->count = kept;
	r->task = (struct crew_task){NULL, NULL, run_once_more, on_once_more};
	if (kept > 0)
		crew_give(r->q->indexer, 0, &r->task);
	else
		end_bucket(r);
}

static void on_files(struct crew_task *task)
{
	struct run *r = (struct run *)(void *)task;

	r->missing = r->row_count = 0;
	r->task = (struct crew_task){NULL, NULL, run_rows, on_rows};
	crew_give(r->q->indexer, 0, &r->task);
}

static void begin_bucket(struct run *r)
{
	r->task = (struct crew_task){NULL, NULL, run_files, on_files};
	crew_give(r->q->writers, r->bucket, &r->task);
}

/* ---- the question ---- */

static void refuse(struct link *link, uint64_t request, enum outcome outcome, const char *text)
{
	const struct msg_CONTROL_ANSWER said = {outcome, slice_of(text), slice_empty(), slice_empty()};

	link_answer(link, request, IPC_CONTROL_ANSWER, &said, -1);
}

static size_t runs(const struct queue *q)
{
	size_t count = 0;

	for (const struct run *r = q->checks; r != NULL; r = r->next)
		count++;
	return count;
}

static bool wants_repair(struct slice fields)
{
	struct rec_control_field f;

	while (rec_control_field_next(&fields, &f))
		if (slice_eq(f.key, slice_of("repair")))
			return slice_eq(f.value, slice_of("yes"));
	return false;
}

void control_check(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_CONTROL_ASK *ask = &m->body.CONTROL_ASK;
	uint64_t bucket = 0;
	struct run *r;

	if (ask->cursor.len > 0 && (!slice_u64(ask->cursor, SPOOL_BUCKETS - 1, &bucket))) {
		refuse(link, m->request, OC_BAD_INPUT, "not a place in the check");
		return;
	}
	if (q->draining || runs(q) >= RUNS_MAX) {
		refuse(link, m->request, OC_BUSY, "the spool is being checked already, or the queue ends; try again");
		return;
	}
	r = mem_new(1, sizeof(*r));
	if (r != NULL) {
		*r = (struct run){.q = q, .link = link, .request = m->request, .bucket = (unsigned)bucket, .rows = buf_make(65536)};
		r->ids = mem_new(BUCKET_IDS, sizeof(*r->ids));
		r->row_ids = mem_new(BUCKET_IDS, sizeof(*r->row_ids));
	}
	if (r == NULL || r->ids == NULL || r->row_ids == NULL)
		log_fatal("check", ENOMEM);
	r->begun_ms = clock_mono_ms();
	r->repair = wants_repair(ask->control_field_records);
	r->check = (struct check){.spool = q->spool, .owner = getuid(), .note = on_finding, .arg = r};
	r->next = q->checks;
	q->checks = r;
	begin_bucket(r);
}
