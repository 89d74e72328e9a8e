#ifndef POSTERN_MAIL_LITERAL_H
#define POSTERN_MAIL_LITERAL_H

#include "mail/address.h"

/* Address literals of RFC 5321 §4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]" into their canonical
 * form.  General-address-literal has no tag that means anything, so it is refused. */
bool literal_parse(struct slice text, char out[MAIL_DOMAIN_MAX + 1]);

#endif
