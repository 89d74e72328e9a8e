#include "mail/address.h"

#include "base/utf8.h"
#include "mail/literal.h"

#include <idn2.h>
#include <stdio.h>

#define LABEL_MAX 63u

static const char *const verdict_texts[] = {
	[MAIL_OK] = "good",
	[MAIL_EMPTY] = "empty address",
	[MAIL_NO_DOMAIN] = "address without a domain",
	[MAIL_BAD_LOCAL] = "bad local part",
	[MAIL_BAD_DOMAIN] = "bad domain",
	[MAIL_LOCAL_TOO_LONG] = "local part is longer than 64 octets",
	[MAIL_TOO_LONG] = "address is longer than 254 octets",
	[MAIL_SOURCE_ROUTE] = "source routes are not accepted",
	[MAIL_NEEDS_UTF8] = "address needs SMTPUTF8",
};

const char *mail_verdict_text(enum mail_verdict verdict)
{
	return verdict_texts[verdict];
}

static bool is_high(char c)
{
	return (unsigned char)c >= 0x80;
}

static bool has_high(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (is_high(s.at[i]))
			return true;
	return false;
}

bool mail_utf8_is_clean(struct slice text)
{
	uint32_t point = 0;

	while (text.len > 0) {
		size_t len = utf8_next(text, &point);

		if (len == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0))
			return false;
		text = slice_from(text, len);
	}
	return true;
}

/* atext of RFC 5322 §3.2.3; UTF-8 was looked at before. */
static bool is_atext(char c)
{
	return ascii_is_alnum(c) || is_high(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_dot_string(struct slice s)
{
	if (s.len == 0 || s.at[0] == '.' || s.at[s.len - 1] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == '.' ? s.at[i - 1] == '.' : !is_atext(s.at[i]))
			return false;
	return true;
}

/* Octets of the quoted string at the front, quotes counted; 0: there is no whole one. */
static size_t quoted_length(struct slice s)
{
	if (s.len == 0 || s.at[0] != '"')
		return 0;
	for (size_t i = 1; i < s.len; i++) {
		if (s.at[i] == '"')
			return i + 1;
		if (s.at[i] == '\\')
			i++;
	}
	return 0;
}

/* Takes the content out of a quoted string whose length was found above.  quoted-pairSMTP holds
 * only %d32-126. */
static bool unquote(struct slice quoted, char out[MAIL_LOCAL_MAX + 1])
{
	size_t len = 0;

	for (size_t i = 1; i + 1 < quoted.len; i++) {
		bool escaped = quoted.at[i] == '\\';
		char c = escaped ? quoted.at[++i] : quoted.at[i];

		if ((unsigned char)c < ' ' || c == 0x7f || (escaped && is_high(c)))
			return false;
		out[len++] = c;
	}
	out[len] = '\0';
	return true;
}

static bool plain_of_local(struct slice local, char out[MAIL_LOCAL_MAX + 1])
{
	if (local.len > 0 && local.at[0] == '"')
		return quoted_length(local) == local.len && unquote(local, out);
	return is_dot_string(local) && slice_copy(local, out, MAIL_LOCAL_MAX + 1);
}

/* Never longer than what it was made from: an escape that stays was there before. */
static size_t write_local(const char *plain, char *out)
{
	size_t len = 0;

	if (is_dot_string(slice_of(plain))) {
		memcpy(out, plain, strlen(plain));
		return strlen(plain);
	}
	out[len++] = '"';
	for (; *plain != '\0'; plain++) {
		if (*plain == '"' || *plain == '\\')
			out[len++] = '\\';
		out[len++] = *plain;
	}
	out[len++] = '"';
	return len;
}

static bool is_label(struct slice s)
{
	if (s.len == 0 || s.len > LABEL_MAX || s.at[0] == '-' || s.at[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

static bool is_ascii_domain(struct slice s)
{
	struct slice label;

	if (s.len == 0 || s.len > MAIL_DOMAIN_MAX || s.at[s.len - 1] == '.')
		return false;
	while (slice_cut(&s, '.', &label))
		if (!is_label(label))
			return false;
	return true;
}

static bool ascii_domain_parse(struct slice text, char out[MAIL_DOMAIN_MAX + 1])
{
	if (!is_ascii_domain(text) || !slice_copy(text, out, MAIL_DOMAIN_MAX + 1))
		return false;
	for (char *c = out; *c != '\0'; c++)
		*c = ascii_lower(*c);
	return true;
}

/* What IDNA makes of it is parsed again: a mapping must not bring in what a domain may not have. */
static bool unicode_domain_parse(struct slice text, char out[MAIL_DOMAIN_MAX + 1])
{
	char given[MAIL_DOMAIN_MAX + 1];
	uint8_t *ascii = NULL;
	bool good;

	if (!mail_utf8_is_clean(text) || !slice_copy(text, given, sizeof(given)))
		return false;
	if (idn2_lookup_u8((const uint8_t *)given, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) !=
	    IDN2_OK)
		return false;
	good = ascii_domain_parse(slice_of((const char *)ascii), out);
	idn2_free(ascii);
	return good;
}

bool mail_domain_parse(struct slice text, unsigned options, char out[MAIL_DOMAIN_MAX + 1])
{
	if (text.len > 0 && text.at[0] == '[')
		return literal_parse(text, out);
	if (!has_high(text))
		return ascii_domain_parse(text, out);
	return (options & MAIL_ALLOW_UTF8) && unicode_domain_parse(text, out);
}

/* The '@' that ends the local part; an '@' inside quotes does not. */
static size_t local_end(struct slice text)
{
	size_t quoted = quoted_length(text);
	size_t at = slice_index(slice_from(text, quoted), '@');

	return at == SLICE_NONE ? text.len : quoted + at;
}

static bool may_stand_alone(struct slice local, unsigned options)
{
	return (options & MAIL_ALLOW_BARE) ||
	       ((options & MAIL_ALLOW_POSTMASTER) && slice_eq_nocase(local, slice_of("postmaster")));
}

static enum mail_verdict check_shape(struct slice text, unsigned options)
{
	if (text.len == 0)
		return MAIL_EMPTY;
	if (text.len > MAIL_ADDRESS_MAX)
		return MAIL_TOO_LONG;
	if (text.at[0] == '@' && slice_index(text, ':') != SLICE_NONE)
		return MAIL_SOURCE_ROUTE;
	if (has_high(text) && !(options & MAIL_ALLOW_UTF8))
		return MAIL_NEEDS_UTF8;
	return MAIL_OK;
}

static enum mail_verdict parse_local(struct slice local, struct mail_address *a)
{
	if (local.len > MAIL_LOCAL_MAX)
		return MAIL_LOCAL_TOO_LONG;
	a->utf8 = has_high(local);
	if ((a->utf8 && !mail_utf8_is_clean(local)) || !plain_of_local(local, a->plain))
		return MAIL_BAD_LOCAL;
	a->local_len = (uint16_t)write_local(a->plain, a->text);
	a->domain_at = a->local_len;
	return MAIL_OK;
}

static enum mail_verdict parse_domain(struct slice domain, unsigned options, struct mail_address *a)
{
	char canonical[MAIL_DOMAIN_MAX + 1];
	size_t len;

	if (!mail_domain_parse(domain, options, canonical))
		return MAIL_BAD_DOMAIN;
	len = strlen(canonical);
	if (a->local_len + 1 + len > MAIL_ADDRESS_MAX)
		return MAIL_TOO_LONG; /* A-labels may be longer than what they were made from */
	a->text[a->local_len] = '@';
	memcpy(a->text + a->local_len + 1, canonical, len + 1);
	a->domain_at = (uint16_t)(a->local_len + 1);
	a->literal = canonical[0] == '[';
	return MAIL_OK;
}

enum mail_verdict mail_address_parse(struct slice text, unsigned options, struct mail_address *out)
{
	struct mail_address a = {0};
	enum mail_verdict verdict = check_shape(text, options);
	size_t at = local_end(text);

	if (verdict == MAIL_EMPTY && (options & MAIL_ALLOW_NULL)) {
		*out = a;
		return MAIL_OK;
	}
	if (verdict == MAIL_OK)
		verdict = parse_local(slice_sub(text, 0, at), &a);
	if (verdict == MAIL_OK && at < text.len)
		verdict = parse_domain(slice_from(text, at + 1), options, &a);
	else if (verdict == MAIL_OK && !may_stand_alone(text, options))
		verdict = MAIL_NO_DOMAIN;
	if (verdict == MAIL_OK)
		*out = a;
	return verdict;
}

bool mail_address_is_routed(const struct mail_address *a)
{
	struct slice plain = mail_address_plain(a);
	size_t percent = slice_rindex(plain, '%');
	size_t bang = slice_index(plain, '!');

	if (slice_index(plain, '@') != SLICE_NONE)
		return true;
	if (percent != SLICE_NONE && percent > 0 && is_ascii_domain(slice_from(plain, percent + 1)))
		return true;
	return bang != SLICE_NONE && bang + 1 < plain.len && is_ascii_domain(slice_sub(plain, 0, bang));
}

bool mail_path_cut(struct slice *rest, struct slice *inside_out)
{
	struct slice inside = slice_from(*rest, 1);
	size_t quoted, end;

	if (rest->len == 0 || rest->at[0] != '<')
		return false;
	quoted = quoted_length(inside);
	end = slice_index(slice_from(inside, quoted), '>');
	if (end == SLICE_NONE)
		return false;
	*inside_out = slice_sub(inside, 0, quoted + end);
	*rest = slice_from(inside, quoted + end + 1);
	return true;
}

bool mail_key_canonical(struct slice key, char out[MAIL_KEY_MAX + 1])
{
	struct mail_address address;

	if (!has_high(key))
		return false;
	if (slice_rindex(key, '@') == SLICE_NONE)
		return mail_domain_parse(key, MAIL_ALLOW_UTF8, out);
	if (key.at[0] == '@') {
		out[0] = '@';
		return mail_domain_parse(slice_from(key, 1), MAIL_ALLOW_UTF8, out + 1);
	}
	return mail_address_parse(key, MAIL_ALLOW_UTF8, &address) == MAIL_OK && slice_copy(mail_address_text(&address), out, MAIL_KEY_MAX + 1);
}
