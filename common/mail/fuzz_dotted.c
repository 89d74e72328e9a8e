#include "mail/dotted.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A byte at a time is the whole; and only CRLF.CRLF ends. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_make((const char *)data, size);
	struct dotted_decoder whole = dotted_decoder_make(100), bytes = whole;
	struct buf a = buf_make(1 << 20), b = buf_make(1 << 20);
	size_t used = dotted_decode(&whole, in, &a), at = 0;

	while (at < size && !dotted_is_ended(&bytes))
		at += dotted_decode(&bytes, slice_sub(in, at, 1), &b);
	if (at != used || whole.faults != bytes.faults || whole.state != bytes.state ||
	    !slice_eq(buf_slice(&a), buf_slice(&b)))
		abort();
	if (dotted_is_ended(&whole) && !slice_ends_nocase(slice_sub(in, 0, used), slice_of(".\r\n")))
		abort();
	buf_free(&a);
	buf_free(&b);
	return 0;
}
