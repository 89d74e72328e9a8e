#include "client_dots.h"

/* Where a run with an LF at its end, or none at all, leaves us. */
static enum dots_at after(struct slice run, enum dots_at before)
{
	char last = run.at[run.len - 1];
	bool has_cr = run.len == 1 ? before == DOTS_AFTER_CR : run.at[run.len - 2] == '\r';

	if (last == '\n')
		return has_cr ? DOTS_LINE_START : DOTS_AFTER_LF;
	return last == '\r' ? DOTS_AFTER_CR : DOTS_IN_LINE;
}

bool dots_add(enum dots_at *at, struct slice piece, struct buf *out)
{
	while (piece.len > 0) {
		size_t end = slice_index(piece, '\n');
		struct slice run = slice_sub(piece, 0, end == SLICE_NONE ? SIZE_MAX : end + 1);

		if (run.at[0] == '.' && (*at == DOTS_LINE_START || *at == DOTS_AFTER_LF))
			buf_add_char(out, '.');
		buf_add_slice(out, run);
		*at = after(run, *at);
		piece = slice_from(piece, run.len);
	}
	return buf_ok(out);
}

bool dots_end(enum dots_at *at, struct buf *out)
{
	if (*at != DOTS_LINE_START)
		buf_add_text(out, "\r\n");
	*at = DOTS_LINE_START;
	return buf_add_text(out, ".\r\n");
}
