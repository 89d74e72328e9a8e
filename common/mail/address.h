#ifndef POSTERN_MAIL_ADDRESS_H
#define POSTERN_MAIL_ADDRESS_H

#include "base/slice.h"

/*
 * The address of an envelope: Mailbox of RFC 5321 §4.1.2, with the UTF-8 of RFC 6531 §3.3 where it
 * is allowed.  Strict: no comments, no folding, no obsolete forms, no source route (§4.1.2 permits
 * refusing what §3.6.1 deprecates).
 *
 * The canonical form, which is what travels between processes: a local part has quotes only where
 * it needs them, a domain is lower case and in A-labels (RFC 5890), so that U-label and A-label are
 * one domain; an address literal is written as RFC 5952 writes it.  The case of a local part is
 * kept.
 */
#define MAIL_LOCAL_MAX 64u /* RFC 5321 §4.5.3.1.1, quotes and backslashes counted */
#define MAIL_DOMAIN_MAX 255u /* §4.5.3.1.2 */
#define MAIL_ADDRESS_MAX 254u /* §4.5.3.1.3: 256 with its angle brackets */

enum mail_option {
	MAIL_ALLOW_UTF8 = 1 << 0, /* without it: MAIL_NEEDS_UTF8 */
	MAIL_ALLOW_NULL = 1 << 1, /* "" is the null sender */
	MAIL_ALLOW_POSTMASTER = 1 << 2, /* "postmaster" needs no domain (RFC 5321 §4.1.1.3) */
	MAIL_ALLOW_BARE = 1 << 3, /* no local part needs one: alias files, sendmail */
};

enum mail_verdict {
	MAIL_OK,
	MAIL_EMPTY,
	MAIL_NO_DOMAIN,
	MAIL_BAD_LOCAL,
	MAIL_BAD_DOMAIN,
	MAIL_LOCAL_TOO_LONG,
	MAIL_TOO_LONG,
	MAIL_SOURCE_ROUTE,
	MAIL_NEEDS_UTF8,
};

/* For people: "bad local part", ... */
const char *mail_verdict_text(enum mail_verdict verdict);

/* May be copied.  Read it by the functions below. */
struct mail_address {
	char text[MAIL_ADDRESS_MAX + 1]; /* canonical, NUL-terminated; "" is the null sender */
	char plain[MAIL_LOCAL_MAX +
		   1]; /* the local part's content: no quotes, no backslashes; NUL-terminated */
	uint16_t local_len; /* of `text`, quotes counted */
	uint16_t domain_at; /* in `text`; where there is no domain: its end */
	bool utf8; /* the local part has octets above 127: needs SMTPUTF8 on its way */
	bool literal; /* the domain is an address literal */
};

/* `text` without angle brackets.  `*out` is only written with MAIL_OK. */
enum mail_verdict mail_address_parse(struct slice text, unsigned options, struct mail_address *out);

static inline struct slice mail_address_text(const struct mail_address *a)
{
	return slice_of(a->text);
}
/* As it stands in `text`, with its quotes. */
static inline struct slice mail_address_local(const struct mail_address *a)
{
	return slice_make(a->text, a->local_len);
}
static inline struct slice mail_address_plain(const struct mail_address *a)
{
	return slice_of(a->plain);
}
/* Empty: there is none. */
static inline struct slice mail_address_domain(const struct mail_address *a)
{
	return slice_of(a->text + a->domain_at);
}
static inline bool mail_address_is_null(const struct mail_address *a)
{
	return a->text[0] == '\0';
}

/* The local part itself names another host: "user%host", "host!user", "\"user@host\"".  We never
 * act on that; who would pass such a recipient on might (RFC 5321 §3.6.1 and appendix F.2), so
 * smtpd refuses it. */
bool mail_address_is_routed(const struct mail_address *a);

/* Domain or address literal, into its canonical form.  UTF-8 needs MAIL_ALLOW_UTF8, as above.
 * False: it is none. */
bool mail_domain_parse(struct slice text, unsigned options, char out[MAIL_DOMAIN_MAX + 1]);

/* A key that names an address, a domain or "@domain" with octets above 127, as addresses are asked for: its domain in A-labels.
 * False: it is none, or needs nothing done. */
#define MAIL_KEY_MAX (MAIL_ADDRESS_MAX + 2u)
bool mail_key_canonical(struct slice key, char out[MAIL_KEY_MAX + 1]);

/* Cuts a "<...>" off the front of `*rest`; a ">" inside a quoted local part does not end it.
 * False: no such thing. */
bool mail_path_cut(struct slice *rest, struct slice *inside_out);

/* Well-formed UTF-8 (RFC 3629) without C0, DEL or C1 controls. */
bool mail_utf8_is_clean(struct slice text);

#endif
