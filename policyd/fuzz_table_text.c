#include "table_text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of keys: a table that finds what stands in it, or a sentence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice bytes = slice_make((const char *)data, size), value;
	struct buf text = buf_make(1 << 20), why = buf_make(512);
	struct table_text *t;

	buf_add_slice(&text, bytes);
	t = table_text_parse(&text, &why);
	if ((t == NULL) != (why.len > 0))
		abort();
	if (t != NULL && table_text_find(t, slice_sub(bytes, 0, slice_index(bytes, ':')), &value) && value.len > size)
		abort();
	table_text_free(&t);
	buf_free(&text);
	buf_free(&why);
	return 0;
}
