#include "harness/harness.h"

#include "base/mem.h"
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char conf[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"trusted 192.0.2.77\n"
	"table boxes file /x/boxes\n"
	"table nets cidr /x/nets\n"
	"table lists file /x/lists\n"
	"transport virtual { maildir \"/var/mail/{domain}/{local}/\"; user vmail }\n"
	"transport home { maildir \"~/Maildir/\" }\n"
	"transport smarthost { smtp \"smtp.isp.example:587\" }\n"
	"listen 127.0.0.1:1025 { role mx; tls off; name first }\n"
	"listen 127.0.0.1:1026 { role mx; tls off; name second }\n"
	"policy rcpt {\n"
	"  reject \"listed\" if client in nets\n"
	"  reject \"never sent\" if sender is null and recipient == \"alice@example.test\" and recipient.has-sent is not unknown and not recipient.has-sent\n"
	"  reject \"never sent\" if sender == \"strict@x.test\" and not recipient.has-sent\n"
	"  reject \"at {listener.name}\" if recipient == \"where@example.test\"\n"
	"}\n"
	"route {\n"
	"  alias lists if recipient.domain == \"mx.example.test\"\n"
	"  deliver virtual if recipient in boxes\n"
	"  deliver virtual if listener.name == \"second\" and recipient == \"where@example.test\"\n"
	"  deliver home if recipient.domain == \"mx.example.test\"\n"
	"  relay smarthost if recipient.domain == \"elsewhere.test\"\n"
	"}\n";

static int folder = -1;
static bool as_root;

struct run {
	struct harness *h;
	struct link *gate, *worker, *queue, *authd;
	enum outcome user; /* what authd says of every name */
	enum outcome sent; /* what the queue says of every address */
	bool queue_waits; /* it says nothing; the question is in `sent_asked` */
	uint64_t sent_asked;
	unsigned senders_asked;
	bool authd_waits; /* it says nothing; the question is in `name_asked` */
	uint64_t name_asked;
	unsigned names_asked;
	bool answered;
	enum outcome outcome;
	unsigned code;
	char text[256];
	unsigned targets;
	uint64_t cursor; /* of the answer */
};

static void put(const char *name, const char *content)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	close(fd);
}

static void put_lists(void)
{
	static const struct {
		const char *name;
		unsigned count;
	} lists[] = {{"wide", 10000}, {"long", 2000}};
	struct buf text = buf_make(1u << 20);

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		buf_addf(&text, "%s:", lists[k].name);
		for (unsigned i = 0; i < lists[k].count; i++)
			buf_addf(&text, "%s u%u", i > 0 ? "," : "", i);
		buf_add_text(&text, "\n");
	}
	assert_true(buf_ok(&text));
	put("lists", buf_text(&text));
	buf_free(&text);
}

static void on_authd_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;
	struct msg_ACCOUNT account = {r->user, 1000, 1000, slice_of("/home/x")};

	assert_int_equal(m->type, IPC_ACCOUNT_ASK);
	r->names_asked++;
	r->name_asked = m->request;
	if (!r->authd_waits)
		link_answer(link, m->request, IPC_ACCOUNT, &account, -1);
}

static void on_queue_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	assert_int_equal(m->type, IPC_SENT_ASK);
	r->senders_asked++;
	r->sent_asked = m->request;
	if (!r->queue_waits)
		link_answer(link, m->request, IPC_SENT, &(struct msg_SENT){r->sent}, -1);
}

static struct harness_path paths[3];

static int start(void **state)
{
	struct run *r = mem_new(1, sizeof(*r));
	char name[] = "/tmp/test-policyd-XXXXXX", why[256];
	struct harness_spec spec = {ROLE_POLICYD, POLICYD, conf, paths, ARRAY_LEN(paths), as_root};

	*state = r;
	if (mkdtemp(name) == NULL || chmod(name, 0755) == -1)
		return -1;
	folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	paths[0] = (struct harness_path){"/x/boxes", folder};
	paths[1] = (struct harness_path){"/x/nets", folder};
	paths[2] = (struct harness_path){"/x/lists", folder};
	put_lists();
	put("boxes", "alice@example.test\nboss@example.test\n");
	put("nets", "198.51.100.0/24\n");
	r->user = OC_NOT_FOUND;
	r->h = harness_start(&spec, why, sizeof(why));
	if (r->h == NULL)
		return -1;
	r->gate = harness_peer(r->h, ROLE_GATE, 0, NULL, NULL);
	r->worker = harness_peer(r->h, ROLE_SMTPD, 4, NULL, NULL);
	r->queue = harness_peer(r->h, ROLE_QUEUE, 0, on_queue_message, r);
	r->authd = harness_peer(r->h, ROLE_AUTHD, 0, on_authd_message, r);
	return 0;
}

static int stop(void **state)
{
	struct run *r = *state;

	harness_stop(&r->h);
	close(folder);
	free(r);
	return 0;
}

static void open_session(struct run *r, uint64_t session, uint64_t worker, const char *client)
{
	struct msg_SESSION_OPEN open = {.session = session, .worker = worker, .generation = harness_generation(r->h),
					.role = LISTENER_MX, .uid = UINT64_MAX, .client = slice_of(client)};

	assert_true(link_tell(r->gate, IPC_SESSION_OPEN, &open, -1));
	link_flush(r->gate);
}

static void on_policy(struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	r->answered = true;
	r->outcome = m == NULL ? OC_TIMEOUT : m->body.POLICY_ANSWER.outcome;
	r->code = m == NULL ? 0 : (unsigned)m->body.POLICY_ANSWER.code;
	if (m != NULL)
		(void)slice_copy(m->body.POLICY_ANSWER.text, r->text, sizeof(r->text));
}

static enum outcome ask_of(struct run *r, uint64_t session, const char *sender, const char *recipient)
{
	struct msg_POLICY_ASK question = {.session = session, .generation = 1, .stage = STAGE_RCPT, .helo = slice_of("x.test"),
					  .sender = slice_of(sender), .recipient = slice_of(recipient), .recipient_count = 1,
					  .tls_version = slice_empty(), .tls_cipher = slice_empty(), .tls_sni = slice_empty(),
					  .tags = slice_empty()};

	r->answered = false;
	assert_int_not_equal(link_ask(r->worker, IPC_POLICY_ASK, &question, 5000, on_policy, r), 0);
	assert_true(harness_until(r->h, &r->answered));
	return r->outcome;
}

static enum outcome ask(struct run *r, uint64_t session, const char *recipient)
{
	return ask_of(r, session, "a@x.test", recipient);
}

static void on_route(struct ipc_message *m, void *arg)
{
	struct run *r = arg;
	struct rec_route_target t;
	struct slice rest;

	r->answered = true;
	r->targets = 0;
	r->cursor = 0;
	r->outcome = m == NULL ? OC_TIMEOUT : m->body.ROUTE_ANSWER.outcome;
	if (m == NULL)
		return;
	r->cursor = m->body.ROUTE_ANSWER.cursor;
	rest = m->body.ROUTE_ANSWER.route_target_records;
	while (rec_route_target_next(&rest, &t))
		r->targets++;
}

static enum outcome route_from(struct run *r, const char *recipient, const char *listener)
{
	struct msg_ROUTE_ASK question = {1, 0, slice_empty(), slice_of(recipient), slice_empty(), slice_of("192.0.2.1"),
					LISTENER_MX, slice_of(listener), slice_empty(), 100, slice_empty(), slice_empty(), slice_empty(), 0, slice_empty()};

	r->answered = false;
	assert_int_not_equal(link_ask(r->queue, IPC_ROUTE_ASK, &question, 5000, on_route, r), 0);
	assert_true(harness_until(r->h, &r->answered));
	return r->outcome;
}

static enum outcome route(struct run *r, const char *recipient)
{
	return route_from(r, recipient, "");
}

static void test_recipients(void **state)
{
	struct run *r = *state;

	open_session(r, 7, 4, "192.0.2.1");
	assert_int_equal(ask(r, 7, "alice@example.test"), OC_DONE);
	assert_int_equal(ask(r, 7, "nobody@example.test"), OC_NO_MAILBOX);
	assert_int_equal(ask(r, 7, "b@elsewhere.test"), OC_NO_RELAY);
	assert_int_equal(ask(r, 7, "postmaster"), OC_DONE);
	assert_int_equal(route(r, "alice@example.test"), OC_DONE);
	assert_int_equal(r->targets, 1);
	open_session(r, 8, 4, "198.51.100.9");
	assert_int_equal(ask(r, 8, "alice@example.test"), OC_POLICY_REJECT);
	open_session(r, 9, 4, "192.0.2.77");
	assert_int_equal(ask(r, 9, "b@elsewhere.test"), OC_DONE);
}

/* Whether it has sent is the queue's to say; a bounce is refused only where it says no. */
static void test_who_has_sent(void **state)
{
	static const struct {
		enum outcome sent;
		const char *sender;
		enum outcome expect;
	} rows[] = {
		{OC_DONE, "", OC_DONE},
		{OC_NOT_FOUND, "", OC_POLICY_REJECT},
		{OC_LOOKUP_UNKNOWN, "", OC_DONE},
		{OC_DONE, "strict@x.test", OC_DONE},
		{OC_NOT_FOUND, "strict@x.test", OC_POLICY_REJECT},
		{OC_BUSY, "strict@x.test", OC_LOOKUP_UNKNOWN},
		{OC_NOT_FOUND, "a@x.test", OC_DONE}, /* no bounce */
	};
	struct run *r = *state;

	open_session(r, 7, 4, "192.0.2.1");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		harness_turn_clock(r->h, 61000); /* what is kept is old */
		r->sent = rows[i].sent;
		assert_int_equal(ask_of(r, 7, rows[i].sender, "alice@example.test"), rows[i].expect);
		assert_int_equal(ask_of(r, 7, rows[i].sender, "alice@example.test"), rows[i].expect);
	}
	assert_int_equal(r->senders_asked, ARRAY_LEN(rows) - 1); /* kept for the second; and who is no bounce is not asked about */
}

/* A session that is older than we are was at listener 0 of a configuration that we never had: what listens there now under that name is
 * meant, not what has that number. */
static void test_a_listener_is_known_by_its_name(void **state)
{
	static const struct {
		uint64_t generation;
		const char *listens_on, *said;
	} cases[] = {{1, "127.0.0.1:1026", "at first"}, {9, "127.0.0.1:1026", "at second"}, {9, "127.0.0.1:1027", "at mx"}};
	struct run *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct msg_SESSION_OPEN open = {.session = 7 + i, .worker = 4, .generation = cases[i].generation, .listener = 0,
						      .name = slice_of(cases[i].listens_on), .role = LISTENER_MX, .uid = UINT64_MAX,
						      .client = slice_of("192.0.2.1")};

		assert_true(link_tell(r->gate, IPC_SESSION_OPEN, &open, -1));
		link_flush(r->gate);
		assert_int_equal(ask(r, 7 + i, "where@example.test"), OC_POLICY_REJECT);
		assert_string_equal(r->text, cases[i].said);
	}
	assert_int_equal(route_from(r, "where@example.test", "second"), OC_DONE);
	assert_int_not_equal(route_from(r, "where@example.test", "first"), OC_DONE);
	print_message("ROW A10 listener-by-name pass\n");
}

static void test_login_gives_the_right(void **state)
{
	struct run *r = *state;
	struct msg_SESSION_LOGIN login = {7, slice_of("alice@example.test")};

	open_session(r, 7, 4, "192.0.2.1");
	assert_int_equal(ask(r, 7, "b@elsewhere.test"), OC_NO_RELAY);
	assert_true(link_tell(r->authd, IPC_SESSION_LOGIN, &login, -1));
	link_flush(r->authd);
	assert_int_equal(ask(r, 7, "b@elsewhere.test"), OC_DONE);
}

/* A worker cannot speak of what was not given to it. */
static void test_sessions_are_attested(void **state)
{
	struct run *r = *state;
	struct msg_POLICY_ASK question = {.session = 7, .stage = STAGE_RCPT, .helo = slice_empty(), .sender = slice_empty(),
					  .recipient = slice_of("b@elsewhere.test"), .tls_version = slice_empty(),
					  .tls_cipher = slice_empty(), .tls_sni = slice_empty(), .tags = slice_empty()};

	open_session(r, 7, 5, "192.0.2.77");
	r->answered = false;
	link_ask(r->worker, IPC_POLICY_ASK, &question, 5000, on_policy, r);
	harness_settle(r->h);
	assert_true(harness_is_broken(r->h, r->worker));
	assert_int_equal(harness_accused(r->h), ROLE_SMTPD);
	print_message("ROW A10 policy-session pass\n");
}

/* Just after the gate came up it may still be telling: no lie, but no answer either. */
static void test_not_told_yet(void **state)
{
	struct run *r = *state;

	assert_int_equal(ask(r, 99, "alice@example.test"), OC_UNAVAILABLE);
	assert_false(harness_is_broken(r->h, r->worker));
}

static void say(struct link *link, enum ipc_type type, const void *body)
{
	assert_true(link_tell(link, type, body, -1));
	assert_true(link_flush(link));
}

static void ask_later(struct run *r, uint64_t session, const char *recipient)
{
	struct msg_POLICY_ASK question = {.session = session, .stage = STAGE_RCPT, .helo = slice_empty(), .sender = slice_empty(),
					  .recipient = slice_of(recipient), .tls_version = slice_empty(),
					  .tls_cipher = slice_empty(), .tls_sni = slice_empty(), .tags = slice_empty()};

	r->answered = false;
	link_ask(r->worker, IPC_POLICY_ASK, &question, 5000, on_policy, r);
	assert_true(link_flush(r->worker));
}

/* It has not answered yet: so does the client wait; and a "no" is kept for a second only, for then somebody may have sent. */
static void test_a_question_waits_for_who_has_sent(void **state)
{
	struct run *r = *state;

	open_session(r, 7, 4, "192.0.2.1");
	r->queue_waits = true;
	ask_later(r, 7, "alice@example.test");
	harness_settle(r->h);
	assert_false(r->answered);
	assert_int_equal(r->senders_asked, 1);
	link_answer(r->queue, r->sent_asked, IPC_SENT, &(struct msg_SENT){OC_NOT_FOUND}, -1);
	assert_true(harness_until(r->h, &r->answered));
	assert_int_equal(r->outcome, OC_POLICY_REJECT);
	assert_string_equal(r->text, "never sent");
	harness_turn_clock(r->h, 2000);
	r->queue_waits = false;
	r->sent = OC_DONE;
	assert_int_equal(ask_of(r, 7, "", "alice@example.test"), OC_DONE);
}

/* Past the time in which the gate tells all again. */
static void let_the_gate_be_old(struct run *r)
{
	harness_turn_clock(r->h, 3000);
}

/* The client hangs up while its question waits for a name: nobody lied. */
static void test_a_session_that_ends_while_its_question_waits(void **state)
{
	struct run *r = *state;
	struct msg_ACCOUNT account = {OC_DONE, 1000, 1000, slice_of("/home/x")};

	let_the_gate_be_old(r);
	open_session(r, 7, 4, "192.0.2.1");
	open_session(r, 8, 4, "192.0.2.2");
	r->authd_waits = true;
	ask_later(r, 7, "carol@mx.example.test");
	harness_settle(r->h);
	assert_int_equal(r->names_asked, 1);
	say(r->gate, IPC_SESSION_CLOSE, &(struct msg_SESSION_CLOSE){7});
	harness_settle(r->h);
	link_answer(r->authd, r->name_asked, IPC_ACCOUNT, &account, -1);
	assert_true(harness_until(r->h, &r->answered));
	assert_int_equal(r->outcome, OC_UNAVAILABLE);
	assert_int_equal(ask(r, 8, "alice@example.test"), OC_DONE);
	assert_false(harness_is_broken(r->h, r->worker));
	assert_int_equal(harness_accused(r->h), ROLE_COUNT);
	print_message("ROW I01 honest-worker-session-ended pass\n");
}

/* Said before the end was known, heard after it. */
static void test_words_about_a_session_that_has_ended(void **state)
{
	struct run *r = *state;

	let_the_gate_be_old(r);
	open_session(r, 7, 4, "192.0.2.1");
	open_session(r, 8, 5, "192.0.2.2");
	harness_settle(r->h);
	say(r->gate, IPC_SESSION_CLOSE, &(struct msg_SESSION_CLOSE){7});
	say(r->gate, IPC_SESSION_CLOSE, &(struct msg_SESSION_CLOSE){8});
	harness_settle(r->h);
	assert_int_equal(ask(r, 7, "alice@example.test"), OC_UNAVAILABLE);
	/* Not told yet: the gate counts upwards. */
	assert_int_equal(ask(r, 9, "alice@example.test"), OC_UNAVAILABLE);
	assert_false(harness_is_broken(r->h, r->worker));
	/* But another worker's, that has ended, is a lie; and so is one there has never been. */
	ask_later(r, 8, "alice@example.test");
	harness_settle(r->h);
	assert_true(harness_is_broken(r->h, r->worker));
	assert_int_equal(harness_accused(r->h), ROLE_SMTPD);
	print_message("ROW A10 ended-session-of-another pass\n");
}

/* To hear of a login may be to hear that the session in hand has ended. */
static void test_a_login_that_brings_an_end(void **state)
{
	struct run *r = *state;

	let_the_gate_be_old(r);
	open_session(r, 7, 4, "192.0.2.1");
	harness_settle(r->h);
	harness_freeze(r->h, true);
	ask_later(r, 7, "alice@example.test");
	say(r->authd, IPC_SESSION_LOGIN, &(struct msg_SESSION_LOGIN){99, slice_of("x@example.test")});
	say(r->gate, IPC_SESSION_CLOSE, &(struct msg_SESSION_CLOSE){7});
	harness_freeze(r->h, false);
	assert_true(harness_until(r->h, &r->answered));
	assert_int_equal(r->outcome, OC_UNAVAILABLE);
	assert_false(harness_is_broken(r->h, r->worker));
	print_message("ROW I01 end-within-a-question pass\n");
}

/* More packets than one turn takes wait before the word that matters. */
static void test_a_login_behind_others(void **state)
{
	struct run *r = *state;

	let_the_gate_be_old(r);
	open_session(r, 7, 4, "192.0.2.1");
	harness_settle(r->h);
	harness_freeze(r->h, true);
	for (uint64_t i = 0; i < 60; i++) {
		open_session(r, 100 + i, 5, "192.0.2.9");
		say(r->authd, IPC_SESSION_LOGIN, &(struct msg_SESSION_LOGIN){100 + i, slice_of("x@example.test")});
	}
	open_session(r, 200, 4, "192.0.2.1");
	say(r->authd, IPC_SESSION_LOGIN, &(struct msg_SESSION_LOGIN){200, slice_of("alice@example.test")});
	ask_later(r, 200, "b@elsewhere.test");
	harness_freeze(r->h, false);
	assert_true(harness_until(r->h, &r->answered));
	assert_int_equal(r->outcome, OC_DONE);
}

static void test_system_users(void **state)
{
	struct run *r = *state;

	open_session(r, 7, 4, "192.0.2.1");
	assert_int_equal(ask(r, 7, "dave@mx.example.test"), OC_NO_MAILBOX);
	assert_int_equal(ask(r, 7, "dave@mx.example.test"), OC_NO_MAILBOX);
	assert_int_equal(r->names_asked, 1);
	r->user = OC_DONE;
	assert_int_equal(ask(r, 7, "carol@mx.example.test"), OC_DONE);
	assert_int_equal(route(r, "carol@mx.example.test"), OC_DONE);
	assert_int_equal(r->targets, 1);
	r->user = OC_UNAVAILABLE;
	assert_int_equal(ask(r, 7, "erin@mx.example.test"), OC_ROUTE_UNKNOWN);
	assert_int_equal(route(r, "frank@mx.example.test"), OC_ROUTE_UNKNOWN);
	assert_int_equal(r->names_asked, 4);
}

static void test_unreadable_table(void **state)
{
	struct run *r = *state;

	open_session(r, 7, 4, "192.0.2.1");
	assert_int_equal(ask(r, 7, "alice@example.test"), OC_DONE);
	assert_int_equal(unlinkat(folder, "boxes", 0), 0);
	/* It looks once a second. */
	for (int i = 0; i < 200 && ask(r, 7, "alice@example.test") == OC_DONE; i++)
		usleep(10000);
	assert_int_equal(ask(r, 7, "alice@example.test"), OC_ROUTE_UNKNOWN);
	assert_int_equal(r->code, 451);
	assert_int_equal(ask(r, 7, "b@elsewhere.test"), OC_ROUTE_UNKNOWN);
	assert_int_equal(route(r, "alice@example.test"), OC_ROUTE_UNKNOWN);
}

static enum outcome more(struct run *r, uint64_t cursor)
{
	const struct msg_ROUTE_MORE_ASK question = {cursor};

	r->answered = false;
	assert_int_not_equal(link_ask(r->queue, IPC_ROUTE_MORE_ASK, &question, 5000, on_route, r), 0);
	assert_true(harness_until(r->h, &r->answered));
	return r->outcome;
}

/* Of 10,000 system users each is asked for once, and the answer comes in pages, each once. */
static void test_a_long_list(void **state)
{
	struct run *r = *state;
	unsigned count, pages = 1;

	r->user = OC_DONE;
	assert_int_equal(route(r, "wide@mx.example.test"), OC_DONE);
	assert_int_equal(r->names_asked, 10000);
	for (count = r->targets; r->cursor != 0; count += r->targets, pages++)
		assert_int_equal(more(r, r->cursor), OC_DONE);
	assert_int_equal(count, 10000);
	assert_true(pages > 5);
	assert_int_equal(more(r, 1), OC_ROUTE_UNKNOWN);
	assert_int_equal(more(r, 0), OC_ROUTE_UNKNOWN);
}

/* Never half of one configuration and half of another; and only so many are kept. */
static void test_pages_end(void **state)
{
	struct run *r = *state;
	char why[1024] = "";
	uint64_t cursor, last = 0;
	unsigned kept = 0;

	r->user = OC_DONE;
	assert_int_equal(route(r, "long@mx.example.test"), OC_DONE);
	cursor = r->cursor;
	assert_int_not_equal(cursor, 0);
	assert_true(harness_reload(r->h, conf, paths, ARRAY_LEN(paths), why, sizeof(why)));
	assert_int_equal(more(r, cursor), OC_ROUTE_UNKNOWN);
	while (kept < 200 && route(r, "long@mx.example.test") == OC_DONE) {
		last = r->cursor;
		kept++;
	}
	assert_in_range(kept, 60, 64);
	while (last != 0) {
		assert_int_equal(more(r, last), OC_DONE);
		last = r->cursor;
	}
	assert_int_equal(route(r, "long@mx.example.test"), OC_DONE);
}

static void test_reload(void **state)
{
	struct run *r = *state;
	char why[256];

	open_session(r, 7, 4, "192.0.2.1");
	put("nets", "198.51.100.0/24\nnonsense\n");
	assert_false(harness_reload(r->h, conf, paths, ARRAY_LEN(paths), why, sizeof(why)));
	assert_string_equal(why, "/x/nets:2: expected a network, like 192.0.2.0/24 or 2001:db8::/32");
	assert_int_equal(ask(r, 7, "alice@example.test"), OC_DONE);
	put("nets", "192.0.2.0/24\n");
	assert_true(harness_reload(r->h, conf, paths, ARRAY_LEN(paths), why, sizeof(why)));
	open_session(r, 8, 4, "192.0.2.1");
	assert_int_equal(ask(r, 8, "alice@example.test"), OC_POLICY_REJECT);
}

static int run_all(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_recipients), TEST(test_who_has_sent), TEST(test_a_question_waits_for_who_has_sent), TEST(test_a_listener_is_known_by_its_name), TEST(test_login_gives_the_right), TEST(test_sessions_are_attested), TEST(test_not_told_yet),
		TEST(test_a_session_that_ends_while_its_question_waits), TEST(test_words_about_a_session_that_has_ended),
		TEST(test_a_login_that_brings_an_end), TEST(test_a_login_behind_others),
		TEST(test_system_users), TEST(test_unreadable_table), TEST(test_reload), TEST(test_a_long_list), TEST(test_pages_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	int failed = run_all();

	as_root = true;
	return geteuid() == 0 ? failed + run_all() : failed;
}
