/* A connection over a real socket, with all other processes played by the test. */
#include "conn.h"

#include "base/clock.h"
#include "base/mem.h"
#include "service/service.h"
#include "tls/test_certificate.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <openssl/ec.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUESTIONS_MAX 64

struct question {
	enum role role;
	enum ipc_type type;
	link_answer_fn *on_answer;
	void *arg;
	struct buf tbs; /* of SIGN_ASK */
	uint16_t scheme;
};

struct world {
	struct loop *loop;
	struct worker worker;
	struct conf conf;
	struct conf_listener listener;
	struct generation generation;
	struct smtpd_generation *state;
	int peer; /* the client's end */
	struct tls_conn *client; /* NULL: clear text */
	struct buf said; /* by the server, in clear */
	struct question questions[QUESTIONS_MAX];
	size_t question_count;
	struct buf told; /* names of statements and questions, in order */
	struct buf drafted; /* DRAFT_DATA */
	struct buf envelope; /* what DRAFT_OPEN and DRAFT_RCPT say of notifications */
	uint64_t sealed_length;
	int file; /* the draft's */
	bool file_was_closed; /* when SEAL came */
	bool away[ROLE_COUNT];
	bool hold; /* questions are not answered yet */
	enum outcome login, commit;
	unsigned ends, releases;
};

static EVP_PKEY *key;
static struct buf chain;

/* ---- the others ---- */

static void fake_ask(void *arg, enum role role, enum ipc_type type, const void *body,
		     uint64_t timeout_ms, link_answer_fn *on_answer, void *on_answer_arg)
{
	struct world *w = arg;
	struct question *q = &w->questions[w->question_count++];

	(void)timeout_ms;
	assert_true(w->question_count <= QUESTIONS_MAX);
	*q = (struct question){.role = role, .type = type, .on_answer = on_answer, .arg = on_answer_arg};
	q->tbs = buf_make(2000);
	buf_addf(&w->told, "%s ", ipc_type_name(type));
	if (type == IPC_SIGN_ASK) {
		const struct msg_SIGN_ASK *ask = body;

		assert_true(buf_add_slice(&q->tbs, ask->tbs));
		q->scheme = (uint16_t)ask->scheme;
	}
}

static bool file_is_open_here(const struct world *w)
{
	char path[64], target[256];

	/* The connection has a descriptor of its own for the same file, as long as it writes. */
	for (int fd = 3; fd < 64; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = fd == w->file ? -1 : readlink(path, target, sizeof(target) - 1);
		if (n > 0) {
			target[n] = '\0';
			if (strstr(target, "memfd:draft") != NULL)
				return true;
		}
	}
	return false;
}

static bool fake_tell(void *arg, enum role role, enum ipc_type type, const void *body)
{
	struct world *w = arg;

	if (w->away[role])
		return false;
	buf_addf(&w->told, "%s ", ipc_type_name(type));
	w->ends += type == IPC_SESSION_END;
	if (type == IPC_DRAFT_OPEN) {
		const struct msg_DRAFT_OPEN *open = body;

		buf_addf(&w->envelope, "[%.*s] %u; ", SLICE_ARG(open->envid), (unsigned)open->ret);
	}
	if (type == IPC_DRAFT_RCPT) {
		const struct msg_DRAFT_RCPT *rcpt = body;

		buf_addf(&w->envelope, "%.*s %u [%.*s]; ", SLICE_ARG(rcpt->recipient), (unsigned)rcpt->notify,
			 SLICE_ARG(rcpt->orcpt));
	}
	if (type == IPC_DRAFT_DATA)
		buf_add_slice(&w->drafted, ((const struct msg_DRAFT_DATA *)body)->data);
	if (type == IPC_DRAFT_SEAL) {
		w->sealed_length = ((const struct msg_DRAFT_SEAL *)body)->length;
		w->file_was_closed = !file_is_open_here(w);
	}
	return true;
}

static bool fake_reaches(void *arg, enum role role)
{
	return !((struct world *)arg)->away[role];
}

static void fake_release(struct worker *worker, struct generation **gp)
{
	struct world *w = worker->arg;

	w->releases++;
	*gp = NULL;
}

static bool fill_answer(struct world *w, const struct question *q, struct buf *signature,
			struct ipc_message *m)
{
	*m = (struct ipc_message){.fd = -1, .is_answer = true};
	switch ((int)q->type) {
	case IPC_POLICY_ASK:
		m->body.POLICY_ANSWER = (struct msg_POLICY_ANSWER){
			.outcome = OC_DONE, .effects_records = slice_empty()};
		return true;
	case IPC_AUTH_START:
	case IPC_AUTH_NEXT:
		m->body.AUTH_RESULT =
			(struct msg_AUTH_RESULT){w->login, slice_of("alice"), slice_empty(), slice_empty()};
		return true;
	case IPC_DRAFT_FILE_ASK:
		m->body.DRAFT_FILE = (struct msg_DRAFT_FILE){OC_DONE, 100};
		m->fd = fcntl(w->file, F_DUPFD_CLOEXEC, 3);
		return true;
	case IPC_DRAFT_COMMIT:
		m->body.COMMITTED = (struct msg_COMMITTED){.outcome = w->commit, .id = 7};
		return true;
	case IPC_SIGN_ASK:
		assert_true(test_sign(key, q->scheme, buf_slice(&q->tbs), signature));
		m->body.SIGNED = (struct msg_SIGNED){OC_DONE, buf_slice(signature)};
		return true;
	default:
		return false;
	}
}

static void answer_one(struct world *w)
{
	struct question q = w->questions[0];
	struct buf signature = buf_make(2048);
	struct ipc_message m;

	w->question_count--;
	memmove(w->questions, w->questions + 1, w->question_count * sizeof(q));
	assert_true(fill_answer(w, &q, &signature, &m));
	q.on_answer(w->away[q.role] ? NULL : &m, q.arg);
	if (m.fd != -1)
		close(m.fd);
	buf_free(&signature);
	buf_free(&q.tbs);
}

/* ---- the client ---- */

static void send_raw(struct world *w, struct buf *bytes)
{
	while (bytes->len > 0) {
		ssize_t n = send(w->peer, bytes->at, bytes->len, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		buf_take(bytes, (size_t)n);
		loop_turn(w->loop);
	}
	buf_free(bytes);
}

static bool receive(struct world *w)
{
	char space[8192];
	ssize_t n = recv(w->peer, space, sizeof(space), 0);
	struct buf out = buf_make(1 << 20);

	if (n <= 0)
		return false;
	if (w->client == NULL)
		buf_add(&w->said, space, (size_t)n);
	else
		tls_step(w->client, slice_make(space, (size_t)n), &out, &w->said);
	send_raw(w, &out);
	return true;
}

static void settle(struct world *w)
{
	for (unsigned i = 0; i < 200; i++) {
		bool any = false;

		loop_turn(w->loop);
		while (w->question_count > 0 && !w->hold) {
			answer_one(w);
			any = true;
		}
		while (receive(w))
			any = true;
		if (!any && i > 2)
			return;
	}
}

static void say(struct world *w, const char *text)
{
	struct buf out = buf_make(8 << 20);

	if (w->client == NULL)
		buf_add_text(&out, text);
	else
		assert_true(tls_write(w->client, slice_of(text), &out));
	send_raw(w, &out);
	settle(w);
}

static bool heard(const struct world *w, const char *text)
{
	if (slice_find(buf_slice(&w->said), slice_of(text)) != SLICE_NONE)
		return true;
	print_message("wanted %s in:\n%.*s\n", text, SLICE_ARG(buf_slice(&w->said)));
	return false;
}

static bool told(const struct world *w, const char *names)
{
	if (slice_find(buf_slice(&w->told), slice_of(names)) != SLICE_NONE)
		return true;
	print_message("wanted %s in: %.*s\n", names, SLICE_ARG(buf_slice(&w->told)));
	return false;
}

/* The server closed it. */
static bool is_closed(struct world *w)
{
	char c;

	return recv(w->peer, &c, 1, 0) == 0;
}

/* ---- set-up ---- */

static void turn(struct world *w, int64_t ms)
{
	clock_turn_ms(ms);
	loop_clock_turned(w->loop);
	settle(w);
}

static void make_tls(struct world *w)
{
	w->state = mem_new(1, sizeof(*w->state) + sizeof(w->state->tls[0]));
	w->state->count = 1;
	w->state->tls[0] = test_server(buf_slice(&chain), "x", false);
	assert_non_null(w->state->tls[0]);
	w->generation.state = w->state;
}

static void begin(struct world *w, enum conf_tls_mode tls, enum conf_auth_mode auth)
{
	const struct ports ports = {fake_ask, fake_tell, fake_reaches, w};
	const struct msg_SESSION_START start = {.session = 5,
						.generation = 1,
						.client = slice_of("192.0.2.1"),
						.client_port = 9,
						.local = slice_of("192.0.2.2")};
	int pair[2];

	*w = (struct world){.said = buf_make(8 << 20), .told = buf_make(1 << 16), .drafted = buf_make(1 << 20), .envelope = buf_make(4096)};
	w->login = OC_AUTHENTICATED;
	w->conf.auth.mechanisms = MECHANISMS_DEFAULT;
	w->conf.set = (struct conf_settings){.hostname = "mx.example.test",
					       .qualify_domain = "",
					     .message_size_max = 10 << 20,
					     .recipients_max = 100,
					     .errors_max = 20,
					     .commands_max = 1000000,
					     .messages_max = 10,
					     .auth_attempts_max = 3,
					     .received_max = 50,
					     .line_max = 65536,
					     .header_max = 1 << 18,
					     .idle_timeout_ms = 10000,
					     .data_timeout_ms = 20000,
					     .session_timeout_ms = 100000,
					     .message_timeout_ms = 50000};
	w->conf.certificate_count = 1;
	w->listener = (struct conf_listener){
		.name = "x", .tls = tls, .auth = auth, .hostname = "mx.example.test", .dsn = DSN_FOR_ALL};
	w->conf.listeners = &w->listener;
	w->conf.listener_count = 1;
	w->generation = (struct generation){.number = 1, .conf = &w->conf};
	w->file = memfd_create("draft", MFD_CLOEXEC);
	w->loop = loop_new();
	worker_init(&w->worker, w->loop, &ports);
	w->worker.release = fake_release;
	w->worker.arg = w;
	if (tls != TLS_OFF)
		make_tls(w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	w->peer = pair[0];
	worker_begin(&w->worker, &start, pair[1], &w->generation);
	settle(w);
}

static void wrap(struct world *w)
{
	const struct tls_client_config config = {.trust_pem = slice_empty(), .verify = false};
	char why[TLS_WHY_BYTES];
	struct tls_client *context = tls_client_new(&config, why);
	struct buf out = buf_make(1 << 20);

	w->client = tls_conn_client(context, "mx.example.test", NULL);
	tls_client_free(&context);
	tls_step(w->client, slice_empty(), &out, &w->said);
	send_raw(w, &out);
	settle(w);
	assert_true(tls_is_open(w->client));
}

static void finish(struct world *w)
{
	close(w->peer);
	settle(w);
	turn(w, 200000);
	w->hold = false;
	settle(w);
	assert_int_equal(w->worker.count, 0);
	assert_int_equal(w->ends, w->away[ROLE_GATE] ? 0 : 1);
	assert_int_equal(w->releases, 1);
	tls_conn_free(&w->client);
	if (w->state != NULL)
		tls_server_free(&w->state->tls[0]);
	free(w->state);
	close(w->file);
	buf_free(&w->said);
	buf_free(&w->told);
	buf_free(&w->drafted);
	buf_free(&w->envelope);
	timer_free(&w->worker.deadline);
	loop_free(&w->loop);
}

/* ---- stories ---- */

#define ENVELOPE "EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"

static void test_small_message(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	assert_true(heard(&w, "220 mx.example.test ESMTP"));
	say(&w, ENVELOPE "RCPT TO:<e@f>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nQUIT\r\n");
	assert_true(heard(&w, "250 2.0.0 accepted as 0000000000007\r\n221 2.0.0 bye\r\n"));
	assert_true(told(&w, "DRAFT_OPEN DRAFT_RCPT DRAFT_RCPT DRAFT_DATA DRAFT_SEAL DRAFT_COMMIT "));
	assert_true(slice_eq(buf_slice(&w.drafted), slice_of("Subject: x\r\n\r\n.\r\n")));
	assert_int_equal(w.sealed_length, w.drafted.len);
	assert_true(is_closed(&w));
	finish(&w);
}

static void test_notifications_are_carried(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, "EHLO c\r\nMAIL FROM:<a@b> ENVID=q+2B1 RET=HDRS\r\n"
		"RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+3Dy\r\nRCPT TO:<n@d> ORCPT=no\r\n"
		"RCPT TO:<e@f>\r\nRCPT TO:<g@h> NOTIFY=NEVER\r\nDATA\r\n\r\n.\r\n"
		"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n\r\n.\r\nQUIT\r\n");
	assert_true(heard(&w, "221 2.0.0 bye\r\n"));
	assert_string_equal(buf_text(&w.envelope), "[q+1] 2; c@d 10 [rfc822;x=y]; e@f 0 []; g@h 1 []; [] 0; c@d 0 []; ");
	finish(&w);
}

static void test_large_message(void **state)
{
	struct world w;
	struct buf body = buf_make(1 << 20), sent = buf_make(1 << 20);
	char *file;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, ENVELOPE "DATA\r\n");
	buf_add_text(&body, "Subject: large\r\n\r\n");
	for (unsigned i = 0; i < 10000; i++)
		buf_addf(&body, "line %u of many\r\n", i);
	buf_add_slice(&sent, buf_slice(&body));
	buf_add_text(&sent, ".\r\n");
	say(&w, buf_text(&sent));
	assert_true(heard(&w, "250 2.0.0 accepted as"));
	assert_true(told(&w, "DRAFT_OPEN DRAFT_RCPT DRAFT_FILE_ASK DRAFT_SEAL DRAFT_COMMIT "));
	assert_int_equal(w.sealed_length, body.len);
	assert_true(w.file_was_closed);
	file = malloc(body.len);
	assert_int_equal(pread(w.file, file, body.len, 100), body.len);
	assert_memory_equal(file, body.at, body.len);
	free(file);
	buf_free(&body);
	buf_free(&sent);
	finish(&w);
}

static void test_refused_large_message_is_aborted(void **state)
{
	struct world w;
	struct buf sent = buf_make(1 << 20);

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, ENVELOPE "DATA\r\n");
	for (unsigned i = 0; i < 10000; i++)
		buf_addf(&sent, "line %u of many\r\n", i);
	buf_add_text(&sent, "bare\n\r\n.\r\n");
	say(&w, buf_text(&sent));
	assert_true(heard(&w, "550 5.6.11"));
	assert_true(told(&w, "DRAFT_FILE_ASK DRAFT_ABORT "));
	say(&w, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nsmall\r\n.\r\n");
	assert_true(heard(&w, "250 2.0.0 accepted as"));
	buf_free(&sent);
	finish(&w);
}

/* Reset and begun anew without a pause: the first mail's draft never gets the second's body. */
static void test_another_mail_in_the_same_breath(void **state)
{
	struct world w;
	struct buf first = buf_make(1 << 20), second = buf_make(1 << 20), sent = buf_make(1 << 21);
	char *file;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	for (unsigned i = 0; i < 4000; i++)
		buf_addf(&first, "line %u of the first\r\n", i);
	for (unsigned i = 0; i < 3500; i++)
		buf_addf(&second, "line %u of another\r\n", i);
	buf_addf(&sent, ENVELOPE "BDAT %zu\r\n", first.len);
	buf_add_slice(&sent, buf_slice(&first));
	buf_addf(&sent, "RSET\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT %zu LAST\r\n", second.len);
	buf_add_slice(&sent, buf_slice(&second));
	say(&w, buf_text(&sent));
	assert_true(heard(&w, "250 2.0.0 chunk taken\r\n250 2.0.0 ok\r\n250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n"
			      "250 2.0.0 accepted as"));
	assert_true(told(&w, "DRAFT_OPEN DRAFT_RCPT DRAFT_FILE_ASK DRAFT_ABORT POLICY_ASK DRAFT_OPEN DRAFT_RCPT DRAFT_FILE_ASK DRAFT_SEAL "
			     "DRAFT_COMMIT "));
	assert_int_equal(w.sealed_length, second.len);
	file = malloc(second.len);
	assert_int_equal(pread(w.file, file, second.len, 100), second.len);
	assert_memory_equal(file, second.at, second.len);
	free(file);
	buf_free(&first);
	buf_free(&second);
	buf_free(&sent);
	finish(&w);
}

static void test_others_away(void **state)
{
	static const struct {
		enum role role;
		const char *reply;
	} rows[] = {{ROLE_POLICYD, "451 4.3.0"}, {ROLE_QUEUE, "451 4.3.0"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world w;

		begin(&w, TLS_OFF, AUTH_OFF);
		say(&w, "EHLO c\r\nMAIL FROM:<a@b>\r\n");
		w.away[rows[i].role] = true;
		say(&w, "RCPT TO:<c@d>\r\n");
		say(&w, "DATA\r\nx\r\n.\r\n");
		assert_true(heard(&w, rows[i].reply));
		assert_true(slice_find(buf_slice(&w.said), slice_of("accepted")) == SLICE_NONE);
		finish(&w);
	}
	print_message("ROW inner-fault policyd-or-queue-away pass\n");
}

static void test_keyd_away(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_OPTIONAL, AUTH_OFF);
	w.away[ROLE_KEYD] = true;
	say(&w, "EHLO c\r\nSTARTTLS\r\n");
	assert_true(heard(&w, "250-STARTTLS\r\n"));
	assert_true(heard(&w, "454 4.7.0"));
	w.away[ROLE_KEYD] = false;
	say(&w, "STARTTLS\r\n");
	assert_true(heard(&w, "220 2.0.0"));
	wrap(&w);
	buf_clear(&w.said);
	say(&w, "EHLO c\r\n");
	assert_true(heard(&w, "250 SIZE"));
	finish(&w);
	print_message("ROW inner-fault keyd-away pass\n");
}

static void test_keyd_silent(void **state)
{
	struct world w;
	struct buf out = buf_make(1 << 20);
	const struct tls_client_config config = {.trust_pem = slice_empty(), .verify = false};
	char why[TLS_WHY_BYTES];
	struct tls_client *context = tls_client_new(&config, why);

	(void)state;
	begin(&w, TLS_IMPLICIT, AUTH_OFF);
	w.hold = true;
	w.client = tls_conn_client(context, NULL, NULL);
	tls_client_free(&context);
	tls_step(w.client, slice_empty(), &out, &w.said);
	send_raw(&w, &out);
	settle(&w);
	assert_int_equal(w.question_count, 1);
	assert_true(worker_can_sign(&w.worker));
	w.away[ROLE_KEYD] = true;
	w.hold = false;
	settle(&w);
	w.away[ROLE_KEYD] = false;
	assert_false(worker_can_sign(&w.worker)); /* it was silent a moment ago */
	assert_false(tls_is_open(w.client));
	clock_turn_ms(11000);
	assert_true(worker_can_sign(&w.worker));
	finish(&w);
}

#define LOGIN "EHLO c\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"

static void test_login_over_tls(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_IMPLICIT, AUTH_REQUIRED);
	wrap(&w);
	assert_true(heard(&w, "220 mx.example.test"));
	say(&w, LOGIN);
	assert_true(heard(&w, "235 2.7.0"));
	say(&w, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n");
	assert_true(heard(&w, "250 2.0.0 accepted"));
	assert_true(heard(&w, "221 2.0.0"));
	finish(&w);
}

/* authd hears of an end that was not its own; and what it does not answer is temporary. */
static void test_dialogue(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_IMPLICIT, AUTH_REQUIRED);
	wrap(&w);
	w.login = OC_AUTH_CONTINUE;
	say(&w, "EHLO c\r\nAUTH LOGIN\r\n");
	assert_true(heard(&w, "334 "));
	say(&w, "*\r\n");
	assert_true(heard(&w, "501 5.7.0"));
	assert_true(told(&w, "AUTH_CANCEL"));
	buf_clear(&w.told);
	say(&w, "AUTH LOGIN\r\nYWxpY2U=\r\n");
	assert_true(told(&w, "AUTH_START AUTH_NEXT "));
	w.away[ROLE_AUTHD] = true;
	say(&w, "c2VjcmV0\r\n");
	assert_true(heard(&w, "454 4.7.0"));
	w.away[ROLE_AUTHD] = false;
	w.login = OC_AUTHENTICATED;
	say(&w, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
	assert_true(heard(&w, "235 2.7.0"));
	assert_true(slice_find(buf_slice(&w.told), slice_of("AUTH_CANCEL")) == SLICE_NONE);
	finish(&w);
}

/* Who knew of the login is gone: no answer of its successor is believed, and the session ends. */
static void test_login_lost(void **state)
{
	static const enum role roles[] = {ROLE_POLICYD, ROLE_QUEUE};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		struct world w;

		begin(&w, TLS_IMPLICIT, AUTH_REQUIRED);
		wrap(&w);
		say(&w, LOGIN "MAIL FROM:<a@b>\r\n");
		w.hold = true;
		say(&w, "RCPT TO:<c@d>\r\n");
		worker_lost(&w.worker, roles[i]);
		w.hold = false;
		settle(&w);
		assert_true(heard(&w, "451 4.3.0"));
		assert_true(heard(&w, "421 4.3.0"));
		finish(&w);
	}
}

/* The same while it is being asked for. */
static void test_login_lost_meanwhile(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_IMPLICIT, AUTH_REQUIRED);
	wrap(&w);
	w.hold = true;
	say(&w, LOGIN);
	worker_lost(&w.worker, ROLE_QUEUE);
	w.hold = false;
	settle(&w);
	assert_true(heard(&w, "454 4.7.0"));
	finish(&w);
}

static void test_queue_replaced_during_large_message(void **state)
{
	struct world w;
	struct buf sent = buf_make(1 << 20);

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, ENVELOPE "DATA\r\n");
	for (unsigned i = 0; i < 10000; i++)
		buf_addf(&sent, "line %u of many\r\n", i);
	say(&w, buf_text(&sent));
	worker_lost(&w.worker, ROLE_QUEUE);
	buf_clear(&w.told);
	say(&w, ".\r\n");
	assert_true(heard(&w, "451 4.3.0"));
	assert_int_equal(w.told.len, 0); /* the new queue hears nothing of a draft it does not know */
	buf_free(&sent);
	finish(&w);
}

static void test_gate_gone(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, ENVELOPE);
	w.away[ROLE_GATE] = true;
	worker_lost(&w.worker, ROLE_GATE);
	settle(&w);
	assert_true(heard(&w, "421 4.3.0"));
	finish(&w);
}

static void test_peer_gone_while_asked(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, "EHLO c\r\nMAIL FROM:<a@b>\r\n");
	w.hold = true;
	say(&w, "RCPT TO:<c@d>\r\n");
	assert_int_equal(w.question_count, 1);
	finish(&w);
}

static void test_timeouts(void **state)
{
	static const struct {
		const char *said;
		int64_t ms;
		const char *reply;
	} rows[] = {
		{"EHLO c\r\n", 10001, "421 4.4.2 waited too long"},
		{ENVELOPE "DATA\r\nx", 20001, "421 4.4.2 waited too long"},
		{ENVELOPE "BDAT 10\r\nx", 20001, "421 4.4.2 waited too long"},
		{ENVELOPE "BDAT 1\r\nx", 10001, "421 4.4.2 waited too long"},
		{"EHLO c\r\nBDAT 10\r\nx", 20001, "421 4.4.2 waited too long"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world w;

		begin(&w, TLS_OFF, AUTH_OFF);
		say(&w, rows[i].said);
		turn(&w, rows[i].ms - 1000);
		assert_true(slice_find(buf_slice(&w.said), slice_of("421")) == SLICE_NONE);
		turn(&w, 1000);
		assert_true(heard(&w, rows[i].reply));
		assert_true(is_closed(&w));
		finish(&w);
	}
}

/* A byte now and then keeps neither a command nor a message alive for ever. */
static void test_slow_clients(void **state)
{
	/* A body, a chunk, one that is refused; and chunks, each soon enough. */
	static const struct {
		const char *begin, *more;
	} bodies[] = {{ENVELOPE "DATA\r\n", "x"},
		      {ENVELOPE "BDAT 100\r\n", "x"},
		      {ENVELOPE "BDAT 0 LAST\r\nBDAT 100\r\n", "x"},
		      {ENVELOPE, "BDAT 1\r\nx"}};
	struct world w;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	for (unsigned i = 0; i < 12; i++) {
		say(&w, "x");
		turn(&w, 900);
	}
	assert_true(heard(&w, "421 4.4.2 waited too long"));
	finish(&w);

	for (size_t row = 0; row < ARRAY_LEN(bodies); row++) {
		begin(&w, TLS_OFF, AUTH_OFF);
		say(&w, bodies[row].begin);
		for (unsigned i = 0; i < 6; i++) {
			say(&w, bodies[row].more);
			turn(&w, 9000);
		}
		assert_true(heard(&w, "421 4.4.2 this message has taken too long"));
		finish(&w);
	}

	begin(&w, TLS_OFF, AUTH_OFF);
	for (unsigned i = 0; i < 12; i++) {
		say(&w, "NOOP\r\n");
		turn(&w, 9000);
	}
	assert_true(heard(&w, "421 4.4.2 this session has lasted too long"));
	finish(&w);
	print_message("ROW R01 slow-clients pass\n");
}

/* Who sends and never reads is not read from either, and loses nothing once it reads. */
static void test_back_pressure(void **state)
{
	struct world w;
	struct buf sent = buf_make(8 << 20);
	size_t noops = 300000, replies = 0;
	struct slice rest, line;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, "EHLO c\r\n");
	buf_clear(&w.said);
	for (size_t i = 0; i < noops; i++)
		buf_add_text(&sent, "NOOP\r\n");
	for (unsigned i = 0; i < 1000 && sent.len > 0; i++) {
		ssize_t n = send(w.peer, sent.at, sent.len, MSG_NOSIGNAL);

		if (n > 0)
			buf_take(&sent, (size_t)n);
		loop_turn(w.loop);
	}
	assert_true(sent.len > 0); /* it stopped reading */
	assert_true(LIST_FIRST(&w.worker.conns)->out.len < 1 << 20);
	while (sent.len > 0) {
		ssize_t n = send(w.peer, sent.at, sent.len, MSG_NOSIGNAL);

		if (n > 0)
			buf_take(&sent, (size_t)n);
		settle(&w);
	}
	settle(&w);
	for (rest = buf_slice(&w.said); slice_cut(&rest, '\n', &line);)
		replies += slice_eq(line, slice_of("250 2.0.0 ok\r"));
	assert_int_equal(replies, noops);
	buf_free(&sent);
	finish(&w);
}

static void test_drain(void **state)
{
	struct world w;

	(void)state;
	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, ENVELOPE "DATA\r\nx\r\n");
	worker_drain(&w.worker, 10000);
	settle(&w);
	assert_true(slice_find(buf_slice(&w.said), slice_of("421")) == SLICE_NONE);
	say(&w, ".\r\n");
	assert_true(heard(&w, "250 2.0.0 accepted as 0000000000007\r\n421 4.3.2"));
	finish(&w);

	begin(&w, TLS_OFF, AUTH_OFF);
	say(&w, ENVELOPE "DATA\r\nx\r\n");
	worker_drain(&w.worker, 5000);
	turn(&w, 4001);
	assert_true(heard(&w, "421 4.3.2"));
	finish(&w);
}

static int make_key(void **state)
{
	(void)state;
	tls_prepare();
	key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	chain = buf_make(1 << 16);
	if (key == NULL)
		return -1;
	test_certificate(key, "mx.example.test", -60, 365L * 24 * 3600, &chain);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_message),
		cmocka_unit_test(test_notifications_are_carried),
		cmocka_unit_test(test_large_message),
		cmocka_unit_test(test_refused_large_message_is_aborted),
		cmocka_unit_test(test_another_mail_in_the_same_breath),
		cmocka_unit_test(test_others_away),
		cmocka_unit_test(test_keyd_away),
		cmocka_unit_test(test_keyd_silent),
		cmocka_unit_test(test_login_over_tls), cmocka_unit_test(test_dialogue),
		cmocka_unit_test(test_login_lost),
		cmocka_unit_test(test_login_lost_meanwhile),
		cmocka_unit_test(test_queue_replaced_during_large_message),
		cmocka_unit_test(test_gate_gone),
		cmocka_unit_test(test_peer_gone_while_asked),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_slow_clients),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_drain),
	};

	return cmocka_run_group_tests(tests, make_key, NULL);
}
