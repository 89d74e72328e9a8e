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

bool hand_cage(struct slot *s)
{
	const struct master *m = s->master;
	const struct msg_CAGE cage = {s->uid, s->gid, s->group, s->instance, m->as_root, m->options->kernel,
				      m->options->trial || s->trial};

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

bool hand_generation(struct slot *s, const struct plan *plan)
{
	enum role role = s->row->role;
	bool done = tell_with(s, IPC_GENERATION_OPEN, &(struct msg_GENERATION_OPEN){plan->number}, plan->bundle_fd);

	for (size_t i = 0; done && i < plan->path_count; i++) {
		const struct plan_path *p = &plan->paths[i];

		if ((p->roles >> role & 1) != 0)
			done = tell_with(s, IPC_GENERATION_PATH,
					 &(struct msg_GENERATION_PATH){plan->number, slice_of(p->path)}, p->fd);
	}
	if (done && role == ROLE_GATE)
		done = hand_listeners(s, plan);
	s->generation = plan->number;
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
