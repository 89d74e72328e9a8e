#include "mail/xtext.h"

static bool stands_for_itself(char c)
{
	return c >= '!' && c <= '~' && c != '+' && c != '=';
}

static int hex_digit(char c)
{
	return ascii_is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool xtext_decode(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (stands_for_itself(text.at[i])) {
			buf_add_char(out, text.at[i]);
			continue;
		}
		if (text.at[i] != '+' || text.len - i < 3)
			return false;
		high = hex_digit(text.at[i + 1]);
		low = hex_digit(text.at[i + 2]);
		if (high < 0 || low < 0)
			return false;
		buf_add_char(out, (char)(high << 4 | low));
		i += 2;
	}
	return buf_ok(out);
}

bool xtext_encode(struct slice bytes, struct buf *out)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (stands_for_itself(bytes.at[i]))
			buf_add_char(out, bytes.at[i]);
		else
			buf_addf(out, "+%02X", (unsigned char)bytes.at[i]);
	return buf_ok(out);
}
