#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/ldap_filter.h"
#include "conf/net.h"

/* auth { ldap { server ... } } */

#define TIMEOUT_DEFAULT_MS 5000u
#define LDAPS_PORT 636

static bool read_server(struct compiler *c, const struct statement *st, void *into);
static bool read_filter(struct compiler *c, const struct statement *st, void *into);

/* In the order of enum conf_tls_mode, of which some have no meaning here. */
static const char *const tls_modes[] = {"off", "verified", "implicit", NULL};
static const enum conf_tls_mode tls_of[] = {TLS_OFF, TLS_VERIFIED, TLS_IMPLICIT};

static bool read_ldap_tls(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_ldap *l = into;
	unsigned index;

	if (!take_choice(c->p, st->keyword, tls_modes, &index))
		return false;
	l->tls = tls_of[index];
	return true;
}

#define OF(member) offsetof(struct conf_ldap, member)
static const struct statement rows[] = {
	{"server", read_server, 0, 0, 0, NULL, true},
	{"tls", read_ldap_tls, 0, 0, 0, NULL, false},
	{"tls-ca", read_path_field, OF(tls_ca), 0, 0, NULL, false},
	{"base", read_text_field, OF(base), 0, 0, NULL, false},
	{"filter", read_filter, 0, 0, 0, NULL, false},
	{"object-class", read_text_field, OF(object_class), 0, 0, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"timeout", read_time_field, OF(timeout_ms), 1000, 15000, NULL, false},
};

static bool take_server(struct compiler *c, struct conf_ldap_server *s)
{
	struct in6_addr ip;
	struct slice host;
	struct token t;

	if (c->p->now.text.len > 0 && c->p->now.text.at[0] == '/')
		return take_path(c->p, &s->path);
	if (!take_text(c->p, "\"HOST:PORT\", or the path of a socket", &t))
		return false;
	if (!split_host_port(t.text, &host, &s->port) || (!net_address(host, &ip) && !is_host_name(host))) {
		mistake_add(c->mistakes, t.pos, "expected such as \"ldap.example.org:636\"", "\"%.*s\" is no host with its port",
			    t.text.len > 80 ? 80 : (int)t.text.len, t.text.at);
		return false;
	}
	s->host = arena_text(c->arena, host);
	return s->host != NULL;
}

static bool read_server(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_ldap *l = into;
	struct conf_ldap_server read = {NULL, NULL, 0}, *s;
	void *servers = l->servers;

	(void)st;
	if (!take_server(c, &read))
		return false;
	s = arena_push(c->arena, &servers, &l->server_count, sizeof(*s));
	l->servers = servers;
	if (s == NULL)
		return false;
	*s = read;
	return true;
}

bool take_ldap_filter(struct compiler *c, const char **out)
{
	const char *mistake;
	struct token t;

	if (!take_text(c->p, "a filter in quotes", &t))
		return false;
	mistake = ldap_filter_mistake(t.text);
	if (mistake != NULL) {
		mistake_add(c->mistakes, t.pos, "expected such as \"(&(objectClass=mailUser)(mail=?))\"", "%s", mistake);
		return false;
	}
	*out = arena_text(c->arena, t.text);
	return *out != NULL;
}

static bool read_filter(struct compiler *c, const struct statement *st, void *into)
{
	(void)st;
	return take_ldap_filter(c, &((struct conf_ldap *)into)->filter);
}

/* ---- the whole ---- */

static bool is_here(const struct conf_ldap_server *s)
{
	return s->path != NULL || strcmp(s->host, "localhost") == 0 || strcmp(s->host, "::1") == 0 ||
	       slice_starts(slice_of(s->host), slice_of("127."));
}

static void check_clear(struct compiler *c, const struct conf_ldap *l)
{
	for (size_t i = 0; i < l->server_count; i++) {
		if (l->tls == TLS_OFF && !is_here(&l->servers[i]))
			mistake_add(c->mistakes, l->pos, "expected tls verified or tls implicit",
				    "passwords would cross the network in clear to %s", l->servers[i].host);
		if (l->tls != TLS_OFF && l->servers[i].path != NULL)
			mistake_add(c->mistakes, l->pos, "write tls off", "no TLS is spoken over a Unix socket");
	}
}

static void check_whole(struct compiler *c, const struct conf_ldap *l)
{
	if (l->server_count == 0 || l->base == NULL || l->filter == NULL)
		mistake_add(c->mistakes, l->pos, "expected server HOST:PORT, base DN and filter TEXT", "ldap has no %s",
			    l->server_count == 0 ? "server" : l->base == NULL ? "base" : "filter");
	if (l->server_count > CONF_LDAP_SERVERS_MAX)
		mistake_add(c->mistakes, l->pos, "expected at most 8", "ldap has too many servers");
	check_clear(c, l);
}

/* Said when all is read: credentials may stand behind auth. */
void check_ldap(struct compiler *c)
{
	const struct conf_ldap *l = c->conf->auth.ldap;

	if (l != NULL && l->login != NULL && c->conf->credentials == NULL)
		mistake_add(c->mistakes, l->pos, "write credentials PATH; its lines are \"NAME: user password\"",
			    "nothing says where the password of login %s is", l->login);
}

static enum conf_tls_mode default_tls(const struct conf_ldap *l)
{
	if (l->server_count > 0 && l->servers[0].path != NULL)
		return TLS_OFF;
	return l->server_count > 0 && l->servers[0].port == LDAPS_PORT ? TLS_IMPLICIT : TLS_VERIFIED;
}

bool read_ldap(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_ldap *l = arena_take(c->arena, sizeof(*l));
	struct conf *conf = into;
	struct said said = {0};
	struct conf_pos pos = c->p->last.pos;
	bool good;

	(void)st;
	if (l == NULL)
		return false;
	*l = (struct conf_ldap){.pos = pos, .timeout_ms = TIMEOUT_DEFAULT_MS};
	good = read_block(c, "ldap", rows, ARRAY_LEN(rows), l, &said);
	conf->auth.ldap = l;
	if (!statement_said(&said, rows, ARRAY_LEN(rows), "tls", NULL))
		l->tls = default_tls(l);
	if (good)
		check_whole(c, l);
	return good;
}
