#include "mbox_mark.h"

#include "base/mem.h"

void mbox_mark_print(struct buf *out, const struct mbox_mark *m)
{
	buf_addf(out, "%llu %llu\n", (unsigned long long)m->before, (unsigned long long)m->after);
	buf_add(out, m->head.at, m->head.len);
}

bool mbox_mark_read(struct slice text, struct mbox_mark *out)
{
	struct slice rest = slice_from(text, strlen(MBOX_MARK_OURS)), line, before, after;
	struct mbox_mark m;
	size_t end;

	*out = (struct mbox_mark){.head = slice_empty()};
	if (!slice_starts(text, slice_of(MBOX_MARK_OURS)))
		return false;
	end = slice_index(rest, '\n');
	if (end == SLICE_NONE) /* it died before it had written it */
		return true;
	line = slice_sub(rest, 0, end);
	m.head = slice_from(rest, end + 1);
	if (slice_word(&line, &before) && slice_word(&line, &after) && line.len == 0 && slice_u64(before, INT64_MAX, &m.before) &&
	    slice_u64(after, INT64_MAX, &m.after) && m.before < m.after && m.head.len > 0)
		*out = m;
	return true;
}

bool mbox_search_finds(struct mbox_search *s, struct slice piece)
{
	static const char want[] = "From ";

	for (size_t i = 0; i < piece.len && s->matched < sizeof(want) - 1; i++)
		s->matched = piece.at[i] == want[s->matched] ? s->matched + 1 : piece.at[i] == want[0];
	return s->matched == sizeof(want) - 1;
}
