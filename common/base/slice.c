#include "base/slice.h"

#include <stdlib.h>

struct slice slice_sub(struct slice s, size_t start, size_t len)
{
	if (start >= s.len)
		return slice_empty();
	if (len > s.len - start)
		len = s.len - start;
	return slice_make(s.at + start, len);
}

bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool equal_nocase(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && equal_nocase(a.at, b.at, a.len);
}

int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = memcmp(a.at, b.at, n);

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool slice_starts(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && memcmp(s.at, prefix.at, prefix.len) == 0;
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && equal_nocase(s.at, prefix.at, prefix.len);
}

bool slice_ends_nocase(struct slice s, struct slice suffix)
{
	return s.len >= suffix.len &&
	       equal_nocase(s.at + s.len - suffix.len, suffix.at, suffix.len);
}

size_t slice_index(struct slice s, char c)
{
	const char *p = s.len == 0 ? NULL : memchr(s.at, c, s.len);

	return p == NULL ? SLICE_NONE : (size_t)(p - s.at);
}

size_t slice_rindex(struct slice s, char c)
{
	const char *p = memrchr(s.at, c, s.len);

	return p == NULL ? SLICE_NONE : (size_t)(p - s.at);
}

size_t slice_find(struct slice s, struct slice needle)
{
	const char *p = memmem(s.at, s.len, needle.at, needle.len);

	return p == NULL ? SLICE_NONE : (size_t)(p - s.at);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && is_blank(s.at[0]))
		s = slice_from(s, 1);
	while (s.len > 0 && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool slice_cut(struct slice *rest, char sep, struct slice *word_out)
{
	size_t at = slice_index(*rest, sep);

	if (rest->len == 0)
		return false;
	*word_out = slice_sub(*rest, 0, at);
	*rest = at == SLICE_NONE ? slice_empty() : slice_from(*rest, at + 1);
	return true;
}

bool slice_word(struct slice *rest, struct slice *word_out)
{
	size_t n = 0;

	*rest = slice_trim(*rest);
	while (n < rest->len && !is_blank(rest->at[n]))
		n++;
	*word_out = slice_sub(*rest, 0, n);
	*rest = slice_from(*rest, n);
	return n > 0;
}

bool slice_u64(struct slice s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 20)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit = (uint64_t)(s.at[i] - '0');

		if (!ascii_is_digit(s.at[i]) || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v > max)
		return false;
	*out = v;
	return true;
}

char *slice_dup(struct slice s)
{
	char *copy;

	if (slice_index(s, '\0') != SLICE_NONE || s.len == SIZE_MAX)
		return NULL;
	copy = malloc(s.len + 1);
	if (copy == NULL)
		return NULL;
	memcpy(copy, s.at, s.len);
	copy[s.len] = '\0';
	return copy;
}

bool slice_copy(struct slice s, char *out, size_t size)
{
	bool fits = s.len < size && slice_index(s, '\0') == SLICE_NONE;

	if (fits)
		memcpy(out, s.at, s.len);
	if (size > 0)
		out[fits ? s.len : 0] = '\0';
	return fits;
}
