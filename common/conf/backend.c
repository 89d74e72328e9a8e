#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/net.h"

/* table NAME postgresql { ... } | redis { ... } | socketmap { ... }: tables that another server keeps, asked by postern-lookup. */

#define TIMEOUT_DEFAULT_MS 5000u
#define KEEP_DEFAULT_MS 60000u
#define KEEP_NO_DEFAULT_MS 10000u

static bool read_server(struct compiler *c, const struct statement *st, void *into);
static bool read_query(struct compiler *c, const struct statement *st, void *into);
static bool read_get(struct compiler *c, const struct statement *st, void *into);
static bool read_hget(struct compiler *c, const struct statement *st, void *into);

#define OF(member) offsetof(struct conf_backend, member)
#define COMMON                                                                                                                \
	{"server", read_server, 0, 0, 0, NULL, true}, {"timeout", read_time_field, OF(timeout_ms), 1000, 30000, NULL, false}, \
		{"keep", read_time_field, OF(keep_ms), 1000, 3600000, NULL, false},                                           \
		{"keep-no", read_time_field, OF(keep_no_ms), 1000, 3600000, NULL, false}

static const struct statement postgresql_rows[] = {
	COMMON,
	{"database", read_text_field, OF(database), 0, 0, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"query", read_query, 0, 0, 0, NULL, false},
};
static const struct statement redis_rows[] = {
	COMMON,
	{"database", read_u32_field, OF(number), 0, 65535, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"get", read_get, 0, 0, 0, NULL, false},
	{"hget", read_hget, 0, 0, 0, NULL, false},
};
static const struct statement socketmap_rows[] = {
	COMMON,
	{"map", read_text_field, OF(map), 0, 0, NULL, false},
};

/* ---- statements ---- */

/* None of these is spoken in TLS here: the server is on this host. */
static bool is_here(struct slice host)
{
	struct in6_addr ip;

	return net_address(host, &ip) && (slice_eq(host, slice_of("::1")) || slice_starts(host, slice_of("127.")));
}

static bool take_server(struct compiler *c, struct conf_ldap_server *s)
{
	struct slice host;
	struct token t;

	if (c->p->now.text.len > 0 && c->p->now.text.at[0] == '/')
		return take_path(c->p, &s->path);
	if (!take_text(c->p, "\"127.0.0.1:PORT\", or the path of a socket", &t))
		return false;
	if (!split_host_port(t.text, &host, &s->port) || !is_here(host)) {
		mistake_add(c->mistakes, t.pos, "expected a path, or such as \"127.0.0.1:5432\"",
			    "\"%.*s\" is no server on this host, and to another one what is asked would cross the network in clear",
			    t.text.len > 80 ? 80 : (int)t.text.len, t.text.at);
		return false;
	}
	s->host = arena_text(c->arena, host);
	return s->host != NULL;
}

static bool read_server(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_backend *b = into;
	struct conf_ldap_server read = {NULL, NULL, 0}, *s;
	void *servers = b->servers;

	(void)st;
	if (!take_server(c, &read))
		return false;
	s = arena_push(c->arena, &servers, &b->server_count, sizeof(*s));
	b->servers = servers;
	if (s != NULL)
		*s = read;
	return s != NULL;
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
};

static const char *missing_word(enum conf_table_kind kind, const struct conf_backend *b)
{
	if (b->server_count == 0)
		return "server";
	if (kind == TABLE_POSTGRESQL)
		return b->query == NULL ? "query" : b->database == NULL ? "database" : b->login == NULL ? "login" : NULL;
	if (kind == TABLE_REDIS)
		return b->key == NULL ? "get" : NULL;
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

static void check_whole(struct compiler *c, const struct conf_table *t)
{
	const char *missing = missing_word(t->kind, t->backend);

	if (missing != NULL)
		mistake_add(c->mistakes, t->pos, "", "table %s has no %s", t->name, missing);
	if (t->backend->server_count > CONF_LDAP_SERVERS_MAX)
		mistake_add(c->mistakes, t->pos, "expected at most 8", "table %s has too many servers", t->name);
	check_map(c, t->backend);
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
