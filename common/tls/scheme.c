#include "tls/scheme.h"

const struct tls_scheme tls_schemes[] = {
	{0x0403, true, false, true, "SHA256", 32, "prime256v1"},
	{0x0503, true, false, true, "SHA384", 48, "secp384r1"},
	{0x0603, true, false, true, "SHA512", 64, "secp521r1"},
	{0x0804, false, true, true, "SHA256", 32, NULL},
	{0x0805, false, true, true, "SHA384", 48, NULL},
	{0x0806, false, true, true, "SHA512", 64, NULL},
	{0x0401, false, false, false, "SHA256", 32, NULL},
	{0x0501, false, false, false, "SHA384", 48, NULL},
	{0x0601, false, false, false, "SHA512", 64, NULL},
};
const size_t tls_scheme_count = sizeof(tls_schemes) / sizeof(tls_schemes[0]);

const struct tls_scheme *tls_scheme_find(uint64_t number)
{
	for (size_t i = 0; i < tls_scheme_count; i++)
		if (tls_schemes[i].number == number)
			return &tls_schemes[i];
	return NULL;
}
