#include "relay_hosts.h"

#include "base/log.h"
#include "conf/net.h"
#include "ipc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_at(const struct hosts_one *h, const char *address)
{
	return slice_eq(slice_of(h->address), slice_of(address));
}

/* Never ourselves, never a host that is none, each with an address that can be dialled. */
static void check(const struct hosts *out, const struct hosts_facts *facts)
{
	struct in6_addr a;

	MUST(out->count > 0 && out->count <= HOSTS_TRIED_MAX);
	for (size_t i = 0; i < out->count; i++) {
		const struct hosts_one *h = &out->list[i];

		MUST(memchr(h->name, '\0', sizeof(h->name)) != NULL && memchr(h->address, '\0', sizeof(h->address)) != NULL);
		MUST(h->address[0] != '\0');
		if (facts->allow_local)
			continue;
		MUST(net_address(slice_of(h->address), &a) && here_kind(facts->here, &a) == HERE_ELSEWHERE);
		MUST(!is_at(h, "127.0.0.1") && !is_at(h, "192.0.2.99") && !slice_eq_nocase(slice_of(h->name), slice_of(facts->hostname)));
	}
}

/* The resolver's answer, whatever it is: the first byte says what we are, the rest are the records. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct here here = {.count = 0};
	struct hosts_facts facts = {&here, "mx.example.test", size > 0 && (data[0] & 1) != 0};
	struct hosts out;
	struct in6_addr own;
	const char *why;

	if (size < 1)
		return 0;
	MUST(net_address(slice_of("192.0.2.99"), &own));
	here_add(&here, &own);
	here.has_v6 = (data[0] & 2) != 0;
	if (hosts_read(slice_make((const char *)data + 1, size - 1), &facts, &out, &why) == OC_DONE)
		check(&out, &facts);
	else
		MUST(why[0] != '\0');
	return 0;
}
