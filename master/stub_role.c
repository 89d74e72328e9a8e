#include "service/service.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * A process of any role (by the name it is started as) that keeps its links and does nothing else: the master's tests run a
 * whole suite of these.
 */
static const struct cage_spec cage = {.calls = CALLS_BASE, .chroot = true, .file_bytes_max = 1u << 30};

static enum role the_role;

struct stub {
	unsigned links;
};

static void start(struct service *s)
{
	static struct stub stub;

	service_set_state(s, &stub);
}

static void link_up(struct service *s, struct link *link)
{
	struct stub *stub = service_state(s);

	(void)link;
	stub->links++;
}

static void link_down(struct service *s, struct link *link)
{
	struct stub *stub = service_state(s);

	(void)link;
	stub->links--;
}

/* A hostname that begins with "refused" is a configuration this role does not want. */
static bool generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	if (slice_starts(slice_of(g->host), slice_of("crash-policyd")) && the_role == ROLE_POLICYD)
		abort();
	if (slice_starts(slice_of(g->host), slice_of("refused-policyd")) && the_role != ROLE_POLICYD)
		return true;
	(void)s;
	if (!slice_starts(slice_of(g->host), slice_of("refused")))
		return true;
	(void)slice_copy(slice_of("the stub refuses this hostname"), why, why_size);
	return false;
}

static void status(struct service *s, struct buf *out)
{
	const struct stub *stub = service_state(s);

	service_status_number(out, "links", stub->links);
	service_status_text(out, "hostname", service_generation(s)->host);
}

static void ignore(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)s;
	(void)link;
	(void)m;
}

static void on_record(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_LOG_RECORD *b = &m->body.LOG_RECORD;

	(void)s;
	dprintf(STDERR_FILENO, "%s %.*s %.*s\n", role_name(link_peer(link)), SLICE_ARG(b->event), SLICE_ARG(b->fields));
}

static void on_guests_leave(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)s;
	link_answer(link, m->request, IPC_GUESTS_LEFT, &(struct msg_GUESTS_LEFT){0}, -1);
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_GUESTS_LEAVE] = on_guests_leave,
	[IPC_LOG_RECORD] = on_record,
	[IPC_LISTENER] = ignore,
	[IPC_GENERATION_DELIVERY] = ignore,
};

int main(int argc, char **argv)
{
	struct service_spec spec = {
		.cage = &cage,
		.text = &service_text,
		.start = start,
		.handlers = handlers,
		.generation_ready = generation_ready,
		.link_up = link_up,
		.link_down = link_down,
		.status = status,
	};
	struct slice name = slice_from(slice_of(argv[0]), slice_rindex(slice_of(argv[0]), '-') + 1);

	for (unsigned role = 0; role < ROLE_COUNT; role++)
		if (slice_eq(name, slice_of(role_name((enum role)role))))
			spec.role = (enum role)role;
	the_role = spec.role;
	if (the_role == ROLE_LOCAL)
		spec.text = NULL; /* it is given none */
	return service_run(&spec, argc, argv);
}
