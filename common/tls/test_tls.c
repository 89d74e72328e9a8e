/* One connection: what works, what must fail, what a peer may try. */
#include "tls/test_pair.h"
#include "tls/test_certificate.h"

#include "base/mem.h"
#include "os/cage.h"

#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME PAIR_NAME
#define YEAR_S (365L * 24 * 3600)

static EVP_PKEY *rsa_key, *ec_key, *other_key;
static struct buf rsa_pem, ec_pem;

static void assert_plain(const struct side *s, const char *text)
{
	assert_true(slice_eq(buf_slice(&s->plain), slice_of(text)));
}

/* ---- what works ---- */

static const struct {
	const char *name;
	bool ec;
	int version;
	const char *version_name;
	size_t piece;
	bool tickets;
} good[] = {
	{"ecdsa 1.3", true, TLS1_3_VERSION, "TLSv1.3", 0, false},
	{"ecdsa 1.3 by byte", true, TLS1_3_VERSION, "TLSv1.3", 1, false},
	{"ecdsa 1.2", true, TLS1_2_VERSION, "TLSv1.2", 0, false},
	{"ecdsa 1.2 by byte", true, TLS1_2_VERSION, "TLSv1.2", 1, true},
	{"rsa 1.3", false, TLS1_3_VERSION, "TLSv1.3", 0, true},
	{"rsa 1.3 by byte", false, TLS1_3_VERSION, "TLSv1.3", 1, true},
	{"rsa 1.2", false, TLS1_2_VERSION, "TLSv1.2", 0, false},
	{"rsa 1.2 by byte", false, TLS1_2_VERSION, "TLSv1.2", 1, false},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct slice chain = buf_slice(good[i].ec ? &ec_pem : &rsa_pem);
		struct tls_server *server = server_with(chain, "a", good[i].tickets);
		struct tls_client *client = client_with(chain, true);
		struct pair p;

		print_message("%s\n", good[i].name);
		assert_non_null(server);
		assert_non_null(client);
		SSL_CTX_set_max_proto_version(client->ctx, good[i].version);
		pair_make(&p, server, client, good[i].ec ? ec_key : rsa_key);
		p.piece = good[i].piece;
		pair_run(&p);
		assert_true(tls_is_open(p.client.conn) && tls_is_open(p.server.conn));
		assert_int_equal(p.key.asked, 1);
		assert_int_equal(p.key.number, 7);
		assert_string_equal(tls_facts(p.server.conn)->version, good[i].version_name);
		assert_string_equal(tls_facts(p.server.conn)->sni, NAME);
		assert_true(tls_facts(p.client.conn)->peer_verified);
		pair_send(&p.client, "EHLO me\r\n");
		pair_send(&p.server, "250 hello\r\n");
		pair_run(&p);
		assert_plain(&p.server, "EHLO me\r\n");
		assert_plain(&p.client, "250 hello\r\n");
		tls_close(p.client.conn, &p.client.out);
		pair_run(&p);
		assert_int_equal(p.server.want, TLS_CLOSED);
		pair_free(&p);
		tls_server_free(&server);
		tls_client_free(&client);
	}
}

static void test_large_data_with_little_room(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	static char body[60000];
	struct pair p;
	size_t got = 0;

	(void)state;
	memset(body, 'x', sizeof(body));
	pair_make(&p, server, client, ec_key);
	pair_run(&p);
	p.server.plain.max = 1000;
	assert_true(tls_write(p.client.conn, slice_make(body, sizeof(body)), &p.client.out));
	while (pair_carry(&p.client, &p.server, 0) || p.server.want == TLS_WANT_ROOM) {
		got += p.server.plain.len;
		buf_clear(&p.server.plain);
		p.server.want = tls_step(p.server.conn, slice_empty(), &p.server.out, &p.server.plain);
	}
	assert_int_equal(got + p.server.plain.len, sizeof(body));
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
}

/* ---- what must fail ---- */

struct failing {
	const char *name;
	bool verify;
	const char *certificate_name;
	long from_s, until_s;
	bool trusted;
	EVP_PKEY **signs_with;
	bool refuse, away;
	const char *client_says; /* "": the server fails */
};

static const struct failing failing[] = {
	{"wrong name", true, "other.example.test", -60, YEAR_S, true, &ec_key, false, false, "mismatch"},
	{"partial wildcard", true, "m*.example.test", -60, YEAR_S, true, &ec_key, false, false, "mismatch"},
	{"expired", true, NAME, -YEAR_S, -60, true, &ec_key, false, false, "expired"},
	{"not yet valid", true, NAME, 3600, YEAR_S, true, &ec_key, false, false, "not yet valid"},
	{"self-signed", true, NAME, -60, YEAR_S, false, &ec_key, false, false, "self"},
	{"keyd refuses", false, NAME, -60, YEAR_S, true, &ec_key, true, false, ""},
	{"keyd away", false, NAME, -60, YEAR_S, true, &ec_key, false, true, ""},
	{"another key signs", false, NAME, -60, YEAR_S, true, &other_key, false, false, "handshake"},
};

static void test_failing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(failing); i++) {
		const struct failing *f = &failing[i];
		struct buf pem = buf_make(1 << 16);
		struct tls_server *server;
		struct tls_client *client;
		struct pair p;

		print_message("%s\n", f->name);
		test_certificate(ec_key, f->certificate_name, f->from_s, f->until_s, &pem);
		server = server_with(buf_slice(&pem), "a", false);
		client = client_with(buf_slice(f->trusted ? &pem : &rsa_pem), f->verify);
		pair_make(&p, server, client, *f->signs_with);
		p.key.refuse = f->refuse;
		p.key.away = f->away;
		pair_run(&p);
		assert_false(tls_is_open(p.client.conn));
		if (f->client_says[0] == '\0')
			assert_int_equal(p.server.want, TLS_FAILED);
		else
			assert_non_null(strstr(tls_error(p.client.conn), f->client_says));
		pair_free(&p);
		tls_server_free(&server);
		tls_client_free(&client);
		buf_free(&pem);
	}
}

static void test_opportunistic_tells_the_facts(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(buf_slice(&rsa_pem), false);
	struct pair p;

	(void)state;
	pair_make(&p, server, client, ec_key);
	pair_run(&p);
	assert_true(tls_is_open(p.client.conn));
	assert_false(tls_facts(p.client.conn)->peer_verified);
	assert_true(strlen(tls_facts(p.client.conn)->verify_error) > 0);
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
}

static void test_context_refusals(void **state)
{
	struct slice cut = slice_sub(buf_slice(&ec_pem), 0, ec_pem.len / 2);
	struct tls_client_config nobody = {.trust_pem = slice_empty(), .verify = true};
	char why[TLS_WHY_BYTES];

	(void)state;
	assert_null(tls_certificate_new(slice_empty(), 0, why));
	assert_non_null(strstr(why, "no certificate"));
	assert_null(tls_certificate_new(cut, 0, why));
	assert_true(why[0] != '\0');
	assert_null(tls_client_new(&nobody, why));
	assert_non_null(strstr(why, "no trusted certificate"));
}

static void alpn(const char *wire, size_t len, bool good_name)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	struct pair p;

	assert_int_equal(SSL_CTX_set_alpn_protos(client->ctx, (const unsigned char *)wire, (unsigned)len), 0);
	pair_make(&p, server, client, ec_key);
	pair_run(&p);
	assert_int_equal(tls_is_open(p.server.conn), good_name);
	if (!good_name)
		assert_non_null(strstr(tls_error(p.client.conn), "no application protocol"));
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
}

static void test_alpn(void **state)
{
	(void)state;
	alpn("\4smtp", 5, true);
	alpn("\10http/1.1\4smtp", 14, true);
	alpn("\10http/1.1", 9, false);
	alpn("\5smtps", 6, false);
	printf("ROW S06 alpn pass\n");
}

/* ---- the end ---- */

static void test_truncation(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	struct pair p;

	(void)state;
	pair_make(&p, server, client, ec_key);
	pair_run(&p);
	pair_send(&p.client, "DATA...");
	pair_run(&p);
	assert_int_equal(tls_end_of_input(p.server.conn), TLS_FAILED);
	assert_non_null(strstr(tls_error(p.server.conn), "cut off"));
	assert_int_equal(tls_end_of_input(p.server.conn), TLS_FAILED);
	printf("ROW T07 unit pass\n");
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
}

static void test_nothing_after_close(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	struct pair p;

	(void)state;
	pair_make(&p, server, client, ec_key);
	pair_run(&p);
	pair_send(&p.client, "EHLO\r\nMAIL FROM:<a@b>\r\nRCP");
	tls_close(p.client.conn, &p.client.out);
	assert_true(buf_add_text(&p.client.out, "T TO:<c@d>\r\n"));
	assert_false(tls_write(p.client.conn, slice_of("late"), &p.client.out));
	pair_run(&p);
	assert_int_equal(p.server.want, TLS_CLOSED);
	assert_plain(&p.server, "EHLO\r\nMAIL FROM:<a@b>\r\nRCP");
	p.server.want = tls_step(p.server.conn, slice_of("T TO:<c@d>\r\n"), &p.server.out, &p.server.plain);
	assert_int_equal(p.server.want, TLS_CLOSED);
	assert_plain(&p.server, "EHLO\r\nMAIL FROM:<a@b>\r\nRCP");
	assert_int_equal(tls_end_of_input(p.server.conn), TLS_CLOSED);
	printf("ROW N13 unit pass\nROW E06 unit pass\n");
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
}

static void test_freed_while_keyd_thinks(void **state)
{
	struct tls_server *server = server_with(buf_slice(&rsa_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	struct pair p;

	(void)state;
	pair_make(&p, server, client, rsa_key);
	tls_step(p.client.conn, slice_empty(), &p.client.out, &p.client.plain);
	while (pair_carry(&p.client, &p.server, 0))
		continue;
	assert_int_equal(p.server.want, TLS_WANT_KEY);
	assert_int_equal(tls_step(p.server.conn, slice_of("held"), &p.server.out, &p.server.plain), TLS_WANT_KEY);
	pair_free(&p); /* the paused job is run to its end: no leak */
	tls_server_free(&server);
	tls_client_free(&client);
}

static void test_many_wait_for_keyd(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	struct pair pairs[20];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		pair_make(&pairs[i], server, client, ec_key);
		tls_step(pairs[i].client.conn, slice_empty(), &pairs[i].client.out, &pairs[i].client.plain);
		while (pair_carry(&pairs[i].client, &pairs[i].server, 0))
			continue;
		assert_int_equal(pairs[i].server.want, TLS_WANT_KEY);
	}
	for (size_t i = ARRAY_LEN(pairs); i-- > 0;) {
		pair_run(&pairs[i]);
		assert_true(tls_is_open(pairs[i].server.conn) && tls_is_open(pairs[i].client.conn));
		pair_free(&pairs[i]);
	}
	tls_server_free(&server);
	tls_client_free(&client);
}

/* ---- hostile peers ---- */

static void test_key_update_flood(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	SSL *raw = SSL_new(client->ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	struct pair p;
	bool failed = false;

	(void)state;
	pair_make(&p, server, client, ec_key);
	SSL_set_bio(raw, in, out);
	SSL_set_connect_state(raw);
	for (unsigned i = 0; i < 2000 && !failed; i++) {
		char space[16384];
		int n;

		if (SSL_do_handshake(raw) == 1 && SSL_key_update(raw, SSL_KEY_UPDATE_REQUESTED) == 1)
			(void)SSL_write(raw, "", 0), (void)SSL_do_handshake(raw);
		while ((n = BIO_read(out, space, sizeof(space))) > 0)
			p.server.want = tls_step(p.server.conn, slice_make(space, (size_t)n), &p.server.out,
						 &p.server.plain);
		if (p.server.want == TLS_WANT_KEY)
			pair_answer(&p);
		failed = p.server.want == TLS_FAILED;
		(void)BIO_write(in, p.server.out.at, (int)p.server.out.len);
		buf_clear(&p.server.out);
	}
	assert_true(failed);
	assert_non_null(strstr(tls_error(p.server.conn), "too many"));
	printf("ROW T09 key-update-flood pass\n");
	SSL_free(raw);
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
}

/* Each byte of the client's flight changed in turn: it may fail or go on, it may not open with another text or crash. */
static void test_changed_bytes(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct tls_client *client = client_with(slice_empty(), false);
	size_t len = 1;

	(void)state;
	for (size_t i = 0; i < len; i++) {
		struct pair p;

		pair_make(&p, server, client, ec_key);
		tls_step(p.client.conn, slice_empty(), &p.client.out, &p.client.plain);
		len = p.client.out.len;
		p.client.out.at[i] = (char)(p.client.out.at[i] ^ 0x55);
		while (pair_carry(&p.client, &p.server, 0))
			continue;
		assert_false(tls_is_open(p.server.conn));
		pair_free(&p);
	}
	tls_server_free(&server);
	tls_client_free(&client);
}

static void test_clear_text_instead_of_hello(void **state)
{
	struct tls_server *server = server_with(buf_slice(&ec_pem), "a", false);
	struct side s = side_make(tls_conn_server(server, NULL, NULL));

	(void)state;
	s.want = tls_step(s.conn, slice_of("EHLO injected\r\nMAIL FROM:<a@b>\r\n"), &s.out, &s.plain);
	assert_int_equal(s.want, TLS_FAILED);
	assert_int_equal(s.plain.len, 0);
	side_free(&s);
	tls_server_free(&server);
}

static const struct {
	const char *name;
	int version;
	const char *cipher;
} refused_offers[] = {
	{"TLS 1.1", TLS1_1_VERSION, "DEFAULT:@SECLEVEL=0"},
	{"RSA key exchange", TLS1_2_VERSION, "kRSA:@SECLEVEL=0"},
	{"finite-field DH", TLS1_2_VERSION, "kDHE:@SECLEVEL=0"},
	{"anonymous", TLS1_2_VERSION, "aNULL:@SECLEVEL=0"},
};

static void test_refused_offers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused_offers); i++) {
		struct tls_server *server = server_with(buf_slice(&rsa_pem), "a", false);
		struct tls_client *client = client_with(slice_empty(), false);
		struct pair p;

		print_message("%s\n", refused_offers[i].name);
		SSL_CTX_set_min_proto_version(client->ctx, TLS1_1_VERSION);
		SSL_CTX_set_max_proto_version(client->ctx, refused_offers[i].version);
		assert_int_equal(SSL_CTX_set_cipher_list(client->ctx, refused_offers[i].cipher), 1);
		pair_make(&p, server, client, rsa_key);
		pair_run(&p);
		assert_int_equal(p.server.want, TLS_FAILED);
		pair_free(&p);
		tls_server_free(&server);
		tls_client_free(&client);
	}
	printf("ROW T08 versions-and-ciphers pass\n");
}

static SSL_SESSION *session_from(struct tls_server *server, struct tls_client *client)
{
	struct pair p;
	SSL_SESSION *session;
	SSL *raw = SSL_new(client->ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	pair_make(&p, server, client, ec_key);
	SSL_set_bio(raw, in, out);
	SSL_set_connect_state(raw);
	for (unsigned i = 0; i < 20; i++) {
		char space[16384];
		int n;

		if (SSL_do_handshake(raw) == 1)
			(void)SSL_read(raw, space, sizeof(space));
		while ((n = BIO_read(out, space, sizeof(space))) > 0)
			p.server.want = tls_step(p.server.conn, slice_make(space, (size_t)n), &p.server.out,
						 &p.server.plain);
		if (p.server.want == TLS_WANT_KEY)
			pair_answer(&p);
		(void)BIO_write(in, p.server.out.at, (int)p.server.out.len);
		buf_clear(&p.server.out);
	}
	session = SSL_get1_session(raw);
	SSL_shutdown(raw);
	SSL_free(raw);
	pair_free(&p);
	return session;
}

static bool resumes(SSL_SESSION *session, struct tls_server *server, struct tls_client *client)
{
	struct pair p;
	SSL *raw = SSL_new(client->ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	bool resumed;

	pair_make(&p, server, client, ec_key);
	SSL_set_bio(raw, in, out);
	SSL_set_connect_state(raw);
	SSL_set_session(raw, session);
	for (unsigned i = 0; i < 20; i++) {
		char space[16384];
		int n;

		(void)SSL_do_handshake(raw);
		while ((n = BIO_read(out, space, sizeof(space))) > 0)
			p.server.want = tls_step(p.server.conn, slice_make(space, (size_t)n), &p.server.out,
						 &p.server.plain);
		if (p.server.want == TLS_WANT_KEY)
			pair_answer(&p);
		(void)BIO_write(in, p.server.out.at, (int)p.server.out.len);
		buf_clear(&p.server.out);
	}
	assert_true(tls_is_open(p.server.conn));
	resumed = tls_facts(p.server.conn)->resumed;
	SSL_free(raw);
	pair_free(&p);
	return resumed;
}

static void test_tickets_are_a_listeners_own(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		struct tls_server *mx = server_with(buf_slice(&ec_pem), ":25", true);
		struct tls_server *submission = server_with(buf_slice(&ec_pem), ":465", true);
		struct tls_client *client = client_with(slice_empty(), false);
		SSL_SESSION *session;

		SSL_CTX_set_max_proto_version(client->ctx, versions[i]);
		session = session_from(mx, client);
		assert_true(resumes(session, mx, client));
		SSL_SESSION_free(session);
		session = session_from(mx, client);
		assert_false(resumes(session, submission, client));
		SSL_SESSION_free(session);
		tls_server_free(&mx);
		tls_server_free(&submission);
		tls_client_free(&client);
	}
	printf("ROW F10 tickets pass\n");
}

/* ---- in the cage ---- */

static bool shakes(struct slice chain, EVP_PKEY *key)
{
	struct tls_server *server = server_with(chain, "a", true);
	struct tls_client *client = client_with(chain, true);
	struct pair p;
	bool open;

	if (server == NULL || client == NULL)
		return false;
	pair_make(&p, server, client, key);
	pair_run(&p);
	open = tls_is_open(p.server.conn) && tls_is_open(p.client.conn);
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
	return open;
}

static _Noreturn void shake_in_cage(void)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE};
	const struct cage_order order = {.uid = getuid(), .gid = getgid(), .root_fd = -1, .require = ""};
	char missing[CAGE_MISSING_BYTES], why[256];

	if (!cage_enter(&spec, &order, missing, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		_exit(2);
	}
	_exit(shakes(buf_slice(&ec_pem), ec_key) && shakes(buf_slice(&rsa_pem), rsa_key) ? 0 : 1);
}

/* Contexts made and handshakes paused and resumed where no file can be opened and no page made executable. */
static void test_in_the_cage(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		shake_in_cage();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int prepare(void **state)
{
	(void)state;
	tls_prepare();
	rsa_key = EVP_RSA_gen(2048);
	ec_key = EVP_EC_gen("P-256");
	other_key = EVP_EC_gen("P-256");
	rsa_pem = buf_make(1 << 16);
	ec_pem = buf_make(1 << 16);
	test_certificate(rsa_key, NAME, -60, YEAR_S, &rsa_pem);
	test_certificate(ec_key, NAME, -60, YEAR_S, &ec_pem);
	return 0;
}

static int clean(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa_key);
	EVP_PKEY_free(ec_key);
	EVP_PKEY_free(other_key);
	buf_free(&rsa_pem);
	buf_free(&ec_pem);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_large_data_with_little_room),
		cmocka_unit_test(test_failing),
		cmocka_unit_test(test_opportunistic_tells_the_facts),
		cmocka_unit_test(test_context_refusals),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_nothing_after_close),
		cmocka_unit_test(test_freed_while_keyd_thinks),
		cmocka_unit_test(test_many_wait_for_keyd),
		cmocka_unit_test(test_key_update_flood),
		cmocka_unit_test(test_changed_bytes),
		cmocka_unit_test(test_clear_text_instead_of_hello),
		cmocka_unit_test(test_refused_offers),
		cmocka_unit_test(test_tickets_are_a_listeners_own),
		cmocka_unit_test(test_in_the_cage),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
