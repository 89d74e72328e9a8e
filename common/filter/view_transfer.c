#include "filter/view_transfer.h"

/* 0..63; -1: not of the alphabet. */
static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool view_base64(struct slice text, struct buf *out)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < text.len; i++) {
		int value = base64_value(text.at[i]);

		if (text.at[i] == '=')
			have = 0; /* what follows begins anew: texts put behind each other */
		if (value < 0)
			continue;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_add_char(out, (char)(bits >> have & 0xff));
		}
	}
	return buf_ok(out);
}

static int hex_value(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "=XX" at the front: its octet; -1: none. */
static int hex_octet(struct slice s)
{
	int high = s.len < 3 ? -1 : hex_value(s.at[1]), low = s.len < 3 ? -1 : hex_value(s.at[2]);

	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool view_q(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		int octet = text.at[i] == '=' ? hex_octet(slice_from(text, i)) : -1;

		buf_add_char(out, octet >= 0 ? (char)octet : text.at[i] == '_' ? ' ' : text.at[i]);
		i += octet >= 0 ? 2 : 0;
	}
	return buf_ok(out);
}

/* Octets of a soft line break at the front: "=", blanks, line end. */
static size_t soft_break(struct slice s)
{
	size_t n = 1;

	while (n < s.len && (s.at[n] == ' ' || s.at[n] == '\t'))
		n++;
	if (n < s.len && s.at[n] == '\r')
		n++;
	if (n == s.len)
		return n;
	return s.at[n] == '\n' ? n + 1 : 0;
}

static void quoted_line(struct slice line, struct buf *out)
{
	while (line.len > 0) {
		int octet = line.at[0] == '=' ? hex_octet(line) : -1;
		size_t gone = line.at[0] == '=' && octet < 0 ? soft_break(line) : 0;

		if (gone == 0)
			buf_add_char(out, octet >= 0 ? (char)octet : line.at[0]);
		line = slice_from(line, gone > 0 ? gone : octet >= 0 ? 3 : 1);
	}
}

/* Line by line, so that blanks are looked at no more than twice. */
bool view_quoted_printable(struct slice text, struct buf *out)
{
	while (text.len > 0) {
		size_t end = slice_index(text, '\n');
		struct slice line = slice_sub(text, 0, end == SLICE_NONE ? text.len : end + 1);

		quoted_line(line, out);
		text = slice_from(text, line.len);
	}
	return buf_ok(out);
}
