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
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_long_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
