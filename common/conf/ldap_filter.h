#ifndef POSTERN_CONF_LDAP_FILTER_H
#define POSTERN_CONF_LDAP_FILTER_H

#include "base/buf.h"

/*
 * A search filter (RFC 4515) with '?' where a value comes in.  Pure.
 *
 * Always: a value is only ever an assertion value: '?' stands behind the '=' of its item and nowhere else, and every byte of a value
 * that could mean anything in a filter is escaped, so that no value changes what is searched for.
 */
#define LDAP_FILTER_MAX 1024u

/* NULL: it is one.  Else what is wrong with it, for people. */
const char *ldap_filter_mistake(struct slice filter);

/* False: `out` is full. */
bool ldap_filter_fill(struct slice filter, struct slice value, struct buf *out);

#endif
