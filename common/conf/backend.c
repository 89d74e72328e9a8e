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
static bool read_directory_server(struct compiler *c, const struct statement *st, void *into);
static bool read_directory_tls(struct compiler *c, const struct statement *st, void *into);
static bool read_directory_filter(struct compiler *c, const struct statement *st, void *into);

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

static const struct statement ldap_rows[] = {
	{"server", read_directory_server, 0, 0, 0, NULL, true},
	{"timeout", read_time_field, OF(timeout_ms), 1000, 30000, NULL, false},
	{"keep", read_time_field, OF(keep_ms), 1000, 3600000, NULL, false},
	{"keep-no", read_time_field, OF(keep_no_ms), 1000, 3600000, NULL, false},
	{"tls", read_directory_tls, 0, 0, 0, NULL, false},
	{"tls-ca", read_path_field, OF(tls_ca), 0, 0, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"external", read_yes_no_field, OF(external), 0, 0, NULL, false},
	{"base", read_text_field, OF(base), 0, 0, NULL, false},
	{"filter", read_directory_filter, 0, 0, 0, NULL, false},
	{"object-class", read_text_field, OF(object_class), 0, 0, NULL, false},
	{"attribute", read_text_field, OF(attribute), 0, 0, NULL, false},
};

/* ---- statements ---- */

/* None of these is spoken in TLS here: the server is on this host. */
static bool is_here(struct slice host)
{
	struct in6_addr ip;

	return net_address(host, &ip) && (slice_eq(host, slice_of("::1")) || slice_starts(host, slice_of("127.")));
}

static bool is_server(struct slice host)
{
	struct in6_addr ip;

	return net_address(host, &ip) || is_host_name(host);
}

static bool take_server(struct compiler *c, struct conf_ldap_server *s, bool anywhere)
{
	struct slice host;
	struct token t;

	if (c->p->now.text.len > 0 && c->p->now.text.at[0] == '/')
		return take_path(c->p, &s->path);
	if (!take_text(c->p, "\"127.0.0.1:PORT\", or the path of a socket", &t))
		return false;
	if (anywhere ? !split_host_port(t.text, &host, &s->port) || !is_server(host) : !split_host_port(t.text, &host, &s->port) || !is_here(host)) {
		mistake_add(c->mistakes, t.pos, anywhere ? "expected such as \"ldap.example.org:636\"" : "expected a path, or such as \"127.0.0.1:5432\"",
			    anywhere ? "\"%.*s\" is no host with its port"
				     : "\"%.*s\" is no server on this host, and to another one what is asked would cross the network in clear",
			    t.text.len > 80 ? 80 : (int)t.text.len, t.text.at);
		return false;
	}
	s->host = arena_text(c->arena, host);
	return s->host != NULL;
}

static bool add_server(struct compiler *c, struct conf_backend *b, bool anywhere)
{
	struct conf_ldap_server read = {NULL, NULL, 0}, *s;
	void *servers = b->servers;

	if (!take_server(c, &read, anywhere))
		return false;
	s = arena_push(c->arena, &servers, &b->server_count, sizeof(*s));
	b->servers = servers;
	if (s != NULL)
		*s = read;
	return s != NULL;
}

static bool read_server(struct compiler *c, const struct statement *st, void *into)
{
	(void)st;
	return add_server(c, into, false);
}

static bool read_directory_server(struct compiler *c, const struct statement *st, void *into)
{
	(void)st;
	return add_server(c, into, true);
}

static bool read_directory_tls(struct compiler *c, const struct statement *st, void *into)
{
	static const char *const words[] = {"off", "verified", "implicit", NULL};
	static const enum conf_tls_mode modes[] = {TLS_OFF, TLS_VERIFIED, TLS_IMPLICIT};
	struct conf_backend *b = into;
	unsigned index;

	if (!take_choice(c->p, st->keyword, words, &index))
		return false;
	b->tls = modes[index];
	return true;
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

/* As in `auth { ldap }`: in clear only on this host. */
static void check_directory(struct compiler *c, const struct conf_table *t)
{
	const struct conf_backend *b = t->backend;

	if (b->external && b->login != NULL)
		mistake_add(c->mistakes, t->pos, "take one of them out", "table %s has login and external", t->name);
	for (size_t i = 0; i < b->server_count; i++) {
		const struct conf_ldap_server *s = &b->servers[i];
		bool here = s->path != NULL || is_here(slice_of(s->host));

		if (b->tls == TLS_OFF && !here)
			mistake_add(c->mistakes, t->pos, "expected tls verified or tls implicit",
				    "what is asked would cross the network in clear to %s", s->host);
		if (b->tls != TLS_OFF && s->path != NULL)
			mistake_add(c->mistakes, t->pos, "write tls off", "no TLS is spoken over a Unix socket");
		if (b->external && s->path == NULL)
			mistake_add(c->mistakes, t->pos, "write login NAME", "external is for a server behind a Unix socket");
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
	if (t->kind == TABLE_LDAP)
		check_directory(c, t);
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
	if (t->kind == TABLE_LDAP)
		b->tls = TLS_VERIFIED;
	good = read_block(c, kinds[i].name, kinds[i].rows, kinds[i].count, b, &said);
	if (good && !statement_said(&said, kinds[i].rows, kinds[i].count, "tls", NULL) && b->server_count > 0)
		b->tls = b->servers[0].path != NULL || t->kind != TABLE_LDAP ? TLS_OFF : b->servers[0].port == 636 ? TLS_IMPLICIT : TLS_VERIFIED;
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
