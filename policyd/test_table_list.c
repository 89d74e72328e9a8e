#include "table_list.h"

#include "base/mem.h"
#include "conf/table_keys.h"
#include "table_pattern.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <stdio.h>

/* ---- lists ---- */

static unsigned read_count;

/* /N includes /N+1; /self itself, /a /b and they each other; /many the same file 200 times. */
static bool include(void *arg, struct slice path, struct buf *text_out, struct buf *why)
{
	static const struct {
		const char *path, *text;
	} files[] = {
		{"/staff", "# all\n  alice, bob\ncarol@example.test,\n"},
		{"/self", "x@y.test\n:include:/self\n"},
		{"/a", ":include:/b"},
		{"/b", "ok@y.test, :include:/a"},
		{"/prog", "alice\n|/bin/sh\n"},
		{"/file", "/etc/passwd"},
		{"/fail", ":fail: no"},
		{"/bad", "alice\nnot an address\n"},
		{"/empty", ""},
	};
	uint64_t number;

	(void)arg;
	read_count++;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (slice_eq(path, slice_of(files[i].path)))
			return buf_add_text(text_out, files[i].text);
	if (slice_eq(path, slice_of("/many"))) {
		for (unsigned i = 0; i < 200; i++)
			buf_add_text(text_out, ":include:/empty\n");
		return true;
	}
	if (slice_u64(slice_from(path, 1), 1000, &number))
		return buf_addf(text_out, "at%u@y.test, :include:/%u\n", (unsigned)number, (unsigned)number + 1);
	return buf_add_text(why, "no such file") && false;
}

static bool print(const struct target *target, void *arg)
{
	return buf_addf(arg, "%s%.*s ", target->kind == TARGET_ADDRESS ? "" : "!", SLICE_ARG(target->text));
}

static void test_expand(void **state)
{
	static const struct {
		const char *value, *want, *why;
	} cases[] = {
		{"alice, bob", "alice bob ", ""},
		{"boss, :include:/staff, last", "boss alice bob carol@example.test last ", ""},
		{":include:/empty", "", ""},
		{":include:/self", "x@y.test ", ":include:/self: it includes itself"},
		{":include:/a", "ok@y.test ", ":include:/a: it includes itself"},
		{":include:/prog", "alice ", ":include:/prog: an included file has addresses only"},
		{":include:/file", "", ":include:/file: an included file has addresses only"},
		{":include:/fail", "", ":include:/fail: an included file has addresses only"},
		{":include:/gone", "", ":include:/gone: no such file"},
		{":include:/bad", "alice ", "/bad:2:1: not an address: bad local part"},
		{":include:/many", "", ":include:/empty: too many files are included"},
		{"|/bin/x", "!/bin/x ", ""},
		{"a b", "", "value:1:1: not an address: bad local part"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf got = buf_make(4096);
		char why[TABLE_LIST_WHY_MAX];
		enum table_list_end end = table_list_expand(slice_of(cases[i].value), include, NULL, print, &got, why);

		while (got.len > 0 && got.at[got.len - 1] == '\0')
			got.len--;
		if ((end == TABLE_LIST_DONE) != (cases[i].why[0] == '\0') || strcmp(why, cases[i].why) != 0 ||
		    (cases[i].value[0] != '|' && !slice_eq(buf_slice(&got), slice_of(cases[i].want))))
			fail_msg("%s: %d \"%s\" \"%s\"", cases[i].value, (int)end, buf_text(&got), why);
		buf_free(&got);
	}
}

static void test_depth(void **state)
{
	struct buf got = buf_make(4096);
	char why[TABLE_LIST_WHY_MAX];

	(void)state;
	read_count = 0;
	assert_int_equal(table_list_expand(slice_of(":include:/1"), include, NULL, print, &got, why), TABLE_LIST_UNKNOWN);
	assert_string_equal(why, ":include:/11: included too deep");
	assert_int_equal(read_count, TABLE_LIST_DEPTH);
	buf_clear(&got);
	assert_int_equal(table_list_expand(slice_of(":include:/995"), include, NULL, print, &got, why), TABLE_LIST_UNKNOWN);
	assert_int_equal(table_list_expand(slice_of(":include:/staff"), NULL, NULL, print, &got, why), TABLE_LIST_UNKNOWN);
	buf_free(&got);
	print_message("ROW F17 depth-and-loops pass\n");
}

/* ---- keys ---- */

static void test_keys(void **state)
{
	static const struct {
		enum conf_table_kind kind;
		const char *address, *base, *want;
	} cases[] = {
		{TABLE_FILE, "Alice@Example.TEST", "", "alice@example.test|alice|@example.test|*|"},
		{TABLE_FILE, "a+b@x.test", "a@x.test", "a+b@x.test|a@x.test|a+b|a|@x.test|*|"},
		{TABLE_SQLITE, "\"O dd\"@x.test", "", "\"o dd\"@x.test|o dd|@x.test|*|"},
		{TABLE_PCRE2, "a@x.test", "", "a@x.test|"},
		{TABLE_FILE, "a@b\xc3\xbc" "cher.test", "", "a@xn--bcher-kva.test|a|@xn--bcher-kva.test|*|"},
		{TABLE_FILE, "nobody", "", NULL},
		{TABLE_FILE, "@x.test", "", NULL},
	};
	static const struct {
		enum conf_table_kind kind;
		const char *value, *want;
	} in[] = {
		{TABLE_INLINE, "x.test", "x.test|*|"}, {TABLE_FILE, "a@x.test", "a@x.test|@x.test|*|"}, {TABLE_SQLITE, "a@x.test", "a@x.test|"},
		{TABLE_CIDR, "192.0.2.1", "192.0.2.1|"}, {TABLE_PCRE2, "a@x.test", "a@x.test|"},
		{TABLE_DIRECTORY, "a@x.test", "a@x.test|a|@x.test|*|"}, {TABLE_DIRECTORY, "x.test", "x.test|"}, {TABLE_FILE, "@x.test", "@x.test|*|"},
	};
	struct table_keys keys;
	struct buf got = buf_make(1024);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool is = table_keys_alias(cases[i].kind, slice_of(cases[i].address), slice_of(cases[i].base), &keys);

		buf_clear(&got);
		for (size_t k = 0; is && k < keys.count; k++)
			buf_addf(&got, "%.*s|", SLICE_ARG(keys.at[k]));
		if (is != (cases[i].want != NULL) || (is && !slice_eq(buf_slice(&got), slice_of(cases[i].want))))
			fail_msg("%s: %s", cases[i].address, buf_text(&got));
	}
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		table_keys_in(in[i].kind, slice_of(in[i].value), &keys);
		buf_clear(&got);
		for (size_t k = 0; k < keys.count; k++)
			buf_addf(&got, "%.*s|", SLICE_ARG(keys.at[k]));
		if (!slice_eq(buf_slice(&got), slice_of(in[i].want)))
			fail_msg("%s: %s", in[i].value, buf_text(&got));
	}
	buf_free(&got);
}

/* ---- patterns ---- */

static struct table_pattern *patterns_of(const char *text, struct buf *why)
{
	struct buf b = buf_make(1 << 20);

	buf_add_text(&b, text);
	return table_pattern_parse(&b, why);
}

static void test_patterns(void **state)
{
	static const struct {
		const char *key, *value; /* NULL: no; "?": unknown */
	} cases[] = {
		{"list-dev@old.test", "dev@lists.test"}, {"cost/s@x", "$5, cost/s@"}, {"x/slash", "class"}, {"x.y", "<y>"}, {"x.yz", "<yz>"},
		{"a\nb", "dot"}, {"\"x,root\"@quoted", "?"}, {"\"xroot\"@quoted", "xroot@x.test"}, {"|id@start", "?"}, {"/etc@start", "?"},
		{":include:/x@start", "?"}, {"x y@start", "?"}, {"x@start", "x"}, {"meta@x", "$(id) `id` ${local} {local} \\1"}, {"only@x", ""},
		{"LIST-dev@OLD.test", "dev@lists.test"}, {"nothing", NULL}, {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "?"},
	};
	struct buf why = buf_make(512), value = buf_make(1 << 16), big = buf_make(8192);
	size_t line;
	struct table_pattern *t = patterns_of(
		"/^list-(.*)@old[.]test$/   $1@lists.test\n/^cost\\/s@/ $$5, $0\n/[/]slash/ class\n/^ x \\. (y) (z)? $/x <$1$2>\n"
			"/^a.b$/s dot\n/^\"(.*)\"@quoted/ $1@x.test\n/^(.*)@start$/ $1\n/^meta@/ $$(id) `id` $${local} {local} \\1\n"
			"/^big(.*)$/ $1$1$1$1\n/^only@/\n/^(a+)+$/ slow\n", &why);

	(void)state;
	if (t == NULL)
		fail_msg("%s", buf_text(&why));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum answer a, want = cases[i].value == NULL ? ANSWER_NO : cases[i].value[0] == '?' ? ANSWER_UNKNOWN : ANSWER_YES;

		buf_clear(&value);
		a = table_pattern_find(t, slice_of(cases[i].key), &value, &line, &why);
		if (a != want || (a == ANSWER_YES && !slice_eq(buf_slice(&value), slice_of(cases[i].value))))
			fail_msg("%s: %d \"%s\" %s", cases[i].key, (int)a, buf_text(&value), buf_text(&why));
	}
	buf_add_text(&big, "big");
	for (unsigned i = 0; i < 1024; i++)
		buf_add_char(&big, 'x');
	buf_clear(&value);
	assert_int_equal(table_pattern_find(t, buf_slice(&big), &value, &line, &why), ANSWER_YES);
	assert_int_equal(value.len, TABLE_RESULT_MAX);
	buf_add_char(&big, 'x');
	buf_clear(&value);
	assert_int_equal(table_pattern_find(t, buf_slice(&big), &value, &line, &why), ANSWER_UNKNOWN);
	assert_int_equal(table_pattern_find(t, buf_slice(&big), NULL, &line, &why), ANSWER_YES);
	table_pattern_free(&t);
	buf_free(&why);
	buf_free(&value);
	buf_free(&big);
	print_message("ROW M03 results-are-text pass\n");
}

static void test_pattern_mistakes(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"x y", "1: expected `/pattern/ result`"},
		{"/x", "1: expected `/pattern/ result`"},
		{"/x/q y", "1: behind the pattern stand flags (s, x), then a blank and the result"},
		{"\n/(/ y", "2: missing closing parenthesis"},
		{"/x/ $1", "1: the pattern has no group of that number"},
		{"/x/ $(id)", "1: behind $ stands the number of a group, 0 to 9, or another $"},
		{"/x/ y$", "1: behind $ stands the number of a group, 0 to 9, or another $"},
		{"/(?C1)x/ y", "1: a pattern must not hold callouts"},
		{"/(*UTF)x/ y", "1: a pattern must not begin with (*"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf why = buf_make(512);
		struct table_pattern *t = patterns_of(cases[i].text, &why);

		assert_null(t);
		assert_string_equal(buf_text(&why), cases[i].why);
		buf_free(&why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand),	 cmocka_unit_test(test_depth),	  cmocka_unit_test(test_keys),
		cmocka_unit_test(test_patterns), cmocka_unit_test(test_pattern_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
