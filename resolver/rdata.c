#include "rdata.h"

#include "base/mem.h"

#define HEAD_BYTES 12u
#define RECORD_HEAD_BYTES 10u /* type, class, time to live, length */
#define POINTERS_MAX 32u /* in one name */
#define ALIASES_MAX 16u
#define CLASS_IN 1u
#define FLAG_RESPONSE 0x8000u
#define RCODE_BITS 0xfu
#define RCODE_NXDOMAIN 3u

/* A place in the packet that only moves forward; `bad` sticks. */
struct reader {
	struct slice packet;
	size_t at;
	bool bad;
};

static const unsigned char *take(struct reader *r, size_t n)
{
	const char *at = r->packet.at + r->at;

	if (r->bad || n > r->packet.len - r->at) {
		r->bad = true;
		return NULL;
	}
	r->at += n;
	return (const unsigned char *)at;
}

static unsigned take_u16(struct reader *r)
{
	const unsigned char *p = take(r, 2);

	return p == NULL ? 0 : (unsigned)p[0] << 8 | p[1];
}

/* What a host or domain name on the wire may hold that we go on with: no dot inside a label, nothing that needs escaping. */
static bool is_host_char(char c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_';
}

/* A name as text while it is read; `odd`: it is well formed, but no host is called so. */
struct name {
	char text[RDATA_NAME_BYTES];
	size_t len;
	bool odd;
};

static bool add_label(struct name *n, const unsigned char *label, size_t len)
{
	if (n->len + (n->len > 0) + len > 253)
		return false;
	if (n->len > 0)
		n->text[n->len++] = '.';
	for (size_t i = 0; i < len; i++) {
		char c = ascii_lower((char)label[i]);

		n->odd |= !is_host_char(c);
		n->text[n->len++] = is_host_char(c) ? c : '?';
	}
	n->text[n->len] = '\0';
	return true;
}

/* A compression pointer leads to an earlier place, and is followed a bounded number of times (RFC 1035 §4.1.4). */
static bool follow(struct reader *walk, unsigned first, unsigned *pointers)
{
	const unsigned char *second = take(walk, 1);
	size_t target = second == NULL ? 0 : (size_t)(first & 0x3f) << 8 | *second;

	if (second == NULL || target >= walk->at - 2 || ++*pointers > POINTERS_MAX)
		return false;
	walk->at = target;
	return true;
}

static bool take_label(struct reader *walk, unsigned len, struct name *out)
{
	const unsigned char *label = take(walk, len);

	return label != NULL && add_label(out, label, len);
}

static void take_name(struct reader *r, struct name *out)
{
	struct reader walk = *r;
	unsigned pointers = 0;
	size_t end = 0; /* of the name's own bytes, once a pointer has led away from them */
	const unsigned char *len;

	*out = (struct name){.len = 0};
	while ((len = take(&walk, 1)) != NULL && *len != 0) {
		if (*len < 0xc0) {
			walk.bad = *len > 63 || !take_label(&walk, *len, out);
			continue;
		}
		if (pointers == 0)
			end = walk.at + 1;
		walk.bad = !follow(&walk, *len, &pointers);
	}
	r->bad = walk.bad;
	r->at = pointers > 0 ? end : walk.at;
}

struct record {
	struct name owner;
	unsigned type, class;
	struct reader data; /* ends where the record ends */
	size_t start;
};

static bool take_record(struct reader *r, struct record *out)
{
	unsigned len;

	take_name(r, &out->owner);
	out->type = take_u16(r);
	out->class = take_u16(r);
	take(r, 4);
	len = take_u16(r);
	out->start = r->at;
	take(r, len);
	/* Names inside may point back into the packet, but not beyond this record. */
	out->data = (struct reader){slice_sub(r->packet, 0, r->at), out->start, false};
	return !r->bad;
}

static bool is_whole(const struct reader *data)
{
	return !data->bad && data->at == data->packet.len;
}

static bool keep_name(struct rdata_record *to, struct reader *data)
{
	struct name n;

	take_name(data, &n);
	memcpy(to->name, n.text, sizeof(to->name));
	return is_whole(data) && !n.odd;
}

static bool read_mx(struct reader *data, struct rdata_record *to)
{
	to->preference = (uint16_t)take_u16(data);
	return keep_name(to, data);
}

static bool read_a(struct reader *data, struct rdata_record *to)
{
	const unsigned char *p = take(data, 4);

	if (p == NULL || !is_whole(data))
		return false;
	to->address.s6_addr[10] = to->address.s6_addr[11] = 0xff;
	memcpy(&to->address.s6_addr[12], p, 4);
	return true;
}

static bool read_aaaa(struct reader *data, struct rdata_record *to)
{
	const unsigned char *p = take(data, 16);

	if (p == NULL || !is_whole(data))
		return false;
	memcpy(&to->address, p, 16);
	return true;
}

static bool read_ptr(struct reader *data, struct rdata_record *to)
{
	return keep_name(to, data);
}

static const struct {
	enum rdata_type type;
	bool (*read)(struct reader *data, struct rdata_record *to);
} kinds[] = {{RDATA_A, read_a}, {RDATA_AAAA, read_aaaa}, {RDATA_MX, read_mx}, {RDATA_PTR, read_ptr}};

static void keep(struct rdata *out, struct record *r)
{
	struct rdata_record *to;

	if (out->count == RDATA_RECORDS_MAX)
		return;
	to = &out->records[out->count];
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (kinds[i].type != r->type)
			continue;
		*to = (struct rdata_record){.preference = 0};
		out->count += kinds[i].read(&r->data, to);
		return;
	}
}

static bool same_name(const struct name *a, const struct name *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* An alias moves the question to its target. */
static void follow_alias(struct name *wanted, struct record *r, unsigned *aliases)
{
	struct name target;

	take_name(&r->data, &target);
	if (is_whole(&r->data) && ++*aliases <= ALIASES_MAX)
		*wanted = target;
}

bool rdata_read(struct slice packet, enum rdata_type type, struct rdata *out)
{
	struct reader r = {packet, 2, packet.len < HEAD_BYTES};
	unsigned flags = take_u16(&r), questions = take_u16(&r), answers = take_u16(&r), aliases = 0;
	struct name wanted;

	out->count = 0;
	out->exists = (flags & RCODE_BITS) == 0;
	take(&r, 4);
	if (r.bad || (flags & FLAG_RESPONSE) == 0 || questions != 1 ||
	    (!out->exists && (flags & RCODE_BITS) != RCODE_NXDOMAIN))
		return false;
	take_name(&r, &wanted);
	take(&r, 4);
	for (unsigned i = 0; i < answers && !r.bad; i++) {
		struct record record;

		if (!take_record(&r, &record) || record.class != CLASS_IN || !same_name(&record.owner, &wanted))
			continue;
		if (record.type == type)
			keep(out, &record);
		else if (record.type == RDATA_CNAME)
			follow_alias(&wanted, &record, &aliases);
	}
	if (r.bad)
		out->count = 0;
	return !r.bad;
}
