#include "table_net.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of networks: a table that can be asked, or a sentence. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = {"192.0.2.1", "10.1.2.3", "2001:db8::1", "::", "nonsense"};
	struct slice bytes = slice_make((const char *)data, size), value;
	struct buf text = buf_make(1 << 20), why = buf_make(512);
	struct table_net *t;
	size_t line;

	buf_add_slice(&text, bytes);
	t = table_net_parse(&text, &why);
	if ((t == NULL) != (why.len > 0))
		abort();
	for (size_t i = 0; t != NULL && i < sizeof(keys) / sizeof(keys[0]); i++)
		if (table_net_find(t, slice_of(keys[i]), &value, &line) && value.len > size)
			abort();
	table_net_free(&t);
	buf_free(&text);
	buf_free(&why);
	return 0;
}
