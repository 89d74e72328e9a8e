#include "base/utf8.h"

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t length_of(unsigned char first)
{
	return first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
}

static bool is_point(uint32_t point)
{
	return point <= 0x10ffff && (point < 0xd800 || point >= 0xe000);
}

size_t utf8_next(struct slice s, uint32_t *out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)s.at[0];
	size_t len = length_of(first);
	uint32_t point = len == 1 ? first : first & (0x7fu >> len);

	if (len == 0 || len > s.len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (!is_continuation(s.at[i]))
			return 0;
		point = point << 6 | ((unsigned char)s.at[i] & 0x3f);
	}
	if (point < least[len] || !is_point(point))
		return 0;
	*out = point;
	return len;
}

bool utf8_add(struct buf *out, uint32_t point)
{
	char octets[4];
	size_t len;

	if (!is_point(point))
		point = UTF8_REPLACEMENT;
	if (point < 0x80)
		return buf_add_char(out, (char)point);
	len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	for (size_t i = len - 1; i > 0; i--, point >>= 6)
		octets[i] = (char)(0x80 | (point & 0x3f));
	octets[0] = (char)((0xf00 >> len & 0xff) | point);
	return buf_add(out, octets, len);
}

bool utf8_is_well_formed(struct slice s)
{
	uint32_t point;

	for (size_t len; s.len > 0; s = slice_from(s, len)) {
		len = utf8_next(s, &point);
		if (len == 0)
			return false;
	}
	return true;
}

size_t utf8_count(struct slice s)
{
	size_t count = 0;
	uint32_t point;

	for (; s.len > 0; count++) {
		size_t len = utf8_next(s, &point);

		s = slice_from(s, len == 0 ? 1 : len);
	}
	return count;
}

struct slice utf8_cut(struct slice s, size_t max)
{
	if (s.len <= max)
		return s;
	while (max > 0 && is_continuation(s.at[max]))
		max--;
	return slice_sub(s, 0, max);
}
