#include "setting.h"

#include "conf/net.h"

static bool is_forwarder(struct slice word)
{
	size_t at = slice_index(word, '@');
	struct in6_addr address;
	uint64_t port = 53;

	if (at != SLICE_NONE && (!slice_u64(slice_from(word, at + 1), 65535, &port) || port == 0))
		return false;
	return net_address(slice_sub(word, 0, at), &address);
}

/* Beyond the maximum a forwarder is left out: the first ones are asked first anyway. */
static bool add(struct setting *out, struct slice word)
{
	if (!is_forwarder(word))
		return false;
	if (out->count == SETTING_FORWARDERS_MAX)
		return true;
	return slice_copy(word, out->forwarders[out->count++], SETTING_FORWARDER_BYTES);
}

/* resolv.conf(5); a line that is not understood is passed over, as libc does. */
static void read_resolv_conf(struct slice text, struct setting *out)
{
	struct slice line, word, address;

	while (slice_cut(&text, '\n', &line))
		if (slice_word(&line, &word) && slice_eq(word, slice_of("nameserver")) && slice_word(&line, &address))
			add(out, address);
}

bool setting_read(struct slice text, struct slice resolv_conf, struct setting *out)
{
	struct slice word;

	*out = (struct setting){.recurse = false};
	if (!slice_word(&text, &word))
		return false;
	if (slice_eq(word, slice_of("auto")))
		read_resolv_conf(resolv_conf, out);
	else if (slice_eq(word, slice_of("forward")))
		while (slice_word(&text, &word))
			if (!add(out, word))
				return false;
	out->recurse = slice_eq(word, slice_of("recurse")) || (slice_eq(word, slice_of("auto")) && out->count == 0);
	return (out->recurse || out->count > 0) && text.len == 0;
}
