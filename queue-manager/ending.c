#include "ending.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "control.h"
#include "waiting.h"

#include <errno.h>

#define ENDINGS_MAX 2000000u
#define AGAIN_MS 60000u

struct ending {
	struct crew_task task;
	struct queue *q;
	uint64_t id, offset;
	enum spool_folder folder;
	int err, slots_err;
	bool given; /* to a thread */
	bool for_good; /* an operator's word: not undone by a power cut either */
	size_t count;
	char slots[]; /* all closed: what the file says if it must stay */
};

static int close_slots(struct ending *e)
{
	return spool_write_slots(e->q->spool, e->id, e->folder, e->offset, slice_make(e->slots, e->count));
}

/* The slots only when it has to stay, or must not come back: else the end of the file says all. */
static void run_end(struct crew_task *task)
{
	struct ending *e = (struct ending *)(void *)task;

	e->slots_err = e->for_good ? close_slots(e) : 0;
	e->err = spool_remove(e->q->spool, e->id, e->folder);
	if (e->err != 0 && e->err != ENOENT && !e->for_good)
		e->slots_err = close_slots(e);
}

static void on_ended(struct crew_task *task)
{
	struct ending *e = (struct ending *)(void *)task;
	struct queue *q = e->q;

	e->given = false;
	if (e->slots_err != 0 && e->slots_err != ENOENT)
		queue_trouble("spool-slots-not-written", e->id, e->slots_err);
	if (e->err == 0 || e->err == ENOENT) {
		control_tell(q, e->id, OC_DONE);
		map_take_u64(q->endings, e->id);
		free(e);
		return;
	}
	queue_trouble("spool-not-removed", e->id, e->err);
	control_tell(q, e->id, OC_IO_ERROR);
	if (!timer_is_set(q->endings_timer))
		timer_set(q->endings_timer, AGAIN_MS);
}

static void give(struct ending *e)
{
	if (!e->given)
		crew_give(e->q->writers, e->id, &e->task);
	e->given = true;
}

static bool end_again(struct slice key, void *value, void *arg)
{
	struct ending *e = value;

	(void)key;
	(void)arg;
	give(e);
	return true;
}

static void on_again(void *arg)
{
	struct queue *q = arg;

	map_each(q->endings, end_again, NULL);
}

void ending_start(struct queue *q)
{
	q->endings = map_new(ENDINGS_MAX);
	q->endings_timer = timer_new(q->loop, on_again, q);
	if (q->endings == NULL)
		log_fatal("queue", ENOMEM);
}

void ending_finish_all(struct queue *q)
{
	on_again(q);
}

static struct ending *ending_new(struct queue *q, const struct spool_mail *mail, enum spool_folder folder)
{
	struct ending *e = mem_new(1, sizeof(*e) + mail->rcpt_count);

	if (e == NULL || !map_put_u64(q->endings, mail->id, e))
		log_fatal("message", ENOMEM);
	e->task = (struct crew_task){NULL, NULL, run_end, on_ended};
	e->q = q;
	e->id = mail->id;
	e->folder = folder;
	e->offset = mail->slots_offset;
	e->count = mail->rcpt_count;
	return e;
}

void ending_of_refused(struct queue *q, const struct spool_mail *mail, enum spool_folder folder)
{
	struct ending *e = ending_new(q, mail, folder);

	memset(e->slots, SLOT_REMOVED, e->count);
	give(e);
}

void ending_of(struct queue *q, struct message *m)
{
	struct ending *e = ending_new(q, &m->file.mail, m->folder);

	e->for_good = m->wish == WISH_REMOVE;
	for (size_t i = 0; i < e->count; i++) {
		char slot = *message_slot(m, i);

		e->slots[i] = slot_is_open(slot) || slot_is_owed(slot) ? (char)SLOT_REMOVED : slot;
	}
	give(e);
	if (m->has_row)
		waiting_forget(q, m->id);
	LOG(LEVEL_INFO, "message-ended", KV_ID(m->id), KV_NUM("age", message_age_s(m)));
	message_free(q, &m);
}

bool ending_is_under_way(const struct queue *q, uint64_t id)
{
	return map_find_u64(q->endings, id) != NULL;
}
