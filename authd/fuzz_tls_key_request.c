/* keyd's decision what to sign.  First byte: which key; two bytes: the scheme; the rest: what is to be signed.  What is admitted
 * must be one of the two messages, told apart here by another way than the unit's own. */
#include "keyd_request.h"

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct keyd_kind kinds[] = {
	{.is_ec = false},
	{.is_ec = true, .group = "prime256v1"},
	{.is_ec = true, .group = "secp384r1"},
	{.is_ec = true, .group = "secp521r1"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice tbs;
	uint64_t scheme;

	if (size < 3)
		return 0;
	scheme = (uint64_t)data[1] << 8 | data[2];
	tbs = slice_make((const char *)data + 3, size - 3);
	if (keyd_request_refusal(&kinds[data[0] % ARRAY_LEN(kinds)], scheme, tbs) != NULL)
		return 0;
	if (slice_find(tbs, slice_of("TLS 1.3, server CertificateVerify")) == 64 && (tbs.len == 130 || tbs.len == 146))
		return 0;
	if (tbs.len >= 100 && tbs.len <= 201 && tbs.at[64] == 3 && (size_t)(unsigned char)tbs.at[67] == tbs.len - 68)
		return 0;
	abort();
}
