#ifndef POSTERN_LOOKUP_LDAP_SESSION_H
#define POSTERN_LOOKUP_LDAP_SESSION_H

#include "conf/conf.h"

#include "tls/tls.h"

#include <ldap.h>

/*
 * libldap over a connection that is there already, for the directory of `auth` and for tables.  Blocks, until `until_ms` at the most.
 *
 * Always: no name and no password that is empty is ever bound with (RFC 4513 §5.1: that is no login, and succeeds); referrals lead nowhere;
 * aliases are not followed; an answer has at most 64 KiB for `auth`, more for a table only as its caller says.
 */
#define LDAP_WHY_MAX 255u

struct ldap_session {
	int fd; /* the connection; libldap's own once it has it */
	LDAP *ld; /* owned */
	struct ldap_secure *secure; /* owned; NULL: in clear */
	uint64_t until_ms;
	char why[LDAP_WHY_MAX + 1]; /* what has failed */
};

/* Takes the connection, sets bounds, and TLS (`tls` is NULL where the mode is off).  False with `why`. */
bool ldap_session_open(struct ldap_session *s, const struct conf_ldap_server *server, enum conf_tls_mode mode, struct tls_client *tls,
		       unsigned answer_bytes_max);
void ldap_session_close(struct ldap_session *s);
/* A code of libldap; LDAP_PARAM_ERROR for an empty name or password. */
int ldap_session_bind(struct ldap_session *s, const char *dn, struct slice secret);
/* As who the connection shows us to be: over a Unix socket the user that made it, in TLS the certificate. */
int ldap_session_bind_external(struct ldap_session *s);
/* For entries below `base` where `value` stands for the '?' of `filter`; at most `most` of them.  A code; `result_out` may be set whatever it
 * is (ldap_msgfree). */
int ldap_session_search(struct ldap_session *s, const char *base, const char *filter, struct slice value, char **attributes, int most,
			LDAPMessage **result_out);
/* Whether the entry is of that class; NULL: of any. */
bool ldap_session_has_class(struct ldap_session *s, LDAPMessage *entry, const char *object_class);
/* Says it in `why`, and is false. */
bool ldap_session_failed(struct ldap_session *s, const char *step, int code);

#endif
