#include "lookup.h"

#include "base/mem.h"
#include "conf/net.h"
#include "ipc/message.h"
#include "mail/literal.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdio.h>

enum part { PART_UNASKED, PART_OPEN, PART_KNOWN, PART_UNKNOWN };

/* A and AAAA of one host. */
struct host {
	uint16_t preference;
	char name[RDATA_NAME_BYTES];
	enum part parts[2]; /* A, AAAA */
	struct in6_addr addresses[2][LOOKUP_ADDRESSES_MAX];
	size_t counts[2];
};

struct lookup {
	enum lookup_kind kind;
	char name[RDATA_NAME_BYTES]; /* what is asked first */
	enum part first; /* the MX or PTR question; KNOWN from the start where there is none */
	bool any_insecure, any_unknown;
	enum outcome settled; /* OC_COUNT: by the hosts */
	const char *why; /* a literal */
	struct host hosts[LOOKUP_HOSTS_MAX];
	size_t host_count;
};

#define FIRST_NUMBER 0u /* of the MX or PTR question; host i asks 1 + 2i and 2 + 2i */

static const enum rdata_type part_types[2] = {RDATA_A, RDATA_AAAA};

static void settle(struct lookup *l, enum outcome outcome, const char *why)
{
	l->settled = outcome;
	l->why = why;
	l->first = PART_KNOWN;
}

/* ---- the subject ---- */

static struct host *add_host(struct lookup *l, uint16_t preference, const char *name)
{
	struct host *h = &l->hosts[l->host_count++];

	*h = (struct host){.preference = preference};
	memcpy(h->name, name, strlen(name) + 1);
	return h;
}

static void add_literal(struct lookup *l, const struct in6_addr *address)
{
	size_t part = net_is_v4(address) ? 0 : 1;
	struct host *h = add_host(l, 0, l->name);

	h->parts[0] = h->parts[1] = PART_KNOWN;
	h->addresses[part][0] = *address;
	h->counts[part] = 1;
	l->first = PART_KNOWN;
}

static void add_localhost(struct lookup *l)
{
	struct host *h = add_host(l, 0, "localhost");

	h->parts[0] = h->parts[1] = PART_KNOWN;
	h->counts[0] = h->counts[1] = 1;
	net_address(slice_of("127.0.0.1"), &h->addresses[0][0]);
	net_address(slice_of("::1"), &h->addresses[1][0]);
	l->first = PART_KNOWN;
}

/* "[192.0.2.1]" and "[IPv6:2001:db8::1]" (RFC 5321 §4.1.3). */
static bool is_literal(struct slice subject, struct in6_addr *out)
{
	char canonical[MAIL_DOMAIN_MAX + 1];
	struct slice inside;

	if (!literal_parse(subject, canonical))
		return false;
	inside = slice_sub(slice_of(canonical), 1, strlen(canonical) - 2);
	if (slice_starts_nocase(inside, slice_of("IPv6:")))
		inside = slice_from(inside, 5);
	return net_address(inside, out);
}

static bool is_label(struct slice label)
{
	for (size_t i = 0; i < label.len; i++)
		if (!ascii_is_alnum(label.at[i]) && label.at[i] != '-' && label.at[i] != '_')
			return false;
	return label.len > 0 && label.len <= 63;
}

static bool is_domain(struct slice name)
{
	struct slice label;
	size_t used = 0;

	if (name.len == 0 || name.len > 253)
		return false;
	while (slice_cut(&name, '.', &label)) {
		if (!is_label(label))
			return false;
		used += label.len + 1;
	}
	return used > 0;
}

/* U-labels become A-labels (RFC 5891); a name in ASCII stays as it is. */
static bool to_ascii(struct slice subject, char out[RDATA_NAME_BYTES])
{
	char text[512];
	uint8_t *made = NULL;
	bool fits;

	if (!slice_copy(subject, text, sizeof(text)) ||
	    idn2_lookup_u8((const uint8_t *)text, &made, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	fits = slice_copy(slice_of((const char *)made), out, RDATA_NAME_BYTES);
	idn2_free(made);
	return fits;
}

static bool is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] > 0x7f)
			return false;
	return true;
}

static bool take_domain(struct lookup *l, struct slice subject)
{
	bool dot = subject.len > 0 && subject.at[subject.len - 1] == '.';
	struct slice bare = slice_sub(subject, 0, subject.len - dot);

	if (is_ascii(bare) ? !slice_copy(bare, l->name, sizeof(l->name)) : !to_ascii(bare, l->name))
		return false;
	for (char *c = l->name; *c != '\0'; c++)
		*c = ascii_lower(*c);
	return is_domain(slice_of(l->name));
}

static void start_name(struct lookup *l, struct slice subject)
{
	struct in6_addr address;
	bool literal = is_literal(subject, &address) || (l->kind == LOOKUP_HOST && net_address(subject, &address));

	if (literal && slice_copy(subject, l->name, sizeof(l->name)))
		add_literal(l, &address);
	else if (!take_domain(l, subject))
		settle(l, OC_NO_SUCH_DOMAIN, "this is no domain name");
	else if (strcmp(l->name, "localhost") == 0)
		add_localhost(l);
	else if (l->kind == LOOKUP_HOST) {
		l->first = PART_KNOWN;
		add_host(l, 0, l->name);
	}
}

/* RFC 1035 §3.5, RFC 3596 §2.5. */
static void start_ptr(struct lookup *l, struct slice subject)
{
	struct in6_addr a;
	const unsigned char *v4 = &a.s6_addr[12];
	size_t at = 0;

	if (!net_address(subject, &a)) {
		settle(l, OC_NO_SUCH_DOMAIN, "this is no address");
		return;
	}
	if (net_is_v4(&a)) {
		snprintf(l->name, sizeof(l->name), "%u.%u.%u.%u.in-addr.arpa", v4[3], v4[2], v4[1], v4[0]);
		return;
	}
	for (size_t i = 16; i-- > 0; at += 4)
		snprintf(l->name + at, sizeof(l->name) - at, "%x.%x.", a.s6_addr[i] & 15u, a.s6_addr[i] >> 4);
	snprintf(l->name + at, sizeof(l->name) - at, "ip6.arpa");
}

struct lookup *lookup_new(enum lookup_kind kind, struct slice subject)
{
	struct lookup *l = mem_new(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->kind = kind;
	l->settled = OC_COUNT;
	l->why = "";
	if (kind == LOOKUP_PTR)
		start_ptr(l, subject);
	else
		start_name(l, subject);
	return l;
}

void lookup_free(struct lookup **lp)
{
	free(*lp);
	*lp = NULL;
}

/* ---- questions ---- */

static void ask(struct lookup_query *out, const char *name, enum rdata_type type)
{
	memcpy(out->name, name, strlen(name) + 1);
	out->type = type;
}

bool lookup_next(struct lookup *l, struct lookup_query *out, size_t *number_out)
{
	if (l->first == PART_UNASKED) {
		ask(out, l->name, l->kind == LOOKUP_MX ? RDATA_MX : RDATA_PTR);
		*number_out = FIRST_NUMBER;
		l->first = PART_OPEN;
		return true;
	}
	for (size_t i = 0; i < 2 * l->host_count && l->settled == OC_COUNT; i++) {
		struct host *h = &l->hosts[i / 2];

		if (h->parts[i % 2] != PART_UNASKED)
			continue;
		ask(out, h->name, part_types[i % 2]);
		*number_out = 1 + i;
		h->parts[i % 2] = PART_OPEN;
		return true;
	}
	return false;
}

/* ---- answers ---- */

/* Among hosts of one preference the order is chance, so that they share the load (RFC 5321 §5.1). */
static void shuffle(struct rdata_record *records, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		struct rdata_record kept = records[i - 1];
		uint32_t chance;

		mem_random(&chance, sizeof(chance));
		records[i - 1] = records[chance % i];
		records[chance % i] = kept;
	}
}

static int by_preference(const void *a, const void *b)
{
	const struct rdata_record *left = a, *right = b;

	return (int)left->preference - (int)right->preference;
}

static bool is_null_mx(const struct rdata *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->records[i].name[0] == '\0')
			return true;
	return false;
}

static void on_mx(struct lookup *l, const struct rdata *a)
{
	struct rdata sorted = *a;

	if (!a->exists) {
		settle(l, OC_NO_SUCH_DOMAIN, "the domain does not exist");
		return;
	}
	/* RFC 7505. */
	if (is_null_mx(a)) {
		settle(l, OC_NULL_MX, outcome_info(OC_NULL_MX)->text);
		return;
	}
	shuffle(sorted.records, sorted.count);
	qsort(sorted.records, sorted.count, sizeof(sorted.records[0]), by_preference);
	for (size_t i = 0; i < sorted.count && i < LOOKUP_HOSTS_MAX; i++)
		add_host(l, sorted.records[i].preference, sorted.records[i].name);
	/* Without MX records the domain is its own host. */
	if (sorted.count == 0)
		add_host(l, 0, l->name);
}

static void on_ptr(struct lookup *l, const struct rdata *a)
{
	for (size_t i = 0; i < a->count && i < LOOKUP_ADDRESSES_MAX; i++) {
		struct host *h;

		if (a->records[i].name[0] == '\0')
			continue;
		h = add_host(l, 0, a->records[i].name);
		h->parts[0] = h->parts[1] = PART_KNOWN;
	}
	if (l->host_count == 0)
		settle(l, OC_NO_SUCH_DOMAIN, "the address has no name");
	else
		settle(l, OC_DONE, "");
}

static void on_first(struct lookup *l, const struct rdata *a)
{
	if (l->first != PART_OPEN)
		return;
	l->first = PART_KNOWN;
	if (a == NULL)
		settle(l, OC_DNS_UNKNOWN, "no answer from DNS");
	else if (l->kind == LOOKUP_MX)
		on_mx(l, a);
	else
		on_ptr(l, a);
}

static void on_addresses(struct lookup *l, size_t i, const struct rdata *a)
{
	struct host *h;

	if (i >= 2 * l->host_count || l->hosts[i / 2].parts[i % 2] != PART_OPEN)
		return;
	h = &l->hosts[i / 2];
	h->parts[i % 2] = a == NULL ? PART_UNKNOWN : PART_KNOWN;
	for (size_t k = 0; a != NULL && k < a->count && k < LOOKUP_ADDRESSES_MAX; k++)
		h->addresses[i % 2][h->counts[i % 2]++] = a->records[k].address;
}

void lookup_answer(struct lookup *l, size_t number, const struct rdata *answer)
{
	l->any_unknown |= answer == NULL;
	l->any_insecure |= answer == NULL || !answer->secure;
	if (number == FIRST_NUMBER)
		on_first(l, answer);
	else
		on_addresses(l, number - 1, answer);
}

void lookup_give_up(struct lookup *l)
{
	if (l->first == PART_UNASKED)
		l->first = PART_OPEN;
	lookup_answer(l, FIRST_NUMBER, NULL);
	for (size_t i = 0; i < l->host_count; i++)
		for (size_t part = 0; part < 2; part++)
			if (l->hosts[i].parts[part] < PART_KNOWN)
				l->hosts[i].parts[part] = PART_UNKNOWN;
}

/* ---- the end ---- */

bool lookup_is_over(const struct lookup *l)
{
	if (l->first < PART_KNOWN)
		return false;
	for (size_t i = 0; l->settled == OC_COUNT && i < l->host_count; i++)
		if (l->hosts[i].parts[0] < PART_KNOWN || l->hosts[i].parts[1] < PART_KNOWN)
			return false;
	return true;
}

static bool has_address(const struct lookup *l)
{
	for (size_t i = 0; i < l->host_count; i++)
		if (l->hosts[i].counts[0] + l->hosts[i].counts[1] > 0)
			return true;
	return false;
}

enum outcome lookup_outcome(const struct lookup *l)
{
	if (l->settled != OC_COUNT)
		return l->settled;
	if (has_address(l))
		return OC_DONE;
	return l->any_unknown ? OC_DNS_UNKNOWN : OC_NO_SUCH_DOMAIN;
}

const char *lookup_text(const struct lookup *l)
{
	if (l->settled != OC_COUNT || has_address(l))
		return l->why;
	return l->any_unknown ? "no answer from DNS" : "no address belongs to the name";
}

bool lookup_is_secure(const struct lookup *l)
{
	return !l->any_insecure;
}

static bool add_record(struct buf *out, const struct host *h, const struct in6_addr *address)
{
	char text[INET6_ADDRSTRLEN] = "";
	struct rec_mx_host rec = {h->preference, slice_of(h->name), slice_empty()};

	if (address != NULL && net_is_v4(address))
		inet_ntop(AF_INET, &address->s6_addr[12], text, sizeof(text));
	else if (address != NULL)
		inet_ntop(AF_INET6, address, text, sizeof(text));
	rec.address = slice_of(text);
	return rec_mx_host_add(out, &rec);
}

bool lookup_records(const struct lookup *l, struct buf *out)
{
	for (size_t i = 0; i < l->host_count; i++) {
		const struct host *h = &l->hosts[i];

		if (h->counts[0] + h->counts[1] == 0)
			add_record(out, h, NULL);
		for (size_t part = 0; part < 2; part++)
			for (size_t k = 0; k < h->counts[part]; k++)
				add_record(out, h, &h->addresses[part][k]);
	}
	return buf_ok(out);
}
