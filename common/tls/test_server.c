/* What a listener allows: certificates by name, strange names, ciphers, client certificates, ticket keys. */
#include "tls/test_certificate.h"
#include "tls/test_pair.h"

#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define YEAR_S (365L * 24 * 3600)

enum { FIRST, BOTH, WILD, CONFIGURED, CERTIFICATES };

/* Their names; the last is configured for "set.test" and "*.set.test" though its own say otherwise. */
static const char *const names[CERTIFICATES] = {"mx.example.test", "one.test,DNS:TWO.test", "*.wild.test", "other.test"};
static EVP_PKEY *keys[CERTIFICATES], *client_key;
static struct buf pems[CERTIFICATES];

static int prepare(void **state)
{
	(void)state;
	tls_prepare();
	for (size_t i = 0; i < CERTIFICATES; i++) {
		keys[i] = i == BOTH ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
		pems[i] = buf_make(1 << 16);
		test_certificate(keys[i], names[i], -60, YEAR_S, &pems[i]);
	}
	client_key = EVP_EC_gen("P-256");
	return 0;
}

static int clean(void **state)
{
	(void)state;
	for (size_t i = 0; i < CERTIFICATES; i++) {
		EVP_PKEY_free(keys[i]);
		buf_free(&pems[i]);
	}
	EVP_PKEY_free(client_key);
	return 0;
}

/* ---- certificates by name ---- */

static struct tls_server *server_of_many(bool only_known)
{
	struct tls_certificate *c[CERTIFICATES];
	char why[TLS_WHY_BYTES];
	struct tls_server *s;

	for (size_t i = 0; i < CERTIFICATES; i++)
		c[i] = tls_certificate_new(buf_slice(&pems[i]), i, why);
	const struct tls_host hosts[] = {{NULL, c[FIRST], NULL}, {NULL, c[BOTH], NULL}, {NULL, c[WILD], NULL},
					 {"set.test", c[CONFIGURED], NULL}, {"*.set.test", c[CONFIGURED], NULL}};
	const struct tls_server_config config = {.hosts = hosts, .host_count = ARRAY_LEN(hosts), .listener = "a",
						 .only_known_hosts = only_known};

	s = tls_server_new(&config, why);
	for (size_t i = 0; i < CERTIFICATES; i++)
		tls_certificate_free(&c[i]); /* the server holds them */
	assert_non_null(s);
	return s;
}

static const struct {
	const char *asked;
	unsigned certificate;
	bool known;
} asked[] = {
	{"mx.example.test", FIRST, true},
	{"MX.Example.Test", FIRST, true},
	{"mx.example.test.", FIRST, true},
	{"one.test", BOTH, true},
	{"two.test", BOTH, true},
	{"a.wild.test", WILD, true},
	{"wild.test", FIRST, false},
	{"a.b.wild.test", FIRST, false},
	{"set.test", CONFIGURED, true},
	{"x.set.test", CONFIGURED, true},
	{"other.test", CONFIGURED, true},
	{"unknown.test", FIRST, false},
	{"*.wild.test", FIRST, false},
	{"a\\", FIRST, false},
	{"a b", FIRST, false},
	{"\xff\xfe", FIRST, false},
	{"192.0.2.1", FIRST, false},
	{NULL, FIRST, true},
};

static void assert_shown(struct tls_server *server, const char *name, unsigned wanted, bool open)
{
	struct tls_client *client = client_with(slice_empty(), false);
	char asked_for[256] = ""; /* OpenSSL's macro takes it as char * */
	struct pair p;

	pair_make_named(&p, server, client, NULL, NULL, NULL);
	assert_true(slice_copy(slice_of(name), asked_for, sizeof(asked_for)));
	if (name != NULL)
		assert_int_equal(SSL_set_tlsext_host_name(SSL_OF(p.client.conn), asked_for), 1);
	p.key.keys = keys;
	pair_run(&p);
	assert_int_equal(tls_is_open(p.server.conn), open);
	if (open) {
		assert_int_equal(p.key.number, wanted);
		assert_string_equal(tls_facts(p.server.conn)->asked, name == NULL ? "" : name);
	} else {
		assert_non_null(strstr(tls_error(p.client.conn), "unrecognized"));
	}
	pair_free(&p);
	tls_client_free(&client);
}

static void test_certificate_by_name(void **state)
{
	struct tls_server *any = server_of_many(false), *known = server_of_many(true);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		assert_shown(any, asked[i].asked, asked[i].certificate, true);
		assert_shown(known, asked[i].asked, asked[i].certificate, asked[i].known);
	}
	tls_server_free(&any);
	tls_server_free(&known);
	printf("ROW E02 by-name pass\n");
}

/* ---- names no client of a library sends: a ClientHello whose name is written over ---- */

static size_t hello(char *out, size_t size, size_t name_len)
{
	struct tls_client *client = client_with(slice_empty(), false);
	struct tls_conn *c = tls_conn_client(client, NULL, NULL);
	struct buf to_server = buf_make(1 << 16), plain = buf_make(1 << 16);
	char name[256];
	size_t len;

	memset(name, 'q', name_len);
	name[name_len] = '\0';
	assert_int_equal(SSL_set_tlsext_host_name(SSL_OF(c), name), 1);
	tls_step(c, slice_empty(), &to_server, &plain);
	len = to_server.len;
	assert_true(len < size);
	memcpy(out, to_server.at, len);
	buf_free(&to_server);
	buf_free(&plain);
	tls_conn_free(&c);
	tls_client_free(&client);
	return len;
}

#define LIST(...) ((const unsigned char[]){__VA_ARGS__})
static const struct {
	const char *name;
	size_t room; /* of the name that is written over, from its type on */
	const unsigned char *entry; /* type, length, name; what is left of the room stays 'q' */
	size_t entry_len;
} strange[] = {
	{"nul", 8, LIST(0, 0, 8, 'a', 0, 'b'), 6},
	{"backslash-at-end", 1, LIST(0, 0, 1, '\\'), 4},
	{"no-bytes", 8, LIST(0, 0, 0), 3},
	{"no-bytes-then-another", 8, LIST(0, 0, 0, 0, 0, 5), 6},
	{"two-names", 11, LIST(0, 0, 4, 'o', 'n', 'e', '1', 0, 0, 4), 10},
	{"65535-bytes", 8, LIST(0, 0xff, 0xff), 3},
	{"another-type", 8, LIST(1, 0, 8), 3},
	{"utf-8", 4, LIST(0, 0, 4, 0xc3, 0xa4, 0xff, 0xc0), 7},
	{"255-bytes", 255, LIST(0, 0, 255, '\\', '\\'), 5},
	{"254-bytes", 254, LIST(0, 0, 254, '\\'), 4},
};

static void test_strange_names(void **state)
{
	static char wire[1 << 14];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(strange); i++) {
		struct tls_server *server = server_of_many(false);
		size_t len = hello(wire, sizeof(wire), strange[i].room);
		size_t at = slice_find(slice_make(wire, len), slice_of(strange[i].room > 3 ? "qqqq" : "q"));
		struct key_end key = {.tbs = buf_make(TLS_TBS_MAX)};
		struct side s = side_make(tls_conn_server(server, pair_ask, &key));

		/* One 'q' may also stand in the random bytes: the last is the name, by its length before it. */
		while (strange[i].room <= 3 && !(wire[at - 1] == 1 && wire[at - 2] == 0 && wire[at - 3] == 0))
			at += 1 + slice_find(slice_make(wire + at + 1, len - at - 1), slice_of("q"));
		memcpy(wire + at - 3, strange[i].entry, strange[i].entry_len);
		s.want = tls_step(s.conn, slice_make(wire, len), &s.out, &s.plain);
		/* It goes on with a signature to be asked for, or an alert was said. */
		assert_true(s.want == TLS_WANT_KEY || (s.want == TLS_FAILED && s.out.len > 0 && s.out.at[0] == 21));
		printf("ROW E02 %s pass\n", strange[i].name);
		tls_conn_free(&s.conn);
		buf_free(&s.out);
		buf_free(&s.plain);
		buf_free(&key.tbs);
		tls_server_free(&server);
	}
}

/* ---- two kinds of keys for one host ---- */

/* For all, and for "set.test" the other way round. */
static struct tls_server *server_of_kinds(unsigned second, bool tickets, char why[TLS_WHY_BYTES])
{
	struct tls_certificate *c[CERTIFICATES];
	struct tls_server *s;

	for (size_t i = 0; i < CERTIFICATES; i++)
		c[i] = tls_certificate_new(buf_slice(&pems[i]), i, why);
	const struct tls_host hosts[] = {{NULL, c[FIRST], c[second]}, {"set.test", c[second], c[CONFIGURED]}};
	const struct tls_server_config config = {.hosts = hosts, .host_count = ARRAY_LEN(hosts), .listener = "a", .tickets = tickets};

	s = tls_server_new(&config, why);
	for (size_t i = 0; i < CERTIFICATES; i++)
		tls_certificate_free(&c[i]);
	return s;
}

static const struct {
	int version;
	const char *schemes, *ciphers; /* what the client can verify; ciphers of TLS 1.2 */
	const char *name;
	unsigned shown;
} kinds[] = {
	{TLS1_3_VERSION, "ECDSA+SHA256:rsa_pss_rsae_sha256", "ALL", PAIR_NAME, FIRST},
	{TLS1_3_VERSION, "rsa_pss_rsae_sha256:ECDSA+SHA256", "ALL", PAIR_NAME, FIRST},
	{TLS1_3_VERSION, "rsa_pss_rsae_sha256", "ALL", PAIR_NAME, BOTH},
	{TLS1_3_VERSION, "ECDSA+SHA256", "ALL", "one.test", FIRST},
	{TLS1_3_VERSION, "ECDSA+SHA256", "ALL", "set.test", CONFIGURED},
	{TLS1_3_VERSION, "rsa_pss_rsae_sha384:RSA+SHA256", "ALL", "set.test", BOTH},
	{TLS1_2_VERSION, "ECDSA+SHA256:RSA+SHA256", "ALL", PAIR_NAME, FIRST},
	{TLS1_2_VERSION, "RSA+SHA256", "ALL", PAIR_NAME, BOTH},
	{TLS1_2_VERSION, "ECDSA+SHA256:RSA+SHA256", "ECDHE-RSA-AES128-GCM-SHA256", PAIR_NAME, BOTH},
	{TLS1_2_VERSION, "ECDSA+SHA256:RSA+SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "set.test", BOTH},
	{TLS1_2_VERSION, "ECDSA+SHA256:RSA+SHA256", "ALL", "set.test", CONFIGURED},
};

static void check_kind(struct tls_server *server, size_t i)
{
	struct tls_client *client = client_with(slice_empty(), false);
	char name[64], schemes[64]; /* OpenSSL's macros take them as char * */
	struct pair p;

	assert_true(slice_copy(slice_of(kinds[i].name), name, sizeof(name)));
	assert_true(slice_copy(slice_of(kinds[i].schemes), schemes, sizeof(schemes)));
	SSL_CTX_set_max_proto_version(client->ctx, kinds[i].version);
	assert_int_equal(SSL_CTX_set1_sigalgs_list(client->ctx, schemes), 1);
	assert_int_equal(SSL_CTX_set_cipher_list(client->ctx, kinds[i].ciphers), 1);
	pair_make_named(&p, server, client, NULL, NULL, NULL);
	assert_int_equal(SSL_set_tlsext_host_name(SSL_OF(p.client.conn), name), 1);
	p.key.keys = keys;
	pair_run(&p);
	assert_true(tls_is_open(p.server.conn));
	assert_int_equal(p.key.number, kinds[i].shown);
	pair_free(&p);
	tls_client_free(&client);
}

static void test_two_kinds(void **state)
{
	char why[TLS_WHY_BYTES];
	struct tls_server *server = server_of_kinds(BOTH, false, why);

	(void)state;
	assert_non_null(server);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		check_kind(server, i);
	tls_server_free(&server);
	assert_null(server_of_kinds(WILD, false, why));
	assert_non_null(strstr(why, "both certificates of a host have ECDSA keys"));
}

/* The binding of a session that was resumed names no certificate where it could be either. */
static void test_end_point_of_two(void **state)
{
	char why[TLS_WHY_BYTES];
	struct tls_server *server = server_of_kinds(BOTH, true, why);
	struct tls_client *client = client_with(slice_empty(), false);
	struct tls_bindings bindings;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct pair p;

		pair_make_named(&p, server, client, NULL, PAIR_NAME, "192.0.2.1:25");
		p.key.keys = keys;
		pair_run(&p);
		assert_int_equal(tls_facts(p.server.conn)->resumed, i == 1);
		tls_bindings(p.server.conn, &bindings);
		assert_int_equal(bindings.end_point_len, i == 0 ? 32 : 0);
		pair_free(&p);
	}
	tls_client_free(&client);
	tls_server_free(&server);
}

/* ---- what is spoken ---- */

static const struct {
	const char *ciphers;
	bool only_tls13;
	int version;
	const char *offered; /* TLS 1.2 */
	bool open;
} spoken[] = {
	{NULL, false, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", true},
	{"compatible", false, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", true},
	{"intermediate", false, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", false},
	{"intermediate", false, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", true},
	{"intermediate", true, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", false},
	{"intermediate", true, TLS1_3_VERSION, "", true},
	{"modern", false, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", false},
	{"modern", false, TLS1_3_VERSION, "", true},
	{"ECDHE+AES256:HIGH", false, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", true},
	{"HIGH", false, TLS1_2_VERSION, "AES128-SHA", false},
	{"ALL", false, TLS1_2_VERSION, "AECDH-AES128-SHA@SECLEVEL=0", false},
};

static void test_spoken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(spoken); i++) {
		const struct tls_server_config config = {.listener = "a", .ciphers = spoken[i].ciphers,
							 .only_tls13 = spoken[i].only_tls13};
		struct tls_server *server = server_from(config, buf_slice(&pems[FIRST]));
		struct tls_client *client = client_with(slice_empty(), false);
		struct pair p;

		assert_non_null(server);
		SSL_CTX_set_max_proto_version(client->ctx, spoken[i].version);
		if (spoken[i].offered[0] != '\0')
			assert_int_equal(SSL_CTX_set_cipher_list(client->ctx, spoken[i].offered), 1);
		pair_make(&p, server, client, keys[FIRST]);
		pair_run(&p);
		assert_int_equal(tls_is_open(p.server.conn), spoken[i].open);
		pair_free(&p);
		tls_server_free(&server);
		tls_client_free(&client);
	}
	printf("ROW T08 by-listener pass\n");
}

static void test_bad_lists(void **state)
{
	static const char *const lists[] = {"nonsense", "AES128-SHA", "kDHE", "aNULL", ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		assert_null(server_from((struct tls_server_config){.listener = "a", .ciphers = lists[i]},
					buf_slice(&pems[FIRST])));
}

/* ---- client certificates ---- */

static void show(struct tls_client *client, struct slice pem, EVP_PKEY *key)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
	bool end;
	X509 *x = tls_next_certificate(bio, &end);

	assert_int_equal(SSL_CTX_use_certificate(client->ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(client->ctx, key), 1);
	X509_free(x);
	BIO_free(bio);
}

static const struct {
	const char *name;
	enum tls_client_certificate wanted;
	bool trusted, shown, expired;
	bool open, verified;
} clients[] = {
	{"not asked for", TLS_CLIENT_OFF, false, true, false, true, false},
	{"asked for, none", TLS_CLIENT_ASK, true, false, false, true, false},
	{"asked for, good", TLS_CLIENT_ASK, true, true, false, true, true},
	{"asked for, of nobody", TLS_CLIENT_ASK, false, true, false, true, false},
	{"asked for, expired", TLS_CLIENT_ASK, true, true, true, true, false},
	{"required, none", TLS_CLIENT_REQUIRE, true, false, false, false, false},
	{"required, good", TLS_CLIENT_REQUIRE, true, true, false, true, true},
	{"required, of nobody", TLS_CLIENT_REQUIRE, false, true, false, false, false},
	{"required, expired", TLS_CLIENT_REQUIRE, true, true, true, false, false},
};

static void check_client(size_t i, int version)
{
	struct buf pem = buf_make(1 << 16);
	struct tls_client *client = client_with(slice_empty(), false);
	struct tls_server_config config = {.listener = "a", .tickets = true, .client_certificate = clients[i].wanted};
	const struct tls_peer *peer;
	struct tls_server *server;
	struct pair p;

	print_message("%s\n", clients[i].name);
	test_certificate(client_key, "Client.test,email:Me@Client.test,DNS:bad\\\\name", -YEAR_S,
			 clients[i].expired ? -60 : YEAR_S, &pem);
	if (clients[i].wanted != TLS_CLIENT_OFF)
		config.client_trust_pem = buf_slice(clients[i].trusted ? &pem : &pems[FIRST]);
	server = server_from(config, buf_slice(&pems[FIRST]));
	assert_non_null(server);
	SSL_CTX_set_max_proto_version(client->ctx, version);
	if (clients[i].shown)
		show(client, buf_slice(&pem), client_key);
	pair_make(&p, server, client, keys[FIRST]);
	pair_run(&p);
	assert_int_equal(tls_is_open(p.server.conn), clients[i].open);
	peer = tls_facts(p.server.conn)->client;
	assert_int_equal(peer != NULL, clients[i].open && clients[i].shown && clients[i].wanted != TLS_CLIENT_OFF);
	if (peer != NULL) {
		assert_int_equal(peer->verified, clients[i].verified);
		assert_int_equal(strlen(peer->fingerprint), 64);
		assert_string_equal(peer->names, "client.test me@client.test");
		assert_non_null(strstr(peer->subject, "CN="));
	}
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
	buf_free(&pem);
}

/* A client of ours shows its own; one whose key is another's, or none, is refused where it is made. */
static void test_our_own_certificate(void **state)
{
	struct tls_server_config asking = {.listener = "a", .client_certificate = TLS_CLIENT_REQUIRE, .client_trust_pem = buf_slice(&pems[1])};
	struct tls_client_config config = {.trust_pem = buf_slice(&pems[0]), .verify = true, .chain_pem = buf_slice(&pems[1])};
	struct buf right = buf_make(1 << 16), wrong = buf_make(1 << 16);
	struct tls_server *server = server_from(asking, buf_slice(&pems[0]));
	char why[TLS_WHY_BYTES];
	struct tls_client *client;
	struct pair p;

	(void)state;
	test_key_pem(keys[1], &right);
	test_key_pem(keys[2], &wrong);
	config.key_pem = buf_slice(&right);
	client = tls_client_new(&config, why);
	assert_non_null(client);
	pair_make(&p, server, client, keys[0]);
	pair_run(&p);
	assert_true(tls_is_open(p.server.conn) && tls_facts(p.server.conn)->client->verified);
	pair_free(&p);
	tls_client_free(&client);
	tls_server_free(&server);
	config.key_pem = buf_slice(&wrong);
	assert_null(tls_client_new(&config, why));
	assert_non_null(strstr(why, "key of our own certificate"));
	config.key_pem = slice_empty();
	assert_null(tls_client_new(&config, why));
	config.chain_pem = slice_of("no certificate");
	config.key_pem = buf_slice(&right);
	assert_null(tls_client_new(&config, why));
	assert_non_null(strstr(why, "our own certificate cannot be used"));
	buf_free(&right);
	buf_free(&wrong);
}

static void test_client_certificates(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		check_client(i, TLS1_3_VERSION);
		check_client(i, TLS1_2_VERSION);
	}
}

/* A chain of hundreds of KiB is refused before it is read. */
static void test_endless_client_chain(void **state)
{
	const struct tls_server_config config = {.listener = "a", .client_certificate = TLS_CLIENT_ASK};
	struct tls_server *server = server_from(config, buf_slice(&pems[FIRST]));
	struct tls_client *client = client_with(slice_empty(), false);
	static char name[12000];
	struct buf pem = buf_make(1 << 20);
	struct pair p;

	(void)state;
	/* A certificate of many names. */
	for (size_t i = 0; i + 30 < sizeof(name);)
		i += (size_t)snprintf(name + i, sizeof(name) - i, "%sn%zu.client.test", i == 0 ? "" : ",DNS:", i);
	test_certificate_named(client_key, "client.test", name, -60, YEAR_S, &pem);
	show(client, buf_slice(&pem), client_key);
	for (size_t i = 0; i < 30; i++) {
		BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.len);
		bool end;

		SSL_CTX_add0_chain_cert(client->ctx, tls_next_certificate(bio, &end));
		BIO_free(bio);
	}
	pair_make(&p, server, client, keys[FIRST]);
	pair_run(&p);
	assert_int_equal(p.server.want, TLS_FAILED);
	assert_null(tls_facts(p.server.conn)->client);
	pair_free(&p);
	tls_server_free(&server);
	tls_client_free(&client);
	buf_free(&pem);
	printf("ROW O04 endless-chain pass\n");
}

/* ---- ticket keys ---- */

/* Whether a second connection resumes the first; `hours` pass between. */
static bool resumes(struct tls_server *first, struct tls_server *second, int version, unsigned hours)
{
	struct tls_client *client = client_with(slice_empty(), false);
	struct pair p;
	bool resumed;

	SSL_CTX_set_max_proto_version(client->ctx, version);
	for (unsigned i = 0; i < 2; i++) {
		pair_make_named(&p, i == 0 ? first : second, client, keys[FIRST], PAIR_NAME, "192.0.2.1:25");
		pair_run(&p);
		assert_true(tls_is_open(p.server.conn));
		resumed = tls_facts(p.server.conn)->resumed;
		assert_int_equal(p.key.asked, resumed ? 0 : 1);
		pair_free(&p);
		if (i == 0)
			clock_turn_ms((int64_t)hours * 3600 * 1000 - (hours > 0 ? 1800 * 1000 : 0));
	}
	tls_client_free(&client);
	return resumed;
}

static void test_ticket_keys(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
	struct tls_server *a = server_with(buf_slice(&pems[FIRST]), "a", true);
	struct tls_server *again = server_with(buf_slice(&pems[FIRST]), "a", true); /* as in another worker */
	struct tls_server *without = server_with(buf_slice(&pems[FIRST]), "a", false);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		assert_true(resumes(a, a, versions[i], 0));
		assert_false(resumes(a, again, versions[i], 0));
		assert_false(resumes(without, without, versions[i], 0));
	}
	printf("ROW T08 tickets-by-worker pass\n");
	tls_server_free(&a);
	tls_server_free(&again);
	tls_server_free(&without);
}

#ifdef POSTERN_TEST_CLOCK
static void test_ticket_keys_turn(void **state)
{
	struct tls_tickets t = {.made_ms = clock_mono_ms()};
	struct tls_ticket_key first;

	(void)state;
	mem_random(&t.now, sizeof(t.now));
	first = t.now;
	tls_tickets_turn(&t);
	assert_memory_equal(&t.now, &first, sizeof(first));
	clock_turn_ms(TLS_TICKET_KEY_MS);
	tls_tickets_turn(&t);
	assert_true(t.has_before);
	assert_memory_equal(&t.before, &first, sizeof(first));
	assert_memory_not_equal(&t.now, &first, sizeof(first));
	clock_turn_ms(3 * TLS_TICKET_KEY_MS);
	tls_tickets_turn(&t);
	assert_false(t.has_before);
	assert_memory_not_equal(&t.before, &first, sizeof(first));
}

/* A ticket of the hour before is good once more, and replaced. */
static void test_tickets_of_the_hour_before(void **state)
{
	struct tls_server *server = server_with(buf_slice(&pems[FIRST]), "a", true);

	(void)state;
	clock_turn_ms(TLS_TICKET_KEY_MS - 60000);
	assert_true(resumes(server, server, TLS1_3_VERSION, 1));
	assert_true(server->tickets.has_before);
	tls_server_free(&server);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificate_by_name),
		cmocka_unit_test(test_strange_names),
		cmocka_unit_test(test_two_kinds),
		cmocka_unit_test(test_end_point_of_two),
		cmocka_unit_test(test_spoken),
		cmocka_unit_test(test_bad_lists),
		cmocka_unit_test(test_client_certificates),
		cmocka_unit_test(test_our_own_certificate),
		cmocka_unit_test(test_endless_client_chain),
		cmocka_unit_test(test_ticket_keys),
#ifdef POSTERN_TEST_CLOCK
		cmocka_unit_test(test_ticket_keys_turn),
		cmocka_unit_test(test_tickets_of_the_hour_before),
#endif
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
