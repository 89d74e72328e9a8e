#include "submit_header.h"

#include <stdlib.h>

static bool any(struct slice address, void *arg)
{
	(void)arg;
	if (address.len == 0 || slice_index(address, '\n') != SLICE_NONE)
		abort();
	return true;
}

/* Any message: the header's extent lies in it, and what is written of it is a header again, of the same length. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make((const char *)data, size);
	struct submit_header h = {true, slice_of("a@b"), slice_of("x"), slice_of("b"), 0, 0, any, NULL};
	struct submit_extent e, again;
	struct buf out = buf_make(4u << 20);
	const char *why;

	if (!submit_header_find(text, true, &e) || e.start + e.length > e.end || e.end > size)
		abort();
	if (submit_header_write(&h, slice_sub(text, e.start, e.length), &out, &why)) {
		if (!submit_header_find(buf_slice(&out), true, &again) || again.length != out.len)
			abort();
	}
	buf_free(&out);
	return 0;
}
