#include "rules/cond_read.h"

/* and, or, not and parentheses. */

static struct cond *read_or(struct cond_reader *r);

struct cond *cond_node(struct cond_reader *r, enum cond_kind kind, struct conf_pos pos)
{
	struct cond *c = arena_take(r->p->arena, sizeof(*c));

	if (c != NULL) {
		c->kind = kind;
		c->pos = pos;
		c->fact = c->other = FACT_COUNT;
	}
	return c;
}

struct cond *cond_fail(struct cond_reader *r, struct conf_pos pos, const char *hint, const char *what)
{
	mistake_add(r->p->mistakes, pos, hint, "%s", what);
	return NULL;
}

void cond_skip_lines(struct cond_reader *r)
{
	if (r->parens > 0)
		parser_skip_lines(r->p);
}

/* After `and` and `or` a condition goes on in the next line. */
static bool accept_joint(struct cond_reader *r, const char *word)
{
	cond_skip_lines(r);
	if (!parser_accept_word(r->p, word))
		return false;
	parser_skip_lines(r->p);
	return true;
}

static bool push_child(struct cond_reader *r, struct cond *parent, struct cond *child)
{
	void *children = parent->children;
	struct cond **slot = arena_push(r->p->arena, &children, &parent->child_count, sizeof(*slot));

	parent->children = children;
	if (slot != NULL)
		*slot = child;
	return slot != NULL && child != NULL;
}

static struct cond *read_parens(struct cond_reader *r)
{
	struct cond *c;

	r->parens++;
	parser_skip_lines(r->p);
	c = read_or(r);
	cond_skip_lines(r);
	r->parens--;
	if (c == NULL || parser_accept(r->p, TOKEN_PAREN_CLOSE))
		return c;
	parser_expected(r->p, "), and or or");
	return NULL;
}

static struct cond *read_not(struct cond_reader *r)
{
	struct conf_pos pos = r->p->now.pos;
	struct cond *c;

	if (r->depth >= COND_DEPTH_MAX)
		return cond_fail(r, pos, "name parts of it in tags",
				 "the condition is nested too deeply");
	r->depth++;
	cond_skip_lines(r);
	if (parser_accept_word(r->p, "not")) {
		c = cond_node(r, COND_NOT, pos);
		if (c != NULL && !push_child(r, c, read_not(r)))
			c = NULL;
	} else {
		c = parser_accept(r->p, TOKEN_PAREN_OPEN) ? read_parens(r) : cond_read_test(r);
	}
	r->depth--;
	return c;
}

typedef struct cond *read_fn(struct cond_reader *r);

/* `x WORD x WORD x`: one node with many children, or just x. */
static struct cond *read_chain(struct cond_reader *r, const char *word, enum cond_kind kind,
			       read_fn *read)
{
	struct conf_pos pos = r->p->now.pos;
	struct cond *first = read(r), *chain = NULL;

	while (first != NULL && accept_joint(r, word)) {
		if (chain == NULL &&
		    ((chain = cond_node(r, kind, pos)) == NULL || !push_child(r, chain, first)))
			return NULL;
		if (!push_child(r, chain, read(r)))
			return NULL;
	}
	return chain == NULL ? first : chain;
}

static struct cond *read_and(struct cond_reader *r)
{
	return read_chain(r, "and", COND_AND, read_not);
}

static struct cond *read_or(struct cond_reader *r)
{
	return read_chain(r, "or", COND_OR, read_and);
}

struct cond *cond_parse(struct parser *p, unsigned place)
{
	struct cond_reader r = {p, place, 0, 0};

	return read_or(&r);
}
