#include "mail/header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
	struct buf fields; /* owned; each "name=value;" */
	uint32_t received;
	struct header_names names; /* owned */
};

static void need(bool ok)
{
	if (!ok)
		abort();
}

/* A name is one word of RFC 5322 §3.6.8, a value one line that is no longer than what is kept. */
static void hear(struct slice name, struct slice value, void *arg)
{
	struct heard *h = arg;

	need(name.len > 0 && name.len <= HEADER_NAME_MAX && value.len <= HEADER_VALUE_KEPT);
	for (size_t i = 0; i < name.len; i++)
		need(name.at[i] > ' ' && name.at[i] != 0x7f && name.at[i] != ':');
	need(slice_index(value, '\n') == SLICE_NONE && slice_index(value, '\r') == SLICE_NONE);
	need(header_names_have(header_names_text(&h->names), name) != HEADER_HAS_NOT); /* or they say that there are more */
	h->received += slice_eq_nocase(name, slice_of("received"));
	buf_add_slice(&h->fields, name);
	buf_add_char(&h->fields, '=');
	buf_add_slice(&h->fields, value);
	buf_add_char(&h->fields, ';');
}

static struct header_walk walk(struct slice in, size_t piece, struct heard *h)
{
	struct header_walk w = header_walk_make(hear, h);
	size_t at = 0;

	*h = (struct heard){.fields = buf_make(4u << 20), .names = header_names_make()};
	w.names = &h->names;
	while (at < in.len && !header_is_ended(&w)) {
		struct slice part = slice_sub(in, at, piece);
		size_t used = header_walk_step(&w, part);

		need(used == part.len || (used < part.len && header_is_ended(&w)));
		at += used;
	}
	need(w.bytes == at && (!header_is_ended(&w) || in.at[at - 1] == '\n'));
	header_walk_end(&w);
	header_walk_free(&w);
	return w;
}

/* Cut in any way it is the same header; no Received hides from the count. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_make((const char *)data, size);
	struct heard whole, cut;
	struct header_walk a, b;

	if (size < 1)
		return 0;
	in = slice_from(in, 1);
	a = walk(in, SIZE_MAX, &whole);
	b = walk(in, 1 + data[0] % 16, &cut);
	need(slice_eq(buf_slice(&whole.fields), buf_slice(&cut.fields)));
	need(a.bytes == b.bytes && a.malformed == b.malformed && a.high == b.high);
	need(a.received == b.received && a.received == whole.received);
	need(header_names_text(&whole.names).len <= HEADER_NAMES_MAX + 1);
	need(slice_eq(header_names_text(&whole.names), header_names_text(&cut.names)));
	header_names_free(&whole.names);
	header_names_free(&cut.names);
	buf_free(&whole.fields);
	buf_free(&cut.fields);
	return 0;
}
