#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes four characters of which the last `pad` are '='; returns bytes written, or 0. */
static size_t decode_group(const char *in, size_t pad, char out[3])
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int d = i < 4 - pad ? value_of(in[i]) : 0;

		if (d < 0)
			return 0;
		v = v << 6 | (uint32_t)d;
	}
	if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
		return 0;
	out[0] = (char)(v >> 16);
	out[1] = (char)(v >> 8);
	out[2] = (char)v;
	return 3 - pad;
}

bool base64_decode(struct slice text, struct buf *out)
{
	size_t start = out->len, pad = 0;

	if (text.len % 4 != 0)
		return false;
	if (text.len > 0 && text.at[text.len - 1] == '=')
		pad = text.at[text.len - 2] == '=' ? 2 : 1;
	for (size_t i = 0; i < text.len; i += 4) {
		char three[3];
		size_t n = decode_group(text.at + i, i + 4 == text.len ? pad : 0, three);

		if (n == 0 || !buf_add(out, three, n)) {
			out->len = start;
			return false;
		}
	}
	return true;
}

bool base64_encode(struct slice bytes, struct buf *out)
{
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
		uint32_t v = 0;
		char four[4];

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < n ? (unsigned char)bytes.at[i + k] : 0);
		for (int k = 0; k < 4; k++)
			four[k] = alphabet[v >> (18 - 6 * k) & 63];
		if (n < 3)
			four[3] = '=';
		if (n < 2)
			four[2] = '=';
		if (!buf_add(out, four, 4))
			return false;
	}
	return true;
}
