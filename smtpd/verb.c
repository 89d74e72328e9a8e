#include "session_private.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

/*
 * The table of verbs: where each may stand, whether it takes an argument, what it does.  What is
 * not in it is not understood.
 */
#define IN(state) (1u << (state))
#define ANYWHERE                                                                                   \
	(IN(SESSION_GREETED) | IN(SESSION_READY) | IN(SESSION_MAIL) | IN(SESSION_RCPT) |           \
	 IN(SESSION_CHUNKED))
#define AFTER_HELO (ANYWHERE & ~IN(SESSION_GREETED))

enum verb_argument { ARGUMENT_NONE, ARGUMENT_NEEDED, ARGUMENT_ANY };

struct verb {
	const char *name;
	unsigned allowed;
	const char *misplaced; /* what to say elsewhere */
	enum verb_argument argument;
	void (*run)(struct session *s, struct slice args);
};

/* ---- HELO, EHLO ---- */

/* A name, or what clients say instead of one: rules may judge it, but it must be one word
 * without specials (RFC 5322 §3.2.3), for it stands in Received. */
static bool is_helo(struct slice name)
{
	if (name.len == 0 || name.len > MAIL_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] <= ' ' || name.at[i] >= 0x7f ||
		    strchr("<>()@,;\\\"", name.at[i]) != NULL)
			return false;
	return true;
}

static void hello(struct session *s, struct slice name, bool esmtp)
{
	if (!is_helo(name)) {
		reply(s, 501, "5.5.4", "that is no host name");
		return;
	}
	(void)slice_copy(name, s->hello, sizeof(s->hello));
	s->hello_esmtp = esmtp;
	session_consult(s, STAGE_HELO, SESSION_READY, s->state);
}

static void run_ehlo(struct session *s, struct slice args)
{
	hello(s, args, true);
}

static void run_helo(struct session *s, struct slice args)
{
	hello(s, args, false);
}

static bool offers_tls(const struct session *s)
{
	return (s->place.tls == TLS_OPTIONAL || s->place.tls == TLS_REQUIRED) &&
	       s->place.conf->certificate_count > 0;
}

static bool offers_starttls_now(const struct session *s)
{
	return offers_tls(s) && !s->tls.active;
}

static bool offers_auth_now(const struct session *s)
{
	return s->place.takes_logins && s->tls.active && s->login[0] == '\0';
}

static bool offers_xclient_now(const struct session *s)
{
	return s->place.may_xclient && s->login[0] == '\0';
}

/* RFC 3461: a report to whoever is named as the sender is for those only who are known not to invent him.  Where nobody gets further
 * without a login it is shown before: clients rarely say EHLO once more behind AUTH. */
bool offers_dsn(const struct session *s)
{
	switch (s->place.dsn) {
	case DSN_FOR_ALL:
		return true;
	case DSN_FOR_NOBODY:
		return false;
	case DSN_FOR_KNOWN:
		break;
	}
	return s->place.role == LISTENER_LOCAL || s->place.trusted || s->login[0] != '\0' || s->place.auth == AUTH_REQUIRED;
}

static bool shows(const struct session *s, enum conf_extension e)
{
	return (s->place.hidden >> e & 1) == 0;
}

bool offers_chunking(const struct session *s)
{
	return shows(s, EXTENSION_CHUNKING);
}

bool offers_binarymime(const struct session *s)
{
	return shows(s, EXTENSION_BINARYMIME);
}

bool offers_smtputf8(const struct session *s)
{
	return shows(s, EXTENSION_SMTPUTF8);
}

static bool always(const struct session *s)
{
	(void)s;
	return true;
}

/* A keyword stands here only if its promise is kept. */
static const struct {
	const char *keyword;
	bool (*offered)(const struct session *s);
} keywords[] = {
	{"PIPELINING", always},
	{"8BITMIME", always},
	{"BINARYMIME", offers_binarymime},
	{"CHUNKING", offers_chunking},
	{"SMTPUTF8", offers_smtputf8},
	{"ENHANCEDSTATUSCODES", always},
	{"DSN", offers_dsn},
	{"STARTTLS", offers_starttls_now},
	{"XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT", offers_xclient_now},
};

/* RFC 4954 §3: one line, in the order of the table of mechanisms. */
static void offer_mechanisms(struct session *s)
{
	if (!offers_auth_now(s))
		return;
	buf_add_text(&s->out, "250-AUTH");
	for (unsigned m = 0; m < MECHANISM_COUNT; m++)
		if (auth_offers(s, (enum mechanism)m))
			buf_addf(&s->out, " %s", mechanism_name((enum mechanism)m));
	buf_add_text(&s->out, "\r\n");
}

static void greet_back(struct session *s)
{
	const struct conf_settings *set = &s->place.conf->set;

	(void)slice_copy(slice_of(s->hello), s->helo, sizeof(s->helo));
	s->hello[0] = '\0';
	s->esmtp = s->hello_esmtp;
	session_reset(s);
	if (!s->esmtp) {
		buf_addf(&s->out, "250 %s\r\n", s->place.hostname);
		return;
	}
	buf_addf(&s->out, "250-%s\r\n", s->place.hostname);
	for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
		if (keywords[i].offered(s))
			buf_addf(&s->out, "250-%s\r\n", keywords[i].keyword);
	offer_mechanisms(s);
	buf_addf(&s->out, "250-LIMITS RCPTMAX=%llu MAILMAX=%llu\r\n", (unsigned long long)set->recipients_max,
		 (unsigned long long)set->messages_max);
	buf_addf(&s->out, "250 SIZE %llu\r\n", (unsigned long long)set->message_size_max);
}

static void banner(struct session *s)
{
	const char *text = s->place.banner == NULL ? "ESMTP Postern" : s->place.banner, *name = s->place.hostname;

	/* On the submission socket it is what sendmail completes addresses with (cli/submit_smtp.c). */
	if (s->place.role == LISTENER_LOCAL && s->place.conf->set.qualify_domain[0] != '\0')
		name = s->place.conf->set.qualify_domain;
	buf_addf(&s->out, "220 %s %s\r\n", name, text);
}

/* ---- MAIL, RCPT, DATA ---- */

static bool may_begin(struct session *s)
{
	if (s->place.tls == TLS_REQUIRED && !s->tls.active)
		reply(s, 530, "5.7.0", "say STARTTLS first");
	else if (s->place.auth == AUTH_REQUIRED && s->login[0] == '\0')
		reply(s, 530, "5.7.0", "authentication required");
	else
		return true;
	return false;
}

static void run_mail(struct session *s, struct slice args)
{
	if (!may_begin(s))
		return;
	if (s->messages >= s->place.conf->set.messages_max)
		reply_and_close(s, "4.7.0", "too many messages in one session");
	else
		envelope_mail(s, args);
}

static void accepted_mail(struct session *s)
{
	reply(s, 250, "2.1.0", "sender ok");
}

static void run_rcpt(struct session *s, struct slice args)
{
	envelope_rcpt(s, args);
}

static void accepted_rcpt(struct session *s)
{
	if (transaction_add_recipient(s->transaction)) {
		reply(s, 250, "2.1.5", "recipient ok");
		return;
	}
	session_enter(s, s->refused);
	reply_outcome(s, OC_NO_MEMORY);
}

static void run_data(struct session *s, struct slice args)
{
	(void)args;
	if (s->transaction->body_binary) {
		reply(s, 503, "5.5.1", "BODY=BINARYMIME comes by BDAT");
		return;
	}
	s->messages++;
	s->bodies++;
	reply(s, 354, "", "end data with <CRLF>.<CRLF>");
	session_enter(s, SESSION_BODY);
}

static void nothing(struct session *s)
{
	(void)s;
}

void verb_accepted(struct session *s, enum conf_stage stage)
{
	static void (*const accepted[STAGE_COUNT])(struct session *s) = {
		[STAGE_CONNECT] = banner,
		[STAGE_HELO] = greet_back,
		[STAGE_MAIL] = accepted_mail,
		[STAGE_RCPT] = accepted_rcpt,
		[STAGE_DATA] = nothing,
	};

	accepted[stage](s);
}

/* ---- the small ones ---- */

static void run_rset(struct session *s, struct slice args)
{
	(void)args;
	session_reset(s);
	if (s->state != SESSION_GREETED)
		session_enter(s, SESSION_READY);
	reply(s, 250, "2.0.0", "ok");
}

static void run_noop(struct session *s, struct slice args)
{
	(void)args;
	reply(s, 250, "2.0.0", "ok");
}

/* RFC 5321 §3.5.3: neither yes nor no, for anybody. */
static void run_vrfy(struct session *s, struct slice args)
{
	(void)args;
	reply(s, 252, "2.5.0", "send mail to it and see");
}

static void run_help(struct session *s, struct slice args)
{
	(void)args;
	reply(s, 214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS AUTH");
}

static void run_quit(struct session *s, struct slice args)
{
	(void)args;
	reply(s, 221, "2.0.0", "bye");
	session_reset(s);
	session_enter(s, SESSION_CLOSING);
}

static void run_starttls(struct session *s, struct slice args)
{
	(void)args;
	if (s->tls.active)
		reply(s, 503, "5.5.1", "this is TLS already");
	else if (!offers_tls(s))
		reply(s, 502, "5.5.1", "STARTTLS is not offered here");
	else if (!s->tls_ready)
		reply_outcome(s, OC_TLS_UNAVAILABLE);
	else
		session_enter(s, SESSION_TLS);
}

static void run_auth(struct session *s, struct slice args)
{
	if (!s->tls.active)
		reply(s, 538, "5.7.11", "a login needs TLS");
	else if (!s->place.takes_logins)
		reply(s, 502, "5.5.1", "AUTH is not offered here");
	else if (s->login[0] != '\0')
		reply(s, 503, "5.5.1", "you are logged in already");
	else
		auth_begin(s, args);
}

static void run_xclient(struct session *s, struct slice args)
{
	xclient_begin(s, args);
}

static void run_not_here(struct session *s, struct slice args)
{
	(void)args;
	reply(s, 502, "5.5.1", "not implemented");
}

static void run_not_smtp(struct session *s, struct slice args)
{
	(void)args;
	reply_and_close(s, "4.7.0", "this is SMTP");
}

static const struct verb verbs[] = {
	{"EHLO", ANYWHERE, "", ARGUMENT_NEEDED, run_ehlo},
	{"HELO", ANYWHERE, "", ARGUMENT_NEEDED, run_helo},
	{"MAIL", IN(SESSION_READY), "a mail is begun already", ARGUMENT_NEEDED, run_mail},
	{"RCPT", IN(SESSION_MAIL) | IN(SESSION_RCPT), "say MAIL first", ARGUMENT_NEEDED, run_rcpt},
	{"DATA", IN(SESSION_RCPT), "no recipients", ARGUMENT_NONE, run_data},
	{"BDAT", ANYWHERE, "", ARGUMENT_ANY, bdat_begin}, /* wherever it stands, octets follow it */
	{"RSET", ANYWHERE, "", ARGUMENT_NONE, run_rset},
	{"NOOP", ANYWHERE, "", ARGUMENT_ANY, run_noop},
	{"VRFY", ANYWHERE, "", ARGUMENT_NEEDED, run_vrfy},
	{"HELP", ANYWHERE, "", ARGUMENT_ANY, run_help},
	{"QUIT", ANYWHERE, "", ARGUMENT_NONE, run_quit},
	{"STARTTLS", IN(SESSION_GREETED) | IN(SESSION_READY), "not within a mail", ARGUMENT_NONE,
	 run_starttls},
	{"AUTH", IN(SESSION_READY), "not within a mail", ARGUMENT_NEEDED, run_auth},
	{"XCLIENT", IN(SESSION_GREETED) | IN(SESSION_READY), "not within a mail", ARGUMENT_NEEDED, run_xclient},
	{"EXPN", ANYWHERE, "", ARGUMENT_ANY, run_not_here},
	{"TURN", ANYWHERE, "", ARGUMENT_ANY, run_not_here},
	{"ETRN", ANYWHERE, "", ARGUMENT_ANY, run_not_here},
	{"SEND", ANYWHERE, "", ARGUMENT_ANY, run_not_here},
	{"SOML", ANYWHERE, "", ARGUMENT_ANY, run_not_here},
	{"SAML", ANYWHERE, "", ARGUMENT_ANY, run_not_here},
	/* Browsers that were tricked into speaking with us (ALPACA). */
	{"GET", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"POST", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"PUT", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"HEAD", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"DELETE", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"PATCH", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"TRACE", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"CONNECT", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"OPTIONS", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"PRI", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"HOST:", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"CONNECTION:", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"USER-AGENT:", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"CONTENT-TYPE:", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
	{"CONTENT-LENGTH:", ANYWHERE, "", ARGUMENT_ANY, run_not_smtp},
};

static const struct verb *verb_find(struct slice name)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (slice_eq_nocase(name, slice_of(verbs[i].name)))
			return &verbs[i];
	return NULL;
}

static void misplaced(struct session *s, const struct verb *verb)
{
	if (s->state == SESSION_GREETED)
		reply(s, 503, "5.5.1", "say EHLO or HELO first");
	else if (s->state == SESSION_READY)
		reply(s, 503, "5.5.1", "say MAIL first");
	else if (s->state == SESSION_CHUNKED)
		reply(s, 503, "5.5.1", "chunks of a mail have come: BDAT or RSET");
	else if (s->state == SESSION_MAIL && verb->run == run_data && s->transaction->recipient_tried)
		reply(s, 503, "5.5.1", "no valid recipients");
	else
		reply(s, 503, "5.5.1", "%s", verb->misplaced);
}

static void run(struct session *s, const struct verb *verb, struct slice args)
{
	if (verb->argument == ARGUMENT_NONE && args.len > 0)
		reply(s, 501, "5.5.4", "%s takes no argument", verb->name);
	else if (verb->argument == ARGUMENT_NEEDED && args.len == 0)
		reply(s, 501, "5.5.4", "%s needs an argument", verb->name);
	else if ((verb->allowed & IN(s->state)) == 0)
		misplaced(s, verb);
	else
		verb->run(s, args);
}

void verb_run(struct session *s, struct slice line)
{
	struct slice args = line, name = slice_empty();
	const struct verb *verb;

	(void)slice_cut(&args, ' ', &name);
	verb = verb_find(slice_trim(name));
	/* What is not a verb may be a password: only verbs are ever logged. */
	snprintf(s->last_verb, sizeof(s->last_verb), "%s", verb == NULL ? "?" : verb->name);
	if (verb != NULL)
		run(s, verb, slice_trim(args));
	else
		reply(s, 500, "5.5.2", "command not recognized");
}
