#include "filter/view_part.h"

#include "base/buf.h"
#include "filter/view_charset.h"
#include "filter/view_field.h"
#include "filter/view_transfer.h"
#include "filter/view_words.h"

#define CHARSET_GROWTH 3u
#define TYPE_MAX 128u
#define BOUNDARY_MAX 256u /* 70 in RFC 2046 §5.1.1 */
#define CHARSET_MAX 64u

struct content_type {
	char type[TYPE_MAX + 1], boundary[BOUNDARY_MAX + 1], charset[CHARSET_MAX + 1];
};

struct walk {
	struct arena *arena;
	struct view_part_list *out;
};

static bool part_parse(struct walk *w, struct slice header, struct slice raw, const char *type, size_t parent, unsigned depth);

/* ---- Content-Type ---- */

static void skip_blanks(struct slice *s)
{
	while (s->len > 0 && (s->at[0] == ' ' || s->at[0] == '\t' || s->at[0] == '('))
		*s = slice_from(*s, s->at[0] == '(' ? view_comment_length(*s) : 1);
}

static bool is_token(char c)
{
	return (unsigned char)c > ' ' && (unsigned char)c < 0x7f && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

static struct slice take_token(struct slice *s)
{
	struct slice all;
	size_t n = 0;

	skip_blanks(s);
	all = *s;
	while (n < s->len && is_token(s->at[n]))
		n++;
	*s = slice_from(*s, n);
	skip_blanks(s);
	return slice_sub(all, 0, n);
}

static bool take_char(struct slice *s, char c)
{
	if (s->len == 0 || s->at[0] != c)
		return false;
	*s = slice_from(*s, 1);
	skip_blanks(s);
	return true;
}

/* Into `out[size]`; "" when it does not fit. */
static void take_value(struct slice *s, char *out, size_t size)
{
	struct buf value = buf_make(size - 1);
	size_t i = 1;

	if (s->len == 0 || s->at[0] != '"') { /* leniently: up to a blank or `;` */
		for (i = 0; i < s->len && strchr(" \t;", s->at[i]) == NULL;)
			buf_add_char(&value, s->at[i++]);
	} else {
		for (; i < s->len && s->at[i] != '"'; i++) {
			i += s->at[i] == '\\' && i + 1 < s->len;
			buf_add_char(&value, s->at[i]);
		}
		i++;
	}
	*s = slice_from(*s, i);
	if (!buf_ok(&value) || !slice_copy(buf_slice(&value), out, size))
		out[0] = '\0';
	buf_free(&value);
}

static void take_parameters(struct slice *s, struct content_type *t)
{
	char ignored[2];

	while (s->len > 0) {
		size_t next = slice_index(*s, ';');
		struct slice name;

		*s = next == SLICE_NONE ? slice_empty() : slice_from(*s, next + 1);
		name = take_token(s);
		if (!take_char(s, '='))
			continue;
		if (slice_eq_nocase(name, slice_of("boundary")) && t->boundary[0] == '\0')
			take_value(s, t->boundary, sizeof(t->boundary));
		else if (slice_eq_nocase(name, slice_of("charset")) && t->charset[0] == '\0')
			take_value(s, t->charset, sizeof(t->charset));
		else
			take_value(s, ignored, sizeof(ignored));
	}
}

/* "type/subtype" in lower case; anything else leaves what there is. */
static void take_type(struct slice *s, struct content_type *t)
{
	struct slice type = take_token(s), subtype;
	size_t len = 0;

	if (type.len == 0 || !take_char(s, '/'))
		return;
	subtype = take_token(s);
	if (subtype.len == 0 || type.len + 1 + subtype.len > TYPE_MAX)
		return;
	for (size_t i = 0; i < type.len; i++)
		t->type[len++] = ascii_lower(type.at[i]);
	t->type[len++] = '/';
	for (size_t i = 0; i < subtype.len; i++)
		t->type[len++] = ascii_lower(subtype.at[i]);
	t->type[len] = '\0';
}

static bool content_type_of(struct slice header, const char *otherwise, struct content_type *t)
{
	struct view_field field;
	struct buf text;
	struct slice s;
	bool good = true;

	*t = (struct content_type){0};
	slice_copy(slice_of(otherwise), t->type, sizeof(t->type));
	if (!view_field_find(header, slice_of("content-type"), &field))
		return true;
	text = buf_make(field.raw.len);
	good = view_unfold(field.raw, &text);
	s = buf_slice(&text);
	if (good) {
		take_type(&s, t);
		take_parameters(&s, t);
	}
	buf_free(&text);
	return good;
}

/* ---- what is in a part ---- */

static bool keep(struct walk *w, struct buf *b, struct slice *out)
{
	char *copy = !buf_ok(b) || b->len == 0 ? NULL : arena_take(w->arena, b->len);

	if (copy != NULL)
		memcpy(copy, b->at, b->len);
	*out = slice_make(copy, copy == NULL ? 0 : b->len);
	return buf_ok(b) && (b->len == 0 || copy != NULL);
}

/* The word of Content-Transfer-Encoding. */
static bool is_encoded(struct slice header, const char *how)
{
	struct view_field field;
	struct slice word;

	if (!view_field_find(header, slice_of("content-transfer-encoding"), &field))
		return false;
	word = field.raw;
	skip_blanks(&word);
	return slice_eq_nocase(take_token(&word), slice_of(how));
}

static bool leaf(struct walk *w, struct view_part *part, const struct content_type *t)
{
	const struct view_charset *charset = view_charset_find(slice_of(t->charset[0] == '\0' ? "us-ascii" : t->charset));
	struct buf plain = buf_make(part->raw.len), utf8 = buf_make(part->raw.len * CHARSET_GROWTH);
	bool base64 = is_encoded(part->header, "base64"), quoted = is_encoded(part->header, "quoted-printable");
	struct slice text = part->raw;
	bool good = true;

	if (base64 || quoted) {
		good = (base64 ? view_base64 : view_quoted_printable)(part->raw, &plain);
		text = buf_slice(&plain);
	}
	if (good && charset != NULL && slice_starts(part->type, slice_of("text/")))
		good = view_charset_to_utf8(charset, text, &utf8) && keep(w, &utf8, &part->content);
	else if (good && (base64 || quoted))
		good = keep(w, &plain, &part->content);
	else
		part->content = part->raw;
	buf_free(&plain);
	buf_free(&utf8);
	return good;
}

/* A delimiter (RFC 2046 §5.1.1): 1 between parts, 2 behind the last one, 0 none. */
static int delimiter(struct slice line, struct slice boundary)
{
	struct slice rest = slice_from(line, 2 + boundary.len);
	bool last;

	if (!slice_starts(line, slice_of("--")) || !slice_starts(slice_from(line, 2), boundary))
		return 0;
	last = slice_starts(rest, slice_of("--"));
	return slice_trim(slice_from(rest, last ? 2 : 0)).len > 0 ? 0 : last ? 2 : 1;
}

/* Cuts what stands before the next delimiter; the line end before that belongs to it. */
static int cut_until_delimiter(struct slice *rest, struct slice boundary, struct slice *out)
{
	struct slice all = *rest, line;

	for (struct slice before = *rest; view_line_cut(rest, &line); before = *rest) {
		int kind = delimiter(view_line_text(line), boundary);

		if (kind == 0)
			continue;
		*out = view_line_text(slice_sub(all, 0, all.len - before.len));
		return kind;
	}
	*out = all;
	return 0;
}

static void cut_header(struct slice text, struct slice *header_out, struct slice *raw_out)
{
	struct slice rest = text, before = text, line;

	for (; view_line_cut(&rest, &line); before = rest) {
		if (view_line_text(line).len > 0)
			continue;
		*header_out = slice_sub(text, 0, text.len - before.len);
		*raw_out = rest;
		return;
	}
	*header_out = text;
	*raw_out = slice_empty();
}

static bool inner(struct walk *w, struct slice text, const char *type, size_t parent, unsigned depth)
{
	struct slice header, raw;

	cut_header(text, &header, &raw);
	return part_parse(w, header, raw, type, parent, depth);
}

static bool multipart(struct walk *w, size_t index, struct slice boundary, const char *type)
{
	struct slice rest = w->out->at[index].raw, text;
	unsigned depth = w->out->at[index].depth;
	int kind = cut_until_delimiter(&rest, boundary, &w->out->at[index].content);

	while (kind == 1) {
		kind = cut_until_delimiter(&rest, boundary, &text);
		if (!inner(w, text, type, index, depth + 1))
			return false;
	}
	w->out->at[index].epilogue = rest;
	return true;
}

static bool message(struct walk *w, size_t index)
{
	struct slice raw = w->out->at[index].raw, header, body;

	cut_header(raw, &header, &body);
	w->out->at[index].content = header;
	return part_parse(w, header, body, "text/plain", index, w->out->at[index].depth + 1);
}

static struct view_part *part_add(struct walk *w)
{
	void *items = w->out->at;
	struct view_part *part = arena_push(w->arena, &items, &w->out->count, sizeof(*part));

	w->out->at = items;
	return part;
}

/* `type` is that of a part that does not say it. */
static bool part_parse(struct walk *w, struct slice header, struct slice raw, const char *type, size_t parent, unsigned depth)
{
	size_t index = w->out->count;
	struct content_type t;
	struct view_part *part;
	bool deep = depth >= VIEW_NESTING_MAX;

	if (index >= VIEW_PARTS_MAX)
		return true;
	part = part_add(w);
	if (part == NULL || !content_type_of(header, type, &t))
		return false;
	*part = (struct view_part){slice_of(arena_text(w->arena, slice_of(t.type))), header, raw, raw, slice_empty(), parent, depth};
	if (arena_failed(w->arena))
		return false;
	if (!deep && t.boundary[0] != '\0' && slice_starts(part->type, slice_of("multipart/")))
		return multipart(w, index, slice_of(t.boundary),
				 slice_eq(part->type, slice_of("multipart/digest")) ? "message/rfc822" : "text/plain");
	if (!deep && (slice_eq(part->type, slice_of("message/rfc822")) || slice_eq(part->type, slice_of("message/global"))))
		return message(w, index);
	return leaf(w, part, &t);
}

bool view_parts_parse(struct arena *arena, struct slice header, struct slice body, struct view_part_list *out)
{
	struct walk w = {arena, out};

	*out = (struct view_part_list){NULL, 0};
	return part_parse(&w, header, body, "text/plain", 0, 0);
}
