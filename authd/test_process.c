#include "harness/harness.h"

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "sasl/mechanism.h"
#include "users/users.h"
#include "ipc/flags.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char conf[] =
	"hostname mx.example.test\n"
	"postmaster boss@example.test\n"
	"listen 127.0.0.1:2587 { role submission }\n"
	"listen 127.0.0.1:2525 { role mx }\n"
	"listen 127.0.0.1:2526 { role submission  auth-from 192.0.2.0/24 }\n"
	"listen 127.0.0.1:2527 { role submission  client-certificate ask  client-ca /x/ca }\n"
	"tls { certificate /x/certificate; key /x/key }\n"
	"auth { sqlite /x/users.db; file /x/flat; external /x/logins; mechanisms plain login scram-sha-256 cram-md5 }\n"
	"credentials /x/credentials\n"
	"transport home { maildir \"~/Maildir/\" }\n"
	"transport smarthost { smtp \"smtp.isp.example:587\"; login isp }\n"
	"transport other { smtp \"smtp.other.example:587\"; login backup }\n"
	"transport plain { smtp \"smtp.plain.example:587\" }\n"
	"route { deliver home }\n";

static char name[32];
static int folder = -1;
static bool as_root;
static struct harness_path paths[4];

struct run {
	struct harness *h;
	struct link *gate, *worker, *queue, *policyd, *relay, *local;
	unsigned queue_logins, policyd_logins;
	char told[256];
	bool answered, told_before_answer;
	enum outcome outcome;
	uint64_t took_ms, uid;
	char text[256], secret[256], challenge[512];
};

static void put(const char *file, const char *content, mode_t mode)
{
	int fd = openat(folder, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
	/* As root the process has a uid of its own, and reads as a member of that group. */
	assert_int_equal(fchmod(fd, mode), 0);
	if (as_root)
		assert_int_equal(fchown(fd, HARNESS_UID, HARNESS_UID), 0);
	close(fd);
}

#define SCRAM_KEYS \
	"SCRAM-SHA-256$65536:AAECAwQFBgcICQoLDA0ODw==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static void add_users(void)
{
	/* Keys of some password: what is tested here is failing. */
	static const struct users_verifier verifiers[] = {
		{"scram-sha-256", {SCRAM_KEYS, sizeof(SCRAM_KEYS) - 1}},
		{"cram-md5", {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64}},
	};
	struct buf why = buf_make(256);
	struct users *u;
	char path[64];

	snprintf(path, sizeof(path), "%s/users.db", name);
	u = users_open(path, true, getgid(), &why);
	assert_non_null(u);
	assert_int_equal(users_add(u, slice_of("alice@example.test"), slice_of("wonder land"), verifiers, ARRAY_LEN(verifiers)), OC_DONE);
	users_free(&u);
	snprintf(path, sizeof(path), "%s/users.db" USERS_SECRETS_SUFFIX, name);
	if (as_root)
		assert_int_equal(chown(path, HARNESS_UID, HARNESS_UID), 0);
	buf_free(&why);
}

static void on_queue_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	(void)link;
	assert_int_equal(m->type, IPC_SESSION_LOGIN);
	r->queue_logins++;
	(void)slice_copy(m->body.SESSION_LOGIN.login, r->told, sizeof(r->told));
}

static void on_policyd_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	(void)link;
	assert_int_equal(m->type, IPC_SESSION_LOGIN);
	r->policyd_logins++;
}

static struct harness *start_authd(const char *text, char *why, size_t why_size)
{
	struct harness_spec spec = {ROLE_AUTHD, AUTHD, text, paths, ARRAY_LEN(paths), as_root};

	return harness_start(&spec, why, why_size);
}

static int make_folder(void **state)
{
	static const char *const files[] = {"/x/users.db", "/x/flat", "/x/credentials", "/x/logins"};

	(void)state;
	snprintf(name, sizeof(name), "/tmp/test-authd-XXXXXX");
	if (mkdtemp(name) == NULL || chmod(name, 0755) == -1)
		return -1;
	folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		paths[i] = (struct harness_path){files[i], folder};
	put("flat", "# none\nlocked@example.test:!\nempty@example.test:\n", 0600);
	put("logins", "00ff: Alice@example.test\nbob@example.test: bob@example.test\nbroken:\n", 0600);
	put("credentials", "isp: me@isp.example pass word\nbackup: you secret\n", 0600);
	return 0;
}

static int start(void **state)
{
	struct run *r = mem_new(1, sizeof(*r));
	char why[256] = "";

	*state = r;
	if (make_folder(NULL) == -1)
		return -1;
	add_users();
	r->h = start_authd(conf, why, sizeof(why));
	if (r->h == NULL) {
		print_error("%s\n", why);
		return -1;
	}
	r->gate = harness_peer(r->h, ROLE_GATE, 0, NULL, NULL);
	r->worker = harness_peer(r->h, ROLE_SMTPD, 4, NULL, NULL);
	r->queue = harness_peer(r->h, ROLE_QUEUE, 0, on_queue_message, r);
	r->policyd = harness_peer(r->h, ROLE_POLICYD, 0, on_policyd_message, r);
	r->relay = harness_peer(r->h, ROLE_RELAY, 2, NULL, NULL);
	r->local = harness_peer(r->h, ROLE_LOCAL, 0, NULL, NULL);
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

static void open_session(struct run *r, uint64_t session, const char *client)
{
	struct msg_SESSION_OPEN open = {.session = session, .worker = 4, .generation = harness_generation(r->h),
					.role = LISTENER_SUBMISSION, .uid = UINT64_MAX, .client = slice_of(client), .local = slice_empty()};

	assert_true(link_tell(r->gate, IPC_SESSION_OPEN, &open, -1));
	link_flush(r->gate);
}

/* ---- logins ---- */

static void on_result(struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	r->answered = true;
	r->told_before_answer = r->queue_logins > 0 && r->policyd_logins > 0;
	r->outcome = m == NULL ? OC_TIMEOUT : m->body.AUTH_RESULT.outcome;
	r->text[0] = '\0';
	r->challenge[0] = '\0';
	if (m == NULL)
		return;
	(void)slice_copy(m->body.AUTH_RESULT.login, r->text, sizeof(r->text));
	(void)slice_copy(m->body.AUTH_RESULT.challenge, r->challenge, sizeof(r->challenge));
}

static struct slice plain_response(struct buf *out, const char *login, struct slice secret)
{
	*out = buf_make_secret(2048);
	assert_true(buf_add_char(out, '\0') && buf_add_text(out, login) && buf_add_char(out, '\0') && buf_add_slice(out, secret));
	return buf_slice(out);
}

static enum outcome ask(struct run *r, enum ipc_type type, const void *question)
{
	uint64_t from = clock_mono_ms();

	r->answered = false;
	assert_int_not_equal(link_ask(r->worker, type, question, 9000, on_result, r), 0);
	assert_true(harness_until(r->h, &r->answered));
	r->took_ms = clock_mono_ms() - from;
	return r->outcome;
}

static enum outcome begin(struct run *r, uint64_t session, enum mechanism mechanism, bool has_initial, struct slice initial)
{
	const struct msg_AUTH_START start = {session, 1, mechanism, has_initial, initial, slice_empty(), slice_empty(), slice_empty()};

	return ask(r, IPC_AUTH_START, &start);
}

static enum outcome respond(struct run *r, uint64_t session, struct slice response)
{
	const struct msg_AUTH_NEXT next = {session, response};

	return ask(r, IPC_AUTH_NEXT, &next);
}

static enum outcome log_in(struct run *r, uint64_t session, const char *login, struct slice secret)
{
	struct buf response;
	enum outcome oc = begin(r, session, MECHANISM_PLAIN, true, plain_response(&response, login, secret));

	buf_free(&response);
	return oc;
}

static void test_login(void **state)
{
	struct run *r = *state;

	open_session(r, 7, "192.0.2.1");
	assert_int_equal(log_in(r, 7, "Alice@Example.Test", slice_of("wonder land")), OC_AUTHENTICATED);
	assert_string_equal(r->text, "alice@example.test");
	assert_true(r->told_before_answer);
	assert_string_equal(r->told, "alice@example.test");
	/* One session, one login. */
	assert_int_equal(log_in(r, 7, "alice@example.test", slice_of("wonder land")), OC_AUTH_UNAVAILABLE);
	assert_int_equal(r->queue_logins, 1);
}

static void cancel(struct run *r, uint64_t session)
{
	link_tell(r->worker, IPC_AUTH_CANCEL, &(struct msg_AUTH_CANCEL){session}, -1);
	link_flush(r->worker);
}

/* A dialogue of several steps; each begins with nothing of the one before. */
static void test_dialogues(void **state)
{
	struct slice alice = slice_of("alice@example.test"), secret = slice_of("wonder land");
	struct run *r = *state;

	open_session(r, 7, "192.0.2.1");
	open_session(r, 8, "192.0.2.1");
	assert_int_equal(respond(r, 7, secret), OC_AUTH_UNAVAILABLE);
	assert_int_equal(begin(r, 7, MECHANISM_XOAUTH2, false, slice_empty()), OC_AUTH_UNAVAILABLE); /* not offered */
	assert_int_equal(begin(r, 7, (enum mechanism)999, false, slice_empty()), OC_AUTH_UNAVAILABLE);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(begin(r, 7, MECHANISM_LOGIN, true, alice), OC_AUTH_CONTINUE);
		assert_string_equal(r->challenge, "Password:");
		if (i % 2 == 0)
			cancel(r, 7);
		else
			assert_int_equal(begin(r, 7, MECHANISM_PLAIN, false, slice_empty()), OC_AUTH_CONTINUE);
		assert_int_equal(respond(r, 7, secret), i % 2 == 0 ? OC_AUTH_UNAVAILABLE : OC_BAD_INPUT);
		assert_int_equal(respond(r, 7, secret), OC_AUTH_UNAVAILABLE);
	}
	assert_int_equal(begin(r, 8, MECHANISM_LOGIN, false, slice_empty()), OC_AUTH_CONTINUE);
	assert_string_equal(r->challenge, "Username:");
	assert_int_equal(respond(r, 7, alice), OC_AUTH_UNAVAILABLE); /* the dialogue of 8 is not that of 7 */
	assert_int_equal(respond(r, 8, alice), OC_AUTH_CONTINUE);
	assert_int_equal(respond(r, 8, secret), OC_AUTHENTICATED);
	assert_string_equal(r->told, "alice@example.test");
	assert_int_equal(begin(r, 7, MECHANISM_LOGIN, false, slice_empty()), OC_AUTH_CONTINUE);
	link_tell(r->gate, IPC_SESSION_CLOSE, &(struct msg_SESSION_CLOSE){7}, -1);
	link_flush(r->gate);
	harness_settle(r->h);
	assert_int_equal(respond(r, 7, alice), OC_AUTH_UNAVAILABLE);
	print_message("ROW F02 dialogues pass\nROW A10 dialogue-of-another pass\n");
}

/* Who has keys, who has none, who does not exist: the same form, the same words, and never sooner. */
static void test_nobody_by_other_mechanisms(void **state)
{
	static const char *const users[] = {"alice@example.test", "locked@example.test", "nobody@example.test"};
	size_t lengths[ARRAY_LEN(users)];
	struct run *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		char text[512], client[32];

		snprintf(client, sizeof(client), "192.0.2.%zu", i + 1);
		open_session(r, 20 + i, client);
		snprintf(text, sizeof(text), "n,,n=%s,r=abc", users[i]);
		assert_int_equal(begin(r, 20 + i, MECHANISM_SCRAM_SHA_256, true, slice_of(text)), OC_AUTH_CONTINUE);
		assert_true(r->took_ms >= 99);
		lengths[i] = strlen(r->challenge);
		assert_int_equal(lengths[i], lengths[0]);
		snprintf(text, sizeof(text), "c=biws,%.*s,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", (int)strcspn(r->challenge, ","),
			 r->challenge);
		assert_int_equal(respond(r, 20 + i, slice_of(text)), OC_AUTH_FAILED);
		assert_true(r->took_ms >= 99);
		assert_int_equal(begin(r, 20 + i, MECHANISM_CRAM_MD5, false, slice_empty()), OC_AUTH_CONTINUE);
		snprintf(text, sizeof(text), "%s 0123456789abcdef0123456789abcdef", users[i]);
		assert_int_equal(respond(r, 20 + i, slice_of(text)), OC_AUTH_FAILED);
		assert_true(r->took_ms >= 99);
		assert_string_equal(r->text, "");
	}
	assert_int_equal(r->queue_logins + r->policyd_logins, 0);
	print_message("ROW A01 scram-and-cram pass\nROW A02 scram-and-cram pass\n");
}

static void test_failures(void **state)
{
	static char longest[700];
	struct run *r = *state;
	const struct {
		const char *login;
		struct slice secret;
	} rows[] = {
		{"alice@example.test", slice_of("wonder lan")},
		{"alice@example.test", slice_of("Wonder land")},
		{"nobody@example.test", slice_of("wonder land")},
		{"locked@example.test", slice_of("!")},
		{"empty@example.test", slice_of("x")},
		{"%u%d%{", slice_of("wonder land")},
		{"' OR 1=1--", slice_of("wonder land")},
		{"alice", slice_of("wonder land")},
		{"alice@example.test", slice_make(longest, sizeof(longest))},
	};

	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char client[32];

		snprintf(client, sizeof(client), "198.51.100.%zu", i);
		open_session(r, 100 + i, client);
		if (log_in(r, 100 + i, rows[i].login, rows[i].secret) != OC_AUTH_FAILED)
			fail_msg("%zu %s: %s", i, rows[i].login, outcome_info(r->outcome)->name);
		/* The same words and never sooner, whoever it was. */
		assert_string_equal(r->text, "");
		assert_true(r->took_ms >= 99);
	}
	assert_int_equal(r->queue_logins + r->policyd_logins, 0);
	print_message("ROW A01 floor pass\nROW A02 same-answer pass\nROW A05 no-hash pass\nROW A11 null-and-empty pass\n"
		      "ROW S17 names pass\nROW S19 odd-hashes pass\n");
}

/* The same password at two logins, one after the other: nothing of the first is used for the second. */
static void test_no_confusion(void **state)
{
	struct run *r = *state;

	open_session(r, 1, "192.0.2.1");
	open_session(r, 2, "192.0.2.2");
	assert_int_equal(log_in(r, 1, "alice@example.test", slice_of("wonder land")), OC_AUTHENTICATED);
	assert_int_equal(log_in(r, 2, "alice@other.test", slice_of("wonder land")), OC_AUTH_FAILED);
	print_message("ROW S17 second-login pass\n");
}

static void test_attempts_are_bounded(void **state)
{
	struct run *r = *state;

	open_session(r, 7, "192.0.2.1");
	for (int i = 0; i < 3; i++)
		assert_int_equal(log_in(r, 7, "alice@example.test", slice_of("no")), OC_AUTH_FAILED);
	assert_int_equal(log_in(r, 7, "alice@example.test", slice_of("wonder land")), OC_AUTH_UNAVAILABLE);
	print_message("ROW A10 attempts pass\n");
}

static void test_sources_are_slowed(void **state)
{
	struct run *r = *state;

	open_session(r, 1, "2001:db8::1");
	assert_int_equal(log_in(r, 1, "a@example.test", slice_of("no")), OC_AUTH_FAILED);
	for (uint64_t i = 2; i < 6; i++) {
		char client[32], login[32];

		/* All of one /64, each a login of its own. */
		snprintf(client, sizeof(client), "2001:db8::%llx", (unsigned long long)i);
		snprintf(login, sizeof(login), "u%llu@example.test", (unsigned long long)i);
		open_session(r, i, client);
		assert_int_equal(log_in(r, i, login, slice_of("no")), OC_AUTH_FAILED);
	}
	assert_true(r->took_ms >= 1099);
	print_message("ROW A04 per-source pass\n");
}

/* Only the session's own worker may ask for it. */
static void test_other_sessions(void **state)
{
	struct run *r = *state;
	struct link *thief = harness_peer(r->h, ROLE_SMTPD, 9, NULL, NULL);
	struct buf response;
	struct msg_AUTH_START start = {7, 1, MECHANISM_PLAIN, 1, slice_empty(), slice_empty(), slice_empty(), slice_empty()};

	start.response = plain_response(&response, "alice@example.test", slice_of("wonder land"));
	open_session(r, 7, "192.0.2.1");
	link_ask(thief, IPC_AUTH_START, &start, 5000, on_result, r);
	buf_free(&response);
	harness_settle(r->h);
	assert_true(harness_is_broken(r->h, thief));
	assert_int_equal(harness_accused(r->h), ROLE_SMTPD);
	assert_int_equal(log_in(r, 7, "alice@example.test", slice_of("wonder land")), OC_AUTHENTICATED);
	print_message("ROW A10 other-session pass\n");
}

/* A worker of port 25 knows a good password, and has it from the client or not: it logs nobody in. */
static void test_a_listener_without_logins(void **state)
{
	struct run *r = *state;
	struct msg_SESSION_OPEN mx = {.session = 7, .worker = 4, .generation = harness_generation(r->h), .listener = 1,
				      .role = LISTENER_MX, .uid = UINT64_MAX, .client = slice_of("192.0.2.1"), .local = slice_empty()};
	struct msg_SESSION_OPEN local = {.session = 8, .worker = 4, .generation = harness_generation(r->h),
					 .listener = UINT64_MAX, .role = LISTENER_LOCAL, .uid = 1000, .client = slice_empty(), .local = slice_empty()};

	link_tell(r->gate, IPC_SESSION_OPEN, &mx, -1);
	link_tell(r->gate, IPC_SESSION_OPEN, &local, -1);
	link_flush(r->gate);
	assert_int_equal(log_in(r, 7, "alice@example.test", slice_of("wonder land")), OC_AUTH_UNAVAILABLE);
	assert_int_equal(log_in(r, 8, "alice@example.test", slice_of("wonder land")), OC_AUTH_UNAVAILABLE);
	assert_int_equal(r->queue_logins + r->policyd_logins, 0);
	print_message("ROW A10 mx-worker-logs-in pass\n");
	/* Nor from a network that the listener takes none from. */
	mx.listener = 2;
	mx.session = 9;
	mx.client = slice_of("198.51.100.1");
	link_tell(r->gate, IPC_SESSION_OPEN, &mx, -1);
	mx.session = 10;
	mx.client = slice_of("192.0.2.1");
	link_tell(r->gate, IPC_SESSION_OPEN, &mx, -1);
	link_flush(r->gate);
	assert_int_equal(log_in(r, 9, "alice@example.test", slice_of("wonder land")), OC_AUTH_UNAVAILABLE);
	assert_int_equal(log_in(r, 10, "alice@example.test", slice_of("wonder land")), OC_AUTHENTICATED);
	print_message("ROW A10 auth-from pass\n");
}

static void test_back_end_away(void **state)
{
	struct run *r = *state;

	assert_int_equal(unlinkat(folder, "flat", 0), 0);
	open_session(r, 7, "192.0.2.1");
	assert_int_equal(log_in(r, 7, "alice@example.test", slice_of("wonder land")), OC_AUTHENTICATED);
	open_session(r, 8, "192.0.2.2");
	assert_int_equal(log_in(r, 8, "nobody@example.test", slice_of("x")), OC_AUTH_UNAVAILABLE);
}

/* ---- client certificates ---- */

/* Each comes from a host of its own. */
static void open_session_at(struct run *r, uint64_t session, uint64_t listener)
{
	char client[32];
	struct msg_SESSION_OPEN open = {.session = session, .worker = 4, .generation = harness_generation(r->h), .listener = listener,
					.role = LISTENER_SUBMISSION, .uid = UINT64_MAX, .local = slice_empty()};

	snprintf(client, sizeof(client), "192.0.2.%u", (unsigned)(session % 200));
	open.client = slice_of(client);
	link_tell(r->gate, IPC_SESSION_OPEN, &open, -1);
	link_flush(r->gate);
}

static enum outcome show(struct run *r, uint64_t session, const char *certificate, struct slice authzid)
{
	const struct msg_AUTH_START start = {session, 1, MECHANISM_EXTERNAL, 1, authzid, slice_empty(), slice_empty(), slice_of(certificate)};

	return ask(r, IPC_AUTH_START, &start);
}

#define CERTIFIED 3 /* the listener with client-ca */

static void test_certificates(void **state)
{
	static const struct {
		const char *certificate, *authzid;
		enum outcome outcome;
		const char *login;
	} rows[] = {
		{"00ff", "", OC_AUTHENTICATED, "alice@example.test"},
		{"00ff", "alice@example.test", OC_AUTHENTICATED, "alice@example.test"},
		{"00ff", "bob@example.test", OC_AUTH_FAILED, ""},
		{"00fe bob@example.test", "", OC_AUTHENTICATED, "bob@example.test"},
		{"00fe carol@example.test", "", OC_AUTH_FAILED, ""},
		{"00fe", "alice@example.test", OC_AUTH_FAILED, ""},
		{"broken", "", OC_AUTH_UNAVAILABLE, ""},
		{"", "", OC_AUTH_UNAVAILABLE, ""}, /* no honest worker asks that */
	};
	struct run *r = *state;
	unsigned logins = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		open_session_at(r, 20 + i, CERTIFIED);
		if (show(r, 20 + i, rows[i].certificate, slice_of(rows[i].authzid)) != rows[i].outcome)
			fail_msg("row %zu: %s", i, outcome_info(r->outcome)->name);
		assert_string_equal(r->text, rows[i].login);
		assert_true(rows[i].certificate[0] == '\0' || rows[i].outcome == OC_AUTHENTICATED || r->took_ms >= 99);
		logins += rows[i].outcome == OC_AUTHENTICATED;
		assert_int_equal(r->queue_logins, logins);
		assert_int_equal(r->policyd_logins, logins);
	}
	/* What is no message of it is no attempt. */
	open_session_at(r, 40, CERTIFIED);
	for (int i = 0; i < 5; i++)
		assert_int_equal(show(r, 40, "00ff", slice_make("\0alice@example.test\0", 20)), OC_BAD_INPUT);
	assert_int_equal(show(r, 40, "00ff", slice_empty()), OC_AUTHENTICATED);
	/* At another listener a certificate is nothing, whatever the worker says of it. */
	open_session_at(r, 41, 0);
	assert_int_equal(show(r, 41, "00ff", slice_empty()), OC_AUTH_UNAVAILABLE);
	assert_int_equal(r->queue_logins, logins + 1);
	print_message("ROW A10 certificate-of-another-listener pass\n");
}

/* authd looks at the file once a second. */
static bool comes_to(struct run *r, uint64_t first_session, enum outcome wanted)
{
	for (uint64_t n = first_session; n < first_session + 190; n++) {
		open_session_at(r, n, CERTIFIED);
		if (show(r, n, "00aa", slice_empty()) == wanted)
			return true;
		(void)poll(NULL, 0, 100);
	}
	return false;
}

static void test_certificates_are_read_again(void **state)
{
	struct run *r = *state;

	open_session_at(r, 7, CERTIFIED);
	assert_int_equal(show(r, 7, "00aa", slice_empty()), OC_AUTH_FAILED);
	put("logins", "00aa: carol@example.test\n", 0600);
	assert_true(comes_to(r, 1000, OC_AUTHENTICATED));
	assert_string_equal(r->text, "carol@example.test");
	assert_int_equal(unlinkat(folder, "logins", 0), 0);
	assert_true(comes_to(r, 2000, OC_AUTH_UNAVAILABLE));
}

static void test_certificates_are_slowed(void **state)
{
	struct run *r = *state;

	open_session_at(r, 7, CERTIFIED);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(show(r, 7, "00fe", slice_empty()), OC_AUTH_FAILED);
	/* auth-attempts-max */
	assert_int_equal(show(r, 7, "00ff", slice_empty()), OC_AUTH_UNAVAILABLE);
	for (uint64_t n = 1; n < 3; n++) {
		open_session_at(r, 7 + 200 * n, CERTIFIED);
		assert_int_equal(show(r, 7 + 200 * n, "00fe", slice_empty()), OC_AUTH_FAILED);
	}
	assert_true(r->took_ms >= 1099);
	print_message("ROW A04 certificates pass\n");
}

static void on_lookup_message(struct link *link, struct ipc_message *m, void *arg)
{
	const struct msg_VERIFIED said = {OC_AUTHENTICATED, slice_empty(), slice_of("boss@example.test")};

	(void)arg;
	assert_int_equal(m->type, IPC_DIRECTORY_ASK);
	assert_true(slice_eq(m->body.DIRECTORY_ASK.login, slice_of("alice@example.test")));
	link_answer(link, m->request, IPC_VERIFIED, &said, -1);
}

/* postern-lookup says whether a password is right, and not whose it is. */
static void test_a_directory_names_nobody(void **state)
{
	static const char text[] = "hostname mx.example.test\npostmaster boss@example.test\n"
				   "listen 127.0.0.1:2587 { role submission }\n"
				   "tls { certificate /x/certificate; key /x/key }\n"
				   "auth { ldap { server \"ldap.example.org:636\"  base \"dc=x\"  filter \"(mail=?)\" } }\n"
				   "transport home { maildir \"~/Maildir/\" }\nroute { deliver home }\n";
	struct run r = {.answered = false};
	char why[512] = "";

	(void)state;
	assert_int_equal(make_folder(NULL), 0);
	r.h = start_authd(text, why, sizeof(why));
	if (r.h == NULL)
		fail_msg("%s", why);
	r.gate = harness_peer(r.h, ROLE_GATE, 0, NULL, NULL);
	r.worker = harness_peer(r.h, ROLE_SMTPD, 4, NULL, NULL);
	r.queue = harness_peer(r.h, ROLE_QUEUE, 0, on_queue_message, &r);
	r.policyd = harness_peer(r.h, ROLE_POLICYD, 0, on_policyd_message, &r);
	(void)harness_peer(r.h, ROLE_LOOKUP, 0, on_lookup_message, NULL);
	open_session(&r, 7, "192.0.2.1");
	assert_int_equal(log_in(&r, 7, "alice@example.test", slice_of("x")), OC_AUTHENTICATED);
	assert_string_equal(r.text, "alice@example.test");
	assert_string_equal(r.told, "alice@example.test");
	harness_stop(&r.h);
	close(folder);
}

static void test_nobody_to_tell(void **state)
{
	struct run *r = *state;

	harness_detach(r->h, r->policyd);
	open_session(r, 7, "192.0.2.1");
	assert_int_equal(log_in(r, 7, "alice@example.test", slice_of("wonder land")), OC_AUTH_UNAVAILABLE);
}

struct flood {
	struct run *run;
	unsigned answers, failed, unavailable, others;
	bool done;
};

#define FLOOD 200

static void on_flood_result(struct ipc_message *m, void *arg)
{
	struct flood *f = arg;
	enum outcome oc = m == NULL ? OC_TIMEOUT : m->body.AUTH_RESULT.outcome;

	f->failed += oc == OC_AUTH_FAILED;
	f->unavailable += oc == OC_AUTH_UNAVAILABLE;
	f->done = ++f->answers == FLOOD;
}

/* More than can be hashed: some are told to come again, none waits for long, and it serves on. */
static void test_flood(void **state)
{
	struct run *r = *state;
	struct flood f = {.run = r};

	for (uint64_t i = 0; i < FLOOD; i++) {
		struct msg_AUTH_START start = {i + 1, 1, MECHANISM_PLAIN, 1, slice_empty(), slice_empty(), slice_empty(), slice_empty()};
		char client[32], login[32];
		struct buf response;

		snprintf(client, sizeof(client), "10.0.%u.1", (unsigned)i);
		snprintf(login, sizeof(login), "u%u@example.test", (unsigned)i);
		start.response = plain_response(&response, login, slice_of("y"));
		open_session(r, i + 1, client);
		link_ask(r->worker, IPC_AUTH_START, &start, 20000, on_flood_result, &f);
		buf_free(&response);
	}
	assert_true(harness_until(r->h, &f.done));
	assert_int_equal(f.failed + f.unavailable, FLOOD);
	assert_true(f.unavailable > 50 && f.failed >= 64);
	open_session(r, 999, "192.0.2.1");
	assert_int_equal(log_in(r, 999, "alice@example.test", slice_of("wonder land")), OC_AUTHENTICATED);
	print_message("ROW A06 flood pass\n");
}

/* ---- credentials ---- */

static void on_credential(struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	r->answered = true;
	r->outcome = m == NULL ? OC_TIMEOUT : m->body.CREDENTIAL.outcome;
	r->text[0] = r->secret[0] = '\0';
	if (m == NULL)
		return;
	(void)slice_copy(m->body.CREDENTIAL.user, r->text, sizeof(r->text));
	(void)slice_copy(m->body.CREDENTIAL.secret, r->secret, sizeof(r->secret));
}

static enum outcome ask_credential(struct run *r, uint64_t job, const char *transport)
{
	struct msg_CREDENTIAL_ASK ask = {job, slice_of(transport)};

	r->answered = false;
	link_ask(r->relay, IPC_CREDENTIAL_ASK, &ask, 5000, on_credential, r);
	assert_true(harness_until(r->h, &r->answered));
	return r->outcome;
}

static void grant(struct run *r, uint64_t job, uint64_t relay, const char *transport)
{
	link_tell(r->queue, IPC_JOB_GRANT, &(struct msg_JOB_GRANT){job, relay, slice_of(transport)}, -1);
	link_flush(r->queue);
}

static void test_credentials(void **state)
{
	struct run *r = *state;

	assert_int_equal(ask_credential(r, 1, "smarthost"), OC_UNAVAILABLE);
	grant(r, 1, 2, "smarthost");
	assert_int_equal(ask_credential(r, 1, "smarthost"), OC_DONE);
	assert_string_equal(r->text, "me@isp.example");
	assert_string_equal(r->secret, "pass word");
	assert_int_equal(ask_credential(r, 1, "other"), OC_UNAVAILABLE);
	assert_string_equal(r->secret, "");
	assert_int_equal(ask_credential(r, 2, "smarthost"), OC_UNAVAILABLE);
	grant(r, 3, 1, "smarthost"); /* another relay's */
	assert_int_equal(ask_credential(r, 3, "smarthost"), OC_UNAVAILABLE);
	grant(r, 4, 2, "plain"); /* has none */
	assert_int_equal(ask_credential(r, 4, "plain"), OC_UNAVAILABLE);
	link_tell(r->queue, IPC_JOB_REVOKE, &(struct msg_JOB_REVOKE){1}, -1);
	link_flush(r->queue);
	assert_int_equal(ask_credential(r, 1, "smarthost"), OC_UNAVAILABLE);
	grant(r, 5, 2, "other");
	assert_int_equal(ask_credential(r, 5, "other"), OC_DONE);
	harness_detach(r->h, r->queue);
	assert_int_equal(ask_credential(r, 5, "other"), OC_UNAVAILABLE);
	print_message("ROW A09 grants pass\n");
}

static void test_bad_credentials_files(void **state)
{
	static const struct {
		const char *content;
		mode_t mode;
		const char *why;
	} rows[] = {
		{"isp: a b\nbackup: c d\n", 0644, "everybody on this host can read it"},
		{"isp: a\nbackup: c d\n", 0600, "/x/credentials:1: there is no password behind the user"},
		{"isp: a b\n", 0600, "which transport other needs (login backup)"},
		{NULL, 0, "/x/credentials: No such file or directory"},
	};

	(void)state;
	assert_int_equal(make_folder(NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char why[512] = "";

		if (rows[i].content != NULL)
			put("credentials", rows[i].content, rows[i].mode);
		else
			assert_int_equal(unlinkat(folder, "credentials", 0), 0);
		assert_null(start_authd(conf, why, sizeof(why)));
		if (strstr(why, rows[i].why) == NULL)
			fail_msg("%s", why);
	}
	close(folder);
}

/* ---- accounts ---- */

static void on_account(struct ipc_message *m, void *arg)
{
	struct run *r = arg;

	r->answered = true;
	r->outcome = m == NULL ? OC_TIMEOUT : m->body.ACCOUNT.outcome;
	r->uid = m == NULL ? 0 : m->body.ACCOUNT.uid;
}

static enum outcome ask_account(struct run *r, struct link *link, const char *user)
{
	struct msg_ACCOUNT_ASK ask = {slice_of(user)};

	r->answered = false;
	link_ask(link, IPC_ACCOUNT_ASK, &ask, 9000, on_account, r);
	assert_true(harness_until(r->h, &r->answered));
	return r->outcome;
}

static void test_accounts(void **state)
{
	static const struct {
		const char *name;
		uint64_t uid; /* whose it is all the same */
	} nobodies[] = {{"root", 0}, {"daemon", 1}, {"no-such-user-here", ACCOUNT_NO_UID}, {"", ACCOUNT_NO_UID}, {"-x", ACCOUNT_NO_UID},
			{"../etc", ACCOUNT_NO_UID}, {"a b", ACCOUNT_NO_UID}, {"nobody:x", ACCOUNT_NO_UID}, {"$(id)", ACCOUNT_NO_UID}};
	struct run *r = *state;

	/* the one user every system has whose uid is no system user's */
	assert_int_equal(ask_account(r, r->local, "nobody"), OC_DONE);
	assert_int_equal(r->uid, 65534);
	assert_int_equal(ask_account(r, r->policyd, "nobody"), OC_DONE);
	for (size_t i = 0; i < ARRAY_LEN(nobodies); i++)
		if (ask_account(r, r->local, nobodies[i].name) != OC_NOT_FOUND || r->uid != nobodies[i].uid)
			fail_msg("%s: %s", nobodies[i].name, outcome_info(r->outcome)->name);
}

static int run_all(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_login),
		TEST(test_dialogues),
		TEST(test_nobody_by_other_mechanisms),
		TEST(test_failures),
		TEST(test_no_confusion),
		TEST(test_attempts_are_bounded),
		TEST(test_sources_are_slowed),
		TEST(test_other_sessions),
		TEST(test_a_listener_without_logins),
		TEST(test_back_end_away),
		TEST(test_certificates),
		TEST(test_certificates_are_read_again),
		TEST(test_certificates_are_slowed),
		TEST(test_nobody_to_tell),
		TEST(test_flood),
		TEST(test_credentials),
		TEST(test_accounts),
		cmocka_unit_test(test_bad_credentials_files),
		cmocka_unit_test(test_a_directory_names_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	int failed = run_all();

	as_root = true;
	return geteuid() == 0 ? failed + run_all() : failed;
}
