#include "authd_crew.h"

#include "authd.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>

struct crew {
	struct authd *authd;
	const struct crew_spec *spec;
	unsigned asked;
	size_t waiting_count;
	TAILQ_HEAD(, password_check) waiting;
	TAILQ_HEAD(, password_check) refused; /* to be told in the next turn */
	struct timer *refusal; /* owned */
};

static void on_refusal(void *arg)
{
	struct crew *c = arg;
	struct password_check *check;

	while ((check = TAILQ_FIRST(&c->refused)) != NULL) {
		TAILQ_REMOVE(&c->refused, check, peers);
		check->answer(check, OC_AUTH_UNAVAILABLE);
	}
}

struct crew *crew_new(struct authd *a, const struct crew_spec *spec)
{
	struct crew *c = mem_new(1, sizeof(*c));

	if (c == NULL)
		log_fatal("logins", ENOMEM);
	c->authd = a;
	c->spec = spec;
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->refused);
	c->refusal = timer_new(service_loop(a->service), on_refusal, c);
	return c;
}

void crew_status(const struct crew *c, struct buf *out)
{
	char key[64];

	(void)snprintf(key, sizeof(key), "%s_waiting", c->spec->name);
	service_status_number(out, key, c->waiting_count);
	(void)snprintf(key, sizeof(key), "%s_asked", c->spec->name);
	service_status_number(out, key, c->asked);
}

void crew_refuse(struct crew *c, struct password_check *check)
{
	TAILQ_INSERT_TAIL(&c->refused, check, peers);
	timer_set(c->refusal, 0);
}

static void ask_next(struct crew *c);

/* What the client does not hear, the operator may. */
static void log_why(const struct crew *c, const struct password_check *check, enum outcome oc, struct slice why)
{
	if (why.len > 0)
		LOG(oc == OC_AUTH_FAILED ? LEVEL_INFO : LEVEL_WARN, "password-back-end", KV_STR("name", c->spec->name),
		    KV_STR("login", check->login), KV_TEXT("why", why));
}

static void on_answer(struct ipc_message *m, void *arg)
{
	struct password_check *check = arg;
	struct crew *c = check->own;
	enum outcome oc = m == NULL ? OC_AUTH_UNAVAILABLE : m->body.VERIFIED.outcome;

	c->asked--;
	if (oc != OC_AUTHENTICATED && oc != OC_AUTH_FAILED)
		oc = OC_AUTH_UNAVAILABLE;
	if (oc == OC_AUTHENTICATED && c->spec->names_user)
		(void)slice_copy(m->body.VERIFIED.login, check->known_as, sizeof(check->known_as));
	log_why(c, check, oc, m == NULL ? slice_of("no answer in time") : m->body.VERIFIED.why);
	check->answer(check, oc);
	ask_next(c);
}

static void ask_next(struct crew *c)
{
	struct password_check *check;

	while (c->asked < c->spec->at_once && (check = TAILQ_FIRST(&c->waiting)) != NULL) {
		TAILQ_REMOVE(&c->waiting, check, peers);
		c->waiting_count--;
		if (c->spec->ask(c->authd, check, on_answer))
			c->asked++;
		else
			crew_refuse(c, check);
		buf_free(&check->secret);
	}
}

void crew_check(struct crew *c, struct password_check *check)
{
	check->own = c;
	if (c->waiting_count >= CREW_WAITING_MAX) {
		crew_refuse(c, check);
		return;
	}
	TAILQ_INSERT_TAIL(&c->waiting, check, peers);
	c->waiting_count++;
	ask_next(c);
}
