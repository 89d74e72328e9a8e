#include "rules/fact.h"

#include "base/mem.h"
#include "conf/net.h"

#define POLICY (RULES_IN(RULES_ROUTE) - 1)
#define FROM_HELO (POLICY & ~RULES_IN(STAGE_CONNECT))
#define FROM_MAIL (FROM_HELO & ~RULES_IN(STAGE_HELO))
#define ROUTE RULES_IN(RULES_ROUTE)
#define REWRITE RULES_IN(RULES_REWRITE)

static const char *const roles[] = {"mx", "submission", "local", NULL};

static const struct fact_info facts[FACT_COUNT] = {
	[FACT_CLIENT] = {"client", FACT_TYPE_IP, POLICY | ROUTE | REWRITE, NULL, 0, 0,
			 "the address of the peer; null: mail made on this host"},
	[FACT_CLIENT_EARLY] = {"client.early", FACT_TYPE_BOOL, POLICY, NULL, 0, 0,
			       "the client spoke before the banner"},
	[FACT_CLIENT_PIPELINED] = {"client.pipelined", FACT_TYPE_BOOL, FROM_HELO, NULL, 0, 0,
				   "the client sent commands behind HELO or EHLO before it had the answer"},
	[FACT_LISTENER_ROLE] = {"listener.role", FACT_TYPE_WORD, POLICY | ROUTE | REWRITE, roles, 0, 0,
				"mx, submission or local (the submission socket)"},
	[FACT_LISTENER_NAME] = {"listener.name", FACT_TYPE_TEXT, POLICY | ROUTE | REWRITE, NULL, 0, 0,
				"the `name` of the listener, else its ADDRESS:PORT; \"local\": the submission socket"},
	[FACT_LISTENER_ADDRESS] = {"listener.address", FACT_TYPE_IP, POLICY | ROUTE, NULL, 0, 0,
				   "the address of this host that the client came to; null: the submission socket"},
	[FACT_LISTENER_PORT] = {"listener.port", FACT_TYPE_NUMBER, POLICY | ROUTE, NULL, 0, 0,
				"the port that the client came to; 0: the submission socket"},
	[FACT_HOSTNAME] = {"hostname", FACT_TYPE_DOMAIN, POLICY | ROUTE | REWRITE, NULL, 0, 0,
			   "the name of this host on that listener"},
	[FACT_TLS] = {"tls", FACT_TYPE_BOOL, POLICY, NULL, FACT_TLS_VERSION, FACT_IS_SET,
		      "the session is encrypted"},
	[FACT_TLS_VERSION] = {"tls.version", FACT_TYPE_TEXT, POLICY, NULL, 0, 0,
			      "\"TLSv1.2\" or \"TLSv1.3\"; null in clear"},
	[FACT_TLS_CIPHER] = {"tls.cipher", FACT_TYPE_TEXT, POLICY, NULL, 0, 0,
			     "the cipher suite; null in clear"},
	[FACT_TLS_SNI] = {"tls.sni", FACT_TYPE_DOMAIN, POLICY, NULL, 0, 0,
			  "the server name the client asked for; null: none"},
	[FACT_TLS_CLIENT_FINGERPRINT] = {"tls.client.fingerprint", FACT_TYPE_TEXT, POLICY, NULL, 0, 0,
					 "SHA-256 of the client's certificate, in lower-case hexadecimal; null: it showed none"},
	[FACT_TLS_CLIENT_NAME] = {"tls.client.name", FACT_TYPE_DOMAIN, POLICY, NULL, 0, 0,
				  "the first name in the client's certificate; null: none, or not verified"},
	[FACT_TLS_CLIENT_NAMES] = {"tls.client.names", FACT_TYPE_TEXT, POLICY, NULL, 0, 0,
				   "all of them, a blank between; null: none, or not verified"},
	[FACT_TLS_CLIENT_VERIFIED] = {"tls.client.verified", FACT_TYPE_BOOL, POLICY, NULL, 0, 0,
				      "the client showed a certificate, and client-ca vouches for it"},
	[FACT_HELO_NAME] = {"helo.name", FACT_TYPE_DOMAIN, FROM_HELO, NULL, 0, 0,
			    "the argument of HELO or EHLO (also written helo)"},
	[FACT_LOGIN] = {"login", FACT_TYPE_TEXT, FROM_MAIL | ROUTE | REWRITE, NULL, 0, 0,
			"who logged in; null: nobody"},
	[FACT_AUTHENTICATED] = {"authenticated", FACT_TYPE_BOOL, FROM_MAIL | ROUTE | REWRITE, NULL, FACT_LOGIN,
				FACT_IS_SET, "somebody logged in"},
	[FACT_SENDER] = {"sender", FACT_TYPE_ADDRESS, FROM_MAIL | ROUTE | REWRITE, NULL, 0, 0,
			 "the address of MAIL FROM; null: <>"},
	[FACT_SENDER_LOCAL] = {"sender.local", FACT_TYPE_TEXT, FROM_MAIL | ROUTE | REWRITE, NULL, FACT_SENDER,
			       FACT_LOCAL_PART, "its part before the @"},
	[FACT_SENDER_DOMAIN] = {"sender.domain", FACT_TYPE_DOMAIN, FROM_MAIL | ROUTE | REWRITE, NULL, FACT_SENDER,
				FACT_DOMAIN_PART, "its part behind the @"},
	[FACT_SIZE] = {"size", FACT_TYPE_SIZE, FROM_MAIL | ROUTE, NULL, 0, 0,
		       "bytes announced, at stage data received; 0: not announced"},
	[FACT_RECIPIENT] = {"recipient", FACT_TYPE_ADDRESS, RULES_IN(STAGE_RCPT) | ROUTE, NULL, 0, 0,
			    "the address of RCPT TO, or what it was turned into"},
	[FACT_RECIPIENT_LOCAL] = {"recipient.local", FACT_TYPE_TEXT, RULES_IN(STAGE_RCPT) | ROUTE, NULL,
				  FACT_RECIPIENT, FACT_LOCAL_PART, "its part before the @"},
	[FACT_RECIPIENT_DOMAIN] = {"recipient.domain", FACT_TYPE_DOMAIN, RULES_IN(STAGE_RCPT) | ROUTE,
				   NULL, FACT_RECIPIENT, FACT_DOMAIN_PART, "its part behind the @"},
	[FACT_RECIPIENT_USER] = {"recipient.user", FACT_TYPE_TEXT, RULES_IN(STAGE_RCPT) | ROUTE, NULL, 0, 0,
				 "its part before the @, without a sub-address (setting sub-address)"},
	[FACT_RECIPIENT_DETAIL] = {"recipient.detail", FACT_TYPE_TEXT, RULES_IN(STAGE_RCPT) | ROUTE, NULL, 0, 0,
				   "the sub-address, tag in user+tag; null: none"},
	[FACT_RECIPIENT_BASE] = {"recipient.base", FACT_TYPE_ADDRESS, RULES_IN(STAGE_RCPT) | ROUTE, NULL, 0, 0,
				 "the address without its sub-address"},
	[FACT_RECIPIENT_IS_USER] = {"recipient.is-user", FACT_TYPE_BOOL, RULES_IN(STAGE_RCPT) | ROUTE, NULL, 0, 0,
				    "recipient.local or recipient.user is a system user to whom mail is delivered, whatever the domain"},
	[FACT_RECIPIENT_HAS_SENT] = {"recipient.has-sent", FACT_TYPE_BOOL, RULES_IN(STAGE_RCPT) | ROUTE, NULL, 0, 0,
				     "its address has sent within the time of senders-kept, by a login, a trusted client or a local user; unknown until we know"},
	[FACT_RECIPIENT_COUNT] = {"recipient.count", FACT_TYPE_NUMBER,
				  RULES_IN(STAGE_RCPT) | RULES_IN(STAGE_DATA), NULL, 0, 0,
				  "recipients so far, this one included"},
	[FACT_ADDRESS] = {"address", FACT_TYPE_ADDRESS, REWRITE, NULL, 0, 0, "the address that may be rewritten, as it is by now"},
	[FACT_ADDRESS_LOCAL] = {"address.local", FACT_TYPE_TEXT, REWRITE, NULL, FACT_ADDRESS, FACT_LOCAL_PART, "its part before the @"},
	[FACT_ADDRESS_DOMAIN] = {"address.domain", FACT_TYPE_DOMAIN, REWRITE, NULL, FACT_ADDRESS, FACT_DOMAIN_PART,
				 "its part behind the @"},
};

const char *rules_place_name(unsigned place)
{
	static const char *const names[] = {"connect", "helo", "mail", "rcpt", "data", "route", "rewrite"};

	return place < ARRAY_LEN(names) ? names[place] : "?";
}

const struct fact_info *fact_info(enum fact_id id)
{
	return &facts[id];
}

enum fact_id fact_find(struct slice name)
{
	if (slice_eq(name, slice_of("helo")))
		return FACT_HELO_NAME;
	for (unsigned i = 0; i < FACT_COUNT; i++)
		if (slice_eq(name, slice_of(facts[i].name)))
			return (enum fact_id)i;
	return FACT_COUNT;
}

struct slice fact_local_part(struct slice address)
{
	return slice_sub(address, 0, slice_rindex(address, '@'));
}

struct slice fact_domain_part(struct slice address)
{
	size_t at = slice_rindex(address, '@');

	return at == SLICE_NONE ? slice_empty() : slice_from(address, at + 1);
}

/* ---- shapes ---- */

static bool is_null(struct slice s)
{
	return s.len == 0;
}

static bool is_bare_address(struct slice s)
{
	struct in6_addr a;

	return net_address(s, &a);
}

/* RFC 5321 §4.1.3: [192.0.2.1] or [IPv6:2001:db8::1]. */
static bool is_literal(struct slice s)
{
	const struct slice tag = {"IPv6:", 5};
	struct in6_addr a;
	struct slice inner;

	if (s.len < 3 || s.at[0] != '[' || s.at[s.len - 1] != ']')
		return false;
	inner = slice_sub(s, 1, s.len - 2);
	if (!slice_starts_nocase(inner, tag))
		return net_address(inner, &a) && slice_index(inner, ':') == SLICE_NONE;
	inner = slice_from(inner, tag.len);
	return net_address(inner, &a) && slice_index(inner, ':') != SLICE_NONE;
}

static bool is_label(struct slice label)
{
	if (label.len == 0 || label.len > 63 || label.at[0] == '-' || label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!ascii_is_alnum(label.at[i]) && label.at[i] != '-')
			return false;
	return true;
}

static bool has_letter(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (ascii_is_alpha(s.at[i]))
			return true;
	return false;
}

/* RFC 5321 §2.3.5: two labels or more; the last not all digits, or it would be an address (RFC 1123
 * §2.1). */
static bool is_fqdn(struct slice s)
{
	struct slice rest = s, label = slice_empty();
	size_t labels = 0;

	if (s.len == 0 || s.len > 253 || s.at[s.len - 1] == '.')
		return false;
	while (slice_cut(&rest, '.', &label)) {
		if (!is_label(label))
			return false;
		labels++;
	}
	return labels >= 2 && has_letter(label);
}

#define TYPE(t) (1u << (t))
#define TEXTS \
	(TYPE(FACT_TYPE_TEXT) | TYPE(FACT_TYPE_DOMAIN) | TYPE(FACT_TYPE_ADDRESS) | TYPE(FACT_TYPE_IP))

static const struct {
	const char *name;
	unsigned types;
	bool (*has)(struct slice s);
} shapes[SHAPE_COUNT] = {
	[SHAPE_UNKNOWN] = {"unknown", ~0u, NULL},
	[SHAPE_NULL] = {"null", TEXTS, is_null},
	[SHAPE_FQDN] = {"fqdn", TYPE(FACT_TYPE_DOMAIN), is_fqdn},
	[SHAPE_LITERAL] = {"literal", TYPE(FACT_TYPE_DOMAIN), is_literal},
	[SHAPE_BARE_ADDRESS] = {"bare-address", TYPE(FACT_TYPE_DOMAIN), is_bare_address},
};

const char *shape_name(enum shape shape)
{
	return shapes[shape].name;
}

enum shape shape_find(struct slice name)
{
	for (unsigned i = 0; i < SHAPE_COUNT; i++)
		if (slice_eq(name, slice_of(shapes[i].name)))
			return (enum shape)i;
	return SHAPE_COUNT;
}

bool shape_fits_type(enum shape shape, enum fact_type type)
{
	return (shapes[shape].types & TYPE(type)) != 0;
}

bool shape_has(enum shape shape, struct slice text)
{
	return shapes[shape].has != NULL && shapes[shape].has(text);
}
