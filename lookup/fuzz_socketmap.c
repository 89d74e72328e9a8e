#include "socketmap.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A server's answer: a reply within its bytes, or none. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_empty();
	size_t used = 0;

	switch (socketmap_reply(slice_make((const char *)data, size), &text, &used)) {
	case SOCKETMAP_YES:
	case SOCKETMAP_NO:
	case SOCKETMAP_UNKNOWN:
		if (used > size || text.len > used)
			abort();
		break;
	case SOCKETMAP_MORE:
	case SOCKETMAP_BAD:
		break;
	}
	return 0;
}
