#include "log_render.h"

#include <stdlib.h>

/* Any bytes as an event: always one line of printable ASCII. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_make((const char *)data, size), name;
	struct msg_LOG_RECORD record = {size, 1790000000000, slice_empty(), slice_empty()};
	struct log_event e = {.role = ROLE_SMTPD};
	struct buf out = buf_make(1 << 16);

	if (slice_cut(&all, ' ', &name)) {
		record.event = name;
		record.fields = slice_sub(all, 0, 8300);
	}
	log_event_take(&record, 1790000000001, &e);
	if (!log_render_line(&e, &out))
		abort();
	for (size_t i = 0; i < out.len; i++)
		if ((out.at[i] < ' ' || out.at[i] >= 0x7f) != (i == out.len - 1))
			abort();
	buf_free(&out);
	return 0;
}
