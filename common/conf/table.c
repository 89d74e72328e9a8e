#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/net.h"

/*
 * table NAME { entries }
 * table NAME file PATH [include PATH] | directory PATH [include PATH] | cidr PATH | pcre2 PATH | sqlite PATH "select ..."
 * table NAME postgresql {...} | redis {...} | socketmap {...} | ldap {...}: backend.c
 */

#define ENTRIES_MAX 100000u

/* ---- entries ---- */

static bool key_has_colon(struct compiler *c, const struct token *key, struct slice *text)
{
	struct in6_addr ip;

	*text = key->text;
	if (key->kind == TOKEN_STRING)
		return false;
	if (text->len > 1 && text->at[text->len - 1] == ':' && !net_address(*text, &ip)) {
		text->len--;
		return true;
	}
	if (slice_index(*text, ':') != SLICE_NONE && !net_address(*text, &ip))
		mistake_add(c->mistakes, key->pos, "put a blank behind the `:`, or the key in quotes",
			    "a `:` inside a key");
	return false;
}

/* Keys are looked up in lower case. */
static char *lower_text(struct arena *arena, struct slice s)
{
	char *copy = arena_text(arena, s);

	for (size_t i = 0; copy != NULL && i < s.len; i++)
		copy[i] = ascii_lower(copy[i]);
	return copy;
}

/* "key: value" may stand in one pair of quotes. */
static bool split_quoted(const struct token *key, struct slice *text, struct token *value)
{
	size_t colon = key->kind == TOKEN_STRING ? slice_find(*text, slice_of(": ")) : SLICE_NONE;

	if (colon == SLICE_NONE)
		return false;
	value->text = slice_trim(slice_from(*text, colon + 1));
	*text = slice_trim(slice_sub(*text, 0, colon));
	return true;
}

static bool read_entry(struct compiler *c, struct conf_table *t)
{
	struct token key = c->p->now, value = {TOKEN_WORD, {"", 0}, {NULL, 0, 0}};
	void *entries = t->entries;
	struct conf_table_entry *e;
	struct slice text;
	bool colon = key_has_colon(c, &key, &text);
	bool has_value = lex_value(&c->p->lex, colon, &value) || split_quoted(&key, &text, &value);

	if (has_value && value.text.len == 0 && value.kind == TOKEN_WORD)
		mistake_add(c->mistakes, key.pos, "expected \"key: value\", or a key alone",
			    "a key with `:` and no value");
	parser_next(c->p);
	if (text.len == 0 || t->entry_count >= ENTRIES_MAX) {
		mistake_add(c->mistakes, key.pos, "",
			    text.len == 0 ? "an empty key" : "more than 100000 entries: use a file");
		return false;
	}
	e = arena_push(c->arena, &entries, &t->entry_count, sizeof(*e));
	t->entries = entries;
	if (e == NULL)
		return false;
	e->key = lower_text(c->arena, text);
	e->value = arena_text(c->arena, value.text);
	return e->key != NULL && e->value != NULL;
}

struct keyed {
	const char *key;
	size_t order;
};

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

static void check_keys(struct compiler *c, const struct conf_table *t)
{
	struct keyed *sorted = t->entry_count < 2 ? NULL : mem_new(t->entry_count, sizeof(*sorted));

	if (sorted == NULL)
		return;
	for (size_t i = 0; i < t->entry_count; i++)
		sorted[i] = (struct keyed){t->entries[i].key, i};
	qsort(sorted, t->entry_count, sizeof(*sorted), by_key);
	for (size_t i = 1; i < t->entry_count; i++)
		if (strcmp(sorted[i - 1].key, sorted[i].key) == 0) {
			mistake_add(c->mistakes, t->pos, "", "table %s has the key \"%s\" twice",
				    t->name, sorted[i].key);
			break;
		}
	free(sorted);
}

static bool read_inline(struct compiler *c, struct conf_table *t)
{
	struct conf_pos start = c->p->now.pos;
	size_t before = mistakes_count(c->mistakes);

	t->kind = TABLE_INLINE;
	parser_next(c->p);
	for (parser_skip_lines(c->p); !parser_at(c->p, TOKEN_CLOSE); parser_skip_lines(c->p)) {
		if (parser_at(c->p, TOKEN_END)) {
			mistake_add(c->mistakes, start, "", "the { of table %s has no }", t->name);
			return true;
		}
		if (!parser_at(c->p, TOKEN_WORD) && !parser_at(c->p, TOKEN_STRING)) {
			parser_expected(c->p, "an entry: key, or key: value");
			parser_skip_statement(c->p);
		} else if (!read_entry(c, t)) {
			parser_skip_statement(c->p);
		}
		if (arena_failed(c->arena))
			return false;
	}
	parser_next(c->p);
	if (mistakes_count(c->mistakes) == before)
		check_keys(c, t);
	return true;
}

/* ---- back-ends ---- */

/* What stands in '...', "..." or `...` is no parameter. */
static size_t count_parameters(struct slice query)
{
	size_t count = 0;
	char quote = '\0';

	for (size_t i = 0; i < query.len; i++) {
		char ch = query.at[i];

		if (quote != '\0')
			quote = ch == quote ? '\0' : quote;
		else if (ch == '\'' || ch == '"' || ch == '`')
			quote = ch;
		else
			count += ch == '?';
	}
	return count;
}

static const char *query_mistake(struct slice query)
{
	if (!slice_starts_nocase(slice_trim(query), slice_of("select ")))
		return "the query must begin with select";
	if (slice_index(query, ';') != SLICE_NONE)
		return "the query must be one statement, without `;`";
	return count_parameters(query) == 1 ? NULL : "the query must have exactly one ?, for the key";
}

bool take_query(struct compiler *c, const char **into)
{
	const char *mistake;
	struct token q;

	if (!take_string(c->p, "a query in quotes: \"select target from aliases where address = ?\"",
			 &q))
		return false;
	mistake = query_mistake(q.text);
	if (mistake != NULL)
		mistake_add(c->mistakes, q.pos,
			    "expected such as \"select target from aliases where address = ?\"", "%s",
			    mistake);
	*into = arena_text(c->arena, q.text);
	return *into != NULL;
}

/* A folder's path, as the folder of whatever lies in it. */
static bool take_folder(struct compiler *c, const char **into)
{
	struct buf path = buf_make(4096);
	const char *named;
	bool done;

	if (!take_path(c->p, &named))
		return false;
	buf_add_text(&path, named);
	while (path.len > 0 && path.at[path.len - 1] == '/')
		buf_undo(&path, path.len - 1);
	buf_add_text(&path, "/.");
	*into = buf_ok(&path) ? arena_text(c->arena, buf_slice(&path)) : NULL;
	done = *into != NULL;
	buf_free(&path);
	return done;
}

static bool read_include_folder(struct compiler *c, struct conf_table *t)
{
	return !parser_accept_word(c->p, "include") || take_folder(c, &t->include);
}

static bool read_file(struct compiler *c, struct conf_table *t)
{
	return take_path(c->p, &t->path) && read_include_folder(c, t);
}

static bool read_directory(struct compiler *c, struct conf_table *t)
{
	return take_folder(c, &t->path) && read_include_folder(c, t);
}

static bool read_one_path(struct compiler *c, struct conf_table *t)
{
	return take_path(c->p, &t->path);
}

static bool read_sqlite(struct compiler *c, struct conf_table *t)
{
	return take_path(c->p, &t->path) && take_query(c, &t->query);
}

static bool read_backend(struct compiler *c, struct conf_table *t)
{
	static const char *const words[] = {"file", "directory", "cidr", "pcre2", "sqlite", "postgresql", "redis", "socketmap", "ldap", NULL};
	static const struct {
		enum conf_table_kind kind;
		bool (*read)(struct compiler *c, struct conf_table *t);
	} kinds[] = {{TABLE_FILE, read_file},	    {TABLE_DIRECTORY, read_directory}, {TABLE_CIDR, read_one_path},
		     {TABLE_PCRE2, read_one_path}, {TABLE_SQLITE, read_sqlite},	      {TABLE_POSTGRESQL, read_backend_block},
		     {TABLE_REDIS, read_backend_block}, {TABLE_SOCKETMAP, read_backend_block}, {TABLE_LDAP, read_backend_block}};
	unsigned kind;

	if (!parser_at(c->p, TOKEN_WORD)) {
		parser_expected(c->p, "{ and entries, or file, directory, cidr, pcre2, sqlite, postgresql, redis, socketmap, ldap");
		return false;
	}
	if (!take_choice(c->p, "kind of table", words, &kind))
		return false;
	t->kind = kinds[kind].kind;
	return kinds[kind].read(c, t);
}

static bool is_taken(struct compiler *c, const struct conf_table *t)
{
	struct buf hint = buf_make(512);

	if (strcmp(t->name, "trusted") == 0)
		mistake_add(c->mistakes, t->pos, "choose another name",
			    "trusted is the list of trusted networks");
	for (size_t i = 0; i < c->conf->table_count; i++) {
		const struct conf_table *other = &c->conf->tables[i];

		if (strcmp(other->name, t->name) != 0)
			continue;
		buf_addf(&hint, "the other is in line %u of %s", other->pos.line, other->pos.file);
		mistake_add(c->mistakes, t->pos, buf_text(&hint), "two tables are called %s", t->name);
		buf_free(&hint);
		return true;
	}
	return false;
}

/* A table with mistakes still counts as one of that name: who names it makes no second mistake. */
bool read_table(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_table read = {.pos = c->p->now.pos}, *t;
	void *tables = c->conf->tables;
	bool ok;

	(void)st;
	(void)into;
	if (!take_name(c->p, "the name of the table", &read.name))
		return false;
	ok = parser_at(c->p, TOKEN_OPEN) ? read_inline(c, &read) : read_backend(c, &read);
	if (arena_failed(c->arena) || is_taken(c, &read))
		return ok;
	t = arena_push(c->arena, &tables, &c->conf->table_count, sizeof(*t));
	c->conf->tables = tables;
	if (t != NULL)
		*t = read;
	return ok;
}
