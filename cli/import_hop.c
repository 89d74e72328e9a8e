#include "import_hop.h"

#include "base/mem.h"
#include "conf/net.h"
#include "mail/address.h"
#include "mail/dsn.h"

#include <stdio.h>

/* ---- hosts ---- */

static bool read_port(struct slice text, uint16_t *out)
{
	static const struct {
		const char *name;
		uint16_t port;
	} services[] = {{"smtp", 25}, {"submission", 587}, {"submissions", 465}, {"smtps", 465}, {"lmtp", 24}};
	uint64_t n;

	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (slice_eq_nocase(text, slice_of(services[i].name))) {
			*out = services[i].port;
			return true;
		}
	if (!slice_u64(text, 65535, &n) || n == 0)
		return false;
	*out = (uint16_t)n;
	return true;
}

/* A name in its canonical form, or an address. */
static bool read_host(struct slice text, char out[HOP_TEXT_MAX + 1])
{
	char domain[MAIL_DOMAIN_MAX + 1];
	struct in6_addr ip;

	if (slice_starts_nocase(text, slice_of("ipv6:")))
		text = slice_from(text, strlen("ipv6:"));
	if (net_address(text, &ip))
		return slice_copy(text, out, HOP_TEXT_MAX + 1);
	if (!mail_domain_parse(text, 0, domain) || domain[0] == '[')
		return false;
	return slice_copy(slice_of(domain), out, HOP_TEXT_MAX + 1);
}

/* ":port" or nothing behind a host. */
static const char *read_rest(struct slice rest, uint16_t port_default, struct hop *out)
{
	out->port = port_default;
	if (rest.len == 0)
		return NULL;
	return rest.at[0] == ':' && read_port(slice_from(rest, 1), &out->port) ? NULL : "a port that is no number; write it as one";
}

const char *hop_read_host(struct slice text, uint16_t port_default, struct hop *out)
{
	size_t close = slice_index(text, ']');

	*out = (struct hop){.kind = HOP_SMTP};
	if (slice_index(text, ',') != SLICE_NONE || slice_index(text, ' ') != SLICE_NONE)
		return "several hosts; a transport here has one";
	if (text.len == 0 || text.at[0] != '[')
		return "a host without brackets, which stands for its mail exchangers; if that host itself is meant write [host], and else `smtp mx` "
		       "sends to those of the recipient's domain";
	if (close == SLICE_NONE || !read_host(slice_sub(text, 1, close - 1), out->where))
		return "what is no host";
	return read_rest(slice_from(text, close + 1), port_default, out);
}

static bool is_path(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] <= ' ' || text.at[i] > '~' || strchr("\"\\{}", text.at[i]) != NULL)
			return false;
	return text.len > 1 && text.len < 108 && text.at[0] == '/';
}

/* LMTP never asks for mail exchangers. */
static const char *read_lmtp(struct slice text, struct hop *out)
{
	size_t colon;
	const char *mistake;

	if (slice_starts_nocase(text, slice_of("unix:"))) {
		text = slice_from(text, strlen("unix:"));
		*out = (struct hop){.kind = HOP_LMTP_SOCKET};
		if (text.len == 0 || text.at[0] != '/')
			return "a socket beneath Postfix's own queue folder; write its whole path";
		return is_path(text) && slice_copy(text, out->where, sizeof(out->where)) ? NULL : "a path that is too long, or with odd characters";
	}
	if (slice_starts_nocase(text, slice_of("inet:")))
		text = slice_from(text, strlen("inet:"));
	if (text.len > 0 && text.at[0] == '[') {
		mistake = hop_read_host(text, 24, out);
	} else {
		colon = slice_index(text, ':');
		*out = (struct hop){.kind = HOP_LMTP};
		mistake = read_host(slice_sub(text, 0, colon), out->where)
				  ? read_rest(colon == SLICE_NONE ? slice_empty() : slice_from(text, colon), 24, out)
				  : "what is no host";
	}
	out->kind = HOP_LMTP;
	return mistake;
}

static const char *read_smtp(struct slice text, struct hop *out)
{
	if (text.len > 0)
		return hop_read_host(text, 25, out);
	*out = (struct hop){.kind = HOP_MX};
	return NULL;
}

/* ---- refusals ---- */

static const char *read_error(struct slice text, struct hop *out)
{
	struct slice rest = text, word;

	*out = (struct hop){.kind = HOP_REJECT};
	if (slice_word(&rest, &word) && dsn_is_status(word, 5) && slice_copy(word, out->dsn, sizeof(out->dsn)))
		text = slice_trim(rest);
	if (text.len == 0)
		text = slice_of("mail for this address is not accepted");
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] > '~')
			return "a text that is not printable ASCII";
	return text.len <= 400 && slice_copy(text, out->where, sizeof(out->where)) ? NULL : "a text of more than 400 characters";
}

static const char *read_discard(struct slice text, struct hop *out)
{
	(void)text;
	*out = (struct hop){.kind = HOP_DISCARD};
	return NULL;
}

/* ---- transports ---- */

const char *hop_read(struct slice text, struct hop *out)
{
	static const struct {
		const char *name;
		const char *(*read)(struct slice text, struct hop *out);
	} transports[] = {{"smtp", read_smtp}, {"relay", read_smtp}, {"lmtp", read_lmtp}, {"error", read_error}, {"discard", read_discard}};
	size_t colon = slice_index(text, ':');
	struct slice name = slice_sub(text, 0, colon), nexthop = colon == SLICE_NONE ? slice_empty() : slice_trim(slice_from(text, colon + 1));

	if (text.len == 0)
		return "a key without a transport";
	if (text.at[0] == '[')
		return hop_read_host(text, 25, out);
	if (colon == SLICE_NONE || name.at == NULL)
		return "what is no transport:nexthop";
	if (name.len == 0 && nexthop.len == 0)
		return "a line by which nothing changes; put a rule for it before those of first.conf";
	if (name.len == 0)
		return read_smtp(nexthop, out);
	for (size_t i = 0; i < ARRAY_LEN(transports); i++)
		if (slice_eq(name, slice_of(transports[i].name)))
			return transports[i].read(nexthop, out);
	if (slice_eq(name, slice_of("local")) || slice_eq(name, slice_of("virtual")))
		return "mail that is delivered on this host; write a rule `deliver` and its transport";
	return "a service of Postfix's master.cf; write a transport (pipe, lmtp, smtp) and a rule for it";
}

/* Postfix sends in clear where a host has no TLS, unless told otherwise; a login never is. */
void hop_print(const struct hop *h, const char *login, struct buf *out)
{
	if (h->kind == HOP_MX)
		buf_add_text(out, "smtp mx");
	else if (h->kind == HOP_LMTP_SOCKET)
		buf_addf(out, "lmtp \"%s\"", h->where);
	else if (h->kind == HOP_SMTP || h->kind == HOP_LMTP)
		buf_addf(out, strchr(h->where, ':') == NULL ? "%s \"%s:%u\"" : "%s \"[%s]:%u\"", h->kind == HOP_SMTP ? "smtp" : "lmtp", h->where,
			 (unsigned)h->port);
	if (h->kind == HOP_SMTP && login[0] != '\0')
		buf_addf(out, "  login %s", login);
	else if (h->kind == HOP_SMTP && h->port != 465)
		buf_add_text(out, "  tls optional");
	if ((h->kind == HOP_SMTP || h->kind == HOP_LMTP) && net_is_loopback(slice_of(h->where)))
		buf_add_text(out, "  allow-local yes");
}
