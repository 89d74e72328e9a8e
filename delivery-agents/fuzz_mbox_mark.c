#include "mbox_mark.h"

#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A mark that speaks of a message is printed as it was read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make((const char *)data, size);
	struct buf printed = buf_make(1u << 20);
	struct mbox_mark mark, again;

	if (mbox_mark_read(text, &mark) && mark.after != 0) {
		MUST(mark.before < mark.after && mark.head.len > 0);
		buf_addf(&printed, "%s", MBOX_MARK_OURS);
		mbox_mark_print(&printed, &mark);
		MUST(buf_ok(&printed) && mbox_mark_read(buf_slice(&printed), &again));
		MUST(again.before == mark.before && again.after == mark.after && slice_eq(again.head, mark.head));
	}
	buf_free(&printed);
	return 0;
}
