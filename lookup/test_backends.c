#include "backend.h"
#include "bridge.h"
#include "socketmap.h"
#include "stream.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- socketmap ---- */

static const struct {
	const char *bytes, *text;
	enum socketmap_end end;
	size_t used;
} replies[] = {
	{"", "", SOCKETMAP_MORE, 0}, {"1", "", SOCKETMAP_MORE, 0}, {"16:OK alice@x.test,", "", SOCKETMAP_MORE, 0}, {"14:OK alice@x.test,", "", SOCKETMAP_BAD, 0},
	{"15:OK alice@x.test,", "alice@x.test", SOCKETMAP_YES, 19}, {"15:OK alice@x.test,1:", "alice@x.test", SOCKETMAP_YES, 19},
	{"9:NOTFOUND ,", "", SOCKETMAP_NO, 12}, {"8:NOTFOUND,", "", SOCKETMAP_NO, 11}, {"2:OK,", "", SOCKETMAP_YES, 5},
	{"9:TEMP down,", "down", SOCKETMAP_UNKNOWN, 12}, {"12:TIMEOUT slow,", "slow", SOCKETMAP_UNKNOWN, 16},
	{"8:PERM bad,", "bad", SOCKETMAP_UNKNOWN, 11}, {"4:YES ,", "", SOCKETMAP_BAD, 0}, {"02:OK,", "", SOCKETMAP_BAD, 0},
	{"x", "", SOCKETMAP_BAD, 0}, {":", "", SOCKETMAP_BAD, 0}, {"-1:", "", SOCKETMAP_BAD, 0}, {"99999:", "", SOCKETMAP_BAD, 0},
	{"999999", "", SOCKETMAP_BAD, 0}, {"65600:", "", SOCKETMAP_MORE, 0}, {"2:OK;", "", SOCKETMAP_BAD, 0}, {"0:,", "", SOCKETMAP_BAD, 0},
};

static void test_socketmap_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		struct slice text = slice_empty();
		size_t used = 0;
		enum socketmap_end end = socketmap_reply(slice_of(replies[i].bytes), &text, &used);
		bool whole = end == SOCKETMAP_YES || end == SOCKETMAP_NO || end == SOCKETMAP_UNKNOWN;

		if (end != replies[i].end || (whole && (used != replies[i].used || !slice_eq(text, slice_of(replies[i].text)))))
			fail_msg("%s: %d %zu \"%.*s\"", replies[i].bytes, (int)end, used, SLICE_ARG(text));
	}
}

static void test_every_truncation(void **state)
{
	static const char whole[] = "15:OK alice@x.test,";
	struct slice text;
	size_t used;

	(void)state;
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
		assert_int_equal(socketmap_reply(slice_make(whole, len), &text, &used), SOCKETMAP_MORE);
}

/* ---- a connection ---- */

struct play {
	const struct backend_kind *kind;
	const struct conf_backend *conf;
	int peer;
	void *connection;
};

static struct play open_secure(const struct backend_kind *kind, const struct conf_backend *conf, const char *user, struct tls_client *tls)
{
	static const struct conf_ldap_server server = {.host = "db.example.test", .port = 5432};
	struct play p = {kind, conf, -1, NULL};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	p.peer = pair[1];
	p.connection = kind->open(&(struct backend_opening){.conf = conf,
							     .server = &server,
							     .user = slice_of(user),
							     .secret = slice_of(user[0] != '\0' ? "secret" : ""),
							     .tls = tls},
				  pair[0]);
	assert_non_null(p.connection);
	return p;
}

static struct play open_play(const struct backend_kind *kind, const struct conf_backend *conf, const char *user)
{
	return open_secure(kind, conf, user, NULL);
}

static void close_play(struct play *p)
{
	p->kind->close(p->connection);
	close(p->peer);
}

static void say(struct play *p, struct slice bytes)
{
	assert_int_equal(write(p->peer, bytes.at, bytes.len), (ssize_t)bytes.len);
}

static void expect_said(struct play *p, const char *want)
{
	char got[4096];
	ssize_t n = read(p->peer, got, sizeof(got));

	if (n == -1)
		n = 0;
	if (!slice_eq(slice_make(got, (size_t)n), slice_of(want)))
		fail_msg("said \"%.*s\", not \"%s\"", (int)n, got, want);
}

static void expect_step(struct play *p, enum backend_want want, enum outcome oc, const char *value)
{
	struct backend_answer answer = {OC_UNAVAILABLE, buf_make(BACKEND_VALUE_MAX), ""};
	enum backend_want got = p->kind->step(p->connection, &answer);

	if (got != want || (want == BACKEND_ANSWER && (answer.oc != oc || (oc == OC_DONE && !slice_eq(buf_slice(&answer.value), slice_of(value))))) ||
	    ((want == BACKEND_BROKEN || oc == OC_UNAVAILABLE) && value != NULL && strcmp(answer.why, value) != 0))
		fail_msg("step %d, outcome %d \"%s\" \"%s\"", (int)got, (int)answer.oc, buf_text(&answer.value), answer.why);
	buf_free(&answer.value);
}

static const struct conf_backend map_conf = {.map = "virtual"};
static const struct conf_backend get_conf = {.key = "alias:?:v"}, hget_conf = {.key = "?", .hash = "aliases", .number = 3};

static void test_socketmap(void **state)
{
	struct play p = open_play(&backend_socketmap, &map_conf, "");

	(void)state;
	expect_step(&p, BACKEND_READY, OC_DONE, NULL);
	assert_true(p.kind->ask(p.connection, slice_of("a b,c")));
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	expect_said(&p, "13:virtual a b,c,");
	say(&p, slice_of("8:OK fi"));
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	say(&p, slice_of("ne!,"));
	expect_step(&p, BACKEND_ANSWER, OC_DONE, "fine!");
	assert_true(p.kind->ask(p.connection, slice_of("x")));
	say(&p, slice_of("9:TEMP down,"));
	expect_step(&p, BACKEND_ANSWER, OC_UNAVAILABLE, "the server says: down");
	assert_true(p.kind->ask(p.connection, slice_of("y")));
	say(&p, slice_of("9:NOTFOUND ,2:OK,"));
	expect_step(&p, BACKEND_BROKEN, OC_DONE, "the server said more than was asked");
	close_play(&p);
	p = open_play(&backend_socketmap, &map_conf, "");
	say(&p, slice_of("2:OK,"));
	expect_step(&p, BACKEND_BROKEN, OC_DONE, "the server said what was not asked");
	close_play(&p);
}

static void test_redis(void **state)
{
	struct play p = open_play(&backend_redis, &get_conf, "");

	(void)state;
	expect_step(&p, BACKEND_READY, OC_DONE, NULL);
	assert_true(p.kind->ask(p.connection, slice_of("a\r\nDEL x")));
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	expect_said(&p, "*2\r\n$3\r\nGET\r\n$16\r\nalias:a\r\nDEL x:v\r\n");
	say(&p, slice_of("$5\r\nal"));
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	say(&p, slice_of("ice\r\n"));
	expect_step(&p, BACKEND_ANSWER, OC_DONE, "alice");
	assert_true(p.kind->ask(p.connection, slice_of("b")));
	say(&p, slice_of("$-1\r\n"));
	expect_step(&p, BACKEND_ANSWER, OC_NOT_FOUND, NULL);
	assert_true(p.kind->ask(p.connection, slice_of("c")));
	say(&p, slice_of("-WRONGTYPE no\r\n"));
	expect_step(&p, BACKEND_ANSWER, OC_UNAVAILABLE, "the server says: WRONGTYPE no");
	assert_true(p.kind->ask(p.connection, slice_of("d")));
	say(&p, slice_of("*1\r\n$1\r\nx\r\n"));
	expect_step(&p, BACKEND_ANSWER, OC_UNAVAILABLE, "the answer is no text");
	assert_true(p.kind->ask(p.connection, slice_of("e")));
	say(&p, slice_of("?what\r\n"));
	expect_step(&p, BACKEND_BROKEN, OC_DONE, "the answer is malformed");
	close_play(&p);
	print_message("ROW M01 redis-arguments pass\n");
}

static void test_redis_login(void **state)
{
	struct play p = open_play(&backend_redis, &hget_conf, "user");

	(void)state;
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	expect_said(&p, "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$6\r\nsecret\r\n");
	say(&p, slice_of("+OK\r\n"));
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	expect_said(&p, "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
	say(&p, slice_of("+OK\r\n"));
	expect_step(&p, BACKEND_READY, OC_DONE, NULL);
	assert_true(p.kind->ask(p.connection, slice_of("k")));
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	expect_said(&p, "*3\r\n$4\r\nHGET\r\n$7\r\naliases\r\n$1\r\nk\r\n");
	close_play(&p);
	p = open_play(&backend_redis, &get_conf, "user");
	say(&p, slice_of("-WRONGPASS no\r\n"));
	expect_step(&p, BACKEND_BROKEN, OC_DONE, "login: WRONGPASS no");
	close_play(&p);
}

/* libpq speaks over the connection that it is given, and the program has no other way to make one. */
static void test_postgresql_connection(void **state)
{
	static const struct conf_backend conf = {.query = "select v from t where k = ? and x = '?'", .database = "mail", .timeout_ms = 5000};
	struct play p = open_play(&backend_postgresql, &conf, "user");
	char got[512];
	ssize_t n;

	(void)state;
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	n = read(p.peer, got, sizeof(got));
	assert_true(n > 8 && slice_find(slice_make(got, (size_t)n), slice_make("user\0user\0database\0mail", 23)) != SLICE_NONE);
	close_play(&p);
	errno = 0;
	assert_int_equal(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), -1);
	assert_int_equal(errno, EAFNOSUPPORT);
	p = open_play(&backend_postgresql, &conf, "user");
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	close(p.peer);
	p.peer = dup(0);
	expect_step(&p, BACKEND_BROKEN, OC_DONE, NULL);
	close_play(&p);
}

/* ---- TLS that does not begin ---- */

static struct tls_client *any_client(void)
{
	char why[TLS_WHY_BYTES];
	struct tls_client *client;

	tls_prepare();
	client = tls_client_new(&(struct tls_client_config){.verify = false}, why);
	assert_non_null(client);
	return client;
}

/* Whatever stands in the way, and whoever puts words before TLS: broken, and not a byte of ours was said in clear. */
static void test_postgresql_without_tls(void **state)
{
	static const struct conf_backend conf = {.query = "select v from t where k = ?", .database = "mail", .timeout_ms = 5000};
	static const struct {
		const char *bytes, *why;
		size_t len;
	} cases[] = {
		{"N", "TLS: the server speaks no TLS", 1},
		{"ESFATAL", "TLS: the server does not answer whether it speaks TLS", 7},
		{"SR\0\0\0\x08\0\0\0\0", "TLS: TLS handshake failed: wrong version number", 10},
	};
	struct tls_client *client = any_client();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct play p = open_secure(&backend_postgresql, &conf, "user", client);
		struct slice said;
		char got[4096];
		ssize_t n;

		expect_step(&p, BACKEND_READ, OC_DONE, NULL);
		assert_int_equal(read(p.peer, got, sizeof(got)), 8); /* SSLRequest, and no login behind it */
		assert_memory_equal(got, "\0\0\0\x08\x04\xd2\x16\x2f", 8);
		say(&p, slice_make(cases[i].bytes, cases[i].len));
		expect_step(&p, BACKEND_BROKEN, OC_DONE, cases[i].why);
		n = read(p.peer, got, sizeof(got));
		said = slice_make(got, n > 0 ? (size_t)n : 0);
		assert_true(said.len == 0 || said.at[0] == 0x16); /* a record of a handshake (RFC 8446 §5.1) */
		assert_true(slice_find(said, slice_of("database")) == SLICE_NONE);
		close_play(&p);
	}
	tls_client_free(&client);
}

static void test_redis_without_tls(void **state)
{
	struct tls_client *client = any_client();
	struct play p = open_secure(&backend_redis, &get_conf, "user", client);
	char got[4096];
	ssize_t n;

	(void)state;
	expect_step(&p, BACKEND_READ, OC_DONE, NULL);
	n = read(p.peer, got, sizeof(got));
	assert_true(n > 0 && got[0] == 0x16 && slice_find(slice_make(got, (size_t)n), slice_of("AUTH")) == SLICE_NONE);
	say(&p, slice_of("-ERR unknown command\r\n"));
	expect_step(&p, BACKEND_BROKEN, OC_DONE, "TLS handshake failed: wrong version number");
	close_play(&p);
	tls_client_free(&client);
}

/* ---- a directory's answers ---- */

#define ENTRY_PERSON                                                                                                                     \
	"\x30\x31\x02\x01\x01\x64\x2c\x04\x04\x63\x6e\x3d\x61\x30\x24\x30\x15\x04\x0bobjectClass\x31\x06\x04\x04Some\x30\x0b\x04\x02" \
	"cn\x31\x05\x04\x03"
#define DONE(code) "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01" code "\x04\x00\x04\x00"

static void test_ldap_answers(void **state)
{
	static const struct conf_backend conf = {
		.base = "dc=x", .filter = "(mail=?)", .attribute = "cn", .object_class = "some", .timeout_ms = 5000},
	       other = {.base = "dc=x", .filter = "(mail=?)", .attribute = "cn", .object_class = "other", .timeout_ms = 5000};
	static const struct {
		const struct conf_backend *conf;
		const char *bytes, *value;
		size_t len;
		enum backend_want want;
		enum outcome oc;
	} cases[] = {
#define CASE(conf, bytes, want, oc, value) {conf, bytes, value, sizeof(bytes) - 1, want, oc}
		CASE(&conf, DONE("\0"), BACKEND_ANSWER, OC_NOT_FOUND, NULL),
		CASE(&conf, ENTRY_PERSON "abc" DONE("\0"), BACKEND_ANSWER, OC_DONE, "abc"),
		CASE(&conf, ENTRY_PERSON "abc" ENTRY_PERSON "def" DONE("\0"), BACKEND_ANSWER, OC_DONE, "abc,def"),
		CASE(&other, ENTRY_PERSON "abc" DONE("\0"), BACKEND_ANSWER, OC_NOT_FOUND, NULL),
		CASE(&conf, ENTRY_PERSON "a\0c" DONE("\0"), BACKEND_ANSWER, OC_UNAVAILABLE, NULL),
		CASE(&conf, ENTRY_PERSON "abc" DONE("\x04"), BACKEND_ANSWER, OC_UNAVAILABLE, NULL), /* sizeLimitExceeded */
		CASE(&conf, ENTRY_PERSON "abc" DONE("\x33"), BACKEND_BROKEN, OC_UNAVAILABLE, NULL), /* busy */
		CASE(&conf, ENTRY_PERSON "abc", BACKEND_BROKEN, OC_UNAVAILABLE, NULL), /* and no end */
		CASE(&conf, "what", BACKEND_BROKEN, OC_UNAVAILABLE, NULL),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct play p = open_play(&backend_ldap, cases[i].conf, "");

		expect_step(&p, BACKEND_READY, OC_DONE, NULL);
		assert_true(p.kind->ask(p.connection, slice_of("a*")));
		say(&p, slice_make(cases[i].bytes, cases[i].len));
		assert_int_equal(shutdown(p.peer, SHUT_WR), 0);
		expect_step(&p, cases[i].want, cases[i].oc, cases[i].value);
		close_play(&p);
	}
}

/* ---- PostgreSQL's first message, before libpq has it ---- */

#define SASL(len, words) "R\0\0\0" len "\0\0\0\n" words

static void expect_first(const char *bytes, size_t len, const char *want, size_t want_len)
{
	struct buf in = buf_make(4096);

	for (size_t n = 0; n <= len; n++) {
		buf_clear(&in);
		buf_add(&in, bytes, n);
		if (n < len && bytes[0] == 'R')
			assert_false(n < 9 && bridge_first_message(&in));
	}
	assert_true(bridge_first_message(&in));
	assert_int_equal(in.len, want_len);
	assert_memory_equal(in.at, want, want_len);
	buf_free(&in);
}

static void test_first_message(void **state)
{
	static const struct {
		const char *bytes, *want;
		size_t len, want_len;
	} cases[] = {
#define CASE(bytes, want) {bytes, want, sizeof(bytes) - 1, sizeof(want) - 1}
		CASE(SASL("\x2a", "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), SASL("\x17", "SCRAM-SHA-256\0\0")),
		CASE(SASL("\x2a", "SCRAM-SHA-256\0SCRAM-SHA-256-PLUS\0\0") "R\0", SASL("\x17", "SCRAM-SHA-256\0\0") "R\0"),
		CASE(SASL("\x17", "SCRAM-SHA-256\0\0"), SASL("\x17", "SCRAM-SHA-256\0\0")),
		CASE(SASL("\x1a", "SCRAM-SHA-256-PLUS"), SASL("\x08", "")),
		CASE("R\0\0\0\x08\0\0\0\0Z", "R\0\0\0\x08\0\0\0\0Z"),
		CASE("R\0\0\0\x04\0\0\0\nZ", "R\0\0\0\x04\0\0\0\nZ"),
		CASE("R\xff\xff\xff\xff\0\0\0\nZ", "R\xff\xff\xff\xff\0\0\0\nZ"),
		CASE("EFATAL", "EFATAL"),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_first(cases[i].bytes, cases[i].len, cases[i].want, cases[i].want_len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socketmap_replies), cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_socketmap),
		cmocka_unit_test(test_redis),		  cmocka_unit_test(test_redis_login),	   cmocka_unit_test(test_postgresql_connection),
		cmocka_unit_test(test_first_message),	   cmocka_unit_test(test_ldap_answers),
		cmocka_unit_test(test_postgresql_without_tls), cmocka_unit_test(test_redis_without_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
