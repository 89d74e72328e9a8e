#include "rewrite.h"

#include "base/mem.h"
#include "ipc/message.h"
#include "mail/address.h"
#include "mail/address_list.h"
#include "mail/field.h"
#include "rules/rules.h"

#include <stdio.h>
#include <stdlib.h>

void rewrite_clear(struct rewrite *r)
{
	buf_free(&r->records);
	free(r->spots);
	*r = (struct rewrite){.fields = r->fields, .host = r->host, .records = buf_make(REWRITE_RECORDS_MAX)};
}

/* ---- finding ---- */

static uint32_t field_of(struct slice name)
{
	static const struct {
		const char *name;
		enum rewrite_field field;
	} fields[] = {
		{"From", REWRITE_FROM}, {"Sender", REWRITE_SENDER}, {"Reply-To", REWRITE_REPLY_TO}, {"To", REWRITE_TO},
		{"Cc", REWRITE_CC},	{"Bcc", REWRITE_BCC},	    {"Resent-From", REWRITE_RESENT}, {"Resent-Sender", REWRITE_RESENT},
		{"Resent-Reply-To", REWRITE_RESENT}, {"Resent-To", REWRITE_RESENT}, {"Resent-Cc", REWRITE_RESENT},
		{"Resent-Bcc", REWRITE_RESENT},
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (slice_eq_nocase(name, slice_of(fields[i].name)))
			return fields[i].field;
	return REWRITE_FIELDS;
}

struct search {
	struct rewrite *r;
	uint32_t field;
	size_t base; /* of the field's body in the header */
};

static bool add_record(struct rewrite *r, uint32_t field, struct slice address)
{
	bool added = rec_rewrite_address_add(&r->records, &(struct rec_rewrite_address){field, address});

	r->no_memory = r->no_memory || r->records.no_memory;
	return added;
}

static bool add_spot(struct rewrite *r, size_t at, size_t length)
{
	void *spots = r->spots;

	if (!mem_grow(&spots, &r->cap, r->count, sizeof(struct rewrite_spot), REWRITE_ADDRESSES_MAX)) {
		r->no_memory = r->no_memory || r->count < REWRITE_ADDRESSES_MAX;
		return false;
	}
	r->spots = spots;
	r->spots[r->count++] = (struct rewrite_spot){at, length};
	return true;
}

/* What is no address of an envelope cannot be written otherwise, and stays. */
static bool canonical(const struct rewrite *r, struct slice text, struct mail_address *out)
{
	char whole[ADDRESS_LIST_ONE_MAX + 256];
	int length;

	if (slice_index(text, '@') != SLICE_NONE)
		return mail_address_parse(text, MAIL_ALLOW_UTF8, out) == MAIL_OK;
	length = snprintf(whole, sizeof(whole), "%.*s@%s", SLICE_ARG(text), r->host);
	return length > 0 && (size_t)length < sizeof(whole) && mail_address_parse(slice_of(whole), MAIL_ALLOW_UTF8, out) == MAIL_OK;
}

static bool on_spot(struct slice text, size_t at, size_t length, void *arg)
{
	struct search *s = arg;
	struct mail_address address;

	if (!canonical(s->r, text, &address))
		return true;
	s->r->failed = !add_record(s->r, s->field, mail_address_text(&address)) || !add_spot(s->r, s->base + at, length);
	return !s->r->failed;
}

static void find_in(struct rewrite *r, uint32_t field, struct slice body, size_t base)
{
	struct search s = {r, field, base};
	size_t records = r->records.len, count = r->count;

	if (address_list_spots(body, on_spot, &s) == ADDRESS_LIST_BAD) {
		buf_undo(&r->records, records);
		r->count = count;
	}
}

bool rewrite_find(struct rewrite *r, struct slice sender, struct slice header)
{
	struct slice rest = header;
	struct mail_field f;

	r->has_sender = sender.len > 0 && (r->fields & 1u << REWRITE_ENVELOPE_FROM) != 0;
	r->failed = r->has_sender && !add_record(r, REWRITE_ENVELOPE_FROM, sender);
	while (!r->failed && mail_field_next(&rest, &f)) {
		uint32_t field = field_of(f.name);

		if (field < REWRITE_FIELDS && (r->fields & 1u << field) != 0)
			find_in(r, field, f.body, (size_t)(f.body.at - header.at));
	}
	return !r->failed;
}

/* ---- what comes of it ---- */

static bool is_writable(struct slice text, struct mail_address *out)
{
	return mail_address_parse(text, MAIL_ALLOW_UTF8, out) == MAIL_OK;
}

bool rewrite_apply(const struct rewrite *r, struct slice header, struct slice records, struct buf *out, struct slice *sender_out)
{
	size_t done = 0, first = r->has_sender ? 1 : 0;
	uint64_t next = 0;
	struct rec_rewritten one;

	while (rec_rewritten_next(&records, &one)) {
		struct mail_address address;

		if (one.index < next || one.index >= r->count + first || !is_writable(one.address, &address))
			return false;
		next = one.index + 1;
		if (one.index < first) {
			*sender_out = one.address;
			continue;
		}
		buf_add_slice(out, slice_sub(header, done, r->spots[one.index - first].at - done));
		buf_add_slice(out, mail_address_text(&address));
		done = r->spots[one.index - first].at + r->spots[one.index - first].length;
	}
	buf_add_slice(out, slice_from(header, done));
	return records.len == 0 && buf_ok(out);
}
