#include "net/here.h"

#include <ifaddrs.h>
#include <string.h>

static bool is_v4(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

void here_add(struct here *h, const struct in6_addr *address)
{
	if (h->count == HERE_ADDRESSES_MAX)
		return;
	h->own[h->count++] = *address;
	if (!is_v4(address) && !IN6_IS_ADDR_LOOPBACK(address) && !IN6_IS_ADDR_LINKLOCAL(address))
		h->has_v6 = true;
}

static void add_v4(struct here *h, const struct sockaddr_in *in)
{
	struct in6_addr mapped = IN6ADDR_ANY_INIT;

	mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
	memcpy(&mapped.s6_addr[12], &in->sin_addr, 4);
	here_add(h, &mapped);
}

bool here_read(struct here *h)
{
	struct ifaddrs *list, *i;

	if (getifaddrs(&list) != 0)
		return false;
	for (i = list; i != NULL; i = i->ifa_next) {
		const void *address = i->ifa_addr;

		if (address != NULL && i->ifa_addr->sa_family == AF_INET)
			add_v4(h, address);
		if (address != NULL && i->ifa_addr->sa_family == AF_INET6)
			here_add(h, &((const struct sockaddr_in6 *)address)->sin6_addr);
	}
	freeifaddrs(list);
	return true;
}

static enum here_kind fixed_v4(const unsigned char octets[4])
{
	if (octets[0] == 0 || octets[0] == 127)
		return HERE_OWN;
	if (octets[0] >= 224 || (octets[0] == 169 && octets[1] == 254))
		return HERE_NO_HOST;
	return HERE_ELSEWHERE;
}

static enum here_kind fixed(const struct in6_addr *a)
{
	if (is_v4(a) || (IN6_IS_ADDR_V4COMPAT(a) && !IN6_IS_ADDR_LOOPBACK(a)))
		return fixed_v4(&a->s6_addr[12]);
	if (IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a))
		return HERE_OWN;
	return IN6_IS_ADDR_MULTICAST(a) || IN6_IS_ADDR_LINKLOCAL(a) ? HERE_NO_HOST : HERE_ELSEWHERE;
}

enum here_kind here_kind(const struct here *h, const struct in6_addr *address)
{
	for (size_t i = 0; i < h->count; i++)
		if (memcmp(&h->own[i], address, sizeof(*address)) == 0)
			return HERE_OWN;
	return fixed(address);
}
