/* Sessions a client keeps: for whom, how many, how long, and never for one that was verified less strictly. */
#include "tls/test_certificate.h"
#include "tls/test_pair.h"

#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HERE "192.0.2.1:25"

static EVP_PKEY *key;
static struct buf pem;
static struct tls_server *server;

static int prepare(void **state)
{
	(void)state;
	tls_prepare();
	key = EVP_EC_gen("P-256");
	pem = buf_make(1 << 16);
	test_certificate(key, PAIR_NAME ",DNS:other.test", -60, 365L * 24 * 3600, &pem);
	server = server_with(buf_slice(&pem), "a", true);
	return server == NULL;
}

static int clean(void **state)
{
	(void)state;
	EVP_PKEY_free(key);
	buf_free(&pem);
	tls_server_free(&server);
	return 0;
}

/* One connection to there; whether it went on with a session that was kept. */
static bool connects(struct tls_client *client, const char *name, const char *destination)
{
	struct pair p;
	bool resumed;

	pair_make_named(&p, server, client, key, name, destination);
	pair_run(&p);
	assert_true(tls_is_open(p.client.conn));
	resumed = tls_facts(p.client.conn)->resumed;
	assert_int_equal(resumed, tls_facts(p.client.conn)->offered);
	assert_true(!client->verify || tls_facts(p.client.conn)->peer_verified);
	pair_free(&p);
	return resumed;
}

static void test_by_destination_and_name(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		struct tls_client *client = client_with(buf_slice(&pem), true);

		SSL_CTX_set_max_proto_version(client->ctx, versions[i]);
		assert_false(connects(client, PAIR_NAME, HERE));
		assert_true(connects(client, PAIR_NAME, HERE));
		assert_true(connects(client, PAIR_NAME, HERE));
		assert_false(connects(client, PAIR_NAME, "192.0.2.1:26"));
		assert_false(connects(client, PAIR_NAME, "192.0.2.2:25"));
		assert_false(connects(client, "other.test", HERE));
		assert_false(connects(client, PAIR_NAME, NULL));
		assert_true(connects(client, PAIR_NAME, HERE));
		tls_client_free(&client);
	}
}

/* Another client, by what it trusts or how strictly, has sessions of its own. */
static void test_never_verified_less(void **state)
{
	struct tls_client *loose = client_with(slice_empty(), false), *strict = client_with(buf_slice(&pem), true);

	(void)state;
	assert_false(connects(loose, PAIR_NAME, HERE));
	assert_true(connects(loose, PAIR_NAME, HERE));
	assert_false(connects(strict, PAIR_NAME, HERE));
	tls_client_free(&loose);
	tls_client_free(&strict);
	printf("ROW T05 resumed-as-verified pass\n");
}

static void test_bound(void **state)
{
	struct tls_client *client = client_with(slice_empty(), false);
	size_t kept = 0;

	(void)state;
	for (unsigned i = 0; i < TLS_SESSIONS_MAX + 20; i++) {
		char destination[32];

		snprintf(destination, sizeof(destination), "192.0.2.1:%u", i);
		assert_false(connects(client, PAIR_NAME, destination));
	}
	assert_false(connects(client, PAIR_NAME, "192.0.2.1:0")); /* the oldest went */
	for (unsigned i = TLS_SESSIONS_MAX; i < TLS_SESSIONS_MAX + 20; i++) {
		char destination[32];

		snprintf(destination, sizeof(destination), "192.0.2.1:%u", i);
		kept += connects(client, PAIR_NAME, destination);
	}
	assert_int_equal(kept, 20);
	tls_client_free(&client);
}

/* Once a session was offered to a server that makes nothing of it, it is not offered again. */
static void test_spoilt(void **state)
{
	struct tls_client *client = client_with(slice_empty(), false);
	struct tls_conn *c;
	struct buf out = buf_make(1 << 17), plain = buf_make(1 << 17);

	(void)state;
	SSL_CTX_set_max_proto_version(client->ctx, TLS1_2_VERSION);
	assert_false(connects(client, PAIR_NAME, HERE));
	c = tls_conn_client(client, PAIR_NAME, HERE);
	assert_true(tls_facts(c)->offered);
	tls_step(c, slice_empty(), &out, &plain);
	assert_int_equal(tls_step(c, slice_make("\x15\x03\x03\x00\x02\x02\x28", 7), &out, &plain), TLS_FAILED);
	tls_conn_free(&c);
	c = tls_conn_client(client, PAIR_NAME, HERE);
	assert_false(tls_facts(c)->offered);
	tls_conn_free(&c);
	tls_client_free(&client);
	buf_free(&out);
	buf_free(&plain);
}

/* What connections keep of their client outlives it. */
static void test_client_goes_first(void **state)
{
	struct tls_client *client = client_with(slice_empty(), false);
	struct pair p;

	(void)state;
	pair_make_named(&p, server, client, key, PAIR_NAME, HERE);
	tls_client_free(&client);
	pair_run(&p);
	assert_true(tls_is_open(p.client.conn));
	pair_free(&p);
}

#ifdef POSTERN_TEST_CLOCK
static void test_an_hour(void **state)
{
	struct tls_client *client = client_with(slice_empty(), false);

	(void)state;
	assert_false(connects(client, PAIR_NAME, HERE));
	clock_turn_ms(61 * 60 * 1000);
	assert_false(connects(client, PAIR_NAME, HERE));
	tls_client_free(&client);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_destination_and_name),
		cmocka_unit_test(test_never_verified_less),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_spoilt),
		cmocka_unit_test(test_client_goes_first),
#ifdef POSTERN_TEST_CLOCK
		cmocka_unit_test(test_an_hour),
#endif
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
