#include "filter/filter.h"

#include "base/mem.h"
#include "filter/report.h"
#include "filter/sample.h"
#include "filter/sieve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

/*
 * golden/X holds cases:
 *
 *   == name            of the case
 *   text of the filter
 *   @@ message         then its lines; without it golden/message
 *   @@ sender ADDRESS  of the envelope; "" without ADDRESS; without the line alice@example.test
 *   @@ address ADDRESS that is delivered to, in place of bob+news@example.org
 *   @@ file PATH       a file that there is, then its lines
 *   @@ folder NAME     a folder that there is
 *   -- what comes out: the mistake, or each step and action
 *
 * `POSTERN_GOLDEN=rewrite build/unit/test_filter_golden` writes what comes out now; git shows the difference.
 */
#define GOLDEN_MAX (1u << 20)
#define FILES_MAX 32

struct file {
	struct slice path, text;
};

struct given {
	struct slice filter, message, sender, address;
	struct file files[FILES_MAX];
	struct slice folders[FILES_MAX];
	size_t file_count, folder_count;
	struct filter_sample sample;
};

static struct buf default_message;

static bool read_golden(const char *name, struct buf *text)
{
	struct buf path = buf_make(4096);
	char *room = buf_room(text, GOLDEN_MAX - 1);
	FILE *f;

	buf_addf(&path, "%s/%s", GOLDEN_FOLDER, name);
	f = fopen(buf_text(&path), "re");
	buf_free(&path);
	if (f == NULL || room == NULL)
		return false;
	buf_grew(text, fread(room, 1, GOLDEN_MAX - 1, f));
	fclose(f);
	return text->len > 0;
}

/* Cuts the lines before the next one that starts with `mark` off `*rest`. */
static struct slice cut_until(struct slice *rest, const char *mark)
{
	struct slice all = *rest;

	while (rest->len > 0 && !slice_starts(*rest, slice_of(mark))) {
		size_t end = slice_index(*rest, '\n');

		*rest = end == SLICE_NONE ? slice_empty() : slice_from(*rest, end + 1);
	}
	return slice_sub(all, 0, all.len - rest->len);
}

static struct slice cut_line(struct slice *rest)
{
	struct slice line = {"", 0};

	slice_cut(rest, '\n', &line);
	return line;
}

static void take_section(struct given *g, struct slice *rest)
{
	struct slice words = slice_from(cut_line(rest), 3), what = slice_empty(), value;
	struct slice text = cut_until(rest, "@@ ");

	slice_word(&words, &what);
	value = slice_trim(words);
	if (slice_eq(what, slice_of("message"))) {
		g->message = text;
	} else if (slice_eq(what, slice_of("sender"))) {
		g->sender = value;
	} else if (slice_eq(what, slice_of("address"))) {
		g->address = value;
	} else if (slice_eq(what, slice_of("file"))) {
		assert_true(g->file_count < FILES_MAX);
		g->files[g->file_count++] = (struct file){value, text};
	} else if (slice_eq(what, slice_of("folder"))) {
		assert_true(g->folder_count < FILES_MAX);
		g->folders[g->folder_count++] = value;
	} else {
		fail_msg("what is @@ %.*s?", SLICE_ARG(what));
	}
}

static const struct given *given_of(const void *sample)
{
	return (const struct given *)(const void *)((const char *)sample - offsetof(struct given, sample));
}

static bool has_folder(void *arg, struct slice name)
{
	const struct given *g = given_of(arg);

	for (size_t i = 0; i < g->folder_count; i++)
		if (slice_eq(g->folders[i], name))
			return true;
	return false;
}

static enum filter_read read_file(void *arg, struct slice path, struct buf *out)
{
	const struct given *g = given_of(arg);

	for (size_t i = 0; i < g->file_count; i++)
		if (slice_eq(g->files[i].path, path))
			return buf_add_slice(out, g->files[i].text) ? FILTER_READ_DONE : FILTER_READ_REFUSED;
	return FILTER_READ_MISSING;
}

static void write_step(void *arg, uint32_t line, struct slice what)
{
	buf_addf(arg, "%u: %.*s\n", line, SLICE_ARG(what));
}

static void write_mail(struct slice text, struct buf *out)
{
	struct slice line;

	while (slice_cut(&text, '\n', &line))
		buf_addf(out, "   |%s%.*s\n", line.len > 0 ? " " : "", SLICE_ARG(line));
}

static void write_result(const struct filter_result *r, struct buf *out)
{
	for (size_t i = 0; i < r->count; i++) {
		buf_add_text(out, "=> ");
		filter_action_text(&r->actions[i], out);
		buf_add_char(out, '\n');
		if (r->actions[i].kind == FILTER_MAIL)
			write_mail(r->actions[i].text, out);
	}
	if (r->outcome != FILTER_DONE)
		buf_addf(out, "%s %s\n", r->outcome == FILTER_ERROR ? "!! error:" : "!! later:", r->why);
	else if (r->count == 0)
		buf_add_text(out, "=> nothing\n");
}

static void run_given(struct given *g, struct buf *out)
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	const struct filter_trace trace = {write_step, out};
	struct filter_message m = {
		.sender = g->sender,
		.recipient = slice_of("bob+news@example.org"),
		.address = g->address,
		.user = slice_of("bob"),
		.home = slice_of("/home/bob"),
		.host = slice_of("mx1.example.test"),
		.separators = slice_of("+"),
		.id = 0x0123456789abcdef,
		.now = 1764417600,
		.zone_minutes = 60,
		.read = read_file,
		.has_folder = has_folder,
	};
	struct filter_mistake mistake;
	struct filter_result r;
	struct filter *f = filter_compile(g->filter, FILTER_KIND_ANY, &mistake);

	if (f == NULL) {
		buf_addf(out, "-- mistake\n%u:%u: %s\n", mistake.line, mistake.column, mistake.why);
		if (filter_kind_of(g->filter) == FILTER_KIND_SIEVE)
			sieve_mistakes("script", g->filter, out);
		buf_add_char(out, '\n');
		return;
	}
	buf_addf(out, "-- runs as %s\n", filter_kind_name(filter_kind(f)));
	filter_sample_set(&g->sample, g->message, &m);
	filter_run(f, &m, &limits, &trace, &r);
	write_result(&r, out);
	buf_add_char(out, '\n');
	filter_result_free(&r);
	filter_free(&f);
}

static void assert_same(struct slice name, struct slice got, struct slice expected)
{
	if (slice_eq(got, expected))
		return;
	print_error("case %.*s: got\n%.*s\nexpected\n%.*s\n", SLICE_ARG(name), SLICE_ARG(got), SLICE_ARG(expected));
	fail();
}

static void run_case(struct slice name, struct slice input, struct slice expected, bool rewrite, struct buf *now)
{
	struct given g = {.sender = slice_of("alice@example.test"),
			  .address = slice_of("bob+news@example.org"),
			  .message = buf_slice(&default_message)};
	struct buf out = buf_make(GOLDEN_MAX);
	struct slice rest = input;

	g.filter = cut_until(&rest, "@@ ");
	while (rest.len > 0)
		take_section(&g, &rest);
	run_given(&g, &out);
	if (!rewrite)
		assert_same(name, buf_slice(&out), expected);
	buf_addf(now, "== %.*s\n", SLICE_ARG(name));
	buf_add_slice(now, input);
	buf_add_slice(now, buf_slice(&out));
	buf_free(&out);
}

static void write_golden(const char *name, const struct buf *now)
{
	struct buf path = buf_make(4096);
	FILE *f;

	buf_addf(&path, "%s/%s", GOLDEN_FOLDER, name);
	f = fopen(buf_text(&path), "we");
	assert_non_null(f);
	assert_int_equal(fwrite(now->at, 1, now->len, f), now->len);
	fclose(f);
	buf_free(&path);
}

static void run_golden(const char *file, size_t at_least)
{
	const char *mode = getenv("POSTERN_GOLDEN");
	bool rewrite = mode != NULL && strcmp(mode, "rewrite") == 0;
	struct buf text = buf_make(GOLDEN_MAX), now = buf_make(4 * GOLDEN_MAX);
	struct slice rest;
	size_t count = 0;

	assert_true(read_golden(file, &text));
	for (rest = buf_slice(&text); rest.len > 0; count++) {
		struct slice name = slice_from(cut_line(&rest), 3);
		struct slice whole = cut_until(&rest, "== ");
		struct slice input = cut_until(&whole, "-- ");

		run_case(name, input, whole, rewrite, &now);
	}
	assert_true(count >= at_least);
	if (rewrite)
		write_golden(file, &now);
	buf_free(&text);
	buf_free(&now);
}

static void test_exim(void **state)
{
	(void)state;
	run_golden("exim", 1);
}

static void test_exim_mistakes(void **state)
{
	(void)state;
	run_golden("exim-mistakes", 1);
}

static void test_forward(void **state)
{
	(void)state;
	run_golden("forward", 1);
}

static void test_sieve(void **state)
{
	(void)state;
	run_golden("sieve", 90);
}

static void test_sieve_mistakes(void **state)
{
	(void)state;
	run_golden("sieve-mistakes", 70);
}

static int begin(void **state)
{
	(void)state;
	default_message = buf_make(GOLDEN_MAX);
	return read_golden("message", &default_message) ? 0 : 1;
}

static int end(void **state)
{
	(void)state;
	buf_free(&default_message);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exim),
		cmocka_unit_test(test_exim_mistakes),
		cmocka_unit_test(test_forward),
		cmocka_unit_test(test_sieve),
		cmocka_unit_test(test_sieve_mistakes),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
