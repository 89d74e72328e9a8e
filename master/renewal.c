#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "master.h"

#include <errno.h>

/*
 * Files that the processes have copies of (certificates, keys, trusted certificates) are looked at once a minute.  One that is
 * another makes a generation of the same configuration, checked by every process as any other; keyd judges the certificates.
 *
 *   WATCHING --another--> SETTLING --nothing moves any more--> TRYING --taken up--> WATCHING
 *       ^                   ^  '--it moves: again--'              |
 *       |                   '--another than was refused--.        v
 *       '-------------as it was before------------------- REFUSED: tried again after a minute, then hourly
 *
 * Who renews writes certificate and key one after the other: what is refused first is likely half of a pair, and is told only if it
 * is refused again.
 */
#define LOOK_MS 60000u
#define SETTLE_MS 3000u
#define RETRY_MS (60u * 60u * 1000u)
#define WHY_BYTES 1024

enum renewal_state { WATCHING, SETTLING, TRYING, REFUSED };

struct renewal {
	struct master *master;
	struct timer *timer; /* owned */
	enum renewal_state state; /* written by enter only */
	uint64_t mark; /* of the files that move, were tried, or were refused */
	unsigned refusals; /* of that mark */
	uint64_t retry_ms;
	char told[WHY_BYTES]; /* the reason that is in the log already */
};

static void enter(struct renewal *r, enum renewal_state next, uint64_t wait_ms)
{
	static const char *const names[] = {"watching", "settling", "trying", "refused"};

	if (next != r->state)
		LOG(LEVEL_DEBUG, "renewal-state", KV_STR("from", names[r->state]), KV_STR("to", names[next]));
	r->state = next;
	timer_set(r->timer, wait_ms);
}

static void tell(struct renewal *r, const char *why)
{
	char now[WHY_BYTES];

	(void)slice_copy(slice_sub(slice_of(why), 0, sizeof(now) - 1), now, sizeof(now));
	if (strcmp(now, r->told) == 0)
		return;
	memcpy(r->told, now, sizeof(now));
	LOG(LEVEL_ERROR, "files-refused", KV_STR("why", now),
	    KV_STR("do", "what was there before stays in force; mend the files, and they are taken up by themselves"));
}

static void on_done(struct master *m, bool done, const char *why, void *arg)
{
	struct renewal *r = arg;

	(void)m;
	if (done) {
		r->told[0] = '\0';
		enter(r, WATCHING, LOOK_MS);
		return;
	}
	if (++r->refusals > 1)
		tell(r, why);
	r->retry_ms = clock_mono_ms() + (r->refusals > 1 ? RETRY_MS : LOOK_MS);
	enter(r, REFUSED, LOOK_MS);
}

static void settle(struct renewal *r, uint64_t mark)
{
	r->mark = mark;
	r->refusals = 0;
	r->told[0] = '\0';
	enter(r, SETTLING, SETTLE_MS);
}

static void try(struct renewal *r)
{
	/* Somebody else's reload takes them up, too. */
	if (r->master->reload != NULL || r->master->phase != PHASE_RUNNING) {
		timer_set(r->timer, SETTLE_MS);
		return;
	}
	enter(r, TRYING, LOOK_MS);
	reload_files(r->master, on_done, r);
}

static void look(struct renewal *r)
{
	uint64_t mark = plan_files_mark(r->master->plan);

	if (mark == r->master->plan->files_mark)
		enter(r, WATCHING, LOOK_MS);
	else if (r->state == WATCHING || mark != r->mark)
		settle(r, mark);
	else if (r->state == SETTLING || clock_mono_ms() >= r->retry_ms)
		try(r);
	else
		timer_set(r->timer, LOOK_MS);
}

static void on_timer(void *arg)
{
	struct renewal *r = arg;

	if (r->state == TRYING)
		timer_set(r->timer, LOOK_MS);
	else
		look(r);
}

void renewal_start(struct master *m)
{
	struct renewal *r = mem_new(1, sizeof(*r));

	if (r == NULL)
		log_fatal("looking at certificates", ENOMEM);
	r->master = m;
	r->timer = timer_new(m->loop, on_timer, r);
	m->renewal = r;
	enter(r, WATCHING, LOOK_MS);
}

void renewal_free(struct renewal **rp)
{
	struct renewal *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	timer_free(&r->timer);
	free(r);
}
