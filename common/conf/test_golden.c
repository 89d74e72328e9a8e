#include "conf/bundle.h"
#include "conf/conf.h"
#include "conf/print.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/*
 * golden/X holds cases:
 *
 *   == name            of the case
 *   text of main.conf
 *   @@ other.conf      starts another file of the same configuration
 *   -- mistakes        what conf_compile tells, or
 *   -- prints          what it prints, which must compile again and print the same
 *
 * `POSTERN_GOLDEN=rewrite build/unit/test_conf_golden` writes what comes out now; git shows the
 * difference.
 */
#define GOLDEN_MAX (1u << 20)

static bool read_golden(const char *path, struct buf *text)
{
	FILE *f = fopen(path, "re");
	size_t n = 0;
	char *room = buf_room(text, GOLDEN_MAX - 1);

	if (f == NULL || room == NULL)
		return false;
	n = fread(room, 1, GOLDEN_MAX - 1, f);
	buf_grew(text, n);
	fclose(f);
	return n > 0;
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

static void make_bundle(struct slice input, struct buf *bundle)
{
	struct slice name = {"main.conf", 9};

	for (;;) {
		struct slice text = cut_until(&input, "@@ ");

		assert_true(bundle_add(bundle, name, text));
		if (input.len == 0)
			return;
		name = slice_from(cut_line(&input), 3);
	}
}

static void compile_to(struct slice bundle, struct buf *out)
{
	struct conf_mistakes mistakes;
	struct conf *conf = conf_compile(bundle, &mistakes);

	if (conf != NULL) {
		buf_add_text(out, "-- prints\n");
		conf_print(conf, out);
	} else {
		buf_add_text(out, "-- mistakes\n");
		buf_add_slice(out, buf_slice(&mistakes.text));
	}
	assert_int_equal(conf == NULL, mistakes.count > 0);
	buf_free(&mistakes.text);
	conf_free(&conf);
}

static void assert_same(struct slice name, struct slice got, struct slice expected)
{
	if (slice_eq(got, expected))
		return;
	print_error("case %.*s: got\n%.*s\nexpected\n%.*s\n", SLICE_ARG(name), SLICE_ARG(got),
		    SLICE_ARG(expected));
	fail();
}

static void print_again(struct slice name, struct slice printed)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), again = buf_make(GOLDEN_MAX);
	struct slice text = slice_from(printed, strlen("-- prints\n"));

	if (!slice_starts(printed, slice_of("-- prints\n")))
		return;
	assert_true(bundle_add(&bundle, slice_of("again"), text));
	compile_to(buf_slice(&bundle), &again);
	assert_same(name, buf_slice(&again), printed);
	buf_free(&bundle);
	buf_free(&again);
}

/* Runs one case and adds it to `now` as it comes out. */
static void run_case(struct slice name, struct slice input, struct slice expected, bool rewrite,
		     struct buf *now)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), out = buf_make(GOLDEN_MAX);

	make_bundle(input, &bundle);
	compile_to(buf_slice(&bundle), &out);
	buf_add_char(&out, '\n');
	print_again(name, slice_sub(buf_slice(&out), 0, out.len - 1));
	if (!rewrite)
		assert_same(name, buf_slice(&out), expected);
	buf_addf(now, "== %.*s\n", SLICE_ARG(name));
	buf_add_slice(now, input);
	buf_add_slice(now, buf_slice(&out));
	buf_free(&bundle);
	buf_free(&out);
}

static void run_golden(const char *file, size_t at_least)
{
	const char *mode = getenv("POSTERN_GOLDEN");
	bool rewrite = mode != NULL && strcmp(mode, "rewrite") == 0;
	struct buf text = buf_make(GOLDEN_MAX), now = buf_make(4 * GOLDEN_MAX), path = buf_make(4096);
	struct slice rest;
	size_t count = 0;

	buf_addf(&path, "%s/%s", GOLDEN_FOLDER, file);
	assert_true(read_golden(buf_text(&path), &text));
	for (rest = buf_slice(&text); rest.len > 0; count++) {
		struct slice name = slice_from(cut_line(&rest), 3);
		struct slice whole = cut_until(&rest, "== ");
		struct slice input = cut_until(&whole, "-- ");

		run_case(name, input, whole, rewrite, &now);
	}
	assert_true(count >= at_least);
	if (rewrite) {
		FILE *f = fopen(buf_text(&path), "we");

		assert_non_null(f);
		assert_int_equal(fwrite(now.at, 1, now.len, f), now.len);
		fclose(f);
	}
	buf_free(&text);
	buf_free(&now);
	buf_free(&path);
}

static void test_mistakes(void **state)
{
	(void)state;
	run_golden("mistakes", 80);
}

static void test_prints(void **state)
{
	(void)state;
	run_golden("prints", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_prints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
