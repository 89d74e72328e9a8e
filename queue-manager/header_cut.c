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

bool header_cut(struct slice start, struct slice names, struct buf *out)
{
	struct slice rest = start;
	bool cutting = false;

	while (rest.len > 0 && names.len > 0) {
		struct slice before = rest, line = next_line(&rest);

		if (is_empty(line) || line.at[line.len - 1] != '\n') {
			rest = before;
			break;
		}
		if (line.at[0] != ' ' && line.at[0] != '\t')
			cutting = is_named(line, names);
		if (!cutting && !buf_add_slice(out, line))
			return false;
	}
	return buf_add_slice(out, rest);
}
