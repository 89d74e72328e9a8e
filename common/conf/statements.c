#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/bundle.h"
#include "conf/include.h"

#define HERE(member) offsetof(struct conf, member)

static const struct statement top[] = {
	{"include", read_include, 0, 0, 0, NULL, true},
	{"trusted", read_trusted, 0, 0, 0, NULL, false},
	{"listen", read_listen, 0, 0, 0, NULL, true},
	{"tls", read_tls, 0, 0, 0, NULL, false},
	{"auth", read_auth, 0, 0, 0, NULL, false},
	{"credentials", read_path_field, HERE(credentials), 0, 0, NULL, false},
	{"table", read_table, 0, 0, 0, NULL, true},
	{"transport", read_transport, 0, 0, 0, NULL, true},
	{"policy", read_policy, 0, 0, 0, NULL, true},
	{"route", read_route, 0, 0, 0, NULL, true},
	{"rewrite", read_rewrite, 0, 0, 0, NULL, false},
	{"retry", read_retry, 0, 0, 0, NULL, false},
};

/* ---- the engine ---- */

static size_t find_row(const struct statement *rows, size_t count, struct slice keyword)
{
	size_t i = 0;

	while (i < count && !slice_eq(keyword, slice_of(rows[i].keyword)))
		i++;
	return i;
}

bool statement_said(const struct said *said, const struct statement *rows, size_t count,
		    const char *keyword, struct conf_pos *at_out)
{
	size_t i = find_row(rows, count, slice_of(keyword));

	if (i == count || said->at[i].line == 0)
		return false;
	if (at_out != NULL)
		*at_out = said->at[i];
	return true;
}

/* True when it was said before, which is told. */
static bool is_second(struct compiler *c, const struct conf_pos *first, struct slice keyword)
{
	struct buf hint = buf_make(512);

	if (first->line == 0)
		return false;
	buf_addf(&hint, "first in line %u of %s", first->line, first->file);
	mistake_add(c->mistakes, c->p->now.pos, buf_text(&hint), "%.*s is said twice",
		    SLICE_ARG(keyword));
	buf_free(&hint);
	return true;
}

static bool read_row(struct compiler *c, const struct statement *st, void *into, struct conf_pos *said)
{
	bool second = !st->repeats && is_second(c, said, c->p->now.text);

	*said = c->p->now.pos;
	parser_next(c->p);
	return !second && st->read(c, st, into);
}

static void unknown_row(struct compiler *c, const char *of, const struct statement *rows, size_t count)
{
	struct wordlist allowed = {NULL, 0};

	if (!parser_at(c->p, TOKEN_WORD)) {
		parser_expected(c->p, "a statement");
		return;
	}
	for (size_t i = 0; i < count; i++)
		wordlist_add(c->arena, &allowed, rows[i].keyword);
	mistake_unknown(c->mistakes, c->p->now.pos, of, c->p->now.text, &allowed);
}

/* Behind a mistake: to the next keyword of this block, for statements share lines; else to the end of
 * the line. */
static void skip_to_keyword(struct parser *p, const struct statement *rows, size_t count)
{
	while (!parser_at_statement_end(p) &&
	       (!parser_at(p, TOKEN_WORD) || find_row(rows, count, p->now.text) == count)) {
		if (parser_at(p, TOKEN_OPEN)) {
			parser_skip_statement(p);
			return;
		}
		parser_next(p);
	}
}

/* Statements may share a line: each knows where its arguments end. */
bool read_block(struct compiler *c, const char *of, const struct statement *rows, size_t count,
		void *into, struct said *said)
{
	struct conf_pos start = c->p->now.pos;
	struct parser *p = c->p;
	bool good = true;

	if (!take_open(p, of))
		return false;
	for (parser_skip_lines(p); !parser_at(p, TOKEN_CLOSE); parser_skip_lines(p)) {
		size_t row = parser_at(p, TOKEN_WORD) ? find_row(rows, count, p->now.text) : count;
		bool ok = false;

		if (parser_at(p, TOKEN_END)) {
			mistake_add(c->mistakes, start, "", "the { of %s has no }", of);
			return false;
		}
		if (row == count)
			unknown_row(c, of, rows, count);
		else
			ok = read_row(c, &rows[row], into, &said->at[row]);
		if (!ok)
			skip_to_keyword(p, rows, count);
		good = good && ok;
	}
	parser_next(p);
	return good;
}

/* ---- the top level ---- */

const char *dashed(struct compiler *c, const char *name)
{
	char *copy = arena_text(c->arena, slice_of(name));

	for (size_t i = 0; copy != NULL && copy[i] != '\0'; i++)
		if (copy[i] == '_')
			copy[i] = '-';
	return copy == NULL ? name : copy;
}

static bool unknown_statement(struct compiler *c)
{
	struct wordlist allowed = {NULL, 0};

	if (!parser_at(c->p, TOKEN_WORD)) {
		parser_expected(c->p, "a statement");
		return false;
	}
	for (size_t i = 0; i < ARRAY_LEN(top); i++)
		wordlist_add(c->arena, &allowed, top[i].keyword);
	for (size_t i = 0; i < settings_count(); i++)
		wordlist_add(c->arena, &allowed, dashed(c, setting_at(i)->name));
	mistake_unknown(c->mistakes, c->p->now.pos, "statement", c->p->now.text, &allowed);
	return false;
}

static bool read_setting_statement(struct compiler *c, size_t index)
{
	if (is_second(c, &c->set_at[index], c->p->now.text))
		return false;
	parser_next(c->p);
	return read_setting(c, setting_at(index), index);
}

static bool read_statement(struct compiler *c)
{
	struct slice keyword = parser_at(c->p, TOKEN_WORD) ? c->p->now.text : slice_empty();
	size_t row = find_row(top, ARRAY_LEN(top), keyword);
	size_t index = setting_find(keyword);

	if (row < ARRAY_LEN(top))
		return read_row(c, &top[row], c->conf, &c->said.at[row]);
	if (index < settings_count())
		return read_setting_statement(c, index);
	return unknown_statement(c);
}

static void read_statements(struct compiler *c)
{
	struct parser *p = c->p;

	for (parser_skip_lines(p); !parser_at(p, TOKEN_END) && !arena_failed(c->arena);
	     parser_skip_lines(p)) {
		bool ok;

		if (parser_at(p, TOKEN_CLOSE)) {
			mistake_add(c->mistakes, p->now.pos, "", "a } without its {");
			parser_next(p);
			continue;
		}
		ok = read_statement(c);
		if (ok && !parser_at_statement_end(p))
			parser_expected(p, "the end of the line");
		parser_skip_statement(p);
	}
}

void compile_file(struct compiler *c, const char *name, struct slice text)
{
	struct parser *before = c->p, here;
	void *included = c->included;
	const char **slot = arena_push(c->arena, &included, &c->included_count, sizeof(*slot));

	c->included = included;
	if (slot == NULL)
		return;
	*slot = name;
	c->p = &here;
	parser_start(&here, name, text, c->arena, c->mistakes);
	read_statements(c);
	c->p = before;
}

/* ---- include ---- */

static bool was_included(const struct compiler *c, struct slice name)
{
	for (size_t i = 0; i < c->included_count; i++)
		if (slice_eq(name, slice_of(c->included[i])))
			return true;
	return false;
}

static void include_one(struct compiler *c, struct slice name, struct slice text)
{
	const char *kept = arena_text(c->arena, name);

	if (kept == NULL)
		return;
	c->depth++;
	compile_file(c, kept, text);
	c->depth--;
}

/* Those of the bundle that match, in its order (by name); the file that says it, and what came before,
 * are passed over. */
static void include_matching(struct compiler *c, struct slice pattern)
{
	struct slice rest = c->bundle, name, text;
	size_t folder = slice_rindex(pattern, '/');

	folder = folder == SLICE_NONE ? 0 : folder + 1;
	while (bundle_next(&rest, &name, &text)) {
		struct slice base = slice_from(name, folder);
		bool here = slice_eq(slice_sub(name, 0, folder), slice_sub(pattern, 0, folder)) &&
			    base.len > 0 && base.at[0] != '.';

		if (here && slice_index(base, '/') == SLICE_NONE &&
		    !slice_eq(name, slice_of(BUNDLE_SYSTEM)) &&
		    include_matches(slice_from(pattern, folder), base) && !was_included(c, name))
			include_one(c, name, text);
	}
}

static bool include_named(struct compiler *c, const struct token *t, struct slice name)
{
	struct slice text;

	if (was_included(c, name))
		mistake_add(c->mistakes, t->pos, "", "%.*s is included twice", SLICE_ARG(name));
	else if (!bundle_find(c->bundle, name, &text))
		mistake_add(c->mistakes, t->pos, "", "%.*s was not read", SLICE_ARG(name));
	else
		include_one(c, name, text);
	return true;
}

bool read_include(struct compiler *c, const struct statement *st, void *into)
{
	struct buf name = buf_make(4096);
	struct token t;
	bool ok;

	(void)st;
	(void)into;
	if (!take_text(c->p, "the path of a file", &t))
		return false;
	if (c->depth >= INCLUDE_DEPTH_MAX) {
		mistake_add(c->mistakes, t.pos, "at most 8 levels",
			    "files include each other too deeply");
		return false;
	}
	include_resolve(slice_of(c->p->lex.file), t.text, &name);
	ok = buf_ok(&name) && memchr(name.at == NULL ? "" : name.at, '\0', name.len) == NULL;
	if (!ok)
		mistake_add(c->mistakes, t.pos, "", "this is no path");
	else if (include_is_pattern(t.text))
		include_matching(c, buf_slice(&name));
	else
		ok = include_named(c, &t, buf_slice(&name));
	buf_free(&name);
	return ok;
}
