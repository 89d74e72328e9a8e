#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/net.h"
#include "conf/unit.h"
#include "sasl/mechanism.h"

#include <stdio.h>

/* listen, tls, auth, trusted, policy, route, retry. */

/* ---- listen ---- */

static const char *const roles[] = {"mx", "submission", NULL};
static const char *const tls_modes[] = {"off", "optional", "required", "implicit", NULL};
static const char *const auth_modes[] = {"off", "optional", "required", NULL};
static const char *const isolations[] = {"shared", "connection", NULL};

#define BANNER_MAX 400u /* the line stays within 512 octets (RFC 5321 section 4.5.3.1.5) with any host name that is in use */
#define GREET_PAUSE_MAX_MS 60000u

/* It stands in a reply: printable ASCII. */
static bool read_banner_field(struct compiler *c, const struct statement *st, void *into)
{
	const char **text = (const char **)(void *)((char *)into + st->offset);
	struct token t;
	bool good;

	if (!take_string(c->p, "the banner in quotes", &t))
		return false;
	good = t.text.len > 0 && t.text.len <= BANNER_MAX;
	for (size_t i = 0; i < t.text.len; i++)
		good = good && t.text.at[i] >= ' ' && t.text.at[i] < 0x7f;
	if (!good) {
		mistake_add(c->mistakes, t.pos, "expected 1 to 400 printable ASCII characters", "this cannot stand in a banner");
		return false;
	}
	*text = arena_text(c->arena, t.text);
	return *text != NULL;
}

/* In the order of their enums. */
static const char *const tls_versions[] = {"1.2", "1.3", NULL};
static const char *const client_certificates[] = {"off", "ask", "require", NULL};
static const char *const dsn_modes[] = {"trusted", "all", "off", NULL};
static const char *const senders_modes[] = {"own", "any", NULL};
static const char *const unknown_hosts[] = {"default", "refuse", NULL};

static bool read_tls_host(struct compiler *c, const struct statement *st, void *into);
static bool read_unknown_host(struct compiler *c, const struct statement *st, void *into);
static bool read_ciphers(struct compiler *c, const struct statement *st, void *into);
static bool read_hidden(struct compiler *c, const struct statement *st, void *into);

#define LISTEN(member) offsetof(struct conf_listener, member)
static const struct statement listen_rows[] = {
	{"role", read_choice_field, LISTEN(role), 0, 0, roles, false},
	{"tls", read_choice_field, LISTEN(tls), 0, 0, tls_modes, false},
	{"auth", read_choice_field, LISTEN(auth), 0, 0, auth_modes, false},
	{"auth-from", read_nets_field, LISTEN(auth_from), 0, 0, NULL, false},
	{"isolation", read_choice_field, LISTEN(isolation), 0, 0, isolations, false},
	{"hostname", read_domain_field, LISTEN(hostname), 0, 0, NULL, false},
	{"name", read_name_field, LISTEN(called), 0, 0, NULL, false},
	{"banner", read_banner_field, LISTEN(banner), 0, 0, NULL, false},
	{"proxy", read_nets_field, LISTEN(proxy), 0, 0, NULL, false},
	{"xclient", read_nets_field, LISTEN(xclient), 0, 0, NULL, false},
	{"dsn", read_choice_field, LISTEN(dsn), 0, 0, dsn_modes, false},
	{"senders", read_choice_field, LISTEN(senders), 0, 0, senders_modes, false},
	{"withhold-client", read_yes_no_field, LISTEN(withholds_client), 0, 0, NULL, false},
	{"hide", read_hidden, 0, 0, 0, NULL, false},
	{"greet-pause", read_time_field, LISTEN(greet_pause_ms), 0, GREET_PAUSE_MAX_MS, NULL, false},
	{"tls-host", read_tls_host, 0, 0, 0, NULL, true},
	{"tls-unknown-host", read_unknown_host, 0, 0, 0, unknown_hosts, false},
	{"tls-minimum", read_choice_field, LISTEN(tls_minimum), 0, 0, tls_versions, false},
	{"tls-ciphers", read_ciphers, 0, 0, 0, NULL, false},
	{"client-certificate", read_choice_field, LISTEN(client_certificate), 0, 0, client_certificates, false},
	{"client-ca", read_path_field, LISTEN(client_ca), 0, 0, NULL, false},
};

/* What comes next in the block stands on the same line perhaps. */
static bool at_listen_statement(const struct parser *p)
{
	for (size_t i = 0; i < ARRAY_LEN(listen_rows); i++)
		if (parser_at_word(p, listen_rows[i].keyword))
			return true;
	return false;
}

static bool read_hidden(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_listener *l = into;

	(void)st;
	do {
		unsigned e = 0;
		struct token t;

		if (!take_word(c->p, "chunking, binarymime or smtputf8", &t))
			return false;
		while (e < EXTENSION_COUNT && !slice_eq(t.text, slice_of(conf_extension_name((enum conf_extension)e))))
			e++;
		if (e == EXTENSION_COUNT) {
			mistake_add(c->mistakes, t.pos, "expected chunking, binarymime or smtputf8; for DSN there is dsn off",
				    "\"%.*s\" cannot be hidden", t.text.len > 80 ? 80 : (int)t.text.len, t.text.at);
			return false;
		}
		l->hidden |= 1u << e;
	} while (parser_at(c->p, TOKEN_WORD) && !at_listen_statement(c->p));
	/* A binary mail comes in chunks only. */
	if ((l->hidden & 1u << EXTENSION_CHUNKING) != 0)
		l->hidden |= 1u << EXTENSION_BINARYMIME;
	return true;
}

/* A host name, or one with a wildcard for its first label; NULL: told.  In lower case. */
static const char *take_certificate_name(struct compiler *c, struct conf_pos *pos_out)
{
	struct token t;
	struct slice name;
	char *copy;

	if (!take_text(c->p, "a host name", &t))
		return NULL;
	*pos_out = t.pos;
	name = slice_starts(t.text, slice_of("*.")) ? slice_from(t.text, 2) : t.text;
	if (!is_host_name(name)) {
		mistake_add(c->mistakes, t.pos, "expected a host name such as mail.example.net or \"*.example.net\"",
			    "\"%.*s\" is no host name", t.text.len > 80 ? 80 : (int)t.text.len, t.text.at);
		return NULL;
	}
	copy = arena_text(c->arena, t.text);
	for (size_t i = 0; copy != NULL && copy[i] != '\0'; i++)
		copy[i] = ascii_lower(copy[i]);
	return copy;
}

static bool read_tls_host(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_listener *l = into;
	void *hosts = l->tls_hosts;
	struct conf_name *slot, read;

	(void)st;
	read.name = take_certificate_name(c, &read.pos);
	if (read.name == NULL)
		return false;
	slot = arena_push(c->arena, &hosts, &l->tls_host_count, sizeof(*slot));
	l->tls_hosts = hosts;
	if (slot == NULL)
		return false;
	*slot = read;
	return true;
}

static bool read_unknown_host(struct compiler *c, const struct statement *st, void *into)
{
	unsigned index;

	if (!take_choice(c->p, st->keyword, st->words, &index))
		return false;
	((struct conf_listener *)into)->tls_known_hosts = index == 1;
	return true;
}

/* OpenSSL judges a list when a listener is made; here only what could not be one. */
static bool read_ciphers(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_listener *l = into;
	struct token t;

	(void)st;
	if (!take_text(c->p, "modern, intermediate, compatible or a list", &t))
		return false;
	for (size_t i = 0; i < t.text.len; i++)
		if (!ascii_is_alnum(t.text.at[i]) && memchr("+-!:@=_", t.text.at[i], 7) == NULL) {
			mistake_add(c->mistakes, t.pos,
				    "expected modern, intermediate, compatible, or such as \"ECDHE+AESGCM:ECDHE+CHACHA20\"",
				    "this is no list of ciphers");
			return false;
		}
	l->tls_ciphers = arena_text(c->arena, t.text);
	return l->tls_ciphers != NULL && t.text.len > 0;
}

bool listener_said(const struct compiler *c, size_t listener, const char *keyword)
{
	return statement_said(&c->listeners[listener].said, listen_rows, ARRAY_LEN(listen_rows),
			      keyword, NULL);
}

static bool take_listen_address(struct compiler *c, struct conf_listener *l)
{
	struct slice host;
	struct in6_addr ip;
	struct token t;

	if (!take_text(c->p, "ADDRESS:PORT, [V6ADDRESS]:PORT or :PORT", &t))
		return false;
	l->pos = t.pos;
	if (split_host_port(t.text, &host, &l->port) && (host.len == 0 || net_address(host, &ip)) &&
	    slice_copy(host, l->address, sizeof(l->address)) &&
	    slice_copy(t.text, l->name, sizeof(l->name)))
		return true;
	mistake_add(c->mistakes, t.pos, "expected ADDRESS:PORT, [V6ADDRESS]:PORT or :PORT",
		    "\"%.*s\" is nothing to listen on", t.text.len > 80 ? 80 : (int)t.text.len,
		    t.text.at);
	return false;
}

bool read_listen(struct compiler *c, const struct statement *st, void *into)
{
	void *listeners = c->conf->listeners, *beside = c->listeners;
	struct conf_listener *l, read = {.role = LISTENER_MX};
	struct listener_said *said, seen = {.broken = false};

	(void)st;
	(void)into;
	if (!take_listen_address(c, &read))
		return false;
	seen.broken = !read_block(c, "listen", listen_rows, ARRAY_LEN(listen_rows), &read, &seen.said);
	l = arena_push(c->arena, &listeners, &c->conf->listener_count, sizeof(*l));
	c->conf->listeners = listeners;
	said = arena_push(c->arena, &beside, &c->listener_count, sizeof(*said));
	c->listeners = beside;
	if (l == NULL || said == NULL)
		return false;
	*l = read;
	*said = seen;
	return !seen.broken;
}

/* ---- tls, auth ---- */

/* What is said of one host: certificates and keys, the first with the first.  Neither may be there. */
#define KINDS_OF_KEYS 2u
struct issue {
	struct conf_pos pos;
	struct paths {
		const char *at[KINDS_OF_KEYS];
		size_t count;
	} chains, keys;
};

static bool read_issue_path(struct compiler *c, const struct statement *st, void *into)
{
	struct paths *paths = (struct paths *)((char *)into + st->offset);
	struct conf_pos pos = c->p->last.pos;
	const struct statement one = {.keyword = st->keyword};
	const char *path;

	if (!read_host_path_field(c, &one, &path))
		return false;
	if (paths->count == KINDS_OF_KEYS) {
		mistake_add(c->mistakes, pos, "expected one with an ECDSA key and one with an RSA key", "a host has more than two of %s",
			    st->keyword);
		return false;
	}
	paths->at[paths->count++] = path;
	return true;
}

#define ISSUE_ROWS                                                                              \
	{"certificate", read_issue_path, offsetof(struct issue, chains), 0, 0, NULL, true},     \
	{                                                                                       \
		"key", read_issue_path, offsetof(struct issue, keys), 0, 0, NULL, true          \
	}

static bool add_certificate(struct compiler *c, const struct conf_certificate *read)
{
	void *all = c->conf->certificates;
	struct conf_certificate *slot = NULL;

	if (c->conf->certificate_count == CONF_CERTIFICATES_MAX) {
		mistake_add(c->mistakes, read->pos, "expected at most 200; one certificate may have many names",
			    "there are too many certificates");
		return false;
	}
	slot = arena_push(c->arena, &all, &c->conf->certificate_count, sizeof(*slot));
	c->conf->certificates = all;
	if (slot == NULL)
		return false;
	*slot = *read;
	return true;
}

static bool is_whole_issue(struct compiler *c, const struct issue *is, const char *of)
{
	if (is->chains.count > 0 && is->chains.count == is->keys.count)
		return true;
	mistake_add(c->mistakes, is->pos, "expected both: certificate PATH and key PATH", "%s has no %s%s", of,
		    is->chains.count > 0 && is->keys.count > 0 ? "second " : "",
		    is->chains.count < is->keys.count || is->chains.count == 0 ? "certificate" : "key");
	return false;
}

static struct conf_certificate certificate_of(const struct issue *is, const char *name, size_t which)
{
	return (struct conf_certificate){is->pos, name, is->chains.at[which], is->keys.at[which]};
}

static bool add_second(struct compiler *c, const struct issue *is, const char *name)
{
	const struct conf_certificate second = certificate_of(is, name, 1);

	return is->chains.count < 2 || add_certificate(c, &second);
}

/* host NAME, or host NAME { certificate PATH  key PATH } */
static bool read_host(struct compiler *c, const struct statement *st, void *into)
{
	static const struct statement rows[] = {ISSUE_ROWS};
	struct conf_certificate first;
	struct issue is = {.pos.line = 0};
	struct said said = {0};
	const char *name;

	(void)st;
	(void)into;
	name = take_certificate_name(c, &is.pos);
	if (name == NULL)
		return false;
	if (parser_at(c->p, TOKEN_OPEN) &&
	    (!read_block(c, "host", rows, ARRAY_LEN(rows), &is, &said) || !is_whole_issue(c, &is, "host")))
		return false;
	for (size_t i = 1; i < c->conf->certificate_count; i++)
		if (strcmp(c->conf->certificates[i].name, name) == 0) {
			mistake_add(c->mistakes, is.pos, "", "host %s is said twice", name);
			return false;
		}
	first = certificate_of(&is, name, 0);
	return add_certificate(c, &first) && add_second(c, &is, name);
}

/* The default is the first certificate, wherever it stands in the block.  Hosts without paths have both of its kinds. */
bool read_tls(struct compiler *c, const struct statement *st, void *into)
{
	static const struct statement rows[] = {ISSUE_ROWS, {"host", read_host, 0, 0, 0, NULL, true}};
	struct issue is = {.pos = c->p->last.pos};
	const struct conf_certificate place = {.pos = is.pos};
	size_t hosts;
	bool good;

	(void)st;
	(void)into;
	if (!add_certificate(c, &place) || !read_block(c, "tls", rows, ARRAY_LEN(rows), &is, &c->tls_said))
		return false;
	c->conf->certificates[0] = certificate_of(&is, NULL, 0);
	hosts = c->conf->certificate_count;
	good = is_whole_issue(c, &is, "tls") && add_second(c, &is, NULL);
	for (size_t i = 1; good && is.chains.count > 1 && i < hosts; i++) {
		const struct conf_certificate second = {.pos = c->conf->certificates[i].pos, .name = c->conf->certificates[i].name};

		good = c->conf->certificates[i].chain != NULL || add_certificate(c, &second);
	}
	return true;
}

/* Of a service its name, which is that of a file; PAM looks into /etc/pam.d for it. */
static bool is_service(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_is_alnum(name.at[i]) && (i == 0 || strchr("._-", name.at[i]) == NULL))
			return false;
	return name.len > 0 && name.len <= 64;
}

static bool read_pam(struct compiler *c, const struct statement *st, void *into)
{
	struct conf *conf = into;
	struct token t;
	size_t slash;

	(void)st;
	if (!take_text(c->p, "the name of a PAM service, such as postern", &t))
		return false;
	slash = slice_rindex(t.text, '/');
	if (!is_service(slash == SLICE_NONE ? t.text : slice_from(t.text, slash + 1)) ||
	    (slash != SLICE_NONE && t.text.at[0] != '/') || t.text.len > 1024 || slice_index(t.text, '\0') != SLICE_NONE) {
		mistake_add(c->mistakes, t.pos, "expected such as postern, or the path of a file like /etc/pam.d/postern",
			    "this is no PAM service");
		return false;
	}
	conf->auth.pam = arena_text(c->arena, t.text);
	return conf->auth.pam != NULL;
}

static bool read_mechanisms(struct compiler *c, const struct statement *st, void *into);

static const struct statement auth_rows[] = {
	{"sqlite", read_path_field, offsetof(struct conf, auth.sqlite), 0, 0, NULL, false},
	{"file", read_path_field, offsetof(struct conf, auth.file), 0, 0, NULL, false},
	{"pam", read_pam, 0, 0, 0, NULL, false},
	{"dovecot", read_path_field, offsetof(struct conf, auth.dovecot), 0, 0, NULL, false},
	{"ldap", read_ldap, 0, 0, 0, NULL, false},
	{"external", read_path_field, offsetof(struct conf, auth.external), 0, 0, NULL, false},
	{"mechanisms", read_mechanisms, 0, 0, 0, NULL, false},
};

/* What comes next in the block stands on the same line perhaps. */
static bool at_auth_statement(const struct parser *p)
{
	for (size_t i = 0; i < ARRAY_LEN(auth_rows); i++)
		if (parser_at_word(p, auth_rows[i].keyword))
			return true;
	return false;
}

static bool read_mechanisms(struct compiler *c, const struct statement *st, void *into)
{
	struct conf *conf = into;

	(void)st;
	c->mechanisms_at = c->p->last.pos;
	do {
		struct token t;
		enum mechanism m;

		if (!take_word(c->p, "a mechanism such as plain or scram-sha-256", &t))
			return false;
		m = mechanism_find(t.text);
		if (m == MECHANISM_COUNT || m == MECHANISM_SCRAM_SHA_256_PLUS || m == MECHANISM_EXTERNAL) {
			mistake_add(c->mistakes, t.pos, "expected plain, login, scram-sha-256 (-plus comes with it), cram-md5, xoauth2 or oauthbearer; external PATH offers EXTERNAL",
				    "\"%.*s\" is no mechanism to offer", t.text.len > 80 ? 80 : (int)t.text.len, t.text.at);
			return false;
		}
		conf->auth.mechanisms |= MECHANISM_BIT(m);
		if (m == MECHANISM_SCRAM_SHA_256)
			conf->auth.mechanisms |= MECHANISM_BIT(MECHANISM_SCRAM_SHA_256_PLUS);
	} while (parser_at(c->p, TOKEN_WORD) && !at_auth_statement(c->p));
	return true;
}

/* One kind answers for all logins: else the time an answer takes would tell which of them knew the name. */
static void check_auth(struct compiler *c, struct conf_pos pos)
{
	const struct conf_auth *a = &c->conf->auth;
	unsigned kinds = conf_password_kinds(a);

	/* Certificates need no passwords; whoever offers other mechanisms does. */
	if (kinds == 0 && (a->external == NULL || a->mechanisms != 0))
		mistake_add(c->mistakes, pos, "expected sqlite PATH, file PATH, pam SERVICE, ldap { ... } or dovecot PATH",
			    "auth says nowhere to look for passwords");
	if (kinds > 1)
		mistake_add(c->mistakes, pos, "keep sqlite and file, or pam, or ldap, or dovecot", "auth names more than one who answers for all logins");
}

bool read_auth(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_pos pos = c->p->last.pos;

	(void)st;
	c->auth_block = true;
	c->auth_at = pos;
	if (!read_block(c, "auth", auth_rows, ARRAY_LEN(auth_rows), into, &c->auth_said))
		return false;
	check_auth(c, pos);
	return true;
}

/* ---- trusted ---- */

/* False: told. */
static bool check_net(struct compiler *c, struct token t, struct conf_cidr *net)
{
	struct buf meant = buf_make(128);
	enum net_parse how;

	how = net_cidr(t.text, net);
	if (how == NET_OK)
		return true;
	if (how == NET_HOST_BITS) {
		buf_add_text(&meant, "did you mean ");
		net_print(&meant, net);
		buf_add_text(&meant, "?");
		mistake_add(c->mistakes, t.pos, buf_text(&meant),
			    "bits are set behind the prefix of \"%.*s\"", SLICE_ARG(t.text));
	} else {
		mistake_add(c->mistakes, t.pos,
			    "expected an address or a network such as 192.0.2.0/24 or 2001:db8::/32",
			    "\"%.*s\" is no network", t.text.len > 80 ? 80 : (int)t.text.len,
			    t.text.at);
	}
	buf_free(&meant);
	return false;
}

/* One network; false: told, or no memory. */
static bool take_net(struct compiler *c, struct conf_nets *nets, const char *whole_internet)
{
	void *at = nets->at;
	struct conf_cidr net, *slot;
	struct token t;

	if (!take_text(c->p, "an address or a network", &t))
		return false;
	if (!check_net(c, t, &net))
		return true; /* told; the next may be good */
	if (net.bits == 0 || (net.bits == 96 && net_is_v4(&net.address)))
		mistake_add(c->mistakes, t.pos, whole_internet, "this trusts the whole internet");
	slot = arena_push(c->arena, &at, &nets->count, sizeof(*slot));
	nets->at = at;
	if (slot == NULL)
		return false;
	*slot = net;
	return true;
}

bool read_trusted(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_nets nets = {c->conf->trusted, c->conf->trusted_count};
	bool good;

	(void)st;
	(void)into;
	do
		good = take_net(c, &nets, "name the networks whose hosts may relay");
	while (good && !parser_at_statement_end(c->p));
	c->conf->trusted = nets.at;
	c->conf->trusted_count = nets.count;
	return good;
}

static bool looks_like_net(const struct parser *p)
{
	return parser_at(p, TOKEN_WORD) &&
	       (slice_index(p->now.text, '.') != SLICE_NONE || slice_index(p->now.text, ':') != SLICE_NONE ||
		slice_index(p->now.text, '/') != SLICE_NONE);
}

bool read_nets_field(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_nets *nets = (struct conf_nets *)(void *)((char *)into + st->offset);
	bool good;

	if (!looks_like_net(c->p)) {
		parser_expected(c->p, "networks such as 192.0.2.0/24 or 2001:db8::/32");
		return false;
	}
	do
		good = take_net(c, nets, "name the hosts that are believed about who their client is");
	while (good && looks_like_net(c->p));
	return good;
}

/* ---- rules ---- */

static bool read_rules(struct compiler *c, unsigned place, const char *of, struct rule_list *list)
{
	struct conf_pos start = c->p->now.pos;

	list->place = place;
	if (!take_open(c->p, of))
		return false;
	rules_parse(c->p, list);
	if (parser_accept(c->p, TOKEN_CLOSE))
		return true;
	mistake_add(c->mistakes, start, "", "the { of %s has no }", of);
	return true;
}

bool read_policy(struct compiler *c, const struct statement *st, void *into)
{
	static const char *const stages[] = {"connect", "helo", "mail", "rcpt", "data", NULL};
	struct conf_pos pos = c->p->now.pos;
	struct rule_list *list = arena_take(c->arena, sizeof(*list));
	unsigned stage;
	char of[32];

	(void)st;
	(void)into;
	if (list == NULL || !take_choice(c->p, "stage", stages, &stage))
		return false;
	if (c->policy_at[stage].line != 0)
		mistake_add(c->mistakes, pos, "put all rules of a stage into one block",
			    "policy %s is said twice", stages[stage]);
	c->policy_at[stage] = pos;
	snprintf(of, sizeof(of), "policy %s", stages[stage]);
	if (!read_rules(c, stage, of, list))
		return false;
	c->conf->policy[stage] = list->count == 0 ? NULL : list;
	return true;
}

bool read_route(struct compiler *c, const struct statement *st, void *into)
{
	(void)st;
	(void)into;
	c->route_at = c->p->last.pos;
	return read_rules(c, RULES_ROUTE, "route", c->conf->route);
}

bool read_rewrite(struct compiler *c, const struct statement *st, void *into)
{
	struct rule_list *list = arena_take(c->arena, sizeof(*list));

	(void)st;
	(void)into;
	if (list == NULL || !read_rules(c, RULES_REWRITE, "rewrite", list))
		return false;
	c->conf->rewrite = list->count == 0 ? NULL : list;
	return true;
}

/* ---- retry ---- */

static bool take_interval(struct compiler *c, struct conf_retry_step *step)
{
	uint64_t ms, until_ms, factor = 1000;
	struct token t;

	if (parser_accept_word(c->p, "every")) {
		if (!take_time(c->p, &ms))
			return false;
	} else {
		if (!take_keyword(c->p, "from") || !take_time(c->p, &ms) || !take_keyword(c->p, "by"))
			return false;
		if (!parser_at(c->p, TOKEN_WORD) || !unit_permille(c->p->now.text, &factor) ||
		    factor < 1050 || factor > 10000) {
			parser_expected(c->p, "a factor from 1.05 to 10");
			return false;
		}
		take_word(c->p, "", &t);
	}
	if (!take_keyword(c->p, "until") || !take_time(c->p, &until_ms))
		return false;
	*step = (struct conf_retry_step){ms / 1000, (uint32_t)factor, until_ms / 1000};
	return true;
}

#define UNTIL_MAX_S (365u * 86400u)

static void check_step(struct compiler *c, struct conf_pos pos, const struct conf_retry_step *step,
		       uint64_t before_s)
{
	if (step->first_s == 0)
		mistake_add(c->mistakes, pos, "expected at least 1s", "no time between two attempts");
	if (step->until_s <= before_s)
		mistake_add(c->mistakes, pos, "each step ends later than the one before",
			    "this step ends before it begins");
	if (step->until_s > UNTIL_MAX_S)
		mistake_add(c->mistakes, pos, "expected at most 365d",
			    "a message would be tried for too long");
}

static bool read_steps(struct compiler *c, struct conf_retry *r)
{
	uint64_t before_s = 0;

	do {
		struct conf_pos pos;
		void *steps = r->steps;
		struct conf_retry_step *step;

		parser_skip_lines(c->p);
		pos = c->p->now.pos;
		step = arena_push(c->arena, &steps, &r->count, sizeof(*step));
		r->steps = steps;
		if (step == NULL || !take_interval(c, step))
			return false;
		check_step(c, pos, step, before_s);
		before_s = step->until_s;
		parser_skip_lines(c->p);
	} while (parser_accept_word(c->p, "then"));
	if (parser_at(c->p, TOKEN_CLOSE))
		return true;
	parser_expected(c->p, "then, or }");
	return false;
}

bool read_retry(struct compiler *c, const struct statement *st, void *into)
{
	(void)st;
	(void)into;
	if (!take_open(c->p, "retry: every 15m until 2h then ..."))
		return false;
	if (!read_steps(c, &c->conf->retry))
		while (!parser_at(c->p, TOKEN_CLOSE) && !parser_at(c->p, TOKEN_END))
			parser_next(c->p);
	parser_accept(c->p, TOKEN_CLOSE);
	return true;
}
