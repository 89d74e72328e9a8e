#include "filter/sieve_lex.h"
#include "filter/sieve_tree.h"

struct parser {
	struct sieve_tree *tree;
	struct sieve_lex lex;
	struct sieve_token next;
	struct mistakes *mistakes;
	size_t nodes;
	unsigned depth;
	bool over; /* too much of something: reading ends here */
};

static bool parse_test(struct parser *p, struct sieve_node *out);
static void parse_commands(struct parser *p, struct sieve_node **list, size_t *count, bool inner);

static void advance(struct parser *p)
{
	if (p->next.kind != SIEVE_TOKEN_END)
		p->next = sieve_lex_next(&p->lex);
}

static bool at_mark(const struct parser *p, char mark)
{
	return p->next.kind == SIEVE_TOKEN_MARK && p->next.text.at[0] == mark;
}

static bool take(struct parser *p, char mark)
{
	if (!at_mark(p, mark))
		return false;
	advance(p);
	return true;
}

/* What stands there, where something else should. */
static bool expected(struct parser *p, const char *what)
{
	const struct sieve_token *t = &p->next;
	struct buf hint = buf_make(200);

	buf_addf(&hint, "expected %s", what);
	if (t->kind == SIEVE_TOKEN_END)
		mistake_add(p->mistakes, t->pos, buf_text(&hint), "the script ends here");
	else if (t->kind == SIEVE_TOKEN_STRING)
		mistake_add(p->mistakes, t->pos, buf_text(&hint), "a string");
	else if (t->kind != SIEVE_TOKEN_BAD)
		mistake_add(p->mistakes, t->pos, buf_text(&hint), "`%s%.*s`", t->kind == SIEVE_TOKEN_TAG ? ":" : "",
			    (int)(t->text.len < 64 ? t->text.len : 64), t->text.at);
	buf_free(&hint);
	return false;
}

/* One more command or test; NULL: no memory, or too many. */
static struct sieve_node *node_add(struct parser *p, struct sieve_node **list, size_t *count)
{
	void *items = *list;
	struct sieve_node *node;

	if (p->nodes >= SIEVE_NODES_MAX) {
		if (!p->over)
			mistake_add(p->mistakes, p->next.pos, "", "more than %u commands and tests", SIEVE_NODES_MAX);
		p->over = true;
		return NULL;
	}
	p->nodes++;
	node = arena_push(p->tree->arena, &items, count, sizeof(*node));
	*list = items;
	return node;
}

static bool enter(struct parser *p)
{
	if (p->depth < SIEVE_NESTING_MAX) {
		p->depth++;
		return true;
	}
	if (!p->over)
		mistake_add(p->mistakes, p->next.pos, "", "nested more than %u deep", SIEVE_NESTING_MAX);
	p->over = true;
	return false;
}

static bool add_string(struct parser *p, struct sieve_arg *arg)
{
	void *items = arg->strings;
	struct sieve_string *s = arena_push(p->tree->arena, &items, &arg->count, sizeof(*s));

	arg->strings = items;
	if (s != NULL)
		*s = (struct sieve_string){p->next.pos, p->next.text, NULL, 0, NULL};
	advance(p);
	return s != NULL;
}

static bool parse_list(struct parser *p, struct sieve_arg *arg)
{
	arg->is_list = true;
	if (take(p, ']'))
		return true;
	do {
		if (p->next.kind != SIEVE_TOKEN_STRING)
			return expected(p, "a string in quotes");
		if (!add_string(p, arg))
			return false;
	} while (take(p, ','));
	return take(p, ']') || expected(p, "`,` or `]`");
}

static bool parse_argument(struct parser *p, struct sieve_node *node)
{
	void *items = node->args;
	struct sieve_arg *arg;

	if (node->arg_count >= SIEVE_ARGS_MAX) {
		mistake_add(p->mistakes, p->next.pos, "", "more than %u arguments", SIEVE_ARGS_MAX);
		return false;
	}
	arg = arena_push(p->tree->arena, &items, &node->arg_count, sizeof(*arg));
	node->args = items;
	if (arg == NULL)
		return false;
	*arg = (struct sieve_arg){SIEVE_STRINGS, p->next.pos, p->next.text, p->next.number, NULL, 0, false};
	if (take(p, '['))
		return parse_list(p, arg);
	if (p->next.kind == SIEVE_TOKEN_STRING)
		return add_string(p, arg);
	arg->kind = p->next.kind == SIEVE_TOKEN_TAG ? SIEVE_TAG : SIEVE_NUMBER;
	advance(p);
	return true;
}

static bool at_argument(const struct parser *p)
{
	return p->next.kind == SIEVE_TOKEN_STRING || p->next.kind == SIEVE_TOKEN_NUMBER || p->next.kind == SIEVE_TOKEN_TAG ||
	       at_mark(p, '[');
}

static bool add_test(struct parser *p, struct sieve_node *node)
{
	struct sieve_node test = {0}, *slot;

	if (p->next.kind != SIEVE_TOKEN_WORD)
		return expected(p, "a test such as header, address or not");
	if (!parse_test(p, &test))
		return false;
	slot = node_add(p, &node->tests, &node->test_count);
	if (slot != NULL)
		*slot = test;
	return slot != NULL;
}

static bool parse_test_list(struct parser *p, struct sieve_node *node)
{
	node->test_list = true;
	do {
		if (!add_test(p, node))
			return false;
	} while (take(p, ','));
	return take(p, ')') || expected(p, "`,` or `)`");
}

/* arguments = *argument [test / test-list] */
static bool parse_arguments(struct parser *p, struct sieve_node *node)
{
	while (at_argument(p))
		if (!parse_argument(p, node))
			return false;
	if (take(p, '('))
		return parse_test_list(p, node);
	return p->next.kind != SIEVE_TOKEN_WORD || add_test(p, node);
}

static bool parse_test(struct parser *p, struct sieve_node *out)
{
	bool good;

	out->pos = p->next.pos;
	out->name = p->next.text;
	if (!enter(p))
		return false;
	advance(p);
	good = parse_arguments(p, out);
	p->depth--;
	return good;
}

static bool parse_block(struct parser *p, struct sieve_node *node)
{
	node->has_block = true;
	if (!enter(p))
		return false;
	parse_commands(p, &node->block, &node->block_count, true);
	p->depth--;
	return take(p, '}') || p->over || expected(p, "`}` at the end of the block");
}

static bool parse_command(struct parser *p, struct sieve_node *node)
{
	node->pos = p->next.pos;
	node->name = p->next.text;
	if (p->next.kind != SIEVE_TOKEN_WORD)
		return expected(p, "a command such as if, keep or fileinto");
	advance(p);
	if (!parse_arguments(p, node))
		return false;
	if (take(p, '{'))
		return parse_block(p, node);
	return take(p, ';') || expected(p, node->test_count > 0 ? "`{`, or `;`" : "an argument, or `;`");
}

/* Behind a mistake: to where the next command begins. */
static void skip_command(struct parser *p)
{
	size_t open = 0;

	for (; p->next.kind != SIEVE_TOKEN_END; advance(p)) {
		if (at_mark(p, '}') && open == 0)
			return;
		open += at_mark(p, '{');
		open -= at_mark(p, '}');
		if (open == 0 && (at_mark(p, ';') || at_mark(p, '}'))) {
			advance(p);
			return;
		}
	}
}

static void parse_commands(struct parser *p, struct sieve_node **list, size_t *count, bool inner)
{
	while (p->next.kind != SIEVE_TOKEN_END && !p->over && !(inner && at_mark(p, '}'))) {
		struct sieve_node *slot, node = {0};

		if (!inner && at_mark(p, '}')) {
			expected(p, "a command: no block is open");
			advance(p);
			continue;
		}
		if (!parse_command(p, &node)) {
			skip_command(p);
			continue;
		}
		slot = node_add(p, list, count);
		if (slot != NULL)
			*slot = node;
	}
}

bool sieve_parse(struct sieve_tree *tree, const char *name, struct slice text, struct mistakes *mistakes)
{
	struct parser p = {.tree = tree, .lex = sieve_lex_make(name, text, tree->arena, mistakes), .mistakes = mistakes};

	if (slice_starts(text, slice_of("\xef\xbb\xbf"))) /* a byte-order mark */
		p.lex.at = p.lex.counted = 3;
	p.next = sieve_lex_next(&p.lex);
	parse_commands(&p, &tree->commands, &tree->count, false);
	tree->no_memory = arena_failed(tree->arena);
	return mistakes_count(mistakes) == 0 && !tree->no_memory;
}
