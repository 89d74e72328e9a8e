#include "session_private.h"

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"

/*
 * AUTH (RFC 4954): the frame of a SASL dialogue.  What is said in it is for authd alone: here are lines, base64 and replies.
 *
 *   AUTH mechanism [response] --AUTH_START--> answered: 334 challenge --response, AUTH_NEXT--> answered ... 235, 535, 454, 501
 *   "*" instead of a response: 501, and authd forgets it too.
 *
 * Always: a new dialogue begins with nothing of the one before; what the client says leaves its buffer only towards authd.
 */
void auth_forget(struct session *s)
{
	s->sasl.open = false;
	buf_free(&s->sasl.response);
}

static void fail(struct session *s, unsigned code, const char *dsn, const char *text)
{
	auth_forget(s);
	session_enter(s, SESSION_READY);
	reply(s, code, dsn, "%s", text);
}

/* authd is to hear it. */
static void pass_on(struct session *s, struct slice encoded)
{
	buf_free(&s->sasl.response);
	if (base64_decode(encoded, &s->sasl.response))
		session_enter(s, SESSION_LOGIN);
	else
		fail(s, 501, "5.5.2", "that is no base64");
}

void auth_line(struct session *s, struct slice line)
{
	if (slice_eq(line, slice_of("*")))
		fail(s, 501, "5.7.0", "authentication cancelled");
	else
		pass_on(s, line);
}

bool auth_offers(const struct session *s, enum mechanism m)
{
	bool bound = s->tls.exporter_len + s->tls.end_point_len > 0;
	/* What a proxy shows is its own. */
	bool certified = s->tls.client != NULL && s->tls.client->verified && !s->place.by_proxy;

	return (s->place.conf->auth.mechanisms & MECHANISM_BIT(m)) != 0 && (m != MECHANISM_SCRAM_SHA_256_PLUS || bound) &&
	       (m != MECHANISM_EXTERNAL || certified);
}

static void begin(struct session *s, enum mechanism m, struct slice initial)
{
	auth_forget(s);
	s->sasl.mechanism = m;
	s->sasl.has_initial = initial.len > 0;
	/* RFC 4954 §4: "=" is a response of no octets */
	pass_on(s, slice_eq(initial, slice_of("=")) ? slice_empty() : initial);
}

void auth_begin(struct session *s, struct slice args)
{
	struct slice name = slice_empty(), initial = slice_empty();
	enum mechanism m;

	if (s->logins_tried >= s->place.conf->set.auth_attempts_max) {
		reply_and_close(s, "4.7.0", "too many logins tried");
		return;
	}
	(void)slice_word(&args, &name);
	(void)slice_word(&args, &initial);
	m = mechanism_find(name);
	if (slice_trim(args).len > 0)
		reply(s, 501, "5.5.4", "syntax: AUTH mechanism [response]");
	else if (m == MECHANISM_COUNT || !auth_offers(s, m))
		reply(s, 504, "5.5.4", "mechanism not offered");
	else
		begin(s, m, initial);
}

/* ---- answers ---- */

/* Not by reply(): a challenge may be longer than a line of replies (RFC 4954 §4). */
static void goes_on(struct session *s, struct slice challenge)
{
	s->sasl.open = true;
	session_enter(s, SESSION_AUTH);
	buf_add_text(&s->out, "334 ");
	base64_encode(challenge, &s->out);
	buf_add_text(&s->out, "\r\n");
}

static void logged_in(struct session *s, struct slice login)
{
	if (login.len == 0 || !slice_copy(login, s->login, sizeof(s->login))) {
		reply_outcome(s, OC_AUTH_UNAVAILABLE);
		return;
	}
	LOG(LEVEL_INFO, "logged-in", KV_SESSION(s->place.number), KV_STR("client", s->place.client),
	    KV_STR("login", s->login), KV_STR("mechanism", mechanism_name(s->sasl.mechanism)));
	reply(s, 235, "2.7.0", "authentication successful");
}

static void malformed(struct session *s, struct slice reason)
{
	struct session_verdict v = session_verdict_of(OC_BAD_INPUT);

	v.dsn = slice_of("5.5.2");
	v.text = reason;
	reply_verdict(s, &v);
}

static void is_over(struct session *s, const struct session_login *answer)
{
	session_enter(s, SESSION_READY);
	if (answer->outcome == OC_BAD_INPUT) {
		malformed(s, answer->reason);
		return;
	}
	s->logins_tried++;
	if (answer->outcome == OC_AUTHENTICATED)
		logged_in(s, answer->login);
	else
		reply_outcome(s, answer->outcome == OC_AUTH_FAILED ? OC_AUTH_FAILED : OC_AUTH_UNAVAILABLE);
}

void session_login_answered(struct session *s, const struct session_login *answer)
{
	if (s->state != SESSION_LOGIN)
		return;
	auth_forget(s);
	if (answer->outcome == OC_AUTH_CONTINUE)
		goes_on(s, answer->challenge);
	else
		is_over(s, answer);
	session_settle(s);
}
