#include "filter/view_words.h"

#include "base/base64.h"
#include "base/utf8.h"
#include "filter/view_charset.h"
#include "filter/view_transfer.h"

#define WORD_OCTETS_MAX 45u /* of text in one encoded word that we write: 75 characters with what is around them (§2) */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Octets of a line end at the front with all blanks behind it. */
static size_t fold_length(struct slice s)
{
	size_t n = 0;

	if (s.at[0] != '\r' && s.at[0] != '\n')
		return 0;
	while (n < s.len && is_space(s.at[n]))
		n++;
	return n;
}

bool view_unfold(struct slice raw, struct buf *out)
{
	while (raw.len > 0 && is_space(raw.at[0]))
		raw = slice_from(raw, 1);
	while (raw.len > 0 && is_space(raw.at[raw.len - 1]))
		raw.len--;
	while (raw.len > 0) {
		size_t fold = fold_length(raw);

		buf_add_char(out, fold > 0 ? ' ' : raw.at[0]);
		raw = slice_from(raw, fold > 0 ? fold : 1);
	}
	return buf_ok(out);
}

size_t view_comment_length(struct slice s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '(')
			depth++;
		else if (s.at[i] == ')' && --depth == 0)
			return i + 1;
	}
	return s.len;
}

struct word {
	const struct view_charset *charset;
	bool base64;
	struct slice text;
	size_t len; /* of all of it, =? and ?= counted */
};

/* Cuts what stands before the next `?`; false: there is none, or a blank before it. */
static bool cut_section(struct slice *rest, struct slice *out)
{
	for (size_t i = 0; i < rest->len && rest->at[i] != ' ' && rest->at[i] != '\t'; i++) {
		if (rest->at[i] != '?')
			continue;
		*out = slice_sub(*rest, 0, i);
		*rest = slice_from(*rest, i + 1);
		return true;
	}
	return false;
}

/* The encoded word at the front of `s`. */
static bool word_at(struct slice s, struct word *out)
{
	struct slice rest = slice_from(s, 2), charset, encoding, language;

	if (!slice_starts(s, slice_of("=?")) || !cut_section(&rest, &charset) || !cut_section(&rest, &encoding) ||
	    !cut_section(&rest, &out->text) || rest.len == 0 || rest.at[0] != '=')
		return false;
	language = charset;
	slice_cut(&language, '*', &charset); /* RFC 2231 §5 */
	out->base64 = slice_eq_nocase(encoding, slice_of("b"));
	out->charset = view_charset_find(charset);
	out->len = s.len - rest.len + 1;
	return out->charset != NULL && (out->base64 || slice_eq_nocase(encoding, slice_of("q")));
}

/* Octets of words that follow each other in one charset. */
struct pending {
	const struct view_charset *charset; /* NULL: nothing waits */
	struct buf octets; /* owned */
	struct buf utf8; /* owned */
};

static bool is_control(uint32_t point)
{
	return (point < 0x20 && point != '\t') || (point >= 0x7f && point < 0xa0);
}

static void flush(struct pending *p, struct buf *out)
{
	uint32_t point = 0;

	if (p->charset == NULL)
		return;
	if (!view_charset_to_utf8(p->charset, buf_slice(&p->octets), &p->utf8))
		out->failed = true;
	for (struct slice s = buf_slice(&p->utf8); s.len > 0;) {
		s = slice_from(s, utf8_next(s, &point));
		utf8_add(out, is_control(point) ? UTF8_REPLACEMENT : point);
	}
	p->charset = NULL;
	buf_clear(&p->octets);
	buf_clear(&p->utf8);
}

static void keep(struct pending *p, const struct word *w, struct buf *out)
{
	if (p->charset != w->charset)
		flush(p, out);
	p->charset = w->charset;
	if (!(w->base64 ? view_base64 : view_q)(w->text, &p->octets))
		out->failed = true;
}

static size_t blanks(struct slice s)
{
	size_t n = 0;

	while (n < s.len && (s.at[n] == ' ' || s.at[n] == '\t'))
		n++;
	return n;
}

bool view_decode_words(struct slice text, struct buf *out)
{
	struct pending p = {NULL, buf_make(text.len), buf_make(text.len * VIEW_WORDS_GROWTH)};
	struct word w;

	while (text.len > 0) {
		size_t gap = p.charset == NULL ? 0 : blanks(text);

		if (word_at(slice_from(text, gap), &w)) {
			keep(&p, &w, out);
			text = slice_from(text, gap + w.len);
			continue;
		}
		flush(&p, out);
		buf_add_char(out, text.at[0]);
		text = slice_from(text, 1);
	}
	flush(&p, out);
	buf_free(&p.octets);
	buf_free(&p.utf8);
	return buf_ok(out);
}

static bool is_plain(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] >= 0x7f || (unsigned char)text.at[i] < 0x20)
			return false;
	return slice_find(text, slice_of("=?")) == SLICE_NONE;
}

bool view_encode_words(struct slice text, struct buf *out)
{
	if (is_plain(text))
		return buf_add_slice(out, text);
	while (text.len > 0) {
		struct slice one = utf8_cut(text, WORD_OCTETS_MAX);

		if (one.len == 0) /* octets that are no UTF-8 */
			one = slice_sub(text, 0, WORD_OCTETS_MAX);
		text = slice_from(text, one.len);
		buf_add_text(out, "=?utf-8?b?");
		base64_encode(one, out);
		buf_add_text(out, text.len > 0 ? "?=\n " : "?=");
	}
	return buf_ok(out);
}
