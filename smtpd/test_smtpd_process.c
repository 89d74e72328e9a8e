/* The real postern-smtpd in its cage, as a shared worker and as the warm parent of private ones;
 * all others are played here. */
#include "harness/harness.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "sasl/mechanism.h"
#include "tls/test_certificate.h"
#include "tls/tls.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define CERTIFICATE "/x/certificate.pem"
#define WAIT_MS 10000

static const char conf[] =
	"hostname mx.example.test\n"
	"postmaster alice@example.test\n"
	"auth { sqlite /x/users.db }\n"
	"listen 127.0.0.1:2525 { role mx; tls optional }\n"
	"listen 127.0.0.1:2587 { role submission; tls required; auth required; isolation connection }\n"
	"tls { certificate /x/certificate.pem; key /x/key.pem }\n"
	"transport home { maildir \"~/Maildir/\" }\n"
	"route { deliver home }\n";

static EVP_PKEY *key;
static int certificate = -1;

/* One session, and those it talks to. */
struct play {
	struct harness *h;
	struct link *links[ROLE_COUNT]; /* ours; of the shared worker, or of one private one */
	int client, draft;
	struct tls_conn *tls;
	struct buf said;
	unsigned policies, commits, logins, signs;
	uint64_t session, sealed;
	bool ended, link_gone;
};

/* ---- the others ---- */

static void answer_policy(struct play *p, struct link *link, struct ipc_message *m)
{
	const struct msg_POLICY_ANSWER a = {.outcome = OC_DONE};
	struct msg_POLICY_ANSWER answer = a;

	assert_int_equal(m->body.POLICY_ASK.session, p->session);
	answer.dsn = answer.text = answer.rule = answer.effects_records = slice_empty();
	p->policies++;
	link_answer(link, m->request, IPC_POLICY_ANSWER, &answer, -1);
}

static void answer_login(struct play *p, struct link *link, struct ipc_message *m)
{
	const struct msg_AUTH_RESULT answer = {OC_AUTHENTICATED, slice_of("alice"), slice_empty(),
					       slice_empty()};

	p->logins++;
	assert_int_equal(m->body.AUTH_START.mechanism, MECHANISM_PLAIN);
	assert_true(slice_eq(m->body.AUTH_START.response, slice_make("\0alice\0secret", 13)));
	link_answer(link, m->request, IPC_AUTH_RESULT, &answer, -1);
}

static void answer_sign(struct play *p, struct link *link, struct ipc_message *m)
{
	struct buf signature = buf_make(2048);
	struct msg_SIGNED answer = {OC_DONE, slice_empty()};

	p->signs++;
	assert_true(test_sign(key, (uint16_t)m->body.SIGN_ASK.scheme, m->body.SIGN_ASK.tbs,
			      &signature));
	answer.signature = buf_slice(&signature);
	link_answer(link, m->request, IPC_SIGNED, &answer, -1);
	buf_free(&signature);
}

static void answer_file(struct play *p, struct link *link, struct ipc_message *m)
{
	const struct msg_DRAFT_FILE answer = {OC_DONE, 10};

	link_answer(link, m->request, IPC_DRAFT_FILE, &answer, fcntl(p->draft, F_DUPFD_CLOEXEC, 3));
}

static void note_seal(struct play *p, struct link *link, struct ipc_message *m)
{
	(void)link;
	p->sealed = m->body.DRAFT_SEAL.length;
}

static void answer_commit(struct play *p, struct link *link, struct ipc_message *m)
{
	const struct msg_COMMITTED answer = {OC_DONE,	   7, 0, slice_empty(), slice_empty(),
					     slice_empty()};

	p->commits++;
	link_answer(link, m->request, IPC_COMMITTED, &answer, -1);
}

static void note_end(struct play *p, struct link *link, struct ipc_message *m)
{
	(void)link;
	assert_int_equal(m->body.SESSION_END.session, p->session);
	p->ended = true;
}

static void (*const answers[IPC_COUNT])(struct play *p, struct link *link,
					struct ipc_message *m) = {
	[IPC_POLICY_ASK] = answer_policy, [IPC_AUTH_START] = answer_login,
	[IPC_SIGN_ASK] = answer_sign,	  [IPC_DRAFT_FILE_ASK] = answer_file,
	[IPC_DRAFT_SEAL] = note_seal,	  [IPC_DRAFT_COMMIT] = answer_commit,
	[IPC_SESSION_END] = note_end,
};

static void on_message(struct link *link, struct ipc_message *m, void *arg)
{
	if (answers[m->type] != NULL)
		answers[m->type](arg, link, m);
}

static void on_gone(struct link *link, const char *why, void *arg)
{
	struct play *p = arg;

	assert_null(why);
	p->link_gone = true;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (p->links[i] == link)
			p->links[i] = NULL;
	link_free(&link);
}

/* ---- the client ---- */

static void send_bytes(struct play *p, struct buf *bytes)
{
	assert_int_equal(send(p->client, bytes->at, bytes->len, MSG_NOSIGNAL), (ssize_t)bytes->len);
	buf_free(bytes);
}

static void say(struct play *p, const char *text)
{
	struct buf out = buf_make(1 << 22);

	if (p->tls != NULL)
		assert_true(tls_write(p->tls, slice_of(text), &out));
	else
		buf_add_text(&out, text);
	send_bytes(p, &out);
}

static void on_late(void *arg)
{
	*(bool *)arg = true;
}

static void receive(struct play *p)
{
	char space[4096];
	ssize_t n = recv(p->client, space, sizeof(space), MSG_DONTWAIT);
	struct buf out = buf_make(1 << 20);

	if (n <= 0)
		return;
	if (p->tls == NULL)
		buf_add(&p->said, space, (size_t)n);
	else
		tls_step(p->tls, slice_make(space, (size_t)n), &out, &p->said);
	if (out.len > 0)
		send_bytes(p, &out);
}

/* Until the server said `text`, or (NULL) the session ended. */
static bool until(struct play *p, const char *text)
{
	bool late = false;
	struct timer *timer = timer_new(harness_loop(p->h), on_late, &late);
	bool come = false;

	timer_set(timer, WAIT_MS);
	while (!come && !late) {
		loop_turn(harness_loop(p->h));
		receive(p);
		come = text == NULL ? p->ended || p->link_gone
				    : slice_find(buf_slice(&p->said), slice_of(text)) != SLICE_NONE;
		if (!come)
			usleep(200);
	}
	timer_free(&timer);
	if (!come)
		print_message("wanted %s in:\n%.*s\n", text, SLICE_ARG(buf_slice(&p->said)));
	return come;
}

static void wrap(struct play *p)
{
	const struct tls_client_config config = {.trust_pem = slice_empty(), .verify = false};
	char why[TLS_WHY_BYTES];
	struct tls_client *context = tls_client_new(&config, why);
	struct buf out = buf_make(1 << 20);

	p->tls = tls_conn_client(context, "mx.example.test", NULL);
	tls_client_free(&context);
	tls_step(p->tls, slice_empty(), &out, &p->said);
	send_bytes(p, &out);
	for (unsigned i = 0; i < 50000 && !tls_is_open(p->tls); i++) {
		loop_turn(harness_loop(p->h));
		receive(p);
		usleep(200);
	}
	assert_true(tls_is_open(p->tls));
}

/* ---- set-up ---- */

static struct harness *start_process(uint64_t instance)
{
	const struct harness_path path = {CERTIFICATE, certificate};
	const struct harness_spec spec = {ROLE_SMTPD, SMTPD, conf, &path, 1, getuid() == 0};
	char why[1024];
	struct harness *h = harness_start_as(&spec, instance, why, sizeof(why));

	if (h == NULL)
		fail_msg("%s", why);
	return h;
}

static struct play play_make(struct harness *h, uint64_t session)
{
	return (struct play){.h = h,
			     .session = session,
			     .said = buf_make(1 << 20),
			     .client = -1,
			     .draft = memfd_create("draft", MFD_CLOEXEC)};
}

static void play_free(struct play *p)
{
	close(p->client);
	close(p->draft);
	tls_conn_free(&p->tls);
	buf_free(&p->said);
}

static void start_session(struct play *p, struct link *gate, uint64_t listener)
{
	const struct msg_SESSION_START start = {.session = p->session,
						.generation = 1,
						.listener = listener,
						.role = listener == 0 ? LISTENER_MX
								      : LISTENER_SUBMISSION,
						.uid = UINT64_MAX,
						.client = slice_of("192.0.2.1"),
						.client_port = 9,
						.local = slice_of("192.0.2.2"),
						.local_port = 25};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	p->client = pair[0];
	assert_true(link_tell(gate, IPC_SESSION_START, &start, pair[1]));
}

static const enum role roles[] = {ROLE_QUEUE, ROLE_POLICYD, ROLE_AUTHD, ROLE_KEYD, ROLE_GATE};

static void run_mail(struct play *p)
{
	struct buf body = buf_make(1 << 20);

	say(p, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nsmall\r\n.\r\n");
	assert_true(until(p, "250 2.0.0 accepted as 0000000000007"));
	assert_int_equal(p->commits, 1);
	buf_clear(&p->said);
	buf_add_text(&body, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\n");
	for (unsigned i = 0; i < 6000; i++)
		buf_addf(&body, "line %u of many, so many\r\n", i);
	buf_add_text(&body, ".\r\nQUIT\r\n");
	for (size_t at = 0; at < body.len; at += 8000) {
		struct buf part = buf_make(1 << 16);

		assert_true(buf_add_slice(&part, slice_sub(buf_slice(&body), at, 8000)));
		say(p, buf_text(&part));
		buf_free(&part);
		loop_turn(harness_loop(p->h));
		usleep(1000);
	}
	assert_true(until(p, "221 2.0.0 bye"));
	assert_int_equal(p->commits, 2);
	assert_int_equal(lseek(p->draft, 0, SEEK_END), (off_t)(10 + p->sealed));
	buf_free(&body);
}

static void test_shared_worker(void **state)
{
	struct play p = play_make(start_process(0), 77);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		p.links[roles[i]] = harness_peer(p.h, roles[i], 0, on_message, &p);
	start_session(&p, p.links[ROLE_GATE], 0);
	assert_true(until(&p, "220 mx.example.test"));
	say(&p, "EHLO c\r\nSTARTTLS\r\n");
	assert_true(until(&p, "220 2.0.0 ready"));
	wrap(&p);
	assert_int_equal(p.signs, 1);
	buf_clear(&p.said);
	say(&p, "EHLO c\r\n");
	assert_true(until(&p, "250 SIZE"));
	run_mail(&p);
	assert_true(until(&p, NULL));
	assert_int_equal(harness_accused(p.h), ROLE_COUNT);
	harness_stop(&p.h);
	play_free(&p);
}

/* What is not a session of the gate's is no message for it. */
static void test_forged_messages(void **state)
{
	struct harness *h = start_process(0);
	struct link *queue = harness_peer(h, ROLE_QUEUE, 0, NULL, NULL);
	const struct msg_SESSION_START start = {.client = slice_empty(), .local = slice_empty()};
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	link_tell(queue, IPC_SESSION_START, &start, pair[1]);
	harness_settle(h);
	assert_true(harness_is_broken(h, queue));
	assert_int_equal(harness_accused(h), ROLE_QUEUE);
	close(pair[0]);
	harness_stop(&h);
	print_message("ROW I01 smtpd-forged-session pass\n");
}

/* ---- taking leave ---- */

struct deaf_gate {
	bool answers;
	unsigned asked;
};

static void on_gate_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct deaf_gate *g = arg;

	assert_int_equal(m->type, IPC_WORKER_RETIRE);
	g->asked++;
	if (g->answers)
		link_answer(link, m->request, IPC_WORKER_RETIRED, &(struct msg_WORKER_RETIRED){0}, -1);
}

/* A gate that has not answered in time is asked again: who is never told that no session comes any more never ends. */
static void test_leave_is_taken_again(void **state)
{
	struct harness *h = start_process(0);
	struct deaf_gate g = {.answers = false};

	(void)state;
	(void)harness_peer(h, ROLE_GATE, 0, on_gate_message, &g);
	harness_retire(h);
	assert_int_equal(g.asked, 1);
	for (unsigned more = 2; more < 4; more++) {
		harness_turn_clock(h, 31000); /* its patience is over, */
		for (unsigned i = 0; i < 100 && g.asked < more; i++) {
			harness_turn_clock(h, 500); /* and its pause */
			usleep(20000);
		}
		assert_int_equal(g.asked, more);
	}
	assert_false(harness_is_gone(h));
	g.answers = true;
	for (unsigned i = 0; i < 100 && !harness_is_gone(h); i++) {
		harness_turn_clock(h, 32000);
		usleep(20000);
	}
	assert_true(harness_is_gone(h));
	harness_stop(&h);
}

/* ---- isolation connection ---- */

static void introduce(struct play *p, struct link *gate)
{
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		const struct msg_LINK_ATTACH attach = {roles[i], p->session, 1};
		const struct link_config config = {roles[i],   ROLE_SMTPD, p->session,
						   on_message, on_gone,	   p};
		int pair[2];

		assert_true(link_pair(pair));
		p->links[roles[i]] = link_new(harness_loop(p->h), pair[0], &config);
		assert_true(link_tell(gate, IPC_LINK_ATTACH, &attach, pair[1]));
	}
	start_session(p, gate, 1);
}

static void drop_links(struct play *p)
{
	for (size_t i = 0; i < ROLE_COUNT; i++)
		link_free(&p->links[i]);
}

static void log_in(struct play *p)
{
	assert_true(until(p, "220 mx.example.test"));
	say(p, "EHLO c\r\nSTARTTLS\r\n");
	assert_true(until(p, "220 2.0.0 ready"));
	wrap(p);
	buf_clear(&p->said);
	say(p, "EHLO c\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
	assert_true(until(p, "235 2.7.0"));
}

static void test_private_workers(void **state)
{
	struct harness *h = start_process(1000);
	struct link *gate = harness_peer(h, ROLE_GATE, 0, NULL, NULL);
	struct play one = play_make(h, 100001), two = play_make(h, 100002);

	(void)state;
	introduce(&one, gate);
	introduce(&two, gate);
	log_in(&one);
	log_in(&two);
	run_mail(&one);
	assert_true(until(&one, NULL));
	run_mail(&two);
	assert_true(until(&two, NULL));
	assert_int_equal(one.logins + two.logins, 2);
	assert_int_equal(harness_accused(h), ROLE_COUNT);
	drop_links(&one);
	drop_links(&two);
	harness_stop(&h);
	play_free(&one);
	play_free(&two);
}

/* The gate is gone for one session: its process ends, nobody else's. */
static void test_private_gate_gone(void **state)
{
	struct harness *h = start_process(1000);
	struct link *gate = harness_peer(h, ROLE_GATE, 0, NULL, NULL);
	struct play one = play_make(h, 100001), two = play_make(h, 100002);

	(void)state;
	introduce(&one, gate);
	introduce(&two, gate);
	assert_true(until(&one, "220 mx.example.test"));
	assert_true(until(&two, "220 mx.example.test"));
	link_free(&one.links[ROLE_GATE]);
	assert_true(until(&one, "421 4.3.0"));
	say(&two, "NOOP\r\n");
	assert_true(until(&two, "250 2.0.0 ok"));
	drop_links(&one);
	drop_links(&two);
	harness_stop(&h);
	play_free(&one);
	play_free(&two);
}

/* One of the four is away: 454 or 451 there. */
static void test_private_others_away(void **state)
{
	struct harness *h = start_process(1000);
	struct link *gate = harness_peer(h, ROLE_GATE, 0, NULL, NULL);
	struct play one = play_make(h, 100001);

	(void)state;
	introduce(&one, gate);
	log_in(&one);
	link_free(&one.links[ROLE_AUTHD]);
	link_free(&one.links[ROLE_QUEUE]);
	buf_clear(&one.said);
	say(&one, "MAIL FROM:<a@b>\r\n");
	assert_true(until(&one, "421 4.3.0")); /* the queue knew of the login */
	drop_links(&one);
	harness_stop(&h);
	play_free(&one);
}

static int prepare(void **state)
{
	char name[] = "/tmp/test_smtpd_process-XXXXXX";
	struct buf chain = buf_make(1 << 16);

	(void)state;
	tls_prepare();
	key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	test_certificate(key, "mx.example.test", -60, 365L * 24 * 3600, &chain);
	certificate = mkstemp(name);
	if (certificate == -1 || write(certificate, chain.at, chain.len) != (ssize_t)chain.len)
		return -1;
	(void)unlink(name);
	buf_free(&chain);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_worker),
		cmocka_unit_test(test_forged_messages),
		cmocka_unit_test(test_leave_is_taken_again),
		cmocka_unit_test(test_private_workers),
		cmocka_unit_test(test_private_gate_gone),
		cmocka_unit_test(test_private_others_away),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
