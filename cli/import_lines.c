#include "import_lines.h"

bool import_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static void go_on(struct import_line *l, struct slice line)
{
	l->too_long = l->too_long || (l->text.len > 0 && !buf_add_char(&l->text, ' ')) || !buf_add_slice(&l->text, line);
}

bool import_line_next(struct import_lines *lines, struct import_line *l)
{
	struct slice line, before = lines->rest;

	buf_clear(&l->text);
	l->number = 0;
	l->too_long = false;
	while (slice_cut(&lines->rest, '\n', &line)) {
		struct slice trimmed = slice_trim(line);
		bool begins = line.len > 0 && !import_is_blank(line.at[0]);

		if (trimmed.len > 0 && trimmed.at[0] != '#') {
			if (begins && l->number != 0) {
				lines->rest = before;
				return true;
			}
			l->number = l->number == 0 ? lines->passed + 1 : l->number;
			go_on(l, trimmed);
		}
		lines->passed++;
		before = lines->rest;
	}
	return l->number != 0;
}

bool import_is_plain(struct slice s)
{
	if (s.len == 0 || !(ascii_is_alnum(s.at[0]) || s.at[0] == '_' || (unsigned char)s.at[0] >= 0x80))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == '"' || s.at[i] == '\\' || s.at[i] == ' ' || s.at[i] == ',' || s.at[i] == ':')
			return false;
	return true;
}
