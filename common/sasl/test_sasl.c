#include "sasl/sasl.h"

#include "base/base64.h"
#include "base/mem.h"
#include "sasl/cram.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>

#define ROW(text) print_message("ROW " text "\n")
static const struct sasl_channel here = {.hostname = "mx.example.test"};

#define BYTES_OF(literal) slice_make(literal, sizeof(literal) - 1)

static void test_names(void **state)
{
	(void)state;
	for (unsigned m = 0; m < MECHANISM_COUNT; m++)
		assert_int_equal(mechanism_find(slice_of(mechanism_name((enum mechanism)m))), m);
	assert_int_equal(mechanism_find(slice_of("scram-sha-256")), MECHANISM_SCRAM_SHA_256);
	assert_int_equal(mechanism_find(slice_of("SCRAM-SHA-25")), MECHANISM_COUNT);
	assert_int_equal(mechanism_find(slice_of("NTLM")), MECHANISM_COUNT);
	assert_int_equal(mechanism_find(slice_of("GSSAPI")), MECHANISM_COUNT);
	assert_int_equal(mechanism_find(slice_empty()), MECHANISM_COUNT);
	assert_string_equal(mechanism_name(MECHANISM_COUNT), "?");
	ROW("E12 mechanism-names pass");
}

static void test_plain(void **state)
{
	static const struct {
		const char *at;
		size_t len;
		enum sasl_want want;
	} rows[] = {
#define SAYS(literal) literal, sizeof(literal) - 1
		{SAYS("\0alice\0secret"), SASL_PASSWORD},
		{SAYS("alice\0alice\0secret"), SASL_PASSWORD},
		{SAYS("\0alice\0\xc3\xa4"), SASL_PASSWORD},
		{SAYS("bob\0alice\0secret"), SASL_REFUSED},
		{SAYS(""), SASL_MALFORMED},
		{SAYS("alice"), SASL_MALFORMED},
		{SAYS("\0alice"), SASL_MALFORMED},
		{SAYS("\0alice\0"), SASL_MALFORMED},
		{SAYS("\0\0secret"), SASL_MALFORMED},
		{SAYS("\0alice\0se\0cret"), SASL_MALFORMED},
		{SAYS("\0alice\0secret\0"), SASL_MALFORMED},
		{SAYS("\0al\nice\0secret"), SASL_MALFORMED},
		{SAYS("\0al\xc3\0secret"), SASL_MALFORMED},
		{SAYS("\0al\xed\xa0\x80\0secret"), SASL_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sasl d;

		if (sasl_begin(&d, MECHANISM_PLAIN, &here, true, slice_make(rows[i].at, rows[i].len)) != rows[i].want)
			fail_msg("row %zu", i);
		assert_int_equal(d.why != NULL, rows[i].want == SASL_MALFORMED);
		sasl_clear(&d);
	}
}

static void test_plain_in_two(void **state)
{
	struct sasl d;

	(void)state;
	assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, &here, false, slice_of("never looked at")), SASL_RESPONSE);
	assert_int_equal(d.challenge.len, 0);
	assert_int_equal(sasl_respond(&d, BYTES_OF("\0alice\0secret")), SASL_PASSWORD);
	assert_string_equal(d.login, "alice");
	assert_true(slice_eq(buf_slice(&d.password), slice_of("secret")));
	sasl_clear(&d);
	assert_int_equal(d.password.len, 0);
}

/* CVE-2023-42115 and its kind: many fields, and fields of every length up to beyond the bounds. */
static void test_fields(void **state)
{
	static char nuls[301], long_one[2 * SASL_PASSWORD_MAX + SASL_LOGIN_MAX];
	struct sasl d;

	(void)state;
	for (size_t n = 0; n <= 300; n++) {
		assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, &here, true, slice_make(nuls, n)), SASL_MALFORMED);
		sasl_clear(&d);
	}
	for (size_t login = 1; login < SASL_LOGIN_MAX + 10; login++) {
		memset(long_one, 'a', sizeof(long_one));
		long_one[0] = long_one[1 + login] = '\0';
		assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, &here, true, slice_make(long_one, login + 3)),
				 login <= SASL_LOGIN_MAX ? SASL_PASSWORD : SASL_MALFORMED);
		sasl_clear(&d);
	}
	for (size_t secret = 1; secret < SASL_PASSWORD_MAX + 10; secret++) {
		memset(long_one, 'a', sizeof(long_one));
		long_one[0] = long_one[2] = '\0';
		assert_int_equal(sasl_begin(&d, MECHANISM_PLAIN, &here, true, slice_make(long_one, secret + 3)),
				 secret <= SASL_PASSWORD_MAX ? SASL_PASSWORD : SASL_MALFORMED);
		sasl_clear(&d);
	}
	ROW("E13 plain-fields pass");
}

static void test_login(void **state)
{
	struct sasl d;

	(void)state;
	assert_int_equal(sasl_begin(&d, MECHANISM_LOGIN, &here, false, slice_empty()), SASL_RESPONSE);
	assert_true(slice_eq(buf_slice(&d.challenge), slice_of("Username:")));
	assert_int_equal(sasl_respond(&d, slice_of("alice")), SASL_RESPONSE);
	assert_true(slice_eq(buf_slice(&d.challenge), slice_of("Password:")));
	assert_int_equal(sasl_respond(&d, slice_of("secret")), SASL_PASSWORD);
	assert_string_equal(d.login, "alice");
	sasl_clear(&d);
	assert_int_equal(sasl_begin(&d, MECHANISM_LOGIN, &here, true, slice_of("alice")), SASL_RESPONSE);
	assert_int_equal(sasl_respond(&d, slice_empty()), SASL_MALFORMED);
	sasl_clear(&d);
	assert_int_equal(sasl_begin(&d, MECHANISM_LOGIN, &here, true, slice_empty()), SASL_MALFORMED);
	sasl_clear(&d);
}

/* ---- SCRAM ---- */

#define SEED slice_of("a secret of ours")

static void hmac(const unsigned char key[32], const char *text, size_t len, unsigned char out[32])
{
	unsigned n = 32;

	assert_non_null(HMAC(EVP_sha256(), key, 32, (const unsigned char *)text, len, out, &n));
}

/* A client of its own, after RFC 5802 §3. */
struct client {
	const char *password;
	struct buf auth, said; /* owned */
	unsigned char server_signature[32];
};

static struct slice value_of(struct slice message, const char *name)
{
	size_t at = slice_find(message, slice_of(name));
	struct slice value = slice_from(message, at == SLICE_NONE ? message.len : at + strlen(name));
	size_t end = slice_index(value, ',');

	return slice_sub(value, 0, end);
}

static void sign(struct client *c, struct slice salt, unsigned iterations, unsigned char proof[32])
{
	unsigned char salted[32], client[32], stored[32], server[32], signature[32];

	assert_int_equal(PKCS5_PBKDF2_HMAC(c->password, -1, (const unsigned char *)salt.at, (int)salt.len, (int)iterations, EVP_sha256(),
					   32, salted), 1);
	hmac(salted, "Client Key", 10, client);
	hmac(salted, "Server Key", 10, server);
	SHA256(client, 32, stored);
	hmac(stored, c->auth.at, c->auth.len, signature);
	hmac(server, c->auth.at, c->auth.len, c->server_signature);
	for (size_t i = 0; i < 32; i++)
		proof[i] = client[i] ^ signature[i];
}

/* The answer to server-first; `header` is the gs2 header and what the channel is bound to. */
static struct slice final_message(struct client *c, const char *bare, struct slice first, struct slice header)
{
	struct buf salt = buf_make(64);
	uint64_t iterations = 0;
	unsigned char proof[32];

	assert_true(base64_decode(value_of(first, ",s="), &salt) && slice_u64(value_of(first, ",i="), 1 << 30, &iterations));
	c->auth = buf_make(8192);
	c->said = buf_make(8192);
	buf_add_text(&c->said, "c=");
	base64_encode(header, &c->said);
	buf_addf(&c->said, ",r=%.*s", SLICE_ARG(value_of(first, "r=")));
	buf_addf(&c->auth, "%s,%.*s,%.*s", bare, SLICE_ARG(first), SLICE_ARG(buf_slice(&c->said)));
	sign(c, buf_slice(&salt), (unsigned)iterations, proof);
	buf_add_text(&c->said, ",p=");
	base64_encode(slice_make((const char *)proof, 32), &c->said);
	buf_free(&salt);
	return buf_slice(&c->said);
}

static void client_free(struct client *c)
{
	buf_free(&c->auth);
	buf_free(&c->said);
}

static struct slice keys_of(const char *password)
{
	static char text[SCRAM_TEXT_MAX + 1];
	struct buf out = buf_make_secret(SCRAM_TEXT_MAX);
	struct scram_keys keys, again;

	assert_true(scram_keys_make(slice_of(password), &keys));
	assert_true(scram_keys_print(&keys, &out));
	assert_true(slice_copy(buf_slice(&out), text, sizeof(text)));
	assert_true(scram_keys_parse(slice_of(text), &again));
	assert_memory_equal(again.stored, keys.stored, 32);
	assert_memory_equal(again.salt, keys.salt, keys.salt_len);
	buf_free(&out);
	return slice_of(text);
}

/* The example of RFC 7677 §3, with its server's nonce put in place of ours. */
static void test_scram_example(void **state)
{
	static const char first[] = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
	struct client c = {.password = "pencil"};
	unsigned char salted[32];
	struct buf salt = buf_make(64);
	struct scram_keys keys = {.iterations = 4096, .salt_len = 16};
	struct buf text = buf_make(SCRAM_TEXT_MAX);
	unsigned char client[32];
	struct sasl d;

	(void)state;
	assert_true(base64_decode(slice_of("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt));
	memcpy(keys.salt, salt.at, 16);
	assert_int_equal(PKCS5_PBKDF2_HMAC("pencil", -1, keys.salt, 16, 4096, EVP_sha256(), 32, salted), 1);
	hmac(salted, "Client Key", 10, client);
	SHA256(client, 32, keys.stored);
	hmac(salted, "Server Key", 10, keys.server);
	assert_true(scram_keys_print(&keys, &text));
	assert_int_equal(sasl_begin(&d, MECHANISM_SCRAM_SHA_256, &here, true, slice_of("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")),
			 SASL_VERIFIER);
	assert_string_equal(d.login, "user");
	assert_int_equal(sasl_verify(&d, buf_slice(&text), slice_of("user"), SEED), SASL_RESPONSE);
	buf_clear(&d.scram.nonce);
	buf_add_text(&d.scram.nonce, "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
	buf_clear(&d.scram.auth);
	buf_addf(&d.scram.auth, "n=user,r=rOprNGfwEbeRWgbNEkqO,%s,", first);
	assert_int_equal(sasl_respond(&d, slice_of("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
						   "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")),
			 SASL_RESPONSE);
	assert_true(slice_eq(buf_slice(&d.challenge), slice_of("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")));
	assert_int_equal(sasl_respond(&d, slice_empty()), SASL_ACCEPTED);
	sasl_clear(&d);
	buf_free(&salt);
	buf_free(&text);
	client_free(&c);
}

static enum sasl_want scram(struct sasl *d, enum mechanism m, const struct sasl_channel *channel, const char *flag, const char *bare,
			    struct slice verifier, struct slice binding, const char *password)
{
	struct client c = {.password = password};
	struct buf first = buf_make(1024), header = buf_make(1024);
	enum sasl_want want;

	buf_addf(&first, "%s%s", flag, bare);
	buf_add_text(&header, flag);
	buf_add_slice(&header, binding);
	want = sasl_begin(d, m, channel, true, buf_slice(&first));
	if (want == SASL_VERIFIER)
		want = sasl_verify(d, verifier, slice_of(d->login), SEED);
	if (want == SASL_RESPONSE)
		want = sasl_respond(d, final_message(&c, bare, buf_slice(&d->challenge), buf_slice(&header)));
	if (want == SASL_RESPONSE) { /* the server knows the password's keys, too */
		struct buf signature = buf_make(64);

		buf_add_text(&signature, "v=");
		base64_encode(slice_make((const char *)c.server_signature, 32), &signature);
		assert_true(slice_eq(buf_slice(&d->challenge), buf_slice(&signature)));
		buf_free(&signature);
		want = sasl_respond(d, slice_empty());
	}
	client_free(&c);
	buf_free(&first);
	buf_free(&header);
	return want;
}

static void test_scram_channels(void **state)
{
	struct sasl_channel tls = {.hostname = "mx", .exporter_len = 32, .end_point_len = 32};
	struct slice keys = keys_of("secret"), good, other = slice_of("another channel of thirty-two ..");
	struct sasl d;

	(void)state;
	memset(tls.exporter, 'x', 32);
	memset(tls.end_point, 'e', 32);
	good = slice_make(tls.exporter, 32);
	const struct {
		enum mechanism m;
		const struct sasl_channel *channel;
		const char *flag;
		struct slice binding;
		enum sasl_want want;
	} rows[] = {
		{MECHANISM_SCRAM_SHA_256, &here, "n,,", slice_empty(), SASL_ACCEPTED},
		{MECHANISM_SCRAM_SHA_256, &tls, "n,,", slice_empty(), SASL_ACCEPTED},
		{MECHANISM_SCRAM_SHA_256, &here, "y,,", slice_empty(), SASL_ACCEPTED},
		{MECHANISM_SCRAM_SHA_256, &here, "n,a=alice,", slice_empty(), SASL_ACCEPTED},
		{MECHANISM_SCRAM_SHA_256, &here, "n,a=bob,", slice_empty(), SASL_REFUSED},
		/* it was told that we bind, and says that we do not */
		{MECHANISM_SCRAM_SHA_256, &tls, "y,,", slice_empty(), SASL_REFUSED},
		{MECHANISM_SCRAM_SHA_256, &tls, "p=tls-exporter,,", good, SASL_MALFORMED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "p=tls-exporter,,", good, SASL_ACCEPTED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "p=tls-exporter,,", other, SASL_REFUSED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "p=tls-exporter,,", slice_empty(), SASL_REFUSED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "p=tls-server-end-point,,", slice_make(tls.end_point, 32), SASL_ACCEPTED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "p=tls-server-end-point,,", good, SASL_REFUSED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "p=tls-unique,,", good, SASL_MALFORMED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &here, "p=tls-exporter,,", good, SASL_MALFORMED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "n,,", slice_empty(), SASL_MALFORMED},
		{MECHANISM_SCRAM_SHA_256_PLUS, &tls, "y,,", slice_empty(), SASL_MALFORMED},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (scram(&d, rows[i].m, rows[i].channel, rows[i].flag, "n=alice,r=abc", keys, rows[i].binding, "secret") !=
		    rows[i].want)
			fail_msg("row %zu", i);
		sasl_clear(&d);
	}
	ROW("A07 scram-downgrade pass");
}

static void test_scram_secrets(void **state)
{
	struct slice keys = keys_of("secret");
	char broken[SCRAM_TEXT_MAX + 1];
	struct sasl d;

	(void)state;
	assert_int_equal(scram(&d, MECHANISM_SCRAM_SHA_256, &here, "n,,", "n=alice,r=abc", keys, slice_empty(), "Secret"), SASL_REFUSED);
	sasl_clear(&d);
	assert_int_equal(scram(&d, MECHANISM_SCRAM_SHA_256, &here, "n,,", "n=alice,r=abc", slice_empty(), slice_empty(), "secret"),
			 SASL_REFUSED);
	sasl_clear(&d);
	/* An older nonce's message is worth nothing: ours is new each time. */
	for (size_t len = 0; len < keys.len; len++) {
		struct scram_keys k;

		memcpy(broken, keys.at, len);
		broken[len] = '\0';
		assert_false(scram_keys_parse(slice_of(broken), &k));
	}
	keys = keys_of("p\xc3\xa4ss\xc2\xaaword"); /* prepared: the a with its dots stays, the ordinal is an "a" (RFC 4013 §3) */
	assert_int_equal(scram(&d, MECHANISM_SCRAM_SHA_256, &here, "n,,", "n=a=2Cb=3D,r=abc", keys, slice_empty(), "p\xc3\xa4ssaword"),
			 SASL_ACCEPTED);
	assert_string_equal(d.login, "a,b=");
	sasl_clear(&d);
}

/* What somebody who is not there is shown is as steady as what is stored, and differs from name to name. */
static void test_scram_nobody(void **state)
{
	struct slice seen[2], keys = keys_of("secret");
	struct sasl d[4];
	const char *const firsts[] = {"n,,n=nobody,r=a", "n,,n=nobody,r=b", "n,,n=noone,r=a", "n,,n=alice,r=a"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(sasl_begin(&d[i], MECHANISM_SCRAM_SHA_256, &here, true, slice_of(firsts[i])), SASL_VERIFIER);
		assert_int_equal(sasl_verify(&d[i], i == 3 ? keys : slice_empty(), slice_of(d[i].login), SEED), SASL_RESPONSE);
	}
	seen[0] = value_of(buf_slice(&d[0].challenge), ",s=");
	assert_true(slice_eq(seen[0], value_of(buf_slice(&d[1].challenge), ",s=")));
	assert_false(slice_eq(seen[0], value_of(buf_slice(&d[2].challenge), ",s=")));
	assert_int_equal(d[0].challenge.len, d[3].challenge.len);
	assert_true(slice_eq(value_of(buf_slice(&d[0].challenge), ",i="), value_of(buf_slice(&d[3].challenge), ",i=")));
	assert_false(slice_eq(value_of(buf_slice(&d[0].challenge), "r="), value_of(buf_slice(&d[1].challenge), "r=")));
	for (size_t i = 0; i < 4; i++)
		sasl_clear(&d[i]);
	ROW("A02 scram-nobody pass");
}

static void test_scram_malformed(void **state)
{
	static const char *const firsts[] = {
		"", ",", ",,", "n", "n,", "n,,", "n,,n=alice", "n,,n=alice,", "n,,n=alice,r=", "n,,r=abc,n=alice", "x,,n=alice,r=abc",
		"n,,n=,r=abc", "n,,n=a=b,r=abc", "n,,n=a=2c,r=abc", "n,,n=a=,r=abc", "n,,n=a=2,r=abc", "n,,m=x,n=alice,r=abc",
		"n,a,n=alice,r=abc", "n,b=alice,n=alice,r=abc", "n,a==,n=alice,r=abc", "n,,n=alice,r=a b", "n,,n=alice,r=\xc3\xa4",
		"n,,n=al\x01ice,r=abc", "n,,n=\xff,r=abc", "p=,,n=alice,r=abc", "nn,,n=alice,r=abc",
	};
	static const char *const finals[] = {"", "c=biws", "c=biws,r=abc", ",p=", "c=biws,p=abc", "r=abc,c=biws,p=abc", "p=abc"};
	static char long_one[MECHANISM_MESSAGE_MAX];
	struct sasl d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		if (sasl_begin(&d, MECHANISM_SCRAM_SHA_256, &here, true, slice_of(firsts[i])) != SASL_MALFORMED)
			fail_msg("%s", firsts[i]);
		sasl_clear(&d);
	}
	assert_int_equal(sasl_begin(&d, MECHANISM_SCRAM_SHA_256, &here, true, BYTES_OF("n,,n=al\0ice,r=abc")), SASL_MALFORMED);
	sasl_clear(&d);
	for (size_t i = 0; i < ARRAY_LEN(finals); i++) {
		assert_int_equal(sasl_begin(&d, MECHANISM_SCRAM_SHA_256, &here, true, slice_of("n,,n=alice,r=abc")), SASL_VERIFIER);
		assert_int_equal(sasl_verify(&d, slice_empty(), slice_of("alice"), SEED), SASL_RESPONSE);
		if (sasl_respond(&d, slice_of(finals[i])) != SASL_MALFORMED)
			fail_msg("%s", finals[i]);
		sasl_clear(&d);
	}
	memset(long_one, 'a', sizeof(long_one));
	for (size_t len = 200; len < sizeof(long_one); len += 97) {
		enum sasl_want want;

		memcpy(long_one, "n,,n=alice,r=abc,x=", 19);
		want = sasl_begin(&d, MECHANISM_SCRAM_SHA_256, &here, true, slice_make(long_one, len));
		if (want == SASL_VERIFIER)
			want = sasl_verify(&d, slice_empty(), slice_of("alice"), SEED);
		assert_true(want == SASL_RESPONSE || want == SASL_MALFORMED);
		sasl_clear(&d);
	}
	ROW("E13 scram-fields pass");
}

/* ---- CRAM-MD5 ---- */

/* The example of RFC 2195 §2, with its challenge in place of ours. */
static void test_cram_md5(void **state)
{
	struct buf keys = buf_make(CRAM_TEXT);
	static const struct {
		const char *response;
		enum sasl_want want;
	} rows[] = {
		{"tim b913a602c7eda7a495b4e6e7334d3890", SASL_ACCEPTED},
		{"tim B913A602C7EDA7A495B4E6E7334D3890", SASL_ACCEPTED},
		{"tim b913a602c7eda7a495b4e6e7334d3891", SASL_REFUSED},
		{"tim b913a602c7eda7a495b4e6e7334d389", SASL_MALFORMED},
		{"tim b913a602c7eda7a495b4e6e7334d38900", SASL_MALFORMED},
		{"tim g913a602c7eda7a495b4e6e7334d3890", SASL_MALFORMED},
		{"tim", SASL_MALFORMED},
		{"", SASL_MALFORMED},
		{" b913a602c7eda7a495b4e6e7334d3890", SASL_MALFORMED},
	};

	(void)state;
	assert_true(cram_keys_print(slice_of("tanstaaftanstaaf"), &keys));
	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		bool real = i < ARRAY_LEN(rows);
		enum sasl_want want, wanted = rows[i % ARRAY_LEN(rows)].want;
		struct sasl d;

		assert_int_equal(sasl_begin(&d, MECHANISM_CRAM_MD5, &here, false, slice_empty()), SASL_RESPONSE);
		assert_int_equal(buf_slice(&d.challenge).len, 34 + strlen("mx.example.test") + 1);
		buf_clear(&d.challenge);
		buf_add_text(&d.challenge, "<1896.697170952@postoffice.reston.mci.net>");
		want = sasl_respond(&d, slice_of(rows[i % ARRAY_LEN(rows)].response));
		if (want == SASL_VERIFIER)
			want = sasl_verify(&d, real ? buf_slice(&keys) : slice_empty(), slice_of("tim"), SEED);
		if (want != (real || wanted == SASL_MALFORMED ? wanted : SASL_REFUSED))
			fail_msg("row %zu", i);
		sasl_clear(&d);
	}
	buf_free(&keys);
	ROW("A07 cram-initial-response pass");
}

static void test_cram_md5_is_hmac(void **state)
{
	static const size_t lengths[] = {1, 16, 63, 64, 65, 200, 511};
	char password[512];

	(void)state;
	memset(password, 'k', sizeof(password));
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buf keys = buf_make(CRAM_TEXT), response = buf_make(64);
		unsigned char digest[16];
		unsigned len = 16;
		struct sasl d;

		assert_true(cram_keys_print(slice_make(password, lengths[i]), &keys));
		assert_int_equal(sasl_begin(&d, MECHANISM_CRAM_MD5, &here, false, slice_empty()), SASL_RESPONSE);
		assert_non_null(HMAC(EVP_md5(), password, (int)lengths[i], (const unsigned char *)d.challenge.at, d.challenge.len,
				     digest, &len));
		buf_add_text(&response, "tim ");
		for (size_t k = 0; k < 16; k++)
			buf_addf(&response, "%02x", digest[k]);
		assert_int_equal(sasl_respond(&d, buf_slice(&response)), SASL_VERIFIER);
		assert_int_equal(sasl_verify(&d, buf_slice(&keys), slice_of("tim"), SEED), SASL_ACCEPTED);
		sasl_clear(&d);
		assert_int_equal(sasl_begin(&d, MECHANISM_CRAM_MD5, &here, true, buf_slice(&response)), SASL_MALFORMED);
		sasl_clear(&d);
		buf_free(&keys);
		buf_free(&response);
	}
}

static void test_external(void **state)
{
	static const struct {
		const char *authzid, *login; /* login: of the certificate; "": nobody's */
		enum sasl_want want;
	} rows[] = {
		{"", "alice", SASL_ACCEPTED},	 {"alice", "alice", SASL_ACCEPTED}, {"Alice", "alice", SASL_ACCEPTED},
		{"bob", "alice", SASL_REFUSED},	 {"alic", "alice", SASL_REFUSED},   {"alice ", "alice", SASL_REFUSED},
		{"", "", SASL_REFUSED},		 {"alice", "", SASL_REFUSED},	    {"ann\xc3\xa9", "ann\xc3\xa9", SASL_ACCEPTED},
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		bool initial = i < ARRAY_LEN(rows);
		struct slice said = slice_of(rows[i % ARRAY_LEN(rows)].authzid), login = slice_of(rows[i % ARRAY_LEN(rows)].login);
		enum sasl_want want;
		struct sasl d;

		want = sasl_begin(&d, MECHANISM_EXTERNAL, &here, initial, said);
		if (!initial) {
			assert_int_equal(want, SASL_RESPONSE);
			assert_int_equal(d.challenge.len, 0);
			want = sasl_respond(&d, said);
		}
		assert_int_equal(want, SASL_IDENTITY);
		assert_int_equal(sasl_identified(&d, login), rows[i % ARRAY_LEN(rows)].want);
		/* It is the certificate that is tried, never who is only named. */
		assert_true(slice_eq(slice_of(d.login), login));
		sasl_clear(&d);
	}
}

/* CVE-2023-42115: many fields, where there is one. */
static void test_external_fields(void **state)
{
	char message[301];

	(void)state;
	for (size_t n = 1; n <= 300; n++)
		for (unsigned with = 0; with < 3; with++) {
			struct sasl d;

			for (size_t i = 0; i < n; i++)
				message[i] = with == 0 || i % 2 == with - 1 ? '\0' : 'a';
			/* One letter without any NUL is a name. */
			if (n == 1 && with == 2)
				continue;
			assert_int_equal(sasl_begin(&d, MECHANISM_EXTERNAL, &here, true, slice_make(message, n)), SASL_MALFORMED);
			sasl_clear(&d);
			assert_int_equal(sasl_begin(&d, MECHANISM_EXTERNAL, &here, false, slice_empty()), SASL_RESPONSE);
			assert_int_equal(sasl_respond(&d, slice_make(message, n)), SASL_MALFORMED);
			assert_string_equal(d.login, "");
			sasl_clear(&d);
		}
	memset(message, 'a', sizeof(message));
	for (size_t n = 254; n <= 300; n++) {
		struct sasl d;

		assert_int_equal(sasl_begin(&d, MECHANISM_EXTERNAL, &here, true, slice_make(message, n)),
				 n <= SASL_LOGIN_MAX ? SASL_IDENTITY : SASL_MALFORMED);
		sasl_clear(&d);
	}
	ROW("E13 external-fields pass");
}

static void test_who_is_not_spoken_here(void **state)
{
	(void)state;
	assert_true(sasl_speaks(MECHANISM_PLAIN));
	assert_false(sasl_speaks(MECHANISM_XOAUTH2));
	assert_false(sasl_speaks(MECHANISM_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),  cmocka_unit_test(test_plain), cmocka_unit_test(test_plain_in_two),
		cmocka_unit_test(test_fields), cmocka_unit_test(test_login), cmocka_unit_test(test_scram_example),
		cmocka_unit_test(test_scram_channels), cmocka_unit_test(test_scram_secrets), cmocka_unit_test(test_scram_nobody),
		cmocka_unit_test(test_scram_malformed), cmocka_unit_test(test_cram_md5), cmocka_unit_test(test_cram_md5_is_hmac),
		cmocka_unit_test(test_external), cmocka_unit_test(test_external_fields), cmocka_unit_test(test_who_is_not_spoken_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
