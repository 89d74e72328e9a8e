#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/internal.h"

#define PARKED_TICK_MS 100

struct link *service_link(struct service *s, enum role role, uint64_t instance)
{
	struct peer *p;

	if (role == ROLE_MASTER)
		return s->master;
	LIST_FOREACH(p, &s->links, peers)
		if (p->role == role && !link_is_broken(p->link) &&
		    (instance == SERVICE_ANY || p->instance == instance))
			return p->link;
	return NULL;
}

void service_each_link(struct service *s, enum role role, void (*fn)(struct link *l, void *arg), void *arg)
{
	struct peer *p, *next;

	for (p = LIST_FIRST(&s->links); p != NULL; p = next) {
		next = LIST_NEXT(p, peers);
		if (p->role == role && !link_is_broken(p->link))
			fn(p->link, arg);
	}
}

static void on_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct peer *p = arg;

	service_dispatch(p->service, link, m);
}

static void tell_master(struct service *s, const struct peer *p, const char *why)
{
	struct msg_PEER_BROKE_RULES broke = {p->role, p->instance, slice_of(why)};

	LOG(LEVEL_ERROR, "peer-broke-rules", KV_STR("peer", role_name(p->role)), KV_NUM("instance", p->instance),
	    KV_STR("why", why));
	if (s->master != NULL)
		link_tell(s->master, IPC_PEER_BROKE_RULES, &broke, -1);
}

static void detach(struct peer *p)
{
	struct service *s = p->service;

	LIST_REMOVE(p, peers);
	if (s->spec->link_down != NULL)
		s->spec->link_down(s, p->link);
	link_free(&p->link);
	free(p);
}

static void on_broken(struct link *link, const char *broke_rules, void *arg)
{
	struct peer *p = arg;

	(void)link;
	if (broke_rules != NULL)
		tell_master(p->service, p, broke_rules);
	detach(p);
}

static struct peer *peer_find(struct service *s, enum role role, uint64_t instance)
{
	struct peer *p;

	LIST_FOREACH(p, &s->links, peers)
		if (p->role == role && p->instance == instance)
			return p;
	return NULL;
}

/* The gate may introduce only the workers of single sessions. */
static bool may_introduce(const struct link *from, enum role role)
{
	return link_peer(from) == ROLE_MASTER || role == ROLE_SMTPD;
}

void on_link_attach(struct service *s, struct link *from, struct ipc_message *m)
{
	enum role role = role_from(m->body.LINK_ATTACH.role);
	uint64_t instance = m->body.LINK_ATTACH.instance;
	struct peer *old = peer_find(s, role, instance);
	struct peer *p;

	if (role == ROLE_COUNT || !may_introduce(from, role)) {
		link_break(from, "it introduced a peer it may not");
		return;
	}
	p = mem_new(1, sizeof(*p));
	if (p == NULL)
		log_fatal("link", 0);
	p->service = s;
	p->role = role;
	p->instance = instance;
	p->link = link_new(s->loop, m->fd,
			   &(struct link_config){s->spec->role, role, instance, on_message, on_broken, p});
	m->fd = -1;
	if (p->link == NULL)
		log_fatal("link", 0);
	/* The process behind the old end is gone: what was asked of it fails there, and is asked again here. */
	if (old != NULL)
		link_break(old->link, NULL);
	LIST_INSERT_HEAD(&s->links, p, peers);
	if (s->spec->link_up != NULL)
		s->spec->link_up(s, p->link);
	if (role == ROLE_LOG)
		service_log_flush(s);
	peers_flush_parked(s, role);
}

/* ---- questions ---- */

static void ask_free(struct ask *a)
{
	if (a->parked)
		LIST_REMOVE(a, waiting);
	buf_free(&a->payload);
	free(a);
}

static void ask_end(struct ask *a, struct ipc_message *m)
{
	link_answer_fn *fn = a->on_answer;
	void *arg = a->arg;

	ask_free(a);
	fn(m, arg);
}

static void park(struct ask *a)
{
	struct service *s = a->service;

	if (!a->parked)
		LIST_INSERT_HEAD(&s->parked, a, waiting);
	a->parked = true;
	if (!timer_is_set(s->parked_tick))
		timer_set(s->parked_tick, PARKED_TICK_MS);
}

static void ask_on(struct ask *a, struct link *link);

static void on_ask_answer(struct ipc_message *m, void *arg)
{
	struct ask *a = arg;
	uint64_t now = clock_mono_ms();

	/* The time for a new link starts when the old one broke. */
	if (m == NULL && ipc_is_resendable(a->type) && now < a->deadline_ms) {
		if (a->relink_until_ms == 0)
			a->relink_until_ms = now + SERVICE_RELINK_MS;
		if (now < a->relink_until_ms) {
			park(a);
			return;
		}
	}
	ask_end(a, m);
}

static void ask_on(struct ask *a, struct link *link)
{
	uint64_t now = clock_mono_ms();

	if (a->parked)
		LIST_REMOVE(a, waiting);
	a->parked = false;
	link_ask_encoded(link, a->type, buf_slice(&a->payload), a->deadline_ms > now ? a->deadline_ms - now : 0,
			 on_ask_answer, a);
}

void peers_flush_parked(struct service *s, enum role role)
{
	struct ask *a, *next;
	struct link *link;

	for (a = LIST_FIRST(&s->parked); a != NULL; a = next) {
		next = LIST_NEXT(a, waiting);
		link = a->role == role && ipc_is_resendable(a->type) ? service_link(s, role, a->instance) : NULL;
		if (link != NULL)
			ask_on(a, link);
	}
}

static bool is_over(const struct ask *a, uint64_t now)
{
	return !ipc_is_resendable(a->type) || now >= a->relink_until_ms || now >= a->deadline_ms;
}

static void on_parked_tick(void *arg)
{
	struct service *s = arg;
	uint64_t now = clock_mono_ms();
	struct ask *a = LIST_FIRST(&s->parked);

	while (a != NULL) {
		if (is_over(a, now)) {
			ask_end(a, NULL);
			a = LIST_FIRST(&s->parked); /* the callback may have changed the list */
		} else {
			a = LIST_NEXT(a, waiting);
		}
	}
	if (!LIST_EMPTY(&s->parked) && !timer_is_set(s->parked_tick))
		timer_set(s->parked_tick, PARKED_TICK_MS);
}

void service_ask(struct service *s, enum role role, enum ipc_type type, const void *body, uint64_t timeout_ms,
		 link_answer_fn *on_answer, void *arg)
{
	service_ask_instance(s, role, SERVICE_ANY, type, body, timeout_ms, on_answer, arg);
}

void service_ask_instance(struct service *s, enum role role, uint64_t instance, enum ipc_type type, const void *body, uint64_t timeout_ms,
			  link_answer_fn *on_answer, void *arg)
{
	struct link *link = service_link(s, role, instance);
	struct ask *a = mem_new(1, sizeof(*a));
	bool encoded;

	if (a == NULL)
		log_fatal("question", 0);
	if (s->parked_tick == NULL)
		s->parked_tick = timer_new(s->loop, on_parked_tick, s);
	a->service = s;
	a->role = role;
	a->instance = instance;
	a->type = type;
	a->payload = ipc_is_secret(type) ? buf_make_secret(LINK_PACKET_MAX) : buf_make(LINK_PACKET_MAX);
	a->on_answer = on_answer;
	a->arg = arg;
	a->deadline_ms = clock_mono_ms() + timeout_ms;
	encoded = ipc_encode(type, body, &a->payload);
	if (!encoded)
		a->deadline_ms = 0; /* a field beyond its bound: fails at the next tick */
	if (link != NULL && encoded) {
		ask_on(a, link);
		return;
	}
	a->relink_until_ms = encoded ? clock_mono_ms() + SERVICE_RELINK_MS : 0;
	park(a);
	if (is_over(a, clock_mono_ms()))
		timer_set(s->parked_tick, 0);
}

bool service_tell(struct service *s, enum role role, enum ipc_type type, const void *body)
{
	struct link *link = service_link(s, role, SERVICE_ANY);

	return link != NULL && link_tell(link, type, body, -1);
}
