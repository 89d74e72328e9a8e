#include "gate_control.h"

#include "gate_verb.h"

#include "base/log.h"
#include "base/mem.h"
#include "os/fd.h"

#include <errno.h>
#include <sys/queue.h>
#include <unistd.h>

struct connection {
	LIST_ENTRY(connection) next;
	struct controls *controls;
	struct link *link; /* owned */
	struct timer *idle;
	uid_t uid;
	LIST_HEAD(, question) open;
	unsigned open_count;
};

/* Lives until its answer, also when the command has gone meanwhile. */
struct question {
	LIST_ENTRY(question) next; /* of its connection, while that is there */
	struct connection *from; /* NULL: gone */
	uint64_t request;
};

struct controls {
	LIST_HEAD(, connection) list;
	size_t count;
	uint64_t last_instance;
	struct loop *loop;
	control_ask_fn *ask;
	void *arg;
};

struct controls *controls_new(struct loop *loop, control_ask_fn *ask, void *arg)
{
	struct controls *c = mem_new(1, sizeof(*c));

	if (c == NULL)
		log_fatal("control connections", ENOMEM);
	LIST_INIT(&c->list);
	c->loop = loop;
	c->ask = ask;
	c->arg = arg;
	return c;
}

static void connection_close(struct connection *k)
{
	struct question *q;

	LIST_REMOVE(k, next);
	k->controls->count--;
	while ((q = LIST_FIRST(&k->open)) != NULL) {
		LIST_REMOVE(q, next);
		q->from = NULL;
	}
	timer_free(&k->idle);
	link_free(&k->link);
	free(k);
}

void controls_free(struct controls **cp)
{
	struct controls *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	while (!LIST_EMPTY(&c->list))
		connection_close(LIST_FIRST(&c->list));
	free(c);
}

/* ---- questions ---- */

static void answer(struct connection *k, uint64_t request, enum outcome oc, const char *text)
{
	struct msg_CONTROL_ANSWER say = {
		.outcome = oc,
		.text = slice_of(text),
		.cursor = slice_empty(),
		.control_row_records = slice_empty(),
	};

	link_answer(k->link, request, IPC_CONTROL_ANSWER, &say, -1);
}

static void pass_back(struct connection *k, const struct question *q, struct ipc_message *m)
{
	if (m == NULL)
		answer(k, q->request, OC_UNAVAILABLE, "the process that knows this does not answer; try again");
	else if (!link_answer(k->link, q->request, IPC_CONTROL_ANSWER, &m->body.CONTROL_ANSWER, -1))
		answer(k, q->request, OC_UNAVAILABLE, "the answer is too large");
}

static void on_answer(struct ipc_message *m, void *arg)
{
	struct question *q = arg;
	struct connection *k = q->from;

	if (k != NULL) {
		LIST_REMOVE(q, next);
		pass_back(k, q, m);
		if (--k->open_count == 0)
			timer_set(k->idle, CONTROL_IDLE_MS);
	}
	free(q);
}

static void pass_on(struct connection *k, const struct gate_verb *verb, struct ipc_message *m)
{
	struct msg_CONTROL_ASK ask = m->body.CONTROL_ASK;
	struct question *q = mem_new(1, sizeof(*q));

	if (q == NULL) {
		answer(k, m->request, OC_NO_MEMORY, "out of memory");
		return;
	}
	q->from = k;
	q->request = m->request;
	LIST_INSERT_HEAD(&k->open, q, next);
	k->open_count++;
	timer_stop(k->idle);
	ask.uid = k->uid;
	k->controls->ask(verb->answers, &ask, on_answer, q, k->controls->arg);
}

static void on_ask(struct connection *k, struct ipc_message *m)
{
	const struct gate_verb *verb = gate_verb_find(m->body.CONTROL_ASK.verb);

	if (verb == NULL) {
		answer(k, m->request, OC_NOT_FOUND, "there is no such command here; is it of another version?");
		return;
	}
	if (!gate_verb_may(verb, k->uid, geteuid())) {
		LOG(LEVEL_WARN, "control-refused", KV_NUM("uid", k->uid), KV_TEXT("verb", m->body.CONTROL_ASK.verb));
		answer(k, m->request, OC_NOT_ALLOWED, "only root may do this");
		return;
	}
	pass_on(k, verb, m);
}

static void on_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct connection *k = arg;

	if (m->type != IPC_CONTROL_ASK || m->request == 0)
		link_break(link, "not a question");
	else if (k->open_count >= CONTROL_QUESTIONS_MAX)
		link_break(link, "too many questions at once");
	else
		on_ask(k, m);
}

/* ---- connections ---- */

static void on_broken(struct link *link, const char *broke_rules, void *arg)
{
	struct connection *k = arg;

	(void)link;
	if (broke_rules != NULL)
		LOG(LEVEL_WARN, "control-connection-dropped", KV_NUM("uid", k->uid), KV_STR("why", broke_rules));
	connection_close(k);
}

static void on_idle(void *arg)
{
	struct connection *k = arg;

	link_break(k->link, NULL);
}

static struct connection *connection_new(struct controls *c, int fd, uid_t uid)
{
	struct connection *k = mem_new(1, sizeof(*k));
	struct link_config config = {ROLE_GATE, ROLE_CTL, ++c->last_instance, on_message, on_broken, k};

	if (k == NULL) {
		close(fd);
		return NULL;
	}
	(void)os_passrights_off(fd);
	k->link = link_new(c->loop, fd, &config);
	if (k->link == NULL) {
		free(k);
		return NULL;
	}
	k->controls = c;
	k->uid = uid;
	LIST_INIT(&k->open);
	k->idle = timer_new(c->loop, on_idle, k);
	return k;
}

void controls_accept(struct controls *c, int fd, uid_t uid)
{
	struct connection *k;

	if (c->count >= CONTROL_CONNECTIONS_MAX) {
		LOG(LEVEL_WARN, "control-refused", KV_NUM("uid", uid), KV_STR("why", "too many connections"));
		close(fd);
		return;
	}
	k = connection_new(c, fd, uid);
	if (k == NULL)
		return;
	LIST_INSERT_HEAD(&c->list, k, next);
	c->count++;
	timer_set(k->idle, CONTROL_IDLE_MS);
}

size_t controls_count(const struct controls *c)
{
	return c->count;
}
