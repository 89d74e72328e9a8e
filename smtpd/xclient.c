#include "session_private.h"

#include "base/log.h"
#include "base/mem.h"
#include "mail/xtext.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * XCLIENT (Postfix, XCLIENT_README): a proxy in front of us says who its client is.  It is offered where the gate said that this
 * client may, and decided by the gate; what is said besides addresses is written to the log and judged by nothing: names are looked
 * up here, and the client says HELO again.  LOGIN is not taken over: only authd says who has logged in.
 */

static bool is_unsaid(struct slice value)
{
	return slice_eq_nocase(value, slice_of("[UNAVAILABLE]")) || slice_eq_nocase(value, slice_of("[TEMPUNAVAIL]"));
}

/* Printable ASCII without blanks comes out of it. */
static bool decode(struct slice value, char *out, size_t size)
{
	struct buf text = buf_make(size);
	bool good = xtext_decode(value, &text) && text.len > 0 && slice_copy(buf_slice(&text), out, size);

	for (size_t i = 0; good && i < text.len; i++)
		good = text.at[i] > ' ' && text.at[i] < 0x7f;
	buf_free(&text);
	return good;
}

static bool take_text(struct slice value, char *out, size_t size)
{
	return is_unsaid(value) || decode(value, out, size);
}

/* "192.0.2.1", "IPV6:2001:db8::1"; whether it is one is for the gate to say. */
static bool take_address(struct slice value, char out[64])
{
	const struct slice tag = {"IPV6:", 5};

	return decode(slice_starts_nocase(value, tag) ? slice_from(value, tag.len) : value, out, 64);
}

static bool take_port(struct slice value, uint64_t *out)
{
	return is_unsaid(value) || slice_u64(value, UINT16_MAX, out);
}

static bool take_addr(struct slice value, struct session_claim *c)
{
	return take_address(value, c->client);
}

static bool take_client_port(struct slice value, struct session_claim *c)
{
	return take_port(value, &c->client_port);
}

static bool take_destaddr(struct slice value, struct session_claim *c)
{
	return is_unsaid(value) || take_address(value, c->local);
}

static bool take_destport(struct slice value, struct session_claim *c)
{
	return take_port(value, &c->local_port);
}

static bool take_name(struct slice value, struct session_claim *c)
{
	return take_text(value, c->name, sizeof(c->name));
}

static bool take_helo(struct slice value, struct session_claim *c)
{
	return take_text(value, c->helo, sizeof(c->helo));
}

static bool take_proto(struct slice value, struct session_claim *c)
{
	return (slice_eq_nocase(value, slice_of("SMTP")) || slice_eq_nocase(value, slice_of("ESMTP"))) &&
	       decode(value, c->protocol, sizeof(c->protocol));
}

static bool take_login(struct slice value, struct session_claim *c)
{
	(void)c;
	return is_unsaid(value);
}

static const struct attribute {
	const char *name;
	bool (*take)(struct slice value, struct session_claim *c);
} attributes[] = {
	{"NAME", take_name}, {"ADDR", take_addr}, {"PORT", take_client_port}, {"PROTO", take_proto},
	{"HELO", take_helo}, {"LOGIN", take_login}, {"DESTADDR", take_destaddr}, {"DESTPORT", take_destport},
};

static size_t attribute_find(struct slice name)
{
	size_t i = 0;

	while (i < ARRAY_LEN(attributes) && !slice_eq_nocase(name, slice_of(attributes[i].name)))
		i++;
	return i;
}

/* False: refused already. */
static bool read_claim(struct session *s, struct slice args, struct session_claim *out)
{
	struct slice rest = args, word;
	unsigned seen = 0;

	while (slice_word(&rest, &word)) {
		size_t equals = slice_index(word, '=');
		size_t i = attribute_find(slice_sub(word, 0, equals));

		if (equals == SLICE_NONE || i == ARRAY_LEN(attributes) || (seen >> i & 1) != 0) {
			reply(s, 501, "5.5.4", "expected attributes such as ADDR=192.0.2.1, each once");
			return false;
		}
		if (!attributes[i].take(slice_from(word, equals + 1), out)) {
			if (attributes[i].take == take_login)
				reply(s, 550, "5.7.0", "a login is checked here, and not taken over");
			else
				reply(s, 501, "5.5.4", "bad value of %s", attributes[i].name);
			return false;
		}
		seen |= 1u << i;
	}
	if (out->client[0] == '\0')
		reply(s, 501, "5.5.4", "ADDR is needed");
	return out->client[0] != '\0';
}

void xclient_begin(struct session *s, struct slice args)
{
	struct session_claim claim = {.client_port = 0};

	if (!s->place.may_xclient) {
		reply(s, 550, "5.7.0", "XCLIENT is not for you");
		return;
	}
	if (s->login[0] != '\0') {
		reply(s, 503, "5.5.1", "XCLIENT comes before a login");
		return;
	}
	if (!read_claim(s, args, &claim))
		return;
	s->claimed = mem_new(1, sizeof(*s->claimed));
	if (s->claimed == NULL) {
		reply_outcome(s, OC_NO_MEMORY);
		return;
	}
	*s->claimed = claim;
	s->refused = s->state;
	session_enter(s, SESSION_CLIENT);
}

/* ---- the gate's answer ---- */

static void begin_anew(struct session *s, uint64_t number, struct slice client, uint64_t port)
{
	const struct session_claim *c = s->claimed;
	struct log_kv was = KV_SESSION(s->place.number);
	char via[sizeof(s->place.client)];

	was.key = "was";
	memcpy(via, s->place.client, sizeof(via));
	s->place.number = number;
	s->place.client_port = port;
	s->place.by_proxy = true;
	(void)slice_copy(client, s->place.client, sizeof(s->place.client));
	LOG(LEVEL_INFO, "xclient", KV_SESSION(number), was, KV_STR("client", s->place.client), KV_NUM("port", port),
	    KV_STR("proxy", via), KV_STR("name", c->name), KV_STR("helo", c->helo), KV_STR("protocol", c->protocol));
	session_reset(s);
	buf_free(&s->tags);
	s->helo[0] = '\0';
	s->esmtp = s->early = s->pipelined = false;
	session_enter(s, SESSION_CONNECT);
	session_begin(s);
}

void session_client_answered(struct session *s, enum outcome outcome, uint64_t number, struct slice client, uint64_t port)
{
	if (s->state != SESSION_CLIENT)
		return;
	session_enter(s, s->refused);
	if (outcome == OC_DONE)
		begin_anew(s, number, client, port);
	else if (outcome == OC_NOT_ALLOWED)
		reply(s, 550, "5.7.0", "that client is trusted, and must come itself");
	else if (outcome == OC_BUSY)
		reply_and_close(s, "4.3.2", "no room for that client now, try later");
	else
		reply_outcome(s, outcome);
	free(s->claimed);
	s->claimed = NULL;
	session_settle(s);
}
