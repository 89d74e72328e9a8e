#include "base/clock.h"
#include "base/log.h"
#include "master.h"

#include <fcntl.h>
#include <unistd.h>

/* A descriptor travels as a copy: ours stays for the next process of the role. */
static bool tell_with(struct slot *s, enum ipc_type type, const void *body, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy >= 0 && link_tell(s->link, type, body, copy))
		return true;
	LOG(LEVEL_ERROR, "hand-over-failed", KV_STR("role", role_name(s->row->role)), KV_STR("what", ipc_type_name(type)));
	return false;
}

bool hand_clock(struct slot *s)
{
	const struct msg_CLOCK_TURN turn = {(uint64_t)clock_turned_ms()};

	return turn.forward_ms == 0 || link_tell(s->link, IPC_CLOCK_TURN, &turn, -1);
}

bool hand_cage(struct slot *s, const struct plan *plan)
{
	const struct master *m = s->master;
	const struct msg_CAGE cage = {
		.uid = s->uid,
		.gid = s->gid,
		.group = s->group,
		.instance = s->instance,
		.as_root = m->as_root,
		.kernel = m->options->kernel,
		.trial = m->options->trial || s->trial,
		.require = slice_of(plan->require),
		.cage_fact_records = buf_slice(&plan->cage_facts[s->row->role]),
	};

	return tell_with(s, IPC_CAGE, &cage, s->row->root == ROOT_SPOOL ? m->spool_fd : m->empty_fd);
}

enum { LISTENER_KIND_TCP, LISTENER_KIND_CONTROL, LISTENER_KIND_SUBMISSION };

static bool hand_listener(struct slot *s, uint64_t generation, uint64_t kind, uint64_t index, const char *name, int fd)
{
	const struct msg_LISTENER body = {generation, kind, index, slice_of(name)};

	return fd < 0 || tell_with(s, IPC_LISTENER, &body, fd);
}

static bool hand_listeners(struct slot *s, const struct plan *plan)
{
	const struct master *m = s->master;
	bool done = hand_listener(s, plan->number, LISTENER_KIND_CONTROL, 0, "control", m->control_fd) &&
		    hand_listener(s, plan->number, LISTENER_KIND_SUBMISSION, 0, "submission", m->submission_fd);

	for (size_t i = 0; done && i < plan->listener_count; i++) {
		const struct plan_listener *l = &plan->listeners[i];

		for (size_t n = 0; done && n < 2; n++)
			done = hand_listener(s, plan->number, LISTENER_KIND_TCP, l->index, l->name, l->fds[n]);
	}
	return done;
}

static bool hand_deliveries(struct slot *s, const struct plan *plan)
{
	bool done = true;

	for (size_t i = 0; done && i < plan->delivery_count; i++) {
		const struct plan_delivery *from = &plan->deliveries[i];
		const struct msg_GENERATION_DELIVERY m = {plan->number, slice_make(from->record, from->len)};

		done = link_tell(s->link, IPC_GENERATION_DELIVERY, &m, -1);
	}
	return done;
}

/* The text is for all but local, which keeps capabilities: no parser runs with any. */
static bool open_generation(struct slot *s, const struct plan *plan)
{
	const struct msg_GENERATION_OPEN open = {plan->number, plan->log_level, slice_of(plan->host)};

	if (s->row->role != ROLE_LOCAL)
		return tell_with(s, IPC_GENERATION_OPEN, &open, plan->bundle_fd);
	return link_tell(s->link, IPC_GENERATION_OPEN, &open, -1) && hand_deliveries(s, plan);
}

bool hand_generation(struct slot *s, const struct plan *plan)
{
	enum role role = s->row->role;
	bool done = open_generation(s, plan);

	for (size_t i = 0; done && i < plan->path_count; i++) {
		const struct plan_path *p = &plan->paths[i];

		if (plan_path_is_for(p, role, s->instance))
			done = tell_with(s, IPC_GENERATION_PATH,
					 &(struct msg_GENERATION_PATH){plan->number, slice_of(p->path)}, p->fd);
	}
	if (done && role == ROLE_GATE)
		done = hand_listeners(s, plan);
	s->generation = plan->number;
	if (plan->session_timeout_ms > s->session_ms)
		s->session_ms = plan->session_timeout_ms;
	return done;
}

static void attach(struct slot *a, struct slot *b)
{
	const uint64_t generation = a->master->plan->number;
	const struct msg_LINK_ATTACH to_a = {b->row->role, b->instance, generation};
	const struct msg_LINK_ATTACH to_b = {a->row->role, a->instance, generation};
	int pair[2];

	if (!link_pair(pair)) {
		LOG(LEVEL_ERROR, "link-failed", KV_STR("role", role_name(a->row->role)), KV_STR("peer", role_name(b->row->role)));
		return;
	}
	link_tell(a->link, IPC_LINK_ATTACH, &to_a, pair[0]);
	link_tell(b->link, IPC_LINK_ATTACH, &to_b, pair[1]);
}

void hand_links(struct slot *s)
{
	struct master *m = s->master;

	for (size_t i = 0; i < m->slot_count; i++) {
		struct slot *other = m->slots[i];

		if (other != s && other->life.state == SUPERVISE_READY && other->link != NULL &&
		    trust_has_instance(s->row->role, s->instance, other->row->role, other->instance))
			attach(s, other);
	}
}
