#include "mail/dotted.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

#define LINE_MAX_HERE 20

struct decoded {
	struct buf body;
	struct dotted_decoder d;
	size_t used;
};

static struct decoded decode(struct slice in, size_t piece)
{
	struct decoded r = {buf_make(1 << 20), dotted_decoder_make(LINE_MAX_HERE), 0};

	while (r.used < in.len && !dotted_is_ended(&r.d)) {
		struct slice part = slice_sub(in, r.used, piece);
		size_t used = dotted_decode(&r.d, part, &r.body);

		assert_true(used == part.len || dotted_is_ended(&r.d));
		r.used += used;
	}
	return r;
}

#define TEXT(t) {t, sizeof(t) - 1}

static const struct {
	struct slice in, body;
	size_t used; /* 0: no end in it */
	unsigned faults;
} cases[] = {
	{TEXT("a\r\nb\r\n.\r\nQUIT\r\n"), TEXT("a\r\nb\r\n"), 9, 0},
	{TEXT(".\r\nX"), TEXT(""), 3, 0},
	{TEXT("..\r\n.\r\n"), TEXT(".\r\n"), 7, 0},
	{TEXT(".a\r\n...\r\n.\r\n"), TEXT("a\r\n..\r\n"), 12, 0},
	{TEXT("a\n.\n"), TEXT("a\n.\n"), 0, DOTTED_BARE_LF},
	{TEXT("a\n.\r\nb\r\n.\r\n"), TEXT("a\n.\r\nb\r\n"), 11, DOTTED_BARE_LF},
	{TEXT("a\r.\r\nb\r\n.\r\n"), TEXT("a\r.\r\nb\r\n"), 11, DOTTED_BARE_CR},
	{TEXT("a\r\n.\nb\r\n.\r\n"), TEXT("a\r\n\nb\r\n"), 11, DOTTED_BARE_LF},
	{TEXT("a\r\n.\rb\r\n.\r\n"), TEXT("a\r\n\rb\r\n"), 11, DOTTED_BARE_CR},
	{TEXT("a\r\n.\r\r\nb\r\n.\r\n"), TEXT("a\r\n\r\r\nb\r\n"), 13, DOTTED_BARE_CR},
	{TEXT("a\r\r\n.\r\n"), TEXT("a\r\r\n"), 7, DOTTED_BARE_CR},
	{TEXT("a\0b\r\n.\r\n"), TEXT("a\0b\r\n"), 8, DOTTED_NUL},
	{TEXT("a\r\n\0.\r\n.\r\n"), TEXT("a\r\n\0.\r\n"), 10, DOTTED_NUL},
	{TEXT("a\r\n.\0\r\n.\r\n"), TEXT("a\r\n\0\r\n"), 10, DOTTED_NUL},
	{TEXT("12345678901234567890\r\n.\r\n"), TEXT("12345678901234567890\r\n"), 25, 0},
	{TEXT("123456789012345678901\r\n.\r\n"), TEXT("123456789012345678901\r\n"), 26,
	 DOTTED_LONG_LINE},
	{TEXT("a\r\n."), TEXT("a\r\n"), 0, 0},
	{TEXT("a\r\n.\r"), TEXT("a\r\n"), 0, 0},
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t piece = 1; piece <= cases[i].in.len; piece++) {
			struct decoded r = decode(cases[i].in, piece);

			assert_int_equal(dotted_is_ended(&r.d), cases[i].used > 0);
			assert_int_equal(r.used, cases[i].used > 0 ? cases[i].used : cases[i].in.len);
			assert_int_equal(r.d.faults, cases[i].faults);
			assert_true(slice_eq(buf_slice(&r.body), cases[i].body));
			buf_free(&r.body);
		}
	}
	print_message("ROW Z01 dotted pass\nROW Z02 dotted pass\nROW Z05 dotted-nul pass\nROW Z06 "
		      "line-never-split pass\n");
}

static void test_high(void **state)
{
	struct dotted_decoder d = dotted_decoder_make(100);

	(void)state;
	dotted_decode(&d, slice_of("plain\r\n"), NULL);
	assert_false(d.high);
	dotted_decode(&d, slice_of("M\xc3\xbcnchen\r\n"), NULL);
	assert_true(d.high);
}

static void test_encode(void **state)
{
	static const struct {
		const char *body, *sent;
		bool bare;
	} rows[] = {
		{"", ".\r\n", false},
		{"a\r\n", "a\r\n.\r\n", false},
		{"a", "a\r\n.\r\n", false},
		{".\r\n..\r\n", "..\r\n...\r\n.\r\n", false},
		{"a.\r\n.b\r\n", "a.\r\n..b\r\n.\r\n", false},
		{"a\n.\nb\r\n", "a\n.\nb\r\n.\r\n", true},
		{"a\r.\r\n", "a\r.\r\n.\r\n", true},
		{"a\r", "a\r\r\n.\r\n", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct slice body = slice_of(rows[i].body);

		for (size_t piece = 1; piece <= body.len + 1; piece++) {
			struct dotted_encoder e = {0};
			struct buf out = buf_make(1000);

			for (size_t at = 0; at < body.len; at += piece)
				assert_true(dotted_encode(&e, slice_sub(body, at, piece), &out));
			assert_true(dotted_encode_end(&e, &out));
			assert_true(slice_eq(buf_slice(&out), slice_of(rows[i].sent)));
			assert_int_equal(e.bare, rows[i].bare);
			buf_free(&out);
		}
	}
}

/* Whatever the bytes: decoding a byte at a time is decoding the whole, and a clean body survives
 * the way there and back. */
static void test_random(void **state)
{
	static const char alphabet[] = "\r\n..a\0\xff";
	uint64_t seed = 88172645463325252u;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		char text[40];
		size_t len = round % sizeof(text);
		struct decoded whole, bytes;

		for (size_t i = 0; i < len; i++) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			text[i] = alphabet[seed % (sizeof(alphabet) - 1)];
		}
		whole = decode(slice_make(text, len), SIZE_MAX);
		bytes = decode(slice_make(text, len), 1);
		assert_true(slice_eq(buf_slice(&whole.body), buf_slice(&bytes.body)));
		assert_int_equal(whole.used, bytes.used);
		assert_int_equal(whole.d.faults, bytes.d.faults);
		assert_int_equal(whole.d.high, bytes.d.high);
		if (dotted_is_ended(&whole.d) && (whole.d.faults & ~(unsigned)DOTTED_NUL) == 0) {
			struct dotted_encoder e = {0};
			struct buf sent = buf_make(1000);
			struct decoded again;

			assert_true(dotted_encode(&e, buf_slice(&whole.body), &sent) &&
				    dotted_encode_end(&e, &sent));
			assert_false(e.bare);
			again = decode(buf_slice(&sent), SIZE_MAX);
			assert_int_equal(again.used, sent.len);
			assert_true(slice_eq(buf_slice(&again.body), buf_slice(&whole.body)));
			buf_free(&again.body);
			buf_free(&sent);
		}
		buf_free(&whole.body);
		buf_free(&bytes.body);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_high),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
