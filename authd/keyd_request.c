#include "keyd_request.h"

#include "base/mem.h"
#include "tls/scheme.h"

#define RANDOMS_BYTES 64u /* client random and server random */
#define SPACES 64u
#define NAMED_CURVE 3
#define UNCOMPRESSED 4

static const char context[] = "TLS 1.3, server CertificateVerify"; /* its NUL is part of the message */

static bool is_certificate_verify(struct slice tbs)
{
	size_t head = SPACES + sizeof(context);

	if (tbs.len != head + 32 && tbs.len != head + 48)
		return false;
	for (size_t i = 0; i < SPACES; i++)
		if (tbs.at[i] != ' ')
			return false;
	return memcmp(tbs.at + SPACES, context, sizeof(context)) == 0;
}

static const struct curve {
	uint16_t number; /* RFC 8422 §5.1.1 */
	uint8_t point_bytes;
	bool has_form; /* the point begins with its form: uncompressed is the only one left */
} curves[] = {
	{23, 65, true}, /* secp256r1 */
	{24, 97, true}, /* secp384r1 */
	{25, 133, true}, /* secp521r1 */
	{29, 32, false}, /* x25519 */
	{30, 56, false}, /* x448 */
};

static const struct curve *curve_find(unsigned number)
{
	for (size_t i = 0; i < ARRAY_LEN(curves); i++)
		if (curves[i].number == number)
			return &curves[i];
	return NULL;
}

static bool is_server_key_exchange(struct slice tbs)
{
	const unsigned char *p = (const unsigned char *)tbs.at + RANDOMS_BYTES;
	const struct curve *curve;

	if (tbs.len < RANDOMS_BYTES + 5 || p[0] != NAMED_CURVE)
		return false;
	curve = curve_find((unsigned)p[1] << 8 | p[2]);
	return curve != NULL && p[3] == curve->point_bytes && tbs.len == RANDOMS_BYTES + 4u + curve->point_bytes &&
	       (!curve->has_form || p[4] == UNCOMPRESSED);
}

const char *keyd_request_refusal(const struct keyd_kind *kind, uint64_t number, struct slice tbs)
{
	const struct tls_scheme *scheme = tls_scheme_find(number);

	if (scheme == NULL)
		return "not a signature scheme of ours";
	if (scheme->is_ec != kind->is_ec)
		return "the scheme is for another kind of key";
	if (is_server_key_exchange(tbs))
		return NULL;
	if (!is_certificate_verify(tbs))
		return "not a message of a server's TLS handshake";
	if (!scheme->in_tls13)
		return "TLS 1.3 does not have this scheme";
	if (scheme->is_ec && strcmp(scheme->group, kind->group) != 0)
		return "in TLS 1.3 the scheme is for another curve";
	return NULL;
}
