#include "conf/bundle.h"
#include "conf/conf.h"
#include "import_postfix.h"

#include <stdlib.h>

static void left(enum import_table table, size_t line, struct slice key, const char *what, void *arg)
{
	(void)arg;
	if (table >= IMPORT_TABLES || line == 0 || key.len > 254 || what == NULL)
		abort();
}

/* Four tables, a NUL between: what comes out is a configuration without a mistake. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import_postfix from = {.folder = "/x", .has_virtual = size > 0 && (data[0] & 1) != 0};
	struct import_files files = {NULL, 0, 0};
	struct slice rest = slice_make((const char *)data, size);
	struct conf_mistakes mistakes = {buf_make(1 << 20), 0};
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), text = buf_make(4u << 20);
	struct conf *conf;

	for (unsigned i = 0; i < IMPORT_TABLES; i++)
		(void)slice_cut(&rest, '\0', &from.text[i]);
	if (!import_postfix(&from, &files, left, NULL))
		abort();
	buf_add_text(&text, "postmaster a@example.org\n");
	for (size_t i = files.count; i-- > 0;) {
		struct import_file *file = files.all[i];

		if (slice_eq(slice_of(file->name), slice_of("first.conf")) || slice_eq(slice_of(file->name), slice_of("last.conf")))
			buf_add_slice(&text, buf_slice(&file->text));
	}
	if (!buf_ok(&text) || !bundle_add(&bundle, slice_of("postern.conf"), buf_slice(&text)))
		abort();
	conf = conf_compile(buf_slice(&bundle), &mistakes);
	if (conf == NULL)
		abort();
	conf_free(&conf);
	import_files_free(&files);
	buf_free(&mistakes.text);
	buf_free(&bundle);
	buf_free(&text);
	return 0;
}
