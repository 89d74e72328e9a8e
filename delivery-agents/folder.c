#include "folder.h"

#include "base/mem.h"

/* ---- modified UTF-7 ---- */

/* The next character; 0 with *len_out 0: this is no UTF-8. */
static uint32_t next_character(struct slice s, size_t *len_out)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	unsigned char first = (unsigned char)s.at[0];

	*len_out = 0;
	for (size_t n = 0; n < ARRAY_LEN(forms); n++) {
		uint32_t c = first & (unsigned char)~forms[n].mask;

		if ((first & forms[n].mask) != forms[n].lead)
			continue;
		if (s.len < n + 1)
			return 0;
		for (size_t i = 1; i <= n; i++) {
			if (((unsigned char)s.at[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | ((unsigned char)s.at[i] & 0x3fu);
		}
		if (c < forms[n].least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return 0;
		*len_out = n + 1;
		return c;
	}
	return 0;
}

/* Bits that wait to become a character of base64. */
struct shift {
	uint32_t bits;
	unsigned count;
	bool open; /* behind a `&` */
};

static void add_bits(struct shift *s, uint32_t value, unsigned count, struct buf *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

	s->bits = s->bits << count | value;
	s->count += count;
	while (s->count >= 6) {
		s->count -= 6;
		buf_add_char(out, letters[s->bits >> s->count & 0x3f]);
		s->bits &= (1u << s->count) - 1;
	}
}

static void shift_end(struct shift *s, struct buf *out)
{
	if (!s->open)
		return;
	if (s->count > 0)
		add_bits(s, 0, 6 - s->count, out);
	buf_add_char(out, '-');
	*s = (struct shift){.open = false};
}

static void add_shifted(struct shift *s, uint32_t c, struct buf *out)
{
	if (!s->open)
		buf_add_char(out, '&');
	s->open = true;
	if (c >= 0x10000) {
		add_bits(s, 0xd800 + ((c - 0x10000) >> 10), 16, out);
		c = 0xdc00 + ((c - 0x10000) & 0x3ff);
	}
	add_bits(s, c, 16, out);
}

static void add_plain(struct shift *s, uint32_t c, struct buf *out)
{
	shift_end(s, out);
	buf_add_char(out, (char)c);
	if (c == '&')
		buf_add_char(out, '-');
}

static bool add_level(struct slice level, struct buf *out)
{
	struct shift s = {.open = false};
	size_t n;

	if (level.len == 0)
		return false;
	buf_add_char(out, '.');
	for (size_t at = 0; at < level.len; at += n) {
		uint32_t c = next_character(slice_from(level, at), &n);

		if (n == 0 || c < ' ' || c == 0x7f)
			return false;
		if (c < 0x7f)
			add_plain(&s, c, out);
		else
			add_shifted(&s, c, out);
	}
	shift_end(&s, out);
	return buf_ok(out);
}

/* ---- names ---- */

static size_t separator(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == '/' || s.at[i] == '.')
			return i;
	return SLICE_NONE;
}

static bool cut_level(struct slice *rest, struct slice *level)
{
	size_t at = separator(*rest);

	if (rest->len == 0)
		return false;
	*level = slice_sub(*rest, 0, at);
	if (at == SLICE_NONE)
		*rest = slice_empty();
	else if (at + 1 == rest->len)
		return false; /* ends with a separator */
	else
		*rest = slice_from(*rest, at + 1);
	return true;
}

bool folder_path(struct slice name, char out[FOLDER_BYTES])
{
	struct buf path = buf_make(FOLDER_BYTES);
	struct slice rest = name, level;
	bool ok = cut_level(&rest, &level);

	if (ok && !slice_eq_nocase(level, slice_of("INBOX")))
		ok = add_level(level, &path);
	while (ok && rest.len > 0)
		ok = cut_level(&rest, &level) && add_level(level, &path);
	ok = ok && slice_copy(buf_slice(&path), out, FOLDER_BYTES);
	buf_free(&path);
	return ok;
}

void folder_flags(struct slice flags, char out[FLAG_BYTES])
{
	/* in the order of their letters */
	static const struct {
		const char *name;
		char letter;
	} rows[] = {{"\\Draft", 'D'}, {"\\Flagged", 'F'}, {"$Forwarded", 'P'}, {"\\Answered", 'R'}, {"\\Seen", 'S'}, {"\\Deleted", 'T'}};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice rest = flags, word;
		bool found = false;

		while (!found && slice_word(&rest, &word))
			found = slice_eq_nocase(word, slice_of(rows[i].name));
		if (found)
			out[n++] = rows[i].letter;
	}
	out[n] = '\0';
}
