/* A whole dialogue: the first byte names the mechanism, the rest are the client's messages, each behind its length in two bytes. */
#include "sasl/sasl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice take_message(struct slice *rest)
{
	size_t len = rest->len < 2 ? 0 : (size_t)(unsigned char)rest->at[0] << 8 | (unsigned char)rest->at[1];
	struct slice message = slice_sub(slice_from(*rest, 2), 0, len);

	*rest = slice_from(*rest, 2 + message.len);
	return message;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size);
	enum mechanism m = size == 0 ? MECHANISM_COUNT : (enum mechanism)(data[0] % MECHANISM_COUNT);
	enum sasl_want want;
	struct sasl d;

	if (!sasl_speaks(m))
		return 0;
	rest = slice_from(rest, 1);
	want = sasl_begin(&d, m, (data[0] & 0x80) != 0, take_message(&rest));
	while (want == SASL_RESPONSE && rest.len > 0)
		want = sasl_respond(&d, take_message(&rest));
	if (want == SASL_PASSWORD && (d.login[0] == '\0' || d.password.len == 0 || d.password.len > SASL_PASSWORD_MAX))
		abort();
	sasl_clear(&d);
	return 0;
}
