#include "solo.h"
#include "worker.h"

/*
 * postern-smtpd: the wiring between the service skeleton and the connections of a shared worker, or
 * the warm parent.
 */
static struct worker worker;

static struct cage_spec cage = {
	.calls = CALLS_BASE,
	.chroot = true,
	.takes_fds = true,
	.files_max = 65536,
	.file_bytes_max =
		3ull << 30, /* a draft of the largest message, through the queue's descriptor */
	.memory_max = 4ull << 30,
};

static void ask(void *arg, enum role role, enum ipc_type type, const void *body, uint64_t timeout_ms,
		link_answer_fn *on_answer, void *on_answer_arg)
{
	service_ask(arg, role, type, body, timeout_ms, on_answer, on_answer_arg);
}

static bool tell(void *arg, enum role role, enum ipc_type type, const void *body)
{
	return service_tell(arg, role, type, body);
}

static bool reaches(void *arg, enum role role)
{
	return service_link(arg, role, SERVICE_ANY) != NULL;
}

static void release(struct worker *w, struct generation **gp)
{
	generation_release(w->arg, gp);
}

static void on_empty(struct worker *w)
{
	if (w->draining)
		service_stop(w->arg);
}

static void prepare(struct service *s)
{
	tls_prepare();
	if (solo_is_parent(s))
		solo_widen(&cage);
}

static void start(struct service *s)
{
	const struct ports ports = {ask, tell, reaches, s};

	worker.release = release;
	worker.on_empty = on_empty;
	worker.arg = s;
	worker_init(&worker, service_loop(s), &ports);
}

static void on_session_start(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_SESSION_START *begin = &m->body.SESSION_START;
	struct generation *g = generation_find(s, begin->generation);
	int fd = m->fd;

	if (solo_is_parent(s)) {
		solo_begin(s, link, m);
		return;
	}
	m->fd = -1;
	worker_begin(&worker, begin, fd, generation_hold(g != NULL ? g : service_generation(s)));
}

static void link_down(struct service *s, struct link *link)
{
	(void)s;
	worker_lost(&worker, link_peer(link));
}

static void drain(struct service *s, uint64_t deadline_ms)
{
	(void)s;
	worker_drain(&worker, deadline_ms);
}

static void status(struct service *s, struct buf *out)
{
	if (solo_is_parent(s)) {
		solo_status(out);
		return;
	}
	buf_addf(out, "sessions=%llu sessions-total=%llu messages-accepted=%llu",
		 (unsigned long long)worker.count, (unsigned long long)worker.sessions,
		 (unsigned long long)worker.accepted_messages);
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_SESSION_START] = on_session_start,
};

static const struct service_spec spec = {
	.role = ROLE_SMTPD,
	.cage = &cage,
	.prepare = prepare,
	.start = start,
	.handlers = handlers,
	.generation_ready = smtpd_generation_ready,
	.generation_free = smtpd_generation_free,
	.attach = solo_attach,
	.link_down = link_down,
	.drain = drain,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
