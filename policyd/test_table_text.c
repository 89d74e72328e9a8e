#include "table_net.h"
#include "table_text.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>

static struct buf buf_of(struct slice text)
{
	struct buf b = buf_make(1 << 20);

	buf_add_slice(&b, text);
	return b;
}

static struct table_text *parse_text(struct slice text, struct buf *why)
{
	struct buf b = buf_of(text);
	struct table_text *t = table_text_parse(&b, why);

	assert_int_equal(b.len, 0);
	assert_int_equal(t == NULL, why->len > 0);
	return t;
}

static struct table_net *parse_net(struct slice text, struct buf *why)
{
	struct buf b = buf_of(text);
	struct table_net *t = table_net_parse(&b, why);

	assert_int_equal(b.len, 0);
	assert_int_equal(t == NULL, why->len > 0);
	return t;
}

static void test_text(void **state)
{
	static const char text[] = "# aliases\n"
				   "Postmaster:  alice, bob   # both\n"
				   "\n"
				   "just-a-key\r\n"
				   "2001:db8::1: six\n"
				   "a#b@example.test: hash\n"
				   "tab:\tvalue\n"
				   "empty:\n"
				   "meta: ${run{id}} %u {local} $(id)";
	static const struct {
		const char *key, *value; /* NULL: not in it */
	} cases[] = {
		{"postmaster", "alice, bob"}, {"POSTMASTER", "alice, bob"}, {"just-a-key", ""}, {"2001:db8::1", "six"},
		{"a#b@example.test", "hash"}, {"tab", "value"}, {"empty", ""}, {"postmaste", NULL}, {"postmaster2", NULL}, {"", NULL},
		{"meta", "${run{id}} %u {local} $(id)"},
	};
	struct buf why = buf_make(512);
	struct table_text *t = parse_text(slice_of(text), &why);

	(void)state;
	assert_non_null(t);
	assert_int_equal(table_text_count(t), 7);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice value = slice_empty();
		bool found = table_text_find(t, slice_of(cases[i].key), &value);

		if (found != (cases[i].value != NULL) || (found && !slice_eq(value, slice_of(cases[i].value))))
			fail_msg("%s: %.*s", cases[i].key, SLICE_ARG(value));
	}
	table_text_free(&t);
	buf_free(&why);
	print_message("ROW E09 table-values-are-text pass\n");
}

static void test_text_mistakes(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"a: 1\nb: 2\nA: 3", "3: the key \"A\" stood in line 1 already"},
		{"  b: 1", "1: nothing stands before this line that it could go on with"},
		{"a: 1\n # c\n  b\n\nc d\n", "5: expected `key` or `key: value`, with a blank behind the colon"},
		{"a: 1\n  \x01", "2: a control character (is this a text file?)"},
		{"root:alice", "1: put a blank behind the colon, or the key in quotes"},
		{"list::include:/etc/list", "1: put a blank behind the colon, or the key in quotes"},
		{"\"\": x", "1: no key before the colon"},
		{"\"a\": x\na: y", "2: the key \"a\" stood in line 1 already"},
		{": x", "1: no key before the colon"},
		{"two words", "1: expected `key` or `key: value`, with a blank behind the colon"},
		{"a: \x01", "1: a control character (is this a text file?)"},
		{"ok\n\x7f", "2: a control character (is this a text file?)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf why = buf_make(512);
		struct table_text *t = parse_text(slice_of(cases[i].text), &why);

		assert_null(t);
		assert_string_equal(buf_text(&why), cases[i].why);
		buf_free(&why);
	}
}

/* aliases(5): quotes around keys and values, values over several lines. */
static void test_text_aliases(void **state)
{
	static const char text[] = "\"odd: name\" : alice\n"
				   "\"quote\\\"d\\\\\": q\n"
				   "\"half quoted\"@example.test: h\n"
				   "list: one,   # the first\r\n"
				   "\ttwo,\n"
				   "# a remark\n"
				   "\n"
				   "   three # last\n"
				   "prog: \"|/bin/x # no, comment\"   # a comment\n"
				   "open: \"never closed # comment\n"
				   "\"alone\"\n"
				   "owner-list: root\n"
				   "*: rest\n";
	static const struct {
		const char *key, *value;
		size_t line;
	} cases[] = {
		{"odd: name", "alice", 1}, {"quote\"d\\", "q", 2}, {"\"half quoted\"@example.test", "h", 3}, {"prog", "\"|/bin/x # no, comment\"", 9},
		{"open", "\"never closed", 10}, {"alone", "", 11}, {"owner-list", "root", 12}, {"*", "rest", 13},
	};
	struct buf why = buf_make(512);
	struct table_text *t = parse_text(slice_of(text), &why);
	struct slice value = slice_empty(), word;

	(void)state;
	if (t == NULL)
		fail_msg("%s", buf_text(&why));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (!table_text_find(t, slice_of(cases[i].key), &value) || !slice_eq(value, slice_of(cases[i].value)) ||
		    table_text_line(t, slice_of(cases[i].key)) != cases[i].line)
			fail_msg("%s: %.*s", cases[i].key, SLICE_ARG(value));
	assert_true(table_text_find(t, slice_of("list"), &value));
	assert_int_equal(table_text_line(t, slice_of("list")), 4);
	assert_true(slice_word(&value, &word) && slice_eq(word, slice_of("one,")));
	assert_true(slice_word(&value, &word) && slice_eq(word, slice_of("two,")));
	assert_true(slice_word(&value, &word) && slice_eq(word, slice_of("three")) && value.len == 0);
	table_text_free(&t);
	buf_free(&why);
}

/* Many keys: all are found, their neighbours are not. */
static void test_text_many(void **state)
{
	struct buf text = buf_make(1 << 20), why = buf_make(512);
	struct table_text *t;
	char key[32];

	(void)state;
	for (int i = 0; i < 5000; i++)
		buf_addf(&text, "key%d: v%d\n", i * 7 % 5000 * 2, i);
	t = parse_text(buf_slice(&text), &why);
	assert_non_null(t);
	assert_int_equal(table_text_count(t), 5000);
	for (int i = 0; i < 10000; i++) {
		struct slice value;

		snprintf(key, sizeof(key), "KEY%d", i);
		assert_int_equal(table_text_find(t, slice_of(key), &value), i % 2 == 0);
	}
	table_text_free(&t);
	buf_free(&text);
	buf_free(&why);
}

static void test_net(void **state)
{
	static const char text[] = "10.0.0.0/8: ten\n"
				   "10.1.0.0/16 ten-one\n"
				   "10.1.2.3\n"
				   "2001:db8::/32: doc\n"
				   "2001:db8::: lowest\n"
				   "fe80::\n"
				   "0.0.0.0/0: four\n";
	static const struct {
		const char *key, *value;
	} cases[] = {
		{"10.2.3.4", "ten"}, {"10.1.3.4", "ten-one"}, {"10.1.2.3", ""}, {"10.1.2.4", "ten-one"}, {"192.0.2.1", "four"},
		{"2001:db8::1", "doc"}, {"2001:db8::", "lowest"}, {"fe80::", ""}, {"fe80::1", NULL}, {"::1", NULL},
		{"::ffff:10.2.3.4", "ten"}, {"alice", NULL}, {"", NULL}, {"10.1.2.3/32", NULL}, {"010.1.2.3", NULL},
	};
	struct buf why = buf_make(512);
	struct table_net *t = parse_net(slice_of(text), &why);

	(void)state;
	assert_non_null(t);
	assert_int_equal(table_net_count(t), 7);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice value = slice_empty();
		size_t line;
		bool found = table_net_find(t, slice_of(cases[i].key), &value, &line);

		if (found != (cases[i].value != NULL) || (found && !slice_eq(value, slice_of(cases[i].value))))
			fail_msg("%s: %d %.*s", cases[i].key, found, SLICE_ARG(value));
	}
	table_net_free(&t);
	buf_free(&why);
}

static void test_net_mistakes(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"10.0.0.1/8", "1: bits behind the prefix are set; 10.0.0.0/8 is the network"},
		{"x", "1: expected a network, like 192.0.2.0/24 or 2001:db8::/32"},
		{"10.0.0.0/8\n10.0.0.0/8: x", "2: this network stood in line 1 already"},
		{"10.0.0.0/33", "1: expected a network, like 192.0.2.0/24 or 2001:db8::/32"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf why = buf_make(512);
		struct table_net *t = parse_net(slice_of(cases[i].text), &why);

		assert_null(t);
		assert_string_equal(buf_text(&why), cases[i].why);
		buf_free(&why);
	}
}

static void try_both(struct slice text)
{
	struct buf why = buf_make(512), why_net = buf_make(512);
	struct table_text *t = parse_text(text, &why);
	struct table_net *n = parse_net(text, &why_net);

	table_text_free(&t);
	table_net_free(&n);
	buf_free(&why);
	buf_free(&why_net);
}

/* Whatever the bytes are: a table, or a sentence. */
static void test_every_cut_and_change(void **state)
{
	static const char sample[] = "a: 1\n10.0.0.0/8: x\n2001:db8::/32\n# c\nb\r\n";
	char text[sizeof(sample)];

	(void)state;
	for (size_t len = 0; len < sizeof(sample); len++)
		try_both(slice_make(sample, len));
	for (size_t at = 0; at < sizeof(sample) - 1; at++)
		for (int byte = 0; byte < 256; byte++) {
			memcpy(text, sample, sizeof(sample));
			text[at] = (char)byte;
			try_both(slice_make(text, sizeof(sample) - 1));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text), cmocka_unit_test(test_text_aliases),	 cmocka_unit_test(test_text_mistakes), cmocka_unit_test(test_text_many),
		cmocka_unit_test(test_net),	 cmocka_unit_test(test_net_mistakes),  cmocka_unit_test(test_every_cut_and_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
