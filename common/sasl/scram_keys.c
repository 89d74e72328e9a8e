#include "sasl/scram.h"

#include "base/base64.h"
#include "base/mem.h"
#include "sasl/private.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#define NAME "SCRAM-SHA-256$"
#define NEW_SALT 16u

static void derive(const unsigned char salted[SCRAM_KEY], struct scram_keys *out)
{
	unsigned char client[SCRAM_KEY];

	sasl_hmac(salted, SCRAM_KEY, slice_of("Client Key"), client);
	SHA256(client, sizeof(client), out->stored);
	sasl_hmac(salted, SCRAM_KEY, slice_of("Server Key"), out->server);
	mem_wipe(client, sizeof(client));
}

static bool make(struct slice prepared, struct scram_keys *out)
{
	unsigned char salted[SCRAM_KEY];
	bool done;

	*out = (struct scram_keys){.iterations = SCRAM_ITERATIONS, .salt_len = NEW_SALT};
	mem_random(out->salt, NEW_SALT);
	done = PKCS5_PBKDF2_HMAC(prepared.at, (int)prepared.len, out->salt, NEW_SALT, SCRAM_ITERATIONS, EVP_sha256(), SCRAM_KEY,
				 salted) == 1;
	if (done)
		derive(salted, out);
	mem_wipe(salted, sizeof(salted));
	return done;
}

bool scram_keys_make(struct slice password, struct scram_keys *out)
{
	struct buf prepared = buf_make_secret(4 * SASL_PASSWORD_MAX);
	bool done = sasl_prepare(password, &prepared) && make(buf_slice(&prepared), out);

	buf_free(&prepared);
	return done;
}

static bool add_bytes(struct buf *out, const unsigned char *at, size_t len, const char *end)
{
	return base64_encode(slice_make((const char *)at, len), out) && buf_add_text(out, end);
}

bool scram_keys_print(const struct scram_keys *keys, struct buf *out)
{
	return buf_addf(out, NAME "%u:", keys->iterations) && add_bytes(out, keys->salt, keys->salt_len, "$") &&
	       add_bytes(out, keys->stored, SCRAM_KEY, ":") && add_bytes(out, keys->server, SCRAM_KEY, "");
}

/* What base64 says there, between `min` and `max` bytes; 0: it does not. */
static size_t take_bytes(struct slice text, unsigned char *out, size_t min, size_t max)
{
	struct buf bytes = buf_make_secret(max);
	size_t len = 0;

	if (base64_decode(text, &bytes) && bytes.len >= min) {
		memcpy(out, bytes.at, bytes.len);
		len = bytes.len;
	}
	buf_free(&bytes);
	return len;
}

bool scram_keys_parse(struct slice text, struct scram_keys *out)
{
	struct slice rest = text, number, salt, stored;
	uint64_t iterations;

	if (!slice_starts(text, slice_of(NAME)) || text.len > SCRAM_TEXT_MAX)
		return false;
	rest = slice_from(rest, sizeof(NAME) - 1);
	if (!slice_cut(&rest, ':', &number) || !slice_cut(&rest, '$', &salt) || !slice_cut(&rest, ':', &stored) ||
	    !slice_u64(number, SCRAM_ITERATIONS_MAX, &iterations) || iterations < SCRAM_ITERATIONS_MIN)
		return false;
	out->iterations = (uint32_t)iterations;
	out->salt_len = take_bytes(salt, out->salt, 1, SCRAM_SALT_MAX);
	return out->salt_len > 0 && take_bytes(stored, out->stored, SCRAM_KEY, SCRAM_KEY) > 0 &&
	       take_bytes(rest, out->server, SCRAM_KEY, SCRAM_KEY) > 0;
}
