#include "mail/field.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t name_length(struct slice line)
{
	size_t n = 0;

	while (n < line.len && line.at[n] > ' ' && line.at[n] < 0x7f && line.at[n] != ':')
		n++;
	return n;
}

/* Of the colon behind a name; SLICE_NONE: there is none. */
static size_t colon_of(struct slice line)
{
	size_t n = name_length(line), colon = n;

	while (colon < line.len && is_blank(line.at[colon]))
		colon++;
	return n > 0 && colon < line.len && line.at[colon] == ':' ? colon : SLICE_NONE;
}

bool mail_field_begins(struct slice line)
{
	return colon_of(line) != SLICE_NONE;
}

static size_t line_length(struct slice text)
{
	size_t lf = slice_index(text, '\n');

	return lf == SLICE_NONE ? text.len : lf + 1;
}

bool mail_field_next(struct slice *rest, struct mail_field *out)
{
	size_t colon, length;

	if (rest->len == 0)
		return false;
	length = line_length(*rest);
	colon = colon_of(slice_sub(*rest, 0, length));
	while (length < rest->len && is_blank(rest->at[length]))
		length += line_length(slice_from(*rest, length));
	out->whole = slice_sub(*rest, 0, length);
	out->name = colon == SLICE_NONE ? slice_empty() : slice_sub(out->whole, 0, name_length(out->whole));
	out->body = colon == SLICE_NONE ? out->whole : slice_from(out->whole, colon + 1);
	*rest = slice_from(*rest, length);
	return true;
}
