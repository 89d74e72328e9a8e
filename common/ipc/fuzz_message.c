#include "ipc/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX (1u << 20)

static void need(bool ok)
{
	if (!ok)
		abort();
}

/* What decodes fits when it is encoded again, byte for byte but for outcomes that nobody knows. */
static void one_message(enum ipc_type type, struct slice payload)
{
	const struct ipc_head head = {.type = (uint16_t)type, .length = (uint32_t)payload.len};
	bool too_long = ipc_admit(ROLE_COUNT, ROLE_COUNT, &head, 0) == IPC_MALFORMED && ipc_admit(ROLE_COUNT, ROLE_COUNT, &head, 1) == IPC_MALFORMED;
	struct buf first = buf_make(OUT_MAX), second = buf_make(OUT_MAX);
	struct ipc_message m, again;

	if (!too_long && ipc_decode(type, payload, &m)) {
		need(ipc_encode(type, &m.body, &first) && first.len == payload.len);
		need(ipc_decode(type, buf_slice(&first), &again) && ipc_encode(type, &again.body, &second));
		need(slice_eq(buf_slice(&first), buf_slice(&second)));
	}
	buf_free(&first);
	buf_free(&second);
}

/* The same for records: as many as were read, in the bytes they were read from. */
#define MSG(name, from, to, fds, max, resend, fields)
#define REC(name, max, fields)                                                                     \
	static void records_##name(struct slice all)                                               \
	{                                                                                          \
		struct buf out = buf_make(OUT_MAX);                                                \
		struct slice rest = all;                                                           \
		struct rec_##name rec;                                                             \
                                                                                                   \
		while (rec_##name##_next(&rest, &rec))                                             \
			need(rec_##name##_add(&out, &rec));                                        \
		need(slice_eq(buf_slice(&out), slice_sub(all, 0, all.len - rest.len)));            \
		buf_free(&out);                                                                    \
	}
#include "ipc/messages.def"
#undef REC
#define REC(name, max, fields) records_##name,
static void (*const records[])(struct slice) = {
#include "ipc/messages.def"
};
#undef REC
#undef MSG
#define RECORDS (sizeof(records) / sizeof(records[0]))

/* The first byte is a type of message, or beyond those of record; the rest a payload. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice payload;
	unsigned type;

	if (size < 1)
		return 0;
	type = data[0] % (IPC_COUNT + RECORDS);
	payload = slice_make((const char *)data + 1, size - 1);
	if (type < IPC_COUNT)
		one_message((enum ipc_type)type, payload);
	else
		records[type - IPC_COUNT](payload);
	return 0;
}
