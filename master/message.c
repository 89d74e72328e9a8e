#include "base/log.h"
#include "master.h"

typedef void slot_message_fn(struct slot *s, struct ipc_message *m);

static void on_ready(struct slot *s, struct ipc_message *m)
{
	(void)slice_copy(m->body.READY.missing, s->missing, sizeof(s->missing));
	slot_event(s, EVENT_READY);
}

/* The liar is ended and started again; who was lied to lives on.  Where it is not believed it has still cut its link, and only
 * its own new beginning brings that back. */
static void on_peer_broke_rules(struct slot *s, struct ipc_message *m)
{
	const struct msg_PEER_BROKE_RULES *b = &m->body.PEER_BROKE_RULES;
	enum role role = role_from(b->role);
	struct slot *liar = role == ROLE_COUNT ? NULL : slot_find(s->master, role, b->instance);

	LOG(LEVEL_ERROR, "peer-broke-rules", KV_STR("peer", role_name(role)), KV_NUM("instance", b->instance),
	    KV_STR("told-by", role_name(s->row->role)), KV_TEXT("why", b->reason));
	/* Only those who are linked can know; anybody else would have found a way to end processes. */
	if (liar != NULL && trust_has(s->row->role, role))
		slot_event(trust_believes(s->row->role, role) ? liar : s, EVENT_MUST_DIE);
}

static void replace(struct slot *s, uint64_t crashes)
{
	if (s->life.state != SUPERVISE_READY || s->wants_successor || s->retiring)
		return;
	LOG(LEVEL_INFO, "worker-retires", KV_STR("role", role_name(s->row->role)), KV_NUM("instance", s->instance),
	    KV_NUM("crashes", crashes));
	s->wants_successor = true;
	slot_succeed(s);
}

static void on_retire_ask(struct slot *s, struct ipc_message *m)
{
	replace(s, m->body.RETIRE_ASK.crashes);
}

static void on_turn_over(struct slot *gate, struct ipc_message *m)
{
	struct slot *s = slot_find(gate->master, ROLE_SMTPD, m->body.TURN_OVER.instance);

	if (s != NULL)
		replace(s, 0);
}

static slot_message_fn *const handlers[IPC_COUNT] = {
	[IPC_READY] = on_ready,
	[IPC_PEER_BROKE_RULES] = on_peer_broke_rules,
	[IPC_CONTROL_ASK] = on_control_ask,
	[IPC_RETIRE_ASK] = on_retire_ask,
	[IPC_TURN_OVER] = on_turn_over,
};

void on_slot_message(struct link *link, struct ipc_message *m, void *arg)
{
	if (handlers[m->type] != NULL)
		handlers[m->type](arg, m);
	else
		link_break(link, "a message that is not expected here");
}
