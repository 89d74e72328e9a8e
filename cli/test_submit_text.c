#include "submit_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The same text in pieces of every size gives the same bytes. */
static void check(const char *in, bool dot_ends, const char *want)
{
	struct slice text = slice_of(in);

	for (size_t step = 1; step <= text.len + 1; step++) {
		struct submit_text t = submit_text_begin(dot_ends);
		struct buf out = buf_make(1000);

		for (size_t at = 0; at < text.len; at += step)
			assert_true(submit_text_add(&t, slice_sub(text, at, step), &out));
		assert_true(submit_text_end(&t, &out));
		if (!slice_eq(buf_slice(&out), slice_of(want)))
			fail_msg("in \"%s\" step %zu: got \"%s\" want \"%s\"", in, step, buf_text(&out), want);
		buf_free(&out);
	}
}

static void converts(void **state)
{
	static const struct {
		const char *in;
		bool dot_ends;
		const char *out;
	} cases[] = {
		{"", false, ".\r\n"},
		{"a\n", false, "a\r\n.\r\n"},
		{"a\r\nb\n", false, "a\r\nb\r\n.\r\n"},
		{"a", false, "a\r\n.\r\n"},
		{"\n\n", false, "\r\n\r\n.\r\n"},
		{".\n", false, "..\r\n.\r\n"},
		{".", false, "..\r\n.\r\n"},
		{".\r\n", false, "..\r\n.\r\n"},
		{"a\n.\nb\n", false, "a\r\n..\r\nb\r\n.\r\n"},
		{"a\n.\nb\n", true, "a\r\n.\r\n"},
		{"a\r\n.\r\nb\r\n", true, "a\r\n.\r\n"},
		{"a\n.", true, "a\r\n.\r\n"},
		{"a\n..\n", true, "a\r\n...\r\n.\r\n"},
		{"a\n.b\n", true, "a\r\n..b\r\n.\r\n"},
		{"a.b\n.c", false, "a.b\r\n..c\r\n.\r\n"},
		/* a CR alone is the server's to refuse, and never makes a line of its own */
		{"a\rb\n", false, "a\rb\r\n.\r\n"},
		{"a\r\r\n", false, "a\r\r\n.\r\n"},
		{"a\r", false, "a\r\r\n.\r\n"},
		{"\r", false, "\r\r\n.\r\n"},
		{".\r", true, "..\r\r\n.\r\n"},
		{"\r.\r\n", false, "\r.\r\n.\r\n"},
		{".\rx\n", true, "..\rx\r\n.\r\n"},
		{"a\n.\r.\n", true, "a\r\n..\r.\r\n.\r\n"},
		{"\n.\n", true, "\r\n.\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(cases[i].in, cases[i].dot_ends, cases[i].out);
}

/* Whatever is put in: the end of data stands at the end and nowhere else. */
static void never_ends_early(void **state)
{
	static const char letters[] = "\r\n.a";
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct submit_text t = submit_text_begin(round % 2 == 0);
		struct buf out = buf_make(200);
		char in[12];
		struct slice sent;
		size_t end;

		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = letters[(unsigned)rand_r(&seed) / 13 % 4];
		assert_true(submit_text_add(&t, slice_make(in, sizeof(in)), &out));
		assert_true(submit_text_end(&t, &out));
		sent = buf_slice(&out);
		end = slice_starts(sent, slice_of(".\r\n")) ? 3 : slice_find(sent, slice_of("\r\n.\r\n")) + 5;
		assert_int_equal(end, sent.len);
		buf_free(&out);
	}
}

static void has_a_ceiling(void **state)
{
	struct submit_text t = submit_text_begin(false);
	struct buf out = buf_make(4);

	(void)state;
	assert_false(submit_text_add(&t, slice_of("abcdefgh\n"), &out));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(converts),
		cmocka_unit_test(never_ends_early),
		cmocka_unit_test(has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
