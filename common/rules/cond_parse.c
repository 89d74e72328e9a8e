#include "rules/cond.h"
#include "rules/place.h"

#include "conf/net.h"
#include "conf/unit.h"

struct reader {
	struct parser *p;
	unsigned place;
	unsigned depth;
	unsigned parens; /* inside them a line's end means nothing */
};

static struct cond *read_or(struct reader *r);

static const char *const compares[COMPARE_COUNT] = {
	[COMPARE_EQUAL] = "==",	  [COMPARE_NOT_EQUAL] = "!=", [COMPARE_LESS] = "<",
	[COMPARE_AT_MOST] = "<=", [COMPARE_MORE] = ">",	      [COMPARE_AT_LEAST] = ">=",
};

const char *cond_compare_text(enum cond_compare c)
{
	return compares[c];
}

static struct cond *node(struct reader *r, enum cond_kind kind, struct conf_pos pos)
{
	struct cond *c = arena_take(r->p->arena, sizeof(*c));

	if (c != NULL) {
		c->kind = kind;
		c->pos = pos;
		c->fact = c->other = FACT_COUNT;
	}
	return c;
}

static struct cond *fail(struct reader *r, struct conf_pos pos, const char *hint, const char *what)
{
	mistake_add(r->p->mistakes, pos, hint, "%s", what);
	return NULL;
}

static void skip_lines(struct reader *r)
{
	if (r->parens > 0)
		parser_skip_lines(r->p);
}

/* After `and` and `or` a condition goes on in the next line. */
static bool accept_joint(struct reader *r, const char *word)
{
	skip_lines(r);
	if (!parser_accept_word(r->p, word))
		return false;
	parser_skip_lines(r->p);
	return true;
}

/* ---- what stands to the right ---- */

static bool right_word(struct reader *r, struct cond *c)
{
	const struct fact_info *info = fact_info(c->fact);
	unsigned index;

	if (!take_choice(r->p, info->name, info->words, &index))
		return false;
	c->text = info->words[index];
	return true;
}

static bool is_text(enum fact_type type)
{
	return type == FACT_TYPE_TEXT || type == FACT_TYPE_DOMAIN || type == FACT_TYPE_ADDRESS;
}

/* A text in quotes, or the name of another fact. */
static bool right_text(struct reader *r, struct cond *c)
{
	struct token t;

	if (parser_at(r->p, TOKEN_STRING) && take_string(r->p, "a text", &t))
		return (c->text = arena_text(r->p->arena, t.text)) != NULL;
	if (!take_word(r->p, "a text in quotes, or a fact", &t))
		return false;
	if (fact_find(t.text) == FACT_COUNT) {
		mistake_add(r->p->mistakes, t.pos, "a text stands in quotes", "\"%.*s\" is no fact",
			    SLICE_ARG(t.text));
		return false;
	}
	c->other = place_fact(r->p, t.pos, t.text, r->place);
	if (c->other == FACT_COUNT)
		return false;
	if (is_text(fact_info(c->other)->type))
		return true;
	mistake_add(r->p->mistakes, t.pos, "expected a text in quotes, or a fact that is one",
		    "%s is no text", fact_info(c->other)->name);
	return false;
}

static bool push_net(struct reader *r, struct cond *c, const struct token *t)
{
	struct conf_cidr net;
	struct buf meant = buf_make(128);
	void *nets = (void *)(uintptr_t)c->nets;
	struct conf_cidr *slot;

	switch (net_cidr(t->text, &net)) {
	case NET_OK:
		slot = arena_push(r->p->arena, &nets, &c->net_count, sizeof(*slot));
		c->nets = nets;
		if (slot != NULL)
			*slot = net;
		return slot != NULL;
	case NET_HOST_BITS:
		buf_add_text(&meant, "did you mean ");
		net_print(&meant, &net);
		mistake_add(r->p->mistakes, t->pos, buf_text(&meant),
			    "bits are set behind the prefix of \"%.*s\"", SLICE_ARG(t->text));
		buf_free(&meant);
		return false;
	case NET_BAD:
		break;
	}
	mistake_add(r->p->mistakes, t->pos,
		    "expected an address or a network such as 192.0.2.0/24 or 2001:db8::/32",
		    "\"%.*s\" is no network", SLICE_ARG(t->text));
	return false;
}

static bool right_net(struct reader *r, struct cond *c)
{
	struct token t;

	c->kind = COND_IN_NETS;
	return take_text(r->p, "an address", &t) && push_net(r, c, &t);
}

static bool right_number(struct reader *r, struct cond *c)
{
	if (fact_info(c->fact)->type == FACT_TYPE_SIZE)
		return take_size(r->p, &c->number);
	return take_number(r->p, 0, UINT32_MAX, &c->number);
}

/* ---- comparisons ---- */

struct comparison {
	enum cond_kind kind;
	bool ordered; /* < and > make sense */
	bool (*right)(struct reader *r, struct cond *c);
};

static const struct comparison *comparison_of(enum fact_type type)
{
	static const struct comparison text = {COND_TEXT_EQUAL, false, right_text},
				       word = {COND_TEXT_EQUAL, false, right_word},
				       net = {COND_IN_NETS, false, right_net},
				       number = {COND_NUMBER, true, right_number};

	switch (type) {
	case FACT_TYPE_TEXT:
	case FACT_TYPE_DOMAIN:
	case FACT_TYPE_ADDRESS:
		return &text;
	case FACT_TYPE_WORD:
		return &word;
	case FACT_TYPE_IP:
		return &net;
	case FACT_TYPE_NUMBER:
	case FACT_TYPE_SIZE:
		return &number;
	case FACT_TYPE_BOOL:
		break;
	}
	return NULL;
}

static struct cond *read_compare(struct reader *r, struct cond *c)
{
	const struct comparison *how = comparison_of(fact_info(c->fact)->type);
	struct token op = r->p->now;
	unsigned compare = 0;

	while (compare < COMPARE_COUNT && !slice_eq(op.text, slice_of(compares[compare])))
		compare++;
	parser_next(r->p);
	if (how == NULL)
		return fail(r, op.pos, "write it bare, or with `not` before it",
			    "a fact that is yes or no is not compared");
	if (compare > COMPARE_NOT_EQUAL && !how->ordered)
		return fail(r, op.pos,
			    "expected == or !=", "only numbers and sizes are greater or less");
	c->kind = how->kind;
	c->compare = (enum cond_compare)compare;
	c->negated = !how->ordered && compare == COMPARE_NOT_EQUAL;
	return how->right(r, c) ? c : NULL;
}

/* ---- in, is, matches ---- */

static bool push_text(struct reader *r, struct cond *c, const struct token *t)
{
	void *texts = c->texts;
	const char **slot = arena_push(r->p->arena, &texts, &c->text_count, sizeof(*slot));

	c->texts = texts;
	if (slot != NULL)
		*slot = arena_text(r->p->arena, t->text);
	return slot != NULL && *slot != NULL;
}

static struct cond *read_list(struct reader *r, struct cond *c, bool nets)
{
	struct token t;

	c->kind = nets ? COND_IN_NETS : COND_IN_TEXTS;
	r->parens++;
	do {
		skip_lines(r);
		if (nets ? !take_text(r->p, "an address or a network", &t)
			 : !take_string(r->p, "a text in quotes", &t))
			return NULL;
		if (nets ? !push_net(r, c, &t) : !push_text(r, c, &t))
			return NULL;
		skip_lines(r);
	} while (parser_accept(r->p, TOKEN_COMMA));
	r->parens--;
	if (parser_accept(r->p, TOKEN_PAREN_CLOSE))
		return c;
	parser_expected(r->p, ", or )");
	return NULL;
}

static bool looks_like_net(struct slice s)
{
	struct conf_cidr net;

	return net_cidr(s, &net) != NET_BAD || slice_index(s, '/') != SLICE_NONE;
}

static struct cond *read_in(struct reader *r, struct cond *c)
{
	enum fact_type type = fact_info(c->fact)->type;
	bool nets = type == FACT_TYPE_IP;
	struct token t;

	if (!nets && !is_text(type))
		return fail(r, r->p->last.pos, "", "only texts and addresses are looked for in tables");
	if (parser_accept(r->p, TOKEN_PAREN_OPEN))
		return read_list(r, c, nets);
	if (!take_word(r->p,
		       nets ? "a table, trusted, a network or a list in ( )"
			    : "a table, or a list in ( )",
		       &t))
		return NULL;
	c->kind = COND_IN_TABLE;
	if (nets && looks_like_net(t.text)) {
		c->kind = COND_IN_NETS;
		return push_net(r, c, &t) ? c : NULL;
	}
	if (slice_eq(t.text, slice_of("trusted"))) {
		if (!nets)
			return fail(r, t.pos, "only the client can be in trusted",
				    "trusted is a list of networks");
		c->kind = COND_IN_NETS;
	}
	c->pos = t.pos; /* of the table, for those who find that there is none */
	c->table_name = arena_text(r->p->arena, t.text);
	return c->table_name == NULL ? NULL : c;
}

static struct cond *unknown_shape(struct reader *r, const struct token *t, enum fact_type type)
{
	struct wordlist fitting = {NULL, 0};

	for (unsigned i = 0; i < SHAPE_COUNT; i++)
		if (shape_fits_type((enum shape)i, type))
			wordlist_add(r->p->arena, &fitting, shape_name((enum shape)i));
	mistake_unknown(r->p->mistakes, t->pos, "property", t->text, &fitting);
	return NULL;
}

static struct cond *read_is(struct reader *r, struct cond *c)
{
	enum fact_type type = fact_info(c->fact)->type;
	struct token t;

	c->kind = COND_SHAPE;
	c->negated = parser_accept_word(r->p, "not");
	if (!take_word(r->p, "what it is: unknown, null, fqdn, literal ...", &t))
		return NULL;
	c->shape = shape_find(t.text);
	if (c->shape == SHAPE_COUNT || !shape_fits_type(c->shape, type))
		return unknown_shape(r, &t, type);
	return c;
}

static struct cond *read_matches(struct reader *r, struct cond *c)
{
	char why[PATTERN_WHY_MAX];
	struct token t;
	size_t offset = 0;

	c->kind = COND_MATCHES;
	if (!is_text(fact_info(c->fact)->type))
		return fail(r, r->p->last.pos, "", "only texts are matched");
	if (!take_string(r->p, "a pattern in quotes", &t))
		return NULL;
	c->text = arena_text(r->p->arena, t.text);
	c->pattern = pattern_new(r->p->arena, t.text, why, &offset);
	if (c->pattern != NULL && c->text != NULL)
		return c;
	t.pos.column += (uint32_t)offset + 1;
	if (why[0] != '\0')
		mistake_add(r->p->mistakes, t.pos, "expected a regular expression (PCRE2)",
			    "bad pattern: %s", why);
	return NULL;
}

/* ---- tests ---- */

static struct cond *read_tag(struct reader *r, const struct token *t)
{
	struct cond *c = node(r, COND_TAG, t->pos);

	if (c != NULL)
		c->text = arena_text(r->p->arena, t->text);
	return c == NULL || c->text == NULL ? NULL : c;
}

static struct cond *read_relation(struct reader *r, struct cond *c)
{
	struct parser *p = r->p;
	bool negated;

	if (parser_at(p, TOKEN_OPERATOR))
		return read_compare(r, c);
	if (parser_accept_word(p, "is"))
		return read_is(r, c);
	negated = parser_accept_word(p, "not");
	c->negated = negated;
	if (parser_accept_word(p, "in"))
		return read_in(r, c);
	if (parser_accept_word(p, "matches"))
		return read_matches(r, c);
	if (negated) {
		parser_expected(p, "in or matches");
		return NULL;
	}
	if (fact_info(c->fact)->type == FACT_TYPE_BOOL)
		return c;
	parser_expected(p, "a comparison: ==, !=, in, not in, is, matches ...");
	return NULL;
}

static bool is_tag(struct slice name)
{
	return slice_starts(name, slice_of("connection.")) || slice_starts(name, slice_of("message."));
}

static struct cond *read_test(struct reader *r)
{
	struct token t;
	struct cond *c;
	enum fact_id fact;

	if (!take_word(r->p, "a condition", &t))
		return NULL;
	if (is_tag(t.text))
		return read_tag(r, &t);
	fact = place_fact(r->p, t.pos, t.text, r->place);
	c = fact == FACT_COUNT ? NULL : node(r, COND_FACT, t.pos);
	if (c == NULL)
		return NULL;
	c->fact = fact;
	c = read_relation(r, c);
	if (c == NULL || !parser_accept_word(r->p, "assume"))
		return c;
	c->assume_no = true;
	return take_keyword(r->p, "no") ? c : NULL;
}

/* ---- and, or, not ---- */

static bool push_child(struct reader *r, struct cond *parent, struct cond *child)
{
	void *children = parent->children;
	struct cond **slot = arena_push(r->p->arena, &children, &parent->child_count, sizeof(*slot));

	parent->children = children;
	if (slot != NULL)
		*slot = child;
	return slot != NULL && child != NULL;
}

static struct cond *read_parens(struct reader *r)
{
	struct cond *c;

	r->parens++;
	parser_skip_lines(r->p);
	c = read_or(r);
	skip_lines(r);
	r->parens--;
	if (c == NULL || parser_accept(r->p, TOKEN_PAREN_CLOSE))
		return c;
	parser_expected(r->p, "), and or or");
	return NULL;
}

static struct cond *read_not(struct reader *r)
{
	struct conf_pos pos = r->p->now.pos;
	struct cond *c;

	if (r->depth >= COND_DEPTH_MAX)
		return fail(r, pos, "name parts of it in tags", "the condition is nested too deeply");
	r->depth++;
	skip_lines(r);
	if (parser_accept_word(r->p, "not")) {
		c = node(r, COND_NOT, pos);
		if (c != NULL && !push_child(r, c, read_not(r)))
			c = NULL;
	} else {
		c = parser_accept(r->p, TOKEN_PAREN_OPEN) ? read_parens(r) : read_test(r);
	}
	r->depth--;
	return c;
}

typedef struct cond *read_fn(struct reader *r);

/* `x WORD x WORD x`: one node with many children, or just x. */
static struct cond *read_chain(struct reader *r, const char *word, enum cond_kind kind, read_fn *read)
{
	struct conf_pos pos = r->p->now.pos;
	struct cond *first = read(r), *chain = NULL;

	while (first != NULL && accept_joint(r, word)) {
		if (chain == NULL &&
		    ((chain = node(r, kind, pos)) == NULL || !push_child(r, chain, first)))
			return NULL;
		if (!push_child(r, chain, read(r)))
			return NULL;
	}
	return chain == NULL ? first : chain;
}

static struct cond *read_and(struct reader *r)
{
	return read_chain(r, "and", COND_AND, read_not);
}

static struct cond *read_or(struct reader *r)
{
	return read_chain(r, "or", COND_OR, read_and);
}

struct cond *cond_parse(struct parser *p, unsigned place)
{
	struct reader r = {p, place, 0, 0};

	return read_or(&r);
}

/* ---- walks ---- */

void cond_each(struct cond *c, bool inverted, cond_each_fn *fn, void *arg)
{
	if (c == NULL)
		return;
	if (c->child_count == 0)
		fn(c, inverted, arg);
	for (size_t i = 0; i < c->child_count; i++)
		cond_each(c->children[i], inverted != (c->kind == COND_NOT), fn, arg);
}

static bool pins_recipient(const struct cond *c)
{
	bool positive =
		(c->kind == COND_IN_TABLE || c->kind == COND_IN_TEXTS || c->kind == COND_TEXT_EQUAL) &&
		!c->negated;

	return positive && c->other == FACT_COUNT &&
	       (c->fact == FACT_RECIPIENT || c->fact == FACT_RECIPIENT_DOMAIN);
}

bool cond_needs_recipient(const struct cond *c)
{
	bool all = true, any = false;

	if (c == NULL || c->kind == COND_NOT)
		return false;
	if (c->child_count == 0)
		return pins_recipient(c);
	for (size_t i = 0; i < c->child_count; i++) {
		bool needs = cond_needs_recipient(c->children[i]);

		all = all && needs;
		any = any || needs;
	}
	return c->kind == COND_AND ? any : all;
}
