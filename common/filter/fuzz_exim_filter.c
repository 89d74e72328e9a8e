#include "filter/exim_filter.h"

#include "filter/report.h"
#include "filter/sample.h"
#include "mail/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A filter, then from a NUL on the message it is run over.  Whatever both hold, what is asked for is as filter.h says. */

static void check(bool holds)
{
	if (!holds)
		abort();
}

static bool has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (((unsigned char)text.at[i] < ' ' && text.at[i] != '\t') || text.at[i] == 0x7f)
			return true;
	return false;
}

static void check_path(struct slice path)
{
	struct slice part;

	check(path.len > 0 && path.len < 4096 && !has_control(path));
	while (slice_cut(&path, '/', &part))
		check(!slice_eq(part, slice_of("..")));
}

static void check_address(struct slice text)
{
	struct mail_address a;

	check(mail_address_parse(text, MAIL_ALLOW_UTF8, &a) == MAIL_OK && slice_eq(mail_address_text(&a), text));
}

/* The header is ours: each line a field or the rest of one, and each field there once. */
static void check_mail(const struct filter_action *a)
{
	struct slice rest = a->text, line, to = a->to, one;
	unsigned from = 0, automatic = 0, bcc = 0;

	check(a->null_sender && a->text.len < 300000);
	while (slice_cut(&to, '\n', &one))
		check_address(one);
	check(a->to.len > 0 && memchr(a->text.at, '\0', a->text.len) == NULL && memchr(a->text.at, '\r', a->text.len) == NULL);
	while (slice_cut(&rest, '\n', &line) && line.len > 0) {
		check(line.at[0] == ' ' || line.at[0] == '\t' || slice_index(line, ':') != SLICE_NONE);
		from += slice_starts_nocase(line, slice_of("from:"));
		bcc += slice_starts_nocase(line, slice_of("bcc:"));
		automatic += slice_starts_nocase(line, slice_of("auto-submitted: auto-"));
	}
	check(from == 1 && automatic == 1 && bcc == 0);
}

static void check_action(const struct filter_action *a)
{
	struct buf words = buf_make(1 << 20);

	filter_action_text(a, &words);
	buf_free(&words);
	switch (a->kind) {
	case FILTER_FILE:
		check_path(a->text);
		break;
	case FILTER_REDIRECT:
		check_address(a->text);
		break;
	case FILTER_PIPE:
		check(a->text.len > 1 && a->text.at[0] == '/' && a->text.at[a->text.len - 1] == '\0');
		break;
	case FILTER_MAIL:
		check_mail(a);
		break;
	case FILTER_ADD_HEADER:
		check(!has_control(a->text) && slice_index(a->text, ':') != SLICE_NONE);
		break;
	case FILTER_REMOVE_HEADER:
		check(a->text.len > 0 && !has_control(a->text));
		break;
	case FILTER_INBOX:
	case FILTER_FOLDER:
	case FILTER_REJECT:
	case FILTER_HOLD:
		break;
	}
}

static void ignore_step(void *arg, uint32_t line, struct slice what)
{
	(void)arg;
	(void)line;
	check(what.len > 0 && memchr(what.at, '\n', what.len) == NULL);
}

static enum filter_read read_text(void *arg, struct slice path, struct buf *out)
{
	(void)arg;
	buf_add_text(out, "away: $h_subject: ${uc:$1} \\n");
	return path.len % 2 == 0 ? FILTER_READ_DONE : FILTER_READ_MISSING;
}

static void run(const struct exim_filter *f, struct slice message)
{
	const struct filter_limits limits = {.steps = 3000, .actions = 20, .redirects = 8, .text = 1 << 16, .body = 1 << 16};
	const struct filter_trace trace = {ignore_step, NULL};
	struct filter_sample sample;
	struct filter_message m = {
		.sender = slice_of("alice@example.test"),
		.recipient = slice_of("bob+x@example.org"),
		.address = slice_of("bob+x@example.org"),
		.user = slice_of("bob"),
		.home = slice_of("/home/bob"),
		.host = slice_of("mx1.example.test"),
		.separators = slice_of("+"),
		.now = 1764417600,
		.read = read_text,
	};
	struct filter_result r;

	filter_sample_set(&sample, message, &m);
	exim_filter_run(f, &m, &limits, &trace, &r);
	check((r.outcome == FILTER_DONE) == (r.why[0] == '\0') && (r.outcome == FILTER_DONE || r.count == 0));
	for (size_t i = 0; i < r.count; i++)
		check_action(&r.actions[i]);
	filter_result_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_make((const char *)data, size), text = all;
	struct filter_mistake mistake;
	struct exim_filter *f;

	if (!slice_cut(&all, '\0', &text))
		return 0;
	f = exim_filter_compile(text, &mistake);
	if (f == NULL)
		check(mistake.line > 0 && mistake.column > 0 && mistake.why[0] != '\0');
	else
		run(f, all);
	exim_filter_free(&f);
	return 0;
}
