/* The gate's parts: counts, numbers, who is told what in which order, the doors, and a control socket under attack. */
#include "gate_control.h"
#include "gate_count.h"
#include "gate_door.h"
#include "gate_session.h"
#include "gate_verb.h"
#include "gate_witness.h"

#include "base/log.h"
#include "base/mem.h"
#include "event/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void turns(struct loop *loop, int count)
{
	for (int i = 0; i < count; i++)
		loop_turn(loop);
}

/* ---- counting ---- */

static struct gate_origin from(const char *address)
{
	struct in6_addr a = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	if (inet_pton(AF_INET, address, a.s6_addr + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, address, &a), 1);
	return gate_origin_of_address(&a);
}

/* all 8, host 2, net 4 */
static const struct {
	const char *address;
	bool leaves;
	enum gate_verdict verdict;
} counted[] = {
	{"192.0.2.1", false, GATE_ADMIT},
	{"192.0.2.1", false, GATE_ADMIT},
	{"192.0.2.1", false, GATE_TOO_MANY_OF_HOST},
	{"192.0.2.2", false, GATE_ADMIT},
	{"::ffff:192.0.2.2", false, GATE_ADMIT},
	{"192.0.2.2", false, GATE_TOO_MANY_OF_HOST},
	{"192.0.2.3", false, GATE_TOO_MANY_OF_NET},
	{"192.0.3.1", false, GATE_ADMIT},
	{"2001:db8:1:1::1", false, GATE_ADMIT},
	{"2001:db8:1:1:ffff::9", false, GATE_ADMIT},
	{"2001:db8:1:1::2", false, GATE_TOO_MANY_OF_HOST},
	{"2001:db8:1:2::1", false, GATE_ADMIT},
	{"2001:db8:2:2::1", false, GATE_TOO_MANY},
	{"192.0.2.1", true, GATE_ADMIT},
	{"2001:db8:2:2::1", false, GATE_ADMIT},
	{"192.0.2.3", false, GATE_TOO_MANY},
};

static void test_counts(void **state)
{
	const struct gate_limits limits = {.all = 8, .host = 2, .net = 4};
	static const char *const still[] = {"192.0.2.1",       "192.0.2.2",	    "192.0.2.2",	"192.0.3.1",
					    "2001:db8:1:1::1", "2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:2:2::1"};
	struct gate_counts *c = gate_counts_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counted); i++) {
		struct gate_origin origin = from(counted[i].address);

		if (counted[i].leaves)
			gate_counts_leave(c, &origin);
		else
			assert_int_equal(gate_counts_enter(c, &origin, &limits), counted[i].verdict);
	}
	for (size_t i = 0; i < ARRAY_LEN(still); i++) {
		struct gate_origin origin = from(still[i]);

		gate_counts_leave(c, &origin);
	}
	assert_int_equal(gate_counts_all(c), 0);
	assert_int_equal(gate_counts_remembered(c), 0);
	gate_counts_free(&c);
}

static void test_local_counts(void **state)
{
	const struct gate_limits limits = {.all = 10, .host = 1, .net = 1};
	struct gate_counts *c = gate_counts_new();
	struct gate_origin alice = gate_origin_of_uid(1000), bob = gate_origin_of_uid(1001);

	(void)state;
	assert_int_equal(gate_counts_enter(c, &alice, &limits), GATE_ADMIT);
	assert_int_equal(gate_counts_enter(c, &alice, &limits), GATE_TOO_MANY_OF_HOST);
	assert_int_equal(gate_counts_enter(c, &bob, &limits), GATE_ADMIT);
	gate_counts_free(&c);
}

/* ---- session numbers ---- */

static void test_numbers(void **state)
{
	uint64_t last = 0;

	(void)state;
	/* never down, never twice: within a second, over seconds, when the clock is set back */
	for (int i = 0; i < 100000; i++) {
		uint64_t next = gate_session_mint(last, i < 50000 ? 1000 + i / 1000 : 900, (uint32_t)i * 2654435761u);

		assert_true(next > last);
		last = next;
	}
	/* a restart in a later second begins above all that was given, if there were fewer than 12 million a second */
	assert_true(gate_session_mint(0, 1001, 0) > gate_session_mint(gate_session_mint(0, 1000, ~0u), 1000, 0));
	assert_true(gate_session_mint(0, 1000, ~0u) >> 24 == 1000);
}

/* ---- verbs ---- */

static const struct {
	const char *verb;
	bool known;
	enum role answers;
} verbs[] = {
	{"queue.list", true, ROLE_QUEUE},  {"queue.remove", true, ROLE_QUEUE}, {"reload", true, ROLE_MASTER},
	{"status", true, ROLE_MASTER},	   {"stop", true, ROLE_MASTER},	       {"queue.", false, ROLE_COUNT},
	{"queue", false, ROLE_COUNT},	   {"reloaded", false, ROLE_COUNT},    {"", false, ROLE_COUNT},
	{"QUEUE.LIST", false, ROLE_COUNT}, {"sign", false, ROLE_COUNT},
};

static void test_verbs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		const struct gate_verb *v = gate_verb_find(slice_of(verbs[i].verb));

		assert_int_equal(v != NULL, verbs[i].known);
		if (v == NULL)
			continue;
		assert_int_equal(v->answers, verbs[i].answers);
		assert_true(gate_verb_may(v, 0, 500));
		assert_true(gate_verb_may(v, 500, 500));
		assert_false(gate_verb_may(v, 1000, 500));
	}
}

/* ---- sessions: who is told what ---- */

static const enum role peers[] = {ROLE_QUEUE, ROLE_AUTHD, ROLE_KEYD, ROLE_POLICYD, ROLE_SMTPD, ROLE_SMTPD};
#define PEERS ARRAY_LEN(peers)
#define FIRST_WORKER 4
#define HEARD_MAX 256

struct heard {
	enum ipc_type type;
	uint64_t session, worker, uid;
	char client[64];
	unsigned at; /* in the order of all that was heard */
};

struct peer {
	struct house *house;
	struct link *gate_end, *own_end;
	struct heard heard[HEARD_MAX];
	size_t heard_count;
};

struct house {
	struct loop *loop;
	struct gate_sessions *sessions;
	struct peer peer[PEERS];
	unsigned heard, ended;
	int outside; /* the client's end of the last descriptor */
	struct link *parent_gate_end, *parent; /* where there is one */
	struct link *child; /* of the last private session: its link to the gate */
	uint64_t child_instance;
	unsigned child_links; /* others it was given */
	uint64_t child_session;
};

static void on_ended(void *arg)
{
	struct house *h = arg;

	h->ended++;
}

static enum outcome may_claim(const struct gate_visit *visit, const char *client, struct gate_limits *limits_out, void *arg)
{
	(void)visit;
	(void)arg;
	*limits_out = (struct gate_limits){100, 2, 100};
	return strcmp(client, "192.0.2.99") == 0 ? OC_NOT_ALLOWED : OC_DONE;
}

static void on_told(struct link *link, struct ipc_message *m, void *arg)
{
	struct peer *p = arg;
	struct heard *h = &p->heard[p->heard_count++];

	(void)link;
	assert_true(p->heard_count < HEARD_MAX);
	h->type = m->type;
	h->at = p->house->heard++;
	switch ((int)m->type) {
	case IPC_SESSION_OPEN:
		h->session = m->body.SESSION_OPEN.session;
		h->worker = m->body.SESSION_OPEN.worker;
		h->uid = m->body.SESSION_OPEN.uid;
		slice_copy(m->body.SESSION_OPEN.client, h->client, sizeof(h->client));
		break;
	case IPC_SESSION_CLOSE:
		h->session = m->body.SESSION_CLOSE.session;
		break;
	case IPC_LINK_ATTACH:
		assert_int_equal(m->body.LINK_ATTACH.role, ROLE_SMTPD);
		assert_true(m->fd >= 0);
		h->session = m->body.LINK_ATTACH.instance;
		break;
	case IPC_SESSION_START:
		h->session = m->body.SESSION_START.session;
		assert_true(m->fd >= 0);
		break;
	default:
		fail();
	}
}

static void on_gate_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct peer *p = arg;

	if (m->type == IPC_WORKER_RETIRE) {
		gate_sessions_retire(p->house->sessions, link, m->request);
		return;
	}
	if (m->type == IPC_CLIENT_ASK) {
		if (!gate_sessions_claim(p->house->sessions, m, link))
			link_break(link, "spoke for a client it may not speak for");
		return;
	}
	assert_int_equal(m->type, IPC_SESSION_END);
	if (!gate_sessions_end(p->house->sessions, m->body.SESSION_END.session, link))
		link_break(link, "not its own");
}

static void on_gate_end_broken(struct link *link, const char *why, void *arg)
{
	struct peer *p = arg;

	(void)why;
	gate_sessions_link_down(p->house->sessions, link);
	link_free(&p->gate_end);
}

static void on_own_end_broken(struct link *link, const char *why, void *arg)
{
	struct peer *p = arg;

	(void)link;
	(void)why;
	link_free(&p->own_end);
}

static void peer_connect(struct house *h, size_t i)
{
	struct peer *p = &h->peer[i];
	struct link_config gate = {ROLE_GATE, peers[i], i, on_gate_message, on_gate_end_broken, p};
	struct link_config own = {peers[i], ROLE_GATE, 0, on_told, on_own_end_broken, p};
	int pair[2];

	p->house = h;
	assert_true(link_pair(pair));
	p->gate_end = link_new(h->loop, pair[0], &gate);
	p->own_end = link_new(h->loop, pair[1], &own);
	gate_sessions_link_up(h->sessions, p->gate_end);
}

static uint64_t worker_max; /* sessions of a worker; 0: no bound */
static uint64_t most_served;

static void on_served(uint64_t instance, uint64_t sessions, void *arg)
{
	(void)instance;
	(void)arg;
	if (sessions > most_served)
		most_served = sessions;
}

static int house_build(void **state)
{
	struct house *h = mem_new(1, sizeof(*h));

	h->loop = loop_new();
	h->sessions = gate_sessions_new(h->loop, &(struct gate_sessions_config){on_ended, may_claim, h, on_served, worker_max});
	h->outside = -1;
	for (size_t i = 0; i < PEERS; i++)
		peer_connect(h, i);
	*state = h;
	return 0;
}

static int house_clear(void **state)
{
	struct house *h = *state;

	for (size_t i = 0; i < PEERS; i++) {
		link_free(&h->peer[i].gate_end);
		link_free(&h->peer[i].own_end);
	}
	link_free(&h->parent_gate_end);
	link_free(&h->parent);
	link_free(&h->child);
	if (h->outside >= 0)
		close(h->outside);
	gate_sessions_free(&h->sessions);
	loop_free(&h->loop);
	free(h);
	return 0;
}

static const struct gate_limits wide = {1000, 1000, 1000};

static bool may_xclient; /* of those who arrive */

static enum gate_verdict arrive_at(struct house *h, const char *client, bool isolated)
{
	struct gate_visit visit = {.origin = from(client), .generation = 1, .uid = GATE_NO_UID, .isolated = isolated, .may_xclient = may_xclient};
	enum gate_verdict verdict;
	int pair[2];

	snprintf(visit.client, sizeof(visit.client), "%s", client);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	if (h->outside >= 0)
		close(h->outside);
	h->outside = pair[1];
	verdict = gate_sessions_admit(h->sessions, &visit, &wide, pair[0]);
	if (verdict != GATE_ADMIT)
		close(pair[0]);
	gate_sessions_hand_over(h->sessions);
	turns(h->loop, 3);
	return verdict;
}

static enum gate_verdict arrive(struct house *h, const char *client)
{
	return arrive_at(h, client, false);
}

static bool is_worker_told(const struct house *h)
{
	return h->peer[FIRST_WORKER].heard_count + h->peer[FIRST_WORKER + 1].heard_count > 0;
}

/* The one that was told; there must be one. */
static struct peer *worker_of(struct house *h)
{
	assert_true(is_worker_told(h));
	return &h->peer[h->peer[FIRST_WORKER].heard_count > 0 ? FIRST_WORKER : FIRST_WORKER + 1];
}

/* What each was told is there to be read before the worker has its descriptor: SESSION_OPEN was flushed first. */
static void test_attested_before_started(void **state)
{
	struct house *h = *state;
	struct peer *worker;

	assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
	worker = worker_of(h);
	assert_int_equal(worker->heard[0].type, IPC_SESSION_START);
	for (size_t i = 0; i < FIRST_WORKER; i++) {
		const struct heard *open = &h->peer[i].heard[0];

		assert_int_equal(h->peer[i].heard_count, 1);
		assert_int_equal(open->type, IPC_SESSION_OPEN);
		assert_int_equal(open->session, worker->heard[0].session);
		assert_int_equal(open->worker, link_instance(worker->gate_end));
		assert_int_equal(open->uid, GATE_NO_UID);
		assert_string_equal(open->client, "192.0.2.7");
	}
}

/* The order on the wire itself: nothing of the four is read by the loop, only by draining them at the worker's first word. */
static void test_attestation_is_on_the_wire_first(void **state)
{
	struct house *h = *state;
	struct gate_visit visit = {.origin = from("192.0.2.7"), .uid = GATE_NO_UID};

	h->outside = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(gate_sessions_admit(h->sessions, &visit, &wide, dup(h->outside)), GATE_ADMIT);
	for (size_t i = FIRST_WORKER; i < PEERS; i++) {
		link_drain(h->peer[i].own_end);
		assert_int_equal(h->peer[i].heard_count, 0);
	}
	gate_sessions_hand_over(h->sessions);
	for (size_t i = 0; i < PEERS; i++)
		link_drain(h->peer[i].own_end);
	for (size_t i = 0; i < FIRST_WORKER; i++)
		assert_int_equal(h->peer[i].heard_count, 1);
	assert_true(is_worker_told(h));
}

static void test_least_loaded(void **state)
{
	struct house *h = *state;

	for (int i = 0; i < 10; i++)
		assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
	assert_int_equal(h->peer[FIRST_WORKER].heard_count, 5);
	assert_int_equal(h->peer[FIRST_WORKER + 1].heard_count, 5);
}

static int small_house_build(void **state)
{
	int built;

	worker_max = 3;
	built = house_build(state);
	worker_max = 0;
	return built;
}

/* No worker is given more than it has descriptors for. */
static void test_full_workers(void **state)
{
	struct house *h = *state;

	for (int i = 0; i < 6; i++)
		assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
	assert_int_equal(arrive(h, "192.0.2.7"), GATE_BUSY);
	assert_int_equal(gate_sessions_count(h->sessions), 6);
}

static void say_end(struct peer *p, uint64_t session)
{
	struct msg_SESSION_END end = {session};

	assert_true(link_tell(p->own_end, IPC_SESSION_END, &end, -1));
	turns(p->house->loop, 4);
}

static void test_end(void **state)
{
	struct house *h = *state;
	struct peer *worker;
	uint64_t session;

	arrive(h, "192.0.2.7");
	worker = worker_of(h);
	session = worker->heard[0].session;
	say_end(worker, session);
	assert_int_equal(gate_sessions_count(h->sessions), 0);
	for (size_t i = 0; i < FIRST_WORKER; i++) {
		assert_int_equal(h->peer[i].heard_count, 2);
		assert_int_equal(h->peer[i].heard[1].type, IPC_SESSION_CLOSE);
		assert_int_equal(h->peer[i].heard[1].session, session);
	}
	say_end(worker, session); /* once more is no lie */
	assert_non_null(worker->own_end);
}

static void test_end_of_anothers(void **state)
{
	struct house *h = *state;
	struct peer *worker, *liar;

	arrive(h, "192.0.2.7");
	worker = worker_of(h);
	liar = worker == &h->peer[FIRST_WORKER] ? &h->peer[FIRST_WORKER + 1] : &h->peer[FIRST_WORKER];
	say_end(liar, worker->heard[0].session);
	assert_null(liar->own_end); /* its link is broken, the session goes on */
	assert_int_equal(gate_sessions_count(h->sessions), 1);
}

static void test_worker_dies(void **state)
{
	struct house *h = *state;

	for (int i = 0; i < 6; i++)
		arrive(h, "192.0.2.7");
	link_free(&h->peer[FIRST_WORKER].own_end);
	turns(h->loop, 4);
	assert_int_equal(gate_sessions_count(h->sessions), 3);
	assert_int_equal(h->peer[0].heard_count, 6 + 3);
	assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT); /* the other goes on */
	link_free(&h->peer[FIRST_WORKER + 1].own_end);
	turns(h->loop, 4);
	assert_int_equal(gate_sessions_count(h->sessions), 0);
	assert_int_equal(arrive(h, "192.0.2.7"), GATE_BUSY);
}

/* keyd anew: it is told of the sessions there are; while it was away, new ones were served. */
static void test_witness_returns(void **state)
{
	struct house *h = *state;
	struct peer *keyd = &h->peer[2];

	arrive(h, "192.0.2.7");
	link_free(&keyd->own_end);
	turns(h->loop, 4);
	assert_int_equal(arrive(h, "192.0.2.8"), GATE_ADMIT);
	keyd->heard_count = 0;
	peer_connect(h, 2);
	turns(h->loop, 4);
	assert_int_equal(keyd->heard_count, 2);
	assert_int_equal(keyd->heard[0].type, IPC_SESSION_OPEN);
}

static void test_starting(void **state)
{
	struct gate_sessions *g = gate_sessions_new(NULL, &(struct gate_sessions_config){on_ended, may_claim, NULL, on_served, 0});
	struct gate_visit visit = {.origin = from("192.0.2.7")};

	(void)state;
	assert_false(gate_sessions_can_serve(g));
	assert_int_equal(gate_sessions_admit(g, &visit, &wide, -1), GATE_BUSY);
	gate_sessions_free(&g);
}

/* keyd does not read: others are served, and in the end it is given up. */
static void test_stopped_witness(void **state)
{
	struct house *h = *state;

	link_pause(h->peer[2].own_end, true);
	for (int i = 0; i < 60; i++)
		assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
	for (int i = 0; i < 60; i++)
		say_end(&h->peer[FIRST_WORKER + i % 2], h->peer[FIRST_WORKER + i % 2].heard[i / 2].session);
	assert_int_equal(gate_sessions_count(h->sessions), 0);
	assert_int_equal(h->peer[2].heard_count, 0);
}

/* Bytes that wait for a peer that does not read. */
static void fall_behind(struct peer *p, size_t bytes)
{
	struct msg_SESSION_CLOSE closed = {1};

	link_pause(p->own_end, true);
	while (link_queued_bytes(p->gate_end) <= bytes)
		assert_true(link_tell(p->gate_end, IPC_SESSION_CLOSE, &closed, -1));
}

static void test_lagging_queue(void **state)
{
	struct house *h = *state;

	fall_behind(&h->peer[0], GATE_LAG_BYTES);
	assert_int_equal(arrive(h, "192.0.2.7"), GATE_BUSY);
	assert_int_equal(gate_sessions_count(h->sessions), 0);
}

static void test_dead_keyd_is_given_up(void **state)
{
	struct house *h = *state;

	fall_behind(&h->peer[2], GATE_LAG_DEAD_BYTES);
	assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
	assert_null(h->peer[2].gate_end);
}

/* ---- one process a session ---- */

#define FOUR (1u << ROLE_QUEUE | 1u << ROLE_POLICYD | 1u << ROLE_AUTHD | 1u << ROLE_KEYD)

static void on_child_told(struct link *link, struct ipc_message *m, void *arg)
{
	(void)link;
	(void)m;
	(void)arg;
	fail();
}

static void on_child_broken(struct link *link, const char *why, void *arg)
{
	struct house *h = arg;

	(void)why;
	if (link == h->child)
		link_free(&h->child);
	else
		link_free(&h->parent);
}

/* The parent collects a session's links and "forks" when it starts. */
static void on_parent_told(struct link *link, struct ipc_message *m, void *arg)
{
	struct house *h = arg;
	struct link_config config = {ROLE_SMTPD, ROLE_GATE, 0, on_child_told, on_child_broken, h};

	(void)link;
	assert_true(m->fd >= 0);
	if (m->type == IPC_SESSION_START) {
		h->child_session = m->body.SESSION_START.session;
		assert_int_equal(h->child_links, FOUR | 1u << ROLE_GATE);
		return;
	}
	assert_int_equal(m->type, IPC_LINK_ATTACH);
	if (m->body.LINK_ATTACH.instance != h->child_instance)
		h->child_links = 0;
	h->child_instance = m->body.LINK_ATTACH.instance;
	h->child_links |= 1u << m->body.LINK_ATTACH.role;
	if (m->body.LINK_ATTACH.role != ROLE_GATE)
		return;
	link_free(&h->child);
	h->child = link_new(h->loop, m->fd, &config);
	m->fd = -1;
}

static void on_parent_gate_end_broken(struct link *link, const char *why, void *arg)
{
	struct house *h = arg;

	(void)why;
	gate_sessions_link_down(h->sessions, link);
	link_free(&h->parent_gate_end);
}

static void parent_connect(struct house *h)
{
	struct link_config gate = {ROLE_GATE, ROLE_SMTPD, GATE_PARENT_FIRST, on_gate_message, on_parent_gate_end_broken, h};
	struct link_config own = {ROLE_SMTPD, ROLE_GATE, 0, on_parent_told, on_child_broken, h};
	int pair[2];

	assert_true(link_pair(pair));
	h->parent_gate_end = link_new(h->loop, pair[0], &gate);
	h->parent = link_new(h->loop, pair[1], &own);
	gate_sessions_link_up(h->sessions, h->parent_gate_end);
}

static void test_private_session(void **state)
{
	struct house *h = *state;

	parent_connect(h);
	assert_int_equal(arrive_at(h, "192.0.2.7", true), GATE_ADMIT);
	turns(h->loop, 3);
	assert_non_null(h->child);
	assert_int_equal(h->child_session, h->child_instance);
	assert_true(h->child_instance >= GATE_PRIVATE_FIRST);
	for (size_t i = 0; i < FIRST_WORKER; i++) {
		assert_int_equal(h->peer[i].heard_count, 2);
		assert_int_equal(h->peer[i].heard[0].type, IPC_LINK_ATTACH);
		assert_int_equal(h->peer[i].heard[0].session, h->child_instance);
		assert_int_equal(h->peer[i].heard[1].type, IPC_SESSION_OPEN);
		assert_int_equal(h->peer[i].heard[1].worker, h->child_instance);
	}
	assert_false(is_worker_told(h)); /* no shared worker knows of it */
	/* A witness that returns has no link to it, and is not told of it. */
	link_free(&h->peer[2].own_end);
	turns(h->loop, 3);
	h->peer[2].heard_count = 0;
	peer_connect(h, 2);
	turns(h->loop, 3);
	assert_int_equal(h->peer[2].heard_count, 0);
	/* Its death ends the session. */
	link_free(&h->child);
	turns(h->loop, 3);
	assert_int_equal(gate_sessions_count(h->sessions), 0);
	assert_int_equal(h->ended, 1);
}

static void test_private_end(void **state)
{
	struct house *h = *state;

	parent_connect(h);
	arrive_at(h, "192.0.2.7", true);
	turns(h->loop, 3);
	assert_true(link_tell(h->child, IPC_SESSION_END, &(struct msg_SESSION_END){h->child_session}, -1));
	turns(h->loop, 3);
	assert_int_equal(gate_sessions_count(h->sessions), 0);
	assert_null(h->child); /* the link was the session */
	/* One that ends another's session is ended itself. */
	arrive_at(h, "192.0.2.7", true);
	arrive(h, "192.0.2.7");
	turns(h->loop, 3);
	assert_true(link_tell(h->child, IPC_SESSION_END, &(struct msg_SESSION_END){worker_of(h)->heard[0].session}, -1));
	log_set_level(LEVEL_ERROR + 1);
	turns(h->loop, 4);
	log_set_level(LEVEL_INFO);
	assert_int_equal(gate_sessions_count(h->sessions), 1);
}

static void test_parent_away(void **state)
{
	struct house *h = *state;

	/* Never there: shared, as the log says. */
	assert_int_equal(arrive_at(h, "192.0.2.7", true), GATE_ADMIT);
	assert_true(is_worker_told(h));
	parent_connect(h);
	assert_int_equal(arrive_at(h, "192.0.2.7", true), GATE_ADMIT);
	turns(h->loop, 3);
	link_free(&h->parent);
	turns(h->loop, 3);
	/* Gone: nobody is served in a process shared with others instead, and who has a process keeps it. */
	assert_int_equal(arrive_at(h, "192.0.2.7", true), GATE_BUSY);
	assert_int_equal(gate_sessions_count(h->sessions), 2);
	assert_non_null(h->child);
	assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
}

/* ---- XCLIENT: a new session of the same worker, that all are told of before the worker hears its number ---- */

struct claimed {
	unsigned answers;
	enum outcome outcome;
	uint64_t session;
	char client[64];
	size_t told; /* to the queue, by then */
	struct house *house;
};

static void on_claimed(struct ipc_message *m, void *arg)
{
	struct claimed *c = arg;

	c->answers++;
	c->told = c->house->peer[0].heard_count;
	if (m == NULL)
		return;
	c->outcome = m->body.CLIENT.outcome;
	c->session = m->body.CLIENT.session;
	slice_copy(m->body.CLIENT.client, c->client, sizeof(c->client));
}

static struct claimed claim(struct house *h, struct link *worker, uint64_t session, const char *client)
{
	const struct msg_CLIENT_ASK ask = {session, slice_of(client), 4711, slice_empty(), 0};
	struct claimed c = {.house = h};

	assert_true(link_ask(worker, IPC_CLIENT_ASK, &ask, 5000, on_claimed, &c) != 0);
	log_set_level(LEVEL_ERROR + 1);
	turns(h->loop, 4);
	log_set_level(LEVEL_INFO);
	return c;
}

static int xclient_build(void **state)
{
	may_xclient = true;
	return house_build(state);
}

static int xclient_clear(void **state)
{
	may_xclient = false;
	return house_clear(state);
}

static void test_claim(void **state)
{
	struct house *h = *state;
	struct peer *worker;
	struct claimed c;
	uint64_t was;

	arrive(h, "192.0.2.7");
	worker = worker_of(h);
	was = worker->heard[0].session;
	c = claim(h, worker->own_end, was, "2001:DB8::0:1");
	assert_int_equal(c.outcome, OC_DONE);
	assert_true(c.session > was);
	assert_string_equal(c.client, "2001:db8::1");
	for (size_t i = 0; i < FIRST_WORKER; i++) {
		const struct heard *heard = h->peer[i].heard;

		assert_int_equal(h->peer[i].heard_count, 3);
		assert_true(heard[1].type == IPC_SESSION_CLOSE && heard[1].session == was);
		assert_true(heard[2].type == IPC_SESSION_OPEN && heard[2].session == c.session);
		assert_int_equal(heard[2].worker, link_instance(worker->gate_end));
		assert_string_equal(heard[2].client, "2001:db8::1");
	}
	assert_int_equal(gate_sessions_count(h->sessions), 1);
	/* the old number is over, and it may speak again for another */
	assert_int_equal(claim(h, worker->own_end, c.session, "192.0.2.8").outcome, OC_DONE);
	assert_int_equal(claim(h, worker->own_end, was, "192.0.2.8").answers, 1);
	assert_null(worker->own_end);
}

/* What is refused changes nothing: the four hear nothing, and the number stays. */
static void test_claim_refused(void **state)
{
	struct house *h = *state;
	struct peer *worker;
	struct claimed c;
	uint64_t session;

	arrive(h, "192.0.2.7");
	worker = worker_of(h);
	session = worker->heard[0].session;
	c = claim(h, worker->own_end, session, "192.0.2.99");
	printf("ROW xclient trusted-client-is-not-taken %s\n", c.outcome == OC_NOT_ALLOWED ? "pass" : "fail");
	assert_true(c.outcome == OC_NOT_ALLOWED && c.session == session);
	assert_int_equal(claim(h, worker->own_end, session, "not.an.address").outcome, OC_BAD_INPUT);
	assert_int_equal(claim(h, worker->own_end, session, "").outcome, OC_BAD_INPUT);
	for (int i = 0; i < 2; i++) /* two of that host is what may_claim allows */
		arrive(h, "192.0.2.8");
	assert_int_equal(claim(h, worker->own_end, session, "192.0.2.8").outcome, OC_BUSY);
	for (size_t i = 0; i < FIRST_WORKER; i++)
		assert_int_equal(h->peer[i].heard_count, 3);
	say_end(worker, session);
	assert_int_equal(gate_sessions_count(h->sessions), 2);
}

/* A worker that was taken over: for a client that may not, and for the session of another worker. */
static void test_claim_is_no_lie(void **state)
{
	struct house *h = *state;
	struct peer *liar;
	uint64_t others;

	arrive(h, "192.0.2.7");
	liar = worker_of(h);
	liar = liar == &h->peer[FIRST_WORKER] ? &h->peer[FIRST_WORKER + 1] : &h->peer[FIRST_WORKER];
	others = worker_of(h)->heard[0].session;
	(void)claim(h, liar->own_end, others, "192.0.2.8");
	printf("ROW xclient others-session %s\n", liar->own_end == NULL ? "pass" : "fail");
	assert_null(liar->own_end);
	may_xclient = false;
	arrive(h, "192.0.2.7");
	liar = worker_of(h);
	(void)claim(h, liar->own_end, liar->heard[1].session, "192.0.2.8");
	printf("ROW xclient client-that-may-not %s\n", liar->own_end == NULL ? "pass" : "fail");
	assert_null(liar->own_end);
	for (size_t i = 0; i < h->peer[0].heard_count; i++)
		assert_true(h->peer[0].heard[i].type == IPC_SESSION_CLOSE || strcmp(h->peer[0].heard[i].client, "192.0.2.7") == 0);
}

static void test_private_claim(void **state)
{
	struct house *h = *state;
	struct claimed c;

	parent_connect(h);
	arrive_at(h, "192.0.2.7", true);
	turns(h->loop, 3);
	c = claim(h, h->child, h->child_session, "192.0.2.8");
	assert_int_equal(c.outcome, OC_DONE);
	assert_true(c.session > h->child_session);
	assert_int_equal(h->peer[0].heard[3].type, IPC_SESSION_OPEN);
	assert_int_equal(h->peer[0].heard[3].worker, h->child_instance);
	assert_true(link_tell(h->child, IPC_SESSION_END, &(struct msg_SESSION_END){c.session}, -1));
	turns(h->loop, 3);
	assert_int_equal(gate_sessions_count(h->sessions), 0);
}

/* ---- workers that retire ---- */

static void on_retired(struct ipc_message *m, void *arg)
{
	unsigned *heard = arg;

	assert_non_null(m);
	assert_int_equal(m->type, IPC_WORKER_RETIRED);
	*heard = 1;
}

/* Counted here, also those that are over: the worker is not asked. */
static void test_what_a_worker_has_served(void **state)
{
	struct house *h = *state;
	uint64_t before;
	struct peer *w;

	most_served = 0;
	arrive(h, "192.0.2.7");
	w = worker_of(h);
	say_end(w, w->heard[0].session);
	before = most_served;
	for (int i = 0; i < 10; i++)
		assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
	assert_int_equal(before, 1);
	assert_true(most_served >= 5 && most_served <= 11);
}

/* Behind the answer no session comes; those it has it keeps. */
static void test_retire(void **state)
{
	struct house *h = *state;
	struct peer *old;
	unsigned retired = 0;
	size_t had;

	arrive(h, "192.0.2.7");
	old = worker_of(h);
	assert_true(link_ask(old->own_end, IPC_WORKER_RETIRE, &(struct msg_WORKER_RETIRE){0}, 5000, on_retired, &retired) != 0);
	turns(h->loop, 4);
	assert_int_equal(retired, 1);
	had = old->heard_count;
	for (int i = 0; i < 5; i++)
		assert_int_equal(arrive(h, "192.0.2.7"), GATE_ADMIT);
	assert_int_equal(old->heard_count, had);
	assert_int_equal(gate_sessions_count(h->sessions), 6);
	say_end(old, old->heard[0].session);
	assert_int_equal(gate_sessions_count(h->sessions), 5);
}

/* ---- doors ---- */

struct visitors {
	unsigned accepted, refused, turns;
	uid_t uid;
	int fds[32];
};

static void on_visitor(const struct door_caller *caller, int fd, void *arg)
{
	struct visitors *v = arg;

	v->uid = caller->uid;
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	v->fds[v->accepted++ % ARRAY_LEN(v->fds)] = fd;
}

static void on_refused(const struct door_caller *caller, int fd, void *arg)
{
	struct visitors *v = arg;

	(void)caller;
	assert_int_equal(send(fd, "421\r\n", 5, MSG_NOSIGNAL), 5);
	v->refused++;
}

static void on_turn(void *arg)
{
	((struct visitors *)arg)->turns++;
}

/* A Unix socket in the abstract space stands for any listening socket. */
static int listening(const char *name, int type, struct sockaddr_un *address, socklen_t *len)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "postern-test-gate-%d-%s", (int)getpid(), name);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address->sun_path + 1));
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)address, *len), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

static int knock(const struct sockaddr_un *address, socklen_t len, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;
	assert_int_equal(connect(fd, (const struct sockaddr *)address, len), 0);
	return fd;
}

static void test_doors(void **state)
{
	struct conf_listener named[] = {{.name = "a"}, {.name = "b"}};
	struct conf first = {.listeners = named, .listener_count = 1}, second = {.listeners = named + 1, .listener_count = 1};
	struct visitors v = {.accepted = 0};
	struct loop *loop = loop_new();
	struct doors *d = doors_new(loop, &(struct door_config){on_visitor, on_refused, on_turn, &v});
	struct sockaddr_un at[3];
	socklen_t len[3];

	(void)state;
	assert_true(doors_add(d, DOOR_TCP, slice_of("a"), 1, listening("a", SOCK_STREAM, &at[0], &len[0])));
	assert_true(doors_add(d, DOOR_SUBMISSION, slice_of("s"), 1, listening("s", SOCK_STREAM, &at[2], &len[2])));
	assert_int_equal(doors_open_count(d), 0);
	doors_follow(d, &first, 1);
	assert_int_equal(doors_open_count(d), 2);
	/* The next generation's door is kept, not open, until the switch; the old one is closed then. */
	assert_true(doors_add(d, DOOR_TCP, slice_of("b"), 2, listening("b", SOCK_STREAM, &at[1], &len[1])));
	doors_follow(d, &first, 1);
	assert_int_equal(doors_open_count(d), 2);
	doors_follow(d, &second, 2);
	assert_int_equal(doors_open_count(d), 2);
	close(knock(&at[1], len[1], SOCK_STREAM));
	close(knock(&at[2], len[2], SOCK_STREAM));
	turns(loop, 3);
	assert_int_equal(v.accepted, 2);
	assert_int_equal(v.uid, getuid());
	/* A generation that is dropped takes its doors along. */
	assert_true(doors_add(d, DOOR_TCP, slice_of("c"), 3, listening("c", SOCK_STREAM, &at[0], &len[0])));
	doors_drop(d, 3);
	assert_int_equal(connect(knock(&at[1], len[1], SOCK_STREAM), (struct sockaddr *)&at[0], len[0]), -1);
	assert_false(doors_add(d, 99, slice_of("x"), 1, dup(0)));
	/* "Every address" is two sockets under one name; the next generation's take their place. */
	assert_true(doors_add(d, DOOR_TCP, slice_of("b"), 2, listening("b6", SOCK_STREAM, &at[0], &len[0])));
	doors_follow(d, &second, 2);
	assert_int_equal(doors_open_count(d), 3);
	assert_true(doors_add(d, DOOR_TCP, slice_of("b"), 3, listening("b7", SOCK_STREAM, &at[0], &len[0])));
	doors_follow(d, &second, 3);
	assert_int_equal(doors_open_count(d), 2);
	doors_close_for_mail(d);
	assert_int_equal(doors_open_count(d), 0);
	for (unsigned i = 0; i < v.accepted; i++)
		close(v.fds[i]);
	doors_free(&d);
	loop_free(&loop);
}

static void test_out_of_descriptors(void **state)
{
	struct visitors v = {.accepted = 0};
	struct loop *loop = loop_new();
	struct doors *d = doors_new(loop, &(struct door_config){on_visitor, on_refused, on_turn, &v});
	struct conf none = {.listener_count = 0};
	struct rlimit normal, tight;
	struct sockaddr_un at;
	socklen_t len;
	int client[2];
	char line[8];

	(void)state;
	assert_true(doors_add(d, DOOR_SUBMISSION, slice_of("s"), 1, listening("fd", SOCK_STREAM, &at, &len)));
	doors_follow(d, &none, 1);
	turns(loop, 2);
	client[0] = knock(&at, len, SOCK_STREAM);
	client[1] = knock(&at, len, SOCK_STREAM);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &normal), 0);
	tight = (struct rlimit){(rlim_t)client[1] + 1, normal.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	log_set_level(LEVEL_ERROR + 1);
	turns(loop, 3);
	log_set_level(LEVEL_INFO);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &normal), 0);
	assert_int_equal(v.accepted, 0);
	assert_int_equal(v.refused, 1);
	assert_int_equal(read(client[0], line, sizeof(line)), 5);
	/* After a rest the other is served. */
	for (int i = 0; i < 100 && v.accepted == 0; i++) {
		usleep(10000);
		loop_turn(loop);
	}
	assert_int_equal(v.accepted, 1);
	close(v.fds[0]);
	close(client[0]);
	close(client[1]);
	doors_free(&d);
	loop_free(&loop);
}

/* ---- the control socket ---- */

struct office {
	struct loop *loop;
	struct controls *controls;
	unsigned asked;
	uint64_t uid;
	enum role role;
	bool silent;
	struct {
		link_answer_fn *on_answer;
		void *arg;
	} waiting[CONTROL_QUESTIONS_MAX];
	size_t waiting_count;
};

static void give_answers(struct office *o)
{
	struct ipc_message m = {.type = IPC_CONTROL_ANSWER, .fd = -1};

	m.body.CONTROL_ANSWER = (struct msg_CONTROL_ANSWER){OC_DONE, slice_of("well"), slice_empty(), slice_empty()};
	while (o->waiting_count > 0) {
		o->waiting_count--;
		o->waiting[o->waiting_count].on_answer(&m, o->waiting[o->waiting_count].arg);
	}
}

static void on_control(enum role role, const struct msg_CONTROL_ASK *ask, link_answer_fn *on_answer, void *on_answer_arg,
		       void *arg)
{
	struct office *o = arg;

	o->asked++;
	o->role = role;
	o->uid = ask->uid;
	assert_true(o->waiting_count < CONTROL_QUESTIONS_MAX);
	o->waiting[o->waiting_count].on_answer = on_answer;
	o->waiting[o->waiting_count++].arg = on_answer_arg;
	if (!o->silent)
		give_answers(o);
}

static int office_open(void **state)
{
	struct office *o = mem_new(1, sizeof(*o));

	o->loop = loop_new();
	o->controls = controls_new(o->loop, on_control, o);
	log_set_level(LEVEL_ERROR);
	*state = o;
	return 0;
}

static int office_close(void **state)
{
	struct office *o = *state;

	controls_free(&o->controls);
	give_answers(o);
	loop_free(&o->loop);
	log_set_level(LEVEL_INFO);
	free(o);
	return 0;
}

static int operator_comes(struct office *o, uid_t uid)
{
	int pair[2];

	assert_true(link_pair(pair));
	controls_accept(o->controls, pair[0], uid);
	return pair[1];
}

static bool question(struct buf *out, const char *verb, uint64_t uid, uint64_t number)
{
	struct msg_CONTROL_ASK ask = {uid, slice_of(verb), slice_empty(), slice_empty()};
	struct ipc_head head = {.type = IPC_CONTROL_ASK, .request = number};
	char bytes[IPC_HEAD_BYTES];
	struct buf payload = buf_make(9000);
	bool ok = ipc_encode(IPC_CONTROL_ASK, &ask, &payload);

	head.length = (uint32_t)payload.len;
	ipc_head_encode(&head, bytes);
	ok = ok && buf_add(out, bytes, sizeof(bytes)) && buf_add_slice(out, buf_slice(&payload));
	buf_free(&payload);
	return ok;
}

static void ask_verb(struct office *o, int fd, const char *verb, uint64_t uid)
{
	struct buf packet = buf_make(10000);

	assert_true(question(&packet, verb, uid, 77));
	assert_int_equal(send(fd, packet.at, packet.len, MSG_NOSIGNAL), (ssize_t)packet.len);
	turns(o->loop, 4);
	buf_free(&packet);
}

/* The outcome of the one answer that is there. */
static enum outcome answer_of(int fd)
{
	static char space[LINK_PACKET_MAX];
	ssize_t n = recv(fd, space, sizeof(space), MSG_DONTWAIT);
	struct ipc_head head;
	struct ipc_message m;

	assert_true(n > 0);
	assert_true(ipc_head_decode(slice_make(space, (size_t)n), &head));
	assert_int_equal(head.type, IPC_CONTROL_ANSWER);
	assert_int_equal(head.request, 77);
	assert_true(ipc_decode(IPC_CONTROL_ANSWER, slice_make(space + IPC_HEAD_BYTES, head.length), &m));
	return m.body.CONTROL_ANSWER.outcome;
}

static void test_control(void **state)
{
	struct office *o = *state;
	int root = operator_comes(o, 0), user = operator_comes(o, 4321);

	ask_verb(o, root, "queue.list", 999);
	assert_int_equal(answer_of(root), OC_DONE);
	assert_int_equal(o->role, ROLE_QUEUE);
	assert_int_equal(o->uid, 0); /* the kernel's word, not the message's */
	ask_verb(o, root, "reload", 0);
	assert_int_equal(o->role, ROLE_MASTER);
	assert_int_equal(answer_of(root), OC_DONE);
	ask_verb(o, root, "nonsense", 0);
	assert_int_equal(answer_of(root), OC_NOT_FOUND);
	o->asked = 0;
	ask_verb(o, user, "queue.remove", 0);
	assert_int_equal(answer_of(user), OC_NOT_ALLOWED);
	assert_int_equal(o->asked, 0);
	close(root);
	close(user);
	turns(o->loop, 3);
	assert_int_equal(controls_count(o->controls), 0);
}

static void test_control_gone_before_answer(void **state)
{
	struct office *o = *state;
	int fd = operator_comes(o, 0);

	o->silent = true;
	ask_verb(o, fd, "queue.list", 0);
	close(fd);
	turns(o->loop, 3);
	assert_int_equal(controls_count(o->controls), 0);
	give_answers(o); /* nobody is there: no harm */
}

static void test_control_bounds(void **state)
{
	struct office *o = *state;
	int fds[CONTROL_CONNECTIONS_MAX];
	struct buf packet = buf_make(100000);
	char byte;
	int extra;

	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		fds[i] = operator_comes(o, 0);
	extra = operator_comes(o, 0);
	assert_int_equal(recv(extra, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(controls_count(o->controls), CONTROL_CONNECTIONS_MAX);
	for (unsigned i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		close(fds[i]);
	close(extra);
	turns(o->loop, 3);
	fds[0] = operator_comes(o, 0);
	o->silent = true;
	for (unsigned i = 0; i <= CONTROL_QUESTIONS_MAX; i++)
		question(&packet, "queue.list", 0, i + 1);
	assert_int_equal(send(fds[0], packet.at, packet.len, MSG_NOSIGNAL), (ssize_t)packet.len);
	turns(o->loop, 3);
	assert_int_equal(controls_count(o->controls), 0);
	assert_int_equal(o->asked, CONTROL_QUESTIONS_MAX);
	close(fds[0]);
	buf_free(&packet);
}

/* Sends bytes as an unknown command would; what another is asking must be answered all the same. */
static void attack(struct office *o, int witness, struct slice bytes, int pass_fd)
{
	int fd = operator_comes(o, 0);
	struct iovec part = {.iov_base = NULL, .iov_len = bytes.len};
	char space[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
	char copy[70000];

	assert_true(bytes.len <= sizeof(copy));
	memcpy(copy, bytes.at, bytes.len);
	part.iov_base = copy;
	if (pass_fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = space;
		m.msg_controllen = sizeof(space);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass_fd, sizeof(int));
	}
	(void)sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	turns(o->loop, 2);
	close(fd);
	turns(o->loop, 2);
	ask_verb(o, witness, "queue.list", 0);
	assert_int_equal(answer_of(witness), OC_DONE);
	assert_int_equal(controls_count(o->controls), 1);
}

static void test_control_under_attack(void **state)
{
	struct office *o = *state;
	int witness = operator_comes(o, 0), null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct buf good = buf_make(10000);
	static char zeros[65536];

	assert_true(question(&good, "queue.list", 0, 77));
	for (size_t i = 0; i < good.len; i++) {
		static const unsigned char flips[] = {0x01, 0x80, 0xff};

		for (size_t f = 0; f < ARRAY_LEN(flips); f++) {
			char kept = good.at[i];

			good.at[i] = (char)((unsigned char)kept ^ flips[f]);
			attack(o, witness, buf_slice(&good), -1);
			good.at[i] = kept;
		}
	}
	printf("ROW O07 every-byte-changed pass\n");
	for (size_t len = 0; len < good.len; len++)
		attack(o, witness, slice_make(good.at, len), -1);
	printf("ROW O07 every-truncation pass\n");
	attack(o, witness, slice_make(zeros, sizeof(zeros)), -1);
	attack(o, witness, buf_slice(&good), null_fd);
	printf("ROW O07 descriptor-passed pass\n");
	for (int i = 0; i < 2000; i++)
		attack(o, witness, slice_make(good.at, 10), -1);
	printf("ROW O07 many-connections pass\n");
	close(witness);
	close(null_fd);
	turns(o->loop, 3);
	buf_free(&good);
}

#define IN_HOUSE(test) cmocka_unit_test_setup_teardown(test, house_build, house_clear)
#define IN_OFFICE(test) cmocka_unit_test_setup_teardown(test, office_open, office_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_local_counts),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_verbs),
		IN_HOUSE(test_attested_before_started),
		IN_HOUSE(test_attestation_is_on_the_wire_first),
		IN_HOUSE(test_least_loaded),
		cmocka_unit_test_setup_teardown(test_full_workers, small_house_build, house_clear),
		IN_HOUSE(test_end),
		IN_HOUSE(test_end_of_anothers),
		IN_HOUSE(test_worker_dies),
		IN_HOUSE(test_witness_returns),
		cmocka_unit_test(test_starting),
		IN_HOUSE(test_private_session),
		IN_HOUSE(test_private_end),
		IN_HOUSE(test_parent_away),
		cmocka_unit_test_setup_teardown(test_claim, xclient_build, xclient_clear),
		cmocka_unit_test_setup_teardown(test_claim_refused, xclient_build, xclient_clear),
		cmocka_unit_test_setup_teardown(test_claim_is_no_lie, xclient_build, xclient_clear),
		cmocka_unit_test_setup_teardown(test_private_claim, xclient_build, xclient_clear),
		IN_HOUSE(test_retire),
		IN_HOUSE(test_what_a_worker_has_served),
		IN_HOUSE(test_stopped_witness),
		IN_HOUSE(test_lagging_queue),
		IN_HOUSE(test_dead_keyd_is_given_up),
		cmocka_unit_test(test_doors),
		cmocka_unit_test(test_out_of_descriptors),
		IN_OFFICE(test_control),
		IN_OFFICE(test_control_gone_before_answer),
		IN_OFFICE(test_control_bounds),
		IN_OFFICE(test_control_under_attack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
