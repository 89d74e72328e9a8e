#include "base/utf8.h"
#include "filter/sieve_check.h"

#define FIGURES_MAX 9u

struct reader {
	struct sieve_checker *c;
	struct sieve_string *s;
	struct buf literal; /* owned; since the last variable */
	bool no_memory;
	void *pieces;
	size_t count;
};

static struct sieve_piece *piece_add(struct reader *r)
{
	return arena_push(r->c->tree->arena, &r->pieces, &r->count, sizeof(struct sieve_piece));
}

static struct slice kept(struct reader *r)
{
	char *copy = r->literal.len == 0 ? NULL : arena_take(r->c->tree->arena, r->literal.len);

	if (copy != NULL)
		memcpy(copy, r->literal.at, r->literal.len);
	return slice_make(copy, copy == NULL ? 0 : r->literal.len);
}

static void end_literal(struct reader *r)
{
	struct sieve_piece *piece = r->literal.len == 0 ? NULL : piece_add(r);

	if (piece != NULL)
		*piece = (struct sieve_piece){SIEVE_LITERAL, kept(r), 0};
	r->no_memory = r->no_memory || !buf_ok(&r->literal);
	buf_clear(&r->literal);
}

static int hex_value(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_number(struct slice word, size_t figures, uint32_t *out)
{
	*out = 0;
	if (word.len == 0 || word.len > figures)
		return false;
	for (size_t i = 0; i < word.len; i++) {
		int value = hex_value(word.at[i]);

		if (value < 0)
			return false;
		*out = *out << 4 | (uint32_t)value;
	}
	return true;
}

static bool next_word(struct slice *rest, struct slice *word)
{
	size_t n = 0;

	while (rest->len > 0 && strchr(" \t\n", rest->at[0]) != NULL && rest->at[0] != '\0')
		*rest = slice_from(*rest, 1);
	while (n < rest->len && hex_value(rest->at[n]) >= 0)
		n++;
	*word = slice_sub(*rest, 0, n);
	*rest = slice_from(*rest, n);
	return n > 0;
}

/* "${hex: 40 41}" and "${unicode: 20AC}"; what is not well-formed stands for itself. */
static bool encoded(struct reader *r, struct slice inside)
{
	bool hex = slice_starts_nocase(inside, slice_of("hex:"));
	struct buf out = buf_make(inside.len + 4);
	struct slice rest = slice_from(inside, hex ? 4 : 8), word;
	uint32_t value = 0;
	bool good = hex || slice_starts_nocase(inside, slice_of("unicode:"));

	while (good && next_word(&rest, &word)) {
		good = hex_number(word, hex ? 2 : FIGURES_MAX - 1, &value);
		if (good && !hex && (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)))
			mistake_add(r->c->mistakes, r->s->pos, "", "%.*s is no character of Unicode", SLICE_ARG(word));
		if (hex)
			buf_add_char(&out, (char)value);
		else
			utf8_add(&out, value);
	}
	r->no_memory = r->no_memory || !buf_ok(&out);
	good = good && rest.len == 0 && out.len > 0;
	if (good)
		buf_add_slice(&r->literal, buf_slice(&out));
	buf_free(&out);
	return good;
}

static bool is_number(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_digit(s.at[i]))
			return false;
	return s.len > 0;
}

bool sieve_is_variable_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_is_alnum(name.at[i]) && name.at[i] != '_')
			return false;
	return name.len > 0 && !ascii_is_digit(name.at[0]);
}

/* A name before a dot, of an extension that we do not have (RFC 5229 §3): an error. */
static bool is_of_namespace(struct slice inside)
{
	size_t dot = slice_index(inside, '.');

	return dot != SLICE_NONE && sieve_is_variable_name(slice_sub(inside, 0, dot)) && dot + 1 < inside.len &&
	       (sieve_is_variable_name(slice_from(inside, dot + 1)) || is_number(slice_from(inside, dot + 1)));
}

static bool variable(struct reader *r, struct slice inside)
{
	struct sieve_piece piece = {SIEVE_VARIABLE, inside, 0}, *slot;
	uint64_t number = 0;

	if (is_of_namespace(inside)) {
		mistake_add(r->c->mistakes, r->s->pos, "only extensions have such names, and none of ours does", "unknown variable \"%.*s\"",
			    (int)(inside.len < 64 ? inside.len : 64), inside.at);
		return true;
	}
	if (is_number(inside)) {
		piece.kind = SIEVE_MATCHED;
		piece.index = slice_u64(inside, UINT32_MAX, &number) ? (size_t)number : SIZE_MAX;
	} else if (!sieve_is_variable_name(inside)) {
		return false;
	} else if (!sieve_variable(r->c, r->s->pos, inside, &piece.index)) {
		return true;
	}
	end_literal(r);
	slot = piece_add(r);
	if (slot != NULL)
		*slot = piece;
	return true;
}

/* Octets of a "${...}" at the front that was read; 0: it stands for itself. */
static size_t substitution(struct reader *r, struct slice rest)
{
	size_t end = slice_starts(rest, slice_of("${")) ? slice_index(rest, '}') : SLICE_NONE;
	struct slice inside = slice_sub(rest, 2, end == SLICE_NONE ? 0 : end - 2);

	if (end == SLICE_NONE)
		return 0;
	if (sieve_requires(r->c, SIEVE_ENCODED_CHARACTER) && encoded(r, inside))
		return end + 1;
	return sieve_requires(r->c, SIEVE_VARIABLES) && variable(r, inside) ? end + 1 : 0;
}

/* What came out of an encoded character is not looked at again. */
void sieve_read_pieces(struct sieve_checker *c, struct sieve_string *s)
{
	struct reader r = {c, s, buf_make(s->text.len * 4 + 16), false, NULL, 0};
	struct slice rest = s->text;

	if (slice_find(rest, slice_of("${")) == SLICE_NONE)
		return;
	while (rest.len > 0) {
		size_t used = rest.at[0] == '$' ? substitution(&r, rest) : 0;

		if (used == 0)
			buf_add_char(&r.literal, rest.at[0]);
		rest = slice_from(rest, used == 0 ? 1 : used);
	}
	r.no_memory = r.no_memory || !buf_ok(&r.literal);
	if (r.count == 0) {
		s->text = kept(&r);
	} else {
		end_literal(&r);
		s->pieces = r.pieces;
		s->piece_count = r.count;
	}
	c->no_memory = c->no_memory || r.no_memory;
	buf_free(&r.literal);
}
