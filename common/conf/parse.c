#include "conf/parse.h"

#include "conf/unit.h"

#include <inttypes.h>

#define NAME_MAX_BYTES 63
#define PATH_MAX_BYTES 4095

void parser_start(struct parser *p, const char *file, struct slice text, struct arena *arena,
		  struct mistakes *mistakes)
{
	*p = (struct parser){
		.lex = lex_make(file, text, arena, mistakes), .arena = arena, .mistakes = mistakes};
	parser_next(p);
}

void parser_next(struct parser *p)
{
	p->last = p->now;
	p->now = lex_next(&p->lex);
}

bool parser_at(const struct parser *p, enum token_kind kind)
{
	return p->now.kind == kind;
}

bool parser_at_word(const struct parser *p, const char *word)
{
	return p->now.kind == TOKEN_WORD && slice_eq(p->now.text, slice_of(word));
}

bool parser_at_statement_end(const struct parser *p)
{
	return p->now.kind == TOKEN_LINE || p->now.kind == TOKEN_CLOSE || p->now.kind == TOKEN_END;
}

bool parser_accept(struct parser *p, enum token_kind kind)
{
	if (p->now.kind != kind)
		return false;
	parser_next(p);
	return true;
}

bool parser_accept_word(struct parser *p, const char *word)
{
	if (!parser_at_word(p, word))
		return false;
	parser_next(p);
	return true;
}

void parser_skip_lines(struct parser *p)
{
	while (p->now.kind == TOKEN_LINE)
		parser_next(p);
}

/* A condition that goes on in the next line. */
static bool is_joint(const struct token *t)
{
	return t->kind == TOKEN_WORD &&
	       (slice_eq(t->text, slice_of("and")) || slice_eq(t->text, slice_of("or")));
}

void parser_skip_statement(struct parser *p)
{
	size_t depth = 0;

	while (p->now.kind != TOKEN_END && (depth > 0 || !parser_at_statement_end(p) ||
					    (p->now.kind == TOKEN_LINE && is_joint(&p->last)))) {
		if (p->now.kind == TOKEN_OPEN)
			depth++;
		if (p->now.kind == TOKEN_CLOSE)
			depth--;
		parser_next(p);
	}
}

void parser_expected(struct parser *p, const char *expected)
{
	struct buf hint = buf_make(512);
	const struct token *t = &p->now;

	if (t->kind == TOKEN_BAD)
		return;
	buf_addf(&hint, "expected %s", expected);
	if (parser_at_statement_end(p))
		mistake_add(p->mistakes, t->pos, buf_text(&hint), "%s too early",
			    t->kind == TOKEN_END ? "the file ends" : "the statement ends");
	else
		mistake_add(p->mistakes, t->pos, buf_text(&hint), "\"%.*s\" does not belong here",
			    t->text.len > 80 ? 80 : (int)t->text.len, t->text.at);
	buf_free(&hint);
}

static bool take(struct parser *p, bool fits, const char *expected, struct token *out)
{
	if (!fits) {
		parser_expected(p, expected);
		return false;
	}
	*out = p->now;
	parser_next(p);
	return true;
}

bool take_word(struct parser *p, const char *expected, struct token *out)
{
	return take(p, p->now.kind == TOKEN_WORD, expected, out);
}

bool take_text(struct parser *p, const char *expected, struct token *out)
{
	return take(p, p->now.kind == TOKEN_WORD || p->now.kind == TOKEN_STRING, expected, out);
}

bool take_string(struct parser *p, const char *expected, struct token *out)
{
	return take(p, p->now.kind == TOKEN_STRING, expected, out);
}

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-' && s.at[i] != '_' && s.at[i] != '.')
			return false;
	return s.len > 0 && s.len <= NAME_MAX_BYTES;
}

bool take_name(struct parser *p, const char *what, const char **into)
{
	struct buf expected = buf_make(256);
	struct token t;
	bool ok;

	buf_addf(&expected, "%s (letters, digits, - _ . , at most %d)", what, NAME_MAX_BYTES);
	ok = take(p, p->now.kind == TOKEN_WORD && is_name(p->now.text), buf_text(&expected), &t);
	buf_free(&expected);
	if (ok)
		*into = arena_text(p->arena, t.text);
	return ok && *into != NULL;
}

static bool is_path(const struct token *t)
{
	return (t->kind == TOKEN_WORD || t->kind == TOKEN_STRING) && t->text.len > 0 &&
	       t->text.at[0] == '/' && t->text.len <= PATH_MAX_BYTES &&
	       memchr(t->text.at, '\0', t->text.len) == NULL;
}

bool take_path(struct parser *p, const char **into)
{
	struct token t;

	if (!take(p, is_path(&p->now), "an absolute path", &t))
		return false;
	*into = arena_text(p->arena, t.text);
	return *into != NULL;
}

typedef bool unit_fn(struct slice s, uint64_t *out);

static bool take_unit(struct parser *p, unit_fn *unit, const char *expected, uint64_t *into)
{
	struct token t;
	uint64_t value = 0;

	if (!take(p, p->now.kind == TOKEN_WORD && unit(p->now.text, &value), expected, &t))
		return false;
	*into = value;
	return true;
}

bool take_time(struct parser *p, uint64_t *ms_into)
{
	return take_unit(p, unit_time, "a duration such as 20s, 15m, 2h or 4d", ms_into);
}

bool take_size(struct parser *p, uint64_t *bytes_into)
{
	return take_unit(p, unit_size, "a size such as 4096, 64K, 50M or 2G", bytes_into);
}

bool take_number(struct parser *p, uint64_t min, uint64_t max, uint64_t *into)
{
	struct buf expected = buf_make(128);
	uint64_t value = 0;
	struct token t;
	bool ok;

	buf_addf(&expected, "a number from %" PRIu64 " to %" PRIu64, min, max);
	ok = take(p, p->now.kind == TOKEN_WORD && slice_u64(p->now.text, max, &value) && value >= min,
		  buf_text(&expected), &t);
	buf_free(&expected);
	if (ok)
		*into = value;
	return ok;
}

bool take_yes_no(struct parser *p, bool *into)
{
	static const char *const words[] = {"no", "yes", NULL};
	unsigned index = 0;

	if (!take_choice(p, "answer", words, &index))
		return false;
	*into = index == 1;
	return true;
}

bool take_choice(struct parser *p, const char *what, const char *const *words, unsigned *into)
{
	struct wordlist list = {NULL, 0};

	for (unsigned i = 0; words[i] != NULL; i++) {
		if (parser_at_word(p, words[i])) {
			*into = i;
			parser_next(p);
			return true;
		}
		wordlist_add(p->arena, &list, words[i]);
	}
	if (p->now.kind == TOKEN_WORD) {
		mistake_unknown(p->mistakes, p->now.pos, what, p->now.text, &list);
		return false;
	}
	parser_expected(p, what);
	return false;
}

bool take_keyword(struct parser *p, const char *word)
{
	struct buf expected = buf_make(128);

	if (parser_accept_word(p, word))
		return true;
	buf_addf(&expected, "the word %s", word);
	parser_expected(p, buf_text(&expected));
	buf_free(&expected);
	return false;
}

bool take_open(struct parser *p, const char *of)
{
	struct buf expected = buf_make(128);

	if (parser_accept(p, TOKEN_OPEN))
		return true;
	buf_addf(&expected, "{ and the statements of %s", of);
	parser_expected(p, buf_text(&expected));
	buf_free(&expected);
	return false;
}
