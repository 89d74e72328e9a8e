#include "rules/cond_read.h"
#include "rules/place.h"

#include "conf/net.h"
#include "conf/unit.h"
#include "mail/address.h"
#include "mail/header.h"

/* One test: a fact, a relation, and what stands to its right. */

/* ---- what stands to the right ---- */

static bool right_word(struct cond_reader *r, struct cond *c)
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

/* As the fact's values are: a domain in A-labels. */
static const char *canonical_text(struct cond_reader *r, const struct cond *c, struct slice text)
{
	enum fact_type type = fact_info(c->fact)->type;
	char key[MAIL_KEY_MAX + 1];

	if ((type == FACT_TYPE_DOMAIN || type == FACT_TYPE_ADDRESS) && mail_key_canonical(text, key))
		return arena_text(r->p->arena, slice_of(key));
	return arena_text(r->p->arena, text);
}

/* A text in quotes, or the name of another fact. */
static bool right_text(struct cond_reader *r, struct cond *c)
{
	struct token t;

	if (parser_at(r->p, TOKEN_STRING) && take_string(r->p, "a text", &t))
		return (c->text = canonical_text(r, c, t.text)) != NULL;
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

static bool push_net(struct cond_reader *r, struct cond *c, const struct token *t)
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

static bool right_net(struct cond_reader *r, struct cond *c)
{
	struct token t;

	c->kind = COND_IN_NETS;
	return take_text(r->p, "an address", &t) && push_net(r, c, &t);
}

static bool right_number(struct cond_reader *r, struct cond *c)
{
	if (fact_info(c->fact)->type == FACT_TYPE_SIZE)
		return take_size(r->p, &c->number);
	return take_number(r->p, 0, UINT32_MAX, &c->number);
}

/* ---- comparisons ---- */

struct comparison {
	enum cond_kind kind;
	bool ordered; /* < and > make sense */
	bool (*right)(struct cond_reader *r, struct cond *c);
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

static struct cond *read_compare(struct cond_reader *r, struct cond *c)
{
	const struct comparison *how = comparison_of(fact_info(c->fact)->type);
	struct token op = r->p->now;
	unsigned compare = 0;

	while (compare < COMPARE_COUNT &&
	       !slice_eq(op.text, slice_of(cond_compare_text((enum cond_compare)compare))))
		compare++;
	parser_next(r->p);
	if (how == NULL)
		return cond_fail(r, op.pos, "write it bare, or with `not` before it",
				 "a fact that is yes or no is not compared");
	if (compare > COMPARE_NOT_EQUAL && !how->ordered)
		return cond_fail(r, op.pos,
				 "expected == or !=", "only numbers and sizes are greater or less");
	c->kind = how->kind;
	c->compare = (enum cond_compare)compare;
	c->negated = !how->ordered && compare == COMPARE_NOT_EQUAL;
	return how->right(r, c) ? c : NULL;
}

/* ---- in, is, matches ---- */

static bool push_text(struct cond_reader *r, struct cond *c, const struct token *t)
{
	void *texts = c->texts;
	const char **slot = arena_push(r->p->arena, &texts, &c->text_count, sizeof(*slot));

	c->texts = texts;
	if (slot != NULL)
		*slot = canonical_text(r, c, t->text);
	return slot != NULL && *slot != NULL;
}

static struct cond *read_list(struct cond_reader *r, struct cond *c, bool nets)
{
	struct token t;

	c->kind = nets ? COND_IN_NETS : COND_IN_TEXTS;
	r->parens++;
	do {
		cond_skip_lines(r);
		if (nets ? !take_text(r->p, "an address or a network", &t)
			 : !take_string(r->p, "a text in quotes", &t))
			return NULL;
		if (nets ? !push_net(r, c, &t) : !push_text(r, c, &t))
			return NULL;
		cond_skip_lines(r);
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

static struct cond *read_in(struct cond_reader *r, struct cond *c)
{
	enum fact_type type = fact_info(c->fact)->type;
	bool nets = type == FACT_TYPE_IP;
	struct token t;

	if (!nets && !is_text(type))
		return cond_fail(r, r->p->last.pos, "",
				 "only texts and addresses are looked for in tables");
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
			return cond_fail(r, t.pos, "only the client can be in trusted",
					 "trusted is a list of networks");
		c->kind = COND_IN_NETS;
	}
	c->pos = t.pos; /* of the table, for those who find that there is none */
	c->table_name = arena_text(r->p->arena, t.text);
	return c->table_name == NULL ? NULL : c;
}

static struct cond *unknown_shape(struct cond_reader *r, const struct token *t, enum fact_type type)
{
	struct wordlist fitting = {NULL, 0};

	for (unsigned i = 0; i < SHAPE_COUNT; i++)
		if (shape_fits_type((enum shape)i, type))
			wordlist_add(r->p->arena, &fitting, shape_name((enum shape)i));
	mistake_unknown(r->p->mistakes, t->pos, "property", t->text, &fitting);
	return NULL;
}

static struct cond *read_is(struct cond_reader *r, struct cond *c)
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

static struct cond *read_matches(struct cond_reader *r, struct cond *c)
{
	char why[PATTERN_WHY_MAX];
	struct token t;
	size_t offset = 0;

	c->kind = COND_MATCHES;
	if (!is_text(fact_info(c->fact)->type))
		return cond_fail(r, r->p->last.pos, "", "only texts are matched");
	if (!take_string(r->p, "a pattern in quotes", &t))
		return NULL;
	c->text = arena_text(r->p->arena, t.text);
	c->pattern = pattern_new(r->p->arena, t.text, PATTERN_CASELESS, why, &offset);
	if (c->pattern != NULL && c->text != NULL)
		return c;
	t.pos.column += (uint32_t)offset + 1;
	if (why[0] != '\0')
		mistake_add(r->p->mistakes, t.pos, "expected a regular expression (PCRE2)",
			    "bad pattern: %s", why);
	return NULL;
}

/* ---- tests ---- */

static struct cond *read_tag(struct cond_reader *r, const struct token *t)
{
	struct cond *c = cond_node(r, COND_TAG, t->pos);

	if (c != NULL)
		c->text = arena_text(r->p->arena, t->text);
	return c == NULL || c->text == NULL ? NULL : c;
}

static struct cond *read_relation(struct cond_reader *r, struct cond *c)
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

/* No more than names are made of: what a header has of them is a text with marks between (mail/header_names.h). */
static bool is_field_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_is_alnum(name.at[i]) && name.at[i] != '-' && name.at[i] != '_')
			return false;
	return name.len > 0 && name.len <= HEADER_NAME_MAX;
}

/* `header "NAME" present`: the value is the sender's to choose, and its words are no business of routes. */
static struct cond *read_header(struct cond_reader *r, const struct token *word)
{
	struct cond *c = cond_node(r, COND_HEADER, word->pos);
	char name[HEADER_NAME_MAX + 1];
	struct token t;
	size_t i = 0;

	if (r->place != RULES_ROUTE)
		return cond_fail(r, word->pos, "known in route", "the header is not known here");
	if (c == NULL || !take_string(r->p, "the name of a field in quotes", &t))
		return NULL;
	if (!is_field_name(t.text))
		return cond_fail(r, t.pos, "expected letters, digits, - and _, without the colon", "that is no name of a field");
	for (; i < t.text.len; i++)
		name[i] = ascii_lower(t.text.at[i]);
	c->text = arena_text(r->p->arena, slice_make(name, i));
	return c->text != NULL && take_keyword(r->p, "present") ? c : NULL;
}

static bool is_tag(struct slice name)
{
	return slice_starts(name, slice_of("connection.")) || slice_starts(name, slice_of("message."));
}

struct cond *cond_read_test(struct cond_reader *r)
{
	struct token t;
	struct cond *c;
	enum fact_id fact;

	if (!take_word(r->p, "a condition", &t))
		return NULL;
	if (is_tag(t.text))
		return read_tag(r, &t);
	if (slice_eq(t.text, slice_of("header")))
		return read_header(r, &t);
	fact = place_fact(r->p, t.pos, t.text, r->place);
	c = fact == FACT_COUNT ? NULL : cond_node(r, COND_FACT, t.pos);
	if (c == NULL)
		return NULL;
	c->fact = fact;
	c = read_relation(r, c);
	if (c == NULL || !parser_accept_word(r->p, "assume"))
		return c;
	c->assume_no = true;
	return take_keyword(r->p, "no") ? c : NULL;
}
