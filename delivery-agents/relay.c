/*
 * postern-relay: takes messages to other hosts, by SMTP and LMTP.  It opens no file and makes no connection: the message's
 * descriptor comes with the job, the connection's from postern-dial.
 */
#include "relay.h"

#include "client_auth.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

#define STATUS_DESTINATIONS_BYTES 1500u

void relay_stop_if_done(struct relay *r)
{
	if (service_is_draining(r->service) && r->conn_count == 0 && r->job_count == 0)
		service_stop(r->service);
}

static void on_job_start(struct service *s, struct link *link, struct ipc_message *m)
{
	struct relay *r = service_state(s);
	struct job *job = job_new(r, link, m);

	if (job == NULL)
		return;
	if (service_is_draining(s))
		job_fail(&job, OC_SHUTTING_DOWN, "the relay is shutting down");
	else
		pool_give(r, job);
}

/* Without the queue that gave them, jobs mean nothing: it will give them anew. */
static void on_link_down(struct service *s, struct link *link)
{
	struct relay *r = service_state(s);
	struct conn *c, *next;

	if (link_peer(link) != ROLE_QUEUE)
		return;
	pool_drop_of(r, link);
	for (c = LIST_FIRST(&r->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, all);
		if (c->job != NULL && c->job->queue == link)
			conn_drop(c);
	}
}

/* ---- the process ---- */

static void prepare(struct service *s)
{
	struct relay *r = mem_new(1, sizeof(*r));

	if (r == NULL)
		log_fatal("relay", ENOMEM);
	r->service = s;
	LIST_INIT(&r->conns);
	r->destinations = map_new(2 * RELAY_JOBS_MAX);
	if (r->destinations == NULL)
		log_fatal("relay", ENOMEM);
	if (!here_read(&r->here))
		LOG(LEVEL_WARN, "interfaces-unknown", KV_ERRNO(errno));
	trust_prepare();
	auth_prepare();
	service_set_state(s, r);
}

static bool generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	g->state = trust_new(s, g, why, why_size);
	return g->state != NULL;
}

static void generation_free(struct service *s, struct generation *g)
{
	struct trust *t = g->state;

	(void)s;
	trust_free(&t);
	g->state = NULL;
}

/* Connections in use end with their mail; those that are idle end now. */
static void quit_idle(struct relay *r)
{
	struct conn *c, *next;

	for (c = LIST_FIRST(&r->conns); c != NULL; c = next) {
		next = LIST_NEXT(c, all);
		if (c->state == CONN_IDLE)
			conn_quit(c);
	}
}

static void generation_switched(struct service *s)
{
	quit_idle(service_state(s));
}

static void on_drain_end(void *arg)
{
	struct relay *r = arg;

	LOG(LEVEL_WARN, "drain-deadline", KV_NUM("jobs", r->job_count));
	service_stop(r->service);
}

static void drain(struct service *s, uint64_t deadline_ms)
{
	struct relay *r = service_state(s);

	r->drain_end = timer_new(service_loop(s), on_drain_end, r);
	timer_set(r->drain_end, deadline_ms);
	pool_fail_waiting(r, OC_SHUTTING_DOWN, "the relay is shutting down");
	quit_idle(r);
	relay_stop_if_done(r);
}

/* Connections by destination, as many names as fit: "mx.example.org 3, ..." */
static bool add_destination(struct slice key, void *value, void *arg)
{
	const struct destination *d = value;
	struct slice name = slice_from(key, slice_index(key, ' ') + 1); /* behind the generation */
	struct buf *text = arg;

	if (d->conn_count > 0)
		(void)buf_addf(text, "%s%.*s %zu", text->len > 0 ? ", " : "", SLICE_ARG(slice_sub(name, 0, 128)), d->conn_count);
	return text->len < STATUS_DESTINATIONS_BYTES;
}

static void status_destinations(const struct relay *r, struct buf *out)
{
	struct buf text = buf_make(STATUS_DESTINATIONS_BYTES + 256);

	map_each(r->destinations, add_destination, &text);
	if (text.len > 0)
		service_status_text(out, "connections_by_destination", buf_text(&text));
	buf_free(&text);
}

static void status(struct service *s, struct buf *out)
{
	const struct relay *r = service_state(s);

	service_status_number(out, "jobs", r->job_count);
	service_status_number(out, "connections", r->conn_count);
	service_status_number(out, "destinations", map_count(r->destinations));
	status_destinations(r, out);
}

static const struct cage_spec cage = {
	.calls = CALLS_BASE,
	.chroot = true,
	.takes_fds = true,
	.files_max = 16384, /* a message and a connection for each job */
};

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_JOB_START] = on_job_start,
};

static const struct service_spec spec = {
	.role = ROLE_RELAY,
	.cage = &cage,
	.text = &service_text,
	.prepare = prepare,
	.handlers = handlers,
	.generation_ready = generation_ready,
	.generation_free = generation_free,
	.generation_switched = generation_switched,
	.link_down = on_link_down,
	.drain = drain,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
