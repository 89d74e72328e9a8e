#include "mail/header.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static void note_field(struct slice name, struct slice value, void *arg)
{
	buf_addf(arg, "%.*s=%.*s;", SLICE_ARG(name), SLICE_ARG(value));
}

static const struct {
	const char *in, *fields;
	size_t used;
	uint32_t received;
	bool ended, malformed;
} cases[] = {
	{"Subject: x\r\n\r\nbody", "Subject=x;", 14, 0, true, false},
	{"Received: a\r\nReceived: b\r\n c\r\nrECEIVED : d\r\n\r\n",
	 "Received=a;Received=b c;rECEIVED=d;", 46, 3, true, false},
	{"\r\nReceived: body\r\n", "", 2, 0, true, false},
	{"From alice Sat Nov 21\r\nReceived: a\r\n\r\n", "Received=a;", 38, 1, true, true},
	{"From alice Sat 09:00\r\nX: 1\r\n\r\n", "X=1;", 30, 0, true, true},
	{" leading\r\nReceived: a\r\n\r\n", "Received=a;", 25, 1, true, true},
	{"no field\r\n goes on\r\nDelivered-To: a@b\r\n\r\n", "Delivered-To=a@b;", 41, 0, true,
	 true},
	{"A:\r\n 1\r\n\t2\r\nB:2\r\n\r\n", "A=1\t2;B=2;", 19, 0, true, false},
	{"A: 1\r\n", "A=1;", 6, 0, false, false},
	{"Received", "", 8, 0, false, false},
	{"", "", 0, 0, false, false},
};

static void assert_names(struct header_names *n, const char *want)
{
	assert_true(slice_eq(header_names_text(n), slice_of(want)));
	header_names_free(n);
}

/* Which fields there are, from a walk, from memory, and from such a text. */
static void test_names(void **state)
{
	static const char header[] = "From: a@b\r\nSUBJECT : x\r\n Date: folded\r\nfrom: again\r\nno field\r\n\r\nX-Body: 1\r\n";
	struct header_names n = header_names_make();
	struct header_walk w = header_walk_make(NULL, NULL);

	(void)state;
	w.names = &n;
	header_walk_step(&w, slice_of(header));
	assert_names(&n, ":from:subject:");
	header_walk_free(&w);
	header_names_add_header(&n, slice_of(header));
	assert_names(&n, ":from:subject:");
	header_names_add_all(&n, slice_of(":a:bc:d:*"), slice_of("BC\nx"));
	assert_int_equal(header_names_have(header_names_text(&n), slice_of("a")), HEADER_HAS);
	assert_int_equal(header_names_have(header_names_text(&n), slice_of("bc")), HEADER_HAS_UNKNOWN);
	assert_names(&n, ":a:d:*");
	assert_names(&n, ":");
	assert_int_equal(header_names_have(slice_of(":from:"), slice_of("From")), HEADER_HAS);
	assert_int_equal(header_names_have(slice_of(":from:"), slice_of("fro")), HEADER_HAS_NOT);
	assert_int_equal(header_names_have(slice_empty(), slice_of("from")), HEADER_HAS_UNKNOWN);
}

/* More than are kept, or looked at: what is not among them is not known. */
static void test_names_have_bounds(void **state)
{
	struct header_names many = header_names_make(), same = header_names_make();
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 900; i++)
		header_names_add(&many, slice_make(name, (size_t)snprintf(name, sizeof(name), "X-Number-%04u", i)));
	assert_true(header_names_text(&many).len <= HEADER_NAMES_MAX + 1);
	assert_int_equal(header_names_have(header_names_text(&many), slice_of("x-number-0000")), HEADER_HAS);
	assert_int_equal(header_names_have(header_names_text(&many), slice_of("x-number-0899")), HEADER_HAS_UNKNOWN);
	header_names_free(&many);
	for (unsigned i = 0; i <= HEADER_NAMES_LOOKED_AT; i++)
		header_names_add(&same, slice_of("Received"));
	assert_names(&same, ":received:*");
}

static void test_walk(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice in = slice_of(cases[i].in);

		for (size_t piece = 1; piece <= in.len + 1; piece++) {
			struct buf fields = buf_make(10000);
			struct header_walk w = header_walk_make(note_field, &fields);

			for (size_t at = 0; at < in.len && !header_is_ended(&w); at += piece)
				header_walk_step(&w, slice_sub(in, at, piece));
			assert_int_equal(header_is_ended(&w), cases[i].ended);
			header_walk_end(&w);
			assert_int_equal(w.bytes, cases[i].used);
			assert_int_equal(w.received, cases[i].received);
			assert_int_equal(w.malformed, cases[i].malformed);
			assert_true(slice_eq(buf_slice(&fields), slice_of(cases[i].fields)));
			header_walk_free(&w);
			buf_free(&fields);
		}
	}
}

/* A value of any length is counted, and only so much of it kept. */
static void test_long_value(void **state)
{
	struct buf fields = buf_make(100000);
	struct header_walk w = header_walk_make(note_field, &fields);

	(void)state;
	header_walk_step(&w, slice_of("X: "));
	for (unsigned i = 0; i < 1000; i++)
		header_walk_step(&w, slice_of("0123456789"));
	header_walk_step(&w, slice_of("\r\n\r\n"));
	assert_true(header_is_ended(&w));
	assert_int_equal(w.bytes, 10007);
	assert_true(fields.len <= HEADER_VALUE_KEPT + 3);
	header_walk_free(&w);
	buf_free(&fields);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), cmocka_unit_test(test_names_have_bounds), cmocka_unit_test(test_walk),
		cmocka_unit_test(test_long_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
