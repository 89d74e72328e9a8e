#include "conf/net.h"

#include <arpa/inet.h>

#define V4_BITS 96u /* of the mapped prefix ::ffff:0:0 */

bool net_address(struct slice s, struct in6_addr *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (!slice_copy(s, text, sizeof(text)) || s.len == 0)
		return false;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		memset(out, 0, sizeof(*out));
		out->s6_addr[10] = out->s6_addr[11] = 0xff;
		memcpy(&out->s6_addr[12], &v4, sizeof(v4));
		return true;
	}
	return inet_pton(AF_INET6, text, out) == 1;
}

bool net_is_v4(const struct in6_addr *a)
{
	return IN6_IS_ADDR_V4MAPPED(a);
}

bool net_is_loopback(struct slice host)
{
	struct in6_addr a;

	if (!net_address(host, &a))
		return slice_eq_nocase(host, slice_of("localhost"));
	return net_is_v4(&a) ? a.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&a);
}

static unsigned char mask_of(unsigned bits, size_t byte)
{
	if (bits >= 8 * (byte + 1))
		return 0xff;
	if (bits <= 8 * byte)
		return 0;
	return (unsigned char)(0xff00u >> (bits - 8 * byte) & 0xffu);
}

enum net_parse net_cidr(struct slice s, struct conf_cidr *out)
{
	size_t slash = slice_index(s, '/');
	uint64_t bits = 128;
	bool is_v4, stray = false;

	if (!net_address(slash == SLICE_NONE ? s : slice_sub(s, 0, slash), &out->address))
		return NET_BAD;
	is_v4 = slice_index(s, ':') == SLICE_NONE;
	if (slash != SLICE_NONE && !slice_u64(slice_from(s, slash + 1), is_v4 ? 32 : 128, &bits))
		return NET_BAD;
	out->bits = (unsigned)bits + (is_v4 && slash != SLICE_NONE ? V4_BITS : 0);
	for (size_t i = 0; i < 16; i++) {
		unsigned char kept = out->address.s6_addr[i] & mask_of(out->bits, i);

		stray = stray || kept != out->address.s6_addr[i];
		out->address.s6_addr[i] = kept;
	}
	return stray ? NET_HOST_BITS : NET_OK;
}

bool net_contains(const struct conf_cidr *net, const struct in6_addr *a)
{
	for (size_t i = 0; i < 16; i++)
		if ((a->s6_addr[i] & mask_of(net->bits, i)) != net->address.s6_addr[i])
			return false;
	return true;
}

bool net_list_contains(const struct conf_cidr *nets, size_t count, struct slice address)
{
	struct in6_addr a;

	if (!net_address(address, &a))
		return false;
	for (size_t i = 0; i < count; i++)
		if (net_contains(&nets[i], &a))
			return true;
	return false;
}

void net_print(struct buf *out, const struct conf_cidr *net)
{
	bool is_v4 = net_is_v4(&net->address) && net->bits >= V4_BITS;
	char text[INET6_ADDRSTRLEN] = "";

	if (is_v4)
		inet_ntop(AF_INET, &net->address.s6_addr[12], text, sizeof(text));
	else
		inet_ntop(AF_INET6, &net->address, text, sizeof(text));
	buf_add_text(out, text);
	if (net->bits < 128)
		buf_addf(out, "/%u", is_v4 ? net->bits - V4_BITS : net->bits);
}
