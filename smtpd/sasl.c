#include "session_private.h"

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"

/*
 * AUTH (RFC 4954): PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login).
 *
 *   AUTH PLAIN [response] --response--> asked
 *   AUTH LOGIN [name] --name--> --password--> asked
 *   "*" in between: 501, and nothing is kept.
 *
 * Always: a new dialogue begins with nothing of the one before; a password leaves its buffer only
 * towards authd.
 */
#define DECODED_MAX 2048u
#define LOGIN_MAX 255u
#define PROMPT_NAME "VXNlcm5hbWU6" /* "Username:" */
#define PROMPT_SECRET "UGFzc3dvcmQ6" /* "Password:" */

static void stop(struct session *s)
{
	s->sasl = SASL_NONE;
	s->login_asked[0] = '\0';
	buf_free(&s->secret);
	session_enter(s, SESSION_READY);
}

static void fail(struct session *s, unsigned code, const char *dsn, const char *text)
{
	stop(s);
	reply(s, code, dsn, "%s", text);
}

static void ask_for(struct session *s, enum sasl_step step, const char *prompt)
{
	s->sasl = step;
	session_enter(s, SESSION_AUTH);
	reply(s, 334, "", "%s", prompt);
}

static bool keep_name(struct session *s, struct slice name)
{
	return name.len > 0 && name.len <= LOGIN_MAX && mail_utf8_is_clean(name) &&
	       slice_copy(name, s->login_asked, sizeof(s->login_asked));
}

static bool keep_secret(struct session *s, struct slice secret)
{
	buf_free(&s->secret);
	return secret.len > 0 && slice_index(secret, '\0') == SLICE_NONE &&
	       buf_add_slice(&s->secret, secret);
}

static void check(struct session *s)
{
	s->sasl = SASL_NONE;
	s->logins_tried++;
	session_enter(s, SESSION_LOGIN);
}

/* authzid NUL authcid NUL passwd: three fields and no more. */
static void take_plain(struct session *s, struct slice message)
{
	struct slice rest = message, authzid = slice_empty(), name = slice_empty();
	size_t first = slice_index(message, '\0');
	size_t second;

	rest = slice_from(message, first == SLICE_NONE ? message.len : first + 1);
	second = slice_index(rest, '\0');
	authzid = slice_sub(message, 0, first);
	name = slice_sub(rest, 0, second);
	if (first == SLICE_NONE || second == SLICE_NONE || !keep_name(s, name) ||
	    !keep_secret(s, slice_from(rest, second + 1)))
		fail(s, 501, "5.5.2", "that is no PLAIN response");
	else if (authzid.len > 0 && !slice_eq(authzid, name))
		fail(s, 535, "5.7.8", "authentication failed"); /* nobody may act as another */
	else
		check(s);
}

static void take_login_name(struct session *s, struct slice name)
{
	if (keep_name(s, name))
		ask_for(s, SASL_LOGIN_SECRET, PROMPT_SECRET);
	else
		fail(s, 501, "5.5.2", "that is no login");
}

static void take_login_secret(struct session *s, struct slice secret)
{
	if (keep_secret(s, secret))
		check(s);
	else
		fail(s, 501, "5.5.2", "that is no password");
}

typedef void take_fn(struct session *s, struct slice decoded);

static take_fn *const steps[] = {
	[SASL_PLAIN] = take_plain,
	[SASL_LOGIN_NAME] = take_login_name,
	[SASL_LOGIN_SECRET] = take_login_secret,
};

static void take_response(struct session *s, enum sasl_step step, struct slice encoded)
{
	struct buf decoded = buf_make_secret(DECODED_MAX);

	if (base64_decode(encoded, &decoded))
		steps[step](s, buf_slice(&decoded));
	else
		fail(s, 501, "5.5.2", "that is no base64");
	buf_free(&decoded);
}

void sasl_line(struct session *s, struct slice line)
{
	if (slice_eq(line, slice_of("*")))
		fail(s, 501, "5.7.0", "authentication cancelled");
	else
		take_response(s, s->sasl, line);
}

static const struct {
	const char *name, *prompt;
	enum sasl_step first;
} mechanisms[] = {
	{"PLAIN", "", SASL_PLAIN},
	{"LOGIN", PROMPT_NAME, SASL_LOGIN_NAME},
};

static void begin(struct session *s, size_t mechanism, struct slice initial)
{
	stop(s);
	if (initial.len == 0)
		ask_for(s, mechanisms[mechanism].first, mechanisms[mechanism].prompt);
	else /* RFC 4954 §4: "=" is a response of no octets */
		take_response(s, mechanisms[mechanism].first,
			      slice_eq(initial, slice_of("=")) ? slice_empty() : initial);
}

void sasl_begin(struct session *s, struct slice args)
{
	struct slice name = slice_empty(), initial = slice_empty();

	if (s->logins_tried >= s->place.conf->set.auth_attempts_max) {
		reply_and_close(s, "4.7.0", "too many logins tried");
		return;
	}
	(void)slice_word(&args, &name);
	(void)slice_word(&args, &initial);
	if (slice_trim(args).len > 0) {
		reply(s, 501, "5.5.4", "syntax: AUTH mechanism [response]");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
		if (slice_eq_nocase(name, slice_of(mechanisms[i].name))) {
			begin(s, i, initial);
			return;
		}
	}
	reply(s, 504, "5.5.4", "mechanism not offered");
}

static void logged_in(struct session *s, struct slice login)
{
	if (login.len == 0 || !slice_copy(login, s->login, sizeof(s->login))) {
		reply_outcome(s, OC_AUTH_UNAVAILABLE);
		return;
	}
	LOG(LEVEL_INFO, "logged-in", KV_SESSION(s->place.number), KV_STR("client", s->place.client),
	    KV_STR("login", s->login));
	reply(s, 235, "2.7.0", "authentication successful");
}

void session_login_answered(struct session *s, enum outcome outcome, struct slice login)
{
	if (s->state != SESSION_LOGIN)
		return;
	if (outcome == OC_AUTH_FAILED)
		LOG(LEVEL_INFO, "login-failed", KV_SESSION(s->place.number),
		    KV_STR("client", s->place.client), KV_STR("login", s->login_asked));
	stop(s);
	if (outcome == OC_AUTHENTICATED)
		logged_in(s, login);
	else
		reply_outcome(s, outcome == OC_AUTH_FAILED ? OC_AUTH_FAILED : OC_AUTH_UNAVAILABLE);
	session_settle(s);
}
