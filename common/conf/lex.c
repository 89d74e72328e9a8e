#include "conf/lex.h"

struct lex lex_make(const char *file, struct slice text, struct arena *arena, struct mistakes *mistakes)
{
	return (struct lex){file, text, 0, 0, 1, 1, arena, mistakes};
}

static char peek(const struct lex *l, size_t ahead)
{
	return l->at + ahead < l->text.len ? l->text.at[l->at + ahead] : '\0';
}

static bool at_end(const struct lex *l)
{
	return l->at >= l->text.len;
}

/* Columns count characters, not bytes; each byte of a line is looked at once. */
static struct conf_pos position(struct lex *l)
{
	for (; l->counted < l->at; l->counted++)
		l->column += ((unsigned char)l->text.at[l->counted] & 0xc0) != 0x80;
	return (struct conf_pos){l->file, l->line, l->column};
}

static void complain(const struct lex *l, struct conf_pos pos, const char *hint, const char *what)
{
	if (l->mistakes != NULL)
		mistake_add(l->mistakes, pos, hint, "%s", what);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || (unsigned char)c == 0x7f;
}

static bool is_word(char c)
{
	return !is_control(c) && !is_blank(c) && strchr("{}(),;\"#=<>!", c) == NULL;
}

static void skip_blanks(struct lex *l)
{
	while (!at_end(l) &&
	       (peek(l, 0) == ' ' || peek(l, 0) == '\t' || (peek(l, 0) == '\r' && peek(l, 1) == '\n')))
		l->at++;
	if (peek(l, 0) == '#')
		while (!at_end(l) && peek(l, 0) != '\n')
			l->at++;
}

/* Bytes of "{name}" from here, or 0. */
static size_t name_in_braces(const struct lex *l)
{
	size_t n = 1;

	if (peek(l, 0) != '{')
		return 0;
	while (ascii_is_alnum(peek(l, n)) || (peek(l, n) != '\0' && strchr("._-", peek(l, n)) != NULL))
		n++;
	return n > 1 && peek(l, n) == '}' ? n + 1 : 0;
}

static struct token take_word(struct lex *l, struct token t)
{
	size_t start = l->at;

	while (!at_end(l)) {
		size_t braces = l->at > start ? name_in_braces(l) : 0;

		if (braces == 0 && !is_word(peek(l, 0)))
			break;
		l->at += braces > 0 ? braces : 1;
	}
	if (peek(l, 0) == '#')
		complain(l, position(l), "put a blank before a comment, or the word in quotes",
			 "`#` inside a word");
	t.kind = TOKEN_WORD;
	t.text = slice_sub(l->text, start, l->at - start);
	return t;
}

/* The end of a string that starts at l->at (its quote), or SLICE_NONE when it is not closed on this
 * line. */
static size_t string_end(const struct lex *l, bool *has_control_out)
{
	*has_control_out = false;
	for (size_t i = l->at + 1; i < l->text.len && l->text.at[i] != '\n'; i++) {
		if (l->text.at[i] == '"')
			return i;
		if (is_control(l->text.at[i]))
			*has_control_out = true;
		if (l->text.at[i] == '\\' && i + 1 < l->text.len && l->text.at[i + 1] != '\n')
			i++;
	}
	return SLICE_NONE;
}

static struct slice unescape(struct lex *l, struct slice raw)
{
	char *out = arena_take(l->arena, raw.len + 1);
	size_t n = 0;

	if (out == NULL)
		return slice_empty();
	for (size_t i = 0; i < raw.len; i++) {
		if (raw.at[i] == '\\' && i + 1 < raw.len &&
		    (raw.at[i + 1] == '"' || raw.at[i + 1] == '\\'))
			i++;
		out[n++] = raw.at[i];
	}
	return slice_make(out, n);
}

static void skip_line(struct lex *l)
{
	while (!at_end(l) && peek(l, 0) != '\n')
		l->at++;
}

static struct token take_string(struct lex *l, struct token t)
{
	bool has_control;
	size_t end = string_end(l, &has_control);

	t.kind = TOKEN_BAD;
	if (end == SLICE_NONE) {
		complain(l, t.pos, "the quote that ends it must stand on the same line",
			 "a string without an end");
		skip_line(l);
		return t;
	}
	t.text = unescape(l, slice_sub(l->text, l->at + 1, end - l->at - 1));
	l->at = end + 1;
	if (has_control)
		complain(l, t.pos, "", "a control character in a string");
	else
		t.kind = TOKEN_STRING;
	return t;
}

static struct token take_operator(struct lex *l, struct token t)
{
	size_t len = peek(l, 1) == '=' ? 2 : 1;

	t.text = slice_sub(l->text, l->at, len);
	t.kind = TOKEN_OPERATOR;
	l->at += len;
	if (len == 1 && (t.text.at[0] == '=' || t.text.at[0] == '!')) {
		t.kind = TOKEN_BAD;
		complain(l, t.pos,
			 t.text.at[0] == '=' ? "equality is written =="
					     : "negation is written not, inequality !=",
			 t.text.at[0] == '=' ? "a single `=`" : "a single `!`");
	}
	return t;
}

static struct token take_line(struct lex *l, struct token t)
{
	t.kind = TOKEN_LINE;
	if (peek(l, 0) == '\n') {
		l->line++;
		l->column = 1;
		l->counted = l->at + 1;
	}
	l->at++;
	return t;
}

static enum token_kind punctuation(char c)
{
	static const struct {
		char c;
		enum token_kind kind;
	} marks[] = {
		{'{', TOKEN_OPEN},	  {'}', TOKEN_CLOSE}, {'(', TOKEN_PAREN_OPEN},
		{')', TOKEN_PAREN_CLOSE}, {',', TOKEN_COMMA},
	};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (marks[i].c == c)
			return marks[i].kind;
	return TOKEN_BAD;
}

static struct token take_other(struct lex *l, struct token t)
{
	t.kind = punctuation(peek(l, 0));
	t.text = slice_sub(l->text, l->at, 1);
	l->at++;
	if (t.kind == TOKEN_BAD)
		complain(l, t.pos, "", "a control character");
	return t;
}

struct token lex_next(struct lex *l)
{
	struct token t;
	char c;

	skip_blanks(l);
	t = (struct token){TOKEN_END, slice_empty(), position(l)};
	if (at_end(l))
		return t;
	c = peek(l, 0);
	if (c == '\n' || c == ';')
		return take_line(l, t);
	if (c == '"')
		return take_string(l, t);
	if (c != '\0' && strchr("=!<>", c) != NULL)
		return take_operator(l, t);
	return is_word(c) && c != '\0' ? take_word(l, t) : take_other(l, t);
}

static size_t value_end(const struct lex *l)
{
	size_t i = l->at;

	while (i < l->text.len && strchr("\n;}", l->text.at[i]) == NULL) {
		if (l->text.at[i] == '\0' || is_control(l->text.at[i]))
			break;
		if (l->text.at[i] == '#' && i > 0 && is_blank(l->text.at[i - 1]))
			break;
		i++;
	}
	return i;
}

bool lex_value(struct lex *l, bool has_colon, struct token *value_out)
{
	size_t end;

	skip_blanks(l);
	if (peek(l, 0) == ':' && !has_colon)
		l->at++;
	else if (!has_colon)
		return false;
	skip_blanks(l);
	*value_out = (struct token){TOKEN_WORD, slice_empty(), position(l)};
	if (peek(l, 0) == '"') {
		*value_out = take_string(l, *value_out);
		return true;
	}
	end = value_end(l);
	value_out->text = slice_trim(slice_sub(l->text, l->at, end - l->at));
	l->at = end;
	return true;
}
