#include "header_cut.h"

#include "base/mem.h"
#include "test.h"

static const struct {
	const char *name, *text, *names, *want;
} cases[] = {
	{"nothing named", "A: 1\r\n\r\nx", "", "A: 1\r\n\r\nx"},
	{"one field", "A: 1\r\nB: 2\r\n\r\nB: 3\r\n", "b", "A: 1\r\n\r\nB: 3\r\n"},
	{"folded", "B: 2\r\n 3\r\n\t4\r\nA: 1\r\n\r\n", "B", "A: 1\r\n\r\n"},
	{"several", "A: 1\nB: 2\nA: 3\n\nA: x\n", "A\nB", "\nA: x\n"},
	{"a longer name stays", "AB: 1\r\nA: 2\r\n\r\n", "A", "AB: 1\r\n\r\n"},
	{"no header", "\r\nA: 1\r\n", "A", "\r\nA: 1\r\n"},
	{"no end of the header", "B: 1\r\nA: 2", "A", "B: 1\r\nA: 2"},
	{"space before the colon", "A : 1\r\n\r\n", "A", "\r\n"},
};

/* As a file is read: what was left is read again. */
static void cut_in_pieces(struct slice text, struct slice names, size_t size, struct buf *out)
{
	struct header_cut h = {.names = names};

	while (text.len > 0) {
		size_t used = 0;

		assert_true(header_cut(&h, slice_sub(text, 0, size), text.len <= size, &used, out));
		assert_true(used > 0);
		text = slice_from(text, used);
	}
}

/* As long as a piece holds a name, where pieces end makes no difference. */
static void test_pieces(void **state)
{
	(void)state;
	for (size_t size = 5; size < 40; size++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct buf out = buf_make(1000);

			cut_in_pieces(slice_of(cases[i].text), slice_of(cases[i].names), size, &out);
			if (!slice_eq(buf_slice(&out), slice_of(cases[i].want)))
				fail_msg("%s, %zu: %s", cases[i].name, size, buf_text(&out));
			buf_free(&out);
		}
}

static void test_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1000);

		cut_in_pieces(slice_of(cases[i].text), slice_of(cases[i].names), 1000, &out);
		if (!slice_eq(buf_slice(&out), slice_of(cases[i].want)))
			fail_msg("%s: %s", cases[i].name, buf_text(&out));
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut), cmocka_unit_test(test_pieces)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
