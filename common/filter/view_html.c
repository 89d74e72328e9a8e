#include "filter/view_part.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

#define ENTITY_MAX 10u

static bool starts_tag(struct slice s, const char *name)
{
	struct slice rest;

	if (!slice_starts_nocase(s, slice_of(name)))
		return false;
	rest = slice_from(s, strlen(name));
	return rest.len == 0 || !ascii_is_alnum(rest.at[0]);
}

static size_t past(struct slice s, const char *end)
{
	size_t at = slice_find(s, slice_of(end));

	return at == SLICE_NONE ? s.len : at + strlen(end);
}

/* Octets of an element whose content is no text, up to the `</` behind it; 0: another element. */
static size_t hidden_length(struct slice s)
{
	static const char *const names[] = {"<script", "<style"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!starts_tag(s, names[i]))
			continue;
		for (size_t at = 1; at < s.len; at++)
			if (s.at[at] == '<' && s.at[at - 1] != '<' && slice_starts(slice_from(s, at), slice_of("</")) &&
			    slice_starts_nocase(slice_from(s, at + 2), slice_from(slice_of(names[i]), 1)))
				return at;
		return s.len;
	}
	return 0;
}

/* Octets of the tag or comment at the front; 0: a `<` that is text. */
static size_t tag_length(struct slice s)
{
	char next = s.len > 1 ? s.at[1] : ' ';
	size_t hidden = hidden_length(s);

	if (hidden > 0)
		return hidden;
	if (slice_starts(s, slice_of("<!--")))
		return past(s, "-->");
	return ascii_is_alpha(next) || next == '/' || next == '!' || next == '?' ? past(s, ">") : 0;
}

static uint32_t numbered(struct slice digits)
{
	bool hex = digits.len > 0 && ascii_lower(digits.at[0]) == 'x';
	uint32_t point = 0;

	for (size_t i = hex; i < digits.len; i++) {
		char c = ascii_lower(digits.at[i]);

		if (!ascii_is_digit(c) && !(hex && c >= 'a' && c <= 'f'))
			return 0;
		point = point * (hex ? 16 : 10) + (uint32_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	return point;
}

/* What "&name;" stands for; 0: not one of those. */
static uint32_t entity(struct slice name)
{
	static const struct {
		const char *name;
		uint32_t point;
	} known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"nbsp", ' '}};

	if (name.len > 1 && name.at[0] == '#')
		return numbered(slice_from(name, 1));
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (slice_eq(name, slice_of(known[i].name)))
			return known[i].point;
	return 0;
}

/* Octets used; an `&` that begins no entity is itself. */
static size_t add_entity(struct slice s, struct buf *out)
{
	struct slice head = slice_sub(s, 1, ENTITY_MAX);
	size_t end = slice_index(head, ';');
	uint32_t point = end == SLICE_NONE ? 0 : entity(slice_sub(head, 0, end));

	if (point == 0 || (point < 0x20 && point != '\n' && point != '\t')) {
		buf_add_char(out, s.at[0]);
		return 1;
	}
	utf8_add(out, point);
	return end + 2;
}

bool view_html_text(struct slice html, struct buf *out)
{
	while (html.len > 0) {
		size_t used = html.at[0] == '<' ? tag_length(html) : 0;

		if (used == 0 && html.at[0] == '&')
			used = add_entity(html, out);
		else if (used == 0)
			buf_add_char(out, html.at[0]);
		html = slice_from(html, used == 0 ? 1 : used);
	}
	return buf_ok(out);
}
