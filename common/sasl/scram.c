#include "sasl/scram.h"

#include "base/base64.h"
#include "base/mem.h"
#include "sasl/private.h"

#include <openssl/sha.h>

/*
 * SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), the server.
 *
 *   client  gs2-header client-first-bare        "n,,n=alice,r=NONCE"
 *   server  server-first                        "r=NONCE+OURS,s=SALT,i=4096"
 *   client  client-final                        "c=GS2-HEADER+BINDING,r=NONCE+OURS,p=PROOF"
 *   server  server-final                        "v=SIGNATURE"
 *   client  (nothing)
 *
 * What both sign is `auth`: client-first-bare "," server-first "," client-final without its proof.  Without keys of that login the
 * same is computed with keys that nobody knows.
 */
#define NONCE_MAX 256u /* the client's */
#define OWN_NONCE 18u /* bytes; 24 characters */

enum { SCRAM_FIRST, SCRAM_FINAL, SCRAM_LAST };

/* ---- client-first ---- */

static bool is_nonce(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] <= ' ' || text.at[i] > '~' || text.at[i] == ',')
			return false;
	return text.len > 0 && text.len <= NONCE_MAX;
}

/* saslname: "=2C" is a comma, "=3D" an equals sign, and no other "=" stands in it. */
static bool decode_name(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		bool comma = slice_starts(slice_from(text, i), slice_of("=2C"));
		bool equals = slice_starts(slice_from(text, i), slice_of("=3D"));

		if (text.at[i] == '=' && !comma && !equals)
			return false;
		if (!buf_add_char(out, comma ? ',' : equals ? '=' : text.at[i]))
			return false;
		i += comma || equals ? 2 : 0;
	}
	return true;
}

static bool take_name(struct sasl *d, struct slice text)
{
	struct buf name = buf_make(SASL_LOGIN_MAX), prepared = buf_make(4 * SASL_LOGIN_MAX);
	bool taken = decode_name(text, &name) && mail_utf8_is_clean(buf_slice(&name)) && sasl_prepare(buf_slice(&name), &prepared) &&
		     sasl_take_login(d, buf_slice(&prepared));

	buf_free(&name);
	buf_free(&prepared);
	return taken;
}

/* "n=...": the value; false: another letter stands there. */
static bool take_attribute(struct slice *rest, char letter, struct slice *value_out)
{
	struct slice all = slice_empty();

	if (!slice_cut(rest, ',', &all) || all.len < 2 || all.at[0] != letter || all.at[1] != '=')
		return false;
	*value_out = slice_from(all, 2);
	return true;
}

/* Extensions that are not known are passed over, but "m" says that this one must not be (RFC 5802 §5.1). */
static bool take_bare(struct sasl *d, struct slice bare)
{
	struct slice rest = bare, name, nonce;

	return take_attribute(&rest, 'n', &name) && take_attribute(&rest, 'r', &nonce) && is_nonce(nonce) && take_name(d, name) &&
	       buf_add_slice(&d->scram.nonce, nonce);
}

static struct slice binding_of(const struct sasl *d, struct slice kind)
{
	if (slice_eq(kind, slice_of("tls-exporter")))
		return slice_make(d->channel.exporter, d->channel.exporter_len);
	if (slice_eq(kind, slice_of("tls-server-end-point")))
		return slice_make(d->channel.end_point, d->channel.end_point_len);
	return slice_empty();
}

/* "n": it can bind to no channel; "y": it could, and believes that we cannot; "p=KIND": it does. */
static enum sasl_want take_flag(struct sasl *d, struct slice flag)
{
	bool plus = d->mechanism == MECHANISM_SCRAM_SHA_256_PLUS;
	bool offered = d->channel.exporter_len + d->channel.end_point_len > 0;

	if (slice_starts(flag, slice_of("p=")) && plus) {
		struct slice binding = binding_of(d, slice_from(flag, 2));

		if (binding.len == 0)
			return sasl_malformed(d, "that channel binding is not known here");
		return buf_add_slice(&d->scram.binding, binding) ? SASL_RESPONSE : SASL_REFUSED;
	}
	if (plus || (!slice_eq(flag, slice_of("n")) && !slice_eq(flag, slice_of("y"))))
		return sasl_malformed(d, "that is no SCRAM message");
	/* Somebody in between took -PLUS out of our offer (RFC 5802 §6). */
	return flag.at[0] == 'y' && offered ? SASL_REFUSED : SASL_RESPONSE;
}

static enum sasl_want take_authzid(struct sasl *d, struct slice authzid)
{
	struct buf name = buf_make(SASL_LOGIN_MAX);
	bool own = false, good;

	good = slice_starts(authzid, slice_of("a=")) && decode_name(slice_from(authzid, 2), &name);
	/* Some clients write an empty one. */
	own = good && (name.len == 0 || slice_eq(buf_slice(&name), slice_of(d->login)));
	buf_free(&name);
	if (!good)
		return sasl_malformed(d, "that is no SCRAM message");
	return own ? SASL_VERIFIER : SASL_REFUSED;
}

static enum sasl_want first(struct sasl *d, struct slice message)
{
	struct slice bare = message, flag, authzid;
	enum sasl_want want;

	if (slice_index(message, '\0') != SLICE_NONE || !slice_cut(&bare, ',', &flag) || !slice_cut(&bare, ',', &authzid))
		return sasl_malformed(d, "that is no SCRAM message");
	want = take_flag(d, flag);
	if (want != SASL_RESPONSE)
		return want;
	if (!take_bare(d, bare) || !buf_add_slice(&d->scram.header, slice_sub(message, 0, message.len - bare.len)) ||
	    !buf_add_slice(&d->scram.auth, bare))
		return sasl_malformed(d, "that is no SCRAM message");
	return authzid.len == 0 ? SASL_VERIFIER : take_authzid(d, authzid);
}

/* ---- server-first ---- */

static bool add_own_nonce(struct sasl *d)
{
	unsigned char noise[OWN_NONCE];

	mem_random(noise, sizeof(noise));
	return base64_encode(slice_make((const char *)noise, sizeof(noise)), &d->scram.nonce);
}

static bool write_first(struct sasl *d)
{
	const struct scram_keys *keys = &d->scram.keys;

	buf_clear(&d->challenge);
	return add_own_nonce(d) && buf_addf(&d->challenge, "r=%.*s,s=", SLICE_ARG(buf_slice(&d->scram.nonce))) &&
	       base64_encode(slice_make((const char *)keys->salt, keys->salt_len), &d->challenge) &&
	       buf_addf(&d->challenge, ",i=%u", keys->iterations) && buf_add_char(&d->scram.auth, ',') &&
	       buf_add_slice(&d->scram.auth, buf_slice(&d->challenge)) && buf_add_char(&d->scram.auth, ',');
}

/* The salt of somebody who does not exist is always the same, as that of somebody who does. */
static void fake_keys(struct slice login, struct slice seed, struct scram_keys *out)
{
	unsigned char bytes[SASL_HMAC];

	*out = (struct scram_keys){.iterations = SCRAM_ITERATIONS, .salt_len = 16};
	sasl_fake(seed, "scram", login, bytes);
	memcpy(out->salt, bytes, out->salt_len);
	mem_random(out->stored, sizeof(out->stored));
	mem_random(out->server, sizeof(out->server));
}

static enum sasl_want scram_verify(struct sasl *d, struct slice verifier, struct slice login, struct slice seed)
{
	struct scram_keys fake;

	fake_keys(login, seed, &fake);
	d->scram.real = scram_keys_parse(verifier, &d->scram.keys);
	if (!d->scram.real)
		d->scram.keys = fake;
	d->step = SCRAM_FINAL;
	return write_first(d) ? SASL_RESPONSE : sasl_malformed(d, "that message is too long");
}

/* ---- client-final ---- */

/* What "c=" must say: the header as it was, and the binding. */
static bool is_same_channel(struct sasl *d, struct slice said)
{
	struct buf bytes = buf_make(4096);
	size_t header = d->scram.header.len;
	bool same = base64_decode(said, &bytes) &&
		    slice_eq(slice_sub(buf_slice(&bytes), 0, header), buf_slice(&d->scram.header)) &&
		    mem_equal_secret(slice_from(buf_slice(&bytes), header), buf_slice(&d->scram.binding));

	buf_free(&bytes);
	return same;
}

static bool is_proof(struct sasl *d, struct slice said)
{
	const struct scram_keys *keys = &d->scram.keys;
	unsigned char key[SASL_HMAC], hash[SASL_HMAC];
	struct buf proof = buf_make_secret(SCRAM_KEY);
	bool good = base64_decode(said, &proof) && proof.len == SCRAM_KEY;

	sasl_hmac(keys->stored, SCRAM_KEY, buf_slice(&d->scram.auth), key);
	for (size_t i = 0; i < SCRAM_KEY; i++)
		key[i] = (unsigned char)(key[i] ^ (good ? (unsigned char)proof.at[i] : 0));
	SHA256(key, sizeof(key), hash);
	good = mem_equal_secret(slice_make((const char *)hash, sizeof(hash)), slice_make((const char *)keys->stored, SCRAM_KEY)) && good;
	mem_wipe(key, sizeof(key));
	buf_free(&proof);
	return good && d->scram.real;
}

static enum sasl_want write_last(struct sasl *d)
{
	unsigned char signature[SASL_HMAC];

	sasl_hmac(d->scram.keys.server, SCRAM_KEY, buf_slice(&d->scram.auth), signature);
	buf_clear(&d->challenge);
	if (!buf_add_text(&d->challenge, "v=") ||
	    !base64_encode(slice_make((const char *)signature, sizeof(signature)), &d->challenge))
		return sasl_malformed(d, "out of memory");
	d->step = SCRAM_LAST;
	return SASL_RESPONSE;
}

/* The proof stands last. */
static bool cut_proof(struct slice message, struct slice *before_out, struct slice *proof_out)
{
	size_t comma = slice_rindex(message, ',');

	if (comma == SLICE_NONE || !slice_starts(slice_from(message, comma), slice_of(",p=")))
		return false;
	*before_out = slice_sub(message, 0, comma);
	*proof_out = slice_from(message, comma + 3);
	return true;
}

static enum sasl_want final(struct sasl *d, struct slice message)
{
	struct slice before, proof, rest, channel, nonce;

	if (!cut_proof(message, &before, &proof))
		return sasl_malformed(d, "that is no SCRAM message");
	rest = before;
	if (!take_attribute(&rest, 'c', &channel) || !take_attribute(&rest, 'r', &nonce) ||
	    !buf_add_slice(&d->scram.auth, before))
		return sasl_malformed(d, "that is no SCRAM message");
	if (!slice_eq(nonce, buf_slice(&d->scram.nonce)) || !is_same_channel(d, channel))
		return SASL_REFUSED;
	if (!is_proof(d, proof))
		return SASL_REFUSED;
	return write_last(d);
}

static enum sasl_want scram_respond(struct sasl *d, struct slice response)
{
	if (d->step == SCRAM_FIRST)
		return first(d, response);
	if (d->step == SCRAM_FINAL)
		return final(d, response);
	return response.len == 0 ? SASL_ACCEPTED : sasl_malformed(d, "nothing more was to be said");
}

const struct sasl_mechanism sasl_scram = {.respond = scram_respond, .verify = scram_verify, .verifier = SASL_SCRAM_SHA_256};
