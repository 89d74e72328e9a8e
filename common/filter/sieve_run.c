#include "filter/sieve_run.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "conf/bundle.h"
#include "filter/sieve.h"

#include <stdio.h>

#define OCTETS_A_STEP 4096u
#define TREE_MAX (96u << 20) /* more than a script can become */
#define RUN_MAX (16u << 20)

struct sieve {
	struct sieve_tree tree;
};

/* ---- compiling ---- */

static bool compile(struct sieve *s, const char *name, struct slice text, struct mistakes *mistakes)
{
	const char *file = arena_text(s->tree.arena, slice_of(name));
	char *own;

	if (text.len > FILTER_SOURCE_MAX) {
		mistake_add(mistakes, (struct conf_pos){file, 1, 1}, "", "a script of more than %u bytes", FILTER_SOURCE_MAX);
		return false;
	}
	own = arena_take(s->tree.arena, text.len + 1);
	if (own == NULL || file == NULL)
		return false;
	memcpy(own, text.at, text.len);
	return sieve_parse(&s->tree, file, slice_make(own, text.len), mistakes) && sieve_check(&s->tree, mistakes);
}

static void tell_first(const struct mistakes *mistakes, struct filter_mistake *out)
{
	struct conf_pos pos;
	const char *what, *hint;

	if (!mistakes_first(mistakes, &pos, &what, &hint))
		return;
	out->line = pos.line;
	out->column = pos.column;
	snprintf(out->why, sizeof(out->why), "%s%s%s", what, hint[0] == '\0' ? "" : "; ", hint);
}

/* `all` may be NULL. */
static struct sieve *compile_telling(const char *name, struct slice text, struct filter_mistake *first, struct buf *all)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct sieve *s = mem_new(1, sizeof(*s));
	struct mistakes *mistakes = NULL;
	bool good = false;

	*first = (struct filter_mistake){0, 0, ""};
	if (s != NULL)
		s->tree.arena = arena_new(TREE_MAX);
	if (s != NULL && s->tree.arena != NULL && bundle_add(&bundle, slice_of(name), slice_sub(text, 0, FILTER_SOURCE_MAX)))
		mistakes = mistakes_new(s->tree.arena, buf_slice(&bundle));
	if (mistakes != NULL) {
		good = compile(s, name, text, mistakes);
		if (!s->tree.no_memory)
			tell_first(mistakes, first);
	}
	if (mistakes != NULL && all != NULL) {
		struct conf_mistakes told = {.text = buf_make(all->max)};

		mistakes_render(mistakes, &told);
		buf_add_slice(all, buf_slice(&told.text));
		buf_free(&told.text);
	}
	if (!good)
		sieve_free(&s);
	buf_free(&bundle);
	return s;
}

struct sieve *sieve_compile(struct slice text, struct filter_mistake *mistake)
{
	return compile_telling("sieve", text, mistake, NULL);
}

void sieve_mistakes(const char *name, struct slice text, struct buf *out)
{
	struct filter_mistake first;
	struct sieve *s = compile_telling(name, text, &first, out);

	sieve_free(&s);
}

void sieve_free(struct sieve **sp)
{
	struct sieve *s = *sp;

	*sp = NULL;
	if (s != NULL)
		arena_free(&s->tree.arena);
	free(s);
}

/* ---- what all parts of a run use ---- */

bool sieve_no_memory(struct sieve_run *r)
{
	return filter_fail(&r->gather, FILTER_LATER, 0, "no memory, or the body cannot be read now");
}

bool sieve_spend(struct sieve_run *r, uint32_t line, size_t octets)
{
	uint64_t steps;

	r->work += octets;
	steps = r->work / OCTETS_A_STEP;
	r->work %= OCTETS_A_STEP;
	return filter_step(&r->gather, line, steps > UINT32_MAX ? UINT32_MAX : (uint32_t)steps);
}

void *sieve_room(struct sieve_run *r, uint32_t line, size_t octets)
{
	void *at;

	r->made += octets;
	if (r->made > SIEVE_MADE_MAX) {
		filter_fail(&r->gather, FILTER_ERROR, line, "the filter makes too much text (more than %u bytes)", SIEVE_MADE_MAX);
		return NULL;
	}
	at = arena_take(r->arena, octets);
	if (at == NULL)
		sieve_no_memory(r);
	return at;
}

bool sieve_keep(struct sieve_run *r, uint32_t line, struct slice text, struct slice *out)
{
	char *copy = text.len == 0 ? NULL : sieve_room(r, line, text.len);

	if (copy != NULL)
		memcpy(copy, text.at, text.len);
	*out = slice_make(copy, copy == NULL ? 0 : text.len);
	return text.len == 0 || copy != NULL;
}

static struct slice piece_text(const struct sieve_run *r, const struct sieve_piece *p)
{
	if (p->kind == SIEVE_LITERAL)
		return p->text;
	if (p->kind == SIEVE_VARIABLE)
		return r->variables[p->index];
	return p->index < PATTERN_GROUPS_MAX ? r->matched[p->index] : slice_empty();
}

bool sieve_text(struct sieve_run *r, const struct sieve_string *s, struct slice *out)
{
	struct buf text = buf_make(SIEVE_TEXT_MAX);
	size_t most = 0;
	bool good;

	*out = s->text;
	if (s->pieces == NULL)
		return true;
	for (size_t i = 0; i < s->piece_count && buf_ok(&text); i++)
		buf_add_slice(&text, piece_text(r, &s->pieces[i]));
	for (size_t i = 0; i < s->piece_count; i++)
		most += piece_text(r, &s->pieces[i]).len;
	if (most > SIEVE_TEXT_MAX)
		good = filter_fail(&r->gather, FILTER_ERROR, s->pos.line, "a text of more than %u bytes", SIEVE_TEXT_MAX);
	else
		good = buf_ok(&text) ? sieve_keep(r, s->pos.line, buf_slice(&text), out) : sieve_no_memory(r);
	buf_free(&text);
	return good && sieve_spend(r, s->pos.line, most + s->piece_count * 16);
}

/* ---- control (RFC 5228 §3) ---- */

bool sieve_test(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	*out = false;
	if (!filter_step(&r->gather, node->pos.line, 1) || !node->word->test(r, node, out))
		return false;
	filter_tell(&r->gather, node->pos.line, "%s: %s", node->word->name, *out ? "yes" : "no");
	return true;
}

/* `taken`: a branch of this chain was carried out. */
static bool branch(struct sieve_run *r, const struct sieve_node *node, bool *taken)
{
	bool yes = node->word->flow == SIEVE_ELSE;

	if (node->word->flow == SIEVE_IF)
		*taken = false;
	if (*taken)
		return true;
	if (!yes && !sieve_test(r, &node->tests[0], &yes))
		return false;
	*taken = yes;
	return !yes || sieve_block(r, node->block, node->block_count);
}

static bool command(struct sieve_run *r, const struct sieve_node *node, bool *taken)
{
	if (!filter_step(&r->gather, node->pos.line, 1))
		return false;
	if (node->has_block)
		return branch(r, node, taken);
	if (node->word->flow == SIEVE_STOP) {
		r->stopped = true;
		filter_tell(&r->gather, node->pos.line, "stop");
	}
	return node->word->act == NULL || node->word->act(r, node);
}

bool sieve_block(struct sieve_run *r, const struct sieve_node *list, size_t count)
{
	bool taken = false;

	for (size_t i = 0; i < count && !r->stopped; i++)
		if (!command(r, &list[i], &taken))
			return false;
	return true;
}

/* ---- a run ---- */

static void read_envelope(struct sieve_envelope *e, struct slice text)
{
	e->text = text;
	e->good = mail_address_parse(text, MAIL_ALLOW_UTF8, &e->address) == MAIL_OK;
}

static bool begin(struct sieve_run *r)
{
	enum view_made made = view_new(r->message, r->gather.limits.body, &r->view);
	size_t count = r->tree->variable_count;

	r->arena = arena_new(RUN_MAX);
	read_envelope(&r->sender, r->message->sender);
	read_envelope(&r->recipient, r->message->recipient);
	if (made == VIEW_TOO_MANY_FIELDS)
		return filter_fail(&r->gather, FILTER_ERROR, 0, "the message has more than %u header fields", VIEW_FIELDS_MAX);
	r->variables = r->arena == NULL ? NULL : arena_take(r->arena, (count + 1) * sizeof(struct slice));
	if (made != VIEW_MADE || r->variables == NULL)
		return sieve_no_memory(r);
	for (size_t i = 0; i < count; i++)
		r->variables[i] = slice_empty();
	for (size_t i = 0; i < PATTERN_GROUPS_MAX; i++)
		r->matched[i] = slice_empty();
	return true;
}

static void end(struct sieve_run *r)
{
	view_free(&r->view);
	arena_free(&r->arena);
	buf_free(&r->folded);
	buf_free(&r->folded_key);
}

/* Implicit keep (RFC 5228 §2.10.2). */
static bool keep_implicitly(struct sieve_run *r)
{
	if (!r->implicit_keep)
		return true;
	filter_tell(&r->gather, 0, "nothing cancelled it: kept");
	return sieve_inbox(r, 0, r->flags);
}

void sieve_run(const struct sieve *s, const struct filter_message *message, const struct filter_limits *limits,
	       const struct filter_trace *trace, struct filter_result *result)
{
	struct sieve_run r = {.tree = &s->tree, .message = message, .flags = {"", 0}, .implicit_keep = true};

	r.folded = buf_make(limits->body + (64u << 20));
	r.folded_key = buf_make(FILTER_SOURCE_MAX + SIEVE_TEXT_MAX);
	filter_gather_begin(&r.gather, limits, trace, result);
	if (begin(&r) && sieve_block(&r, s->tree.commands, s->tree.count))
		keep_implicitly(&r);
	end(&r);
}
