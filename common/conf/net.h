#ifndef POSTERN_CONF_NET_H
#define POSTERN_CONF_NET_H

#include "conf/conf.h"

/* Addresses as text without brackets: "192.0.2.1" (kept as ::ffff:192.0.2.1), "2001:db8::1".  No names,
 * no scopes. */
bool net_address(struct slice s, struct in6_addr *out);
bool net_is_v4(const struct in6_addr *a);
/* The name localhost, or an address that never leaves this host; not another name, whatever it looks like. */
bool net_is_loopback(struct slice host);

enum net_parse {
	NET_OK,
	NET_BAD, /* no network */
	NET_HOST_BITS, /* bits after the prefix are set; `out` is the network that was meant */
};
/* "192.0.2.0/24", "2001:db8::/32", or one address. */
enum net_parse net_cidr(struct slice s, struct conf_cidr *out);
bool net_contains(const struct conf_cidr *net, const struct in6_addr *a);
bool net_list_contains(const struct conf_cidr *nets, size_t count, struct slice address);
void net_print(struct buf *out, const struct conf_cidr *net);

#endif
