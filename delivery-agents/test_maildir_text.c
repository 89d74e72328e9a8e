#include "maildir_text.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_bytes(struct slice got, const char *want)
{
	if (!slice_eq(got, slice_of(want)))
		fail_msg("got \"%.*s\", want \"%s\"", SLICE_ARG(got), want);
}

/* The same bytes in pieces of every size give the same lines. */
static void line_ends(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"a\r\nb\r\n", "a\nb\n"},
		{"\r\n\r\n", "\n\n"},
		{"a\rb\r\n", "a\rb\n"},
		{"a\nb\r\n", "a\nb\n"},
		{"\r\r\n", "\r\n"},
		{"\r", "\r"},
		{"x\r\r", "x\r\r"},
		{"no end", "no end"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice in = slice_of(cases[i].in);

		for (size_t step = 1; step <= in.len + 1; step++) {
			struct lf_writer w = {.is_binary = false};
			char out[64];
			size_t n = 0;

			for (size_t at = 0; at < in.len; at += step)
				n += lf_write(&w, slice_sub(in, at, step), out + n);
			n += lf_end(&w, out + n);
			check_bytes(slice_make(out, n), cases[i].out);
		}
	}
}

/* The header as of any message, the rest octet for octet. */
static void octets(void **state)
{
	static const struct {
		const char *in;
		size_t in_len;
		const char *out;
		size_t out_len;
	} cases[] = {
		{"", 0, "", 0},
		{"a: b\r\n\r\n\r\n\r\r\n\n\0\xff\r", 17, "a: b\n\n\r\n\r\r\n\n\0\xff\r", 15},
		{"a: b\r\n c\r\n\r\nx\r\ny\r\n", 18, "a: b\n c\n\nx\r\ny\r\n", 15},
		{"\r\n\r\n", 4, "\n\r\n", 3},
		{"a: b\r\n", 6, "a: b\n", 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice in = slice_make(cases[i].in, cases[i].in_len);

		for (size_t step = 1; step <= in.len + 1; step++) {
			struct lf_writer w = {.is_binary = true};
			char out[64];
			size_t n = 0;

			for (size_t at = 0; at < in.len; at += step)
				n += lf_write(&w, slice_sub(in, at, step), out + n);
			n += lf_end(&w, out + n);
			assert_int_equal(n, cases[i].out_len);
			assert_memory_equal(out, cases[i].out, n);
		}
	}
}

static void lines(void **state)
{
	static const struct {
		const char *sender, *recipient, *prepend;
		bool delivered_to;
		const char *want;
	} cases[] = {
		{"a@b", "c@d", "Received: x\r\n\tby y\r\n", true,
		 "Return-Path: <a@b>\nDelivered-To: c@d\nReceived: x\n\tby y\n"},
		{"", "c@d", "", false, "Return-Path: <>\n"},
		{"a\r\nX: 1@b", "c\nY: d", "", true, "Return-Path: <a??X: 1@b>\nDelivered-To: c?Y: d\n"},
		{"a@b", "c@d", "Received: open", false, "Return-Path: <a@b>\nReceived: open\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct delivery_lines d = {.sender = slice_of(cases[i].sender),
						 .recipient = slice_of(cases[i].recipient),
						 .prepend = slice_of(cases[i].prepend),
						 .delivered_to = cases[i].delivered_to};
		struct buf out = buf_make(1000);

		assert_true(delivery_lines_add(&d, &out));
		check_bytes(buf_slice(&out), cases[i].want);
		buf_free(&out);
	}
}

static void lines_have_a_ceiling(void **state)
{
	const struct delivery_lines d = {.sender = slice_of("a@b"),
					 .recipient = slice_of("c@d"),
					 .prepend = slice_of("Received: x\r\n"),
					 .delivered_to = true,
					 .envelope_to = true,
					 .original = slice_of("e@f"),
					 .delivered_s = 1000};

	(void)state;
	for (size_t max = 0; max < 46; max++) {
		struct buf out = buf_make(max);

		assert_false(delivery_lines_add(&d, &out));
		buf_free(&out);
	}
}

static bool loops(const char *address, struct slice text, size_t step)
{
	struct loop_guard g;

	loop_guard_begin(&g, slice_of(address));
	for (size_t at = 0; at < text.len; at += step)
		if (!loop_guard_read(&g, slice_sub(text, at, step)))
			break;
	return g.found;
}

static void loop_guards(void **state)
{
	static const struct {
		const char *text;
		bool found;
	} cases[] = {
		{"Delivered-To: alice@example.test\n\nx\n", true},
		{"delivered-TO:   Alice@Example.TEST  \n\nx\n", true},
		{"Delivered-To: <alice@example.test>\n", true},
		{"Subject: x\nDelivered-To: bob@example.test\nDelivered-To: alice@example.test\n\n", true},
		{"Subject: x\n\nDelivered-To: alice@example.test\n", false},
		{"X-Delivered-To: alice@example.test\n\n", false},
		{"Subject: a\n Delivered-To: alice@example.test\n\n", false},
		{"Delivered-To: malice@example.test\n\n", false},
		{"Delivered-To: alice@example.test.org\n\n", false},
		{"Delivered-To: alice@example.test", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 40; step++)
			if (loops("alice@example.test", slice_of(cases[i].text), step) != cases[i].found)
				fail_msg("step %zu: %s", step, cases[i].text);
	assert_false(loops("", slice_of("Delivered-To: \n\n"), 5));
}

static void long_lines_do_not_match(void **state)
{
	static char text[3000];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "Delivered-To: ", 14);
	memcpy(text + 2000, "\nDelivered-To: a@b\n", 19);
	assert_true(loops("a@b", slice_make(text, sizeof(text)), 100));
	assert_false(loops("b@c", slice_make(text, sizeof(text)), 100));
}

static const struct {
	const char *text, *want;
} quotes[] = {
	{"", ""},
	{"From me\n", ">From me\n"},
	{">From me\n>>From x\n", ">>From me\n>>>From x\n"},
	{" From me\nFrom\nFromage\nxFrom y\n", " From me\nFrom\nFromage\nxFrom y\n"},
	{">\n>>\nFr", ">\n>>\nFr"},
	{"F\nFrom \n", "F\n>From \n"},
	{"FFrom x\n>x From y", "FFrom x\n>x From y"},
};

/* The same in one piece and byte by byte, and one `>` taken off gives what was. */
static void test_quotes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(quotes); i++) {
		struct slice text = slice_of(quotes[i].text);
		struct from_quoter q;
		char got[200];
		size_t n;

		for (size_t step = 1; step <= text.len + 1; step++) {
			from_quoter_begin(&q);
			n = 0;
			for (size_t at = 0; at < text.len; at += step)
				n += from_quote(&q, slice_sub(text, at, step), got + n);
			n += from_quote_end(&q, got + n);
			if (!slice_eq(slice_make(got, n), slice_of(quotes[i].want)))
				fail_msg("%s: %.*s", quotes[i].text, (int)n, got);
		}
	}
}

static void test_fields(void **state)
{
	static const struct {
		const char *header;
		bool has;
	} rows[] = {
		{"X-Spam-Flag: YES\n", true},	       {"A: b\r\nx-spam-flag:yes \r\n\r\n", true}, {"X-Spam-Flag: NO\n", false},
		{"A: b\n\nX-Spam-Flag: YES\n", false}, {"X-Spam-Flag: YES\n and no\n", false},   {"X-Spam-Flags: YES\n", false},
		{"X-Spam-Flag : YES\n", true},	       {"", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (header_has(slice_of(rows[i].header), slice_of("X-Spam-Flag: YES")) != rows[i].has)
			fail_msg("%s", rows[i].header);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(line_ends),
		cmocka_unit_test(octets),
		cmocka_unit_test(lines),
		cmocka_unit_test(lines_have_a_ceiling),
		cmocka_unit_test(loop_guards),
		cmocka_unit_test(long_lines_do_not_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
