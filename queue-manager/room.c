#include "room.h"

#include "base/mem.h"

/* One look at a time, in a writer thread. */
struct look {
	struct crew_task task;
	struct spool *spool;
};

static void run_look(struct crew_task *task)
{
	spool_room_refresh(((struct look *)(void *)task)->spool);
}

static void on_looked(struct crew_task *task)
{
	free(task);
}

/* A full spool is written by nobody, so nobody else would see that there is room again. */
static void look_again(struct queue *q)
{
	struct look *look = mem_new(1, sizeof(*look));

	if (look == NULL)
		return;
	*look = (struct look){{NULL, NULL, run_look, on_looked}, q->spool};
	crew_give(q->writers, 0, &look->task);
}

bool room_for(struct queue *q, uint64_t bytes)
{
	if (spool_has_room(q->spool, bytes))
		return true;
	look_again(q);
	return false;
}
