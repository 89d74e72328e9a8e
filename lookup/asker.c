#include "asker.h"

#include "backend.h"

#include "base/clock.h"
#include "base/mem.h"
#include "conf/net.h"

#include <errno.h>
#include <sys/queue.h>
#include <unistd.h>

#define QUESTIONS_MAX 5000u /* more than policyd has at a time: portions of lists, and a key of each question that waits there */
#define BACK_OFF_FIRST_MS 1000u
#define BACK_OFF_MOST_MS 30000u
#define SLACK_MS 2000u

enum state { DOWN, CREDENTIAL, RESOLVING, DIALLING, OPENING, IDLE, ASKING };

struct question {
	TAILQ_ENTRY(question) next;
	struct asker *asker;
	struct link *link; /* borrowed; NULL: who asked is gone */
	uint64_t request;
	struct timer *timer; /* owned */
	bool again; /* it was asked once already, over a connection that proved dead */
	size_t len;
	char key[1024];
};
TAILQ_HEAD(questions, question);

/* Always: `in_hand` is there in ASKING alone; `connection`, `watch` and `generation` from OPENING on. */
struct asker {
	struct service *service;
	const struct backend_kind *kind;
	enum state state;
	struct questions waiting;
	size_t count; /* with the one in hand */
	struct question *in_hand;
	size_t server;
	char address[65]; /* of a server that has a name; "" */
	void *connection; /* owned */
	struct generation *generation; /* held: the connection points into it */
	struct watch *watch; /* owned */
	struct timer *opening; /* owned: the time to be ready */
	bool used; /* it has answered a question */
	struct buf user, secret; /* owned, while it is dialled and opened */
	uint64_t back_off_ms, again_at_ms;
	uint64_t asked, unknown;
	char why[BACKEND_WHY_MAX + 1]; /* it is down */
};

static const struct conf_table *table_of(const struct asker *a)
{
	return conf_lookup_table(service_conf(a->service), service_instance(a->service));
}

static void drive(struct asker *a);
static void step(struct asker *a);

/* ---- answers ---- */

static void question_free(struct question *q)
{
	q->asker->count--;
	timer_free(&q->timer);
	free(q);
}

/* It is in no list any more. */
static void end(struct question *q, enum outcome oc, struct slice why, struct slice value)
{
	const struct msg_LOOKUP answer = {oc, slice_sub(why, 0, BACKEND_WHY_MAX), value};

	q->asker->unknown += oc != OC_DONE && oc != OC_NOT_FOUND;
	if (q->link != NULL)
		link_answer(q->link, q->request, IPC_LOOKUP, &answer, -1);
	question_free(q);
}

static void end_waiting(struct asker *a, struct slice why)
{
	struct question *q;

	while ((q = TAILQ_FIRST(&a->waiting)) != NULL) {
		TAILQ_REMOVE(&a->waiting, q, next);
		end(q, OC_UNAVAILABLE, why, slice_empty());
	}
}

/* ---- a connection ends ---- */

static void hang_up(struct asker *a)
{
	watch_free(&a->watch);
	if (a->connection != NULL)
		a->kind->close(a->connection);
	a->connection = NULL;
	generation_release(a->service, &a->generation);
	timer_stop(a->opening);
	buf_free(&a->user);
	buf_free(&a->secret);
	a->state = DOWN;
	a->used = false;
}

static const char *server_name(const struct asker *a)
{
	const struct conf_backend *b = table_of(a)->backend;
	const struct conf_ldap_server *s = &b->servers[a->server < b->server_count ? a->server : 0];

	return s->path != NULL ? s->path : s->host;
}

static void note(struct asker *a, struct slice why)
{
	(void)slice_copy(slice_sub(why, 0, BACKEND_WHY_MAX), a->why, sizeof(a->why));
	LOG(LEVEL_WARN, "lookup-unavailable", KV_STR("table", table_of(a)->name), KV_STR("server", server_name(a)), KV_TEXT("why", why));
}

/* No server can be had: nothing is tried for a while. */
static void rest(struct asker *a)
{
	a->back_off_ms = a->back_off_ms == 0 ? BACK_OFF_FIRST_MS : a->back_off_ms * 2;
	if (a->back_off_ms > BACK_OFF_MOST_MS)
		a->back_off_ms = BACK_OFF_MOST_MS;
	a->again_at_ms = clock_mono_ms() + a->back_off_ms;
	end_waiting(a, slice_of(a->why));
}

static void dial(struct asker *a);

static void next_server(struct asker *a, struct slice why)
{
	note(a, why);
	hang_up(a);
	a->server++;
	if (a->server < table_of(a)->backend->server_count)
		dial(a);
	else
		rest(a);
}

/* A connection that served before may have died of old age: the question that finds it dead is asked once more. */
static void lose(struct asker *a, struct slice why)
{
	struct question *q = a->in_hand;
	bool again = q != NULL && a->used && !q->again;

	a->in_hand = NULL;
	if (!again && q != NULL)
		note(a, why);
	hang_up(a);
	if (again) {
		q->again = true;
		TAILQ_INSERT_HEAD(&a->waiting, q, next);
		return;
	}
	if (q == NULL)
		return;
	end(q, OC_UNAVAILABLE, why, slice_empty());
	rest(a);
}

/* ---- a connection begins ---- */

static void on_ready(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	step(arg);
}

static void on_opening_too_long(void *arg)
{
	const struct asker *a = arg;

	next_server(arg, slice_of(table_of(a)->backend->tls.mode == TLS_OFF ? "it did not answer in time" :
									    "it did not answer in time; perhaps it speaks no TLS there"));
}

static void open_connection(struct asker *a, int fd)
{
	const struct conf_backend *b = table_of(a)->backend;

	a->generation = generation_hold(service_generation(a->service));
	a->connection = a->kind->open(&(struct backend_opening){.conf = b,
								.server = &b->servers[a->server],
								.user = buf_slice(&a->user),
								.secret = buf_slice(&a->secret),
								.tls = a->generation->state},
				      fd);
	buf_free(&a->user);
	buf_free(&a->secret);
	if (a->connection == NULL) {
		next_server(a, slice_of("out of memory"));
		return;
	}
	a->watch = watch_new(service_loop(a->service), fd, on_ready, a);
	a->state = OPENING;
	timer_set(a->opening, b->timeout_ms);
	step(a);
}

static void on_dialled(struct ipc_message *m, void *arg)
{
	struct asker *a = arg;
	int fd = m == NULL ? -1 : m->fd;

	if (fd < 0 || m->body.DIALLED.outcome != OC_DONE) {
		next_server(a, m == NULL ? slice_of("postern-dial did not answer") : m->body.DIALLED.text);
		return;
	}
	m->fd = -1;
	open_connection(a, fd);
}

static void ask_dial(struct asker *a);

/* The first of its addresses will do. */
static void on_resolved(struct ipc_message *m, void *arg)
{
	struct asker *a = arg;
	struct slice records = m == NULL || m->body.HOST_ANSWER.outcome != OC_DONE ? slice_empty() : m->body.HOST_ANSWER.mx_host_records;
	struct rec_mx_host host;

	while (a->address[0] == '\0' && rec_mx_host_next(&records, &host))
		(void)slice_copy(host.address, a->address, sizeof(a->address));
	if (a->address[0] == '\0')
		next_server(a, slice_of("its name has no address now"));
	else
		ask_dial(a);
}

static void find_address(struct asker *a)
{
	const struct conf_backend *b = table_of(a)->backend;
	const char *host = b->servers[a->server].host;
	struct in6_addr ip;

	a->address[0] = '\0';
	if (host == NULL || net_address(slice_of(host), &ip)) {
		ask_dial(a);
		return;
	}
	a->state = RESOLVING;
	service_ask(a->service, ROLE_RESOLVER, IPC_HOST_ASK, &(struct msg_HOST_ASK){slice_of(host)}, b->timeout_ms, on_resolved, a);
}

static void ask_dial(struct asker *a)
{
	const struct conf *conf = service_conf(a->service);
	const struct conf_table *t = table_of(a);
	const struct msg_DIAL_ASK ask = {service_generation(a->service)->number, CONF_TARGET_TABLE(t - conf->tables, a->server), slice_of(a->address),
					 t->backend->timeout_ms};

	a->state = DIALLING;
	service_ask(a->service, ROLE_DIAL, IPC_DIAL_ASK, &ask, t->backend->timeout_ms + SLACK_MS, on_dialled, a);
}

static void on_credential(struct ipc_message *m, void *arg)
{
	struct asker *a = arg;
	const struct msg_CREDENTIAL *c = m == NULL ? NULL : &m->body.CREDENTIAL;

	if (c != NULL && c->outcome == OC_DONE && buf_add_slice(&a->user, c->user) && buf_add_slice(&a->secret, c->secret))
		find_address(a);
	else
		next_server(a, slice_of("its credential cannot be had"));
}

static void dial(struct asker *a)
{
	const struct conf_table *t = table_of(a);

	if (t->backend->login == NULL) {
		find_address(a);
		return;
	}
	a->state = CREDENTIAL;
	service_ask(a->service, ROLE_AUTHD, IPC_TABLE_LOGIN_ASK, &(struct msg_TABLE_LOGIN_ASK){slice_of(t->name)},
		    t->backend->timeout_ms, on_credential, a);
}

/* ---- steps ---- */

static void is_ready(struct asker *a)
{
	if (a->state == OPENING)
		LOG(LEVEL_INFO, "lookup-connected", KV_STR("table", table_of(a)->name), KV_STR("server", server_name(a)));
	timer_stop(a->opening);
	a->back_off_ms = 0;
	a->state = IDLE;
	watch_want(a->watch, WATCH_READ);
}

static void take_answer(struct asker *a, struct backend_answer *answer)
{
	struct question *q = a->in_hand;

	a->in_hand = NULL;
	a->used = true;
	is_ready(a);
	end(q, answer->oc, slice_of(answer->why), answer->oc == OC_DONE ? buf_slice(&answer->value) : slice_empty());
}

static void is_broken(struct asker *a, struct slice why)
{
	if (a->state == OPENING)
		next_server(a, why);
	else
		lose(a, why);
}

/* One step of the connection, and what it means. */
static void step_once(struct asker *a)
{
	struct backend_answer answer = {OC_UNAVAILABLE, buf_make(BACKEND_VALUE_MAX), ""};

	switch (a->kind->step(a->connection, &answer)) {
	case BACKEND_READ:
		watch_want(a->watch, WATCH_READ);
		break;
	case BACKEND_WRITE:
		watch_want(a->watch, WATCH_READ | WATCH_WRITE);
		break;
	case BACKEND_READY:
		is_ready(a);
		break;
	case BACKEND_ANSWER:
		take_answer(a, &answer);
		break;
	case BACKEND_BROKEN:
		is_broken(a, slice_of(answer.why));
		break;
	}
	buf_free(&answer.value);
}

static void step(struct asker *a)
{
	step_once(a);
	drive(a);
}

static void ask_next(struct asker *a)
{
	struct question *q = TAILQ_FIRST(&a->waiting);

	TAILQ_REMOVE(&a->waiting, q, next);
	a->in_hand = q;
	a->state = ASKING;
	if (a->kind->ask(a->connection, slice_make(q->key, q->len)))
		step_once(a);
	else
		lose(a, slice_of("it cannot be asked"));
}

/* What can be done for those that wait. */
static void drive(struct asker *a)
{
	while (!TAILQ_EMPTY(&a->waiting) && (a->state == IDLE || a->state == DOWN)) {
		if (a->state == IDLE) {
			ask_next(a);
		} else if (clock_mono_ms() < a->again_at_ms) {
			end_waiting(a, slice_of(a->why));
		} else {
			a->server = 0;
			dial(a);
		}
	}
}

/* ---- questions ---- */

/* The connection of a question that is given up may still answer it: it is not used again. */
static void on_time_over(void *arg)
{
	struct question *q = arg;
	struct asker *a = q->asker;

	if (q == a->in_hand) {
		note(a, slice_of("it did not answer in time"));
		a->in_hand = NULL;
		hang_up(a);
	} else {
		TAILQ_REMOVE(&a->waiting, q, next);
	}
	end(q, OC_UNAVAILABLE, slice_of("it did not answer in time"), slice_empty());
	drive(a);
}

static struct question *question_new(struct asker *a, struct link *link, const struct ipc_message *m)
{
	const struct msg_LOOKUP_ASK *ask = &m->body.LOOKUP_ASK;
	struct question *q = a->count >= QUESTIONS_MAX || ask->key.len > sizeof(q->key) ? NULL : mem_new(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->asker = a;
	q->link = link;
	q->request = m->request;
	q->len = ask->key.len;
	memcpy(q->key, ask->key.at, ask->key.len);
	q->timer = timer_new(service_loop(a->service), on_time_over, q);
	timer_set(q->timer, table_of(a)->backend->timeout_ms);
	TAILQ_INSERT_TAIL(&a->waiting, q, next);
	a->count++;
	return q;
}

static void refuse(struct link *link, uint64_t request, enum outcome oc, const char *why)
{
	link_answer(link, request, IPC_LOOKUP, &(struct msg_LOOKUP){oc, slice_of(why), slice_empty()}, -1);
}

void asker_ask(struct asker *a, struct link *link, const struct ipc_message *m)
{
	const struct msg_LOOKUP_ASK *ask = &m->body.LOOKUP_ASK;

	a->asked++;
	if (!slice_eq(ask->table, slice_of(table_of(a)->name)))
		refuse(link, m->request, OC_UNAVAILABLE, "this process asks another table");
	else if (slice_index(ask->key, '\0') != SLICE_NONE)
		refuse(link, m->request, OC_NOT_FOUND, ""); /* no text has a NUL */
	else if (question_new(a, link, m) == NULL)
		refuse(link, m->request, OC_UNAVAILABLE, "too many questions wait");
	else
		drive(a);
}

void asker_link_down(struct asker *a, const struct link *link)
{
	struct question *q;

	if (a->in_hand != NULL && a->in_hand->link == link)
		a->in_hand->link = NULL;
	TAILQ_FOREACH(q, &a->waiting, next)
		if (q->link == link)
			q->link = NULL;
}

void asker_status(const struct asker *a, struct buf *out)
{
	service_status_text(out, "table", table_of(a)->name);
	service_status_text(out, "server", a->state >= IDLE ? "connected" : a->why[0] != '\0' ? a->why : "not asked yet");
	service_status_number(out, "questions", a->asked);
	service_status_number(out, "waiting", a->count);
	service_status_number(out, "unknown", a->unknown);
}

static const struct backend_kind *kind_of(enum conf_table_kind kind)
{
	static const struct backend_kind *const kinds[TABLE_KIND_COUNT] = {
		[TABLE_POSTGRESQL] = &backend_postgresql, [TABLE_REDIS] = &backend_redis, [TABLE_SOCKETMAP] = &backend_socketmap, [TABLE_LDAP] = &backend_ldap};

	return kinds[kind];
}

struct asker *asker_new(struct service *s)
{
	const struct conf_table *t = conf_lookup_table(service_conf(s), service_instance(s));
	struct asker *a = t == NULL ? NULL : mem_new(1, sizeof(*a));

	if (t == NULL)
		return NULL;
	if (a == NULL)
		log_fatal("asker", ENOMEM);
	a->service = s;
	a->kind = kind_of(t->kind);
	a->user = buf_make_secret(1024);
	a->secret = buf_make_secret(2048);
	a->opening = timer_new(service_loop(s), on_opening_too_long, a);
	TAILQ_INIT(&a->waiting);
	return a;
}
