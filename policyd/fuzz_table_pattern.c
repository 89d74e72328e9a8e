#include "table_pattern.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of patterns, and behind a NUL the key that is held against them: an answer, or a sentence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_make((const char *)data, size), file = bytes;
	struct buf text = buf_make(1 << 20), why = buf_make(512), value = buf_make(2 * TABLE_RESULT_MAX);
	size_t end = slice_index(bytes, '\0'), line = 0;
	struct table_pattern *t;

	if (end != SLICE_NONE)
		file = slice_sub(bytes, 0, end);
	buf_add_slice(&text, file);
	t = table_pattern_parse(&text, &why);
	if ((t == NULL) != (why.len > 0))
		abort();
	if (t != NULL && table_pattern_find(t, slice_from(bytes, end == SLICE_NONE ? size : end + 1), &value, &line, &why) == ANSWER_YES &&
	    value.len > TABLE_RESULT_MAX)
		abort();
	table_pattern_free(&t);
	buf_free(&text);
	buf_free(&why);
	buf_free(&value);
	return 0;
}
