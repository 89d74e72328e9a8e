#include "conf/compiler.h"

#include "base/mem.h"

/* table NAME postgresql { ... } | redis { ... } | socketmap { ... }: tables that another server keeps, asked by postern-lookup. */

#define TIMEOUT_DEFAULT_MS 5000u
#define KEEP_DEFAULT_MS 60000u
#define KEEP_NO_DEFAULT_MS 10000u

static bool read_server(struct compiler *c, const struct statement *st, void *into);
static bool read_query(struct compiler *c, const struct statement *st, void *into);
static bool read_get(struct compiler *c, const struct statement *st, void *into);
static bool read_hget(struct compiler *c, const struct statement *st, void *into);
static bool read_directory_filter(struct compiler *c, const struct statement *st, void *into);

#define OF(member) offsetof(struct conf_backend, member)
#define COMMON                                                                                                                \
	{"server", read_server, 0, 0, 0, NULL, true}, {"timeout", read_time_field, OF(timeout_ms), 1000, 30000, NULL, false}, \
		{"keep", read_time_field, OF(keep_ms), 1000, 3600000, NULL, false},                                           \
		{"keep-no", read_time_field, OF(keep_no_ms), 1000, 3600000, NULL, false}
#define TLS(words)                                                                                                                     \
	{"tls", read_server_tls, OF(tls), 0, 0, words, false}, {"tls-ca", read_path_field, OF(tls.ca), 0, 0, NULL, false},             \
		{"tls-certificate", read_path_field, OF(tls.certificate), 0, 0, NULL, false},                                          \
		{"tls-key", read_path_field, OF(tls.key), 0, 0, NULL, false}

static const struct statement postgresql_rows[] = {
	COMMON,
	TLS(tls_words_verified),
	{"database", read_text_field, OF(database), 0, 0, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"query", read_query, 0, 0, 0, NULL, false},
};
static const struct statement redis_rows[] = {
	COMMON,
	TLS(tls_words_implicit),
	{"database", read_u32_field, OF(number), 0, 65535, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"get", read_get, 0, 0, 0, NULL, false},
	{"hget", read_hget, 0, 0, 0, NULL, false},
};
static const struct statement socketmap_rows[] = {
	COMMON,
	{"map", read_text_field, OF(map), 0, 0, NULL, false},
};

static const struct statement ldap_rows[] = {
	COMMON,
	TLS(tls_words_all),
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"external", read_yes_no_field, OF(external), 0, 0, NULL, false},
	{"base", read_text_field, OF(base), 0, 0, NULL, false},
	{"filter", read_directory_filter, 0, 0, 0, NULL, false},
	{"object-class", read_text_field, OF(object_class), 0, 0, NULL, false},
	{"attribute", read_text_field, OF(attribute), 0, 0, NULL, false},
};

/* ---- statements ---- */

static bool read_server(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_backend *b = into;

	(void)st;
	return add_server(c, &b->servers, &b->server_count, "127.0.0.1:5432");
}

static bool read_directory_filter(struct compiler *c, const struct statement *st, void *into)
{
	(void)st;
	return take_ldap_filter(c, &((struct conf_backend *)into)->filter);
}

static bool read_query(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_backend *b = into;

	(void)st;
	return take_query(c, &b->query);
}

static size_t count_marks(struct slice text)
{
	size_t count = 0;

	for (size_t i = 0; i < text.len; i++)
		count += text.at[i] == '?';
	return count;
}

static bool take_key(struct compiler *c, const char **into)
{
	struct token t;

	if (!take_string(c->p, "a key in quotes, with ? for what is asked", &t))
		return false;
	if (count_marks(t.text) != 1) {
		mistake_add(c->mistakes, t.pos, "expected such as \"alias:?\"", "the key must have exactly one ?");
		return false;
	}
	*into = arena_text(c->arena, t.text);
	return *into != NULL;
}

static bool read_get(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_backend *b = into;

	(void)st;
	return take_key(c, &b->key);
}

static bool read_hget(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_backend *b = into;
	struct token t;

	(void)st;
	if (!take_string(c->p, "the key of the hash in quotes", &t))
		return false;
	b->hash = arena_text(c->arena, t.text);
	return b->hash != NULL && take_key(c, &b->key);
}

/* ---- the whole ---- */

static const struct {
	enum conf_table_kind kind;
	const char *name;
	const struct statement *rows;
	size_t count;
} kinds[] = {
	{TABLE_POSTGRESQL, "postgresql", postgresql_rows, ARRAY_LEN(postgresql_rows)},
	{TABLE_REDIS, "redis", redis_rows, ARRAY_LEN(redis_rows)},
	{TABLE_SOCKETMAP, "socketmap", socketmap_rows, ARRAY_LEN(socketmap_rows)},
	{TABLE_LDAP, "ldap", ldap_rows, ARRAY_LEN(ldap_rows)},
};

static const char *missing_word(enum conf_table_kind kind, const struct conf_backend *b)
{
	if (b->server_count == 0)
		return "server";
	if (kind == TABLE_POSTGRESQL)
		return b->query == NULL ? "query" : b->database == NULL ? "database" : b->login == NULL ? "login" : NULL;
	if (kind == TABLE_REDIS)
		return b->key == NULL ? "get" : NULL;
	if (kind == TABLE_LDAP)
		return b->base == NULL ? "base" : b->filter == NULL ? "filter" : b->attribute == NULL ? "attribute" : NULL;
	return b->map == NULL ? "map" : NULL;
}

static void check_map(struct compiler *c, const struct conf_backend *b)
{
	for (const char *p = b->map; p != NULL && *p != '\0'; p++)
		if (*p <= ' ' || *p > '~') {
			mistake_add(c->mistakes, b->pos, "expected such as \"virtual\"", "the name of a map is a word");
			return;
		}
}

/* In clear only on this host. */
static void check_places(struct compiler *c, const struct conf_table *t)
{
	static const char *const hints[TABLE_KIND_COUNT] = {
		[TABLE_POSTGRESQL] = "expected tls verified",
		[TABLE_REDIS] = "expected tls implicit",
		[TABLE_LDAP] = "expected tls verified or tls implicit",
		[TABLE_SOCKETMAP] = "expected a path, or such as \"127.0.0.1:8890\": this protocol knows no TLS",
	};
	const struct conf_backend *b = t->backend;
	struct buf name = buf_make(256);

	buf_addf(&name, "table %.200s", t->name);
	check_servers(c, &(struct servers_said){.pos = t->pos,
						.name = buf_text(&name),
						.servers = b->servers,
						.count = b->server_count,
						.tls = &b->tls,
						.login = b->login,
						.external = b->external,
						.what = "what is asked",
						.clear_hint = hints[t->kind]});
	buf_free(&name);
}

static void check_whole(struct compiler *c, const struct conf_table *t)
{
	const char *missing = missing_word(t->kind, t->backend);

	if (missing != NULL)
		mistake_add(c->mistakes, t->pos, "", "table %s has no %s", t->name, missing);
	check_map(c, t->backend);
	check_places(c, t);
}

/* A directory on this host too: who has one expects it. */
static enum conf_tls_mode default_tls(enum conf_table_kind kind, const struct conf_ldap_server *first)
{
	if (kind == TABLE_LDAP)
		return first->path != NULL ? TLS_OFF : first->port == 636 ? TLS_IMPLICIT : TLS_VERIFIED;
	if (kind == TABLE_SOCKETMAP || server_is_here(first))
		return TLS_OFF;
	return kind == TABLE_REDIS ? TLS_IMPLICIT : TLS_VERIFIED;
}

bool read_backend_block(struct compiler *c, struct conf_table *t)
{
	struct conf_backend *b = arena_take(c->arena, sizeof(*b));
	struct said said = {0};
	size_t i = 0;
	bool good;

	while (kinds[i].kind != t->kind)
		i++;
	if (b == NULL)
		return false;
	*b = (struct conf_backend){
		.pos = t->pos, .timeout_ms = TIMEOUT_DEFAULT_MS, .keep_ms = KEEP_DEFAULT_MS, .keep_no_ms = KEEP_NO_DEFAULT_MS};
	t->backend = b;
	good = read_block(c, kinds[i].name, kinds[i].rows, kinds[i].count, b, &said);
	if (good && !statement_said(&said, kinds[i].rows, kinds[i].count, "tls", NULL) && b->server_count > 0)
		b->tls.mode = default_tls(t->kind, &b->servers[0]);
	if (good)
		check_whole(c, t);
	return good;
}

/* Said when all is read: credentials may stand behind the table. */
void check_backends(struct compiler *c)
{
	size_t count = 0;

	for (size_t i = 0; i < c->conf->table_count; i++) {
		const struct conf_table *t = &c->conf->tables[i];

		if (t->backend == NULL)
			continue;
		if (t->backend->login != NULL && c->conf->credentials == NULL)
			mistake_add(c->mistakes, t->pos, "write credentials PATH; its lines are \"NAME: user password\"",
				    "nothing says where the password of login %s is", t->backend->login);
		if (++count == CONF_BACKENDS_MAX + 1)
			mistake_add(c->mistakes, t->pos, "", "more than %u tables of other servers: each has a process of its own",
				    CONF_BACKENDS_MAX);
	}
}
