#include "lines.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice without_comment(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.at[i] == '#' && (i == 0 || is_blank(line.at[i - 1])))
			return slice_sub(line, 0, i);
	return line;
}

static bool has_control(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (((unsigned char)line.at[i] < ' ' && line.at[i] != '\t') || line.at[i] == 0x7f)
			return true;
	return false;
}

static bool check(struct lines *l, struct slice raw)
{
	if (has_control(raw))
		l->mistake = "a control character (is this a text file?)";
	else if (is_blank(raw.at[0]))
		l->mistake = "a line starts with its key: a value cannot go on in the next line";
	return l->mistake == NULL;
}

bool lines_next(struct lines *l)
{
	struct slice raw;

	while (slice_cut(&l->rest, '\n', &raw)) {
		l->number++;
		if (raw.len > 0 && raw.at[raw.len - 1] == '\r')
			raw = slice_sub(raw, 0, raw.len - 1);
		l->line = slice_trim(without_comment(raw));
		if (l->line.len == 0 && !has_control(raw))
			continue;
		return check(l, raw);
	}
	return false;
}
