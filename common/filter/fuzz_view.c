#include "base/utf8.h"
#include "filter/view.h"
#include "filter/view_date.h"
#include "filter/view_words.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
	if (!ok)
		abort();
}

static ssize_t read_body(void *arg, uint64_t offset, char *out, size_t size)
{
	struct slice piece = slice_sub(*(struct slice *)arg, offset, size);

	memcpy(out, piece.at, piece.len);
	return (ssize_t)piece.len;
}

static bool has(struct slice s, const char *octets)
{
	for (; *octets != '\0'; octets++)
		if (slice_index(s, *octets) != SLICE_NONE)
			return true;
	return false;
}

static void look_at_addresses(struct view *v, size_t i)
{
	const struct view_addresses *list;

	need(view_field_addresses(v, i, &list));
	for (size_t n = 0; n < list->count; n++) {
		const struct view_address *a = &list->at[n];

		need(!has(a->address, "\r\n") && !has(a->name, "\r\n") && a->address.len + a->name.len > 0);
		need(a->good == (a->domain.len > 0) && (!a->good || slice_ends_nocase(a->address, a->domain)));
	}
}

static void look_at_field(struct view *v, size_t i)
{
	const struct view_field *field = view_field_at(v, i);
	struct slice text, decoded, again;
	struct view_date date;

	need(field->name.len > 0 && slice_index(field->name, ':') == SLICE_NONE);
	need(view_field_next(v, field->name, i) == i);
	need(view_field_text(v, i, &text) && view_field_decoded(v, i, &decoded) && view_field_decoded(v, i, &again));
	need(!has(text, "\r\n") && !has(decoded, "\r\n") && decoded.at == again.at);
	need(!utf8_is_well_formed(text) || utf8_is_well_formed(decoded));
	look_at_addresses(v, i);
	if (view_date_parse(text, &date)) {
		struct view_calendar c = view_calendar(date.at, date.zone_minutes);

		need(c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= 31 && c.hour < 24 && c.weekday < 7);
	}
}

static void look_at_parts(struct view *v)
{
	const struct view_part *parts;
	size_t count;

	need(view_parts(v, &parts, &count) && count > 0 && count <= VIEW_PARTS_MAX);
	for (size_t i = 0; i < count; i++) {
		struct buf text = buf_make(parts[i].content.len);

		need(parts[i].type.len > 0 && parts[i].depth <= VIEW_NESTING_MAX && parts[i].parent <= i);
		need(view_html_text(parts[i].content, &text));
		buf_free(&text);
	}
}

/* What we write as encoded words is read as what it was. */
static void round_trip(struct slice text)
{
	struct buf words = buf_make(text.len * 8 + 64), line = buf_make(text.len * 8 + 64), back = buf_make(text.len * 24 + 256);

	if (utf8_is_well_formed(text) && !has(text, "\r\n") && slice_eq(slice_trim(text), text)) {
		need(view_encode_words(text, &words) && view_unfold(buf_slice(&words), &line));
		need(view_decode_words(buf_slice(&line), &back) && utf8_count(buf_slice(&back)) == utf8_count(text));
	}
	buf_free(&words);
	buf_free(&line);
	buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_make((const char *)data, size), body = slice_empty();
	size_t end = slice_find(in, slice_of("\n\n"));
	struct filter_message m = {.header = in, .body = read_body, .arg = &body};
	struct view *v;

	if (end != SLICE_NONE) {
		m.header = slice_sub(in, 0, end + 1);
		body = slice_from(in, end + 2);
	}
	if (size > 65536 || view_new(&m, 32768, &v) != VIEW_MADE)
		return 0;
	for (size_t i = 0; i < view_field_count(v); i++)
		look_at_field(v, i);
	look_at_parts(v);
	view_free(&v);
	round_trip(in);
	return 0;
}
