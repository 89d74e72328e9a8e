#include "conf/compiler.h"

#include "base/mem.h"
#include "conf/net.h"

/* transport NAME { maildir | mbox | pipe | smtp | lmtp ... }; what is only of local transports: delivery.c */

#define CONNECTIONS_DEFAULT 20u
#define MESSAGES_DEFAULT 100u
#define PROGRAM_TIMEOUT_DEFAULT_MS (5u * 60000u)
#define RECIPIENTS_DEFAULT 100u /* RFC 5321 §4.5.3.1.8: every server takes as many */

static bool read_smtp(struct compiler *c, const struct statement *st, void *into);
static bool read_lmtp(struct compiler *c, const struct statement *st, void *into);

/* In the order of enum conf_tls_mode. */
static const char *const tls_modes[] = {"off", "optional", "required", "implicit", "verified", NULL};

#define OF(member) offsetof(struct conf_transport, member)
static const struct statement rows[] = {
	{"maildir", read_maildir, 0, 0, 0, NULL, false},
	{"mbox", read_mbox, 0, 0, 0, NULL, false},
	{"pipe", read_pipe, 0, 0, 0, NULL, false},
	{"smtp", read_smtp, 0, 0, 0, NULL, false},
	{"lmtp", read_lmtp, 0, 0, 0, NULL, false},
	{"user", read_user, 0, 0, 0, NULL, false},
	{"group", read_name_field, OF(group), 0, 0, NULL, false},
	{"delivered-to", read_yes_no_field, OF(delivered_to), 0, 0, NULL, false},
	{"add", read_add, 0, 0, 0, NULL, false},
	{"quota", read_quota, 0, 0, 0, NULL, false},
	{"junk", read_junk, 0, 0, 0, NULL, false},
	{"forward", read_owner_file, OF(forward), 0, 0, NULL, false},
	{"filter", read_owner_file, OF(filter), 0, 0, NULL, false},
	{"programs", read_yes_no_field, OF(programs), 0, 0, NULL, false},
	{"timeout", read_time_field, OF(timeout_ms), 1000, 3600000, NULL, false},
	{"tls", read_choice_field, OF(tls), 0, 0, tls_modes, false},
	{"tls-ca", read_path_field, OF(tls_ca), 0, 0, NULL, false},
	{"tls-name", read_domain_field, OF(tls_name), 0, 0, NULL, false},
	{"tls-verify", read_yes_no_field, OF(tls_verify), 0, 0, NULL, false},
	{"login", read_name_field, OF(login), 0, 0, NULL, false},
	{"allow-local", read_yes_no_field, OF(allow_local), 0, 0, NULL, false},
	{"connections", read_u32_field, OF(connections), 1, 10000, NULL, false},
	{"messages", read_u32_field, OF(messages), 1, 1000000, NULL, false},
	{"recipients", read_u32_field, OF(recipients), 1, 100000, NULL, false},
};

bool transport_said(const struct compiler *c, size_t transport, const char *keyword,
		    struct conf_pos *at_out)
{
	return statement_said(&c->transports[transport].said, rows, ARRAY_LEN(rows), keyword, at_out);
}

static bool take_host_port(struct compiler *c, struct conf_transport *t, const char *expected)
{
	struct in6_addr ip;
	struct slice host;
	struct token at;

	if (!take_text(c->p, expected, &at))
		return false;
	if (!split_host_port(at.text, &host, &t->port) ||
	    (!net_address(host, &ip) && !is_host_name(host))) {
		struct buf hint = buf_make(128);

		buf_addf(&hint, "expected %s", expected);
		mistake_add(c->mistakes, at.pos, buf_text(&hint), "\"%.*s\" is no host with its port",
			    at.text.len > 80 ? 80 : (int)at.text.len, at.text.at);
		buf_free(&hint);
		return false;
	}
	t->host = arena_text(c->arena, host);
	return t->host != NULL;
}

static bool read_smtp(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;

	(void)st;
	t->kind = TRANSPORT_SMTP;
	t->by_mx = parser_accept_word(c->p, "mx");
	t->port = 25;
	return t->by_mx || take_host_port(c, t, "mx, or \"HOST:PORT\"");
}

static bool read_lmtp(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport *t = into;
	bool is_path = (parser_at(c->p, TOKEN_STRING) || parser_at(c->p, TOKEN_WORD)) &&
		       c->p->now.text.len > 0 && c->p->now.text.at[0] == '/';

	(void)st;
	t->kind = TRANSPORT_LMTP;
	if (!is_path)
		return take_host_port(c, t, "the path of a socket, or \"HOST:PORT\"");
	if (c->p->now.text.len >= 108) {
		mistake_add(c->mistakes, c->p->now.pos, "at most 107 bytes",
			    "the path of a Unix socket is too long");
		return false;
	}
	return take_path(c->p, &t->path);
}

static bool is_taken(struct compiler *c, const struct conf_transport *t)
{
	struct buf hint = buf_make(512);

	for (size_t i = 0; i < c->conf->transport_count; i++) {
		const struct conf_transport *other = &c->conf->transports[i];

		if (strcmp(other->name, t->name) != 0)
			continue;
		buf_addf(&hint, "the other is in line %u of %s", other->pos.line, other->pos.file);
		mistake_add(c->mistakes, t->pos, buf_text(&hint), "two transports are called %s",
			    t->name);
		buf_free(&hint);
		return true;
	}
	return false;
}

bool read_transport(struct compiler *c, const struct statement *st, void *into)
{
	struct conf_transport read = {.pos = c->p->now.pos,
				      .delivered_to = true,
				      .timeout_ms = PROGRAM_TIMEOUT_DEFAULT_MS,
				      .tls_verify = true,
				      .connections = CONNECTIONS_DEFAULT,
				      .messages = MESSAGES_DEFAULT,
				      .recipients = RECIPIENTS_DEFAULT},
			      *t;
	void *transports = c->conf->transports, *beside = c->transports;
	struct transport_said *said, seen = {.broken = false};

	(void)st;
	(void)into;
	if (!take_name(c->p, "the name of the transport", &read.name))
		return false;
	seen.broken = !read_block(c, "transport", rows, ARRAY_LEN(rows), &read, &seen.said);
	if (arena_failed(c->arena) || is_taken(c, &read))
		return !seen.broken;
	read.index = c->conf->transport_count;
	t = arena_push(c->arena, &transports, &c->conf->transport_count, sizeof(*t));
	c->conf->transports = transports;
	said = arena_push(c->arena, &beside, &c->transport_count, sizeof(*said));
	c->transports = beside;
	if (t == NULL || said == NULL)
		return false;
	*t = read;
	*said = seen;
	return !seen.broken;
}
