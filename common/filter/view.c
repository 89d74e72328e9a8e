#include "filter/view.h"

#include "base/mem.h"
#include "filter/view_words.h"

#include <stdlib.h>

#define ARENA_SLACK (1u << 20)
#define HEADER_GROWTH 200u /* texts, decoded, and the addresses in them: at worst a header of nothing but letters and commas */
#define BODY_GROWTH 8u /* transfer encoding and charset undone */
#define BODY_PIECE 65536u

/* A field, and what was worked out of it; `at` of a slice is NULL before. */
struct seen {
	struct view_field field;
	struct slice text, decoded;
	const struct view_addresses *addresses;
};

struct view {
	const struct filter_message *message;
	struct arena *arena; /* owned */
	struct seen *fields; /* owned */
	size_t count;
	uint64_t body_max;
	struct buf body; /* owned */
	bool has_body;
	struct view_part_list parts; /* none: not yet */
};

static enum view_made find_fields(struct view *v)
{
	struct slice rest = v->message->header;
	struct view_field field;
	void *items = NULL;
	size_t cap = 0;

	while (view_field_cut(&rest, &field)) {
		if (v->count == VIEW_FIELDS_MAX)
			return VIEW_TOO_MANY_FIELDS;
		if (!mem_grow(&items, &cap, v->count, sizeof(*v->fields), VIEW_FIELDS_MAX))
			return VIEW_NO_MEMORY;
		v->fields = items;
		v->fields[v->count++] = (struct seen){.field = field};
	}
	return VIEW_MADE;
}

enum view_made view_new(const struct filter_message *message, uint64_t body_max, struct view **out)
{
	struct view *v = mem_new(1, sizeof(*v));
	enum view_made made = VIEW_NO_MEMORY;

	*out = NULL;
	if (v == NULL)
		return made;
	v->message = message;
	v->body_max = body_max;
	v->body = buf_make(body_max);
	v->arena = arena_new(ARENA_SLACK + message->header.len * HEADER_GROWTH + body_max * BODY_GROWTH);
	if (v->arena != NULL)
		made = find_fields(v);
	if (made == VIEW_MADE)
		*out = v;
	else
		view_free(&v);
	return made;
}

void view_free(struct view **vp)
{
	struct view *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	arena_free(&v->arena);
	buf_free(&v->body);
	free(v->fields);
	free(v);
}

size_t view_field_count(const struct view *v)
{
	return v->count;
}

const struct view_field *view_field_at(const struct view *v, size_t index)
{
	return &v->fields[index].field;
}

size_t view_field_next(const struct view *v, struct slice name, size_t from)
{
	for (size_t i = from; i < v->count; i++)
		if (name.len == 0 || slice_eq_nocase(v->fields[i].field.name, name))
			return i;
	return SLICE_NONE;
}

static bool keep(struct view *v, struct buf *b, bool good, struct slice *out)
{
	char *copy = good ? arena_take(v->arena, b->len + 1) : NULL;

	if (copy != NULL && b->len > 0)
		memcpy(copy, b->at, b->len);
	*out = (struct slice){copy, copy == NULL ? 0 : b->len};
	buf_free(b);
	return copy != NULL;
}

bool view_field_text(struct view *v, size_t index, struct slice *out)
{
	struct seen *f = &v->fields[index];
	struct buf text = buf_make(f->field.raw.len);
	bool good = f->text.at != NULL || keep(v, &text, view_unfold(f->field.raw, &text), &f->text);

	*out = good ? f->text : slice_empty();
	return good;
}

bool view_field_decoded(struct view *v, size_t index, struct slice *out)
{
	struct seen *f = &v->fields[index];
	struct slice text;
	struct buf decoded = buf_make(f->field.raw.len * VIEW_WORDS_GROWTH);
	bool good = view_field_text(v, index, &text);

	if (good && f->decoded.at == NULL)
		good = keep(v, &decoded, view_decode_words(text, &decoded), &f->decoded);
	*out = good ? f->decoded : slice_empty();
	return good;
}

bool view_field_addresses(struct view *v, size_t index, const struct view_addresses **out)
{
	struct seen *f = &v->fields[index];
	struct view_addresses *made = f->addresses == NULL ? arena_take(v->arena, sizeof(*made)) : NULL;
	struct slice text;

	if (made != NULL && view_field_text(v, index, &text) && view_addresses_parse(v->arena, text, made))
		f->addresses = made;
	*out = f->addresses;
	return f->addresses != NULL;
}

bool view_first(struct view *v, struct slice name, struct slice *out)
{
	size_t index = view_field_next(v, name, 0);

	*out = slice_empty();
	return index == SLICE_NONE || view_field_decoded(v, index, out);
}

bool view_body(struct view *v, struct slice *out)
{
	while (!v->has_body) {
		size_t want = v->body_max - v->body.len < BODY_PIECE ? v->body_max - v->body.len : BODY_PIECE;
		char *room = want == 0 ? NULL : buf_room(&v->body, want);
		ssize_t got = room == NULL ? 0 : v->message->body(v->message->arg, v->body.len, room, want);

		if ((want > 0 && room == NULL) || got < 0 || (size_t)got > want)
			return false;
		buf_grew(&v->body, (size_t)got);
		v->has_body = got == 0;
	}
	*out = buf_slice(&v->body);
	return true;
}

bool view_parts(struct view *v, const struct view_part **parts_out, size_t *count_out)
{
	struct slice body;

	if (!view_body(v, &body))
		return false;
	if (v->parts.count == 0 && !view_parts_parse(v->arena, v->message->header, body, &v->parts))
		return false;
	*parts_out = v->parts.at;
	*count_out = v->parts.count;
	return true;
}
