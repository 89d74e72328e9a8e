#include "authd.h"

#include "authd_dovecot.h"
#include "authd_password.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"
#include "sasl/sasl.h"
#include "users/users.h"

#include <errno.h>

/*
 * One SASL dialogue a session.
 *
 *   AUTH_START --admitted--> busy --challenge--> idle --AUTH_NEXT--> busy ...
 *                             |  ^                '--AUTH_CANCEL, AUTH_START, the session's end--> gone
 *                             |  '-- a login is named: charged, and somebody asked about it
 *                             '----> due --at its time--> answered: idle again, or gone
 *
 * Always: from the moment that a login is named every answer but that it is good leaves at a tick of the grid, so that time tells no
 * more than the words do; and the words are the same for every failure.  The queue and policyd have been told of a login before the
 * worker hears of it.
 * A dialogue that is busy outlives its session until whoever was asked has answered.
 */
#define BUSY_MAX 1024u
#define TICK_MS 50u
#define FIRST_TICK_MS 100u
#define CERTIFICATE_MAX 1088u

/* Sources are refused in the end; logins never, or anybody could lock somebody out. */
static const struct slow_limits source_limits = {.free = 3, .first_ms = 1000, .most_ms = 8000, .at_once = 25, .refuse_at = 20};
static const struct slow_limits login_limits = {.free = 3, .first_ms = 500, .most_ms = 4000, .at_once = 5, .refuse_at = 0};
#define SOURCES_MAX 65536u
#define LOGINS_MAX 65536u

struct dialogue {
	LIST_ENTRY(dialogue) all;
	struct logins *logins;
	uint64_t session;
	struct generation *generation; /* held */
	bool busy; /* a question is open */
	struct link *link; /* borrowed: who asked it; NULL: gone */
	uint64_t number; /* of the question */
	uint64_t arrived_ms, wait_ms, due_ms;
	struct timer *timer; /* owned */
	enum outcome outcome;
	bool charged; /* a login was named */
	char login[256], client[65];
	char source[32];
	size_t source_len;
	struct sasl sasl; /* owned */
	struct password_check check; /* owned */
	struct dovecot_request *dovecot; /* what Dovecot is asked; NULL: nothing */
	struct buf challenge; /* owned; Dovecot's */
	struct buf certificate; /* owned; of EXTERNAL: what it is known by (AUTH_START) */
};

struct logins {
	struct authd *authd;
	size_t count, busy;
	LIST_HEAD(, dialogue) dialogues;
	struct slow *by_source, *by_login;
	uint64_t accepted, failed, unavailable;
};

struct logins *logins_new(struct authd *a)
{
	struct logins *l = mem_new(1, sizeof(*l));

	if (l != NULL) {
		l->by_source = slow_new(&source_limits, SOURCES_MAX);
		l->by_login = slow_new(&login_limits, LOGINS_MAX);
	}
	if (l == NULL || l->by_source == NULL || l->by_login == NULL)
		log_fatal("logins", ENOMEM);
	l->authd = a;
	LIST_INIT(&l->dialogues);
	return l;
}

void logins_status(const struct logins *l, struct buf *out)
{
	service_status_number(out, "dialogues", l->count);
	service_status_number(out, "logins", l->accepted);
	service_status_number(out, "failed", l->failed);
	service_status_number(out, "unavailable", l->unavailable);
	service_status_number(out, "slowed_sources", slow_count(l->by_source));
}

/* ---- the end of a dialogue ---- */

static struct login_session *own_of(const struct dialogue *d)
{
	struct attested_session *session = attested_find(d->logins->authd->sessions, d->session);

	return session == NULL ? NULL : session->own;
}

/* The attempt has come to its end, once. */
static void settle(struct dialogue *d, enum slow_outcome outcome)
{
	uint64_t now = clock_mono_ms();

	if (!d->charged)
		return;
	d->charged = false;
	slow_settle(d->logins->by_source, slice_make(d->source, d->source_len), now, outcome);
	if (d->login[0] != '\0')
		slow_settle(d->logins->by_login, slice_of(d->login), now, outcome);
}

/* Who names a login and then goes away has tried something. */
static void dialogue_free(struct dialogue *d)
{
	struct login_session *own = own_of(d);
	struct logins *l = d->logins;

	if (own != NULL && own->dialogue == d)
		own->dialogue = NULL;
	LIST_REMOVE(d, all);
	l->count--;
	l->busy -= d->busy;
	settle(d, SLOW_FAILED);
	if (d->dovecot != NULL)
		dovecot_cancel(d->dovecot);
	timer_free(&d->timer);
	sasl_clear(&d->sasl);
	buf_free(&d->challenge);
	buf_free(&d->certificate);
	buf_free(&d->check.secret);
	generation_release(l->authd->service, &d->generation);
	free(d);
}

/* Not while somebody is asked on its behalf. */
static void drop_if_idle(struct dialogue *d)
{
	if (d != NULL && !d->busy)
		dialogue_free(d);
}

void logins_session_ends(struct attested_session *session)
{
	struct login_session *own = session->own;
	struct dialogue *d = own->dialogue;

	own->dialogue = NULL;
	drop_if_idle(d);
}

void logins_link_down(struct logins *l, const struct link *link)
{
	struct dialogue *d;

	LIST_FOREACH(d, &l->dialogues, all)
		if (d->link == link)
			d->link = NULL;
}

/* ---- the answer ---- */

static void say(struct link *link, uint64_t number, const struct msg_AUTH_RESULT *result)
{
	link_answer(link, number, IPC_AUTH_RESULT, result, -1);
}

static bool tell_flushed(struct service *s, enum role role, const struct msg_SESSION_LOGIN *told)
{
	struct link *link = service_link(s, role, SERVICE_ANY);

	return link != NULL && link_tell(link, IPC_SESSION_LOGIN, told, -1) && link_flush(link);
}

/* Who must know of a login before it can be used. */
static bool announce(struct dialogue *d)
{
	struct authd *a = d->logins->authd;
	struct attested_session *session = attested_find(a->sessions, d->session);
	struct msg_SESSION_LOGIN told = {d->session, slice_of(d->login)};

	if (session == NULL || !tell_flushed(a->service, ROLE_QUEUE, &told) || !tell_flushed(a->service, ROLE_POLICYD, &told))
		return false;
	(void)slice_copy(told.login, session->login, sizeof(session->login));
	return true;
}

static void count_and_log(struct dialogue *d)
{
	struct logins *l = d->logins;
	bool good = d->outcome == OC_AUTHENTICATED, failed = d->outcome == OC_AUTH_FAILED;

	l->accepted += good;
	l->failed += failed;
	l->unavailable += !good && !failed;
	LOG(good ? LEVEL_INFO : LEVEL_WARN, good ? "login-accepted" : failed ? "login-failed" : "login-unavailable",
	    KV_SESSION(d->session), KV_STR("client", d->client), KV_STR("login", d->login),
	    KV_STR("mechanism", mechanism_name(d->sasl.mechanism)));
}

static struct slice challenge_of(const struct dialogue *d)
{
	return buf_slice(d->dovecot != NULL ? &d->challenge : &d->sasl.challenge);
}

/* The question that is open is answered; the dialogue is gone, unless it goes on. */
static void answer(struct dialogue *d)
{
	bool goes_on = d->outcome == OC_AUTH_CONTINUE, good = d->outcome == OC_AUTHENTICATED;
	const struct msg_AUTH_RESULT result = {
		d->outcome,
		slice_of(good ? d->login : ""),
		slice_of(d->outcome == OC_BAD_INPUT ? d->sasl.why : ""),
		goes_on ? challenge_of(d) : slice_empty(),
	};

	if (d->link != NULL)
		say(d->link, d->number, &result);
	if (!goes_on || d->link == NULL || own_of(d) == NULL) {
		dialogue_free(d);
		return;
	}
	d->busy = false;
	d->logins->busy--;
	d->link = NULL;
}

/* A login that is good waits for nothing: whose it is it knows already, and that others are tried at the same time is not its fault. */
static uint64_t due_ms(const struct dialogue *d)
{
	uint64_t passed = clock_mono_ms() - d->arrived_ms;
	uint64_t tick = (passed + TICK_MS) / TICK_MS * TICK_MS;

	if (d->outcome == OC_AUTHENTICATED)
		return d->arrived_ms;
	return d->arrived_ms + (tick < FIRST_TICK_MS ? FIRST_TICK_MS : tick) + d->wait_ms;
}

static void wait_until_due(struct dialogue *d)
{
	uint64_t now = clock_mono_ms();

	timer_set(d->timer, d->due_ms > now ? d->due_ms - now : 0);
}

static void on_due(void *arg)
{
	struct dialogue *d = arg;

	if (clock_mono_ms() < d->due_ms) { /* the loop counts from the start of its turn: what that turn took is waited for again */
		wait_until_due(d);
		return;
	}
	if (d->outcome == OC_AUTHENTICATED && (d->link == NULL || !announce(d)))
		d->outcome = OC_AUTH_UNAVAILABLE;
	if (d->outcome != OC_AUTH_CONTINUE)
		count_and_log(d);
	answer(d);
}

static void finish(struct dialogue *d, enum outcome oc)
{
	if (oc != OC_AUTH_CONTINUE)
		settle(d, oc == OC_AUTHENTICATED ? SLOW_GOOD : oc == OC_AUTH_FAILED ? SLOW_FAILED : SLOW_UNKNOWN);
	d->outcome = oc;
	buf_free(&d->check.secret);
	d->due_ms = due_ms(d);
	wait_until_due(d);
}

/* One login, whatever its case: the slow-down and the rules see one spelling. */
static void note_login(struct dialogue *d, struct slice login)
{
	size_t len = login.len < sizeof(d->login) ? login.len : 0;

	for (size_t i = 0; i < len; i++)
		d->login[i] = ascii_lower(login.at[i]);
	d->login[len] = '\0';
}

/* As Dovecot or PAM calls the user, whatever the client did: two spellings of a name are one login. */
static void accept_as(struct dialogue *d, struct slice user)
{
	settle(d, user.len > 0 ? SLOW_GOOD : SLOW_UNKNOWN);
	note_login(d, user);
	finish(d, d->login[0] != '\0' ? OC_AUTHENTICATED : OC_AUTH_UNAVAILABLE);
}

static void on_checked(struct password_check *check, enum outcome outcome)
{
	struct dialogue *d = (struct dialogue *)(void *)((char *)check - offsetof(struct dialogue, check));

	if (outcome == OC_AUTHENTICATED && check->known_as[0] != '\0')
		accept_as(d, slice_of(check->known_as));
	else
		finish(d, outcome == OC_AUTHENTICATED || outcome == OC_AUTH_FAILED ? outcome : OC_AUTH_UNAVAILABLE);
}

/* ---- the login ---- */

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

static void refuse(struct dialogue *d, const char *why)
{
	d->outcome = OC_AUTH_UNAVAILABLE;
	d->logins->unavailable++;
	LOG(LEVEL_WARN, "login-not-checked", KV_SESSION(d->session), KV_STR("why", why));
	answer(d);
}

/* From here on it is an attempt.  False: refused, and the dialogue is gone. */
static bool charge(struct dialogue *d)
{
	uint64_t now = clock_mono_ms(), by_source = 0, by_login = 0;
	struct login_session *own = own_of(d);

	note_login(d, slice_of(d->sasl.login));
	if (own == NULL || own->attempts >= d->generation->conf->set.auth_attempts_max) {
		refuse(d, "too many attempts in one session");
		return false;
	}
	own->attempts++;
	if (!slow_charge(d->logins->by_source, slice_make(d->source, d->source_len), now, &by_source)) {
		refuse(d, "too many failures from this source");
		return false;
	}
	/* Dovecot alone may know whom a mechanism names. */
	if (d->login[0] != '\0')
		(void)slow_charge(d->logins->by_login, slice_of(d->login), now, &by_login);
	d->wait_ms = by_source > by_login ? by_source : by_login;
	d->charged = true;
	return true;
}

/* ---- Dovecot ---- */

static void on_dovecot(const struct dovecot_answer *said, void *arg)
{
	struct dialogue *d = arg;

	if (said->outcome == OC_AUTH_CONTINUE) {
		buf_clear(&d->challenge);
		finish(d, buf_add_slice(&d->challenge, said->challenge) ? OC_AUTH_CONTINUE : OC_AUTH_UNAVAILABLE);
		return;
	}
	d->dovecot = NULL;
	if (said->crowded) /* or who crowds it could try passwords that nobody counts */
		settle(d, SLOW_FAILED);
	if (said->outcome == OC_AUTHENTICATED) {
		accept_as(d, said->user);
		return;
	}
	if (d->login[0] == '\0')
		note_login(d, said->user);
	finish(d, said->outcome == OC_AUTH_FAILED ? OC_AUTH_FAILED : OC_AUTH_UNAVAILABLE);
}

static bool is_dovecots(const struct dialogue *d)
{
	return d->generation->conf->auth.dovecot != NULL;
}

static void ask_dovecot(struct dialogue *d, enum mechanism m, bool has_initial, struct slice initial)
{
	struct dovecot *dovecot = dovecot_of(d->logins->authd, d->generation);

	if (dovecot != NULL)
		d->dovecot = dovecot_begin(dovecot, m, d->client, has_initial, initial, on_dovecot, d);
	if (d->dovecot == NULL)
		finish(d, OC_AUTH_UNAVAILABLE);
}

/* Whatever mechanism told it to us. */
static void ask_dovecot_password(struct dialogue *d)
{
	struct buf plain = buf_make_secret(MECHANISM_MESSAGE_MAX);

	(void)(buf_add_char(&plain, '\0') && buf_add_text(&plain, d->sasl.login) && buf_add_char(&plain, '\0') &&
	       buf_add_slice(&plain, buf_slice(&d->sasl.password)));
	buf_free(&d->sasl.password);
	ask_dovecot(d, MECHANISM_PLAIN, true, buf_slice(&plain));
	buf_free(&plain);
}

/* ---- passwords ---- */

static void check_password(struct dialogue *d)
{
	if (d->sasl.password.len > USERS_PASSWORD_MAX) {
		finish(d, OC_AUTH_FAILED);
		return;
	}
	if (is_dovecots(d)) {
		ask_dovecot_password(d);
		return;
	}
	d->check = (struct password_check){
		.generation = d->generation,
		.login = d->login,
		.client = d->client,
		.secret = d->sasl.password,
		.answer = on_checked,
	};
	d->sasl.password = buf_make_secret(SASL_PASSWORD_MAX);
	if (!password_check(d->logins->authd, &d->check))
		finish(d, OC_AUTH_UNAVAILABLE);
}

/* ---- verifiers ---- */

static void go_on(struct dialogue *d, enum sasl_want want);

static enum outcome find_verifier(struct dialogue *d, struct buf *verifier, struct buf *seed)
{
	struct backends *b = authd_backends_of(d->generation);
	enum outcome oc = backends_find_seed(b, seed), found;

	if (oc != OC_DONE)
		return oc;
	found = backends_find_verifier(b, slice_of(d->login), sasl_verifier_name(sasl_wants_verifier(&d->sasl)), verifier);
	return found == OC_NOT_FOUND ? OC_DONE : found;
}

static void verify(struct dialogue *d)
{
	struct buf verifier = buf_make_secret(USERS_VERIFIER_MAX), seed = buf_make_secret(256);
	enum outcome oc = find_verifier(d, &verifier, &seed);

	if (oc == OC_DONE)
		go_on(d, sasl_verify(&d->sasl, buf_slice(&verifier), slice_of(d->login), buf_slice(&seed)));
	else
		finish(d, OC_AUTH_UNAVAILABLE);
	buf_free(&verifier);
	buf_free(&seed);
}

/* ---- certificates ---- */

/* The certificate names the login; what the client wants to be is only compared with it. */
static void identify(struct dialogue *d)
{
	struct slice login = slice_empty();
	enum outcome oc = backends_find_identity(authd_backends_of(d->generation), buf_slice(&d->certificate), &login);
	enum sasl_want want = sasl_identified(&d->sasl, oc == OC_DONE ? login : slice_empty());

	if (!charge(d))
		return;
	if (oc != OC_DONE && oc != OC_NOT_FOUND)
		finish(d, OC_AUTH_UNAVAILABLE);
	else
		go_on(d, want);
}

/* ---- steps ---- */

static void goes_on(struct dialogue *d)
{
	d->outcome = OC_AUTH_CONTINUE;
	if (d->charged)
		finish(d, OC_AUTH_CONTINUE);
	else
		answer(d);
}

static void malformed(struct dialogue *d)
{
	d->outcome = OC_BAD_INPUT;
	answer(d);
}

static void go_on(struct dialogue *d, enum sasl_want want)
{
	if (want == SASL_PASSWORD && charge(d))
		check_password(d);
	else if (want == SASL_VERIFIER && charge(d))
		verify(d);
	else if (want == SASL_IDENTITY)
		identify(d);
	else if (want == SASL_RESPONSE)
		goes_on(d);
	else if (want == SASL_ACCEPTED)
		finish(d, OC_AUTHENTICATED);
	else if (want == SASL_MALFORMED)
		malformed(d);
	else if (want == SASL_REFUSED && (d->charged || charge(d)))
		finish(d, OC_AUTH_FAILED);
}

static void begin_question(struct dialogue *d, struct link *link, uint64_t number)
{
	d->busy = true;
	d->logins->busy++;
	d->link = link;
	d->number = number;
	d->arrived_ms = clock_mono_ms();
	d->wait_ms = 0;
}

static struct dialogue *dialogue_new(struct logins *l, const struct attested_session *session)
{
	struct dialogue *d = mem_new(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->logins = l;
	d->session = session->number;
	d->generation = generation_hold(session->generation);
	d->source_len = source_key(session, d->source);
	memcpy(d->client, session->client, sizeof(d->client));
	d->challenge = buf_make(MECHANISM_MESSAGE_MAX);
	d->certificate = buf_make(CERTIFICATE_MAX);
	d->timer = timer_new(service_loop(l->authd->service), on_due, d);
	LIST_INSERT_HEAD(&l->dialogues, d, all);
	l->count++;
	return d;
}

/* ---- admission ---- */

/* Where no login is offered none is taken, whatever the worker says. */
static bool takes_logins(const struct attested_session *session)
{
	const struct conf *conf = session->generation->conf;

	return session->listener < conf->listener_count &&
	       conf_takes_logins(&conf->listeners[session->listener], slice_of(session->client));
}

static bool is_offered(const struct attested_session *session, uint64_t mechanism)
{
	const struct conf_auth *auth = &session->generation->conf->auth;

	return mechanism < MECHANISM_COUNT && (sasl_speaks((enum mechanism)mechanism) || auth->dovecot != NULL) &&
	       (auth->mechanisms & MECHANISM_BIT(mechanism)) != 0;
}

/* The worker verified it.  At a listener whose workers serve many it says nothing, whatever the configuration. */
static bool lacks_certificate(const struct attested_session *session, const struct msg_AUTH_START *said)
{
	const struct conf_listener *listener = &session->generation->conf->listeners[session->listener];

	return said->mechanism == MECHANISM_EXTERNAL && (!conf_takes_certificates(listener) || said->certificate.len == 0);
}

/* NULL: it may begin a dialogue.  Else why not, for the log. */
static const char *objection(const struct logins *l, const struct attested_session *session, const struct msg_AUTH_START *said)
{
	const struct login_session *own = session->own;

	if (!takes_logins(session))
		return "its listener takes no logins";
	if (!is_offered(session, said->mechanism))
		return "that mechanism is not offered";
	if (lacks_certificate(session, said))
		return "there is no verified client certificate";
	if (own->dialogue != NULL && own->dialogue->busy)
		return "another login of the session is being checked";
	if (session->login[0] != '\0')
		return "the session has a login already";
	if (own->attempts >= session->generation->conf->set.auth_attempts_max)
		return "too many attempts in one session";
	return l->busy >= BUSY_MAX ? "too many logins at once" : NULL;
}

static void object(struct logins *l, struct link *link, uint64_t number, uint64_t session, const char *why)
{
	const struct msg_AUTH_RESULT result = {OC_AUTH_UNAVAILABLE, slice_empty(), slice_empty(), slice_empty()};

	l->unavailable++;
	LOG(LEVEL_WARN, "login-not-checked", KV_SESSION(session), KV_STR("why", why));
	say(link, number, &result);
}

static size_t take_binding(struct slice said, char *out, size_t size)
{
	memcpy(out, said.at, said.len < size ? said.len : size);
	return said.len < size ? said.len : size;
}

static struct sasl_channel channel_of(const struct attested_session *session, const struct msg_AUTH_START *said)
{
	struct sasl_channel c = {.hostname = session->generation->conf->listeners[session->listener].hostname};

	c.exporter_len = take_binding(said->exporter, c.exporter, sizeof(c.exporter));
	c.end_point_len = take_binding(said->end_point, c.end_point, sizeof(c.end_point));
	return c;
}

/* What is spoken here, or handed on as it is: where Dovecot knows the passwords it keeps what other mechanisms need, too. */
static void take_start(struct dialogue *d, const struct attested_session *session, const struct msg_AUTH_START *said)
{
	enum mechanism m = (enum mechanism)said->mechanism;
	struct sasl_channel channel = channel_of(session, said);

	if (!buf_add_slice(&d->certificate, said->certificate)) {
		refuse(d, "out of memory");
		return;
	}
	if (!is_dovecots(d) || m == MECHANISM_PLAIN || m == MECHANISM_LOGIN || m == MECHANISM_EXTERNAL) {
		go_on(d, sasl_begin(&d->sasl, m, &channel, said->has_response != 0, said->response));
		return;
	}
	d->sasl.mechanism = m;
	if (charge(d))
		ask_dovecot(d, m, said->has_response != 0, said->response);
}

static void start(struct logins *l, struct link *link, const struct ipc_message *m, struct attested_session *session)
{
	const struct msg_AUTH_START *said = &m->body.AUTH_START;
	const char *why = objection(l, session, said);
	struct login_session *own = session->own;
	struct dialogue *d;

	if (why != NULL) {
		object(l, link, m->request, session->number, why);
		return;
	}
	drop_if_idle(own->dialogue);
	d = dialogue_new(l, session);
	if (d == NULL) {
		object(l, link, m->request, session->number, "out of memory");
		return;
	}
	own->dialogue = d;
	begin_question(d, link, m->request);
	take_start(d, session, said);
}

static void next(struct logins *l, struct link *link, const struct ipc_message *m, struct attested_session *session)
{
	struct dialogue *d = ((struct login_session *)session->own)->dialogue;

	if (d == NULL || d->busy) {
		object(l, link, m->request, session->number, "there is no dialogue that waits for a response");
		return;
	}
	begin_question(d, link, m->request);
	if (d->dovecot != NULL)
		dovecot_continue(d->dovecot, m->body.AUTH_NEXT.response);
	else
		go_on(d, sasl_respond(&d->sasl, m->body.AUTH_NEXT.response));
}

/* The session a worker speaks of; NULL: answered, or a lie. */
static struct attested_session *admit(struct authd *a, struct link *link, uint64_t request, uint64_t number)
{
	struct attested_session *session = NULL;

	if (attested_check(a->sessions, link, number, &session) == ATTESTED_NOT_YET && request != 0)
		object(a->logins, link, request, number, "the gate has not told of the session yet");
	return session;
}

void on_auth_start(struct service *s, struct link *link, struct ipc_message *m)
{
	struct authd *a = service_state(s);
	struct attested_session *session = admit(a, link, m->request, m->body.AUTH_START.session);

	if (session != NULL)
		start(a->logins, link, m, session);
}

void on_auth_next(struct service *s, struct link *link, struct ipc_message *m)
{
	struct authd *a = service_state(s);
	struct attested_session *session = admit(a, link, m->request, m->body.AUTH_NEXT.session);

	if (session != NULL)
		next(a->logins, link, m, session);
}

void on_auth_cancel(struct service *s, struct link *link, struct ipc_message *m)
{
	struct authd *a = service_state(s);
	struct attested_session *session = admit(a, link, 0, m->body.AUTH_CANCEL.session);

	if (session != NULL)
		drop_if_idle(((struct login_session *)session->own)->dialogue);
}
