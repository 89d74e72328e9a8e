#include "filter/sieve_lex.h"

struct sieve_lex sieve_lex_make(const char *file, struct slice text, struct arena *arena, struct mistakes *mistakes)
{
	return (struct sieve_lex){file, text, 0, 0, 1, 1, arena, mistakes};
}

static char peek(const struct sieve_lex *l, size_t ahead)
{
	return l->at + ahead < l->text.len ? l->text.at[l->at + ahead] : '\0';
}

static bool at_end(const struct sieve_lex *l)
{
	return l->at >= l->text.len;
}

static struct slice rest(const struct sieve_lex *l)
{
	return slice_from(l->text, l->at);
}

/* Columns count characters; each octet is looked at once. */
static struct conf_pos position(struct sieve_lex *l)
{
	for (; l->counted < l->at && l->counted < l->text.len; l->counted++) {
		char c = l->text.at[l->counted];

		l->line += c == '\n';
		l->column = c == '\n' ? 1 : l->column + (((unsigned char)c & 0xc0) != 0x80);
	}
	return (struct conf_pos){l->file, l->line, l->column};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c)
{
	return ascii_is_alnum(c) || c == '_';
}

static void skip_line(struct sieve_lex *l)
{
	size_t end = slice_index(rest(l), '\n');

	l->at = end == SLICE_NONE ? l->text.len : l->at + end + 1;
}

/* False: a comment without an end. */
static bool skip_comment(struct sieve_lex *l)
{
	size_t end = slice_find(slice_from(l->text, l->at + 2), slice_of("*/"));

	if (end != SLICE_NONE) {
		l->at += end + 4;
		return true;
	}
	mistake_add(l->mistakes, position(l), "it ends with */", "a comment without an end");
	l->at = l->text.len;
	return false;
}

static void skip_blanks(struct sieve_lex *l)
{
	for (;;) {
		if (is_blank(peek(l, 0)) && !at_end(l))
			l->at++;
		else if (peek(l, 0) == '#')
			skip_line(l);
		else if (peek(l, 0) != '/' || peek(l, 1) != '*' || !skip_comment(l))
			return;
	}
}

static struct slice take_word(struct sieve_lex *l)
{
	size_t start = l->at;

	while (is_word(peek(l, 0)))
		l->at++;
	return slice_sub(l->text, start, l->at - start);
}

static struct sieve_token bad(struct sieve_lex *l, struct sieve_token t, const char *hint, const char *what)
{
	mistake_add(l->mistakes, t.pos, hint, "%s", what);
	t.kind = SIEVE_TOKEN_BAD;
	return t;
}

/* 1K is 1024 (§2.4.1). */
static struct sieve_token take_number(struct sieve_lex *l, struct sieve_token t)
{
	static const char units[] = "kmg";
	struct slice word = take_word(l);
	const char *unit = word.len == 0 ? NULL : strchr(units, ascii_lower(word.at[word.len - 1]));
	unsigned shift = unit == NULL || *unit == '\0' ? 0 : 10 * (unsigned)(unit - units + 1);

	t.kind = SIEVE_TOKEN_NUMBER;
	t.text = word;
	if (shift > 0)
		word.len--;
	if (!slice_u64(word, UINT64_MAX >> shift, &t.number))
		return bad(l, t, "expected a number such as 100, 10K or 2M", "not a number, or too large");
	t.number <<= shift;
	return t;
}

/* The content of a string is never longer than it stands there. */
static struct sieve_token take_quoted(struct sieve_lex *l, struct sieve_token t)
{
	size_t len = 0, end = l->at + 1;
	char *out;

	while (end < l->text.len && l->text.at[end] != '"')
		end += l->text.at[end] == '\\' ? 2 : 1;
	if (end >= l->text.len) {
		l->at = l->text.len;
		return bad(l, t, "it ends with another quote", "a string without an end");
	}
	out = arena_take(l->arena, end - l->at);
	for (size_t i = l->at + 1; out != NULL && i < end; i++) {
		if (l->text.at[i] == '\\')
			i++;
		else if (l->text.at[i] == '\r' && l->text.at[i + 1] == '\n')
			continue;
		out[len++] = l->text.at[i];
	}
	l->at = end + 1;
	t.kind = SIEVE_TOKEN_STRING;
	t.text = slice_make(out, out == NULL ? 0 : len);
	return t;
}

/* Behind "text:" a line may have a comment and nothing else. */
static bool skip_to_lines(struct sieve_lex *l)
{
	while (peek(l, 0) == ' ' || peek(l, 0) == '\t' || peek(l, 0) == '\r')
		l->at++;
	if (peek(l, 0) != '#' && peek(l, 0) != '\n')
		return false;
	skip_line(l);
	return true;
}

static struct slice line_text(struct slice line)
{
	if (line.len > 0 && line.at[line.len - 1] == '\n')
		line.len--;
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* Cuts the next line; false: it is the single dot, or there is none, and *ended says which. */
static bool cut_text_line(struct slice *lines, struct slice *out, bool *ended)
{
	size_t end = slice_index(*lines, '\n');

	*out = line_text(slice_sub(*lines, 0, end == SLICE_NONE ? lines->len : end + 1));
	*ended = slice_eq(*out, slice_of("."));
	if (lines->len == 0)
		return false;
	*lines = end == SLICE_NONE ? slice_empty() : slice_from(*lines, end + 1);
	return !*ended;
}

/* Lines up to one that is a dot, dots at their beginnings doubled (§2.4.2). */
static struct sieve_token take_multiline(struct sieve_lex *l, struct sieve_token t)
{
	struct slice lines, line, begin;
	bool ended = false;
	size_t len = 0;
	char *out;

	if (!skip_to_lines(l))
		return bad(l, t, "its first line is the next one", "something behind text: on the same line");
	begin = rest(l);
	for (lines = begin; cut_text_line(&lines, &line, &ended);)
		;
	l->at = l->text.len - lines.len;
	if (!ended)
		return bad(l, t, "it ends with a line that is a single dot", "a text without an end");
	out = arena_take(l->arena, begin.len - lines.len); /* never longer than it stands there, with its dot */
	for (lines = begin; out != NULL && cut_text_line(&lines, &line, &ended);) {
		line = slice_from(line, line.len > 0 && line.at[0] == '.');
		memcpy(out + len, line.at, line.len);
		len += line.len;
		out[len++] = '\n';
	}
	t.kind = SIEVE_TOKEN_STRING;
	t.text = slice_make(out, len);
	return t;
}

static struct sieve_token take_mark(struct sieve_lex *l, struct sieve_token t)
{
	char c = peek(l, 0);

	t.text = slice_sub(l->text, l->at, 1);
	t.kind = SIEVE_TOKEN_MARK;
	l->at++;
	if (c != '\0' && strchr(";,()[]{}", c) != NULL)
		return t;
	while ((peek(l, 0) & 0x80) != 0 && (peek(l, 0) & 0x40) == 0)
		l->at++;
	if (c == '\'') {
		size_t end = slice_index(rest(l), '\'');

		l->at += end < slice_index(rest(l), '\n') ? end + 1 : 0; /* one mistake is enough */
		return bad(l, t, "strings stand in \"double quotes\"", "a single quote");
	}
	return bad(l, t, "", (unsigned char)c < 0x20 || c == 0x7f ? "a control character" : "a character that has no meaning here");
}

struct sieve_token sieve_lex_next(struct sieve_lex *l)
{
	struct sieve_token t;
	char c;

	skip_blanks(l);
	t = (struct sieve_token){SIEVE_TOKEN_END, slice_empty(), 0, position(l)};
	if (at_end(l))
		return t;
	c = peek(l, 0);
	if (c == '"')
		return take_quoted(l, t);
	if (ascii_is_digit(c))
		return take_number(l, t);
	if (c == ':' && is_word(peek(l, 1)) && !ascii_is_digit(peek(l, 1))) {
		l->at++;
		t.kind = SIEVE_TOKEN_TAG;
		t.text = take_word(l);
		return t;
	}
	if (!is_word(c))
		return take_mark(l, t);
	t.kind = SIEVE_TOKEN_WORD;
	t.text = take_word(l);
	if (slice_eq_nocase(t.text, slice_of("text")) && peek(l, 0) == ':' && !is_word(peek(l, 1))) {
		l->at++;
		return take_multiline(l, t);
	}
	return t;
}
