#include "import_exim.h"

#include "mail/target_list.h"

#include <stdlib.h>

static void left(size_t line, struct slice key, const char *what, void *arg)
{
	(void)arg;
	if (line == 0 || key.len > 254 || what == NULL)
		abort();
}

static bool is_allowed(const struct target *target, void *arg)
{
	(void)arg;
	if (target->kind != TARGET_ADDRESS && target->kind != TARGET_FAIL && target->kind != TARGET_DEFER && target->kind != TARGET_BLACKHOLE)
		abort();
	return true;
}

/* Any file: what comes out is lines "key: list" without a program, a file, an include or anything quoted. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = buf_make(IMPORT_BYTES_MAX);
	struct target_mistake mistake;
	struct slice rest, line;

	if (!import_exim(slice_make((const char *)data, size), slice_of("mx.example.org"), &out, left, NULL))
		abort();
	rest = buf_slice(&out);
	while (slice_cut(&rest, '\n', &line)) {
		size_t colon = slice_find(line, slice_of(": "));

		if (colon == SLICE_NONE || colon == 0 || line.at[0] == '#' || slice_index(line, '"') != SLICE_NONE ||
		    slice_index(line, '\0') != SLICE_NONE || slice_find(line, slice_of(" #")) != SLICE_NONE ||
		    target_list_parse(slice_from(line, colon + 2), is_allowed, NULL, &mistake) != TARGET_DONE)
			abort();
	}
	buf_free(&out);
	return 0;
}
