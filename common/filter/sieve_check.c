#include "filter/sieve_check.h"

#include "base/mem.h"

static void check_commands(struct sieve_checker *c, struct sieve_node *list, size_t count, bool top);

bool sieve_requires(const struct sieve_checker *c, enum sieve_extension extension)
{
	return extension == SIEVE_BASE || (c->extensions >> extension & 1) != 0;
}

/* Words to choose from take memory; beyond so many mistakes none is shown, but that there are more. */
static bool is_enough(struct sieve_checker *c)
{
	if (mistakes_count(c->mistakes) <= MISTAKES_SHOWN_MAX)
		return false;
	mistake_add(c->mistakes, (struct conf_pos){"", 0, 0}, "", "one more");
	return true;
}

bool sieve_variable(struct sieve_checker *c, struct conf_pos pos, struct slice name, size_t *index_out)
{
	struct slice *names = c->names, *slot;
	size_t *count = &c->tree->variable_count;

	for (*index_out = 0; *index_out < *count; ++*index_out)
		if (slice_eq_nocase(names[*index_out], name))
			return true;
	if (*count >= SIEVE_VARIABLES_MAX) {
		mistake_add(c->mistakes, pos, "", "more than %u variables", SIEVE_VARIABLES_MAX);
		return false;
	}
	slot = arena_push(c->tree->arena, &c->names, count, sizeof(*slot));
	if (slot != NULL)
		*slot = name;
	return slot != NULL;
}

/* ---- require ---- */

static bool is_word(struct slice a, const char *b)
{
	return slice_eq(a, slice_of(b));
}

static void unknown_extension(struct sieve_checker *c, const struct sieve_string *s)
{
	struct wordlist all = {NULL, 0};

	if (is_enough(c))
		return;
	if (is_word(s->text, "include")) {
		mistake_add(c->mistakes, s->pos, "write all of it into this script", "include is not supported");
		return;
	}
	for (size_t i = 1; i < SIEVE_EXTENSION_COUNT; i++)
		wordlist_add(c->tree->arena, &all, sieve_extension_name((enum sieve_extension)i));
	mistake_unknown(c->mistakes, s->pos, "extension", s->text, &all);
}

static void require_one(struct sieve_checker *c, const struct sieve_string *s)
{
	for (size_t i = 1; i < SIEVE_EXTENSION_COUNT; i++) {
		if (!slice_eq(s->text, slice_of(sieve_extension_name((enum sieve_extension)i))))
			continue;
		c->extensions |= UINT32_C(1) << i;
		if (i == SIEVE_VACATION_SECONDS) /* RFC 6131 §2 */
			c->extensions |= UINT32_C(1) << SIEVE_VACATION;
		return;
	}
	unknown_extension(c, s);
}

/* Those at the top are read first, so that all that follows is judged by all of them. */
static void read_requires(struct sieve_checker *c)
{
	for (size_t i = 0; i < c->tree->count; i++) {
		const struct sieve_node *node = &c->tree->commands[i];

		if (!slice_eq_nocase(node->name, slice_of("require")))
			return;
		for (size_t k = 0; node->arg_count == 1 && k < node->args[0].count; k++)
			require_one(c, &node->args[0].strings[k]);
	}
}

static void check_required(struct sieve_checker *c, struct conf_pos pos, const char *what, enum sieve_extension extension,
			   enum sieve_extension otherwise)
{
	struct buf hint = buf_make(200);

	if (sieve_requires(c, extension) || (otherwise != SIEVE_BASE && sieve_requires(c, otherwise)))
		return;
	buf_addf(&hint, "put require \"%s\"; at the top of the script", sieve_extension_name(extension));
	mistake_add(c->mistakes, pos, buf_text(&hint), "`%s` belongs to an extension that is not required", what);
	buf_free(&hint);
}

/* ---- words ---- */

static void unknown_word(struct sieve_checker *c, const struct sieve_node *node, enum sieve_kind kind)
{
	struct wordlist all = {NULL, 0};
	const char *name = kind == SIEVE_COMMAND ? "command" : "test";
	const struct sieve_word *word;

	if (is_enough(c))
		return;
	if (slice_eq_nocase(node->name, slice_of("include")) && kind == SIEVE_COMMAND) {
		mistake_add(c->mistakes, node->pos, "write all of it into this script", "include is not supported");
		return;
	}
	if (sieve_word_find(kind == SIEVE_COMMAND ? SIEVE_TEST : SIEVE_COMMAND, node->name) != NULL) {
		mistake_add(c->mistakes, node->pos, kind == SIEVE_COMMAND ? "write if TEST { ... }" : "expected a test", "`%.*s` is a %s",
			    SLICE_ARG(node->name), kind == SIEVE_COMMAND ? "test" : "command");
		return;
	}
	for (size_t i = 0; (word = sieve_word_at(i)) != NULL; i++)
		if (word->kind == kind)
			wordlist_add(c->tree->arena, &all, word->name);
	mistake_unknown(c->mistakes, node->pos, name, node->name, &all);
}

/* ---- arguments ---- */

static void unknown_tag(struct sieve_checker *c, const struct sieve_node *node, const struct sieve_arg *arg)
{
	struct wordlist allowed = {NULL, 0};

	if (is_enough(c))
		return;
	for (size_t i = 0; i < SIEVE_TAGS; i++)
		if (node->word->tags >> i & 1)
			wordlist_add(c->tree->arena, &allowed, sieve_tag_word((enum sieve_tag)i)->name);
	mistake_unknown(c->mistakes, arg->pos, "tag", arg->tag, &allowed);
}

static const char *takes_text(enum sieve_takes takes)
{
	static const char *const texts[] = {
		[SIEVE_TAKES_NOTHING] = "nothing",
		[SIEVE_TAKES_NUMBER] = "a number",
		[SIEVE_TAKES_STRING] = "a string in quotes",
		[SIEVE_TAKES_STRINGS] = "a string, or a list such as [\"a\", \"b\"]",
	};

	return texts[takes];
}

static bool fits(const struct sieve_arg *arg, enum sieve_takes takes)
{
	if (takes == SIEVE_TAKES_NUMBER)
		return arg->kind == SIEVE_NUMBER;
	return arg->kind == SIEVE_STRINGS && (takes == SIEVE_TAKES_STRINGS || !arg->is_list);
}

static bool check_fits(struct sieve_checker *c, const struct sieve_arg *arg, enum sieve_takes takes)
{
	struct buf hint = buf_make(200);
	bool good = fits(arg, takes);

	buf_addf(&hint, "expected %s", takes_text(takes));
	if (!good)
		mistake_add(c->mistakes, arg->pos, buf_text(&hint), "%s",
			    arg->kind == SIEVE_NUMBER ? "a number" : arg->kind == SIEVE_TAG ? "a tag" : arg->is_list ? "a list" : "a string");
	buf_free(&hint);
	return good;
}

static void check_group(struct sieve_checker *c, const struct sieve_node *node, const struct sieve_tag_word *word, struct conf_pos pos)
{
	for (size_t i = 0; i < node->tag_count; i++) {
		const struct sieve_tag_word *other = node->tags[i].word;

		if (other == word)
			mistake_add(c->mistakes, pos, "", "`:%s` stands here twice", word->name);
		else if (other->group == word->group)
			mistake_add(c->mistakes, pos, "", "`:%s` and `:%s` exclude each other", other->name, word->name);
	}
}

/* Binds the tag at args[i]; returns how many arguments it took. */
static size_t bind_tag(struct sieve_checker *c, struct sieve_node *node, size_t i)
{
	struct sieve_arg *arg = &node->args[i], *value = NULL;
	enum sieve_tag tag = sieve_tag_find(arg->tag);
	const struct sieve_tag_word *word;
	struct sieve_bound *slot;
	void *items = node->tags;

	if (tag == SIEVE_TAGS || (node->word->tags >> tag & 1) == 0) {
		unknown_tag(c, node, arg);
		return 1;
	}
	word = sieve_tag_word(tag);
	check_required(c, arg->pos, word->name, word->extension, SIEVE_BASE);
	check_group(c, node, word, arg->pos);
	if (word->value != SIEVE_TAKES_NOTHING) {
		if (i + 1 == node->arg_count) {
			mistake_add(c->mistakes, arg->pos, "", "`:%s` needs %s behind it", word->name, takes_text(word->value));
			return 1;
		}
		value = &node->args[i + 1];
		if (!check_fits(c, value, word->value))
			return 2;
	}
	slot = arena_push(c->tree->arena, &items, &node->tag_count, sizeof(*slot));
	node->tags = items;
	if (slot != NULL)
		*slot = (struct sieve_bound){word, value, arg->pos};
	return value == NULL ? 1 : 2;
}

static size_t takes_count(const struct sieve_word *word)
{
	size_t count = 0;

	while (count < SIEVE_TAKES_MAX && word->takes[count] != SIEVE_TAKES_NOTHING)
		count++;
	return count;
}

/* Arguments without a tag, in their order. */
static bool bind_places(struct sieve_checker *c, struct sieve_node *node, struct sieve_arg **found, size_t count)
{
	const struct sieve_word *word = node->word;
	size_t want = takes_count(word), from = word->first_optional && count + 1 == want ? 1 : 0;
	struct buf hint = buf_make(200);
	bool good = true;

	buf_addf(&hint, "for example: %s", word->usage);
	if (count + from != want) {
		mistake_add(c->mistakes, count > want ? found[want]->pos : node->pos, buf_text(&hint), "`%s` has %s", word->name,
			    count + from < want ? "too few arguments" : "too many arguments");
		good = false;
	}
	buf_free(&hint);
	for (size_t i = from; good && i < want; i++) {
		node->takes[i] = found[i - from];
		good = check_fits(c, found[i - from], word->takes[i]);
	}
	return good;
}

static void read_strings(struct sieve_checker *c, struct sieve_node *node)
{
	for (size_t i = 0; i < node->arg_count; i++)
		for (size_t k = 0; k < node->args[i].count; k++)
			sieve_read_pieces(c, &node->args[i].strings[k]);
}

static bool bind_arguments(struct sieve_checker *c, struct sieve_node *node)
{
	struct sieve_arg *found[SIEVE_TAKES_MAX + 1];
	size_t before = mistakes_count(c->mistakes), count = 0;

	for (size_t i = 0; i < node->arg_count;) {
		if (node->args[i].kind == SIEVE_TAG) {
			i += bind_tag(c, node, i);
			continue;
		}
		if (count <= SIEVE_TAKES_MAX)
			found[count++] = &node->args[i];
		i++;
	}
	return bind_places(c, node, found, count) && mistakes_count(c->mistakes) == before;
}

/* ---- a node ---- */

static void check_node(struct sieve_checker *c, struct sieve_node *node, enum sieve_kind kind);

static void check_tests(struct sieve_checker *c, struct sieve_node *node)
{
	const struct sieve_word *word = node->word;
	bool list = word->tests == SIEVE_TEST_LIST;

	if (word->tests == SIEVE_NO_TEST && node->test_count > 0)
		mistake_add(c->mistakes, node->tests[0].pos, "did you forget a `;`?", "`%s` takes no test", word->name);
	else if (word->tests == SIEVE_ONE_TEST && (node->test_count != 1 || node->test_list))
		mistake_add(c->mistakes, node->pos, "for more tests: allof (...) or anyof (...)", "`%s` takes one test", word->name);
	else if (list && !node->test_list)
		mistake_add(c->mistakes, node->pos, "for example: anyof (TEST, TEST)", "`%s` takes tests in parentheses", word->name);
	for (size_t i = 0; i < node->test_count && word->tests != SIEVE_NO_TEST; i++)
		check_node(c, &node->tests[i], SIEVE_TEST);
}

static bool wants_block(const struct sieve_word *word)
{
	return word->flow == SIEVE_IF || word->flow == SIEVE_ELSIF || word->flow == SIEVE_ELSE;
}

static void check_block(struct sieve_checker *c, struct sieve_node *node)
{
	if (wants_block(node->word) != node->has_block)
		mistake_add(c->mistakes, node->pos, "", node->has_block ? "`%s` has no block" : "`%s` needs a block in { and }",
			    node->word->name);
	check_commands(c, node->block, node->block_count, false);
}

static void check_node(struct sieve_checker *c, struct sieve_node *node, enum sieve_kind kind)
{
	node->word = sieve_word_find(kind, node->name);
	if (node->word == NULL) {
		unknown_word(c, node, kind);
		for (size_t i = 0; i < node->test_count; i++)
			check_node(c, &node->tests[i], SIEVE_TEST);
		check_commands(c, node->block, node->block_count, false);
		return;
	}
	check_required(c, node->pos, node->word->name, node->word->extension, node->word->otherwise);
	if (!slice_eq_nocase(node->name, slice_of("require")))
		read_strings(c, node);
	if (bind_arguments(c, node) && node->word->check != NULL)
		node->word->check(c, node);
	check_tests(c, node);
	check_block(c, node);
}

static bool may_follow(const struct sieve_word *before)
{
	return before != NULL && (before->flow == SIEVE_IF || before->flow == SIEVE_ELSIF);
}

static void check_commands(struct sieve_checker *c, struct sieve_node *list, size_t count, bool top)
{
	const struct sieve_word *before = NULL;
	bool requires = top;

	for (size_t i = 0; i < count; i++) {
		struct sieve_node *node = &list[i];

		check_node(c, node, SIEVE_COMMAND);
		if (node->word != NULL && (node->word->flow == SIEVE_ELSIF || node->word->flow == SIEVE_ELSE) && !may_follow(before))
			mistake_add(c->mistakes, node->pos, "it follows the block of an if or elsif", "`%s` without an if", node->word->name);
		if (slice_eq_nocase(node->name, slice_of("require"))) {
			if (!requires)
				mistake_add(c->mistakes, node->pos, "it stands at the top of the script", "require behind another command");
		} else {
			requires = false;
		}
		before = node->word;
	}
}

bool sieve_check(struct sieve_tree *tree, struct mistakes *mistakes)
{
	struct sieve_checker c = {.tree = tree, .mistakes = mistakes};

	read_requires(&c);
	tree->matches_kept = sieve_requires(&c, SIEVE_VARIABLES);
	check_commands(&c, tree->commands, tree->count, true);
	tree->no_memory = c.no_memory || arena_failed(tree->arena);
	return mistakes_count(mistakes) == 0 && !tree->no_memory;
}
