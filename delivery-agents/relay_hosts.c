#include "relay_hosts.h"

#include "base/mem.h"
#include "conf/net.h"
#include "ipc/message.h"

#define RECORDS_MAX 512u /* walked; the resolver gives fewer */

/* What one record means to us. */
enum meaning { MEANS_USABLE, MEANS_IGNORED, MEANS_OURSELVES };

static bool is_our_name(const struct hosts_facts *f, struct slice name)
{
	if (name.len > 0 && name.at[name.len - 1] == '.')
		name.len--;
	return slice_eq_nocase(name, slice_of(f->hostname)) || slice_eq_nocase(name, slice_of("localhost"));
}

/* A loopback address says nothing about who is meant: every host has it.  An interface's own address does. */
static enum meaning meaning_of(const struct hosts_facts *f, const struct rec_mx_host *rec)
{
	static const struct here nobody = {.count = 0};
	struct in6_addr a;

	if (f->allow_local)
		return rec->address.len > 0 ? MEANS_USABLE : MEANS_IGNORED;
	if (is_our_name(f, rec->name))
		return MEANS_OURSELVES;
	if (rec->address.len == 0 || !net_address(rec->address, &a))
		return MEANS_IGNORED;
	switch (here_kind(f->here, &a)) {
	case HERE_OWN:
		return here_kind(&nobody, &a) == HERE_OWN ? MEANS_IGNORED : MEANS_OURSELVES;
	case HERE_NO_HOST:
		return MEANS_IGNORED;
	case HERE_ELSEWHERE:
		break;
	}
	return MEANS_USABLE;
}

/* The preference from which on all are left out.  False: malformed. */
static bool find_limit(struct slice rest, const struct hosts_facts *f, uint64_t *limit_out)
{
	struct rec_mx_host rec;

	*limit_out = UINT64_MAX;
	for (unsigned i = 0; i < RECORDS_MAX && rec_mx_host_next(&rest, &rec); i++)
		if (meaning_of(f, &rec) == MEANS_OURSELVES && rec.preference < *limit_out)
			*limit_out = rec.preference;
	return rest.len == 0;
}

static bool is_v6(struct slice address)
{
	return slice_index(address, ':') != SLICE_NONE;
}

static bool has_v4(struct slice rest, const struct hosts_facts *f, uint64_t limit)
{
	struct rec_mx_host rec;

	while (rec_mx_host_next(&rest, &rec))
		if (rec.preference < limit && meaning_of(f, &rec) == MEANS_USABLE && !is_v6(rec.address))
			return true;
	return false;
}

static void add(struct hosts *out, const struct rec_mx_host *rec)
{
	struct hosts_one *to = &out->list[out->count];

	if (out->count < HOSTS_TRIED_MAX && slice_copy(rec->name, to->name, sizeof(to->name)) &&
	    slice_copy(rec->address, to->address, sizeof(to->address)))
		out->count++;
}

enum outcome hosts_read(struct slice records, const struct hosts_facts *facts, struct hosts *out, const char **why)
{
	struct slice rest = records;
	struct rec_mx_host rec;
	uint64_t limit;
	bool without_v6;

	out->count = 0;
	*why = "";
	if (!find_limit(records, facts, &limit)) {
		*why = "the resolver's answer cannot be read";
		return OC_DNS_UNKNOWN;
	}
	/* A host without IPv6 of its own does not try it first, unless there is nothing else. */
	without_v6 = !facts->here->has_v6 && !facts->allow_local && has_v4(records, facts, limit);
	while (rec_mx_host_next(&rest, &rec))
		if (rec.preference < limit && meaning_of(facts, &rec) == MEANS_USABLE &&
		    !(without_v6 && is_v6(rec.address)))
			add(out, &rec);
	if (out->count > 0)
		return OC_DONE;
	*why = limit != UINT64_MAX ? "mail for it would come back: the best host left is this one"
				   : "its hosts have no address that mail can be sent to";
	return limit != UINT64_MAX ? OC_ROUTE_LOOP : OC_NO_SUCH_DOMAIN;
}
