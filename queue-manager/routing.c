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
	struct buf pages; /* owned: the records of earlier pages */
};

static void ask_more(struct routing *r);
static void on_route(struct ipc_message *m, void *arg);

/* One of several pages.  False: none that can be taken. */
static bool take_page(struct question *question, const struct msg_ROUTE_ANSWER *answer)
{
	const struct msg_ROUTE_MORE_ASK ask = {answer->cursor};

	/* Each brings something, so that they come to an end. */
	if (answer->outcome != OC_DONE || answer->route_target_records.len == 0 || !buf_add_slice(&question->pages, answer->route_target_records))
		return false;
	service_ask(question->r->q->service, ROLE_POLICYD, IPC_ROUTE_MORE_ASK, &ask, LINK_ASK_MS, on_route, question);
	return true;
}

/* The last page, or the only one: all together are the answer.  False: they are none. */
static bool join_pages(struct question *question, struct msg_ROUTE_ANSWER *answer)
{
	if (answer->cursor != 0)
		return false;
	if (question->pages.len == 0 || answer->outcome != OC_DONE)
		return true;
	if (!buf_add_slice(&question->pages, answer->route_target_records))
		return false;
	answer->route_target_records = buf_slice(&question->pages);
	return true;
}

static void on_route(struct ipc_message *m, void *arg)
{
	struct question *question = arg;
	struct routing *r = question->r;
	size_t i = question->i;

	if (m != NULL && m->body.ROUTE_ANSWER.cursor != 0 && take_page(question, &m->body.ROUTE_ANSWER))
		return;
	if (m != NULL && !join_pages(question, &m->body.ROUTE_ANSWER))
		m = NULL;
	r->calls.answer(r->arg, i, m == NULL ? NULL : &m->body.ROUTE_ANSWER);
	buf_free(&question->pages);
	free(question);
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
	*question = (struct question){r, r->asked++, buf_make(ROUTE_RECORDS_MAX)};
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
