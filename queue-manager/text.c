#include "text.h"

#include "mail/dsn.h"

static bool is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

void text_add_line(struct buf *out, struct slice text, size_t max)
{
	for (size_t i = 0; i < text.len && i < max; i++)
		buf_add_char(out, is_printable(text.at[i]) ? text.at[i] : '?');
}

void text_add_atom(struct buf *out, struct slice text, size_t max)
{
	for (size_t i = 0; i < text.len && i < max; i++) {
		char c = text.at[i];

		buf_add_char(out, !is_printable(c) || strchr(" ()\\<>;\"", c) != NULL ? '?' : c);
	}
}

bool text_has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f)
			return true;
	return false;
}

bool text_is_ascii(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] >= 0x80)
			return false;
	return true;
}

void text_add_typed_address(struct buf *out, struct slice address, size_t max)
{
	bool ascii = text_is_ascii(address);

	buf_add_text(out, ascii ? "rfc822;" : "utf-8;");
	if (ascii)
		text_add_line(out, address, max);
	else
		dsn_utf8_address_add(address, max, out);
}

void text_add_orcpt(struct buf *out, struct slice orcpt, size_t max)
{
	size_t type = slice_index(orcpt, ';');

	if (type == SLICE_NONE || !slice_eq_nocase(slice_sub(orcpt, 0, type), slice_of("utf-8"))) {
		text_add_line(out, orcpt, max);
		return;
	}
	buf_add_text(out, "utf-8;");
	dsn_utf8_address_add(slice_from(orcpt, type + 1), max, out);
}

static bool is_name_char(char c)
{
	return c > ' ' && c <= '~' && c != ':';
}

/* One line with its CRLF; false when it may not stand there. */
static bool is_header_line(struct slice line, bool first)
{
	size_t name = 0;

	if (memchr(line.at, '\r', line.len) != NULL || memchr(line.at, '\n', line.len) != NULL ||
	    memchr(line.at, '\0', line.len) != NULL)
		return false;
	if (line.len > 0 && (line.at[0] == ' ' || line.at[0] == '\t'))
		return !first && slice_trim(line).len > 0;
	while (name < line.len && is_name_char(line.at[name]))
		name++;
	return name > 0 && name < line.len && line.at[name] == ':';
}

bool text_is_header_block(struct slice text)
{
	bool first = true;

	while (text.len > 0) {
		size_t end = slice_find(text, slice_of("\r\n"));

		if (end == SLICE_NONE || !is_header_line(slice_sub(text, 0, end), first))
			return false;
		text = slice_from(text, end + 2);
		first = false;
	}
	return true;
}

#define QUOTED_LINE_MAX 72u

static bool quoted_needs(struct slice text, size_t i)
{
	char c = text.at[i];
	bool at_end = i + 1 == text.len || text.at[i + 1] == '\r';

	return c == '=' || (c != '\t' && !is_printable(c)) || ((c == ' ' || c == '\t') && at_end);
}

void text_add_quoted(struct buf *out, struct slice text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\r' && i + 1 < text.len && text.at[i + 1] == '\n') {
			buf_add_text(out, "\r\n");
			column = 0;
			i++;
			continue;
		}
		if (column >= QUOTED_LINE_MAX) {
			buf_add_text(out, "=\r\n");
			column = 0;
		}
		if (quoted_needs(text, i)) {
			buf_addf(out, "=%02X", (unsigned char)text.at[i]);
			column += 3;
		} else {
			buf_add_char(out, text.at[i]);
			column++;
		}
	}
}
