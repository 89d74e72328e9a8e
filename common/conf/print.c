#include "conf/print.h"

#include "base/mem.h"
#include "conf/net.h"
#include "conf/settings.h"
#include "conf/unit.h"
#include "rules/build.h"
#include "sasl/mechanism.h"

#include <inttypes.h>

/* ---- settings ---- */

static void print_value(const struct setting *s, const void *at, struct buf *out)
{
	switch (s->kind) {
	case SETTING_TEXT:
		rules_print_text(out, *(const char *const *)at);
		break;
	case SETTING_NUMBER:
		buf_addf(out, "%" PRIu64, *(const uint64_t *)at);
		break;
	case SETTING_SIZE:
		unit_print_size(out, *(const uint64_t *)at);
		break;
	case SETTING_TIME:
		unit_print_time(out, *(const uint64_t *)at);
		break;
	case SETTING_BOOL:
		buf_add_text(out, *(const bool *)at ? "yes" : "no");
		break;
	}
}

static void print_settings(const struct conf *c, struct buf *out)
{
	for (size_t i = 0; i < settings_count(); i++) {
		const struct setting *s = setting_at(i);
		const char *at = (const char *)&c->set + s->offset;

		for (const char *p = s->name; *p != '\0'; p++)
			buf_add_char(out, *p == '_' ? '-' : *p);
		buf_add_char(out, ' ');
		print_value(s, at, out);
		buf_add_char(out, '\n');
	}
}

/* ---- blocks ---- */

static void print_word(struct buf *out, const char *keyword, const char *value)
{
	if (value != NULL)
		buf_addf(out, "\t%s %s\n", keyword, value);
}

static void print_quoted(struct buf *out, const char *keyword, const char *value)
{
	if (value == NULL)
		return;
	buf_addf(out, "\t%s ", keyword);
	rules_print_text(out, value);
	buf_add_char(out, '\n');
}

static void print_yes_no(struct buf *out, const char *keyword, bool value)
{
	print_word(out, keyword, value ? "yes" : "no");
}

static const char *tls_name(enum conf_tls_mode mode)
{
	static const char *const names[] = {[TLS_OFF] = "off",
					    [TLS_OPTIONAL] = "optional",
					    [TLS_REQUIRED] = "required",
					    [TLS_IMPLICIT] = "implicit",
					    [TLS_VERIFIED] = "verified"};

	return names[mode];
}

static void print_trusted(const struct conf *c, struct buf *out)
{
	for (size_t i = 0; i < c->trusted_count; i++) {
		buf_add_text(out, i == 0 ? "trusted " : " ");
		net_print(out, &c->trusted[i]);
	}
	if (c->trusted_count > 0)
		buf_add_char(out, '\n');
}

static void print_nets(struct buf *out, const char *keyword, const struct conf_nets *nets)
{
	for (size_t i = 0; i < nets->count; i++) {
		buf_addf(out, i == 0 ? "\t%s " : " ", keyword);
		net_print(out, &nets->at[i]);
	}
	if (nets->count > 0)
		buf_add_char(out, '\n');
}

static void print_listener_tls(const struct conf_listener *l, struct buf *out)
{
	static const char *const asks[] = {[CLIENT_CERTIFICATE_OFF] = "off",
					   [CLIENT_CERTIFICATE_ASK] = "ask",
					   [CLIENT_CERTIFICATE_REQUIRE] = "require"};

	for (size_t i = 0; i < l->tls_host_count; i++)
		print_quoted(out, "tls-host", l->tls_hosts[i].name);
	print_word(out, "tls-unknown-host", l->tls_known_hosts ? "refuse" : "default");
	print_word(out, "tls-minimum", l->tls_minimum == TLS_1_3 ? "1.3" : "1.2");
	print_quoted(out, "tls-ciphers", l->tls_ciphers);
	print_word(out, "client-certificate", asks[l->client_certificate]);
	print_quoted(out, "client-ca", l->client_ca);
}

static void print_hidden(struct buf *out, uint32_t hidden)
{
	if (hidden == 0)
		return;
	buf_add_text(out, "\thide");
	for (unsigned e = 0; e < EXTENSION_COUNT; e++)
		if ((hidden >> e & 1) != 0)
			buf_addf(out, " %s", conf_extension_name((enum conf_extension)e));
	buf_add_char(out, '\n');
}

static void print_listener(const struct conf_listener *l, struct buf *out)
{
	static const char *const auths[] = {
		[AUTH_OFF] = "off", [AUTH_OPTIONAL] = "optional", [AUTH_REQUIRED] = "required"};
	static const char *const dsns[] = {[DSN_FOR_KNOWN] = "trusted", [DSN_FOR_ALL] = "all", [DSN_FOR_NOBODY] = "off"};

	buf_addf(out, "listen %s {\n", l->name);
	print_word(out, "role", l->role == LISTENER_MX ? "mx" : "submission");
	print_word(out, "tls", tls_name(l->tls));
	print_word(out, "auth", auths[l->auth]);
	print_nets(out, "auth-from", &l->auth_from);
	print_word(out, "isolation", l->isolation == ISOLATION_SHARED ? "shared" : "connection");
	print_quoted(out, "hostname", l->hostname);
	if (strcmp(l->called, l->name) != 0)
		print_word(out, "name", l->called);
	print_quoted(out, "banner", l->banner);
	print_nets(out, "proxy", &l->proxy);
	print_nets(out, "xclient", &l->xclient);
	print_word(out, "dsn", dsns[l->dsn]);
	if (l->auth != AUTH_OFF)
		print_word(out, "senders", l->senders == SENDERS_ANY ? "any" : "own");
	if (l->auth != AUTH_OFF)
		print_yes_no(out, "withhold-client", l->withholds_client);
	print_hidden(out, l->hidden);
	if (l->greet_pause_ms > 0) {
		buf_add_text(out, "\tgreet-pause ");
		unit_print_time(out, l->greet_pause_ms);
		buf_add_char(out, '\n');
	}
	if (l->tls != TLS_OFF)
		print_listener_tls(l, out);
	buf_add_text(out, "}\n");
}

static void print_lower(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		buf_add_char(out, ascii_lower(*text));
}

static void print_mechanisms(uint32_t mechanisms, struct buf *out)
{
	mechanisms &= ~(MECHANISM_BIT(MECHANISM_SCRAM_SHA_256_PLUS) | MECHANISM_BIT(MECHANISM_EXTERNAL)); /* they come with others */
	if (mechanisms == 0)
		return;
	buf_add_text(out, "\tmechanisms");
	for (unsigned m = 0; m < MECHANISM_COUNT; m++) {
		if ((mechanisms & MECHANISM_BIT(m)) == 0)
			continue;
		buf_add_char(out, ' ');
		print_lower(out, mechanism_name((enum mechanism)m));
	}
	buf_add_char(out, '\n');
}

static void print_servers(const struct conf_ldap_server *servers, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct conf_ldap_server *s = &servers[i];

		if (s->path != NULL)
			print_quoted(out, "server", s->path);
		else
			buf_addf(out, strchr(s->host, ':') != NULL ? "\tserver \"[%s]:%u\"\n" : "\tserver \"%s:%u\"\n", s->host,
				 s->port);
	}
}

static void print_server_tls(const struct conf_server_tls *tls, struct buf *out)
{
	print_word(out, "tls", tls->mode == TLS_OFF ? "off" : tls->mode == TLS_IMPLICIT ? "implicit" : "verified");
	print_quoted(out, "tls-ca", tls->ca);
	print_quoted(out, "tls-certificate", tls->certificate);
	print_quoted(out, "tls-key", tls->key);
}

bool conf_print_ldap(const struct conf_ldap *l, struct buf *out)
{
	buf_add_text(out, "ldap {\n");
	print_servers(l->servers, l->server_count, out);
	print_server_tls(&l->tls, out);
	print_quoted(out, "base", l->base);
	print_quoted(out, "filter", l->filter);
	print_quoted(out, "object-class", l->object_class);
	print_yes_no(out, "external", l->external);
	print_word(out, "login", l->login);
	buf_addf(out, "\ttimeout %" PRIu64 "s\n", (l->timeout_ms + 999) / 1000);
	return buf_add_text(out, "}\n");
}

static void print_certificate(const struct conf_certificate *one, const char *indent, struct buf *out)
{
	buf_add_text(out, indent);
	print_quoted(out, "certificate", one->chain);
	buf_add_text(out, indent);
	print_quoted(out, "key", one->key);
}

static void print_tls(const struct conf *c, struct buf *out)
{
	for (size_t i = 0; i < c->certificate_count; i++) {
		size_t other = conf_other_certificate(c, i);
		const char *indent = i == 0 ? "" : "\t";

		if (other < i)
			continue; /* printed with the first of its host */
		buf_add_text(out, i == 0 ? "tls {\n" : "\thost ");
		if (i > 0)
			rules_print_text(out, c->certificates[i].name);
		buf_add_text(out, i == 0 ? "" : " {\n");
		print_certificate(&c->certificates[i], indent, out);
		if (other != i)
			print_certificate(&c->certificates[other], indent, out);
		buf_add_text(out, i == 0 ? "" : "\t}\n");
	}
	if (c->certificate_count > 0)
		buf_add_text(out, "}\n");
}

static void print_tls_and_auth(const struct conf *c, struct buf *out)
{
	print_tls(c, out);
	if (conf_password_kinds(&c->auth) > 0 || c->auth.external != NULL) {
		buf_add_text(out, "auth {\n");
		print_quoted(out, "sqlite", c->auth.sqlite);
		print_quoted(out, "file", c->auth.file);
		print_quoted(out, "pam", c->auth.pam);
		print_quoted(out, "dovecot", c->auth.dovecot);
		if (c->auth.ldap != NULL)
			(void)conf_print_ldap(c->auth.ldap, out);
		print_quoted(out, "external", c->auth.external);
		print_mechanisms(c->auth.mechanisms, out);
		buf_add_text(out, "}\n");
	}
	if (c->credentials != NULL) {
		buf_add_text(out, "credentials ");
		rules_print_text(out, c->credentials);
		buf_add_char(out, '\n');
	}
}

static void print_entries(const struct conf_table *t, struct buf *out)
{
	buf_addf(out, "table %s {\n", t->name);
	for (size_t i = 0; i < t->entry_count; i++) {
		buf_add_char(out, '\t');
		rules_print_text(out, t->entries[i].key);
		if (t->entries[i].value[0] != '\0') {
			buf_add_text(out, ": ");
			rules_print_text(out, t->entries[i].value);
		}
		buf_add_char(out, '\n');
	}
	buf_add_text(out, "}\n");
}

/* Without the "/." behind it. */
static void print_folder(const char *path, struct buf *out)
{
	struct buf name = buf_make(4096);

	buf_add_slice(&name, slice_sub(slice_of(path), 0, strlen(path) - 2));
	rules_print_text(out, name.len == 0 ? "/" : buf_text(&name));
	buf_free(&name);
}

static void print_seconds(struct buf *out, const char *keyword, uint64_t ms)
{
	buf_addf(out, "\t%s ", keyword);
	unit_print_time(out, ms);
	buf_add_char(out, '\n');
}

static void print_redis(const struct conf_backend *b, struct buf *out)
{
	buf_addf(out, "\tdatabase %u\n", b->number);
	if (b->hash == NULL) {
		print_quoted(out, "get", b->key);
		return;
	}
	buf_add_text(out, "\thget ");
	rules_print_text(out, b->hash);
	buf_add_char(out, ' ');
	rules_print_text(out, b->key);
	buf_add_char(out, '\n');
}

static void print_directory(const struct conf_backend *b, struct buf *out)
{
	print_quoted(out, "base", b->base);
	print_quoted(out, "filter", b->filter);
	print_quoted(out, "object-class", b->object_class);
	print_quoted(out, "attribute", b->attribute);
	print_yes_no(out, "external", b->external);
}

static void print_backend(const struct conf_table *t, struct buf *out)
{
	const struct conf_backend *b = t->backend;

	buf_add_text(out, "{\n");
	print_servers(b->servers, b->server_count, out);
	if (t->kind == TABLE_REDIS)
		print_redis(b, out);
	print_quoted(out, "database", b->database);
	print_word(out, "login", b->login);
	print_quoted(out, "query", b->query);
	print_quoted(out, "map", b->map);
	if (t->kind != TABLE_SOCKETMAP)
		print_server_tls(&b->tls, out);
	if (t->kind == TABLE_LDAP)
		print_directory(b, out);
	print_seconds(out, "timeout", b->timeout_ms);
	print_seconds(out, "keep", b->keep_ms);
	print_seconds(out, "keep-no", b->keep_no_ms);
	buf_add_text(out, "}\n");
}

bool conf_print_table(const struct conf_table *t, struct buf *out)
{
	static const char *const kinds[] = {[TABLE_FILE] = "file",
					    [TABLE_CIDR] = "cidr",
					    [TABLE_PCRE2] = "pcre2",
					    [TABLE_SQLITE] = "sqlite",
					    [TABLE_POSTGRESQL] = "postgresql",
					    [TABLE_REDIS] = "redis",
					    [TABLE_SOCKETMAP] = "socketmap",
					    [TABLE_LDAP] = "ldap",
					    [TABLE_DIRECTORY] = "directory"};

	if (t->kind == TABLE_INLINE) {
		print_entries(t, out);
		return buf_ok(out);
	}
	buf_addf(out, "table %s %s ", t->name, kinds[t->kind]);
	if (t->backend != NULL) {
		print_backend(t, out);
		return buf_ok(out);
	}
	if (t->kind == TABLE_DIRECTORY)
		print_folder(t->path, out);
	else
		rules_print_text(out, t->path);
	if (t->include != NULL) {
		buf_add_text(out, " include ");
		print_folder(t->include, out);
	}
	if (t->query != NULL) {
		buf_add_char(out, ' ');
		rules_print_text(out, t->query);
	}
	return buf_add_char(out, '\n');
}

static void print_host_port(const char *keyword, const struct conf_transport *t, struct buf *out)
{
	bool v6 = strchr(t->host, ':') != NULL;

	buf_addf(out, "\t%s \"%s%s%s:%u\"\n", keyword, v6 ? "[" : "", t->host, v6 ? "]" : "", t->port);
}

static void print_remote(const struct conf_transport *t, struct buf *out)
{
	const char *keyword = t->kind == TRANSPORT_SMTP ? "smtp" : "lmtp";

	if (t->by_mx)
		print_word(out, keyword, "mx");
	else if (t->path != NULL)
		print_quoted(out, keyword, t->path);
	else
		print_host_port(keyword, t, out);
	print_word(out, "tls", tls_name(t->tls));
	print_quoted(out, "tls-ca", t->tls_ca);
	print_quoted(out, "tls-name", t->tls_name);
	if (t->tls != TLS_OFF)
		print_yes_no(out, "tls-verify", t->tls_verify);
	print_word(out, "login", t->login);
	print_yes_no(out, "allow-local", t->allow_local);
	buf_addf(out, "\tmessages %u\n\trecipients %u\n", t->messages, t->recipients);
}

static void print_program(const struct conf_transport *t, struct buf *out)
{
	struct slice rest = slice_make(t->program, t->program_bytes), word;

	buf_add_text(out, "\tpipe");
	while (slice_cut(&rest, '\0', &word)) {
		buf_add_char(out, ' ');
		rules_print_text(out, word.at);
	}
	buf_add_char(out, '\n');
}

static void print_quota(const struct conf_transport *t, struct buf *out)
{
	if (t->quota_by == NULL && t->quota.bytes == 0)
		return;
	buf_addf(out, "\tquota%s%s", t->quota_by != NULL ? " " : "", t->quota_by != NULL ? t->quota_by : "");
	if (t->quota.bytes != 0) {
		buf_add_char(out, ' ');
		unit_print_size(out, t->quota.bytes);
	}
	if (t->quota.messages != 0)
		buf_addf(out, " %" PRIu64, t->quota.messages);
	buf_add_char(out, '\n');
}

static void print_local(const struct conf_transport *t, struct buf *out)
{
	if (t->kind == TRANSPORT_PIPE)
		print_program(t, out);
	else
		print_quoted(out, t->kind == TRANSPORT_MBOX ? "mbox" : "maildir", t->maildir);
	if (t->user_by != NULL)
		buf_addf(out, "\tuser by %s%s%s\n", t->user_by, t->user != NULL ? " else " : "", t->user != NULL ? t->user : "");
	else
		print_word(out, "user", t->user);
	print_word(out, "group", t->group);
	print_yes_no(out, "delivered-to", t->delivered_to);
	if (t->add != 0)
		buf_addf(out, "\tadd%s%s\n", (t->add & ADD_ENVELOPE_TO) != 0 ? " envelope-to" : "",
			 (t->add & ADD_DELIVERY_DATE) != 0 ? " delivery-date" : "");
	print_quota(t, out);
	if (t->junk_field != NULL) {
		buf_add_text(out, "\tjunk ");
		rules_print_text(out, t->junk_field);
		buf_add_char(out, ' ');
		rules_print_text(out, t->junk_folder);
		buf_add_char(out, '\n');
	}
	print_quoted(out, "forward", t->forward);
	print_quoted(out, "filter", t->filter);
	if (t->programs)
		print_yes_no(out, "programs", true);
	buf_add_text(out, "\ttimeout ");
	unit_print_time(out, t->timeout_ms);
	buf_add_char(out, '\n');
}

static void print_transport(const struct conf_transport *t, struct buf *out)
{
	buf_addf(out, "transport %s {\n", t->name);
	if (conf_transport_is_local(t))
		print_local(t, out);
	else
		print_remote(t, out);
	buf_addf(out, "\tconnections %u\n}\n", t->connections);
}

/* ---- rules, retry ---- */

static void print_rules(const struct conf *c, struct buf *out)
{
	for (unsigned i = 0; i < STAGE_COUNT; i++) {
		if (c->policy[i] == NULL)
			continue;
		buf_addf(out, "policy %s {\n", rules_place_name(i));
		rules_print(c->policy[i], out);
		buf_add_text(out, "}\n");
	}
	if (c->rewrite != NULL) {
		buf_add_text(out, "rewrite {\n");
		rules_print(c->rewrite, out);
		buf_add_text(out, "}\n");
	}
	if (c->route->count == 0)
		return;
	buf_add_text(out, "route {\n");
	rules_print(c->route, out);
	buf_add_text(out, "}\n");
}

static void print_retry(const struct conf *c, struct buf *out)
{
	buf_add_text(out, "retry {");
	for (size_t i = 0; i < c->retry.count; i++) {
		const struct conf_retry_step *step = &c->retry.steps[i];

		buf_addf(out, "%s %s ", i == 0 ? "" : " then",
			 step->factor_permille == 1000 ? "every" : "from");
		unit_print_time(out, step->first_s * 1000);
		if (step->factor_permille != 1000) {
			buf_add_text(out, " by ");
			unit_print_permille(out, step->factor_permille);
		}
		buf_add_text(out, " until ");
		unit_print_time(out, step->until_s * 1000);
	}
	buf_add_text(out, " }\n");
}

bool conf_print(const struct conf *c, struct buf *out)
{
	print_settings(c, out);
	print_trusted(c, out);
	for (size_t i = 0; i < c->listener_count; i++)
		print_listener(&c->listeners[i], out);
	print_tls_and_auth(c, out);
	for (size_t i = 0; i < c->table_count; i++)
		(void)conf_print_table(&c->tables[i], out);
	for (size_t i = 0; i < c->transport_count; i++)
		print_transport(&c->transports[i], out);
	print_rules(c, out);
	print_retry(c, out);
	return buf_ok(out);
}
