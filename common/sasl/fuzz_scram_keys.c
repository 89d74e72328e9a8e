#include "sasl/scram.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a database says of a login: keys within their bounds, which print as they were read but for zeroes before the number. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make((const char *)data, size);
	struct buf first = buf_make(2 * SCRAM_TEXT_MAX), second = buf_make(2 * SCRAM_TEXT_MAX);
	struct scram_keys keys, again;

	if (scram_keys_parse(text, &keys)) {
		if (keys.salt_len == 0 || keys.salt_len > SCRAM_SALT_MAX || keys.iterations < SCRAM_ITERATIONS_MIN ||
		    keys.iterations > SCRAM_ITERATIONS_MAX)
			abort();
		if (!scram_keys_print(&keys, &first) || first.len > size || !scram_keys_parse(buf_slice(&first), &again) ||
		    !scram_keys_print(&again, &second) || !slice_eq(buf_slice(&first), buf_slice(&second)))
			abort();
	}
	buf_free(&first);
	buf_free(&second);
	return 0;
}
