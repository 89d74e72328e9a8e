/* The states of MD5 are in reach of its older functions only. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sasl/cram.h"

#include "base/mem.h"
#include "sasl/private.h"

#include <openssl/md5.h>
#include <stdio.h>

/*
 * CRAM-MD5 (RFC 2195), the server.
 *
 *   server  "<random@host>"
 *   client  login SP HMAC-MD5(password, challenge) in 32 hexadecimal digits
 */
#define DIGEST 16u
#define BLOCK 64u

/* ---- keys ---- */

static void put_state(const MD5_CTX *c, unsigned char out[DIGEST])
{
	const MD5_LONG words[] = {c->A, c->B, c->C, c->D};

	for (size_t i = 0; i < DIGEST; i++)
		out[i] = (unsigned char)(words[i / 4] >> (8 * (i % 4)));
}

/* As if one block had been hashed. */
static void take_state(MD5_CTX *c, const unsigned char in[DIGEST])
{
	MD5_LONG words[4] = {0, 0, 0, 0};

	for (size_t i = 0; i < DIGEST; i++)
		words[i / 4] |= (MD5_LONG)in[i] << (8 * (i % 4));
	MD5_Init(c);
	c->A = words[0];
	c->B = words[1];
	c->C = words[2];
	c->D = words[3];
	c->Nl = BLOCK * 8;
}

static void pad_and_hash(const unsigned char key[BLOCK], unsigned char pad, unsigned char out[DIGEST])
{
	unsigned char block[BLOCK];
	MD5_CTX c;

	for (size_t i = 0; i < BLOCK; i++)
		block[i] = key[i] ^ pad;
	MD5_Init(&c);
	MD5_Update(&c, block, BLOCK);
	put_state(&c, out);
	mem_wipe(&c, sizeof(c));
	mem_wipe(block, sizeof(block));
}

static void make_keys(struct slice password, unsigned char out[CRAM_KEYS])
{
	unsigned char key[BLOCK] = {0};

	if (password.len > BLOCK)
		MD5((const unsigned char *)password.at, password.len, key);
	else
		memcpy(key, password.at, password.len);
	pad_and_hash(key, 0x36, out);
	pad_and_hash(key, 0x5c, out + DIGEST);
	mem_wipe(key, sizeof(key));
}

static bool add_hex(struct buf *out, const unsigned char *at, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	bool ok = true;

	for (size_t i = 0; ok && i < len; i++)
		ok = buf_add_char(out, digits[at[i] >> 4]) && buf_add_char(out, digits[at[i] & 15]);
	return ok;
}

static int digit(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(struct slice text, unsigned char *out, size_t len)
{
	if (text.len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = digit(text.at[2 * i]), low = digit(text.at[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

bool cram_keys_print(struct slice password, struct buf *out)
{
	unsigned char keys[CRAM_KEYS];
	bool done;

	make_keys(password, keys);
	done = add_hex(out, keys, sizeof(keys));
	mem_wipe(keys, sizeof(keys));
	return done;
}

/* ---- the dialogue ---- */

static enum sasl_want cram_begin(struct sasl *d)
{
	unsigned char noise[16];

	mem_random(noise, sizeof(noise));
	if (!buf_add_char(&d->challenge, '<') || !add_hex(&d->challenge, noise, sizeof(noise)) ||
	    !buf_addf(&d->challenge, "@%s>", d->channel.hostname))
		return sasl_malformed(d, "out of memory");
	return SASL_RESPONSE;
}

static enum sasl_want cram_respond(struct sasl *d, struct slice response)
{
	size_t space = slice_rindex(response, ' ');

	if (space == SLICE_NONE || !take_hex(slice_from(response, space + 1), d->cram.said, DIGEST) ||
	    !sasl_take_login(d, slice_sub(response, 0, space)))
		return sasl_malformed(d, "that is no CRAM-MD5 response");
	return SASL_VERIFIER;
}

static void hmac(const unsigned char keys[CRAM_KEYS], struct slice text, unsigned char out[DIGEST])
{
	unsigned char inner[DIGEST];
	MD5_CTX c;

	take_state(&c, keys);
	MD5_Update(&c, text.at, text.len);
	MD5_Final(inner, &c);
	take_state(&c, keys + DIGEST);
	MD5_Update(&c, inner, DIGEST);
	MD5_Final(out, &c);
	mem_wipe(&c, sizeof(c));
}

/* Nobody's keys do the same work, and fit nothing. */
static enum sasl_want cram_verify(struct sasl *d, struct slice verifier, struct slice login, struct slice seed)
{
	unsigned char keys[CRAM_KEYS], digest[DIGEST];
	bool real, same;

	sasl_fake(seed, "cram", login, keys);
	real = take_hex(verifier, keys, CRAM_KEYS);
	hmac(keys, buf_slice(&d->challenge), digest);
	same = mem_equal_secret(slice_make((const char *)digest, DIGEST), slice_make((const char *)d->cram.said, DIGEST));
	mem_wipe(keys, sizeof(keys));
	return same && real ? SASL_ACCEPTED : SASL_REFUSED;
}

const struct sasl_mechanism sasl_cram = {
	.server_first = true,
	.begin = cram_begin,
	.respond = cram_respond,
	.verify = cram_verify,
	.verifier = SASL_CRAM_MD5,
};
