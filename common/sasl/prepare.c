#include "sasl/private.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <stringprep.h>

void sasl_start(void)
{
	unsigned char unused[SASL_HMAC];

	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	sasl_hmac((const unsigned char *)"x", 1, slice_empty(), unused);
}

void sasl_hmac(const unsigned char *key, size_t key_len, struct slice text, unsigned char out[SASL_HMAC])
{
	unsigned len = SASL_HMAC;

	if (HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text.at, text.len, out, &len) == NULL)
		abort();
}

static bool is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < ' ' || (unsigned char)text.at[i] >= 0x7f)
			return false;
	return true;
}

/* libidn takes and gives texts with a NUL at their end. */
static bool prepare(char *text, struct buf *out)
{
	char *prepared = NULL;
	bool done = stringprep_profile(text, &prepared, "SASLprep", 0) == STRINGPREP_OK && buf_add_text(out, prepared);

	if (prepared != NULL)
		OPENSSL_cleanse(prepared, strlen(prepared));
	free(prepared);
	return done;
}

bool sasl_prepare(struct slice text, struct buf *out)
{
	char *copy;
	bool done;

	/* Printable ASCII is what it is (RFC 4013 §2). */
	if (is_ascii(text))
		return buf_add_slice(out, text);
	copy = slice_dup(text);
	if (copy == NULL)
		return false;
	done = prepare(copy, out);
	OPENSSL_cleanse(copy, text.len);
	free(copy);
	return done && out->len > 0;
}
