#include "session_private.h"

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define OUT_MAX (1u << 20) /* of replies not sent yet; the driver stops reading long before */
#define REPLY_TEXT_MAX 460 /* so that the line stays within 512 octets (RFC 5321 §4.5.3.1.5) */

static const struct {
	const char *name;
	enum session_want want;
} states[SESSION_STATES] = {
	[SESSION_CONNECT] = {"connect", WANT_INPUT},
	[SESSION_GREETED] = {"greeted", WANT_INPUT},
	[SESSION_READY] = {"ready", WANT_INPUT},
	[SESSION_MAIL] = {"mail", WANT_INPUT},
	[SESSION_RCPT] = {"rcpt", WANT_INPUT},
	[SESSION_CHUNKED] = {"chunked", WANT_INPUT},
	[SESSION_CHUNK] = {"chunk", WANT_INPUT},
	[SESSION_BODY] = {"body", WANT_INPUT},
	[SESSION_AUTH] = {"auth", WANT_INPUT},
	[SESSION_POLICY] = {"policy", WANT_POLICY},
	[SESSION_LOGIN] = {"login", WANT_LOGIN},
	[SESSION_CLIENT] = {"client", WANT_CLIENT},
	[SESSION_HEADER] = {"header", WANT_REWRITE},
	[SESSION_STORE] = {"store", WANT_STORE},
	[SESSION_COMMIT] = {"commit", WANT_COMMIT},
	[SESSION_PAUSE] = {"pause", WANT_PAUSE},
	[SESSION_TLS] = {"tls", WANT_TLS},
	[SESSION_CLOSING] = {"closing", WANT_CLOSE},
};

const char *session_state_name(enum session_state state)
{
	return state < SESSION_STATES ? states[state].name : "?";
}

enum session_want session_want(const struct session *s)
{
	return states[s->state].want;
}

void session_init(struct session *s, const struct session_place *place)
{
	*s = (struct session){
		.place = *place,
		.state = SESSION_CONNECT,
		.out = buf_make(OUT_MAX),
		.line = command_line_make(),
		.tags = buf_make(TAGS_MAX),
		.sasl = {.response = buf_make_secret(MECHANISM_MESSAGE_MAX)},
	};
}

void session_clear(struct session *s)
{
	buf_free(&s->out);
	command_line_free(&s->line);
	transaction_free(&s->transaction);
	free(s->claimed);
	s->claimed = NULL;
	buf_free(&s->tags);
	buf_free(&s->sasl.response);
}

/* The only place where the state is written. */
void session_enter(struct session *s, enum session_state next)
{
	LOG(LEVEL_DEBUG, "session-state", KV_SESSION(s->place.number),
	    KV_STR("from", session_state_name(s->state)), KV_STR("to", session_state_name(next)));
	s->state = next;
}

void session_reset(struct session *s)
{
	transaction_free(&s->transaction);
}

const char *session_helo(const struct session *s)
{
	return s->hello[0] != '\0' ? s->hello : s->helo;
}

/* ---- replies ---- */

static void say(struct session *s, unsigned code, const char *dsn, const char *text)
{
	buf_addf(&s->out, "%u %s%s%s\r\n", code, dsn, dsn[0] == '\0' ? "" : " ", text);
}

static void log_refusal(struct session *s, unsigned code, const char *dsn, const char *text,
			struct slice rule)
{
	const struct transaction *t = s->transaction;
	bool about_rcpt = t != NULL && slice_eq(slice_of(s->last_verb), slice_of("RCPT"));

	LOG(LEVEL_INFO, "command-refused", KV_SESSION(s->place.number),
	    KV_STR("client", s->place.client), KV_STR("verb", s->last_verb), KV_NUM("code", code),
	    KV_STR("dsn", dsn), KV_STR("cause", text), KV_TEXT("rule", rule),
	    KV_STR("helo", session_helo(s)), KV_STR("sender", t == NULL ? "" : t->sender.text),
	    KV_STR("recipient", about_rcpt ? t->candidate.text : ""), KV_STR("login", s->login));
}

/* Nothing is left of the transaction, and nothing more is read. */
static void close_with(struct session *s, unsigned code, const char *dsn, const char *text)
{
	say(s, code, dsn, text);
	session_reset(s);
	session_enter(s, SESSION_CLOSING);
}

void refuse_and_close(struct session *s, unsigned code, const char *dsn, const char *text)
{
	log_refusal(s, code, dsn, text, slice_empty());
	close_with(s, code, dsn, text);
}

void reply_and_close(struct session *s, const char *dsn, const char *text)
{
	refuse_and_close(s, 421, dsn, text);
}

static void refuse(struct session *s, unsigned code, const char *dsn, const char *text,
		   struct slice rule)
{
	log_refusal(s, code, dsn, text, rule);
	if (code >= 500 && ++s->errors > s->place.conf->set.errors_max)
		reply_and_close(s, "4.7.0", "too many errors");
	else
		say(s, code, dsn, text);
}

void reply(struct session *s, unsigned code, const char *dsn, const char *format, ...)
{
	char text[REPLY_TEXT_MAX];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	va_end(args);
	if (code < 400)
		say(s, code, dsn, text);
	else
		refuse(s, code, dsn, text, slice_empty());
}

/* Another process wrote it: one printable line, whatever it holds. */
static void make_safe(struct slice text, char *out, size_t size)
{
	size_t len = text.len < size ? text.len : size - 1;

	for (size_t i = 0; i < len; i++)
		out[i] = text.at[i] >= ' ' && text.at[i] < 0x7f ? text.at[i] : '?';
	out[len] = '\0';
}

static bool is_dsn_of(struct slice dsn, unsigned class)
{
	unsigned dots = 0;

	if (dsn.len < 5 || dsn.at[0] != (char)('0' + class))
		return false;
	for (size_t i = 0; i < dsn.len; i++) {
		if (!ascii_is_digit(dsn.at[i]) && dsn.at[i] != '.')
			return false;
		dots += dsn.at[i] == '.';
	}
	return dots == 2;
}

/* The code of an outcome stands in one table; a rule's own must be of the same class, or it is
 * not believed. */
void reply_verdict(struct session *s, const struct session_verdict *v)
{
	const struct outcome_info *info = outcome_info(v->outcome);
	bool own_code = v->code / 100 == (info->kind == KIND_TEMP ? 4 : 5);
	unsigned code = own_code ? (unsigned)v->code : info->smtp;
	char dsn[16], text[REPLY_TEXT_MAX];

	make_safe(is_dsn_of(v->dsn, code / 100) ? v->dsn : slice_of(info->dsn), dsn, sizeof(dsn));
	make_safe(v->text.len > 0 ? v->text : slice_of(info->text), text, sizeof(text));
	if (v->close) {
		log_refusal(s, code, dsn, text, v->rule);
		close_with(s, code, dsn, text);
	} else {
		refuse(s, code, dsn, text, v->rule);
	}
}

void reply_outcome(struct session *s, enum outcome outcome)
{
	const struct session_verdict v = session_verdict_of(outcome);

	reply_verdict(s, &v);
}

/* ---- the ends ---- */

static const struct {
	const char *dsn, *text;
} ends[] = {
	[END_IDLE] = {"4.4.2", "waited too long for you"},
	[END_SESSION_LONG] = {"4.4.2", "this session has lasted too long"},
	[END_MESSAGE_LONG] = {"4.4.2", "this message has taken too long"},
	[END_SHUTDOWN] = {"4.3.2", "service is shutting down, try again"},
	[END_GATE_GONE] = {"4.3.0", "a part of this service was restarted, try again"},
	[END_LOGIN_LOST] = {"4.3.0", "a part of this service was restarted, log in again"},
};

void session_end(struct session *s, enum session_end why)
{
	if (s->state == SESSION_CLOSING)
		return;
	reply_and_close(s, ends[why].dsn, ends[why].text);
}

/* Between two mails a session that should leave does so. */
void session_settle(struct session *s)
{
	if (s->leaving &&
	    (s->state == SESSION_GREETED || s->state == SESSION_READY || s->state == SESSION_AUTH))
		session_end(s, END_SHUTDOWN);
}

void session_leave(struct session *s)
{
	s->leaving = true;
	session_settle(s);
}

/* ---- stages ---- */

bool session_is_ours(const struct session *s)
{
	return s->login[0] != '\0' || s->place.role == LISTENER_LOCAL;
}

bool session_is_bound(const struct session *s)
{
	return s->place.senders == SENDERS_OWN && session_is_ours(s);
}

/* Which addresses are whose, policyd knows. */
static bool is_about_sender(const struct session *s, enum conf_stage stage)
{
	return session_is_bound(s) && (stage == STAGE_MAIL || stage == STAGE_DATA);
}

void session_consult(struct session *s, enum conf_stage stage, enum session_state allowed,
		     enum session_state refused)
{
	s->stage = stage;
	s->after = allowed;
	s->refused = refused;
	if (s->place.conf->policy[stage] != NULL || stage == STAGE_RCPT || is_about_sender(s, stage))
		session_enter(s, SESSION_POLICY);
	else {
		session_enter(s, allowed);
		verb_accepted(s, stage);
	}
}

bool session_effect(struct session *s, struct slice kind, struct slice text)
{
	if (slice_eq(kind, slice_of("log")))
		LOG(LEVEL_INFO, "rule", KV_SESSION(s->place.number), KV_TEXT("text", text));
	if (slice_eq(kind, slice_of("tag")) && !slice_starts(text, slice_of("message.")))
		return transaction_note_tag(&s->tags, text);
	return s->transaction == NULL || transaction_effect(s->transaction, kind, text);
}

struct buf session_all_tags(const struct session *s)
{
	struct buf tags = buf_make(TAGS_MAX);
	struct slice rest = s->transaction == NULL ? slice_empty() : buf_slice(&s->transaction->tags), word;

	buf_add_slice(&tags, buf_slice(&s->tags));
	while (slice_word(&rest, &word))
		(void)transaction_note_tag(&tags, word);
	return tags;
}

static void note_rule(struct session *s, struct slice rule)
{
	if (s->transaction != NULL && rule.len > 0)
		(void)slice_copy(rule, s->transaction->rule, sizeof(s->transaction->rule));
}

static void take_verdict(struct session *s, const struct session_verdict *v)
{
	if (outcome_kind(v->outcome) == KIND_OK) {
		note_rule(s, v->rule);
		session_enter(s, s->after);
		verb_accepted(s, s->stage);
		return;
	}
	session_enter(s, s->refused);
	reply_verdict(s, v);
	s->hello[0] = '\0'; /* RFC 5321 §4.1.4: a refused EHLO leaves the state that was */
	/* A mail refused at MAIL, or after its data, is over; one refused recipient is not. */
	if (s->refused == SESSION_READY)
		session_reset(s);
}

/* The reply is made now and told when the time is over. */
static void pause_for(struct session *s, uint64_t delay_ms)
{
	if (delay_ms == 0)
		return;
	s->pause_ms = delay_ms;
	s->after = s->state;
	session_enter(s, SESSION_PAUSE);
}

void session_policy_answered(struct session *s, const struct session_verdict *v)
{
	if (s->state != SESSION_POLICY)
		return;
	take_verdict(s, v);
	pause_for(s, v->delay_ms);
	session_settle(s);
}

void session_resume(struct session *s)
{
	if (s->state != SESSION_PAUSE)
		return;
	session_enter(s, s->after);
	session_settle(s);
}

void session_begin(struct session *s)
{
	snprintf(s->last_verb, sizeof(s->last_verb), "connect");
	session_consult(s, STAGE_CONNECT, SESSION_GREETED, SESSION_CLOSING);
	session_settle(s);
}

void session_tls_open(struct session *s, const struct session_tls *tls)
{
	s->tls = *tls;
	s->tls.active = true;
	if (s->state != SESSION_TLS)
		return; /* implicit: nothing was said yet */
	s->helo[0] = '\0';
	s->esmtp = false;
	auth_forget(s);
	session_reset(s);
	command_line_clear(&s->line);
	session_enter(s, SESSION_GREETED);
	session_settle(s);
}

/* ---- the body ---- */

static const struct {
	unsigned code;
	const char *dsn, *text;
} body_faults[] = {
	[BODY_GOOD] = {250, "2.0.0", ""},
	[BODY_BARE_CR] = {550, "5.6.11", "bare carriage return: lines must end with CRLF"},
	[BODY_BARE_LF] = {550, "5.6.11", "bare line feed: lines must end with CRLF"},
	[BODY_NUL] = {550, "5.6.11", "NUL in the message"},
	[BODY_LONG_LINE] = {500, "5.5.2", "a line of the message is too long"},
	[BODY_TOO_BIG] = {552, "5.3.4", "message is too big"},
	[BODY_LONG_HEADER] = {552, "5.3.4", "header section is too long"},
	[BODY_LOOP] = {554, "5.4.6", "mail loop: too many Received lines"},
};

bool session_body_is_good(struct session *s)
{
	const struct transaction *t = s->transaction;
	enum body_fault fault = transaction_fault(t);

	if (fault == BODY_GOOD && t->store_outcome == OC_DONE)
		return true;
	session_enter(s, SESSION_READY);
	if (fault != BODY_GOOD)
		reply(s, body_faults[fault].code, body_faults[fault].dsn, "%s",
		      body_faults[fault].text);
	else
		reply_outcome(s, t->store_outcome);
	session_reset(s);
	return false;
}

bool session_asks_rewrite(struct session *s)
{
	if (!s->transaction->asks_rewrite)
		return false;
	s->after = s->state;
	session_enter(s, SESSION_HEADER);
	return true;
}

static void data_ended(struct session *s)
{
	if (session_body_is_good(s))
		session_consult(s, STAGE_DATA, SESSION_COMMIT, SESSION_READY);
}

void session_end_of_data(struct session *s)
{
	transaction_finish(s->transaction);
	s->header_at_end = session_asks_rewrite(s);
	if (!s->header_at_end)
		data_ended(s);
}

static void body_goes_on(struct session *s)
{
	struct transaction *t = s->transaction;

	if (session_asks_rewrite(s))
		return;
	if (transaction_is_over(t)) {
		session_end_of_data(s);
	} else if (transaction_is_full(t)) {
		s->after = SESSION_BODY;
		session_enter(s, SESSION_STORE);
	}
}

static size_t take_body(struct session *s, struct slice in)
{
	size_t used = transaction_body(s->transaction, in);

	body_goes_on(s);
	return used;
}

void session_rewritten(struct session *s, enum outcome outcome, struct slice records)
{
	bool at_end = s->header_at_end;

	if (s->state != SESSION_HEADER)
		return;
	s->header_at_end = false;
	transaction_rewritten(s->transaction, outcome, records);
	session_enter(s, s->after);
	if (at_end)
		data_ended(s);
	else if (s->state == SESSION_CHUNK)
		bdat_go_on(s);
	else
		body_goes_on(s);
}

void session_stored(struct session *s, enum outcome outcome)
{
	if (s->state != SESSION_STORE)
		return;
	transaction_stored(s->transaction, outcome);
	session_enter(s, s->after);
	if (s->state == SESSION_CHUNK)
		bdat_go_on(s);
}

static void accepted(struct session *s, uint64_t id)
{
	const struct transaction *t = s->transaction;
	char text[ID_CHARS + 1];

	id_text(id, text);
	LOG(LEVEL_INFO, "accepted", KV_ID(id), KV_SESSION(s->place.number),
	    KV_STR("client", s->place.client), KV_STR("sender", t->sender.text),
	    KV_NUM("recipients", t->recipient_count), KV_NUM("size", t->body_bytes),
	    KV_STR("protocol", session_protocol(s)), KV_STR("tls", s->tls.version),
	    KV_STR("login", s->login), KV_STR("helo", s->helo));
	reply(s, 250, "2.0.0", "accepted as %s", text);
}

void session_committed(struct session *s, const struct session_verdict *v, uint64_t id)
{
	if (s->state != SESSION_COMMIT)
		return;
	session_enter(s, SESSION_READY);
	if (v->outcome == OC_DONE)
		accepted(s, id);
	else
		reply_verdict(s, v);
	session_reset(s);
	session_settle(s);
}

/* ---- commands ---- */

static const char *const line_faults[] = {
	[LINE_BARE_CR] = "bare carriage return: a command ends with CRLF",
	[LINE_BARE_LF] = "bare line feed: a command ends with CRLF",
	[LINE_NUL] = "NUL in a command",
	[LINE_LONG] = "line too long",
};

static void bad_line(struct session *s, enum line_event event)
{
	snprintf(s->last_verb, sizeof(s->last_verb), "?");
	if (event == LINE_ENDLESS) {
		reply_and_close(s, "4.7.0", "a line without end");
		return;
	}
	if (s->state == SESSION_AUTH) {
		auth_forget(s);
		session_enter(s, SESSION_READY);
	}
	reply(s, 500, "5.5.2", "%s", line_faults[event]);
}

static void whole_line(struct session *s)
{
	struct slice line = buf_slice(&s->line.text);

	if (++s->commands > s->place.conf->set.commands_max)
		reply_and_close(s, "4.7.0", "too many commands in one session");
	else if (s->state == SESSION_AUTH)
		auth_line(s, line);
	else
		verb_run(s, line);
	command_line_clear(&s->line);
}

static bool said_hello(const struct session *s)
{
	return slice_eq(slice_of(s->last_verb), slice_of("EHLO")) || slice_eq(slice_of(s->last_verb), slice_of("HELO"));
}

static size_t take_line(struct session *s, struct slice in)
{
	size_t used;
	enum line_event event;

	s->line.in_dialogue = s->state == SESSION_AUTH;
	event = command_line_step(&s->line, in, &used);

	if (event == LINE_WHOLE) {
		whole_line(s);
		s->pipelined = s->pipelined || (said_hello(s) && used < in.len);
	} else if (event != LINE_MORE) {
		bad_line(s, event);
	}
	return used;
}

/* Said here and not by the verb: it must be known whether anything stands behind it
 * (CVE-2011-0411 and its kin). */
static size_t answer_starttls(struct session *s, size_t used, size_t had)
{
	if (used == had) {
		reply(s, 220, "2.0.0", "ready to start TLS");
		return used;
	}
	reply_and_close(s, "4.7.0", "nothing may follow STARTTLS before the handshake");
	return had;
}

static size_t take(struct session *s, struct slice in)
{
	if (s->state == SESSION_BODY)
		return take_body(s, in);
	return s->state == SESSION_CHUNK ? bdat_input(s, in) : take_line(s, in);
}

/* A TLS record of a handshake (RFC 8446 §5.1) in the place of the first octet: it took this port for one with TLS from the first byte.
 * What follows is no text, and no answer of ours would be read as one.  Behind anything else, a bad line too, it is an octet as any
 * other, however the stream is cut. */
#define TLS_HANDSHAKE 0x16

static bool is_client_hello(const struct session *s, struct slice in)
{
	bool heard = s->commands + s->errors > 0 || s->line.text.len > 0 || s->line.skipping || s->line.after_cr;

	return !heard && s->state == SESSION_GREETED && !s->tls.active && in.len > 0 && in.at[0] == TLS_HANDSHAKE;
}

size_t session_input(struct session *s, struct slice in)
{
	size_t used = 0;

	if (is_client_hello(s, in)) {
		snprintf(s->last_verb, sizeof(s->last_verb), "?");
		reply_and_close(s, "4.7.0", "this is SMTP, and TLS begins with STARTTLS");
		return in.len;
	}
	while (used < in.len && session_takes_input(s)) {
		struct slice rest = slice_from(in, used);

		used += take(s, rest);
		if (s->state == SESSION_TLS)
			used = answer_starttls(s, used, in.len);
		session_settle(s);
	}
	return used;
}

const char *session_protocol(const struct session *s)
{
	static const char *const names[2][2][2] = {
		{{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
		{{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}},
	};
	bool utf8 = s->transaction != NULL && s->transaction->smtputf8;

	return s->esmtp ? names[utf8][s->tls.active][s->login[0] != '\0'] : "SMTP";
}
