#include "routing.h"

#include "base/log.h"
#include "base/mem.h"

#define AT_ONCE 16u /* questions of one message: what policyd keeps of long lists (64 of them) is for several messages */

struct routing {
	struct queue *q;
	struct routing_facts facts;
	struct routing_calls calls;
	void *arg;
	size_t count, asked, answered;
	bool stopped; /* no more is asked */
};

struct question {
	struct routing *r;
	size_t i;
	struct buf pages; /* owned: the records of earlier pages */
	bool is_too_much; /* what they are and the next would be */
};

static void ask_more(struct routing *r);
static void on_route(struct ipc_message *m, void *arg);

bool routing_hold(struct queue *q, size_t bytes)
{
	if (bytes > ROUTING_BYTES_MAX - q->routing_bytes) {
		LOG(LEVEL_WARN, "routes-too-many", KV_NUM("held_kib", q->routing_bytes / 1024));
		return false;
	}
	q->routing_bytes += bytes;
	return true;
}

void routing_release(struct queue *q, size_t bytes)
{
	q->routing_bytes -= bytes;
}

static bool keep_page(struct question *question, struct slice records)
{
	question->is_too_much = !routing_hold(question->r->q, records.len);
	if (question->is_too_much)
		return false;
	if (buf_add_slice(&question->pages, records))
		return true;
	routing_release(question->r->q, records.len);
	return false;
}

/* One of several pages.  False: none that can be taken. */
static bool take_page(struct question *question, const struct msg_ROUTE_ANSWER *answer)
{
	const struct msg_ROUTE_MORE_ASK ask = {answer->cursor};

	/* Each brings something, so that they come to an end. */
	if (question->r->stopped || answer->outcome != OC_DONE || answer->route_target_records.len == 0 ||
	    !keep_page(question, answer->route_target_records))
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
	if (!keep_page(question, answer->route_target_records))
		return false;
	answer->route_target_records = buf_slice(&question->pages);
	return true;
}

static void tell(struct routing *r, size_t i, const struct msg_ROUTE_ANSWER *answer)
{
	r->answered++;
	if (r->calls.answer(r->arg, i, answer))
		return;
	r->stopped = true;
	r->count = r->asked;
}

static void question_end(struct question *question, const struct msg_ROUTE_ANSWER *answer)
{
	const struct msg_ROUTE_ANSWER busy = {.outcome = OC_BUSY, .dsn = slice_empty(), .text = slice_empty(), .rule = slice_empty(),
					      .route_target_records = slice_empty()};

	tell(question->r, question->i, question->is_too_much ? &busy : answer);
	routing_release(question->r->q, question->pages.len);
	buf_free(&question->pages);
	free(question);
}

static void on_route(struct ipc_message *m, void *arg)
{
	struct question *question = arg;
	struct routing *r = question->r;

	if (m != NULL && m->body.ROUTE_ANSWER.cursor != 0 && take_page(question, &m->body.ROUTE_ANSWER))
		return;
	if (m != NULL && !join_pages(question, &m->body.ROUTE_ANSWER))
		m = NULL;
	question_end(question, m == NULL ? NULL : &m->body.ROUTE_ANSWER);
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
	*question = (struct question){r, r->asked++, buf_make(ROUTE_RECORDS_MAX), false};
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
		tell(r, r->asked++, NULL);
	}
}

bool routing_start(struct queue *q, const struct routing_facts *facts, size_t count, const struct routing_calls *calls,
		   void *arg)
{
	struct routing *r = mem_new(1, sizeof(*r));

	if (r == NULL)
		return false;
	*r = (struct routing){q, *facts, *calls, arg, count, 0, 0, false};
	if (!ask_one(r)) {
		free(r);
		return false;
	}
	ask_more(r);
	return true;
}
