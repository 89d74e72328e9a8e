#include "base/utf8.h"
#include "filter/filter.h"
#include "filter/sample.h"
#include "filter/sieve.h"
#include "filter/sieve_run.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool ok)
{
	if (!ok)
		abort();
}

static bool has_folder(void *arg, struct slice name)
{
	(void)arg;
	return name.len % 2 == 0;
}

static void hear_step(void *arg, uint32_t line, struct slice what)
{
	(void)line;
	need(what.len > 0 && what.len <= FILTER_TOLD_MAX);
	*(size_t *)arg += 1;
}

static bool has_nul(struct slice s)
{
	return slice_index(s, '\0') != SLICE_NONE;
}

/* No field of a mail ends where it should not: the header is fields, then an empty line. */
static void look_at_mail(struct slice text)
{
	struct slice header = slice_sub(text, 0, slice_find(text, slice_of("\n\n")) + 1), line, field;

	need(slice_find(text, slice_of("\n\n")) != SLICE_NONE && !has_nul(text));
	need(slice_starts(header, slice_of("From: ")) && slice_find(header, slice_of("\nAuto-Submitted: auto-replied\n")) != SLICE_NONE);
	while (slice_cut(&header, '\n', &line)) {
		field = slice_sub(line, 0, slice_index(line, ':'));
		need(line.at[0] == ' ' || line.at[0] == '\t' || field.len < line.len || slice_find(text, slice_of("Content-")) != SLICE_NONE);
	}
}

static void look_at_action(const struct filter_action *a)
{
	struct mail_address address;

	if (a->kind == FILTER_FOLDER)
		need(sieve_is_folder(a->text));
	if (a->kind == FILTER_REDIRECT)
		need(mail_address_parse(a->text, MAIL_ALLOW_UTF8, &address) == MAIL_OK && slice_eq(mail_address_text(&address), a->text));
	if (a->kind == FILTER_MAIL) {
		look_at_mail(a->text);
		need(slice_eq(a->to, slice_of("alice@example.test")) && a->null_sender && a->once_key.len == 32);
	}
	for (struct slice rest = a->flags, flag; slice_word(&rest, &flag);)
		need(sieve_is_flag(flag));
}

static void run(const struct sieve *s, struct slice text)
{
	const struct filter_limits limits = {.steps = 5000, .actions = 20, .redirects = 5, .text = 64 << 10, .body = 16 << 10};
	size_t steps = 0;
	const struct filter_trace trace = {hear_step, &steps};
	struct filter_message m = {.sender = slice_of("alice@example.test"),
				   .recipient = slice_of("bob+x@example.org"),
				   .address = slice_of("bob@example.org"),
				   .host = slice_of("mx.example.org"),
				   .separators = slice_of("+"),
				   .now = 1764417600,
				   .zone_minutes = -90,
				   .has_folder = has_folder};
	struct filter_sample sample;
	struct filter_result r, again;

	filter_sample_set(&sample, text, &m);
	sieve_run(s, &m, &limits, &trace, &r);
	sieve_run(s, &m, &limits, NULL, &again);
	need(r.outcome != FILTER_LATER && (r.outcome == FILTER_DONE || (r.count == 0 && r.why[0] != '\0')));
	need(r.outcome == again.outcome && r.count == again.count && r.count <= limits.actions);
	for (size_t i = 0; i < r.count; i++) {
		look_at_action(&r.actions[i]);
		need(slice_eq(r.actions[i].text, again.actions[i].text) && slice_eq(r.actions[i].flags, again.actions[i].flags));
	}
	filter_result_free(&r);
	filter_result_free(&again);
}

/* A script, then after a line "%%" the message; without it one of ours.  Any text is a script, or mistakes that can be told. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice script = slice_make((const char *)data, size);
	struct slice text = slice_of("From: Alice <alice@example.test>\nTo: bob+x@example.org\nSubject: =?utf-8?q?=5Bl=5D_x?=\n"
				     "Date: Sat, 29 Nov 2025 12:00:00 +0000\nContent-Type: text/html\n\n<p>body</p>\n");
	size_t end = slice_find(script, slice_of("\n%%\n"));
	struct filter_mistake mistake;
	struct sieve *s;

	if (size > 32768)
		return 0;
	if (end != SLICE_NONE) {
		text = slice_from(script, end + 4);
		script = slice_sub(script, 0, end + 1);
	}
	s = sieve_compile(script, &mistake);
	if (s == NULL) {
		struct buf told = buf_make(1u << 20);

		need(mistake.line > 0 && mistake.column > 0 && mistake.why[0] != '\0');
		sieve_mistakes("script", script, &told);
		need(buf_ok(&told) && told.len > 0);
		buf_free(&told);
		return 0;
	}
	run(s, text);
	sieve_free(&s);
	return 0;
}
