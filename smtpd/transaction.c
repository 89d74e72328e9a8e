#include "transaction.h"

#include "base/mem.h"
#include "ipc/flags.h"
#include "mail/address_list.h"

#define RECIPIENT_BYTES (MAIL_ADDRESS_MAX + 1 + 1 + DSN_ORCPT_MAX + 1)

struct transaction *transaction_new(const struct body_limits *limits, uint64_t recipients_max)
{
	struct transaction *t = mem_new(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->limits = *limits;
	t->recipients = buf_make((size_t)recipients_max * RECIPIENT_BYTES);
	t->decoder = dotted_decoder_make((size_t)limits->line_max);
	t->names = header_names_make();
	t->header = header_walk_make(NULL, NULL);
	t->header.names = &t->names;
	t->piece = buf_make(BODY_PIECE_MAX);
	t->store_outcome = OC_DONE;
	t->rewrite.records = buf_make(REWRITE_RECORDS_MAX);
	t->prepend = buf_make(PREPEND_MAX);
	t->tags = buf_make(TAGS_MAX);
	return t;
}

void transaction_free(struct transaction **tp)
{
	struct transaction *t = *tp;

	if (t == NULL)
		return;
	*tp = NULL;
	buf_free(&t->recipients);
	header_walk_free(&t->header);
	header_names_free(&t->names);
	buf_free(&t->piece);
	buf_free(&t->from);
	rewrite_clear(&t->rewrite);
	buf_free(&t->prepend);
	buf_free(&t->tags);
	free(t);
}

/* ---- From and Sender ---- */

/* Whatever is read otherwise by whom it is shown to must not pass: it is unclear. */
static bool canonical(struct slice text, struct mail_address *out)
{
	return mail_address_parse(text, MAIL_ALLOW_UTF8 | MAIL_ALLOW_BARE, out) == MAIL_OK;
}

static bool on_from(struct slice text, void *arg)
{
	struct transaction *t = arg;
	struct mail_address address;

	return canonical(text, &address) && (t->from.len == 0 || buf_add_char(&t->from, '\n')) &&
	       buf_add_slice(&t->from, mail_address_text(&address));
}

static bool on_sender(struct slice text, void *arg)
{
	struct transaction *t = arg;
	struct mail_address address;
	bool first = t->from_sender[0] == '\0';

	return first && canonical(text, &address) && slice_copy(mail_address_text(&address), t->from_sender, sizeof(t->from_sender));
}

static bool read_addresses(struct transaction *t, struct slice value, bool *seen, address_list_fn *fn)
{
	bool first = !*seen;

	*seen = true;
	return first && !t->header.cut && address_list_parse(value, fn, t) == ADDRESS_LIST_DONE;
}

static void on_field(struct slice name, struct slice value, void *arg)
{
	struct transaction *t = arg;

	if (slice_eq_nocase(name, slice_of("From")))
		t->from_unclear = !read_addresses(t, value, &t->has_from, on_from) || t->from.len == 0 || t->from_unclear;
	else if (slice_eq_nocase(name, slice_of("Sender")))
		t->from_unclear = !read_addresses(t, value, &t->has_sender, on_sender) || t->from_sender[0] == '\0' || t->from_unclear;
	/* Not all of it was read, and that is our fault. */
	if ((t->header.no_memory || t->from.no_memory) && t->store_outcome == OC_DONE)
		t->store_outcome = OC_NO_MEMORY;
}

void transaction_watch_from(struct transaction *t)
{
	t->watches_from = true;
	t->from = buf_make(FROM_MAX);
	header_walk_free(&t->header);
	t->header = header_walk_make(on_field, t);
	t->header.names = &t->names;
}

/* ---- recipients ---- */

bool transaction_add_recipient(struct transaction *t)
{
	const char *address = t->candidate.text, *orcpt = t->candidate_orcpt;
	size_t before = t->recipients.len;

	if (!buf_add(&t->recipients, address, strlen(address) + 1) ||
	    !buf_add_char(&t->recipients, (char)t->candidate_notify) ||
	    !buf_add(&t->recipients, orcpt, strlen(orcpt) + 1)) {
		t->recipients.len = before;
		return false;
	}
	t->recipient_count++;
	t->utf8_address = t->utf8_address || t->candidate.utf8;
	return true;
}

bool transaction_next_recipient(const struct transaction *t, size_t *at, struct transaction_recipient *out)
{
	if (*at >= t->recipients.len)
		return false;
	out->address = slice_of(t->recipients.at + *at);
	*at += out->address.len + 1;
	out->notify = (unsigned char)t->recipients.at[(*at)++];
	out->orcpt = slice_of(t->recipients.at + *at);
	*at += out->orcpt.len + 1;
	return true;
}

/* The decoder may add two bytes more than it is given; a header that is held, those that complete it. */
static size_t room(const struct transaction *t)
{
	size_t max = t->holds_header ? HELD_HEADER_MAX + 1024 : BODY_PIECE_MAX;

	return t->piece.len + 2 >= max ? 0 : max - 2 - t->piece.len;
}

/* ---- the header of our users' mail ---- */

static void hold_header(struct transaction *t)
{
	t->holds_header = true;
	if (t->limits.header_max > HELD_HEADER_MAX)
		t->limits.header_max = HELD_HEADER_MAX;
}

void transaction_complete(struct transaction *t, const struct completion *c)
{
	t->completes = true;
	t->completion = *c;
	hold_header(t);
}

void transaction_rewrite(struct transaction *t, uint32_t fields, const char *host)
{
	t->rewrite.fields = fields;
	t->rewrite.host = host;
	if (fields != 0)
		hold_header(t);
}

static enum outcome too_long(const struct buf *b)
{
	return b->no_memory ? OC_NO_MEMORY : OC_HEADER_TOO_LONG;
}

static void give_up(struct transaction *t, enum outcome outcome)
{
	if (t->store_outcome == OC_DONE)
		t->store_outcome = outcome;
	buf_clear(&t->piece);
}

/* In place of the `length` bytes of header at the beginning of the piece. */
static void put_header(struct transaction *t, size_t length, struct slice header)
{
	struct buf whole = buf_make(BODY_PIECE_MAX);
	size_t before = t->piece.len;

	if (t->completes ? complete_header(&t->completion, header, &whole) : buf_add_slice(&whole, header))
		buf_add_slice(&whole, slice_from(buf_slice(&t->piece), length));
	if (!buf_ok(&whole)) {
		give_up(t, too_long(&whole));
		buf_free(&whole);
		return;
	}
	buf_free(&t->piece);
	t->piece = whole;
	t->body_bytes = t->body_bytes - before + whole.len;
}

/* The whole header is at the beginning of the piece. */
static void header_is_here(struct transaction *t)
{
	struct slice header = slice_sub(buf_slice(&t->piece), 0, (size_t)t->header.bytes);

	t->holds_header = false;
	if (transaction_fault(t) != BODY_GOOD || t->store_outcome != OC_DONE)
		return;
	if (t->rewrite.fields != 0 && !rewrite_find(&t->rewrite, mail_address_text(&t->sender), header))
		give_up(t, t->rewrite.no_memory ? OC_NO_MEMORY : OC_HEADER_TOO_LONG);
	else if (t->rewrite.fields != 0 && rewrite_has_any(&t->rewrite))
		t->asks_rewrite = true;
	else
		put_header(t, header.len, header);
}

static void take_rewritten(struct transaction *t, struct slice records)
{
	struct slice header = slice_sub(buf_slice(&t->piece), 0, (size_t)t->header.bytes), sender = slice_empty();
	struct buf written = buf_make(BODY_PIECE_MAX);

	if (!rewrite_apply(&t->rewrite, header, records, &written, &sender) ||
	    (sender.len > 0 && mail_address_parse(sender, MAIL_ALLOW_UTF8, &t->sender) != MAIL_OK))
		give_up(t, buf_ok(&written) ? OC_UNAVAILABLE : too_long(&written));
	else
		put_header(t, header.len, buf_slice(&written));
	t->utf8_address = t->utf8_address || t->sender.utf8;
	buf_free(&written);
}

void transaction_rewritten(struct transaction *t, enum outcome outcome, struct slice records)
{
	t->asks_rewrite = false;
	if (outcome == OC_DONE)
		take_rewritten(t, records);
	else
		give_up(t, outcome);
	rewrite_clear(&t->rewrite);
}

void transaction_finish(struct transaction *t)
{
	header_walk_end(&t->header);
	if (t->holds_header)
		header_is_here(t);
}

/* ---- the body ---- */

static void look_at(struct transaction *t, struct slice added)
{
	t->body_bytes += added.len;
	t->received_bytes += added.len;
	if (!header_is_ended(&t->header))
		header_walk_step(&t->header, added);
}

/* The decoder has added to the piece, which had `before` bytes. */
static void note_added(struct transaction *t, size_t before)
{
	if (!buf_ok(&t->piece)) {
		t->store_outcome = OC_NO_MEMORY;
		buf_clear(&t->piece);
		before = 0;
	}
	look_at(t, slice_from(buf_slice(&t->piece), before));
	if (t->holds_header && header_is_ended(&t->header))
		header_is_here(t);
	if (transaction_fault(t) != BODY_GOOD || t->store_outcome != OC_DONE)
		buf_clear(&t->piece);
}

/* What will not be kept is decoded all the same: which fault is told must not depend on how the
 * bytes came. */
size_t transaction_body(struct transaction *t, struct slice in)
{
	size_t used = 0;

	while (used < in.len && !dotted_is_ended(&t->decoder) && !transaction_is_full(t) && !t->asks_rewrite) {
		size_t before = t->piece.len;

		used += dotted_decode(&t->decoder, slice_sub(in, used, room(t)), &t->piece);
		note_added(t, before);
	}
	return used;
}

void transaction_by_chunks(struct transaction *t)
{
	t->decoder.form = t->body_binary ? DOTTED_BINARY : DOTTED_CHUNKS;
}

void transaction_end(struct transaction *t)
{
	size_t before = t->piece.len;

	dotted_end(&t->decoder, &t->piece);
	note_added(t, before);
}

bool transaction_is_full(const struct transaction *t)
{
	return room(t) == 0;
}

bool transaction_is_over(const struct transaction *t)
{
	return dotted_is_ended(&t->decoder);
}

static const struct {
	unsigned decoder;
	enum body_fault fault;
} decoder_faults[] = {
	{DOTTED_BARE_CR, BODY_BARE_CR},
	{DOTTED_BARE_LF, BODY_BARE_LF},
	{DOTTED_NUL, BODY_NUL},
	{DOTTED_LONG_LINE, BODY_LONG_LINE},
};

enum body_fault transaction_fault(const struct transaction *t)
{
	for (size_t i = 0; i < ARRAY_LEN(decoder_faults); i++)
		if (t->decoder.faults & decoder_faults[i].decoder)
			return decoder_faults[i].fault;
	if (t->received_bytes > t->limits.size_max)
		return BODY_TOO_BIG;
	if (t->header.bytes > t->limits.header_max)
		return BODY_LONG_HEADER;
	return t->header.received > t->limits.received_max ? BODY_LOOP : BODY_GOOD;
}

void transaction_stored(struct transaction *t, enum outcome outcome)
{
	if (outcome == OC_DONE)
		t->stored_bytes += t->piece.len;
	if (t->store_outcome == OC_DONE)
		t->store_outcome = outcome;
	buf_clear(&t->piece);
}

/* ---- what rules want ---- */

static bool is_header_line(struct slice text)
{
	size_t colon = slice_index(text, ':');

	if (colon == SLICE_NONE || colon == 0)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] == '\r' || text.at[i] == '\n' || text.at[i] == '\0' ||
		    (i < colon && text.at[i] == ' '))
			return false;
	return true;
}

static bool has_line(struct slice lines, struct slice line)
{
	while (lines.len > line.len) {
		size_t end = slice_index(lines, '\r');

		if (end == line.len && slice_starts(lines, line))
			return true;
		lines = slice_from(lines, end + 2);
	}
	return false;
}

static bool effect_add_header(struct transaction *t, struct slice text)
{
	size_t before = t->prepend.len;

	if (!is_header_line(text))
		return false;
	if (has_line(buf_slice(&t->prepend), text))
		return true;
	if (buf_add_slice(&t->prepend, text) && buf_add_text(&t->prepend, "\r\n"))
		return true;
	t->prepend.len = before;
	return false;
}

bool transaction_note_tag(struct buf *tags, struct slice tag)
{
	struct slice rest = buf_slice(tags), word;

	while (slice_word(&rest, &word))
		if (slice_eq(word, tag))
			return true;
	if (tags->len + tag.len + 1 > tags->max)
		return false;
	return (tags->len == 0 || buf_add_char(tags, ' ')) && buf_add_slice(tags, tag);
}

static bool effect_tag(struct transaction *t, struct slice text)
{
	return transaction_note_tag(&t->tags, text);
}

static bool effect_hold(struct transaction *t, struct slice text)
{
	(void)text;
	t->hold = true;
	return true;
}

static const struct {
	const char *kind;
	bool (*run)(struct transaction *t, struct slice text);
} effects[] = {
	{"add-header", effect_add_header},
	{"tag", effect_tag},
	{"hold", effect_hold},
};

bool transaction_effect(struct transaction *t, struct slice kind, struct slice text)
{
	for (size_t i = 0; i < ARRAY_LEN(effects); i++)
		if (slice_eq(kind, slice_of(effects[i].kind)))
			return effects[i].run(t, text);
	return true;
}

uint64_t transaction_needs(const struct transaction *t)
{
	bool utf8 = t->utf8_address || (t->smtputf8 && t->header.high);

	return (t->decoder.high ? (uint64_t)JOB_8BIT : 0) | (utf8 ? (uint64_t)JOB_SMTPUTF8 : 0) |
	       (t->body_binary ? (uint64_t)JOB_BINARY : 0);
}
