#include "mail/address_list.h"

/*
 * Words and specials; comments and spaces are skipped between them.
 *
 * An element gathers in `text` until a comma, a semicolon or the end: "John Smith <j@d>" is a display name (two words side by
 * side are fine), then the part in angles, which is what counts.  Without angles it must itself be an address.
 */
enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_SPECIAL, TOKEN_BAD };

struct token {
	enum token_kind kind;
	char special;
	struct slice text; /* of a word, with its quotes or brackets */
};

struct parser {
	struct slice in;
	size_t at;
	char text[ADDRESS_LIST_ONE_MAX];
	size_t len;
	size_t from, to; /* of the element, in `in` */
	size_t at_signs;
	bool too_long;
	bool last_is_word;
	bool words_touch; /* two words without a dot or @ between them: only a display name may have that */
	bool in_angle, had_angle, in_group, in_route; /* a route ends with a colon */
	address_list_fn *fn; /* or: */
	address_list_spot_fn *spot_fn;
	void *arg;
};

static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
	return c != '\0' && strchr("()<>[]:;@\\,.\"", c) != NULL;
}

/* From `open` at p->at to its end, nested where `nests`; false: it has none. */
static bool skip_enclosed(struct parser *p, char open, char close, bool nests)
{
	unsigned depth = 0;

	for (; p->at < p->in.len; p->at++) {
		char c = p->in.at[p->at];

		if (c == '\\') {
			p->at++;
		} else if (c == open && (nests || depth == 0)) {
			if (++depth > ADDRESS_LIST_NESTING_MAX)
				return false;
		} else if (c == close) {
			if (--depth == 0) {
				p->at++;
				return true;
			}
		}
	}
	return false;
}

/* False: a comment that does not end. */
static bool skip_blank(struct parser *p)
{
	while (p->at < p->in.len) {
		if (is_space(p->in.at[p->at]))
			p->at++;
		else if (p->in.at[p->at] != '(')
			return true;
		else if (!skip_enclosed(p, '(', ')', true))
			return false;
	}
	return true;
}

static struct token bad(void)
{
	return (struct token){TOKEN_BAD, '\0', slice_empty()};
}

static struct token enclosed_word(struct parser *p, char open, char close)
{
	size_t start = p->at;
	struct token t = {TOKEN_WORD, '\0', slice_empty()};

	if (open == close) { /* a quoted string: the first quote opens, the next closes */
		for (p->at++; p->at < p->in.len && p->in.at[p->at] != close; p->at++)
			if (p->in.at[p->at] == '\\')
				p->at++;
		if (p->at++ >= p->in.len)
			return bad();
	} else if (!skip_enclosed(p, open, close, false)) {
		return bad();
	}
	if (p->at > p->in.len)
		return bad();
	t.text = slice_sub(p->in, start, p->at - start);
	return t;
}

static struct token atom(struct parser *p)
{
	size_t start = p->at;

	while (p->at < p->in.len && !is_special(p->in.at[p->at]) && !is_space(p->in.at[p->at])) {
		if (is_control(p->in.at[p->at]))
			return bad();
		p->at++;
	}
	return (struct token){TOKEN_WORD, '\0', slice_sub(p->in, start, p->at - start)};
}

static struct token next_token(struct parser *p)
{
	char c;

	if (!skip_blank(p))
		return bad();
	if (p->at == p->in.len)
		return (struct token){TOKEN_END, '\0', slice_empty()};
	c = p->in.at[p->at];
	if (c == '"')
		return enclosed_word(p, '"', '"');
	if (c == '[')
		return enclosed_word(p, '[', ']');
	if (!is_special(c))
		return atom(p);
	p->at++;
	return c == ')' || c == ']' || c == '\\' ? bad() : (struct token){TOKEN_SPECIAL, c, slice_empty()};
}

/* ---- an element ---- */

static void reset_text(struct parser *p)
{
	p->len = p->from = p->to = 0;
	p->at_signs = 0;
	p->too_long = false;
	p->last_is_word = false;
	p->words_touch = false;
}

static void add_char(struct parser *p, char c)
{
	if (p->len == sizeof(p->text))
		p->too_long = true;
	else
		p->text[p->len++] = c;
}

/* A folded line inside quotes loses its line end (RFC 5322 §3.2.4); what a backslash quotes must be a character that stays, or the
 * backslash would come to quote another.  False: a control. */
static bool add_word(struct parser *p, struct slice word)
{
	bool quoted = false;

	p->words_touch = p->words_touch || p->last_is_word;
	p->last_is_word = true;
	for (size_t i = 0; i < word.len; i++) {
		char c = word.at[i];

		if (!quoted && (c == '\r' || c == '\n'))
			continue;
		if (is_control(c))
			return false;
		quoted = !quoted && c == '\\';
		add_char(p, c == '\t' ? ' ' : c);
	}
	return true;
}

static bool is_one_address(const struct parser *p)
{
	if (p->too_long || p->words_touch || p->len == 0 || p->at_signs > 1)
		return false;
	return p->text[0] != '@' && p->text[p->len - 1] != '@';
}

static bool tell(const struct parser *p)
{
	struct slice address = slice_make(p->text, p->len);

	return p->fn != NULL ? p->fn(address, p->arg) : p->spot_fn(address, p->from, p->to - p->from, p->arg);
}

/* What was read last, and ended at p->at, is part of the element. */
static void note_spot(struct parser *p, size_t length)
{
	if (p->len == 0)
		p->from = p->at - length;
	p->to = p->at;
}

/* At the end of an element.  An empty one is fine (RFC 5322 §4.4), but not `<>`. */
static enum address_list_end finish_element(struct parser *p)
{
	bool empty = p->len == 0 && !p->had_angle;
	enum address_list_end end = ADDRESS_LIST_DONE;

	if (p->in_angle || (!empty && !is_one_address(p)))
		return ADDRESS_LIST_BAD;
	if (!empty && !tell(p))
		end = ADDRESS_LIST_STOPPED;
	reset_text(p);
	p->had_angle = false;
	return end;
}

static enum address_list_end on_comma(struct parser *p)
{
	/* "<@a,@b:c@d>": the comma belongs to a route */
	if (p->in_angle && p->at_signs == 1 && p->text[0] == '@') {
		reset_text(p);
		p->in_route = true;
		return ADDRESS_LIST_DONE;
	}
	if (p->in_route)
		return ADDRESS_LIST_BAD;
	return finish_element(p);
}

static enum address_list_end on_semicolon(struct parser *p)
{
	if (!p->in_group)
		return ADDRESS_LIST_BAD;
	p->in_group = false;
	return finish_element(p);
}

/* The end of a group's name, or of a route, which is of no use (RFC 5321 §4.1.1.3). */
static enum address_list_end on_colon(struct parser *p)
{
	bool is_route = p->in_angle && p->at_signs == 1 && p->text[0] == '@';
	bool is_group = !p->in_angle && !p->had_angle && !p->in_group && p->at_signs == 0 && p->len > 0;

	if (!is_route && !is_group)
		return ADDRESS_LIST_BAD;
	p->in_group = p->in_group || is_group;
	p->in_route = false;
	reset_text(p);
	return ADDRESS_LIST_DONE;
}

static enum address_list_end on_open(struct parser *p)
{
	if (p->in_angle || p->had_angle || p->at_signs > 0)
		return ADDRESS_LIST_BAD;
	reset_text(p);
	p->in_angle = true;
	return ADDRESS_LIST_DONE;
}

static enum address_list_end on_close(struct parser *p)
{
	if (!p->in_angle || p->in_route)
		return ADDRESS_LIST_BAD;
	p->in_angle = false;
	p->had_angle = true;
	return ADDRESS_LIST_DONE;
}

static enum address_list_end on_joint(struct parser *p, char c)
{
	note_spot(p, 1);
	p->last_is_word = false;
	p->at_signs += c == '@';
	add_char(p, c);
	return ADDRESS_LIST_DONE;
}

static enum address_list_end on_special(struct parser *p, char c)
{
	static const struct {
		char c;
		enum address_list_end (*run)(struct parser *p);
	} rules[] = {{',', on_comma}, {';', on_semicolon}, {':', on_colon}, {'<', on_open}, {'>', on_close}};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].c == c)
			return rules[i].run(p);
	return p->had_angle ? ADDRESS_LIST_BAD : on_joint(p, c);
}

static enum address_list_end on_word(struct parser *p, struct slice word)
{
	if (!p->had_angle)
		note_spot(p, word.len);
	return !p->had_angle && add_word(p, word) ? ADDRESS_LIST_DONE : ADDRESS_LIST_BAD;
}

static enum address_list_end parse(struct parser *p)
{
	enum address_list_end end = ADDRESS_LIST_DONE;

	while (end == ADDRESS_LIST_DONE) {
		struct token t = next_token(p);

		if (t.kind == TOKEN_END)
			return p->in_group ? ADDRESS_LIST_BAD : finish_element(p);
		if (t.kind == TOKEN_BAD)
			return ADDRESS_LIST_BAD;
		end = t.kind == TOKEN_WORD ? on_word(p, t.text) : on_special(p, t.special);
	}
	return end;
}

enum address_list_end address_list_parse(struct slice text, address_list_fn *fn, void *arg)
{
	return parse(&(struct parser){.in = text, .fn = fn, .arg = arg});
}

enum address_list_end address_list_spots(struct slice text, address_list_spot_fn *fn, void *arg)
{
	return parse(&(struct parser){.in = text, .spot_fn = fn, .arg = arg});
}
