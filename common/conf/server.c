#include "conf/compiler.h"

#include "conf/net.h"

/* Servers of others that postern-lookup asks, for `auth { ldap }` and for tables: where they are, and TLS to them. */

static bool take_server(struct compiler *c, struct conf_ldap_server *s, const char *example)
{
	struct in6_addr ip;
	struct slice host;
	struct token t;
	struct buf hint;

	if (c->p->now.text.len > 0 && c->p->now.text.at[0] == '/')
		return take_path(c->p, &s->path);
	if (!take_text(c->p, "\"HOST:PORT\", or the path of a socket", &t))
		return false;
	if (!split_host_port(t.text, &host, &s->port) || (!net_address(host, &ip) && !is_host_name(host))) {
		hint = buf_make(512);
		buf_addf(&hint, "expected such as \"%s\"", example);
		mistake_add(c->mistakes, t.pos, buf_text(&hint), "\"%.*s\" is no host with its port",
			    t.text.len > 80 ? 80 : (int)t.text.len, t.text.at);
		buf_free(&hint);
		return false;
	}
	s->host = arena_text(c->arena, host);
	return s->host != NULL;
}

bool add_server(struct compiler *c, struct conf_ldap_server **servers, size_t *count, const char *example)
{
	struct conf_ldap_server read = {NULL, NULL, 0}, *s;
	void *all = *servers;

	if (!take_server(c, &read, example))
		return false;
	s = arena_push(c->arena, &all, count, sizeof(*s));
	*servers = all;
	if (s != NULL)
		*s = read;
	return s != NULL;
}

const char *const tls_words_all[] = {"off", "verified", "implicit", NULL};
const char *const tls_words_verified[] = {"off", "verified", NULL};
const char *const tls_words_implicit[] = {"off", "implicit", NULL};

bool read_server_tls(struct compiler *c, const struct statement *st, void *into)
{
	static const enum conf_tls_mode modes[] = {TLS_OFF, TLS_VERIFIED, TLS_IMPLICIT};
	struct conf_server_tls *tls = (void *)((char *)into + st->offset);
	unsigned index;

	if (!take_choice(c->p, st->keyword, st->words, &index))
		return false;
	/* Of two words the second is the one that this kind of server knows. */
	tls->mode = st->words == tls_words_implicit && index == 1 ? TLS_IMPLICIT : modes[index];
	return true;
}

bool server_is_here(const struct conf_ldap_server *s)
{
	return s->path != NULL || net_is_loopback(slice_of(s->host));
}

static void check_server(struct compiler *c, const struct servers_said *said, const struct conf_ldap_server *s)
{
	const struct conf_server_tls *tls = said->tls;

	if (tls->mode == TLS_OFF && !server_is_here(s))
		mistake_add(c->mistakes, said->pos, said->clear_hint, "%s would cross the network in clear to %s", said->what, s->host);
	if (tls->mode != TLS_OFF && s->path != NULL)
		mistake_add(c->mistakes, said->pos, "write tls off", "no TLS is spoken over a Unix socket");
	if (said->external && s->path == NULL && tls->certificate == NULL)
		mistake_add(c->mistakes, said->pos, "write tls-certificate and tls-key, or login NAME",
			    "external shows who we are by a Unix socket or a certificate, and to %s there is neither", s->host);
}

void check_servers(struct compiler *c, const struct servers_said *said)
{
	const struct conf_server_tls *tls = said->tls;

	if (said->count > CONF_LDAP_SERVERS_MAX)
		mistake_add(c->mistakes, said->pos, "expected at most 8", "%s has too many servers", said->name);
	if ((tls->certificate == NULL) != (tls->key == NULL))
		mistake_add(c->mistakes, said->pos, "write both", "%s has tls-%s without tls-%s", said->name,
			    tls->key == NULL ? "certificate" : "key", tls->key == NULL ? "key" : "certificate");
	if (tls->mode == TLS_OFF && (tls->ca != NULL || tls->certificate != NULL || tls->key != NULL))
		mistake_add(c->mistakes, said->pos, "take it out, or write tls", "%s has tls-%s, and tls off", said->name,
			    tls->ca != NULL ? "ca" : tls->certificate != NULL ? "certificate" : "key");
	if (said->external && said->login != NULL)
		mistake_add(c->mistakes, said->pos, "take one of them out", "%s has login and external", said->name);
	for (size_t i = 0; i < said->count; i++)
		check_server(c, said, &said->servers[i]);
}
