#ifndef POSTERN_RULES_FACT_H
#define POSTERN_RULES_FACT_H

#include "conf/conf.h"

#include <netinet/in.h>

/*
 * What a rule may ask about: each fact has a name, a type and the places where it is known.  To add
 * one: a line here and a row in fact.c.
 */
enum fact_id {
	FACT_CLIENT, /* the peer's address; empty: mail made on this host */
	FACT_CLIENT_EARLY, /* spoke before the banner */
	FACT_CLIENT_PIPELINED, /* sent commands behind HELO or EHLO before the answer */
	FACT_LISTENER_ROLE, /* "mx", "submission", "local" */
	FACT_LISTENER_NAME, /* as the configuration calls it; "local": the submission socket */
	FACT_LISTENER_ADDRESS, /* the client came to; empty: the submission socket */
	FACT_LISTENER_PORT,
	FACT_HOSTNAME, /* what we call ourselves there */
	FACT_TLS, /* derived from tls.version */
	FACT_TLS_VERSION, /* "TLSv1.3"; empty: in clear */
	FACT_TLS_CIPHER,
	FACT_TLS_SNI,
	FACT_TLS_CLIENT_FINGERPRINT, /* of its certificate; empty: it showed none */
	FACT_TLS_CLIENT_NAME, /* the first of them */
	FACT_TLS_CLIENT_NAMES, /* in the certificate, a space between; empty unless it was verified */
	FACT_TLS_CLIENT_VERIFIED,
	FACT_HELO_NAME, /* as said */
	FACT_LOGIN, /* attested; empty: none */
	FACT_AUTHENTICATED, /* derived from login */
	FACT_SENDER, /* without <>; empty: the null sender */
	FACT_SENDER_LOCAL, /* derived, like all parts of addresses */
	FACT_SENDER_DOMAIN,
	FACT_SIZE, /* bytes: announced by SIZE=, at stage data received; 0: not announced */
	FACT_RECIPIENT,
	FACT_RECIPIENT_LOCAL,
	FACT_RECIPIENT_DOMAIN,
	FACT_RECIPIENT_USER, /* the local part without its sub-address */
	FACT_RECIPIENT_DETAIL, /* the sub-address; empty: none */
	FACT_RECIPIENT_BASE, /* the address without it */
	FACT_RECIPIENT_IS_USER, /* its local part is a system user that mail is delivered to */
	FACT_RECIPIENT_HAS_SENT, /* mail by who may send has come from it (queue-manager/senders.h) */
	FACT_RECIPIENT_COUNT, /* this one included */
	FACT_ADDRESS, /* being rewritten */
	FACT_ADDRESS_LOCAL,
	FACT_ADDRESS_DOMAIN,
	FACT_COUNT
};

enum fact_type {
	FACT_TYPE_TEXT,
	FACT_TYPE_DOMAIN, /* text with the shapes of host names */
	FACT_TYPE_ADDRESS, /* text: local@domain */
	FACT_TYPE_IP,
	FACT_TYPE_NUMBER,
	FACT_TYPE_SIZE,
	FACT_TYPE_BOOL,
	FACT_TYPE_WORD, /* one of a few words */
};

/* Where rules stand: the stages of a session (enum conf_stage), routes, and the rewriting of addresses. */
#define RULES_ROUTE STAGE_COUNT
#define RULES_REWRITE (STAGE_COUNT + 1)
#define RULES_IN(place) (1u << (place))
const char *rules_place_name(unsigned place); /* "connect" ... "route", "rewrite" */

/* How a fact follows from another: the source is never asked for those. */
enum fact_part { FACT_WHOLE, FACT_LOCAL_PART, FACT_DOMAIN_PART, FACT_IS_SET };

struct fact_info {
	const char *name;
	enum fact_type type;
	unsigned places; /* RULES_IN(...) */
	const char *const *words; /* FACT_TYPE_WORD: ends with NULL */
	enum fact_id base; /* with part != FACT_WHOLE */
	enum fact_part part;
	const char *about; /* one line for people */
};

const struct fact_info *fact_info(enum fact_id id);
/* FACT_COUNT: no such fact.  `helo` is another name of helo.name. */
enum fact_id fact_find(struct slice name);

/* The parts of an address: cut at its last `@`; without one it is all local part. */
struct slice fact_local_part(struct slice address);
struct slice fact_domain_part(struct slice address);

/* What a text may look like: `helo is literal`. */
enum shape { SHAPE_UNKNOWN, SHAPE_NULL, SHAPE_FQDN, SHAPE_LITERAL, SHAPE_BARE_ADDRESS, SHAPE_COUNT };
const char *shape_name(enum shape shape);
enum shape shape_find(struct slice name); /* SHAPE_COUNT: none */
bool shape_fits_type(enum shape shape, enum fact_type type);
/* Not for SHAPE_UNKNOWN, which is no property of a text. */
bool shape_has(enum shape shape, struct slice text);

#endif
