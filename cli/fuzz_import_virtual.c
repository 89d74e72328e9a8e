#include "import_virtual.h"

#include <stdlib.h>

static void left(size_t line, struct slice key, const char *what, void *arg)
{
	(void)arg;
	if (line == 0 || key.len > 254 || what == NULL)
		abort();
}

/* Any file: what comes out is lines "key: value" without anything that begins a comment, a program, a file or an include. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = buf_make(IMPORT_BYTES_MAX);
	struct slice rest, line;

	if (!import_virtual(slice_make((const char *)data, size), &out, left, NULL))
		abort();
	rest = buf_slice(&out);
	while (slice_cut(&rest, '\n', &line)) {
		size_t colon = slice_find(line, slice_of(": "));

		if (colon == SLICE_NONE || colon == 0 || slice_index(line, '"') != SLICE_NONE || slice_find(line, slice_of(" #")) != SLICE_NONE ||
		    slice_find(line, slice_of(" |")) != SLICE_NONE || slice_find(line, slice_of(" /")) != SLICE_NONE ||
		    slice_find(line, slice_of(" :")) != SLICE_NONE || line.at[0] == '#')
			abort();
	}
	buf_free(&out);
	return 0;
}
