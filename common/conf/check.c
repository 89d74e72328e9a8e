#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/net.h"
#include "sasl/mechanism.h"

/* What can be said only when everything was read.  Each check tells its mistakes; none stops the
 * others. */

/* ---- defaults that depend on other statements ---- */

static bool has_tls(const struct compiler *c)
{
	return c->conf->certificate_count > 0 && c->conf->certificates[0].chain != NULL &&
	       c->conf->certificates[0].key != NULL;
}

static void default_listener(struct compiler *c, size_t i)
{
	struct conf_listener *l = &c->conf->listeners[i];
	bool submission = l->role == LISTENER_SUBMISSION;

	if (!listener_said(c, i, "tls"))
		l->tls = submission ? TLS_REQUIRED : has_tls(c) ? TLS_OPTIONAL : TLS_OFF;
	if (!listener_said(c, i, "auth"))
		l->auth = submission ? AUTH_REQUIRED : AUTH_OFF;
	if (!listener_said(c, i, "isolation"))
		l->isolation = l->auth == AUTH_OFF ? ISOLATION_SHARED : ISOLATION_CONNECTION;
	if (l->hostname == NULL)
		l->hostname = c->conf->set.hostname;
	if (l->called == NULL)
		l->called = arena_text(c->arena, slice_of(l->name));
	/* Among hosts of the internet are old ones, for which some encryption is more than none. */
	if (l->tls_ciphers == NULL)
		l->tls_ciphers = submission ? "intermediate" : "compatible";
	if (strcmp(l->tls_ciphers, "modern") == 0)
		l->tls_minimum = TLS_1_3;
}

static void default_transport(struct compiler *c, size_t i)
{
	struct conf_transport *t = &c->conf->transports[i];

	if (transport_said(c, i, "tls", NULL))
		return;
	if (t->kind == TRANSPORT_SMTP)
		t->tls = t->by_mx ? TLS_OPTIONAL : t->port == 465 ? TLS_IMPLICIT : TLS_VERIFIED;
	else
		t->tls = t->kind == TRANSPORT_LMTP && t->host != NULL ? TLS_OPTIONAL : TLS_OFF;
}

static void default_auth(struct compiler *c)
{
	struct conf_auth *auth = &c->conf->auth;

	if (auth->mechanisms == 0 && (auth->external == NULL || conf_password_kinds(auth) > 0))
		auth->mechanisms = MECHANISMS_DEFAULT;
	if (auth->external != NULL)
		auth->mechanisms |= MECHANISM_BIT(MECHANISM_EXTERNAL);
	/* Dovecot is not told of the channel, and so cannot bind to it. */
	if (auth->dovecot != NULL)
		auth->mechanisms &= ~MECHANISM_BIT(MECHANISM_SCRAM_SHA_256_PLUS);
}

/* ---- auth ---- */

/* A mechanism needs somebody who can check what it brings. */
static void check_mechanisms(struct compiler *c)
{
	static const struct {
		enum mechanism m;
		bool in_sqlite;
		const char *needs;
	} rows[] = {
		{MECHANISM_SCRAM_SHA_256, true, "sqlite PATH, or dovecot PATH"},
		{MECHANISM_CRAM_MD5, true, "sqlite PATH, or dovecot PATH"},
		{MECHANISM_XOAUTH2, false, "dovecot PATH"},
		{MECHANISM_OAUTHBEARER, false, "dovecot PATH"},
	};
	const struct conf_auth *auth = &c->conf->auth;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((auth->mechanisms & MECHANISM_BIT(rows[i].m)) != 0 && auth->dovecot == NULL &&
		    !(rows[i].in_sqlite && auth->sqlite != NULL))
			mistake_add(c->mistakes, c->mechanisms_at, "write what it needs into auth, or take it out of mechanisms",
				    "nobody can check %s: it needs %s", mechanism_name(rows[i].m), rows[i].needs);
}

/* A worker of many connections could claim any certificate for each of them. */
static void check_external(struct compiler *c)
{
	size_t able = 0;

	if (c->conf->auth.external == NULL)
		return;
	for (size_t i = 0; i < c->conf->listener_count; i++) {
		const struct conf_listener *l = &c->conf->listeners[i];

		if (c->listeners[i].broken || (l->auth != AUTH_OFF && l->client_ca != NULL))
			able++;
		if (!c->listeners[i].broken && l->auth != AUTH_OFF && l->client_ca != NULL && l->isolation == ISOLATION_SHARED)
			mistake_add(c->mistakes, l->pos, "write isolation connection, or take external out of auth",
				    "certificates would log in at listener %s, whose processes are shared by many clients", l->name);
	}
	if (able == 0)
		mistake_add(c->mistakes, c->auth_at, "write client-certificate ask  client-ca PATH at a listener that takes logins",
			    "external has no meaning where no listener that takes logins has a client-ca");
}

/* ---- listeners ---- */

static void check_listener_tls(struct compiler *c, const struct conf_listener *l)
{
	if (l->tls != TLS_OFF && !has_tls(c) && c->tls_said.at[0].line == 0)
		mistake_add(c->mistakes, l->pos,
			    "write tls { certificate PATH  key PATH }, or tls off here",
			    "listener %s needs a certificate, and there is none", l->name);
	if (l->tls == TLS_OFF && l->auth != AUTH_OFF)
		mistake_add(c->mistakes, l->pos, "expected tls required or tls implicit, or auth off",
			    "passwords would cross the network in clear at listener %s", l->name);
}

static void check_tls_hosts(struct compiler *c, const struct conf_listener *l)
{
	for (size_t i = 0; i < l->tls_host_count; i++) {
		struct wordlist names = {NULL, 0};
		bool found = false;

		for (size_t k = 1; k < c->conf->certificate_count; k++) {
			const char *name = c->conf->certificates[k].name;

			if (name == NULL || conf_other_certificate(c->conf, k) < k)
				continue; /* the second of one that was looked at */
			wordlist_add(c->arena, &names, name);
			found = found || strcmp(name, l->tls_hosts[i].name) == 0;
		}
		if (!found)
			mistake_unknown(c->mistakes, l->tls_hosts[i].pos, "host of tls", slice_of(l->tls_hosts[i].name),
					&names);
	}
}

static void check_client_certificate(struct compiler *c, const struct conf_listener *l)
{
	if (l->client_certificate == CLIENT_CERTIFICATE_REQUIRE && l->client_ca == NULL)
		mistake_add(c->mistakes, l->pos, "write client-ca PATH, or client-certificate ask",
			    "listener %s requires client certificates, and nothing says whose are good", l->name);
	if (l->client_certificate == CLIENT_CERTIFICATE_OFF && l->client_ca != NULL)
		mistake_add(c->mistakes, l->pos, "write client-certificate ask or client-certificate require",
			    "client-ca has no meaning where no client certificate is asked for");
}

/* Words about TLS on a listener without. */
static void check_tls_words(struct compiler *c, size_t i)
{
	static const char *const needs_tls[] = {"tls-host",    "tls-unknown-host",   "tls-minimum",
						"tls-ciphers", "client-certificate", "client-ca"};

	for (size_t k = 0; k < ARRAY_LEN(needs_tls); k++)
		if (c->conf->listeners[i].tls == TLS_OFF && listener_said(c, i, needs_tls[k]))
			mistake_add(c->mistakes, c->conf->listeners[i].pos, "", "%s has no meaning with tls off",
				    needs_tls[k]);
}

static void check_listener(struct compiler *c, size_t i)
{
	static const char *const of_logins[] = {"senders", "withhold-client"};
	const struct conf_listener *l = &c->conf->listeners[i];

	if (c->listeners[i].broken)
		return;
	check_listener_tls(c, l);
	if (l->auth == AUTH_OFF && l->auth_from.count > 0)
		mistake_add(c->mistakes, l->pos, "write auth optional or auth required, or take auth-from out",
			    "listener %s takes no logins, and says from where", l->name);
	for (size_t k = 0; k < ARRAY_LEN(of_logins); k++)
		if (l->auth == AUTH_OFF && listener_said(c, i, of_logins[k]))
			mistake_add(c->mistakes, l->pos, "write auth optional or auth required, or take it out",
				    "listener %s takes no logins, and %s is about them", l->name, of_logins[k]);
	if (l->tls == TLS_IMPLICIT && l->greet_pause_ms > 0)
		mistake_add(c->mistakes, l->pos, "leave greet-pause out: with TLS the client speaks first",
			    "listener %s would only wait", l->name);
	check_tls_words(c, i);
	check_tls_hosts(c, l);
	check_client_certificate(c, l);
	if (l->auth != AUTH_OFF && !c->auth_block)
		mistake_add(c->mistakes, l->pos, "write auth { sqlite PATH }, or auth off here",
			    "listener %s takes logins, and nothing says where passwords are", l->name);
	for (size_t j = 0; j < i; j++) {
		const struct conf_listener *other = &c->conf->listeners[j];

		if (other->port != l->port)
			continue;
		if (strcmp(other->address, l->address) == 0)
			mistake_add(c->mistakes, l->pos, "", "two listeners at %s", l->name);
		else if (other->address[0] == '\0' || l->address[0] == '\0')
			mistake_add(c->mistakes, l->pos, "an address left out means every address",
				    "%s and %s are the same port", other->name, l->name);
	}
}

/* ---- transports ---- */

/* Which statement has a meaning for which kind. */
#define KIND(k) (1u << (k))
#define REMOTE (KIND(TRANSPORT_SMTP) | KIND(TRANSPORT_LMTP))
#define BOXES (KIND(TRANSPORT_MAILDIR) | KIND(TRANSPORT_MBOX))
#define LOCAL (BOXES | KIND(TRANSPORT_PIPE))
static const struct {
	const char *keyword;
	unsigned kinds;
} fits[] = {
	{"user", LOCAL},
	{"group", LOCAL},
	{"delivered-to", LOCAL},
	{"add", LOCAL},
	{"quota", KIND(TRANSPORT_MAILDIR)},
	{"junk", KIND(TRANSPORT_MAILDIR)},
	{"forward", BOXES},
	{"filter", BOXES},
	{"programs", BOXES},
	{"timeout", LOCAL},
	{"tls", REMOTE},
	{"tls-ca", REMOTE},
	{"tls-name", REMOTE},
	{"tls-verify", REMOTE},
	{"login", KIND(TRANSPORT_SMTP)},
	{"allow-local", REMOTE},
	{"messages", REMOTE},
	{"recipients", REMOTE},
};

static const char *kind_name(enum conf_transport_kind kind)
{
	static const char *const names[] = {[TRANSPORT_MAILDIR] = "a maildir",
					    [TRANSPORT_SMTP] = "an smtp",
					    [TRANSPORT_LMTP] = "an lmtp",
					    [TRANSPORT_MBOX] = "an mbox",
					    [TRANSPORT_PIPE] = "a pipe"};

	return names[kind];
}

static void check_fits(struct compiler *c, size_t i)
{
	const struct conf_transport *t = &c->conf->transports[i];
	struct conf_pos pos;

	for (size_t f = 0; f < ARRAY_LEN(fits); f++)
		if (!(fits[f].kinds & KIND(t->kind)) && transport_said(c, i, fits[f].keyword, &pos))
			mistake_add(c->mistakes, pos, "", "%s has no meaning for %s transport",
				    fits[f].keyword, kind_name(t->kind));
}

/* True: exactly one of them was said. */
static bool check_kind(struct compiler *c, size_t i)
{
	static const char *const kinds[] = {"maildir", "mbox", "pipe", "smtp", "lmtp"};
	struct conf_pos pos;
	size_t count = 0;

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		if (transport_said(c, i, kinds[k], &pos) && count++ > 0)
			mistake_add(c->mistakes, pos, "a transport is one of maildir, mbox, pipe, smtp and lmtp",
				    "transport %s is two things", c->conf->transports[i].name);
	if (count == 0)
		mistake_add(c->mistakes, c->conf->transports[i].pos,
			    "expected one of maildir PATH, mbox PATH, pipe PROGRAM, smtp mx, smtp \"HOST:PORT\", lmtp PATH",
			    "transport %s leads nowhere", c->conf->transports[i].name);
	return count == 1;
}

static void check_place(struct compiler *c, const struct conf_transport *t)
{
	struct slice path = slice_of(t->maildir);
	bool home = slice_starts(path, slice_of("~/"));

	if (home && !conf_transport_is_system(t))
		mistake_add(c->mistakes, t->pos,
			    "leave user out: mail in a home is written as its owner", "~/ has no user");
	if (!home && slice_index(path, '{') == SLICE_NONE)
		mistake_add(c->mistakes, t->pos, "expected {local}, {domain} or {address} in it",
			    "everybody's mail would lie in one mailbox");
	else if (!home && conf_transport_is_system(t) && t->kind == TRANSPORT_MBOX && !conf_transport_names_user(t))
		mistake_add(c->mistakes, t->pos, "expected such as \"/var/mail/{local}\", or user NAME",
			    "an mbox of system users is called as they are");
}

static bool is_encrypted(const struct conf_transport *t)
{
	return t->tls == TLS_REQUIRED || t->tls == TLS_VERIFIED || t->tls == TLS_IMPLICIT;
}

static void check_login(struct compiler *c, size_t i)
{
	const struct conf_transport *t = &c->conf->transports[i];
	struct conf_pos pos;

	if (!transport_said(c, i, "login", &pos))
		return;
	if (t->by_mx)
		mistake_add(c->mistakes, pos, "expected smtp \"HOST:PORT\"",
			    "a login for whatever host the MX names");
	if (!is_encrypted(t) && !t->allow_local)
		mistake_add(c->mistakes, pos, "expected tls verified, implicit or required",
			    "the password would cross the network in clear");
	if (c->conf->credentials == NULL)
		mistake_add(c->mistakes, pos,
			    "write credentials PATH; its lines are \"NAME: user password\"",
			    "nothing says where the password of login %s is", t->login);
}

static void check_remote_tls(struct compiler *c, size_t i)
{
	const struct conf_transport *t = &c->conf->transports[i];
	static const char *const tls_only[] = {"tls-ca", "tls-name", "tls-verify"};
	struct conf_pos pos;

	for (size_t k = 0; k < ARRAY_LEN(tls_only); k++)
		if (t->tls == TLS_OFF && transport_said(c, i, tls_only[k], &pos))
			mistake_add(c->mistakes, pos, "", "%s has no meaning with tls off",
				    tls_only[k]);
	if (t->path != NULL && t->tls != TLS_OFF)
		mistake_add(c->mistakes, t->pos, "leave tls out",
			    "no TLS is spoken over a Unix socket");
	if (t->by_mx && (t->tls == TLS_IMPLICIT || t->tls == TLS_VERIFIED))
		mistake_add(c->mistakes, t->pos, "expected tls off, optional or required",
			    "hosts found by MX cannot be verified by name");
	if (t->by_mx && transport_said(c, i, "tls-name", &pos))
		mistake_add(c->mistakes, pos, "", "tls-name has no meaning with smtp mx");
	if (t->tls == TLS_VERIFIED && !t->tls_verify)
		mistake_add(c->mistakes, t->pos, "write tls required to encrypt without verifying",
			    "tls verified and tls-verify no contradict");
}

static void check_transport(struct compiler *c, size_t i)
{
	const struct conf_transport *t = &c->conf->transports[i];

	if (c->transports[i].broken || !check_kind(c, i))
		return;
	check_fits(c, i);
	if (t->kind == TRANSPORT_PIPE)
		return;
	if (conf_transport_is_local(t)) {
		check_place(c, t);
		return;
	}
	check_remote_tls(c, i);
	if (t->kind == TRANSPORT_SMTP)
		check_login(c, i);
}

/* ---- settings that are words ---- */

static bool is_address(struct slice s)
{
	size_t at = slice_rindex(s, '@');

	return at != SLICE_NONE && at > 0 && at <= 64 && is_host_name(slice_from(s, at + 1)) &&
	       slice_index(s, ' ') == SLICE_NONE && slice_index(s, '<') == SLICE_NONE;
}

static bool is_host_name_or_none(struct slice s)
{
	return s.len == 0 || is_host_name(s);
}

/* None that a domain, a path or a quoted local part has a meaning for. */
static bool is_sub_address(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (strchr("+-_=#~^", s.at[i]) == NULL)
			return false;
	return s.len <= 7;
}

static bool is_postmaster(struct slice s)
{
	return s.len == 0 || (is_address(s) && !slice_eq_nocase(slice_sub(s, 0, slice_rindex(s, '@')),
								slice_of("postmaster")));
}

static bool is_folder(struct slice s)
{
	return s.len > 0 && s.at[0] == '/';
}

static bool is_one_of(struct slice s, const char *words)
{
	struct slice rest = slice_of(words), word;

	while (slice_word(&rest, &word))
		if (slice_eq(word, s))
			return true;
	return false;
}

static bool is_log(struct slice s)
{
	return is_folder(s) || is_one_of(s, "stderr syslog journald");
}

static bool is_log_level(struct slice s)
{
	return is_one_of(s, "debug info warn error");
}

static bool is_dnssec(struct slice s)
{
	return is_one_of(s, "auto require off");
}

static bool is_senders(struct slice s)
{
	return is_one_of(s, "own any");
}

static bool is_fsync_dir(struct slice s)
{
	return is_one_of(s, "auto always");
}

static bool is_user_prefix(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-' && s.at[i] != '_')
			return false;
	return s.len > 0 && s.len <= 20 && (ascii_is_alpha(s.at[0]) || s.at[0] == '_');
}

/* "192.0.2.1", with "@port" where it is not 53. */
static bool is_forwarder(struct slice s)
{
	size_t at = slice_index(s, '@');
	struct in6_addr ip;
	uint64_t port = 53;

	if (at != SLICE_NONE && (!slice_u64(slice_from(s, at + 1), 65535, &port) || port == 0))
		return false;
	return net_address(at == SLICE_NONE ? s : slice_sub(s, 0, at), &ip);
}

static bool is_resolver(struct slice s)
{
	struct slice rest = s, word;
	size_t count = 0;

	if (!slice_word(&rest, &word) || slice_eq(s, slice_of("auto")) ||
	    slice_eq(s, slice_of("recurse")))
		return s.len > 0;
	if (!slice_eq(word, slice_of("forward")))
		return false;
	for (; slice_word(&rest, &word); count++)
		if (!is_forwarder(word))
			return false;
	return count > 0;
}

static bool is_sandbox(struct slice s)
{
	struct slice rest = s, word;

	while (slice_word(&rest, &word))
		if (!is_one_of(word, "landlock mdwe scopes passrights"))
			return false;
	return true;
}

static const struct {
	const char *name;
	bool (*is_good)(struct slice value);
	const char *expected;
} words[] = {
	{"hostname", is_host_name, "expected a host name such as mx1.example.org"},
	{"qualify_domain", is_host_name_or_none, "expected a host name such as mx1.example.org"},
	{"sub_address", is_sub_address, "expected one or more of + - _ = # ~ ^, such as \"+\""},
	{"postmaster", is_postmaster, "expected the address of a person, such as alice@example.org"},
	{"spool", is_folder, "expected an absolute path"},
	{"runtime", is_folder, "expected an absolute path"},
	{"log", is_log, "expected stderr, syslog, journald or an absolute path"},
	{"log_level", is_log_level, "expected debug, info, warn or error"},
	{"user_prefix", is_user_prefix,
	 "expected the beginning of a user's name: at most 20 letters, digits, - and _"},
	{"resolver", is_resolver, "expected auto, recurse, or forward ADDRESS..."},
	{"dnssec", is_dnssec, "expected auto, require or off"},
	{"sandbox_require", is_sandbox, "expected some of landlock mdwe scopes passrights"},
	{"local_senders", is_senders, "expected own or any"},
	{"fsync_dir", is_fsync_dir, "expected auto or always"},
};

static void check_words(struct compiler *c)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t index = setting_find(slice_of(words[i].name));
		const char *value = *(const char **)((char *)&c->conf->set + setting_at(index)->offset);

		if (c->set_at[index].line != 0 && value != NULL && !words[i].is_good(slice_of(value)))
			mistake_add(c->mistakes, c->set_at[index], words[i].expected,
				    "\"%.80s\" does not fit %s", value, dashed(c, words[i].name));
	}
}

/* ---- routes and the whole ---- */

static bool has_local_domains(const struct conf *conf)
{
	for (size_t i = 0; i < conf->route->count; i++)
		if (conf->route->rules[i].verb == VERB_DELIVER ||
		    conf->route->rules[i].verb == VERB_ALIAS)
			return true;
	return false;
}

static void check_route(struct compiler *c)
{
	struct conf_pos at = c->route_at;
	bool said = at.line != 0;

	if (!said && c->conf->listener_count > 0)
		mistake_add(c->mistakes, c->conf->listeners[0].pos, "write route { deliver ... }",
			    "mail is taken and leads nowhere: there is no route");
	else if (said && c->conf->set.postmaster[0] == '\0' && has_local_domains(c->conf))
		mistake_add(c->mistakes, at,
			    "write postmaster alice@example.org (RFC 5321 section 4.5.1)",
			    "mail is delivered here, and postmaster leads nowhere");
}

static void resolve_rules(struct compiler *c)
{
	struct rules_names names = {c->conf, c->arena, c->mistakes, {NULL, 0}};

	for (unsigned i = 0; i < STAGE_COUNT; i++)
		rules_collect_tags(&names, c->conf->policy[i]);
	for (unsigned i = 0; i < STAGE_COUNT; i++)
		rules_resolve(&names, c->conf->policy[i]);
	rules_resolve(&names, c->conf->route);
	rules_resolve(&names, c->conf->rewrite);
}

/* NULL: none, which was told where there is a name. */
static const struct conf_table *named_table(struct compiler *c, struct conf_pos at, const char *name)
{
	struct wordlist names = {NULL, 0};
	const struct conf_table *table;

	if (name == NULL || name[0] == '\0')
		return NULL;
	table = conf_table_find(c->conf, slice_of(name));
	for (size_t i = 0; i < c->conf->table_count; i++)
		wordlist_add(c->arena, &names, c->conf->tables[i].name);
	if (table == NULL)
		mistake_unknown(c->mistakes, at, "table", slice_of(name), &names);
	return table;
}

static struct conf_pos setting_pos(const struct compiler *c, const char *name)
{
	return c->set_at[setting_find(slice_of(name))];
}

static void resolve_delegations(struct compiler *c)
{
	const struct conf_table *table = named_table(c, setting_pos(c, "delegations"), c->conf->set.delegations);

	c->conf->delegations = table;
	if (table != NULL && table->kind == TABLE_CIDR)
		mistake_add(c->mistakes, setting_pos(c, "delegations"), "expected a table of addresses",
			    "table %s has networks for keys", table->name);
}

static void resolve_domains(struct compiler *c)
{
	const struct conf_table *table = named_table(c, setting_pos(c, "domains"), c->conf->set.domains);

	c->conf->domains = table;
	if (table != NULL && table->kind != TABLE_DIRECTORY && table->kind != TABLE_SQLITE)
		mistake_add(c->mistakes, setting_pos(c, "domains"),
			    "expected a table such as: table NAME directory PATH, or sqlite PATH \"select ...\"",
			    "`postern domain` cannot write table %s", table->name);
}

/* Keys are addresses. */
static const struct conf_table *table_of_addresses(struct compiler *c, struct conf_pos at, const char *name)
{
	const struct conf_table *table = named_table(c, at, name);

	if (table != NULL && table->kind == TABLE_CIDR)
		mistake_add(c->mistakes, at, "expected a table of addresses", "table %s has networks for keys", name);
	return table;
}

static void resolve_transport(struct compiler *c, struct conf_transport *t)
{
	t->quota_table = table_of_addresses(c, t->quota_at, t->quota_by);
	t->user_table = table_of_addresses(c, t->user_at, t->user_by);
}

void check_all(struct compiler *c)
{
	default_auth(c);
	check_ldap(c);
	check_backends(c);
	for (size_t i = 0; i < c->conf->listener_count; i++)
		default_listener(c, i);
	for (size_t i = 0; i < c->conf->transport_count; i++)
		default_transport(c, i);
	check_mechanisms(c);
	check_external(c);
	for (size_t i = 0; i < c->conf->listener_count; i++)
		check_listener(c, i);
	for (size_t i = 0; i < c->conf->transport_count; i++)
		check_transport(c, i);
	check_words(c);
	resolve_delegations(c);
	resolve_domains(c);
	for (size_t i = 0; i < c->conf->transport_count; i++)
		resolve_transport(c, &c->conf->transports[i]);
	if (c->conf->set.local_senders != NULL && strcmp(c->conf->set.local_senders, "any") == 0)
		c->conf->local_senders = SENDERS_ANY;
	resolve_rules(c);
	check_route(c);
}
