#include "filter/view_field.h"

bool view_line_cut(struct slice *rest, struct slice *out)
{
	size_t end = slice_index(*rest, '\n');

	*out = slice_sub(*rest, 0, end == SLICE_NONE ? rest->len : end + 1);
	*rest = slice_from(*rest, out->len);
	return out->len > 0;
}

struct slice view_line_text(struct slice line)
{
	if (line.len > 0 && line.at[line.len - 1] == '\n')
		line.len--;
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* The name a line begins with; blanks before the colon are obsolete (RFC 5322 §4.5.8) and no part of it. */
static bool name_of(struct slice line, struct slice *out)
{
	size_t colon = slice_index(line, ':');

	if (colon == SLICE_NONE)
		return false;
	*out = slice_sub(line, 0, colon);
	while (out->len > 0 && (out->at[out->len - 1] == ' ' || out->at[out->len - 1] == '\t'))
		out->len--;
	for (size_t i = 0; i < out->len; i++)
		if ((unsigned char)out->at[i] <= ' ' || (unsigned char)out->at[i] >= 0x7f)
			return false;
	return out->len > 0;
}

static bool goes_on(struct slice rest)
{
	return rest.len > 0 && (rest.at[0] == ' ' || rest.at[0] == '\t');
}

bool view_field_cut(struct slice *header, struct view_field *out)
{
	struct slice all, line;

	for (;;) {
		all = *header;
		if (!view_line_cut(header, &line))
			return false;
		if (name_of(view_line_text(line), &out->name))
			break;
	}
	while (goes_on(*header) && view_line_cut(header, &line))
		;
	all = view_line_text(slice_sub(all, 0, all.len - header->len));
	out->raw = slice_from(all, slice_index(all, ':') + 1);
	return true;
}

bool view_field_find(struct slice header, struct slice name, struct view_field *out)
{
	while (view_field_cut(&header, out))
		if (slice_eq_nocase(out->name, name))
			return true;
	return false;
}
