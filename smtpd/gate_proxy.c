#include "gate_proxy.h"

#include "conf/net.h"

static enum proxy_step bad(struct proxy_header *out, const char *why)
{
	out->why = why;
	return PROXY_BAD;
}

/* ---- version 1: a line of text (§2.1) ---- */

static const struct slice v1_signature = {"PROXY ", 6};

static bool take_address(struct slice *rest, bool v6, struct in6_addr *out)
{
	struct slice word;

	return slice_cut(rest, ' ', &word) && net_address(word, out) && (slice_index(word, ':') != SLICE_NONE) == v6;
}

/* "Heading zeroes are not permitted", nor anything else but digits. */
static bool is_port(struct slice word, uint16_t *out)
{
	uint64_t port;

	if (word.len > 5 || (word.len > 1 && word.at[0] == '0') || !slice_u64(word, UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

/* "TCP4 192.0.2.1 192.0.2.2 4711 25" */
static enum proxy_step parse_line(struct slice line, struct proxy_header *out)
{
	struct slice rest = line, family, port;

	if (!slice_cut(&rest, ' ', &family))
		return bad(out, "no family");
	if (slice_eq(family, slice_of("UNKNOWN")))
		return PROXY_NAMELESS; /* what follows is to be ignored */
	if (!slice_eq(family, slice_of("TCP4")) && !slice_eq(family, slice_of("TCP6")))
		return bad(out, "an unknown family");
	if (!take_address(&rest, family.at[3] == '6', &out->client) || !take_address(&rest, family.at[3] == '6', &out->local))
		return bad(out, "an address of that family is expected");
	if (!slice_cut(&rest, ' ', &port) || !is_port(port, &out->client_port) || !is_port(rest, &out->local_port))
		return bad(out, "a port is expected, and then the line's end");
	return PROXY_CLIENT;
}

static enum proxy_step parse_v1(struct slice in, struct proxy_header *out)
{
	struct slice line = slice_sub(in, 0, PROXY_V1_MAX);
	size_t cr = slice_index(line, '\r');

	if (slice_index(line, '\n') < cr)
		return bad(out, "the line ends without a carriage return");
	if (cr == SLICE_NONE || cr + 1 == line.len)
		return line.len < PROXY_V1_MAX ? PROXY_MORE : bad(out, "the line is too long");
	if (line.at[cr + 1] != '\n')
		return bad(out, "a carriage return in the line");
	out->len = cr + 2;
	return parse_line(slice_sub(line, v1_signature.len, cr - v1_signature.len), out);
}

/* ---- version 2: binary (§2.2) ---- */

static const struct slice v2_signature = {"\r\n\r\n\0\r\nQUIT\n", 12};
#define V2_FIXED 16u
enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };

static unsigned octet(struct slice in, size_t at)
{
	return (unsigned char)in.at[at];
}

static uint16_t number16(struct slice in, size_t at)
{
	return (uint16_t)(octet(in, at) << 8 | octet(in, at + 1));
}

/* §2.2.1: none is used, but they must fill their place. */
static bool are_tlvs(struct slice rest)
{
	while (rest.len >= 3) {
		size_t len = 3u + number16(rest, 1);

		if (len > rest.len)
			return false;
		rest = slice_from(rest, len);
	}
	return rest.len == 0;
}

static struct in6_addr address_at(struct slice body, size_t at, size_t bytes)
{
	struct in6_addr a = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

	memcpy(a.s6_addr + (sizeof(a.s6_addr) - bytes), body.at + at, bytes);
	return a;
}

static enum proxy_step parse_addresses(struct slice body, size_t bytes, struct proxy_header *out)
{
	size_t ports = 2 * bytes;

	if (body.len < ports + 4)
		return bad(out, "too short for its addresses");
	if (!are_tlvs(slice_from(body, ports + 4)))
		return bad(out, "values behind the addresses do not fit");
	out->client = address_at(body, 0, bytes);
	out->local = address_at(body, bytes, bytes);
	out->client_port = number16(body, ports);
	out->local_port = number16(body, ports + 2);
	return PROXY_CLIENT;
}

static enum proxy_step parse_body(unsigned command, unsigned family, struct slice body, struct proxy_header *out)
{
	if (command == V2_LOCAL)
		return PROXY_OWN; /* the family is to be ignored */
	switch (family) {
	case 0x11: /* AF_INET, STREAM */
		return parse_addresses(body, 4, out);
	case 0x21: /* AF_INET6, STREAM */
		return parse_addresses(body, 16, out);
	case 0x00: /* UNSPEC */
	case 0x31: /* AF_UNIX, STREAM */
		return PROXY_NAMELESS;
	default:
		return bad(out, "an unknown family or protocol");
	}
}

static enum proxy_step parse_v2(struct slice in, struct proxy_header *out)
{
	unsigned command;
	size_t len;

	if (in.len < V2_FIXED)
		return PROXY_MORE;
	command = octet(in, 12);
	len = V2_FIXED + number16(in, 14);
	if (command != V2_LOCAL && command != V2_PROXY)
		return bad(out, "an unknown version or command");
	if (len > PROXY_V2_MAX)
		return bad(out, "the header is too long");
	if (in.len < len)
		return PROXY_MORE;
	out->len = len;
	return parse_body(command, octet(in, 13), slice_sub(in, V2_FIXED, len - V2_FIXED), out);
}

/* ---- which ---- */

static bool begins(struct slice in, struct slice signature)
{
	size_t len = in.len < signature.len ? in.len : signature.len;

	return slice_eq(slice_sub(in, 0, len), slice_sub(signature, 0, len));
}

enum proxy_step proxy_parse(struct slice in, struct proxy_header *out)
{
	*out = (struct proxy_header){.len = 0, .why = ""};
	if (in.len == 0)
		return PROXY_MORE;
	if (begins(in, v1_signature))
		return parse_v1(in, out);
	if (begins(in, v2_signature))
		return parse_v2(in, out);
	return bad(out, "no PROXY header");
}
