#ifndef POSTERN_LOOKUP_LDAP_SECURE_H
#define POSTERN_LOOKUP_LDAP_SECURE_H

#include "tls/tls.h"

#include <ldap.h>

/*
 * TLS beneath libldap: a layer of its Sockbuf (lber-sockbuf), so that what verifies a directory is what verifies every other server here, with
 * certificates from memory; libldap's own TLS is never asked.  Waits, as libldap does, until the time that it is told.
 */
struct ldap_secure;

/* Does the handshake over `fd`, which blocks and is libldap's, then puts itself beneath `ld`.  NULL with a sentence in `why`. */
struct ldap_secure *ldap_secure_new(LDAP *ld, int fd, struct tls_client *tls, const char *name, uint64_t until_ms, char *why, size_t why_size);
void ldap_secure_until(struct ldap_secure *s, uint64_t until_ms);
/* After `ld` is unbound. */
void ldap_secure_free(struct ldap_secure **sp);

#endif
