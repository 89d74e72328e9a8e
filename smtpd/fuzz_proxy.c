/* A PROXY header, byte by byte: what it is does not depend on how it is cut, and it ends where it says. */
#include "gate_proxy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_make((const char *)data, size);
	struct proxy_header first, whole;
	enum proxy_step step = PROXY_MORE;
	size_t len = 0;

	while (step == PROXY_MORE && len < size)
		step = proxy_parse(slice_sub(in, 0, ++len), &first);
	if (step == PROXY_MORE ? len >= PROXY_HEADER_MAX : proxy_parse(in, &whole) != step)
		abort();
	if (step != PROXY_MORE && step != PROXY_BAD && (first.len != len || whole.len != len))
		abort();
	if (step == PROXY_CLIENT && (memcmp(&first.client, &whole.client, sizeof(first.client)) != 0 ||
				     first.client_port != whole.client_port))
		abort();
	return 0;
}
