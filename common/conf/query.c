#include "conf/conf.h"

#include "conf/net.h"
#include "conf/print.h"
#include "ipc/message.h"

#include <stdio.h>

/* What processes ask a compiled configuration. */

const struct conf_transport *conf_transport_find(const struct conf *c, struct slice name)
{
	for (size_t i = 0; i < c->transport_count; i++)
		if (slice_eq(slice_of(c->transports[i].name), name))
			return &c->transports[i];
	return NULL;
}

const struct conf_table *conf_table_find(const struct conf *c, struct slice name)
{
	for (size_t i = 0; i < c->table_count; i++)
		if (slice_eq(slice_of(c->tables[i].name), name))
			return &c->tables[i];
	return NULL;
}

static size_t directories(const struct conf *c)
{
	return c->auth.ldap == NULL ? 0 : 1;
}

size_t conf_lookup_count(const struct conf *c)
{
	size_t count = directories(c);

	for (size_t i = 0; i < c->table_count; i++)
		count += c->tables[i].backend != NULL;
	return count;
}

const struct conf_table *conf_lookup_table(const struct conf *c, uint64_t instance)
{
	uint64_t number = directories(c);

	for (size_t i = 0; i < c->table_count && instance >= directories(c); i++)
		if (c->tables[i].backend != NULL && number++ == instance)
			return &c->tables[i];
	return NULL;
}

uint64_t conf_lookup_instance(const struct conf *c, const struct conf_table *t)
{
	uint64_t number = directories(c);

	for (size_t i = 0; i < c->table_count && &c->tables[i] != t; i++)
		number += c->tables[i].backend != NULL;
	return number;
}

bool conf_is_trusted(const struct conf *c, struct slice address)
{
	return net_list_contains(c->trusted, c->trusted_count, address);
}

const char *conf_extension_name(enum conf_extension e)
{
	static const char *const names[EXTENSION_COUNT] = {
		[EXTENSION_CHUNKING] = "chunking", [EXTENSION_BINARYMIME] = "binarymime", [EXTENSION_SMTPUTF8] = "smtputf8"};

	return names[e];
}

bool conf_takes_logins(const struct conf_listener *l, struct slice client)
{
	return l->auth != AUTH_OFF && (l->auth_from.count == 0 || net_list_contains(l->auth_from.at, l->auth_from.count, client));
}

bool conf_takes_certificates(const struct conf_listener *l)
{
	return l->client_ca != NULL && l->isolation == ISOLATION_CONNECTION;
}

unsigned conf_password_kinds(const struct conf_auth *a)
{
	return (a->sqlite != NULL || a->file != NULL) + (a->pam != NULL) + (a->ldap != NULL) + (a->dovecot != NULL);
}

bool conf_is_local_name(const struct conf *c, struct slice domain)
{
	if (slice_eq_nocase(domain, slice_of(c->set.hostname)))
		return true;
	for (size_t i = 0; i < c->listener_count; i++)
		if (slice_eq_nocase(domain, slice_of(c->listeners[i].hostname)))
			return true;
	return false;
}

/* ---- certificates ---- */

static size_t find_certificate(const struct conf *c, struct slice name)
{
	size_t i = 0;

	while (i < c->certificate_count && !slice_eq_nocase(slice_of(c->certificates[i].name), name))
		i++;
	return i;
}

bool conf_may_use_certificate(const struct conf *c, uint64_t listener, uint64_t certificate)
{
	const struct conf_listener *l = listener < c->listener_count ? &c->listeners[listener] : NULL;

	if (l == NULL || l->tls == TLS_OFF || certificate >= c->certificate_count)
		return false;
	for (size_t i = 0; i < l->tls_host_count; i++)
		if (slice_eq_nocase(slice_of(c->certificates[certificate].name), slice_of(l->tls_hosts[i].name)))
			return true;
	return l->tls_host_count == 0;
}

size_t conf_other_certificate(const struct conf *c, size_t certificate)
{
	for (size_t i = 0; i < c->certificate_count; i++)
		if (i != certificate && slice_eq(slice_of(c->certificates[i].name), slice_of(c->certificates[certificate].name)))
			return i;
	return certificate;
}

size_t conf_default_certificate(const struct conf *c, size_t listener)
{
	const struct conf_listener *l = &c->listeners[listener];
	size_t i = find_certificate(c, slice_of(l->tls_host_count > 0 ? l->tls_hosts[0].name : l->hostname));

	return i < c->certificate_count ? i : 0;
}

/* ---- paths ---- */

struct visit {
	conf_path_fn *fn;
	void *arg;
};

static void visit_instance(const struct visit *v, enum role role, uint64_t instance, enum conf_path_kind kind, const char *path)
{
	if (path != NULL)
		v->fn(&(struct conf_path){1u << role, instance, kind, path}, v->arg);
}

static void visit(const struct visit *v, uint32_t roles, enum conf_path_kind kind, const char *path)
{
	if (path != NULL)
		v->fn(&(struct conf_path){roles, CONF_EACH_INSTANCE, kind, path}, v->arg);
}

/* The folder of virtual Maildirs, before the first part that differs: its owner may not be able to walk
 * there by name. */
static void visit_base(const struct visit *v, const struct conf_transport *t)
{
	char path[CONF_BASE_MAX];

	if (conf_transport_base(t, path))
		visit(v, 1u << ROLE_LOCAL, PATH_FOLDER_OF, path);
}

bool conf_transport_base(const struct conf_transport *t, char out[CONF_BASE_MAX])
{
	size_t len = t->maildir != NULL ? strcspn(t->maildir, "{") : 0;
	int n;

	if (len == 0 || t->maildir[0] != '/')
		return false;
	while (t->maildir[strcspn(t->maildir, "{")] == '{' && t->maildir[len - 1] != '/')
		len--;
	while (len > 0 && t->maildir[len - 1] == '/')
		len--;
	n = snprintf(out, CONF_BASE_MAX, "%.*s/.", (int)len, t->maildir);
	return n > 0 && n < CONF_BASE_MAX;
}

/* keyd checks that each key is its certificate's, and when that ends. */
static void visit_certificates(const struct visit *v, const struct conf *c)
{
	for (size_t i = 0; i < c->certificate_count; i++) {
		visit(v, 1u << ROLE_SMTPD | 1u << ROLE_KEYD, PATH_COPY, c->certificates[i].chain);
		visit(v, 1u << ROLE_KEYD, PATH_COPY, c->certificates[i].key);
	}
	for (size_t i = 0; i < c->listener_count; i++)
		visit(v, 1u << ROLE_SMTPD, PATH_COPY, c->listeners[i].client_ca);
}

bool conf_transport_names_user(const struct conf_transport *t)
{
	static const char name[] = "{local}";
	const char *open = t->maildir == NULL ? NULL : strchr(t->maildir, '{');

	return open != NULL && open > t->maildir && open[-1] == '/' && strcmp(open, name) == 0;
}

bool conf_transport_in_home(const struct conf_transport *t, struct slice *part_out)
{
	struct slice part = slice_of(t->maildir);

	if (!slice_starts(part, slice_of("~/")))
		return false;
	part = slice_from(part, 2);
	while (part.len > 0 && part.at[part.len - 1] == '/')
		part.len--;
	*part_out = part;
	return true;
}

/* A table's key goes to the process that asks this table, and to no other one. */
static void visit_tls(const struct visit *v, uint64_t instance, const struct conf_server_tls *tls)
{
	visit_instance(v, ROLE_LOOKUP, instance, PATH_COPY, tls->ca);
	visit_instance(v, ROLE_LOOKUP, instance, PATH_COPY, tls->certificate);
	visit_instance(v, ROLE_LOOKUP, instance, PATH_COPY, tls->key);
}

void conf_each_path(const struct conf *c, conf_path_fn *fn, void *arg)
{
	const struct visit v = {fn, arg};
	const uint32_t authd = 1u << ROLE_AUTHD;

	for (size_t i = 0; i < c->table_count; i++) {
		visit(&v, 1u << ROLE_POLICYD, PATH_FOLDER_OF, c->tables[i].path);
		visit(&v, 1u << ROLE_POLICYD, PATH_FOLDER_OF, c->tables[i].include);
	}
	visit(&v, authd, PATH_FOLDER_OF, c->auth.sqlite);
	visit(&v, authd, PATH_FOLDER_OF, c->auth.file);
	visit(&v, authd, PATH_FILE, c->auth.external);
	visit(&v, authd, PATH_FILE, c->credentials);
	visit_certificates(&v, c);
	for (size_t i = 0; i < c->transport_count; i++)
		visit(&v, 1u << ROLE_RELAY, PATH_COPY, c->transports[i].tls_ca);
	for (size_t i = 0; i < c->transport_count; i++)
		visit_base(&v, &c->transports[i]);
	if (c->auth.ldap != NULL)
		visit_tls(&v, 0, &c->auth.ldap->tls);
	for (size_t i = 0; i < c->table_count; i++)
		if (c->tables[i].backend != NULL)
			visit_tls(&v, conf_lookup_instance(c, &c->tables[i]), &c->tables[i].backend->tls);
}

/* ---- cages ---- */

static void each_need(uint64_t instance, const struct conf_server_tls *tls, bool directory, conf_cage_fact_fn *fn, void *arg)
{
	uint64_t needs = directory ? NEEDS_LIBLDAP : 0;
	char name[32];

	if (tls->mode != TLS_OFF)
		needs |= tls->ca == NULL ? NEEDS_TLS | NEEDS_SYSTEM_TRUST : NEEDS_TLS;
	snprintf(name, sizeof(name), CONF_CAGE_NEEDS, (unsigned)instance);
	fn(ROLE_LOOKUP, name, needs, "", arg);
}

static void each_directory_fact(const struct conf_ldap *l, conf_cage_fact_fn *fn, void *arg)
{
	struct buf text = buf_make(4096);

	fn(ROLE_LOOKUP, CONF_CAGE_SECONDS, l->timeout_ms / 1000 + 1, "", arg);
	each_need(0, &l->tls, true, fn, arg);
	fn(ROLE_LOOKUP, CONF_CAGE_BLOCK, 0, conf_print_ldap(l, &text) ? buf_text(&text) : NULL, arg);
	buf_free(&text);
}

/* FNV-1a, for telling one text of the administrator's from another. */
static uint64_t mark_of(struct slice text)
{
	uint64_t mark = 14695981039346656037u;

	for (size_t i = 0; i < text.len; i++)
		mark = (mark ^ (unsigned char)text.at[i]) * 1099511628211u;
	return mark;
}

static void each_table_fact(const struct conf *c, conf_cage_fact_fn *fn, void *arg)
{
	struct buf text = buf_make(1u << 20);

	for (size_t i = 0; i < c->table_count; i++)
		if (c->tables[i].backend != NULL) {
			buf_addf(&text, "%zu ", i);
			(void)conf_print_table(&c->tables[i], &text);
			each_need(conf_lookup_instance(c, &c->tables[i]), &c->tables[i].backend->tls, c->tables[i].kind == TABLE_LDAP,
				  fn, arg);
		}
	if (text.len > 0)
		fn(ROLE_LOOKUP, CONF_CAGE_TABLES, mark_of(buf_slice(&text)), buf_ok(&text) ? "" : NULL, arg);
	buf_free(&text);
}

void conf_each_cage_fact(const struct conf *c, conf_cage_fact_fn *fn, void *arg)
{
	fn(ROLE_LOG, CONF_CAGE_LOG, 0, c->set.log[0] == '/' ? "file" : c->set.log, arg);
	if (c->auth.pam != NULL)
		fn(ROLE_AUTHD, CONF_CAGE_PAM, 0, c->auth.pam, arg);
	if (c->auth.ldap != NULL)
		each_directory_fact(c->auth.ldap, fn, arg);
	each_table_fact(c, fn, arg);
}

/* ---- retry ---- */

/* The interval in force at that age, of a step that began at `start_s`.  Growing ones start with
 * first_s and grow with each interval that has passed. */
static uint64_t interval_s(const struct conf_retry_step *step, uint64_t start_s, uint64_t age_s)
{
	uint64_t interval_ms = step->first_s * 1000, at_ms = start_s * 1000;

	if (step->factor_permille <= 1000)
		return step->first_s;
	while (at_ms + interval_ms <= age_s * 1000) {
		at_ms += interval_ms;
		interval_ms = interval_ms * step->factor_permille / 1000;
	}
	return (interval_ms + 500) / 1000;
}

uint64_t conf_retry_next(const struct conf_retry *r, uint64_t age_s, unsigned tries)
{
	uint64_t start_s = 0, end_s = r->count == 0 ? 0 : r->steps[r->count - 1].until_s, wait_s;

	if (tries == 0)
		return 1; /* nothing expires untried */
	for (size_t i = 0; i < r->count; i++) {
		if (age_s >= r->steps[i].until_s) {
			start_s = r->steps[i].until_s;
			continue;
		}
		wait_s = interval_s(&r->steps[i], start_s, age_s);
		/* The last attempt falls on the end, not behind it. */
		return age_s + wait_s > end_s ? end_s - age_s : wait_s;
	}
	return 0;
}
