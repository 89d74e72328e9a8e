#include "socketmap.h"

#include "base/mem.h"

#define DIGITS_MAX 5u

bool socketmap_request(struct slice map, struct slice key, struct buf *out)
{
	buf_addf(out, "%zu:", map.len + 1 + key.len);
	buf_add_slice(out, map);
	buf_add_char(out, ' ');
	buf_add_slice(out, key);
	return buf_add_char(out, ',');
}

/* "LEN:...," without more zeros than the number zero has. */
static enum socketmap_end cut_netstring(struct slice bytes, struct slice *inside, size_t *used)
{
	size_t colon = slice_index(slice_sub(bytes, 0, DIGITS_MAX + 1), ':');
	uint64_t len;

	if (colon == SLICE_NONE) {
		for (size_t i = 0; i < bytes.len; i++)
			if (i >= DIGITS_MAX || !ascii_is_digit(bytes.at[i]))
				return SOCKETMAP_BAD;
		return SOCKETMAP_MORE;
	}
	if (!slice_u64(slice_sub(bytes, 0, colon), SOCKETMAP_REPLY_MAX, &len) || (bytes.at[0] == '0' && colon > 1))
		return SOCKETMAP_BAD;
	if (bytes.len - colon - 1 < len + 1)
		return SOCKETMAP_MORE;
	if (bytes.at[colon + 1 + len] != ',')
		return SOCKETMAP_BAD;
	*inside = slice_sub(bytes, colon + 1, (size_t)len);
	*used = colon + 1 + (size_t)len + 1;
	return SOCKETMAP_YES;
}

static enum socketmap_end judge(struct slice inside, struct slice *text)
{
	static const struct {
		const char *word;
		enum socketmap_end end;
	} words[] = {
		{"OK", SOCKETMAP_YES},	       {"NOTFOUND", SOCKETMAP_NO},  {"TEMP", SOCKETMAP_UNKNOWN},
		{"TIMEOUT", SOCKETMAP_UNKNOWN}, {"PERM", SOCKETMAP_UNKNOWN},
	};
	struct slice word = slice_empty(), rest = inside;

	(void)slice_cut(&rest, ' ', &word);
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_eq(word, slice_of(words[i].word))) {
			*text = rest;
			return words[i].end;
		}
	return SOCKETMAP_BAD;
}

enum socketmap_end socketmap_reply(struct slice bytes, struct slice *text_out, size_t *used_out)
{
	struct slice inside;
	enum socketmap_end end = cut_netstring(bytes, &inside, used_out);

	return end == SOCKETMAP_YES ? judge(inside, text_out) : end;
}
