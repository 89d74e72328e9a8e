#include "conf/include.h"

void include_resolve(struct slice file, struct slice named, struct buf *out)
{
	size_t slash = slice_rindex(file, '/');

	if ((named.len == 0 || named.at[0] != '/') && slash != SLICE_NONE)
		buf_add(out, file.at, slash + 1);
	buf_add_slice(out, named);
}

bool include_is_pattern(struct slice named)
{
	size_t slash = slice_rindex(named, '/');

	return slice_index(slash == SLICE_NONE ? named : slice_from(named, slash + 1), '*') !=
	       SLICE_NONE;
}

/* The last `*` takes as little as will do; on a mismatch it takes one character more: linear for one
 * star, never worse than the product of the lengths. */
bool include_matches(struct slice pattern, struct slice name)
{
	size_t p = 0, n = 0, star = SLICE_NONE, taken = 0;

	while (n < name.len) {
		if (p < pattern.len && pattern.at[p] == '*') {
			star = p++;
			taken = n;
		} else if (p < pattern.len && pattern.at[p] == name.at[n]) {
			p++;
			n++;
		} else if (star != SLICE_NONE) {
			p = star + 1;
			n = ++taken;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.at[p] == '*')
		p++;
	return p == pattern.len;
}
