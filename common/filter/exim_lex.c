#include "filter/exim_lex.h"

#include <stdarg.h>
#include <stdio.h>

bool exim_mistake(struct exim_source *s, size_t at, const char *why, ...)
{
	struct filter_mistake *m = s->mistake;
	va_list args;

	if (m->line != 0)
		return false;
	m->line = 1;
	m->column = 1;
	for (size_t i = 0; i < at && i < s->text.len; i++) {
		if (s->text.at[i] == '\n') {
			m->line++;
			m->column = 1;
		} else if (((unsigned char)s->text.at[i] & 0xc0) != 0x80) {
			m->column++;
		}
	}
	va_start(args, why);
	vsnprintf(m->why, sizeof(m->why), why, args);
	va_end(args);
	return false;
}

bool exim_no_memory(struct exim_source *s)
{
	if (s->mistake->line == 0)
		s->mistake->why[0] = '\0';
	return false;
}

bool exim_enter(struct exim_source *s, size_t at)
{
	if (s->depth >= EXIM_DEPTH_MAX)
		return exim_mistake(s, at, "nested too deep (more than %u levels)", EXIM_DEPTH_MAX);
	s->depth++;
	return true;
}

static char peek(const struct exim_source *s, size_t ahead)
{
	return s->at + ahead < s->text.len ? s->text.at[s->at + ahead] : '\0';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_bracket(char c)
{
	return c == '(' || c == ')';
}

static void skip_comment(struct exim_source *s)
{
	while (s->at < s->text.len && s->text.at[s->at] != '\n')
		s->at++;
}

static void skip_between(struct exim_source *s)
{
	while (s->at < s->text.len) {
		if (peek(s, 0) == '#') {
			skip_comment(s);
		} else if (is_space(peek(s, 0))) {
			s->line += peek(s, 0) == '\n';
			s->at++;
		} else {
			return;
		}
	}
}

/* ---- in quotes ---- */

struct quoted {
	char *out;
	uint32_t *places;
	size_t len;
};

static void put(struct quoted *q, size_t place, char c)
{
	q->places[q->len] = (uint32_t)place;
	q->out[q->len++] = c;
}

static int digit(char c, unsigned base)
{
	int d = ascii_is_digit(c) ? c - '0' : ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f' ? ascii_lower(c) - 'a' + 10 : 99;

	return d < (int)base ? d : -1;
}

/* Up to `max` figures at s->at. */
static char number(struct exim_source *s, unsigned base, unsigned max)
{
	unsigned value = 0;

	for (; max > 0 && digit(peek(s, 0), base) >= 0; max--, s->at++)
		value = value * base + (unsigned)digit(peek(s, 0), base);
	return (char)value;
}

/* The backslash is behind us. */
static bool put_escaped(struct exim_source *s, struct quoted *q)
{
	size_t place = s->at - 1;
	char c = peek(s, 0);

	if (s->at >= s->text.len)
		return true; /* a quote is missing; told there */
	if (digit(c, 8) >= 0) {
		c = number(s, 8, 3);
	} else if (c == 'x') {
		s->at++;
		c = number(s, 16, 2);
	} else {
		s->at++;
		c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
	}
	if (c == '\0')
		return exim_mistake(s, place, "a NUL in a text");
	put(q, place, c);
	return true;
}

/* A line's end behind a backslash: it and the blanks at the start of the next line are nothing. */
static bool joins_lines(struct exim_source *s)
{
	size_t skip = peek(s, 0) == '\r' ? 1 : 0;

	if (peek(s, skip) != '\n')
		return false;
	s->line++;
	s->at += skip + 1;
	while (peek(s, 0) == ' ' || peek(s, 0) == '\t')
		s->at++;
	return true;
}

/* Bytes until the quote that ends it, or the end of the text: as much room as it can need. */
static size_t longest(const struct exim_source *s)
{
	size_t i = s->at + 1;

	while (i < s->text.len && s->text.at[i] != '"')
		i += s->text.at[i] == '\\' ? 2 : 1;
	return i - s->at;
}

static bool has_room(struct exim_source *s, struct quoted *q, size_t need)
{
	if (need > EXIM_DATA_MAX)
		return exim_mistake(s, s->at, "a text that is too long (more than %u bytes; or the quote at its end is missing)",
				    EXIM_DATA_MAX);
	*q = (struct quoted){arena_take(s->arena, need + 1), arena_take(s->arena, (need + 1) * sizeof(uint32_t)), 0};
	return (q->out != NULL && q->places != NULL) || exim_no_memory(s);
}

static bool read_quoted(struct exim_source *s, struct exim_item *out)
{
	size_t start = s->at;
	struct quoted q = {NULL, NULL, 0};

	if (!has_room(s, &q, longest(s)))
		return false;
	for (s->at++; s->at < s->text.len && peek(s, 0) != '"' && peek(s, 0) != '\n';) {
		char c = peek(s, 0);

		s->at++;
		if (c == '\0')
			return exim_mistake(s, s->at - 1, "a NUL in a text");
		if (c != '\\')
			put(&q, s->at - 1, c);
		else if (!joins_lines(s) && !put_escaped(s, &q))
			return false;
	}
	if (peek(s, 0) != '"')
		return exim_mistake(s, start, "the quote at the end of this text is missing (a text may go on in the next line "
					      "behind a backslash)");
	q.places[q.len] = (uint32_t)s->at;
	s->at++;
	out->kind = EXIM_ITEM_QUOTED;
	out->text = slice_make(q.out, q.len);
	out->places = q.places;
	return true;
}

/* ---- without ---- */

static bool read_word(struct exim_source *s, bool condition, struct exim_item *out)
{
	size_t start = s->at, len = 0;
	uint32_t *places;

	while (start + len < s->text.len && !is_space(s->text.at[start + len]) &&
	       !(condition && is_bracket(s->text.at[start + len])))
		len++;
	if (len > EXIM_DATA_MAX)
		return exim_mistake(s, start, "a word that is too long (more than %u bytes)", EXIM_DATA_MAX);
	if (memchr(s->text.at + start, '\0', len) != NULL)
		return exim_mistake(s, start, "a NUL in a word");
	places = arena_take(s->arena, (len + 1) * sizeof(*places));
	if (places == NULL)
		return exim_no_memory(s);
	for (size_t i = 0; i <= len; i++)
		places[i] = (uint32_t)(start + i);
	s->at += len;
	out->kind = EXIM_ITEM_WORD;
	out->text = slice_sub(s->text, start, len);
	out->places = places;
	return true;
}

static const uint32_t nowhere[1];

bool exim_next(struct exim_source *s, bool condition, struct exim_item *out)
{
	skip_between(s);
	*out = (struct exim_item){EXIM_ITEM_END, s->line, s->at, slice_empty(), nowhere};
	if (s->at >= s->text.len)
		return true;
	if (peek(s, 0) == '"')
		return read_quoted(s, out);
	if (!condition || !is_bracket(peek(s, 0)))
		return read_word(s, condition, out);
	out->kind = peek(s, 0) == '(' ? EXIM_ITEM_OPEN : EXIM_ITEM_CLOSE;
	out->text = slice_sub(s->text, s->at, 1);
	s->at++;
	return true;
}

bool exim_peek(struct exim_source *s, bool condition, struct exim_item *out)
{
	size_t at = s->at;
	uint32_t line = s->line;
	bool good = exim_next(s, condition, out);

	s->at = at;
	s->line = line;
	return good;
}
