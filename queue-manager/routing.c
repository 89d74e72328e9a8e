#include "routing.h"

#include "base/mem.h"

#define AT_ONCE 100u

struct routing {
	struct queue *q;
	struct routing_facts facts;
	struct routing_calls calls;
	void *arg;
	size_t count, asked, answered;
};

struct question {
	struct routing *r;
	size_t i;
};

static void ask_more(struct routing *r);

static void on_route(struct ipc_message *m, void *arg)
{
	struct question *question = arg;
	struct routing *r = question->r;
	size_t i = question->i;

	free(question);
	r->calls.answer(r->arg, i, m == NULL ? NULL : &m->body.ROUTE_ANSWER);
	r->answered++;
	ask_more(r);
	if (r->answered < r->count)
		return;
	r->calls.done(r->arg);
	free(r);
}

static bool ask_one(struct routing *r)
{
	struct question *question = mem_new(1, sizeof(*question));
	struct msg_ROUTE_ASK ask = {
		.generation = r->facts.generation,
		.mode = r->facts.mode,
		.sender = r->facts.sender,
		.recipient = r->calls.recipient(r->arg, r->asked),
		.login = r->facts.login,
		.client = r->facts.client,
		.role = r->facts.role,
		.listener = r->facts.listener,
		.hostname = r->facts.hostname,
		.size = r->facts.size,
		.ancestors = r->facts.ancestors,
		.owner = r->facts.owner,
		.local = r->facts.local,
		.local_port = r->facts.local_port,
		.header_names = r->facts.header_names,
	};

	if (question == NULL)
		return false;
	*question = (struct question){r, r->asked++};
	service_ask(r->q->service, ROLE_POLICYD, IPC_ROUTE_ASK, &ask, LINK_ASK_MS, on_route, question);
	return true;
}

/* Without memory for one question the others still come; the last answer that comes ends it. */
static void ask_more(struct routing *r)
{
	while (r->asked < r->count && r->asked - r->answered < AT_ONCE) {
		if (ask_one(r))
			continue;
		if (r->asked > r->answered)
			return;
		r->calls.answer(r->arg, r->asked++, NULL);
		r->answered++;
	}
}

bool routing_start(struct queue *q, const struct routing_facts *facts, size_t count, const struct routing_calls *calls,
		   void *arg)
{
	struct routing *r = mem_new(1, sizeof(*r));

	if (r == NULL)
		return false;
	*r = (struct routing){q, *facts, *calls, arg, count, 0, 0};
	if (!ask_one(r)) {
		free(r);
		return false;
	}
	ask_more(r);
	return true;
}
