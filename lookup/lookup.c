/*
 * postern-lookup: asks a directory whether a password is right; or, another instance, a server that keeps a table (asker.h).
 *
 *   DIRECTORY_ASK --> next server --name?--> resolving --> dialling --connection--> a child has it --DIRECTORY_END--> answered
 *                       ^                       |            |                         |
 *                       '---- not this address, not this server, no word from it ------'
 *
 * The process itself never reads a byte of a directory: a child does, with libldap, and ends (common/warm).
 *
 * Always: one answer a question, within OVERALL_MS, for no step is waited for longer than until then; whoever did not answer leaves it unknown, and only unknown goes on to the next
 * server.
 */
#include "asker.h"
#include "directory.h"
#include "trust.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"
#include "service/service.h"
#include "warm/warm.h"

#include <errno.h>
#include <stdio.h>
#include <sys/queue.h>
#include <unistd.h>

#define QUESTIONS_MAX 16u
#define CHILDREN 4u
#define PROCESSES_MAX 256 /* of our user, whose processes the kernel counts across suites */
#define OVERALL_MS 20000u
#define ADDRESSES_MAX 4u
/* Beyond what a child allows itself: only its death is waited for so long. */
#define SLACK_MS 2000u
#define WHY_MAX 255u

struct question {
	LIST_ENTRY(question) next;
	struct lookup *lookup;
	struct link *link; /* borrowed; NULL: who asked is gone */
	uint64_t request; /* his number */
	uint64_t number; /* ours; 0: no child has it, and a callback of somebody else is to come */
	uint64_t until_ms;
	size_t server;
	char addresses[ADDRESSES_MAX][65];
	size_t address, address_count;
	struct timer *timer; /* owned: of the child */
	char login[256], bind_name[513];
	struct buf secret, bind_secret; /* owned */
	char why[WHY_MAX + 1];
};

struct lookup {
	struct service *service;
	struct link *children; /* owned */
	LIST_HEAD(, question) questions;
	size_t count;
	uint64_t last_number;
	struct asker *asker; /* owned; NULL: this instance asks the directory */
};

static int children_fd = -1;

static const struct conf_ldap *directory_of(struct service *s)
{
	return service_conf(s)->auth.ldap;
}

/* ---- the answer ---- */

static void question_free(struct question *q)
{
	LIST_REMOVE(q, next);
	q->lookup->count--;
	timer_free(&q->timer);
	buf_free(&q->secret);
	buf_free(&q->bind_secret);
	free(q);
}

static void end(struct question *q, enum outcome oc, struct slice why)
{
	const struct msg_VERIFIED answer = {oc, slice_sub(why, 0, WHY_MAX), slice_empty()};

	if (q->link != NULL)
		link_answer(q->link, q->request, IPC_VERIFIED, &answer, -1);
	question_free(q);
}

/* ---- servers, one after the other ---- */

/* Of the time that a step may take, what the question has left. */
static uint64_t at_most(const struct question *q, uint64_t ms)
{
	uint64_t now = clock_mono_ms(), left = q->until_ms > now ? q->until_ms - now : 0;

	return ms < left ? ms : left;
}

static void next_try(struct question *q);
static void begin_server(struct question *q);

static void note(struct question *q, struct slice why)
{
	const struct conf_ldap *l = directory_of(q->lookup->service);
	const struct conf_ldap_server *s = &l->servers[q->server];

	snprintf(q->why, sizeof(q->why), "%.64s: %.*s", s->path != NULL ? s->path : s->host, (int)(why.len > 180 ? 180 : why.len), why.at);
	LOG(LEVEL_WARN, "directory-unavailable", KV_STR("server", s->path != NULL ? s->path : s->host), KV_TEXT("why", why));
}

/* A child that says nothing is dead, or will be: its alarm sees to that. */
static void on_silence(void *arg)
{
	struct question *q = arg;

	q->number = 0; /* a late word of that child is about nothing */
	note(q, slice_of("it did not answer in time"));
	next_try(q);
}

static void on_dialled(struct ipc_message *m, void *arg)
{
	struct question *q = arg;
	struct lookup *l = q->lookup;
	int fd = m == NULL ? -1 : m->fd;
	struct msg_DIRECTORY_START start;

	if (fd < 0 || m->body.DIALLED.outcome != OC_DONE) {
		note(q, m == NULL ? slice_of("postern-dial did not answer") : m->body.DIALLED.text);
		next_try(q);
		return;
	}
	m->fd = -1;
	q->number = ++l->last_number;
	start = (struct msg_DIRECTORY_START){q->number,		     q->server,			slice_of(q->login), buf_slice(&q->secret),
					     slice_of(q->bind_name), buf_slice(&q->bind_secret)};
	/* Alone in its packet: whichever child takes it, takes only this. */
	if (!link_tell(l->children, IPC_DIRECTORY_START, &start, fd) || !link_flush(l->children)) {
		end(q, OC_UNAVAILABLE, slice_of("no child takes the question"));
		return;
	}
	timer_set(q->timer, at_most(q, directory_of(l->service)->timeout_ms + SLACK_MS));
}

static void dial(struct question *q, struct slice address)
{
	const struct conf *c = service_conf(q->lookup->service);
	const struct msg_DIAL_ASK ask = {service_generation(q->lookup->service)->number, q->server, address,
					 at_most(q, c->auth.ldap->timeout_ms)};

	service_ask(q->lookup->service, ROLE_DIAL, IPC_DIAL_ASK, &ask, at_most(q, c->auth.ldap->timeout_ms + SLACK_MS), on_dialled, q);
}

static void next_try(struct question *q)
{
	timer_stop(q->timer);
	if (q->link == NULL || clock_mono_ms() >= q->until_ms) {
		end(q, OC_UNAVAILABLE, slice_of(q->why));
	} else if (q->address < q->address_count) {
		dial(q, slice_of(q->addresses[q->address++]));
	} else {
		q->server++;
		begin_server(q);
	}
}

static void take_addresses(struct question *q, struct slice records)
{
	struct rec_mx_host host;

	while (q->address_count < ADDRESSES_MAX && rec_mx_host_next(&records, &host))
		if (slice_copy(host.address, q->addresses[q->address_count], sizeof(q->addresses[0])) && host.address.len > 0)
			q->address_count++;
}

static void on_resolved(struct ipc_message *m, void *arg)
{
	struct question *q = arg;

	if (m != NULL && m->body.HOST_ANSWER.outcome == OC_DONE)
		take_addresses(q, m->body.HOST_ANSWER.mx_host_records);
	if (q->address_count == 0)
		note(q, slice_of("its name has no address now"));
	next_try(q);
}

static void begin_server(struct question *q)
{
	const struct conf_ldap *l = directory_of(q->lookup->service);
	struct in6_addr ip;

	q->address = q->address_count = 0;
	if (l == NULL || q->server >= l->server_count) {
		end(q, OC_UNAVAILABLE, slice_of(q->why));
	} else if (l->servers[q->server].host == NULL || net_address(slice_of(l->servers[q->server].host), &ip)) {
		dial(q, slice_empty());
	} else {
		service_ask(q->lookup->service, ROLE_RESOLVER, IPC_HOST_ASK,
			    &(struct msg_HOST_ASK){slice_of(l->servers[q->server].host)}, at_most(q, l->timeout_ms + SLACK_MS), on_resolved, q);
	}
}

/* ---- children ---- */

static void on_child_message(struct link *link, struct ipc_message *m, void *arg)
{
	const struct msg_DIRECTORY_END *told = &m->body.DIRECTORY_END;
	struct lookup *l = arg;
	struct question *q;

	if (m->type != IPC_DIRECTORY_END || told->number == 0) {
		link_break(link, "a child only answers");
		return;
	}
	LIST_FOREACH(q, &l->questions, next)
		if (q->number == told->number)
			break;
	if (q == NULL)
		return; /* too late */
	q->number = 0;
	if (told->outcome == OC_AUTHENTICATED || told->outcome == OC_AUTH_FAILED) {
		end(q, told->outcome, told->why);
		return;
	}
	note(q, told->why);
	/* It was reached: its other addresses would say the same. */
	q->address = q->address_count;
	next_try(q);
}

static void on_children_gone(struct link *link, const char *broke_rules, void *arg)
{
	struct lookup *l = arg;

	(void)link;
	LOG(LEVEL_ERROR, "children-gone", KV_STR("why", broke_rules == NULL ? "they ended" : broke_rules));
	service_stop(l->service);
}

/* ---- questions ---- */

static struct question *question_new(struct lookup *l, struct link *link, const struct ipc_message *m)
{
	const struct msg_DIRECTORY_ASK *ask = &m->body.DIRECTORY_ASK;
	struct question *q = l->count >= QUESTIONS_MAX ? NULL : mem_new(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->lookup = l;
	q->link = link;
	q->request = m->request;
	q->until_ms = clock_mono_ms() + OVERALL_MS;
	q->secret = buf_make_secret(1025);
	q->bind_secret = buf_make_secret(1025);
	q->timer = timer_new(service_loop(l->service), on_silence, q);
	LIST_INSERT_HEAD(&l->questions, q, next);
	l->count++;
	if (slice_copy(ask->login, q->login, sizeof(q->login)) && slice_copy(ask->bind_name, q->bind_name, sizeof(q->bind_name)) &&
	    buf_add_slice(&q->secret, ask->secret) && buf_add_slice(&q->bind_secret, ask->bind_secret))
		return q;
	question_free(q);
	return NULL;
}

static void on_directory_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	struct lookup *l = service_state(s);
	struct question *q = l->asker != NULL ? NULL : question_new(l, link, m);
	const struct msg_VERIFIED busy = {OC_UNAVAILABLE, slice_of("too many questions at once"), slice_empty()};

	if (q == NULL)
		link_answer(link, m->request, IPC_VERIFIED, &busy, -1);
	else
		begin_server(q);
}

static void on_lookup_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	struct lookup *l = service_state(s);
	const struct msg_LOOKUP none = {OC_UNAVAILABLE, slice_of("this process asks no table"), slice_empty()};

	if (l->asker == NULL)
		link_answer(link, m->request, IPC_LOOKUP, &none, -1);
	else
		asker_ask(l->asker, link, m);
}

static void on_link_down(struct service *s, struct link *link)
{
	struct lookup *l = service_state(s);
	struct question *q;

	if (l->asker != NULL)
		asker_link_down(l->asker, link);

	LIST_FOREACH(q, &l->questions, next)
		if (q->link == link)
			q->link = NULL;
}

/* ---- the process ---- */

/* Of the files of the host nothing is in its reach, and of the network the one connection it is given. */
static const struct cage_spec child_cage = {
	.calls = CALLS_FORK,
	.chroot = true,
	.takes_fds = true,
	.processes_max = PROCESSES_MAX,
	.memory_max = 256u << 20,
};

static struct service *the_service; /* for the children's parent */

/* In the cage of the children's parent, which has what its owner was handed. */
static bool read_block(void)
{
	struct conf *conf = service_first_conf(the_service);
	const struct conf_ldap *l = conf == NULL ? NULL : conf->auth.ldap;
	struct tls_client *client = NULL;
	char why[512] = "";

	if (l == NULL)
		return false;
	if (l->tls.mode != TLS_OFF) {
		client = trust_new(the_service, service_generation(the_service)->number, &l->tls, why, sizeof(why));
		if (client == NULL)
			LOG(LEVEL_ERROR, "directory-certificates", KV_STR("why", why));
	}
	directory_use(l, client); /* for as long as it lives */
	return l->tls.mode == TLS_OFF || client != NULL;
}

static bool asks_table(struct service *s)
{
	uint64_t number;

	return service_cage_number(s, CONF_CAGE_TABLES, &number) &&
	       (service_instance(s) > 0 || !service_cage_number(s, CONF_CAGE_SECONDS, &number));
}

static void prepare_libraries(struct service *s)
{
	uint64_t needs = 0;
	char name[32];

	snprintf(name, sizeof(name), CONF_CAGE_NEEDS, (unsigned)service_instance(s));
	(void)service_cage_number(s, name, &needs);
	if ((needs & NEEDS_LIBLDAP) != 0)
		directory_prepare();
	trust_prepare(needs);
}

static void prepare(struct service *s)
{
	struct warm_spec spec = {.owner = ROLE_LOOKUP,
				 .name = "directory",
				 .cage = &child_cage,
				 .children = CHILDREN,
				 .caged = read_block,
				 .serve = directory_serve};
	uint64_t seconds;

	/* The directory is asked by the first instance, and its parent is there before the cage. */
	prepare_libraries(s);
	if (asks_table(s))
		return;
	if (!service_cage_number(s, CONF_CAGE_SECONDS, &seconds)) {
		LOG_PLAIN(LEVEL_ERROR, "no-directory");
		exit(75);
	}
	the_service = s;
	spec.seconds = (unsigned)seconds;
	service_cage_order(s, &spec.order);
	children_fd = warm_start(&spec);
}

/* ---- generations: its state is the TLS of this process ---- */

static const struct conf_server_tls *tls_of(struct service *s, const struct generation *g)
{
	const struct conf_table *t = conf_lookup_table(g->conf, service_instance(s));

	if (t != NULL)
		return &t->backend->tls;
	return g->conf->auth.ldap == NULL ? NULL : &g->conf->auth.ldap->tls;
}

/* For the directory of `auth` it only shows that it can be made: its children have their own. */
static bool generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	const struct conf_server_tls *tls = tls_of(s, g);
	struct tls_client *client;

	if (tls == NULL || tls->mode == TLS_OFF)
		return true;
	client = trust_new(s, g->number, tls, why, why_size);
	g->state = client;
	return client != NULL;
}

static void generation_free(struct service *s, struct generation *g)
{
	struct tls_client *client = g->state;

	(void)s;
	tls_client_free(&client);
	g->state = NULL;
}

static void start(struct service *s)
{
	struct lookup *l = mem_new(1, sizeof(*l));
	const struct link_config config = {ROLE_LOOKUP, ROLE_VERIFIER, 0, on_child_message, on_children_gone, l};

	if (l == NULL)
		log_fatal("lookup", ENOMEM);
	l->service = s;
	LIST_INIT(&l->questions);
	service_set_state(s, l);
	if (children_fd < 0) {
		l->asker = asker_new(s);
		if (l->asker == NULL)
			log_fatal("no table is asked here", 0);
		return;
	}
	l->children = link_new(service_loop(s), children_fd, &config);
	if (l->children == NULL)
		log_fatal("link to children", ENOMEM);
}

static void status(struct service *s, struct buf *out)
{
	const struct lookup *l = service_state(s);

	if (l->asker != NULL)
		asker_status(l->asker, out);
	else
		service_status_number(out, "questions", l->count);
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_DIRECTORY_ASK] = on_directory_ask,
	[IPC_LOOKUP_ASK] = on_lookup_ask,
};

static const struct cage_spec cage = {
	.chroot = true,
	.takes_fds = true, /* connections, from dial */
	.memory_max = 512u << 20,
};

static const struct service_spec spec = {
	.role = ROLE_LOOKUP,
	.cage = &cage,
	.text = &service_text,
	.prepare = prepare,
	.start = start,
	.generation_ready = generation_ready,
	.generation_free = generation_free,
	.handlers = handlers,
	.link_down = on_link_down,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
