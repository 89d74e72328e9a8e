#include "base/log.h"
#include "base/mem.h"
#include "harness/harness.h"
#include "ipc/flags.h"
#include "tls/test_certificate.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * postern-relay itself, in its cage, with the test as queue, resolver, dial and authd.  What it reaches is a server that follows
 * a script, in a child of its own:
 *
 *   "S text"   says it       "C text"  wants exactly this line    "BODY n"  wants a message of n bytes up to its dot
 *   "TLS"      a handshake   "TLS!"    one that must fail         "NOISE"   bytes that are no TLS
 *   "EOF"      wants the end "CLOSE"   ends                      "MARK"     tells the test that it came so far
 */
static const char conf[] = "hostname here.example.test\n"
			   "postmaster boss@example.test\n"
			   "credentials /x/credentials\n"
			   "table none { \"nobody\" }\n"
			   "transport mx { smtp mx; tls off }\n"
			   "transport opt { smtp mx; tls optional }\n"
			   "transport isp { smtp \"smtp.isp.test:587\"; tls verified; tls-ca /x/ca; login isp }\n"
			   "transport wrapped { smtp \"smtp.isp.test:465\"; tls implicit; tls-ca /x/ca }\n"
			   "transport system { smtp \"smtp.isp.test:587\"; tls verified; tls-ca /x/other }\n"
			   "transport other { smtp \"mail.other.test:587\"; tls verified; tls-ca /x/ca }\n"
			   "transport required { smtp \"smtp.isp.test:25\"; tls required }\n"
			   "transport store { lmtp /run/lmtp }\n"
			   "route {\n"
			   "  relay opt if recipient in none\n"
			   "  relay isp if recipient in none\n"
			   "  relay wrapped if recipient in none\n"
			   "  relay system if recipient in none\n"
			   "  relay other if recipient in none\n"
			   "  relay required if recipient in none\n"
			   "  deliver store if recipient in none\n"
			   "  relay mx\n"
			   "}\n";

#define SERVERS_MAX 4
#define SCRIPT_MAX 48

struct said {
	enum outcome outcome;
	uint64_t code;
	char dsn[16], text[1025], remote[256], detail[513];
};

struct run {
	struct harness *h;
	struct link *queue, *resolver, *dial, *authd;
	EVP_PKEY *key;
	struct buf certificate;
	int ca_fd, other_fd;
	int mark[2]; /* pipe */

	/* what the test wants of the others */
	const char *const *servers[SERVERS_MAX]; /* in the order they are dialled; NULL: refused */
	size_t server_count;
	const char *records; /* mx_host records, as "10 name address, ..."; NULL: the outcome below */
	enum outcome dns;
	bool no_credential;

	/* what came of it */
	size_t dials, credentials_asked;
	pid_t children[SERVERS_MAX];
	struct said said[8]; /* by slot */
	size_t said_count;
	bool ended;
	uint64_t job;
};

/* ---- the scripted server ---- */

struct wire {
	int fd;
	SSL *ssl;
	char held[4096];
	size_t have;
};

static ssize_t wire_read(struct wire *w, char *to, size_t size)
{
	return w->ssl != NULL ? SSL_read(w->ssl, to, (int)size) : read(w->fd, to, size);
}

static void wire_write(struct wire *w, const char *text, size_t len)
{
	if (w->ssl != NULL)
		(void)SSL_write(w->ssl, text, (int)len);
	else
		(void)!write(w->fd, text, len);
}

/* One line without CRLF; false: the connection ended. */
static bool wire_line(struct wire *w, char out[4096])
{
	char *end;

	while ((end = memmem(w->held, w->have, "\r\n", 2)) == NULL) {
		ssize_t n =
			w->have == sizeof(w->held) ? -1 : wire_read(w, w->held + w->have, sizeof(w->held) - w->have);

		if (n <= 0)
			return false;
		w->have += (size_t)n;
	}
	memcpy(out, w->held, (size_t)(end - w->held));
	out[end - w->held] = '\0';
	w->have -= (size_t)(end - w->held) + 2;
	memmove(w->held, end + 2, w->have);
	return true;
}

static bool serve_tls(struct wire *w, const struct run *r)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	BIO *pem = BIO_new_mem_buf(r->certificate.at, (int)r->certificate.len);
	X509 *certificate = PEM_read_bio_X509(pem, NULL, NULL, NULL);

	SSL_CTX_use_certificate(ctx, certificate);
	SSL_CTX_use_PrivateKey(ctx, r->key);
	w->ssl = SSL_new(ctx);
	SSL_set_fd(w->ssl, w->fd);
	w->have = 0;
	if (SSL_accept(w->ssl) != 1)
		return false;
	/* A client that refuses the certificate may say so only after our side is through. */
	return true;
}

static bool serve_body(struct wire *w, size_t wanted)
{
	char line[4096];
	size_t bytes = 0;

	while (wire_line(w, line)) {
		if (strcmp(line, ".") == 0)
			return bytes == wanted;
		bytes += strlen(line) + 2 - (line[0] == '.');
	}
	return false;
}

static bool serve_step(struct wire *w, const struct run *r, const char *step)
{
	char line[4096];
	size_t wanted;

	if (strncmp(step, "S ", 2) == 0) {
		wire_write(w, step + 2, strlen(step + 2));
		wire_write(w, "\r\n", 2);
		return true;
	}
	if (strncmp(step, "C ", 2) == 0)
		return wire_line(w, line) && strcmp(line, step + 2) == 0;
	if (sscanf(step, "BODY %zu", &wanted) == 1)
		return serve_body(w, wanted);
	if (strcmp(step, "TLS") == 0)
		return serve_tls(w, r);
	if (strcmp(step, "TLS!") == 0)
		return !serve_tls(w, r) || !wire_line(w, line);
	if (strcmp(step, "NOISE") == 0) {
		/* Behind the ClientHello: before it, it would be taken for what it is. */
		if (read(w->fd, line, sizeof(line)) < 1)
			return false;
		wire_write(w, "this is not TLS\r\n", 17);
		return true;
	}
	if (strcmp(step, "MARK") == 0)
		return write(4, "m", 1) == 1;
	if (strcmp(step, "EOF") == 0)
		return !wire_line(w, line);
	shutdown(w->fd, SHUT_RDWR);
	return true;
}

static _Noreturn void serve(const struct run *r, const char *const *script, int fd)
{
	struct wire w = {.fd = fd};

	/* The ends of the test's links must end when the test ends them. */
	fd = fcntl(fd, F_DUPFD, 10);
	if (dup2(r->mark[1], 4) == -1 || dup2(fd, 3) == -1)
		_exit(2);
	w.fd = 3;
	close_range(5, ~0u, 0);
	signal(SIGPIPE, SIG_IGN);
	alarm(20);
	for (; *script != NULL; script++)
		if (!serve_step(&w, r, *script)) {
			fprintf(stderr, "server: not as in \"%s\"\n", *script);
			_exit(1);
		}
	_exit(0);
}

/* ---- the peers ---- */

static void on_dial(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;
	size_t i = r->dials++;
	int pair[2];

	assert_int_equal(m->type, IPC_DIAL_ASK);
	if (i >= r->server_count || r->servers[i] == NULL) {
		link_answer(link, m->request, IPC_DIALLED,
			    &(struct msg_DIALLED){OC_CONNECT_FAILED, slice_of("Connection refused")}, -1);
		return;
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	r->children[i] = fork();
	if (r->children[i] == 0)
		serve(r, r->servers[i], pair[1]);
	close(pair[1]);
	assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	link_answer(link, m->request, IPC_DIALLED, &(struct msg_DIALLED){OC_DONE, slice_empty()}, pair[0]);
}

static void add_records(const char *text, struct buf *out)
{
	struct slice rest = slice_of(text), one, preference;

	while (slice_cut(&rest, ',', &one)) {
		struct rec_mx_host rec = {.preference = 0};

		assert_true(slice_word(&one, &preference) && slice_u64(preference, 65535, &rec.preference));
		assert_true(slice_word(&one, &rec.name) && slice_word(&one, &rec.address));
		assert_true(rec_mx_host_add(out, &rec));
	}
}

static void on_resolver(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;
	struct buf records = buf_make(65000);
	struct slice text = r->records == NULL ? slice_of("so it says") : slice_empty();

	if (r->records != NULL)
		add_records(r->records, &records);
	if (m->type == IPC_MX_ASK)
		link_answer(link, m->request, IPC_MX_ANSWER,
			    &(struct msg_MX_ANSWER){r->dns, text, 0, buf_slice(&records)}, -1);
	else
		link_answer(link, m->request, IPC_HOST_ANSWER,
			    &(struct msg_HOST_ANSWER){r->dns, text, 0, buf_slice(&records)}, -1);
	buf_free(&records);
}

static void on_authd(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;
	struct msg_CREDENTIAL credential = {OC_DONE, slice_of("tim"), slice_of("tanstaaftanstaaf")};

	assert_int_equal(m->type, IPC_CREDENTIAL_ASK);
	assert_int_equal(m->body.CREDENTIAL_ASK.job, r->job);
	r->credentials_asked++;
	if (r->no_credential)
		credential = (struct msg_CREDENTIAL){OC_NOT_ALLOWED, slice_empty(), slice_empty()};
	link_answer(link, m->request, IPC_CREDENTIAL, &credential, -1);
}

static void keep(struct slice from, char *to, size_t size)
{
	assert_true(slice_copy(from, to, size));
}

static void on_queue(struct link *link, struct ipc_message *m, void *arg)
{
	struct run *r = arg;
	const struct msg_JOB_RECIPIENT *b = &m->body.JOB_RECIPIENT;
	struct said *said;

	(void)link;
	if (m->type == IPC_JOB_END) {
		assert_int_equal(m->body.JOB_END.job, r->job);
		r->ended = true;
		return;
	}
	assert_int_equal(m->type, IPC_JOB_RECIPIENT);
	assert_int_equal(b->job, r->job);
	assert_in_range(b->slot, 0, ARRAY_LEN(r->said) - 1);
	said = &r->said[b->slot];
	r->said_count++;
	said->outcome = b->outcome;
	said->code = b->code;
	keep(b->dsn, said->dsn, sizeof(said->dsn));
	keep(b->text, said->text, sizeof(said->text));
	keep(b->remote, said->remote, sizeof(said->remote));
	keep(b->detail, said->detail, sizeof(said->detail));
	for (const char *t = said->text; *t != '\0'; t++)
		assert_in_range(*t, ' ', '~');
}

/* ---- a job ---- */

static const char message[] = "HDR of the spool file\0Subject: hello\r\n\r\nbody\r\n.dot\r\nTRAILER";
#define BODY_OFFSET 22u
#define BODY_LENGTH 30u
static const char prepend[] = "Received: from a by b\r\n";
#define SENT_BYTES (BODY_LENGTH + sizeof(prepend) - 1)

static void give_file(struct run *r, const char *transport, const char *nexthop, const char *const *to,
		      uint64_t flags, int fd, uint64_t offset, uint64_t length)
{
	struct buf records = buf_make(65536);
	struct msg_JOB_START start = {.job = ++r->job,
				      .id = 77,
				      .generation = harness_generation(r->h),
				      .flags = flags,
				      .offset = offset,
				      .length = length};

	for (uint64_t i = 0; to[i] != NULL; i++)
		assert_true(rec_job_recipient_add(&records, &(struct rec_job_recipient){.slot = i,
											.recipient = slice_of(to[i]),
											.original = slice_empty(),
											.orcpt = slice_empty()}));
	start.transport = slice_of(transport);
	start.nexthop = slice_of(nexthop);
	start.sender = slice_of("s@example.test");
	start.envid = slice_empty();
	start.prepend = slice_of(prepend);
	start.job_recipient_records = buf_slice(&records);
	memset(r->said, 0, sizeof(r->said));
	r->said_count = 0;
	r->ended = false;
	assert_true(link_tell(r->queue, IPC_JOB_START, &start, fd));
	buf_free(&records);
}

static int nameless_file(const char *bytes, size_t len)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

static void give(struct run *r, const char *transport, const char *const *to)
{
	give_file(r, transport, "example.test", to, 0, nameless_file(message, sizeof(message)), BODY_OFFSET,
		  BODY_LENGTH);
	assert_true(harness_until(r->h, &r->ended));
}

static const char *const one[] = {"a@example.test", NULL};

/* Every server that was dialled saw what its script says. */
static void check_servers(struct run *r)
{
	assert_true(r->dials <= SERVERS_MAX);
	for (size_t i = 0; i < r->dials; i++) {
		int status;

		if (r->children[i] == 0)
			continue;
		assert_int_equal(waitpid(r->children[i], &status, 0), r->children[i]);
		if (status != 0)
			fail_msg("server %zu: status %d", i, status);
		r->children[i] = 0;
	}
}

static void check_one(const struct run *r, enum outcome outcome, uint64_t code, const char *dsn, const char *text)
{
	const struct said *s = &r->said[0];

	assert_int_equal(r->said_count, 1);
	if (s->outcome != outcome || s->code != code || strcmp(s->dsn, dsn) != 0 || strstr(s->text, text) == NULL)
		fail_msg("%zu dials: %s %u %s \"%s\" (%s)", r->dials, outcome_info(s->outcome)->name,
			 (unsigned)s->code, s->dsn, s->text, s->detail);
	assert_string_equal(s->remote, code == 0 ? "" : s->remote);
}

static void use(struct run *r, const char *records, const char *const *first, const char *const *second)
{
	r->records = records;
	r->dns = OC_DONE;
	r->servers[0] = first;
	r->servers[1] = second;
	r->server_count = second != NULL ? 2 : 1;
	r->dials = 0;
}

static bool as_root;

static int start(void **state)
{
	struct run *r = mem_new(1, sizeof(*r));
	struct harness_path paths[2];
	char why[512] = "";

	*state = r;
	assert_int_equal(pipe2(r->mark, O_CLOEXEC | O_NONBLOCK), 0);
	r->key = EVP_EC_gen("P-256");
	r->certificate = buf_make(1 << 16);
	test_certificate(r->key, "smtp.isp.test", -1000, 100000, &r->certificate);
	r->ca_fd = nameless_file(r->certificate.at, r->certificate.len);
	{
		EVP_PKEY *other = EVP_EC_gen("P-256");
		struct buf pem = buf_make(1 << 16);

		test_certificate(other, "smtp.isp.test", -1000, 100000, &pem);
		r->other_fd = nameless_file(pem.at, pem.len);
		buf_free(&pem);
		EVP_PKEY_free(other);
	}
	paths[0] = (struct harness_path){"/x/ca", r->ca_fd};
	paths[1] = (struct harness_path){"/x/other", r->other_fd};
	r->h = harness_start(&(struct harness_spec){ROLE_RELAY, RELAY, conf, paths, ARRAY_LEN(paths), as_root}, why,
			     sizeof(why));
	if (r->h == NULL) {
		fprintf(stderr, "%s\n", why);
		return -1;
	}
	r->queue = harness_peer(r->h, ROLE_QUEUE, 0, on_queue, r);
	r->resolver = harness_peer(r->h, ROLE_RESOLVER, 0, on_resolver, r);
	r->dial = harness_peer(r->h, ROLE_DIAL, 0, on_dial, r);
	r->authd = harness_peer(r->h, ROLE_AUTHD, 0, on_authd, r);
	return 0;
}

static int stop(void **state)
{
	struct run *r = *state;

	harness_stop(&r->h);
	close(r->ca_fd);
	close(r->other_fd);
	close(r->mark[0]);
	close(r->mark[1]);
	buf_free(&r->certificate);
	EVP_PKEY_free(r->key);
	free(r);
	return 0;
}

/* The server came to its MARK. */
static void wait_for_mark(struct run *r)
{
	char byte;

	while (read(r->mark[0], &byte, 1) != 1)
		loop_turn(harness_loop(r->h));
}

/* ---- stories ---- */

#define TWO_HOSTS "10 mx1.example.test 198.51.100.1, 20 mx2.example.test 198.51.100.2"
#define ONE_HOST "10 mx1.example.test 198.51.100.1"
#define ENVELOPE \
	"C MAIL FROM:<s@example.test>", "S 250 ok", "C RCPT TO:<a@example.test>", "S 250 ok", "C DATA", "S 354 go"
#define HELLO "S 220 mx ESMTP", "C EHLO here.example.test"

static void test_two_messages_on_one_connection(void **state)
{
	static const char *const server[] = {HELLO,    "S 250-mx", "S 250 PIPELINING",
					     ENVELOPE, "BODY 53",  "S 250 2.0.0 taken as 1",
					     ENVELOPE, "BODY 53",  "S 450 4.2.1 not now",
					     "CLOSE",  NULL};
	struct run *r = *state;

	assert_int_equal(SENT_BYTES, 53);
	use(r, TWO_HOSTS, server, NULL);
	give(r, "mx", one);
	check_one(r, OC_DONE, 250, "2.0.0", "taken as 1");
	assert_string_equal(r->said[0].remote, "mx1.example.test");
	assert_non_null(strstr(r->said[0].detail, "mx1.example.test [198.51.100.1]"));
	give(r, "mx", one);
	check_one(r, OC_REMOTE_TEMP, 450, "4.2.1", "not now");
	assert_int_equal(r->dials, 1);
	check_servers(r);
}

static void test_the_next_host(void **state)
{
	static const char *const busy[] = {"S 421 4.3.2 busy", "EOF", NULL};
	static const char *const server[] = {HELLO, "S 250 mx", ENVELOPE, "BODY 53", "S 250 taken", "CLOSE", NULL};
	struct run *r = *state;

	use(r, TWO_HOSTS, busy, server);
	give(r, "mx", one);
	check_one(r, OC_DONE, 250, "", "taken");
	assert_string_equal(r->said[0].remote, "mx2.example.test");
	check_servers(r);

	use(r, TWO_HOSTS, NULL, NULL);
	give(r, "mx", one);
	check_one(r, OC_CONNECT_FAILED, 0, "", "Connection refused");
	assert_int_equal(r->dials, 2);
	check_servers(r);
}

static void test_refused_by_all_hosts_or_by_some(void **state)
{
	static const char *const closed[] = {"S 521 5.3.2 no mail here", "C QUIT", NULL};
	struct run *r = *state;

	use(r, TWO_HOSTS, closed, closed);
	give(r, "mx", one);
	check_one(r, OC_REMOTE_PERM, 521, "5.3.2", "no mail here");
	check_servers(r);
	use(r, TWO_HOSTS, closed, NULL);
	give(r, "mx", one);
	check_one(r, OC_CONNECT_FAILED, 0, "", "Connection refused");
	check_servers(r);
}

static void test_what_dns_says(void **state)
{
	static const struct {
		const char *transport, *records;
		enum outcome dns, outcome;
	} cases[] = {
		{"mx", NULL, OC_NO_SUCH_DOMAIN, OC_NO_SUCH_DOMAIN},
		{"mx", NULL, OC_NULL_MX, OC_NULL_MX},
		{"mx", NULL, OC_DNS_UNKNOWN, OC_DNS_UNKNOWN},
		{"mx", NULL, OC_POLICY_REJECT, OC_DNS_UNKNOWN}, /* nothing the resolver may say */
		{"isp", NULL, OC_NO_SUCH_DOMAIN, OC_DNS_UNKNOWN}, /* our own configuration's fault */
		{"mx", "10 here.example.test 198.51.100.1, 20 b.test 198.51.100.2", OC_DONE, OC_ROUTE_LOOP},
		{"mx", "10 a.test 127.0.0.1", OC_DONE, OC_NO_SUCH_DOMAIN},
		{"isp", "0 smtp.isp.test 127.0.0.1", OC_DONE, OC_DNS_UNKNOWN},
		{"mx", "", OC_DONE, OC_NO_SUCH_DOMAIN},
	};
	struct run *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		use(r, cases[i].records, NULL, NULL);
		r->dns = cases[i].dns;
		give(r, cases[i].transport, one);
		if (r->said[0].outcome != cases[i].outcome)
			fail_msg("case %zu: %s", i, outcome_info(r->said[0].outcome)->name);
		assert_int_equal(r->said[0].code, 0);
		assert_int_equal(r->dials, 0);
	}
}

static void test_an_old_connection_that_died(void **state)
{
	static const char *const first[] = {HELLO,     "S 250 mx",    ENVELOPE,
					    "BODY 53", "S 250 taken", "C MAIL FROM:<s@example.test>",
					    "CLOSE",   NULL};
	static const char *const second[] = {HELLO,   "S 250 mx", ENVELOPE, "BODY 53", "S 250 taken again",
					     "CLOSE", NULL};
	struct run *r = *state;

	use(r, ONE_HOST, first, second);
	give(r, "mx", one);
	check_one(r, OC_DONE, 250, "", "taken");
	give(r, "mx", one);
	check_one(r, OC_DONE, 250, "", "taken again");
	assert_int_equal(r->dials, 2);
	check_servers(r);
}

static void test_lost_after_the_dot(void **state)
{
	static const char *const server[] = {HELLO, "S 250 mx", ENVELOPE, "BODY 53", "CLOSE", NULL};
	struct run *r = *state;

	use(r, TWO_HOSTS, server, NULL);
	give(r, "mx", one);
	check_one(r, OC_CONNECTION_LOST, 0, "", "it may have taken the message");
	assert_int_equal(r->dials, 1); /* no other host: that would make two of it */
	check_servers(r);
}

static void test_lmtp(void **state)
{
	static const char *const server[] = {"S 220 store LMTP",
					     "C LHLO here.example.test",
					     "S 250-store",
					     "S 250 PIPELINING",
					     "C MAIL FROM:<s@example.test>",
					     "C RCPT TO:<a@example.test>",
					     "C RCPT TO:<b@example.test>",
					     "C RCPT TO:<c@example.test>",
					     "C DATA",
					     "S 250 ok",
					     "S 250 ok",
					     "S 550 5.1.1 who",
					     "S 250 ok",
					     "S 354 go",
					     "BODY 53",
					     "S 250 2.0.0 saved",
					     "S 552 5.2.2 quota",
					     "CLOSE",
					     NULL};
	static const char *const three[] = {"a@example.test", "b@example.test", "c@example.test", NULL};
	struct run *r = *state;

	use(r, NULL, server, NULL);
	give(r, "store", three);
	assert_int_equal(r->said_count, 3);
	assert_int_equal(r->said[0].outcome, OC_DONE);
	assert_int_equal(r->said[1].outcome, OC_REMOTE_PERM);
	assert_string_equal(r->said[1].text, "who");
	assert_int_equal(r->said[2].outcome, OC_REMOTE_PERM);
	assert_string_equal(r->said[2].dsn, "5.2.2");
	check_servers(r);
}

#define ISP "0 smtp.isp.test 198.51.100.5"
#define STARTTLS HELLO, "S 250-mx", "S 250-AUTH PLAIN", "S 250 STARTTLS", "C STARTTLS", "S 220 go"

static void test_verified_tls_with_a_login(void **state)
{
	static const char *const server[] = {STARTTLS,
					     "TLS",
					     "C EHLO here.example.test",
					     "S 250-mx",
					     "S 250-PIPELINING",
					     "S 250 AUTH LOGIN PLAIN",
					     "C AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
					     "S 235 2.7.0 welcome",
					     ENVELOPE,
					     "BODY 53",
					     "S 250 taken",
					     "CLOSE",
					     NULL};
	struct run *r = *state;

	use(r, ISP, server, NULL);
	give(r, "isp", one);
	check_one(r, OC_DONE, 250, "", "taken");
	assert_non_null(strstr(r->said[0].detail, " verified"));
	assert_int_equal(r->credentials_asked, 1);
	check_servers(r);
}

static void test_implicit_tls(void **state)
{
	static const char *const server[] = {"TLS",	HELLO,	       "S 250 mx", ENVELOPE,
					     "BODY 53", "S 250 taken", "CLOSE",	   NULL};
	struct run *r = *state;

	use(r, ISP, server, NULL);
	give(r, "wrapped", one);
	check_one(r, OC_DONE, 250, "", "taken");
	check_servers(r);
}

/* T05: what each policy does where TLS is not to be had or not good. */
static void test_tls_that_is_not_good(void **state)
{
	static const char *const bad[] = {STARTTLS, "TLS!", NULL};
	static const char *const stripped[] = {HELLO, "S 250-mx", "S 250 PIPELINING", "C QUIT", "EOF", NULL};
	static const char *const refused[] = {STARTTLS, "NOISE", "EOF", NULL};
	static const char *const injected[] = {
		HELLO, "S 250-mx", "S 250 STARTTLS", "C STARTTLS", "S 220 go\r\n250-mx\r\n250 AUTH PLAIN",
		"EOF", NULL};
	static const struct {
		const char *name, *transport;
		const char *const *server;
		enum outcome outcome;
	} cases[] = {
		{"another CA", "system", bad, OC_REMOTE_TLS},
		{"another name", "other", bad, OC_REMOTE_TLS},
		{"stripped, verified", "isp", stripped, OC_REMOTE_TLS},
		{"stripped, required", "required", stripped, OC_REMOTE_TLS},
		{"noise, required", "required", refused, OC_REMOTE_TLS},
		{"injected, verified", "isp", injected, OC_REMOTE_PROTOCOL},
		{"injected, optional", "opt", injected, OC_REMOTE_PROTOCOL},
	};
	struct run *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		use(r, ISP, cases[i].server, NULL);
		give(r, cases[i].transport, one);
		if (r->said[0].outcome != cases[i].outcome)
			fail_msg("%s: %s \"%s\"", cases[i].name, outcome_info(r->said[0].outcome)->name,
				 r->said[0].text);
		check_servers(r);
		assert_int_equal(r->dials, 1);
	}
	assert_int_equal(r->credentials_asked, 0);
}

static void test_required_takes_any_certificate(void **state)
{
	static const char *const server[] = {STARTTLS,	    "TLS",    "C EHLO here.example.test",
					     "S 250 mx",    ENVELOPE, "BODY 53",
					     "S 250 taken", "CLOSE",  NULL};
	struct run *r = *state;

	use(r, ISP, server, NULL);
	give(r, "required", one);
	check_one(r, OC_DONE, 250, "", "taken");
	assert_non_null(strstr(r->said[0].detail, "not verified"));
	check_servers(r);
}

static void test_optional_falls_back_once(void **state)
{
	static const char *const broken[] = {STARTTLS, "NOISE", "EOF", NULL};
	static const char *const clear[] = {HELLO,     "S 250-mx",    "S 250 STARTTLS", ENVELOPE,
					    "BODY 53", "S 250 taken", "CLOSE",		NULL};
	struct run *r = *state;

	use(r, ONE_HOST, broken, clear);
	give(r, "opt", one);
	check_one(r, OC_DONE, 250, "", "taken");
	assert_int_equal(r->dials, 2);
	check_servers(r);
}

static void test_login_refused(void **state)
{
	static const char *const refused[] = {STARTTLS,
					      "TLS",
					      "C EHLO here.example.test",
					      "S 250-mx",
					      "S 250 AUTH PLAIN LOGIN",
					      "C AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm",
					      "S 535 5.7.8 no",
					      "C QUIT",
					      NULL};
	static const char *const unasked[] = {
		STARTTLS, "TLS", "C EHLO here.example.test", "S 250-mx", "S 250 AUTH PLAIN LOGIN", "C QUIT", NULL};
	struct run *r = *state;

	use(r, ISP, refused, NULL);
	give(r, "isp", one);
	check_one(r, OC_REMOTE_LOGIN, 451, "", "no");
	check_servers(r);
	use(r, ISP, unasked, NULL);
	r->no_credential = true;
	give(r, "isp", one);
	check_one(r, OC_AUTH_UNAVAILABLE, 0, "", "no credential for transport isp");
	check_servers(r);
}

static void test_a_large_message(void **state)
{
	static const char *const server[] = {HELLO,
					     "S 250-mx",
					     "S 250-SIZE 10000000",
					     "S 250 8BITMIME",
					     "C MAIL FROM:<s@example.test> SIZE=3000023 BODY=8BITMIME",
					     "S 250 ok",
					     "C RCPT TO:<a@example.test>",
					     "S 250 ok",
					     "C DATA",
					     "S 354 go",
					     "BODY 3000023",
					     "S 250 taken",
					     "CLOSE",
					     NULL};
	struct run *r = *state;
	char *body = mem_new(3000000, 1);

	memset(body, '.', 3000000);
	for (size_t i = 70; i < 3000000; i += 100)
		memcpy(body + i, "\r\n", 2);
	memcpy(body + 2999998, "\r\n", 2);
	use(r, ONE_HOST, server, NULL);
	give_file(r, "mx", "example.test", one, JOB_8BIT, nameless_file(body, 3000000), 0, 3000000);
	assert_true(harness_until(r->h, &r->ended));
	check_one(r, OC_DONE, 250, "", "taken");
	check_servers(r);
	free(body);
}

/* The file is shorter than the job says: the peer gets no dot, so it has no message. */
static void test_a_message_that_cannot_be_read(void **state)
{
	static const char *const server[] = {
		HELLO,	   "S 250 mx", ENVELOPE, "C Received: from a by b", "C Subject: hello", "C ", "C body",
		"C ..dot", "EOF",      NULL};
	struct run *r = *state;

	use(r, ONE_HOST, server, NULL);
	give_file(r, "mx", "example.test", one, 0, nameless_file(message + BODY_OFFSET, BODY_LENGTH), 0,
		  BODY_LENGTH + 1000);
	assert_true(harness_until(r->h, &r->ended));
	check_one(r, OC_IO_ERROR, 0, "", "cannot be read");
	check_servers(r);
}

static void test_jobs_that_cannot_be(void **state)
{
	struct run *r = *state;

	use(r, ONE_HOST, NULL, NULL);
	give(r, "no-such-transport", one);
	check_one(r, OC_UNAVAILABLE, 0, "", "");
	assert_int_equal(r->dials, 0);
	harness_detach(r->h, r->resolver);
	r->resolver = harness_peer(r->h, ROLE_RESOLVER, 0, on_resolver, r);
	give(r, "mx", one);
	check_one(r, OC_CONNECT_FAILED, 0, "", "refused");
}

/* The queue dies with a mail half said: the peer gets no dot, and the next queue is served. */
static void test_the_queue_goes(void **state)
{
	static const char *const silent[] = {HELLO, "S 250 mx", "C MAIL FROM:<s@example.test>", "MARK", "EOF", NULL};
	static const char *const server[] = {HELLO, "S 250 mx", ENVELOPE, "BODY 53", "S 250 taken", "CLOSE", NULL};
	struct run *r = *state;

	use(r, ONE_HOST, silent, server);
	give_file(r, "mx", "example.test", one, 0, nameless_file(message, sizeof(message)), BODY_OFFSET, BODY_LENGTH);
	wait_for_mark(r);
	harness_detach(r->h, r->queue);
	r->queue = harness_peer(r->h, ROLE_QUEUE, 0, on_queue, r);
	give(r, "mx", one);
	check_one(r, OC_DONE, 250, "", "taken");
	check_servers(r);
}

static void test_another_generation(void **state)
{
	static const char *const server[] = {HELLO, "S 250 mx", ENVELOPE, "BODY 53", "S 250 taken", "C QUIT", NULL};
	struct harness_path paths[2];
	struct run *r = *state;
	char why[512];

	paths[0] = (struct harness_path){"/x/ca", r->ca_fd};
	paths[1] = (struct harness_path){"/x/other", r->other_fd};
	use(r, ONE_HOST, server, server);
	give(r, "mx", one);
	check_one(r, OC_DONE, 250, "", "taken");
	/* The connection that idles belongs to the old one. */
	assert_true(harness_reload(r->h, conf, paths, 2, why, sizeof(why)));
	give(r, "mx", one);
	check_one(r, OC_DONE, 250, "", "taken");
	assert_int_equal(r->dials, 2);
	assert_false(harness_reload(r->h, conf, paths, 1, why, sizeof(why)));
	assert_non_null(strstr(why, "/x/other"));
	assert_true(harness_reload(r->h, conf, paths, 2, why, sizeof(why)));
	check_servers(r);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

static int play(bool root)
{
	const struct CMUnitTest tests[] = {
		STORY(test_two_messages_on_one_connection),
		STORY(test_the_next_host),
		STORY(test_refused_by_all_hosts_or_by_some),
		STORY(test_what_dns_says),
		STORY(test_an_old_connection_that_died),
		STORY(test_lost_after_the_dot),
		STORY(test_lmtp),
		STORY(test_verified_tls_with_a_login),
		STORY(test_implicit_tls),
		STORY(test_tls_that_is_not_good),
		STORY(test_required_takes_any_certificate),
		STORY(test_optional_falls_back_once),
		STORY(test_login_refused),
		STORY(test_a_large_message),
		STORY(test_a_message_that_cannot_be_read),
		STORY(test_jobs_that_cannot_be),
		STORY(test_the_queue_goes),
		STORY(test_another_generation),
	};

	as_root = root;
	return cmocka_run_group_tests_name(root ? "relay as root" : "relay as the caller", tests, NULL, NULL);
}

int main(void)
{
	int failures = play(false);

	signal(SIGPIPE, SIG_IGN);
	if (geteuid() == 0)
		failures += play(true);
	printf("ROW T05 relay-process %s\n", failures == 0 ? "pass" : "fail");
	printf("ROW T02 relay-process %s\n", failures == 0 ? "pass" : "fail");
	return failures;
}
