#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/ldap_filter.h"

/* auth { ldap { server ... } } */

#define TIMEOUT_DEFAULT_MS 5000u
#define LDAPS_PORT 636

static bool read_server(struct compiler *c, const struct statement *st, void *into);
static bool read_filter(struct compiler *c, const struct statement *st, void *into);

#define OF(member) offsetof(struct conf_ldap, member)
static const struct statement rows[] = {
	{"server", read_server, 0, 0, 0, NULL, true},
	{"tls", read_server_tls, OF(tls), 0, 0, tls_words_all, false},
	{"tls-ca", read_path_field, OF(tls.ca), 0, 0, NULL, false},
	{"tls-certificate", read_path_field, OF(tls.certificate), 0, 0, NULL, false},
	{"tls-key", read_path_field, OF(tls.key), 0, 0, NULL, false},
	{"base", read_text_field, OF(base), 0, 0, NULL, false},
	{"filter", read_filter, 0, 0, 0, NULL, false},
	{"object-class", read_text_field, OF(object_class), 0, 0, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"external", read_yes_no_field, OF(external), 0, 0, NULL, false},
	{"timeout", read_time_field, OF(timeout_ms), 1000, 15000, NULL, false},
};

static bool read_server(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_ldap *l = into;

	(void)st;
	return add_server(c, &l->servers, &l->server_count, "ldap.example.org:636");
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

static void check_whole(struct compiler *c, const struct conf_ldap *l)
{
	if (l->server_count == 0 || l->base == NULL || l->filter == NULL)
		mistake_add(c->mistakes, l->pos, "expected server HOST:PORT, base DN and filter TEXT", "ldap has no %s",
			    l->server_count == 0 ? "server" : l->base == NULL ? "base" : "filter");
	check_servers(c, &(struct servers_said){.pos = l->pos,
						.name = "ldap",
						.servers = l->servers,
						.count = l->server_count,
						.tls = &l->tls,
						.login = l->login,
						.external = l->external,
						.what = "passwords",
						.clear_hint = "expected tls verified or tls implicit"});
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
		l->tls.mode = default_tls(l);
	if (good)
		check_whole(c, l);
	return good;
}
