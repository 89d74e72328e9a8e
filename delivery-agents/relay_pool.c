#include "relay.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* A destination is what one connection can serve: a transport of one generation and, by MX, a domain. */
static struct destination *destination_new(struct relay *r, struct slice key, uint64_t generation)
{
	struct destination *d = mem_new(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->text = slice_dup(key);
	d->key = slice_of(d->text);
	if (d->text == NULL || !map_put(r->destinations, d->key, d)) {
		free(d->text);
		free(d);
		return NULL;
	}
	d->relay = r;
	d->generation = generation;
	TAILQ_INIT(&d->waiting);
	LIST_INIT(&d->conns);
	return d;
}

static void free_if_unused(struct destination *d)
{
	if (!TAILQ_EMPTY(&d->waiting) || !LIST_EMPTY(&d->conns))
		return;
	map_take(d->relay->destinations, d->key);
	free(d->text);
	free(d);
}

static struct destination *destination_for(struct relay *r, const struct job *j)
{
	struct buf key = buf_make(800);
	struct destination *d = NULL;

	buf_addf(&key, "%" PRIu64 " %s ", j->generation->number, j->transport->name);
	for (size_t i = 0; j->transport->by_mx && i < j->nexthop.len; i++)
		buf_add_char(&key, ascii_lower(j->nexthop.at[i]));
	if (buf_ok(&key)) {
		d = map_find(r->destinations, buf_slice(&key));
		if (d == NULL)
			d = destination_new(r, buf_slice(&key), j->generation->number);
	}
	buf_free(&key);
	return d;
}

/* The transport's limit is shared by all relay processes. */
static size_t connections_max(const struct job *j)
{
	uint64_t workers = j->generation->conf->set.relay_workers;
	uint64_t most = j->transport->connections;

	if (workers == 0)
		workers = 1;
	return (size_t)((most + workers - 1) / workers > 0 ? (most + workers - 1) / workers : 1);
}

static struct conn *idle_conn(struct destination *d)
{
	struct conn *c;

	LIST_FOREACH (c, &d->conns, peers)
		if (c->state == CONN_IDLE)
			return c;
	return NULL;
}

/* Takes the job. */
static void place(struct destination *d, struct job *job, bool first)
{
	struct conn *idle = job->retried ? NULL : idle_conn(d);

	if (idle != NULL)
		conn_give(idle, job);
	else if (d->conn_count < connections_max(job))
		conn_start(d, job);
	else if (first)
		TAILQ_INSERT_HEAD(&d->waiting, job, waiting);
	else
		TAILQ_INSERT_TAIL(&d->waiting, job, waiting);
}

void pool_give(struct relay *r, struct job *job)
{
	struct destination *d = destination_for(r, job);

	if (d == NULL)
		job_fail(&job, OC_NO_MEMORY, "no memory for another destination");
	else
		place(d, job, false);
}

void pool_again(struct destination *d, struct job *job)
{
	TAILQ_INSERT_HEAD(&d->waiting, job, waiting);
}

struct job *pool_next(struct destination *d)
{
	struct job *job = TAILQ_FIRST(&d->waiting);

	if (job != NULL)
		TAILQ_REMOVE(&d->waiting, job, waiting);
	return job;
}

static bool has_ready_conn(const struct destination *d)
{
	const struct conn *c;

	LIST_FOREACH (c, &d->conns, peers)
		if (c->state == CONN_IDLE || (c->state == CONN_OPEN && client_was_ready(c->client)))
			return true;
	return false;
}

void pool_conn_ended(struct destination *d, const struct client_verdict *failed, const char *host)
{
	struct job *job;

	if (failed != NULL && !has_ready_conn(d))
		while ((job = pool_next(d)) != NULL)
			job_finish(&job, &(struct job_end){failed, "", host, ""});
	job = pool_next(d);
	if (job != NULL)
		place(d, job, true);
	else
		free_if_unused(d);
}

struct sweep {
	const struct link *queue; /* NULL: every job */
	enum outcome outcome;
	const char *why; /* NULL: nobody is told */
};

static bool sweep_one(struct slice key, void *value, void *arg)
{
	struct destination *d = value;
	const struct sweep *sweep = arg;
	struct job *job, *next;

	(void)key;
	for (job = TAILQ_FIRST(&d->waiting); job != NULL; job = next) {
		next = TAILQ_NEXT(job, waiting);
		if (sweep->queue != NULL && job->queue != sweep->queue)
			continue;
		TAILQ_REMOVE(&d->waiting, job, waiting);
		if (sweep->why != NULL)
			job_fail(&job, sweep->outcome, sweep->why);
		else
			job_free(&job);
	}
	free_if_unused(d);
	return true;
}

void pool_fail_waiting(struct relay *r, enum outcome outcome, const char *why)
{
	map_each(r->destinations, sweep_one, &(struct sweep){NULL, outcome, why});
}

void pool_drop_of(struct relay *r, const struct link *queue)
{
	map_each(r->destinations, sweep_one, &(struct sweep){queue, OC_UNAVAILABLE, NULL});
}
