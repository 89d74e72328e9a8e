/* keyd's parts: what it signs, for whom, with which keys; and that a real handshake is among what it signs. */
#include "keyd_certificate.h"
#include "keyd_decide.h"

#include "base/clock.h"
#include "base/mem.h"
#include "os/cage.h"
#include "tls/internal.h"
#include "tls/scheme.h"
#include "tls/test_certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME "mx.example.test"
#define YEAR_S (365L * 24 * 3600)

static EVP_PKEY *rsa, *ec256, *ec384, *ed25519, *rsa_short;

/* ---- what is signed ---- */

static const struct keyd_kind kind_rsa = {.is_ec = false};
static const struct keyd_kind kind_p256 = {.is_ec = true, .group = "prime256v1"};
static const struct keyd_kind kind_p384 = {.is_ec = true, .group = "secp384r1"};

static void verify_message(struct buf *out, const char *context, size_t hash)
{
	buf_clear(out);
	for (int i = 0; i < 64; i++)
		buf_add_char(out, ' ');
	buf_add(out, context, strlen(context) + 1);
	for (size_t i = 0; i < hash; i++)
		buf_add_char(out, (char)(i * 7));
}

static void exchange_message(struct buf *out, unsigned curve, size_t point, char form)
{
	const char head[4] = {3, (char)(curve >> 8), (char)curve, (char)point};

	buf_clear(out);
	for (int i = 0; i < 64; i++)
		buf_add_char(out, (char)(i * 5));
	buf_add(out, head, sizeof(head));
	for (size_t i = 0; i < point; i++)
		buf_add_char(out, i == 0 ? form : (char)(i * 3));
}

#define SERVER "TLS 1.3, server CertificateVerify"
#define CLIENT "TLS 1.3, client CertificateVerify"

static const struct {
	const char *name;
	const struct keyd_kind *kind;
	uint64_t scheme;
	const char *context; /* NULL: a key exchange */
	size_t size; /* of hash or point */
	unsigned curve;
	char form;
	bool good;
} requests[] = {
	{"1.3 ecdsa p256", &kind_p256, 0x0403, SERVER, 32, 0, 0, true},
	{"1.3 ecdsa p256, sha384 transcript", &kind_p256, 0x0403, SERVER, 48, 0, 0, true},
	{"1.3 ecdsa p384", &kind_p384, 0x0503, SERVER, 48, 0, 0, true},
	{"1.3 rsa pss", &kind_rsa, 0x0804, SERVER, 48, 0, 0, true},
	{"1.2 rsa pkcs1 x25519", &kind_rsa, 0x0401, NULL, 32, 29, 1, true},
	{"1.2 rsa pss p256", &kind_rsa, 0x0806, NULL, 65, 23, 4, true},
	{"1.2 ecdsa p384 point", &kind_p256, 0x0603, NULL, 97, 24, 4, true},
	{"1.2 ecdsa p521 point", &kind_p256, 0x0403, NULL, 133, 25, 4, true},
	{"1.2 x448", &kind_p256, 0x0403, NULL, 56, 30, 9, true},
	{"client context", &kind_p256, 0x0403, CLIENT, 32, 0, 0, false},
	{"client context rsa", &kind_rsa, 0x0804, CLIENT, 48, 0, 0, false},
	{"1.3 with pkcs1", &kind_rsa, 0x0401, SERVER, 32, 0, 0, false},
	{"1.3 with another curve's scheme", &kind_p256, 0x0503, SERVER, 48, 0, 0, false},
	{"1.3 hash of 20", &kind_p256, 0x0403, SERVER, 20, 0, 0, false},
	{"1.3 hash of 64", &kind_p256, 0x0403, SERVER, 64, 0, 0, false},
	{"rsa scheme, ec key", &kind_p256, 0x0804, SERVER, 32, 0, 0, false},
	{"ec scheme, rsa key", &kind_rsa, 0x0403, SERVER, 32, 0, 0, false},
	{"sha1", &kind_rsa, 0x0201, NULL, 32, 29, 1, false},
	{"ecdsa sha1", &kind_p256, 0x0203, NULL, 32, 29, 1, false},
	{"rsa pss pss", &kind_rsa, 0x0809, SERVER, 32, 0, 0, false},
	{"scheme beyond 16 bits", &kind_rsa, 0x10804, SERVER, 32, 0, 0, false},
	{"unknown curve", &kind_rsa, 0x0401, NULL, 32, 9, 1, false},
	{"short point", &kind_rsa, 0x0401, NULL, 31, 29, 1, false},
	{"compressed point", &kind_rsa, 0x0401, NULL, 65, 23, 2, false},
};

static void test_requests(void **state)
{
	struct buf tbs = buf_make(1024);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
		const char *refusal;

		if (requests[i].context != NULL)
			verify_message(&tbs, requests[i].context, requests[i].size);
		else
			exchange_message(&tbs, requests[i].curve, requests[i].size, requests[i].form);
		refusal = keyd_request_refusal(requests[i].kind, requests[i].scheme, buf_slice(&tbs));
		print_message("%s: %s\n", requests[i].name, refusal == NULL ? "signed" : refusal);
		assert_int_equal(refusal == NULL, requests[i].good);
	}
	buf_free(&tbs);
	printf("ROW T11 client-context pass\nROW T11 wrong-digest-or-padding pass\n");
}

static void test_arbitrary_bytes(void **state)
{
	char bytes[300];

	(void)state;
	for (unsigned fill = 0; fill < 256; fill++) {
		memset(bytes, (int)fill, sizeof(bytes));
		for (size_t len = 0; len <= sizeof(bytes); len++)
			for (size_t i = 0; i < tls_scheme_count; i++)
				assert_non_null(keyd_request_refusal(tls_schemes[i].is_ec ? &kind_p256 : &kind_rsa,
								     tls_schemes[i].number, slice_make(bytes, len)));
	}
	printf("ROW T11 arbitrary-bytes pass\n");
}

/* Every truncation and every extension is refused; so is every change of a byte that is not random, hash or point. */
static void test_changed_requests(void **state)
{
	struct buf tbs = buf_make(1024);

	(void)state;
	for (int exchange = 0; exchange < 2; exchange++) {
		size_t fixed_from = exchange ? 64 : 0, fixed_to = exchange ? 69 : 64 + sizeof(SERVER);

		if (exchange)
			exchange_message(&tbs, 23, 65, 4);
		else
			verify_message(&tbs, SERVER, 32);
		for (size_t len = 0; len < tbs.len; len++)
			assert_non_null(keyd_request_refusal(&kind_p256, 0x0403, slice_make(tbs.at, len)));
		for (size_t i = fixed_from; i < fixed_to; i++) {
			tbs.at[i] = (char)(tbs.at[i] ^ 0x40);
			assert_non_null(keyd_request_refusal(&kind_p256, 0x0403, buf_slice(&tbs)));
			tbs.at[i] = (char)(tbs.at[i] ^ 0x40);
		}
		assert_null(keyd_request_refusal(&kind_p256, 0x0403, buf_slice(&tbs)));
		buf_add_char(&tbs, 'x');
		assert_non_null(keyd_request_refusal(&kind_p256, 0x0403, buf_slice(&tbs)));
	}
	buf_free(&tbs);
}

/* ---- for whom ---- */

static unsigned released; /* holds given back; its address stands for a generation */

static void count_release(void *generation, void *arg)
{
	assert_ptr_equal(generation, &released);
	(*(unsigned *)arg)++;
}

static enum keyd_opened attest(struct keyd_sessions *s, uint64_t number, uint64_t worker)
{
	return keyd_sessions_open(s, number, &(struct keyd_session){.worker = worker, .listener = 1, .generation = &released});
}

static void test_sessions(void **state)
{
	struct keyd_sessions *s = keyd_sessions_new(count_release, &released);
	const struct keyd_session *session;

	(void)state;
	released = 0;
	assert_int_equal(keyd_sessions_use(s, 1, 5, &session), KEYD_UNKNOWN);
	assert_int_equal(attest(s, 1, 5), KEYD_OPENED);
	assert_int_equal(keyd_sessions_use(s, 1, 6, &session), KEYD_NOT_YOURS);
	assert_null(session);
	assert_int_equal(keyd_sessions_use(s, 2, 5, &session), KEYD_UNKNOWN);
	assert_int_equal(keyd_sessions_use(s, 1, 5, &session), KEYD_RIGHT);
	assert_int_equal(session->listener, 1);
	assert_int_equal(keyd_sessions_use(s, 1, 5, &session), KEYD_RIGHT);
	assert_int_equal(keyd_sessions_use(s, 1, 5, &session), KEYD_SPENT);
	assert_int_equal(attest(s, 1, 5), KEYD_OPENED); /* attested again: nothing is given back */
	assert_int_equal(released, 1);
	assert_int_equal(keyd_sessions_use(s, 1, 5, &session), KEYD_SPENT);
	assert_int_equal(attest(s, 1, 6), KEYD_GIVEN_TWICE);
	assert_int_equal(released, 2);
	keyd_sessions_close(s, 1);
	assert_int_equal(released, 3);
	assert_int_equal(keyd_sessions_use(s, 1, 5, &session), KEYD_UNKNOWN);
	keyd_sessions_close(s, 1);
	assert_int_equal(attest(s, 3, 5), KEYD_OPENED);
	keyd_sessions_forget_all(s);
	assert_int_equal(released, 4);
	assert_int_equal(keyd_sessions_count(s), 0);
	assert_int_equal(attest(s, 4, 5), KEYD_OPENED);
	keyd_sessions_free(&s);
	assert_int_equal(released, 5);
	printf("ROW T11 signatures-of-a-session pass\nROW T11 session-of-another pass\n");
}

/* Listener 1 may use key 0, listener 2 key 1. */
static const struct keyd_kind *kind_of(void *generation, uint64_t listener, uint64_t number, void *arg)
{
	assert_ptr_equal(generation, &released);
	assert_null(arg);
	return number + 1 == listener ? &kind_p256 : NULL;
}

static const struct {
	const char *name;
	struct keyd_ask ask;
	bool digest_only;
	enum keyd_decision decision;
} decisions[] = {
	{"no such session", {9, 5, 0, 0x0403, {"", 0}}, false, KEYD_NOT_NOW},
	{"another worker", {1, 6, 0, 0x0403, {"", 0}}, false, KEYD_LIE},
	{"another listener's key", {1, 5, 1, 0x0403, {"", 0}}, false, KEYD_REFUSE},
	{"no such key", {2, 5, 7, 0x0403, {"", 0}}, false, KEYD_REFUSE},
	{"another scheme", {3, 5, 0, 0x0804, {"", 0}}, false, KEYD_REFUSE},
	{"a bare digest", {3, 5, 0, 0x0403, {"", 0}}, true, KEYD_REFUSE},
	{"too often", {3, 5, 0, 0x0403, {"", 0}}, false, KEYD_REFUSE},
	{"good", {4, 5, 0, 0x0403, {"", 0}}, false, KEYD_SIGN},
};

static void test_decisions(void **state)
{
	struct keyd_sessions *s = keyd_sessions_new(count_release, &released);
	struct buf tbs = buf_make(TLS_TBS_MAX);

	(void)state;
	verify_message(&tbs, SERVER, 32);
	for (uint64_t number = 1; number <= 4; number++)
		assert_int_equal(attest(s, number, 5), KEYD_OPENED);
	for (size_t i = 0; i < ARRAY_LEN(decisions); i++) {
		struct keyd_ask ask = decisions[i].ask;
		const struct keyd_session *session;
		const char *why;

		print_message("%s\n", decisions[i].name);
		ask.tbs = decisions[i].digest_only ? slice_from(buf_slice(&tbs), tbs.len - 32) : buf_slice(&tbs);
		assert_int_equal(keyd_decide(s, &ask, kind_of, NULL, &session, &why), decisions[i].decision);
		assert_int_equal(why == NULL, decisions[i].decision == KEYD_SIGN);
	}
	buf_free(&tbs);
	keyd_sessions_free(&s);
	printf("ROW T11 key-of-another-listener pass\n");
}

/* ---- with which keys ---- */

static int file_of(struct slice content)
{
	int fd = memfd_create("key", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content.at, content.len), (ssize_t)content.len);
	return fd;
}

static struct keyd_key *read_text(struct slice text, char why[KEYD_WHY_BYTES])
{
	int fd = file_of(text);
	struct keyd_key *k = keyd_key_read(fd, why);

	close(fd);
	return k;
}

static struct keyd_key *read_key(EVP_PKEY *key)
{
	struct buf pem = buf_make_secret(1 << 16);
	char why[KEYD_WHY_BYTES] = "";
	struct keyd_key *k;

	test_key_pem(key, &pem);
	k = read_text(buf_slice(&pem), why);
	buf_free(&pem);
	if (k == NULL)
		print_message("%s\n", why);
	return k;
}

static void test_keys(void **state)
{
	EVP_PKEY *good[] = {rsa, ec256, ec384}, *bad[] = {ed25519, rsa_short};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct keyd_key *k = read_key(good[i]);

		assert_non_null(k);
		assert_int_equal(keyd_key_kind(k)->is_ec, EVP_PKEY_is_a(good[i], "EC"));
		keyd_key_free(&k);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(read_key(bad[i]));
}

static void encrypted_pem(struct buf *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *at = NULL;
	long len;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, ec256, EVP_aes_256_cbc(), "secret", 6, NULL, NULL), 1);
	len = BIO_get_mem_data(bio, &at);
	buf_add(out, at, (size_t)len);
	BIO_free(bio);
}

static void test_bad_key_files(void **state)
{
	struct buf text = buf_make(1 << 20);
	char why[KEYD_WHY_BYTES];

	(void)state;
	assert_null(read_text(slice_of(""), why));
	assert_non_null(strstr(why, "no private key"));
	assert_null(read_text(slice_of("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), why));
	encrypted_pem(&text);
	assert_null(read_text(buf_slice(&text), why));
	assert_non_null(strstr(why, "encrypted"));
	buf_clear(&text);
	test_certificate(ec256, NAME, -60, YEAR_S, &text);
	assert_null(read_text(buf_slice(&text), why));
	while (text.len <= KEYD_KEY_FILE_MAX)
		buf_add_text(&text, "# a long comment\n");
	assert_null(read_text(buf_slice(&text), why));
	assert_non_null(strstr(why, "cannot be read"));
	buf_free(&text);
}

/* A key file cut anywhere, or with any byte changed, is refused or read: never a crash, never a leak. */
static void test_damaged_key_files(void **state)
{
	struct buf pem = buf_make(1 << 16);
	char why[KEYD_WHY_BYTES];

	(void)state;
	test_key_pem(ec256, &pem);
	for (size_t i = 0; i < pem.len; i++) {
		struct keyd_key *k = read_text(slice_make(pem.at, i), why);

		if (i + 30 < pem.len)
			assert_null(k);
		keyd_key_free(&k);
		pem.at[i] = (char)(pem.at[i] ^ 1);
		k = read_text(buf_slice(&pem), why);
		keyd_key_free(&k);
		pem.at[i] = (char)(pem.at[i] ^ 1);
	}
	buf_free(&pem);
}

static const struct {
	const char *name;
	EVP_PKEY **certified;
	long from_s, until_s;
	enum keyd_match match;
} certificates[] = {
	{"good", &ec256, -60, YEAR_S, KEYD_MATCHES},
	{"another key's", &ec384, -60, YEAR_S, KEYD_NO_MATCH},
	{"another kind's", &rsa, -60, YEAR_S, KEYD_NO_MATCH},
	{"expired", &ec256, -YEAR_S, -60, KEYD_OUT_OF_DATE},
	{"not yet", &ec256, 3600, YEAR_S, KEYD_OUT_OF_DATE},
};

static void test_certificates(void **state)
{
	struct keyd_key *k = read_key(ec256);
	char why[KEYD_WHY_BYTES] = "";
	struct keyd_certificate *c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
		struct buf pem = buf_make(1 << 16);

		test_certificate(*certificates[i].certified, NAME, certificates[i].from_s, certificates[i].until_s, &pem);
		print_message("%s\n", certificates[i].name);
		c = keyd_certificate_read(buf_slice(&pem), why);
		assert_non_null(c);
		assert_int_equal(keyd_certificate_match(c, k, clock_wall_s(), why), certificates[i].match);
		keyd_certificate_free(&c);
		buf_free(&pem);
	}
	assert_null(keyd_certificate_read(slice_of("nothing"), why));
	keyd_key_free(&k);
}

static struct keyd_certificate *certificate_of(const char *names, long from_s, long until_s)
{
	struct buf pem = buf_make(1 << 16);
	char why[KEYD_WHY_BYTES];
	struct keyd_certificate *c;

	test_certificate(ec256, names, from_s, until_s, &pem);
	c = keyd_certificate_read(buf_slice(&pem), why);
	assert_non_null(c);
	buf_free(&pem);
	return c;
}

static void test_certificate_names(void **state)
{
	struct keyd_certificate *old = certificate_of("one.x.test,DNS:two.x.test", -60, YEAR_S);
	struct keyd_certificate *less = certificate_of("two.x.test", -60, YEAR_S);
	struct keyd_certificate *wild = certificate_of("*.x.test", -60, YEAR_S);

	(void)state;
	assert_true(keyd_certificate_is_for(old, "One.x.test"));
	assert_false(keyd_certificate_is_for(old, "three.x.test"));
	assert_false(keyd_certificate_is_for(old, "*.x.test"));
	assert_true(keyd_certificate_is_for(wild, "*.x.test"));
	assert_false(keyd_certificate_is_for(wild, "a.b.x.test"));
	assert_null(keyd_certificate_lacks(old, less));
	assert_string_equal(keyd_certificate_lacks(less, old), "one.x.test");
	assert_null(keyd_certificate_lacks(wild, old));
	assert_string_not_equal(keyd_certificate_fingerprint(old), keyd_certificate_fingerprint(less));
	keyd_certificate_free(&old);
	keyd_certificate_free(&less);
	keyd_certificate_free(&wild);
}

static void test_certificate_ends(void **state)
{
	static const struct {
		long from_days, until_days;
		bool soon;
	} lives[] = {{-1, 89, false}, {-77, 13, true}, {-75, 15, false}, {-4, 2, false}, {-5, 1, true}, {-3000, 13, true},
		     {-30, 15, false}, {-34, 11, true}, {-10, -1, true}};
	char date[KEYD_DATE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
		struct keyd_certificate *c = certificate_of(NAME, lives[i].from_days * 86400, lives[i].until_days * 86400);

		assert_int_equal(keyd_certificate_ends_soon(c, clock_wall_s()), lives[i].soon);
		keyd_certificate_end_date(c, date);
		assert_int_equal(strlen(date), 10);
		keyd_certificate_free(&c);
	}
}

/* ---- real handshakes ---- */

struct asked {
	uint16_t scheme;
	struct buf tbs;
};

static bool ask(const struct tls_key_request *request, void *arg)
{
	struct asked *a = arg;

	a->scheme = request->scheme;
	buf_clear(&a->tbs);
	return buf_add_slice(&a->tbs, request->tbs);
}

typedef void sign_fn(struct asked *a, struct buf *signature, void *arg);

static void keyd_signs(struct asked *a, struct buf *signature, void *arg)
{
	struct keyd_key *k = arg;
	const char *refusal = keyd_request_refusal(keyd_key_kind(k), a->scheme, buf_slice(&a->tbs));

	if (refusal != NULL)
		print_message("refused: %s\n", refusal);
	else
		assert_true(keyd_key_sign(k, a->scheme, buf_slice(&a->tbs), signature));
}

static void step(struct tls_conn *c, struct buf *in, struct buf *out, struct buf *plain, enum tls_want *want)
{
	*want = tls_step(c, buf_slice(in), out, plain);
	buf_clear(in);
}

static bool shake(struct tls_server *server, struct tls_client *client, sign_fn *sign, void *arg)
{
	struct asked asked = {0, buf_make(TLS_TBS_MAX)};
	struct tls_conn *s = tls_conn_server(server, ask, &asked), *c = tls_conn_client(client, NAME, NULL);
	struct buf to_server = buf_make(1 << 20), to_client = buf_make(1 << 20), plain = buf_make(1000);
	struct buf signature = buf_make(KEYD_SIGNATURE_MAX);
	enum tls_want at_client, at_server;
	bool open;

	for (int i = 0; i < 6; i++) {
		step(c, &to_client, &to_server, &plain, &at_client);
		step(s, &to_server, &to_client, &plain, &at_server);
		if (at_server == TLS_WANT_KEY) {
			sign(&asked, &signature, arg);
			tls_key_answer(s, buf_slice(&signature));
			step(s, &to_server, &to_client, &plain, &at_server);
		}
	}
	open = tls_is_open(s) && tls_is_open(c) && tls_facts(c)->peer_verified;
	tls_conn_free(&s);
	tls_conn_free(&c);
	buf_free(&to_server);
	buf_free(&to_client);
	buf_free(&plain);
	buf_free(&signature);
	buf_free(&asked.tbs);
	return open;
}

static void make_sides(struct slice chain, struct tls_server **server, struct tls_client **client)
{
	char why[TLS_WHY_BYTES];

	*server = test_server(chain, "a", false);
	*client = tls_client_new(&(struct tls_client_config){.trust_pem = chain, .verify = true}, why);
	assert_non_null(*server);
	assert_non_null(*client);
}

static void test_handshakes(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	static char groups[][8] = {"X25519", "P-256", "P-384", "P-521", "X448"};
	EVP_PKEY *keys[] = {rsa, ec256, ec384};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		struct keyd_key *key = read_key(keys[k]);
		struct buf chain = buf_make(1 << 16);
		struct tls_server *server;
		struct tls_client *client;

		test_certificate(keys[k], NAME, -60, YEAR_S, &chain);
		make_sides(buf_slice(&chain), &server, &client);
		for (size_t v = 0; v < ARRAY_LEN(versions); v++)
			for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
				SSL_CTX_set_max_proto_version(client->ctx, versions[v]);
				assert_int_equal(SSL_CTX_set1_groups_list(client->ctx, groups[g]), 1);
				print_message("key %zu, version %zu, %s\n", k, v, groups[g]);
				/* A TLS 1.2 client's list of curves binds the certificate's too (RFC 8422 §5.1). */
				if (versions[v] == TLS1_2_VERSION && keys[k] != rsa)
					assert_int_equal(SSL_CTX_set1_groups_list(client->ctx, groups[1]), 1);
				if (versions[v] == TLS1_2_VERSION && keys[k] == ec384)
					assert_int_equal(SSL_CTX_set1_groups_list(client->ctx, groups[2]), 1);
				assert_true(shake(server, client, keyd_signs, key));
			}
		tls_server_free(&server);
		tls_client_free(&client);
		buf_free(&chain);
		keyd_key_free(&key);
	}
}

/* ---- in the cage ---- */

static bool signs_in_cage(int fd)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE};
	const struct cage_order order = {.uid = getuid(), .gid = getgid(), .root_fd = -1, .require = ""};
	char missing[CAGE_MISSING_BYTES], why[KEYD_WHY_BYTES];
	struct buf tbs = buf_make(1024), signature = buf_make(KEYD_SIGNATURE_MAX);
	struct keyd_key *k;

	if (!cage_enter(&spec, &order, missing, why, sizeof(why)))
		return false;
	verify_message(&tbs, SERVER, 32);
	k = keyd_key_read(fd, why);
	return k != NULL && keyd_key_sign(k, keyd_key_kind(k)->is_ec ? 0x0403 : 0x0804, buf_slice(&tbs), &signature);
}

static void test_in_the_cage(void **state)
{
	EVP_PKEY *keys[] = {ec256, rsa};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct buf pem = buf_make_secret(1 << 16);
		int fd, status = 0;
		pid_t pid;

		test_key_pem(keys[i], &pem);
		fd = file_of(buf_slice(&pem));
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(signs_in_cage(fd) ? 0 : 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		close(fd);
		buf_free(&pem);
	}
}

/* ---- the worker never has the key ---- */

static int worker_socket;

static void parent_signs(struct asked *a, struct buf *signature, void *arg)
{
	char bytes[2 + TLS_TBS_MAX], *room;
	ssize_t n;

	(void)arg;
	memcpy(bytes, &a->scheme, 2);
	memcpy(bytes + 2, a->tbs.at, a->tbs.len);
	(void)!write(worker_socket, bytes, 2 + a->tbs.len);
	room = buf_room(signature, KEYD_SIGNATURE_MAX);
	n = read(worker_socket, room, KEYD_SIGNATURE_MAX);
	if (n > 0)
		buf_grew(signature, (size_t)n);
}

/* A worker as smtpd is one: it gets the certificate and asks for signatures. */
static _Noreturn void be_worker(void)
{
	static char chain[1 << 16];
	ssize_t n = read(worker_socket, chain, sizeof(chain));
	struct tls_server *server;
	struct tls_client *client;
	char done;

	tls_prepare();
	make_sides(slice_make(chain, (size_t)n), &server, &client);
	done = shake(server, client, parent_signs, NULL) ? 'y' : 'n';
	(void)!write(worker_socket, &done, 1);
	(void)!read(worker_socket, &done, 1); /* until it was searched */
	_exit(0);
}

static void serve_worker(int fd, EVP_PKEY *key)
{
	struct buf signature = buf_make(KEYD_SIGNATURE_MAX);
	char bytes[2 + TLS_TBS_MAX];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	uint16_t scheme;

	assert_true(n > 2);
	memcpy(&scheme, bytes, 2);
	assert_true(test_sign(key, scheme, slice_make(bytes + 2, (size_t)n - 2), &signature));
	assert_int_equal(write(fd, signature.at, signature.len), (ssize_t)signature.len);
	buf_free(&signature);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 1);
	assert_int_equal(bytes[0], 'y');
}

/* Big-endian as in the file, and as the machine's own limbs are. */
static size_t secret_forms(EVP_PKEY *key, const char *name, char forms[2][256])
{
	BIGNUM *bn = NULL;
	int len;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &bn), 1);
	len = BN_num_bytes(bn);
	BN_bn2bin(bn, (unsigned char *)forms[0]);
	BN_bn2lebinpad(bn, (unsigned char *)forms[1], len);
	BN_clear_free(bn);
	return (size_t)len < 64 ? (size_t)len : 64;
}

static bool is_in_memory(pid_t pid, const char *form, size_t len)
{
	char path[64], line[512];
	FILE *maps;
	int mem;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	assert_true(mem >= 0 && maps != NULL);
	while (!found && fgets(line, sizeof(line), maps) != NULL) {
		unsigned long long from, to;
		char access[8];
		char *space;
		ssize_t n;

		if (sscanf(line, "%llx-%llx %7s", &from, &to, access) != 3 || access[0] != 'r' || access[1] != 'w' ||
		    to - from > (64u << 20))
			continue;
		space = malloc((size_t)(to - from));
		assert_non_null(space);
		n = pread(mem, space, (size_t)(to - from), (off_t)from);
		found = n > 0 && memmem(space, (size_t)n, form, len) != NULL;
		free(space);
	}
	fclose(maps);
	close(mem);
	return found;
}

static void test_worker_memory(void **state)
{
	static const char *const parts[] = {OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2};
	struct buf chain = buf_make(1 << 16);
	EVP_PKEY *key;
	int pair[2];
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork(); /* before there is a key */
	assert_true(pid >= 0);
	if (pid == 0) {
		worker_socket = pair[1];
		close(pair[0]);
		be_worker();
	}
	close(pair[1]);
	key = EVP_RSA_gen(2048);
	test_certificate(key, NAME, -60, YEAR_S, &chain);
	assert_int_equal(write(pair[0], chain.at, chain.len), (ssize_t)chain.len);
	serve_worker(pair[0], key);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char forms[2][256];
		size_t len = secret_forms(key, parts[i], forms);

		assert_false(is_in_memory(pid, forms[0], len));
		assert_false(is_in_memory(pid, forms[1], len));
		/* The search itself works: here is where the key lies. */
		assert_true(is_in_memory(getpid(), forms[1], len));
	}
	printf("ROW T10 worker-memory pass\n");
	close(pair[0]);
	waitpid(pid, NULL, 0);
	EVP_PKEY_free(key);
	buf_free(&chain);
}

static int prepare(void **state)
{
	unsigned char chance[8];

	(void)state;
	tls_prepare();
	/* The worker's random generators are made before there is locked memory, where no leak check would find them. */
	assert_int_equal(RAND_bytes_ex(tls_library(), chance, sizeof(chance), 0), 1);
	assert_int_equal(RAND_priv_bytes_ex(tls_library(), chance, sizeof(chance), 0), 1);
	keyd_key_prepare();
	rsa = EVP_RSA_gen(2048);
	ec256 = EVP_EC_gen("P-256");
	ec384 = EVP_EC_gen("P-384");
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	rsa_short = EVP_RSA_gen(1024);
	return 0;
}

static int clean(void **state)
{
	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec256);
	EVP_PKEY_free(ec384);
	EVP_PKEY_free(ed25519);
	EVP_PKEY_free(rsa_short);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_arbitrary_bytes),
		cmocka_unit_test(test_changed_requests),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_bad_key_files),
		cmocka_unit_test(test_damaged_key_files),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_certificate_names),
		cmocka_unit_test(test_certificate_ends),
		cmocka_unit_test(test_handshakes),
		cmocka_unit_test(test_in_the_cage),
		cmocka_unit_test(test_worker_memory),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
