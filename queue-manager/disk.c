#include "disk.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

struct probe {
	struct crew_task task;
	struct queue *q;
	uint64_t id;
	int err;
};

static void take(struct queue *q, enum sick_event event, int err);

static void run_probe(struct crew_task *task)
{
	struct probe *p = (struct probe *)(void *)task;

	p->err = spool_probe(p->q->spool, p->id);
}

/* Only what is durable ends it: a disk that is full now, or a want of ours, says nothing of whether it is well. */
static void on_probed(struct crew_task *task)
{
	struct probe *p = (struct probe *)(void *)task;
	struct queue *q = p->q;
	int err = p->err;

	free(p);
	take(q, err != 0 ? SICK_PROBE_FAILED : SICK_PROBE_OK, err);
}

static void start_probe(struct queue *q)
{
	struct probe *p = mem_new(1, sizeof(*p));

	if (p == NULL) {
		take(q, SICK_PROBE_FAILED, ENOMEM);
		return;
	}
	*p = (struct probe){{NULL, NULL, run_probe, on_probed}, q, spool_id_next(&q->ids, clock_wall_ms()), 0};
	crew_give(q->writers, p->id, &p->task);
}

static void tell(const struct queue *q)
{
	const struct sickness *s = &q->sickness;

	if (sickness_accepts(s))
		LOG(LEVEL_WARN, "spool-well", KV_NUM("seconds", (clock_mono_ms() - s->since_ms) / 1000), KV_NUM("refused", s->refused));
	else
		LOG(LEVEL_ERROR, "spool-sick", KV_ERRNO(s->err));
}

static void take(struct queue *q, enum sick_event event, int err)
{
	unsigned want = sickness_step(&q->sickness, event, err, clock_mono_ms());

	if ((want & SICK_TELL) != 0)
		tell(q);
	if ((want & SICK_WAIT) != 0)
		timer_set(q->disk_timer, q->sickness.wait_ms);
	if ((want & SICK_PROBE) != 0)
		start_probe(q);
}

static void on_time(void *arg)
{
	take(arg, SICK_TIME, 0);
}

void disk_start(struct queue *q)
{
	q->disk_timer = timer_new(q->loop, on_time, q);
}

void disk_failed(struct queue *q, int err)
{
	if (sickness_is_one(err))
		take(q, SICK_WRITE_FAILED, err);
}

bool disk_accepts(struct queue *q)
{
	bool accepts = sickness_accepts(&q->sickness);

	q->sickness.refused += !accepts;
	return accepts;
}

void disk_status(const struct queue *q, struct buf *out)
{
	struct slice why = log_errno_text(q->sickness.err);
	char text[200];

	(void)snprintf(text, sizeof(text), "sick: %.*s", SLICE_ARG(slice_sub(why, 0, 150)));
	service_status_text(out, "spool", sickness_accepts(&q->sickness) ? "well" : text);
}
