#ifndef POSTERN_LOOKUP_TRUST_H
#define POSTERN_LOOKUP_TRUST_H

#include "service/service.h"
#include "tls/tls.h"

/*
 * TLS to the server that this process asks: what it is verified by, and what we show of ourselves.  All of it is OpenSSL's, whatever
 * library speaks inside of it, and comes from memory: the master hands on sealed copies of the files (PATH_COPY), which are parsed in the
 * cage.  Before the cage the system's own certificates are read, and not looked into.
 */

/* Before the cage; needs: as CAGE says (enum conf_cage_needs).  Exits 75 where OpenSSL cannot be set up. */
void trust_prepare(uint64_t needs);
/* In the cage.  NULL with a sentence in `why`: a file cannot be used, or the system trusts nobody.  Never called with TLS_OFF. */
struct tls_client *trust_new(struct service *s, uint64_t generation, const struct conf_server_tls *tls, char *why, size_t why_size);

#endif
