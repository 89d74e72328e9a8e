#include "authd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"
#include "users/users.h"

#include <errno.h>

/*
 *   AUTH_CHECK --admitted, charged--> waiting --a verifier is free--> hashing --VERIFIED--> done --its time--> answered
 *                 '-- refused, implausible, back-end away -----------------------------------^
 *
 * Always: for each attempt that is looked at one hash is computed, whoever it names; every answer leaves at a tick of the grid, so
 * that time tells no more than the words do; and the words are the same for every failure.  The queue and policyd have been told of a
 * login before the worker hears of it.
 */
#define REQUESTS_MAX 1024u
#define WAITING_MAX 64u
#define VERIFY_MS 12000
#define TICK_MS 50u
#define FIRST_TICK_MS 100u

/* Sources are refused in the end; logins never, or anybody could lock somebody out. */
static const struct slow_limits source_limits = {.free = 3, .first_ms = 1000, .most_ms = 8000, .refuse_at = 20};
static const struct slow_limits login_limits = {.free = 3, .first_ms = 500, .most_ms = 4000, .refuse_at = 0};
#define SOURCES_MAX 65536u
#define LOGINS_MAX 65536u

struct request {
	TAILQ_ENTRY(request) peers; /* in `waiting` until a verifier has it */
	LIST_ENTRY(request) all;
	struct logins *logins;
	struct link *link; /* borrowed; NULL: who asked is gone */
	uint64_t number, session;
	uint64_t arrived_ms, wait_ms, due_ms;
	struct timer *timer; /* owned */
	enum outcome outcome;
	char login[256], client[65];
	char source[32];
	size_t source_len;
	struct buf secret, hash; /* owned */
};

struct logins {
	struct authd *authd;
	struct link *verifier; /* owned */
	unsigned verifiers, hashing;
	size_t count, waiting_count;
	TAILQ_HEAD(, request) waiting;
	LIST_HEAD(, request) requests;
	struct slow *by_source, *by_login;
	uint64_t accepted, failed, unavailable;
};

struct logins *logins_new(struct authd *a, int verifier_fd, unsigned verifiers)
{
	struct logins *l = mem_new(1, sizeof(*l));

	if (l != NULL) {
		l->by_source = slow_new(&source_limits, SOURCES_MAX);
		l->by_login = slow_new(&login_limits, LOGINS_MAX);
	}
	if (l == NULL || l->by_source == NULL || l->by_login == NULL)
		log_fatal("logins", ENOMEM);
	l->authd = a;
	l->verifiers = verifiers;
	TAILQ_INIT(&l->waiting);
	LIST_INIT(&l->requests);
	l->verifier = authd_child_link(a, verifier_fd);
	return l;
}

void logins_status(const struct logins *l, struct buf *out)
{
	buf_addf(out, "logins=%llu failed=%llu unavailable=%llu waiting=%zu hashing=%u slowed=%zu", (unsigned long long)l->accepted,
		 (unsigned long long)l->failed, (unsigned long long)l->unavailable, l->waiting_count, l->hashing,
		 slow_count(l->by_source));
}

/* ---- the answer ---- */

static void say(struct link *link, uint64_t number, enum outcome oc, struct slice login)
{
	struct msg_AUTH_RESULT result = {oc, login, slice_empty()};

	link_answer(link, number, IPC_AUTH_RESULT, &result, -1);
}

static bool tell_flushed(struct service *s, enum role role, const struct msg_SESSION_LOGIN *told)
{
	struct link *link = service_link(s, role, SERVICE_ANY);

	return link != NULL && link_tell(link, IPC_SESSION_LOGIN, told, -1) && link_flush(link);
}

/* Who must know of a login before it can be used. */
static bool announce(struct request *r)
{
	struct authd *a = r->logins->authd;
	struct attested_session *session = attested_find(a->sessions, r->session);
	struct msg_SESSION_LOGIN told = {r->session, slice_of(r->login)};

	if (session == NULL || !tell_flushed(a->service, ROLE_QUEUE, &told) || !tell_flushed(a->service, ROLE_POLICYD, &told))
		return false;
	(void)slice_copy(told.login, session->login, sizeof(session->login));
	return true;
}

static void refund(struct request *r)
{
	uint64_t now = clock_mono_ms();

	slow_refund(r->logins->by_source, slice_make(r->source, r->source_len), now);
	slow_refund(r->logins->by_login, slice_of(r->login), now);
}

static void count_and_log(struct request *r)
{
	struct logins *l = r->logins;
	bool good = r->outcome == OC_AUTHENTICATED, failed = r->outcome == OC_AUTH_FAILED;

	l->accepted += good;
	l->failed += failed;
	l->unavailable += !good && !failed;
	if (!failed)
		refund(r);
	LOG(good ? LEVEL_INFO : LEVEL_WARN, good ? "login-accepted" : failed ? "login-failed" : "login-unavailable",
	    KV_SESSION(r->session), KV_STR("client", r->client), KV_STR("login", r->login));
}

static void request_free(struct request *r)
{
	struct attested_session *session = attested_find(r->logins->authd->sessions, r->session);

	if (session != NULL)
		((struct login_session *)session->own)->checking = false;
	LIST_REMOVE(r, all);
	r->logins->count--;
	timer_free(&r->timer);
	buf_free(&r->secret);
	buf_free(&r->hash);
	free(r);
}

static uint64_t due_ms(const struct request *r)
{
	uint64_t passed = clock_mono_ms() - r->arrived_ms;
	uint64_t tick = (passed + TICK_MS) / TICK_MS * TICK_MS;

	return r->arrived_ms + (tick < FIRST_TICK_MS ? FIRST_TICK_MS : tick) + r->wait_ms;
}

/* The loop counts from the start of its turn: what that turn took is waited for again. */
static bool is_early(struct request *r)
{
	uint64_t now = clock_mono_ms();

	if (now < r->due_ms)
		timer_set(r->timer, r->due_ms - now);
	return now < r->due_ms;
}

static void on_due(void *arg)
{
	struct request *r = arg;

	if (is_early(r))
		return;
	if (r->outcome == OC_AUTHENTICATED && (r->link == NULL || !announce(r)))
		r->outcome = OC_AUTH_UNAVAILABLE;
	count_and_log(r);
	if (r->link != NULL)
		say(r->link, r->number, r->outcome, slice_of(r->outcome == OC_AUTHENTICATED ? r->login : ""));
	request_free(r);
}

static void finish(struct request *r, enum outcome oc)
{
	r->outcome = oc;
	buf_free(&r->secret);
	buf_free(&r->hash);
	r->due_ms = due_ms(r);
	(void)is_early(r);
}

/* ---- hashing ---- */

static void hash_next(struct logins *l);

static void on_verified(struct ipc_message *m, void *arg)
{
	struct request *r = arg;
	struct logins *l = r->logins;
	enum outcome oc = m == NULL ? OC_AUTH_UNAVAILABLE : m->body.VERIFIED.outcome;

	l->hashing--;
	/* A verifier has two words; any other is its failure. */
	finish(r, oc == OC_AUTHENTICATED || oc == OC_AUTH_FAILED ? oc : OC_AUTH_UNAVAILABLE);
	hash_next(l);
}

static void hash_next(struct logins *l)
{
	struct request *r;

	while (l->hashing < l->verifiers && (r = TAILQ_FIRST(&l->waiting)) != NULL) {
		struct msg_VERIFY_ASK ask = {slice_of(r->login), buf_slice(&r->secret), buf_slice(&r->hash)};

		TAILQ_REMOVE(&l->waiting, r, peers);
		l->waiting_count--;
		l->hashing++;
		link_ask(l->verifier, IPC_VERIFY_ASK, &ask, VERIFY_MS, on_verified, r);
		/* Alone in its packet: whichever child takes it, takes only this. */
		link_flush(l->verifier);
		buf_free(&r->secret);
	}
}

static bool find_hash(struct request *r, const struct attested_session *session)
{
	struct backends *b = authd_backends_of(session->generation);
	enum outcome oc = b == NULL ? OC_UNAVAILABLE : backends_find_hash(b, slice_of(r->login), &r->hash);

	/* Nobody has the empty hash: the verifier computes one that fits nothing. */
	return oc == OC_DONE || oc == OC_NOT_FOUND;
}

static void begin(struct request *r, const struct attested_session *session)
{
	struct logins *l = r->logins;

	if (r->login[0] == '\0' || r->secret.len == 0 || r->secret.len > USERS_PASSWORD_MAX) {
		finish(r, OC_AUTH_FAILED);
		return;
	}
	if (!find_hash(r, session) || l->waiting_count >= WAITING_MAX) {
		finish(r, OC_AUTH_UNAVAILABLE);
		return;
	}
	TAILQ_INSERT_TAIL(&l->waiting, r, peers);
	l->waiting_count++;
	hash_next(l);
}

/* ---- admission ---- */

/* One host, or the /64 a customer gets. */
static size_t source_key(const struct attested_session *s, char out[32])
{
	struct in6_addr a;

	if (net_address(slice_of(s->client), &a)) {
		size_t from = net_is_v4(&a) ? 12 : 0, len = net_is_v4(&a) ? 4 : 8;

		memcpy(out, &a.s6_addr[from], len);
		return len;
	}
	memcpy(out, "uid", 3);
	memcpy(out + 3, &s->uid, sizeof(s->uid));
	return 3 + sizeof(s->uid);
}

static bool charge(struct request *r)
{
	uint64_t now = clock_mono_ms(), by_source = 0, by_login = 0;

	if (!slow_charge(r->logins->by_source, slice_make(r->source, r->source_len), now, &by_source))
		return false;
	(void)slow_charge(r->logins->by_login, slice_of(r->login), now, &by_login);
	r->wait_ms = by_source > by_login ? by_source : by_login;
	return true;
}

static struct request *request_new(struct logins *l, struct link *link, const struct ipc_message *m,
				   const struct attested_session *session)
{
	const struct msg_AUTH_CHECK *check = &m->body.AUTH_CHECK;
	struct request *r = l->count < REQUESTS_MAX ? mem_new(1, sizeof(*r)) : NULL;

	if (r == NULL)
		return NULL;
	*r = (struct request){.logins = l, .link = link, .number = m->request, .session = session->number};
	r->arrived_ms = clock_mono_ms();
	r->secret = buf_make_secret(1024);
	r->hash = buf_make_secret(USERS_HASH_MAX);
	r->source_len = source_key(session, r->source);
	memcpy(r->client, session->client, sizeof(r->client));
	/* One login, whatever its case: the slow-down and the rules see one spelling. */
	for (size_t i = 0; i < check->login.len && i + 1 < sizeof(r->login); i++)
		r->login[i] = ascii_lower(check->login.at[i]);
	if (!buf_add_slice(&r->secret, check->secret)) {
		buf_free(&r->secret);
		free(r);
		return NULL;
	}
	r->timer = timer_new(service_loop(l->authd->service), on_due, r);
	LIST_INSERT_HEAD(&l->requests, r, all);
	l->count++;
	return r;
}

/* Where no login is offered none is taken, whatever the worker says. */
static bool takes_logins(const struct attested_session *session)
{
	const struct conf *conf = session->generation->conf;

	return session->listener < conf->listener_count && conf->listeners[session->listener].auth != AUTH_OFF;
}

/* NULL: it may ask.  Else why not, for the log. */
static const char *objection(const struct logins *l, const struct attested_session *session)
{
	const struct login_session *own = session->own;
	const struct conf *conf = session->generation->conf;

	if (!takes_logins(session))
		return "its listener takes no logins";
	if (own->checking)
		return "another login of the session is being checked";
	if (session->login[0] != '\0')
		return "the session has a login already";
	if (own->attempts >= conf->set.auth_attempts_max)
		return "too many attempts in one session";
	return l->count >= REQUESTS_MAX ? "too many logins at once" : NULL;
}

static void refuse(struct logins *l, struct link *link, uint64_t number, uint64_t session, const char *why)
{
	l->unavailable++;
	LOG(LEVEL_WARN, "login-not-checked", KV_SESSION(session), KV_STR("why", why));
	say(link, number, OC_AUTH_UNAVAILABLE, slice_empty());
}

static void check(struct logins *l, struct link *link, const struct ipc_message *m, struct attested_session *session)
{
	struct login_session *own = session->own;
	const char *why = objection(l, session);
	struct request *r;

	if (why != NULL) {
		refuse(l, link, m->request, session->number, why);
		return;
	}
	r = request_new(l, link, m, session);
	if (r == NULL) {
		refuse(l, link, m->request, session->number, "out of memory");
		return;
	}
	own->attempts++;
	own->checking = true;
	if (charge(r)) {
		begin(r, session);
		return;
	}
	request_free(r);
	refuse(l, link, m->request, session->number, "too many failures from this source");
}

void on_auth_check(struct service *s, struct link *link, struct ipc_message *m)
{
	struct authd *a = service_state(s);
	struct attested_session *session;

	switch (attested_check(a->sessions, link, m->body.AUTH_CHECK.session, &session)) {
	case ATTESTED_YES:
		check(a->logins, link, m, session);
		break;
	case ATTESTED_NOT_YET:
		refuse(a->logins, link, m->request, m->body.AUTH_CHECK.session, "the gate has not told of the session yet");
		break;
	case ATTESTED_NO:
		break;
	}
}

void logins_link_down(struct logins *l, const struct link *link)
{
	struct request *r;

	LIST_FOREACH(r, &l->requests, all)
		if (r->link == link)
			r->link = NULL;
}
