#include "client_internal.h"

#include "base/log.h"
#include "base/mem.h"

#define OUT_MAX (1u << 20)
#define QUIT_MS 2000u /* courtesy has its bounds */

/* ---- states ---- */

typedef enum client_want reply_fn(struct client *c);

static reply_fn on_greeting, on_ehlo, on_helo, on_starttls, on_auth, on_unasked, on_quit;

struct state_rule {
	const char *phase;
	size_t timeout; /* offset of the setting */
	reply_fn *on_reply;
};

#define SETTING(name) offsetof(struct conf_settings, name##_ms)

static const struct state_rule rules[ST_COUNT] = {
	[ST_GREETING] = {"greeting", SETTING(greeting_timeout), on_greeting},
	[ST_EHLO] = {"EHLO", SETTING(command_timeout), on_ehlo},
	[ST_HELO] = {"HELO", SETTING(command_timeout), on_helo},
	[ST_STARTTLS] = {"STARTTLS", SETTING(command_timeout), on_starttls},
	[ST_TLS] = {"TLS handshake", SETTING(command_timeout), on_unasked},
	[ST_CREDENTIAL] = {"login", SETTING(command_timeout), on_unasked},
	[ST_AUTH] = {"AUTH", SETTING(command_timeout), on_auth},
	[ST_READY] = {"between messages", SETTING(command_timeout), on_unasked},
	[ST_ENVELOPE] = {"MAIL", SETTING(command_timeout), client_on_envelope},
	[ST_BODY] = {"message", SETTING(data_block_timeout), client_on_early},
	[ST_END] = {"end of data", SETTING(data_end_timeout), client_on_end},
	[ST_VOID] = {"end of data", SETTING(data_end_timeout), client_on_void},
	[ST_QUIT] = {"QUIT", SETTING(command_timeout), on_quit},
	[ST_CLOSED] = {"closed", SETTING(command_timeout), on_unasked},
};

static const char *const step_phases[] = {
	[STEP_RSET] = "RSET", [STEP_MAIL] = "MAIL", [STEP_RCPT] = "RCPT", [STEP_DATA] = "DATA", [STEP_OVER] = "DATA",
};

const char *client_phase(const struct client *c)
{
	return c->state == ST_ENVELOPE ? step_phases[c->awaited.kind] : rules[c->state].phase;
}

/* RFC 5321 §4.5.3.2: the answer to DATA has a time of its own. */
uint64_t client_timeout_ms(const struct client *c)
{
	const char *set = (const char *)c->config.set;
	uint64_t ms;

	if (c->state == ST_ENVELOPE && c->awaited.kind == STEP_DATA)
		return c->config.set->data_command_timeout_ms;
	memcpy(&ms, set + rules[c->state].timeout, sizeof(ms));
	return c->state == ST_QUIT && ms > QUIT_MS ? QUIT_MS : ms;
}

/* The only place where c->state is written. */
void client_enter(struct client *c, enum client_state next)
{
	LOG(LEVEL_DEBUG, "client-state", KV_STR("from", rules[c->state].phase), KV_STR("to", rules[next].phase));
	c->state = next;
	if (next == ST_CLOSED)
		auth_end(&c->auth);
}

static enum client_want resting_want(const struct client *c)
{
	switch (c->state) {
	case ST_TLS:
		return CLIENT_WANT_TLS;
	case ST_CREDENTIAL:
		return CLIENT_WANT_CREDENTIAL;
	case ST_READY:
		return CLIENT_WANT_MAIL;
	case ST_BODY:
		return CLIENT_WANT_BODY;
	case ST_CLOSED:
		return CLIENT_CLOSED;
	case ST_GREETING:
	case ST_EHLO:
	case ST_HELO:
	case ST_STARTTLS:
	case ST_AUTH:
	case ST_ENVELOPE:
	case ST_END:
	case ST_VOID:
	case ST_QUIT:
	case ST_COUNT:
		break;
	}
	return CLIENT_WANT_READ;
}

static enum client_want end_with(struct client *c, struct client_verdict v)
{
	if (c->state == ST_CLOSED)
		return CLIENT_CLOSED;
	v.decided = true;
	v.phase = client_phase(c);
	c->in_doubt = c->state == ST_END && v.reply.code == 0;
	c->failed_in_tls = c->state == ST_TLS;
	c->failure = v;
	client_enter(c, ST_CLOSED);
	return CLIENT_CLOSED;
}

enum client_want client_fail(struct client *c, enum outcome outcome, const char *why)
{
	struct client_verdict v = {.outcome = outcome};

	reply_sanitise(slice_of(why), v.reply.text, sizeof(v.reply.text));
	return end_with(c, v);
}

enum client_want client_fail_by_reply(struct client *c, enum outcome outcome)
{
	struct client_verdict v = {.outcome = outcome, .reply = c->parser.reply};

	if (c->parser.reply.code != 421)
		buf_add_text(&c->out, "QUIT\r\n");
	return end_with(c, v);
}

/* A failure before which the peer is told goodbye. */
static enum client_want part(struct client *c, enum outcome outcome, const char *why)
{
	buf_add_text(&c->out, "QUIT\r\n");
	return client_fail(c, outcome, why);
}

/* Refused before there was a mail.  5xx of a host that the domain's own MX named is the domain's word (RFC 7504). */
static enum client_want fail_by_refusal(struct client *c)
{
	bool is_final = reply_class(&c->parser.reply) == 5 && c->config.found_by_mx;

	if (reply_class(&c->parser.reply) < 4)
		return client_fail(c, OC_REMOTE_PROTOCOL, "a reply that does not fit the command");
	return client_fail_by_reply(c, is_final ? OC_REMOTE_PERM : OC_REMOTE_TEMP);
}

/* ---- from the greeting to ready ---- */

static bool must_have_tls(const struct client *c)
{
	return c->config.tls == TLS_REQUIRED || c->config.tls == TLS_VERIFIED || c->config.tls == TLS_IMPLICIT ||
	       (c->config.login && !c->config.login_in_clear);
}

static enum client_want say_hello(struct client *c, enum client_state state, const char *verb)
{
	c->capabilities = 0;
	c->limits = (struct client_limits){.size = 0};
	c->begun = 0;
	c->mechanisms = 0;
	buf_addf(&c->out, "%s %s\r\n", verb, c->config.hostname);
	client_enter(c, state);
	return CLIENT_WANT_READ;
}

static enum client_want say_ehlo(struct client *c)
{
	return say_hello(c, ST_EHLO, c->config.lmtp ? "LHLO" : "EHLO");
}

static enum client_want on_greeting(struct client *c)
{
	return c->parser.reply.code == 220 ? say_ehlo(c) : fail_by_refusal(c);
}

enum client_want client_ready(struct client *c)
{
	c->was_ready = true;
	client_enter(c, ST_READY);
	return CLIENT_WANT_MAIL;
}

static enum client_want begin_login(struct client *c)
{
	if (!c->secured && !c->config.login_in_clear)
		return part(c, OC_REMOTE_TLS, "a login is never shown without TLS");
	if (auth_pick(c->mechanisms, c->secured) == AUTH_MECHANISM_COUNT)
		return part(c, OC_REMOTE_LOGIN, "the next host offers none of PLAIN, LOGIN, CRAM-MD5");
	client_enter(c, ST_CREDENTIAL);
	return CLIENT_WANT_CREDENTIAL;
}

/* EHLO was answered: TLS, then the login, then ready. */
static enum client_want go_on(struct client *c)
{
	bool wants_tls = !c->secured && !c->in_clear && c->config.tls != TLS_OFF;

	if (wants_tls && (c->capabilities & CAP_STARTTLS) != 0) {
		buf_add_text(&c->out, "STARTTLS\r\n");
		client_enter(c, ST_STARTTLS);
		return CLIENT_WANT_READ;
	}
	if (!c->secured && must_have_tls(c) && c->config.tls != TLS_OFF)
		return part(c, OC_REMOTE_TLS, "the next host does not offer STARTTLS");
	c->in_clear |= wants_tls;
	if (c->config.login && !c->logged_in)
		return begin_login(c);
	return client_ready(c);
}

static enum client_want on_ehlo(struct client *c)
{
	if (c->parser.reply.code == 250)
		return go_on(c);
	if (reply_class(&c->parser.reply) != 5 || c->config.lmtp || c->secured)
		return fail_by_refusal(c);
	if (must_have_tls(c))
		return part(c, OC_REMOTE_TLS, "the next host does not know EHLO, so it has no STARTTLS");
	return say_hello(c, ST_HELO, "HELO");
}

static enum client_want on_helo(struct client *c)
{
	return c->parser.reply.code == 250 ? go_on(c) : fail_by_refusal(c);
}

static enum client_want on_starttls(struct client *c)
{
	if (c->parser.reply.code == 220) {
		client_enter(c, ST_TLS);
		return CLIENT_WANT_TLS;
	}
	if (reply_class(&c->parser.reply) < 4)
		return fail_by_refusal(c);
	if (must_have_tls(c))
		return client_fail_by_reply(c, OC_REMOTE_TLS);
	c->in_clear = true;
	return go_on(c);
}

/* RFC 3207 §4.2: what was learnt before is forgotten. */
enum client_want client_tls_open(struct client *c)
{
	if (c->state != ST_TLS)
		return resting_want(c);
	reply_start(&c->parser);
	c->secured = true;
	if (c->config.tls != TLS_IMPLICIT)
		return say_ehlo(c);
	client_enter(c, ST_GREETING);
	return CLIENT_WANT_READ;
}

enum client_want client_credential(struct client *c, struct slice user, struct slice secret, const char *why)
{
	enum auth_mechanism m = auth_pick(c->mechanisms, c->secured);

	if (c->state != ST_CREDENTIAL)
		return CLIENT_CLOSED;
	if (user.len == 0)
		return part(c, OC_AUTH_UNAVAILABLE, why);
	c->out.secret = true;
	if (!auth_begin(&c->auth, m, user, secret, &c->out)) {
		buf_clear(&c->out);
		return part(c, OC_AUTH_UNAVAILABLE, "the credential cannot be used with this mechanism");
	}
	client_enter(c, ST_AUTH);
	return CLIENT_WANT_READ;
}

static enum client_want on_auth(struct client *c)
{
	const struct reply *r = &c->parser.reply;

	if (r->code == 334 && c->parser.lines == 1) {
		if (auth_respond(&c->auth, c->parser.line, &c->out))
			return CLIENT_WANT_READ;
		buf_add_text(&c->out, "*\r\n");
		return part(c, OC_REMOTE_LOGIN, "a challenge that is not the mechanism's");
	}
	if (reply_class(r) < 4 && r->code != 235)
		return client_fail(c, OC_REMOTE_PROTOCOL, "a reply that does not fit AUTH");
	auth_end(&c->auth);
	if (r->code != 235)
		return client_fail_by_reply(c, OC_REMOTE_LOGIN);
	c->logged_in = true;
	return client_ready(c);
}

static enum client_want on_unasked(struct client *c)
{
	return client_fail(c, OC_REMOTE_PROTOCOL, "a reply to nothing");
}

static enum client_want on_quit(struct client *c)
{
	client_enter(c, ST_CLOSED);
	return CLIENT_CLOSED;
}

/* ---- what the EHLO reply offers ---- */

static const struct capability {
	const char *keyword;
	unsigned bit;
} capabilities[] = {
	{"STARTTLS", CAP_STARTTLS}, {"PIPELINING", CAP_PIPELINING}, {"SIZE", CAP_SIZE},
	{"8BITMIME", CAP_8BITMIME}, {"SMTPUTF8", CAP_SMTPUTF8},     {"CHUNKING", CAP_CHUNKING},
	{"BINARYMIME", CAP_BINARYMIME}, {"DSN", CAP_DSN},
};

static const struct limit {
	const char *prefix;
	size_t offset;
} limits[] = {
	{"RCPTMAX=", offsetof(struct client_limits, recipients)},
	{"MAILMAX=", offsetof(struct client_limits, messages)},
};

static void note_number(struct slice text, uint64_t *out)
{
	uint64_t number;

	if (slice_u64(text, UINT64_MAX, &number))
		*out = number;
}

/* RFC 9422 §3; what is not known of it is passed over. */
static void note_limits(struct client *c, struct slice rest)
{
	struct slice word;

	while (slice_word(&rest, &word))
		for (size_t i = 0; i < ARRAY_LEN(limits); i++)
			if (slice_starts_nocase(word, slice_of(limits[i].prefix)))
				note_number(slice_from(word, strlen(limits[i].prefix)),
					    (uint64_t *)(void *)((char *)&c->limits + limits[i].offset));
}

/* RFC 5321 §4.1.1.1; "AUTH=" is how servers wrote it before RFC 2554 was final. */
static void note_capability(struct client *c)
{
	struct slice rest = c->parser.line, keyword;

	if (c->parser.lines == 1)
		return; /* the host's name */
	if (slice_starts_nocase(rest, slice_of("AUTH ")) || slice_starts_nocase(rest, slice_of("AUTH="))) {
		c->mechanisms |= auth_mechanisms(slice_from(rest, 5));
		return;
	}
	if (!slice_word(&rest, &keyword))
		return;
	for (size_t i = 0; i < ARRAY_LEN(capabilities); i++)
		if (slice_eq_nocase(keyword, slice_of(capabilities[i].keyword)))
			c->capabilities |= capabilities[i].bit;
	if (slice_eq_nocase(keyword, slice_of("LIMITS")))
		note_limits(c, rest);
	if (slice_eq_nocase(keyword, slice_of("SIZE")) && slice_word(&rest, &keyword))
		note_number(keyword, &c->limits.size);
}

/* ---- events ---- */

struct client *client_new(const struct client_config *config)
{
	struct client *c = mem_new(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->config = *config;
	c->out = buf_make(OUT_MAX);
	c->next.kind = c->awaited.kind = STEP_OVER;
	reply_start(&c->parser);
	return c;
}

void client_free(struct client **cp)
{
	struct client *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	auth_end(&c->auth);
	buf_free(&c->out);
	free(c);
}

enum client_want client_start(struct client *c)
{
	if (c->config.tls == TLS_IMPLICIT)
		client_enter(c, ST_TLS);
	return resting_want(c);
}

static void on_reply(struct client *c)
{
	c->replies++;
	/* RFC 5321 §3.8: it closes the connection whatever it was asked. */
	if (c->parser.reply.code == 421 && c->state != ST_QUIT)
		client_fail_by_reply(c, OC_REMOTE_TEMP);
	else
		rules[c->state].on_reply(c);
}

/* Somebody is at the line: no reason to go on without TLS either. */
static enum client_want fail_by_injection(struct client *c)
{
	client_fail(c, OC_REMOTE_PROTOCOL, "bytes in clear before the TLS handshake");
	c->failed_in_tls = false;
	return CLIENT_CLOSED;
}

enum client_want client_input(struct client *c, struct slice bytes)
{
	while (bytes.len > 0 && c->state != ST_CLOSED) {
		enum reply_want got;

		if (c->state == ST_TLS)
			return fail_by_injection(c);
		got = reply_step(&c->parser, &bytes);
		if (got == REPLY_MORE)
			break;
		if (got == REPLY_BAD)
			return client_fail(c, OC_REMOTE_PROTOCOL, c->parser.why);
		if (c->state == ST_EHLO)
			note_capability(c);
		if (got == REPLY_DONE)
			on_reply(c);
	}
	if (!buf_ok(&c->out))
		return client_fail(c, OC_NO_MEMORY, "no room for what is to be sent");
	return resting_want(c);
}

enum client_want client_quit(struct client *c)
{
	if (c->state != ST_READY)
		return CLIENT_CLOSED;
	buf_add_text(&c->out, "QUIT\r\n");
	client_enter(c, ST_QUIT);
	return CLIENT_WANT_READ;
}

enum client_want client_lost(struct client *c, enum outcome outcome, const char *why)
{
	if (c->state == ST_QUIT)
		client_enter(c, ST_CLOSED);
	return client_fail(c, outcome, why);
}

struct buf *client_out(struct client *c)
{
	return &c->out;
}

const struct client_verdict *client_failure(const struct client *c)
{
	return &c->failure;
}

bool client_failed_in_tls(const struct client *c)
{
	return c->failed_in_tls;
}

bool client_mail_was_heard(const struct client *c)
{
	return c->heard;
}

bool client_mail_is_in_doubt(const struct client *c)
{
	return c->in_doubt;
}

uint64_t client_replies(const struct client *c)
{
	return c->replies;
}

bool client_is_in_clear(const struct client *c)
{
	return c->in_clear;
}

bool client_was_ready(const struct client *c)
{
	return c->was_ready;
}
