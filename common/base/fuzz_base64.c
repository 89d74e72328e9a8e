#include "base/base64.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
	if (!ok)
		abort();
}

/* Each text has one meaning and each meaning one text; what is refused, or finds no room, leaves the target as it was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_make((const char *)data, size);
	struct buf bytes = buf_make(size + 1), text = buf_make(2 * size + 8), small = buf_make(16);

	buf_add_char(&bytes, '!');
	if (base64_decode(in, &bytes)) {
		need(base64_encode(slice_from(buf_slice(&bytes), 1), &text) && slice_eq(buf_slice(&text), in));
	} else {
		need(bytes.len == 1);
	}
	need(bytes.at[0] == '!');
	buf_clear(&text);
	buf_clear(&bytes);
	need(base64_encode(in, &text) && base64_decode(buf_slice(&text), &bytes) && slice_eq(buf_slice(&bytes), in));
	need(base64_decode(buf_slice(&text), &small) == (size <= 16) && small.len == (size <= 16 ? size : 0));
	buf_free(&bytes);
	buf_free(&text);
	buf_free(&small);
	return 0;
}
