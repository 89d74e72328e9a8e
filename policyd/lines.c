#include "lines.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The quote that ends the text in quotes which begins at `at`; `at` itself where none does. */
static size_t end_of_quotes(struct slice line, size_t at)
{
	for (size_t i = at + 1; i < line.len; i++) {
		if (line.at[i] == '"')
			return i;
		i += line.at[i] == '\\';
	}
	return at;
}

static bool may_begin_quotes(struct slice line, size_t at)
{
	return line.at[at] == '"' && (at == 0 || is_blank(line.at[at - 1]) || line.at[at - 1] == ',' || line.at[at - 1] == ':');
}

static struct slice without_comment(struct slice line)
{
	for (size_t i = 0; i < line.len; i++) {
		if (may_begin_quotes(line, i))
			i = end_of_quotes(line, i);
		else if (line.at[i] == '#' && (i == 0 || is_blank(line.at[i - 1])))
			return slice_sub(line, 0, i);
	}
	return line;
}

static bool has_control(struct slice line)
{
	for (size_t i = 0; i < line.len; i++)
		if (((unsigned char)line.at[i] < ' ' && line.at[i] != '\t') || line.at[i] == 0x7f)
			return true;
	return false;
}

/* The next line as it stands there, less its end. */
static bool take_raw(struct lines *l, struct slice *raw)
{
	if (!slice_cut(&l->rest, '\n', raw))
		return false;
	l->passed++;
	if (raw->len > 0 && raw->at[raw->len - 1] == '\r')
		*raw = slice_sub(*raw, 0, raw->len - 1);
	if (has_control(*raw)) {
		l->number = l->passed;
		l->mistake = "a control character (is this a text file?)";
	}
	return true;
}

/* The next line that is not empty. */
static bool take_line(struct lines *l, struct slice *raw)
{
	while (take_raw(l, raw)) {
		l->line = slice_trim(without_comment(*raw));
		if (l->line.len > 0 || l->mistake != NULL)
			return l->mistake == NULL;
	}
	return false;
}

/* What lies between two lines that are one becomes spaces. */
static void join(struct slice *line, struct slice next)
{
	char *gap = (char *)(uintptr_t)(line->at + line->len);

	memset(gap, ' ', (size_t)(next.at - gap));
	*line = slice_make(line->at, (size_t)(next.at - line->at) + next.len);
}

static void take_continuations(struct lines *l)
{
	struct slice line = l->line, raw;
	struct lines before = *l;

	while (take_line(l, &raw) && is_blank(raw.at[0])) {
		join(&line, l->line);
		before = *l;
	}
	if (l->mistake == NULL) /* the line that was looked at is the next one's */
		*l = before;
	l->line = line;
}

bool lines_next(struct lines *l)
{
	struct slice raw;
	size_t number;

	if (l->mistake != NULL || !take_line(l, &raw))
		return false;
	number = l->passed;
	if (is_blank(raw.at[0]))
		l->mistake = l->joined ? "nothing stands before this line that it could go on with"
				       : "a line starts with its key: a value cannot go on in the next line";
	else if (l->joined)
		take_continuations(l);
	if (l->mistake == NULL || is_blank(raw.at[0]))
		l->number = number;
	return l->mistake == NULL;
}
