#include "header_cut.h"

static struct slice next_line(struct slice *rest)
{
	size_t lf = slice_index(*rest, '\n');
	struct slice line = slice_sub(*rest, 0, lf == SLICE_NONE ? SIZE_MAX : lf + 1);

	*rest = slice_from(*rest, line.len);
	return line;
}

static bool is_empty(struct slice line)
{
	return line.len == 0 || line.at[0] == '\n' || (line.len == 2 && line.at[0] == '\r' && line.at[1] == '\n');
}

static bool is_named(struct slice line, struct slice names)
{
	size_t colon = slice_index(line, ':');
	struct slice name = slice_trim(slice_sub(line, 0, colon)), one;

	while (colon != SLICE_NONE && slice_cut(&names, '\n', &one))
		if (one.len > 0 && slice_eq_nocase(one, name))
			return true;
	return false;
}

static void decide(struct header_cut *h, struct slice line)
{
	if (is_empty(line))
		h->over = true;
	else if (line.at[0] != ' ' && line.at[0] != '\t')
		h->cutting = is_named(line, h->names);
}

bool header_cut(struct header_cut *h, struct slice piece, bool last, size_t *used_out, struct buf *out)
{
	struct slice rest = piece;

	h->over = h->over || h->names.len == 0;
	while (rest.len > 0 && !h->over) {
		struct slice before = rest, line = next_line(&rest);
		bool ends = line.at[line.len - 1] == '\n';

		if (!ends && !last && !h->in_line && before.at != piece.at) {
			*used_out = piece.len - before.len;
			return true;
		}
		if (!ends && last && !h->in_line)
			h->over = true; /* half a line stays */
		else if (!h->in_line)
			decide(h, line);
		h->in_line = !ends;
		if ((h->over || !h->cutting) && !buf_add_slice(out, line))
			return false;
	}
	*used_out = piece.len;
	return buf_add_slice(out, rest);
}
