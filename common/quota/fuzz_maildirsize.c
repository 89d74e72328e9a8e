#include "quota/maildirsize.h"

#include "base/log.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same(const struct quota_limit *a, const struct quota_limit *b)
{
	return a->bytes == b->bytes && a->messages == b->messages;
}

/* What is written says what was read, by one change. */
static void check_printed(const struct maildirsize *m)
{
	struct buf text = buf_make(1u << 16);
	struct maildirsize again;

	maildirsize_print(&text, m);
	MUST(buf_ok(&text) && text.len <= MAILDIRSIZE_BYTES_MAX && maildirsize_read(buf_slice(&text), &again));
	MUST(is_same(&m->limit, &again.limit) && m->bytes == again.bytes && m->files == again.files && again.changes == 1);
	buf_free(&text);
}

static void check_limit(struct slice value)
{
	struct quota_limit limit = {1, 2}, again;
	struct buf text = buf_make(1u << 16);

	if (!quota_limit_read(value, &limit)) {
		MUST(limit.bytes == 1 && limit.messages == 2);
		return;
	}
	quota_limit_print(&text, &limit);
	MUST(buf_ok(&text) && quota_limit_read(buf_slice(&text), &again) && is_same(&limit, &again));
	buf_free(&text);
}

/* The file, and behind its first NUL what a table says of a mailbox. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size), text;
	struct maildirsize m;

	if (!slice_cut(&rest, '\0', &text))
		return 0;
	if (maildirsize_read(text, &m)) {
		MUST(m.bytes >= 0 && m.bytes <= MAILDIRSIZE_COUNT_MAX && m.files >= 0 && m.files <= MAILDIRSIZE_COUNT_MAX);
		check_printed(&m);
	}
	check_limit(rest);
	return 0;
}
