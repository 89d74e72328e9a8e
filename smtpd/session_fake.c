#include "session_fake.h"

#include "ipc/message.h"

#include <stdio.h>

#define SAID_MAX (64u << 20)

static void set_limits(struct conf_settings *set)
{
	*set = (struct conf_settings){
		.hostname = "mx.example.test",
		.qualify_domain = "",
		.message_size_max = 1 << 20,
		.recipients_max = 1000,
		.errors_max = 20,
		.commands_max = 10000,
		.messages_max = 1000,
		.auth_attempts_max = 3,
		.received_max = 50,
		.line_max = 65536,
		.header_max = 1 << 18,
	};
}

void fake_init(struct fake *f, enum fake_kind kind, bool rules)
{
	static const struct {
		enum conf_listener_role role;
		enum conf_tls_mode tls;
		enum conf_auth_mode auth;
	} kinds[] = {
		[FAKE_MX] = {LISTENER_MX, TLS_OPTIONAL, AUTH_OFF},
		[FAKE_SUBMISSION] = {LISTENER_SUBMISSION, TLS_REQUIRED, AUTH_REQUIRED},
		[FAKE_SUBMISSIONS] = {LISTENER_SUBMISSION, TLS_IMPLICIT, AUTH_REQUIRED},
		[FAKE_LOCAL] = {LISTENER_LOCAL, TLS_OFF, AUTH_OFF},
	};
	static char some_rules;

	*f = (struct fake){
		.said = buf_make(SAID_MAX), .stored = buf_make(SAID_MAX), .messages = buf_make(SAID_MAX)};
	set_limits(&f->conf.set);
	f->conf.certificate_count = 1;
	f->conf.auth.mechanisms = MECHANISMS_DEFAULT;
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		f->conf.policy[i] = rules ? (struct rule_list *)(void *)&some_rules : NULL;
	f->place = (struct session_place){
		.number = 1,
		.conf = &f->conf,
		.role = kinds[kind].role,
		.tls = kinds[kind].tls,
		.auth = kinds[kind].auth,
		.hostname = f->conf.set.hostname,
		.client = "192.0.2.1",
		.client_port = 4711,
		.takes_logins = kinds[kind].auth != AUTH_OFF,
		.dsn = DSN_FOR_ALL,
		.senders = SENDERS_ANY,
		.rewrites = kinds[kind].role == LISTENER_MX ? 0 : ~0u,
	};
}

static void collect(struct fake *f)
{
	buf_add_slice(&f->said, buf_slice(&f->session.out));
	buf_clear(&f->session.out);
}

/* ---- what the others answer ---- */

static const char *subject_of(const struct session *s)
{
	if (s->transaction == NULL || s->stage == STAGE_HELO)
		return session_helo(s);
	return s->stage == STAGE_RCPT ? s->transaction->candidate.text : s->transaction->sender.text;
}

static void answer_policy(struct fake *f)
{
	static const struct {
		const char *begins;
		struct session_verdict verdict;
	} answers[] = {
		{"unknown", {OC_NO_MAILBOX, 0, {"", 0}, {"", 0}, {"route:1", 7}, 0, false}},
		{"later", {OC_LOOKUP_UNKNOWN, 0, {"", 0}, {"", 0}, {"route:2", 7}, 0, false}},
		{"drop",
		 {OC_POLICY_REJECT,
		  554,
		  {"5.7.1", 5},
		  {"go\r\n250 away", 12},
		  {"rcpt:3", 6},
		  0,
		  true}},
		{"slow", {OC_DONE, 0, {"", 0}, {"", 0}, {"", 0}, 20000, false}},
		{"wrong",
		 {OC_POLICY_REJECT, 250, {"2.0.0", 5}, {"no", 2}, {"rcpt:4", 6}, 0, false}},
	};
	struct session_verdict verdict =
		session_verdict_of(f->policy_away ? OC_LOOKUP_UNKNOWN : OC_DONE);
	struct slice subject = slice_of(subject_of(&f->session));

	f->policies++;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (slice_starts(subject, slice_of(answers[i].begins)))
			verdict = answers[i].verdict;
	session_policy_answered(&f->session, &verdict);
}

static enum outcome check_password(struct fake *f)
{
	struct slice login = slice_of(f->sasl.login);
	bool good = slice_eq(login, slice_of("alice")) &&
		    slice_eq(buf_slice(&f->sasl.password), slice_of("secret"));

	f->logins++;
	if (slice_eq(login, slice_of("away")))
		return OC_AUTH_UNAVAILABLE;
	return good ? OC_AUTHENTICATED : OC_AUTH_FAILED;
}

static struct session_login after(struct fake *f, enum sasl_want want)
{
	struct session_login answer = {OC_AUTH_FAILED, slice_of("alice"), slice_empty(), slice_empty()};

	if (want == SASL_RESPONSE) {
		answer.outcome = OC_AUTH_CONTINUE;
		answer.challenge = buf_slice(&f->sasl.challenge);
	} else if (want == SASL_MALFORMED) {
		answer.outcome = OC_BAD_INPUT;
		answer.reason = slice_of(f->sasl.why);
	} else if (want == SASL_PASSWORD) {
		answer.outcome = check_password(f);
	}
	return answer;
}

static void answer_login(struct fake *f)
{
	const struct sasl_frame *said = &f->session.sasl;
	const struct sasl_channel channel = {.hostname = f->place.hostname};
	struct slice response = buf_slice(&said->response);
	struct session_login answer;
	enum sasl_want want;

	if (said->open) {
		want = sasl_respond(&f->sasl, response);
	} else {
		sasl_clear(&f->sasl);
		want = sasl_begin(&f->sasl, said->mechanism, &channel, said->has_initial, response);
	}
	answer = after(f, want);
	session_login_answered(&f->session, &answer);
}

static void answer_client(struct fake *f)
{
	struct slice client = slice_of(f->session.claimed->client);
	enum outcome outcome = slice_starts(client, slice_of("127.")) ? OC_NOT_ALLOWED : OC_DONE;

	session_client_answered(&f->session, outcome, f->session.place.number + 1, client, f->session.claimed->client_port);
}

static void answer_store(struct fake *f)
{
	f->stores++;
	buf_add_slice(&f->stored, buf_slice(&f->session.transaction->piece));
	session_stored(&f->session, OC_DONE);
}

static void answer_commit(struct fake *f)
{
	struct session_verdict verdict = session_verdict_of(OC_DONE);

	buf_add_slice(&f->stored, buf_slice(&f->session.transaction->piece));
	if (slice_find(buf_slice(&f->stored), slice_of("X-Away: queue")) != SLICE_NONE)
		verdict.outcome = OC_UNAVAILABLE;
	else if (slice_find(buf_slice(&f->stored), slice_of("X-Refuse: queue")) != SLICE_NONE)
		verdict.outcome = OC_NO_RELAY;
	else
		f->commits++;
	if (verdict.outcome == OC_DONE) {
		buf_add_slice(&f->messages, buf_slice(&f->stored));
		buf_add_text(&f->messages, "\n--\n");
	}
	buf_clear(&f->stored);
	session_committed(&f->session, &verdict, f->commits);
}

static void answer_tls(struct fake *f)
{
	static const struct session_tls tls = {
		.active = true,
		.version = "TLSv1.3",
		.cipher = "TLS_AES_256_GCM_SHA384",
		.sni = "mx.example.test",
		.bits = 256,
	};

	f->handshakes++;
	session_tls_open(&f->session, &tls);
}

static void answer_pause(struct fake *f)
{
	f->pauses++;
	session_resume(&f->session);
}

static void note_close(struct fake *f)
{
	f->closed = true;
}

/* Addresses of old.test are of new.test; of unknown.test it cannot be said. */
static void answer_rewrite(struct fake *f)
{
	struct slice rest = buf_slice(&f->session.transaction->rewrite.records);
	struct rec_rewrite_address asked;
	struct buf records = buf_make(REWRITE_RECORDS_MAX), address = buf_make(512);
	enum outcome outcome = OC_DONE;

	for (uint64_t i = 0; rec_rewrite_address_next(&rest, &asked); i++) {
		size_t at = slice_rindex(asked.address, '@');

		if (slice_eq(slice_from(asked.address, at), slice_of("@unknown.test")))
			outcome = OC_LOOKUP_UNKNOWN;
		if (!slice_eq(slice_from(asked.address, at), slice_of("@old.test")))
			continue;
		buf_clear(&address);
		buf_addf(&address, "%.*s@new.test", (int)at, asked.address.at);
		rec_rewritten_add(&records, &(struct rec_rewritten){i, buf_slice(&address)});
	}
	session_rewritten(&f->session, outcome, buf_slice(&records));
	buf_free(&records);
	buf_free(&address);
}

/* Until it wants input, or is closed. */
static void answer_all(struct fake *f)
{
	static void (*const answers[])(struct fake *f) = {
		[WANT_POLICY] = answer_policy, [WANT_LOGIN] = answer_login, [WANT_CLIENT] = answer_client, [WANT_REWRITE] = answer_rewrite, [WANT_STORE] = answer_store,
		[WANT_COMMIT] = answer_commit, [WANT_PAUSE] = answer_pause, [WANT_TLS] = answer_tls,
		[WANT_CLOSE] = note_close,
	};

	for (;;) {
		enum session_want want = session_want(&f->session);

		if (want != WANT_PAUSE)
			collect(f);
		if (want == WANT_INPUT || f->closed)
			return;
		answers[want](f);
	}
}

void fake_begin(struct fake *f)
{
	session_init(&f->session, &f->place);
	f->session.tls_ready = true;
	if (f->place.tls == TLS_IMPLICIT)
		answer_tls(f);
	session_begin(&f->session);
	answer_all(f);
}

void fake_clear(struct fake *f)
{
	session_clear(&f->session);
	sasl_clear(&f->sasl);
	buf_free(&f->said);
	buf_free(&f->stored);
	buf_free(&f->messages);
}

static size_t piece_length(struct slice in, size_t piece)
{
	size_t end;

	if (piece > 0)
		return piece < in.len ? piece : in.len;
	end = slice_index(in, '\n');
	return end == SLICE_NONE ? in.len : end + 1;
}

bool fake_feed(struct fake *f, struct slice in, size_t piece)
{
	while (in.len > 0 && !f->closed) {
		struct slice part = slice_sub(in, 0, piece_length(in, piece));

		in = slice_from(in, part.len);
		while (part.len > 0 && !f->closed) {
			part = slice_from(part, session_input(&f->session, part));
			answer_all(f);
		}
	}
	return !f->closed;
}

bool fake_send(struct fake *f, const char *text)
{
	return fake_feed(f, slice_of(text), SIZE_MAX);
}

struct slice fake_last(const struct fake *f)
{
	struct slice said = buf_slice(&f->said);
	size_t start;

	said = slice_sub(said, 0, said.len < 2 ? 0 : said.len - 2);
	start = slice_rindex(said, '\n');
	return start == SLICE_NONE ? said : slice_from(said, start + 1);
}

bool fake_expect(struct fake *f, const char *text, const char *reply)
{
	fake_send(f, text);
	fake_send(f, "\r\n");
	if (slice_starts(fake_last(f), slice_of(reply)))
		return true;
	printf("said %.60s: expected %s, got %.*s\n", text, reply, SLICE_ARG(fake_last(f)));
	return false;
}
