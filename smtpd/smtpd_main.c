#include "solo.h"
#include "worker.h"

/*
 * postern-smtpd: the wiring between the service skeleton and the connections of a shared worker, or
 * the warm parent.
 */
static struct worker worker;

#define LEAVE_AGAIN_MS 1000u

static struct {
	struct timer *again; /* owned: leave is to be taken once more */
	bool asked; /* for a successor */
	bool told; /* there is one */
	bool gone; /* the gate gives us no more */
} retiring;

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
	if (w->draining || retiring.gone)
		service_stop(w->arg);
}

/* ---- retiring: README.md ---- */

static void ask_to_retire(struct service *s, uint64_t crashes)
{
	const struct msg_RETIRE_ASK ask = {crashes};

	if (!retiring.asked)
		retiring.asked = service_tell(s, ROLE_MASTER, IPC_RETIRE_ASK, &ask);
}

static void on_retired(struct ipc_message *m, void *arg);

static void take_leave(void *arg)
{
	service_ask(arg, ROLE_GATE, IPC_WORKER_RETIRE, &(struct msg_WORKER_RETIRE){0}, LINK_ASK_MS, on_retired, arg);
}

/* NULL: a gate that has been too busy is asked again, and of one that is away the next (link_up). */
static void on_retired(struct ipc_message *m, void *arg)
{
	if (m == NULL) {
		if (!retiring.gone && service_link(arg, ROLE_GATE, SERVICE_ANY) != NULL)
			timer_set(retiring.again, LEAVE_AGAIN_MS);
		return;
	}
	timer_stop(retiring.again);
	retiring.gone = true;
	if (worker.count == 0)
		service_stop(arg);
}

static void on_retire(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)link;
	(void)m;
	retiring.told = true;
	take_leave(s);
}

static void link_up(struct service *s, struct link *link)
{
	if (link_peer(link) == ROLE_GATE && retiring.told && !retiring.gone)
		take_leave(s);
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
	retiring.again = timer_new(service_loop(s), take_leave, s);
	if (solo_is_parent(s))
		solo_watch_children(s, ask_to_retire);
}

static void on_session_start(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_SESSION_START *begin = &m->body.SESSION_START;
	struct generation *g = generation_find(s, begin->generation);
	int fd = m->fd;

	if (solo_is_parent(s)) {
		if (solo_begin(s, link, m) >= SOLO_FORKS_ASK)
			ask_to_retire(s, 0);
		return;
	}
	m->fd = -1;
	worker_begin(&worker, begin, fd, generation_hold(g != NULL ? g : service_generation(s)));
}

static void on_sessions_leave(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)s;
	(void)link;
	worker_leave(&worker, m->body.SESSIONS_LEAVE.generation, m->body.SESSIONS_LEAVE.deadline_ms);
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
	service_status_number(out, "sessions", worker.count);
	service_status_number(out, "drafts", worker_drafts(&worker));
	service_status_number(out, "sessions_in_all", worker.sessions);
	service_status_number(out, "messages_accepted", worker.accepted_messages);
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_SESSION_START] = on_session_start,
	[IPC_RETIRE] = on_retire,
	[IPC_SESSIONS_LEAVE] = on_sessions_leave,
};

static const struct service_spec spec = {
	.role = ROLE_SMTPD,
	.cage = &cage,
	.text = &service_text,
	.prepare = prepare,
	.start = start,
	.handlers = handlers,
	.generation_ready = smtpd_generation_ready,
	.generation_free = smtpd_generation_free,
	.attach = solo_attach,
	.link_up = link_up,
	.link_down = link_down,
	.drain = drain,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
