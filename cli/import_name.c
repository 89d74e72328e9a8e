#include "import_name.h"

#include <openssl/evp.h>
#include <stdio.h>

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* "[hub.test]:25" is "hub.test-25". */
static size_t add_label(struct slice label, char out[IMPORT_NAME_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; i < label.len && len < IMPORT_LABEL_MAX; i++) {
		if (is_letter_or_digit(label.at[i]))
			out[len++] = label.at[i];
		else if (len > 0 && is_letter_or_digit(out[len - 1]))
			out[len++] = label.at[i] == '.' ? '.' : '-';
	}
	while (len > 0 && !is_letter_or_digit(out[len - 1]))
		len--;
	if (len > 0)
		out[len++] = '-';
	return len;
}

bool import_name_of(struct slice label, struct slice what, char out[IMPORT_NAME_BYTES])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t len = add_label(label, out);

	if (EVP_Digest(what.at, what.len, digest, NULL, EVP_sha256(), NULL) != 1)
		return false;
	for (size_t i = 0; i < IMPORT_HASH_BYTES; i++)
		len += (size_t)snprintf(out + len, IMPORT_NAME_BYTES - len, "%02x", digest[i]);
	return true;
}
