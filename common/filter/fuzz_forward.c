#include "filter/forward.h"

#include "filter/sample.h"
#include "mail/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A list, and from each NUL on another file: `:include:/N` reads the N-th (modulo their number). */
#define FILES_MAX 16u

struct files {
	struct filter_sample sample;
	struct slice text[FILES_MAX];
	size_t count;
	unsigned opened;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static enum filter_read read_file(void *arg, struct slice path, struct buf *out)
{
	struct files *f = arg;

	check(path.len > 0 && path.at[0] == '/' && ++f->opened <= FORWARD_WIDTH_MAX);
	buf_add_slice(out, f->text[path.len < 2 ? 0 : (unsigned char)path.at[1] % f->count]);
	return FILTER_READ_DONE;
}

static void check_action(const struct filter_action *a)
{
	struct mail_address address;

	if (a->kind == FILTER_REDIRECT)
		check(mail_address_parse(a->text, MAIL_ALLOW_UTF8, &address) == MAIL_OK &&
		      slice_eq(mail_address_text(&address), a->text) && !mail_address_is_routed(&address));
	else if (a->kind == FILTER_PIPE)
		check(a->text.len > 1 && a->text.at[0] == '/' && a->text.at[a->text.len - 1] == '\0');
	else if (a->kind == FILTER_FILE)
		check(a->text.len > 0 && a->text.at[0] == '/');
	else
		check(a->kind == FILTER_INBOX || a->kind == FILTER_REJECT);
}

static void run(const struct forward *f, struct files *files)
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	struct filter_message m = {
		.sender = slice_of("alice@example.test"),
		.recipient = slice_of("bob@example.org"),
		.address = slice_of("bob@example.org"),
		.home = slice_of("/home/bob"),
	};
	struct filter_result r;

	filter_sample_set(&files->sample, slice_of("A: b\n\nc\n"), &m);
	m.read = read_file;
	m.arg = files;
	forward_run(f, &m, &limits, NULL, &r);
	check(r.outcome != FILTER_ERROR && (r.outcome == FILTER_DONE || r.count == 0) && r.count <= FORWARD_WIDTH_MAX);
	for (size_t i = 0; i < r.count; i++)
		check_action(&r.actions[i]);
	filter_result_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size);
	struct files files = {.count = 0};
	struct filter_mistake mistake;
	struct forward *f;

	while (files.count < FILES_MAX && slice_cut(&rest, '\0', &files.text[files.count]))
		files.count++;
	if (files.count == 0)
		return 0;
	f = forward_parse(files.text[0], &mistake);
	if (f == NULL)
		check(mistake.line > 0 && mistake.column > 0 && mistake.why[0] != '\0');
	else
		run(f, &files);
	forward_free(&f);
	return 0;
}
