#include "ipc/message.h"

#include <stdlib.h>

/* Decodes any bytes as any message; what decodes must encode to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf again = buf_make(1 << 20);
	struct ipc_message m;
	struct slice payload;
	enum ipc_type type;

	if (size < 1)
		return 0;
	type = (enum ipc_type)(data[0] % IPC_COUNT);
	payload = slice_make((const char *)data + 1, size - 1);
	if (ipc_decode(type, payload, &m) && ipc_encode(type, &m.body, &again)) {
		struct ipc_message second;

		if (!ipc_decode(type, buf_slice(&again), &second))
			abort();
	}
	buf_free(&again);
	return 0;
}
