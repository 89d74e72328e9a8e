#include "maildir_text.h"

#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ADDRESS "bob@example.test"

static void write_cut(struct slice in, size_t piece, bool is_binary, struct buf *out)
{
	struct lf_writer w = {.is_binary = is_binary};
	char end[1];

	for (size_t at = 0; at < in.len; at += piece) {
		struct slice part = slice_sub(in, at, piece);
		char *room = buf_room(out, part.len + 1);
		size_t len;

		MUST(room != NULL);
		len = lf_write(&w, part, room);
		MUST(len <= part.len + 1);
		buf_grew(out, len);
	}
	buf_add(out, end, lf_end(&w, end));
}

static bool is_found(struct slice in, size_t piece)
{
	struct loop_guard g;

	loop_guard_begin(&g, slice_of(ADDRESS));
	for (size_t at = 0; at < in.len && loop_guard_read(&g, slice_sub(in, at, piece)); at += piece)
		;
	return g.found;
}

/* However a message is cut, the same is written, and its loop is seen or not. */
static void check_cuts(struct slice in, size_t piece, bool is_binary)
{
	struct buf whole = buf_make(1u << 20), cut = buf_make(1u << 20);

	write_cut(in, in.len + 1, is_binary, &whole);
	write_cut(in, piece, is_binary, &cut);
	MUST(slice_eq(buf_slice(&whole), buf_slice(&cut)));
	MUST(is_binary || slice_find(buf_slice(&whole), slice_of("\r\n")) == SLICE_NONE || slice_find(in, slice_of("\r\r\n")) != SLICE_NONE);
	MUST(is_found(buf_slice(&whole), in.len + 1) == is_found(buf_slice(&whole), piece));
	buf_free(&whole);
	buf_free(&cut);
}

/* Two addresses, each up to a NUL, stay in their lines, whatever they are. */
static void check_lines(struct slice rest)
{
	struct delivery_lines d = {.delivered_to = true};
	struct buf out = buf_make(1u << 20);
	size_t lines = 0;

	(void)slice_cut(&rest, '\0', &d.sender);
	(void)slice_cut(&rest, '\0', &d.recipient);
	MUST(delivery_lines_add(&d, &out));
	for (size_t i = 0; i < out.len; i++) {
		MUST(out.at[i] != '\r' && out.at[i] != '\0');
		lines += out.at[i] == '\n';
	}
	MUST(lines == 2);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size);

	if (size < 1)
		return 0;
	rest = slice_from(rest, 1);
	check_cuts(rest, 1 + (data[0] >> 1) % 32, (data[0] & 1) != 0);
	check_lines(rest);
	return 0;
}
