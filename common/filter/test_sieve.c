#include "base/mem.h"
#include "filter/filter.h"
#include "filter/sample.h"
#include "filter/sieve.h"
#include "filter/sieve_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

/* What golden/sieve cannot hold: bounds, and scripts that are made. */
#define TEXT_MAX (4u << 20)

static struct filter_result run_with(struct slice script, struct slice text, struct filter_limits limits)
{
	struct filter_message m = {.sender = slice_of("alice@example.test"),
				   .recipient = slice_of("bob@example.org"),
				   .address = slice_of("bob@example.org"),
				   .host = slice_of("mx1.example.test"),
				   .separators = slice_of("+"),
				   .now = 1764417600};
	struct filter_sample sample;
	struct filter_mistake mistake;
	struct filter_result r;
	struct sieve *s = sieve_compile(script, &mistake);

	if (s == NULL)
		fail_msg("%u:%u: %s", mistake.line, mistake.column, mistake.why);
	filter_sample_set(&sample, text, &m);
	sieve_run(s, &m, &limits, NULL, &r);
	sieve_free(&s);
	return r;
}

static struct filter_result run(struct buf *script, const char *text)
{
	return run_with(buf_slice(script), slice_of(text), (struct filter_limits)FILTER_LIMITS_DEFAULT);
}

static void assert_error(struct filter_result r, const char *why)
{
	assert_int_equal(r.outcome, FILTER_ERROR);
	if (slice_find(slice_of(r.why), slice_of(why)) == SLICE_NONE)
		fail_msg("\"%s\" says nothing of \"%s\"", r.why, why);
	assert_int_equal(r.count, 0);
	filter_result_free(&r);
}

static void assert_mistake(struct buf *script, const char *why)
{
	struct filter_mistake mistake;
	struct sieve *s = sieve_compile(buf_slice(script), &mistake);

	assert_null(s);
	if (slice_find(slice_of(mistake.why), slice_of(why)) == SLICE_NONE)
		fail_msg("\"%s\" says nothing of \"%s\"", mistake.why, why);
	buf_clear(script);
}

static void repeat(struct buf *out, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		buf_add_text(out, text);
}

/* ---- compiling ---- */

static void test_nesting_has_a_bound(void **state)
{
	struct buf script = buf_make(TEXT_MAX);
	struct filter_result r;

	(void)state;
	/* RFC 5228 §8.1 wants 15 */
	repeat(&script, "if true {", 15);
	repeat(&script, "if not not true { discard; }", 1);
	repeat(&script, "}", 15);
	r = run(&script, "A: b\n\n");
	assert_int_equal(r.outcome, FILTER_DONE);
	assert_int_equal(r.count, 0);
	filter_result_free(&r);
	buf_clear(&script);
	repeat(&script, "if true {", 20000);
	assert_mistake(&script, "nested more than");
	repeat(&script, "if ", 1);
	repeat(&script, "not ", 20000);
	assert_mistake(&script, "nested more than");
	repeat(&script, "if ", 1);
	repeat(&script, "anyof(", 20000);
	assert_mistake(&script, "nested more than");
	buf_free(&script);
}

static void test_sizes_have_bounds(void **state)
{
	struct buf script = buf_make(TEXT_MAX);

	(void)state;
	repeat(&script, "keep;", SIEVE_NODES_MAX + 1);
	assert_mistake(&script, "more than 10000 commands");
	repeat(&script, "keep ", 1);
	repeat(&script, ":is ", 1000);
	repeat(&script, ";", 1);
	assert_mistake(&script, "more than 32 arguments");
	repeat(&script, "require \"variables\";", 1);
	for (unsigned i = 0; i <= SIEVE_VARIABLES_MAX; i++)
		buf_addf(&script, "set \"v%u\" \"x\";\n", i);
	assert_mistake(&script, "more than 256 variables");
	repeat(&script, "#", FILTER_SOURCE_MAX + 1);
	assert_mistake(&script, "a script of more than");
	buf_free(&script);
}

/* However many mistakes there are, they are told in bounded memory. */
static void test_many_mistakes(void **state)
{
	static const char *const scripts[] = {"nope;", "}", "if nope {", "header :nope;", "require \"nope\";", "if header :is :is \"\" 1 {}",
					      "'x';", "keep :", "\"", "[", "if (", "text:\n", "/*"};
	struct buf script = buf_make(TEXT_MAX), out = buf_make(TEXT_MAX);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		while (script.len + 40 < FILTER_SOURCE_MAX)
			buf_add_text(&script, scripts[i]);
		sieve_mistakes("script", buf_slice(&script), &out);
		assert_true(buf_ok(&out) && out.len > 0 && out.len < 256u << 10);
		buf_clear(&script);
		buf_clear(&out);
	}
	buf_free(&script);
	buf_free(&out);
}

static void test_large_patterns(void **state)
{
	struct buf script = buf_make(TEXT_MAX);

	(void)state;
	repeat(&script, "require \"regex\"; if header :regex \"a\" [\"b\"", 1);
	repeat(&script, ", \"((ab|c){1,60}){1,30}\"", 9000);
	repeat(&script, "] { }", 1);
	assert_mistake(&script, "more than 400 patterns");
	buf_free(&script);
}

/* Any part of a script is a script or a mistake, never anything else. */
static void test_each_beginning_of_a_script(void **state)
{
	static const char script[] =
		"require [\"fileinto\", \"variables\", \"vacation\", \"regex\", \"imap4flags\", \"encoded-character\"];\n"
		"# a comment\nif anyof (header :matches [\"a\", \"b\"] \"*x*\", not address :domain \"from\" \"a.example\") {\n"
		"  set :lower \"v\" \"${1}${hex: 41}\"; fileinto :flags \"\\\\Seen\" \"x${v}\";\n}"
		" elsif size :over 10K { vacation :days 3 text:\nhello\n.\n; } else { stop; }\n";

	(void)state;
	for (size_t i = 0; i < sizeof(script); i++) {
		char *copy = malloc(i + 1);
		struct filter_mistake mistake;
		struct sieve *s;

		assert_non_null(copy);
		memcpy(copy, script, i);
		s = sieve_compile(slice_make(copy, i), &mistake);
		assert_true(s != NULL || (mistake.line > 0 && mistake.column > 0 && mistake.why[0] != '\0'));
		sieve_free(&s);
		free(copy);
	}
}

/* ---- running ---- */

static void test_steps_have_a_bound(void **state)
{
	const struct filter_limits few = {.steps = 50, .actions = 100, .redirects = 16, .text = 1000, .body = 1000};
	struct buf script = buf_make(TEXT_MAX);

	(void)state;
	repeat(&script, "if true { }", 100);
	assert_error(run_with(buf_slice(&script), slice_of("A: b\n\n"), few), "too many steps");
	buf_free(&script);
}

static void test_actions_have_a_bound(void **state)
{
	struct buf script = buf_make(TEXT_MAX);

	(void)state;
	repeat(&script, "require \"fileinto\";", 1);
	for (unsigned i = 0; i < 101; i++)
		buf_addf(&script, "fileinto \"f%u\";", i);
	assert_error(run(&script, "A: b\n\n"), "more than 100");
	buf_clear(&script);
	for (unsigned i = 0; i < 17; i++)
		buf_addf(&script, "redirect \"f%u@example.org\";", i);
	assert_error(run(&script, "A: b\n\n"), "more than 16");
	buf_free(&script);
}

/* Each time twice as long: cut off at the bound of a variable; and a text of many of them is none. */
static void test_texts_have_bounds(void **state)
{
	struct buf script = buf_make(TEXT_MAX);
	struct filter_result r;

	(void)state;
	repeat(&script, "require [\"variables\", \"relational\", \"comparator-i;ascii-numeric\"]; set \"a\" \"0123456789\";", 1);
	repeat(&script, "set \"a\" \"${a}${a}\";", 20);
	repeat(&script, "set :length \"n\" \"${a}\"; if string :value \"eq\" :comparator \"i;ascii-numeric\" \"${n}\" \"16384\" { discard; }", 1);
	r = run(&script, "A: b\n\n");
	assert_int_equal(r.outcome, FILTER_DONE);
	assert_int_equal(r.count, 0);
	filter_result_free(&r);
	repeat(&script, "if string \"x\" \"", 1);
	repeat(&script, "${a}", 20);
	repeat(&script, "\" { }", 1);
	assert_error(run(&script, "A: b\n\n"), "a text of more than");
	buf_clear(&script);
	repeat(&script, "require \"variables\"; set \"a\" \"0123456789\";", 1);
	repeat(&script, "set \"a\" \"${a}${a}\";", 12);
	repeat(&script, "set \"b\" \"${a}\";", 5000);
	assert_error(run(&script, "A: b\n\n"), "too much text");
	buf_free(&script);
}

static void test_patterns_have_bounds(void **state)
{
	static const char *const scripts[] = {
		"require \"regex\"; if header :regex \"a\" \"^(a+)+$\" { }",
		"require \"regex\"; if header :regex \"a\" \"^(a|aa)+$\" { }",
		"require [\"regex\", \"variables\"]; set \"r\" \"^(a*)*$\"; if header :regex \"a\" \"${r}\" { }",
	};
	struct buf script = buf_make(TEXT_MAX), text = buf_make(TEXT_MAX);

	(void)state;
	repeat(&text, "A: ", 1);
	repeat(&text, "a", 1500);
	repeat(&text, "!\n\n", 1);
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
		assert_error(run_with(slice_of(scripts[i]), buf_slice(&text), (struct filter_limits)FILTER_LIMITS_DEFAULT), "takes too long");
	repeat(&script, "require \"regex\"; if anyof (false", 1);
	repeat(&script, ", header :regex \"a\" \"b\"", 300);
	repeat(&script, ") { }", 1);
	buf_clear(&text);
	repeat(&text, "A: a\n", 8);
	assert_error(run(&script, buf_text(&text)), "too many steps");
	buf_free(&script);
	buf_free(&text);
}

/* Wildcards that must be tried at each place of a long text, again and again. */
static void test_wildcards_have_bounds(void **state)
{
	struct buf script = buf_make(TEXT_MAX), text = buf_make(TEXT_MAX);

	(void)state;
	repeat(&text, "A: b\n\n", 1);
	repeat(&text, "a", 900000);
	repeat(&script, "require \"body\"; if body :raw :matches \"*", 1);
	repeat(&script, "a", 20000);
	repeat(&script, "b*\" { }", 1);
	assert_error(run(&script, buf_text(&text)), "takes too long");
	buf_free(&script);
	buf_free(&text);
}

static void test_many_keys(void **state)
{
	struct buf script = buf_make(TEXT_MAX), text = buf_make(TEXT_MAX);
	struct filter_result r;

	(void)state;
	repeat(&script, "if header :contains \"a\" [\"x\"", 1);
	repeat(&script, ",\"yz\"", 40000);
	repeat(&script, "] { discard; }", 1);
	r = run(&script, "A: b\n\n");
	assert_int_equal(r.outcome, FILTER_DONE);
	assert_int_equal(r.count, 1);
	filter_result_free(&r);
	for (size_t i = 0; i < 8000; i++)
		buf_add_text(&text, "a: b\n");
	assert_error(run(&script, buf_text(&text)), "too many steps");
	buf_free(&script);
	buf_free(&text);
}

static void test_many_fields(void **state)
{
	struct buf script = buf_make(TEXT_MAX), text = buf_make(TEXT_MAX);

	(void)state;
	repeat(&script, "keep;", 1);
	for (size_t i = 0; i <= VIEW_FIELDS_MAX; i++)
		buf_add_text(&text, "a: b\n");
	assert_error(run(&script, buf_text(&text)), "header fields");
	buf_free(&script);
	buf_free(&text);
}

static ssize_t no_body(void *arg, uint64_t offset, char *out, size_t size)
{
	(void)arg;
	(void)offset;
	(void)out;
	(void)size;
	return -1;
}

static void test_a_body_that_cannot_be_read(void **state)
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	struct filter_message m = {.header = slice_of("A: b\n"), .body = no_body};
	struct filter_mistake mistake;
	struct filter_result r;
	struct sieve *s = sieve_compile(slice_of("require \"body\"; if body :contains \"x\" { discard; }"), &mistake);

	(void)state;
	assert_non_null(s);
	sieve_run(s, &m, &limits, NULL, &r);
	assert_int_equal(r.outcome, FILTER_LATER);
	filter_result_free(&r);
	sieve_free(&s);
}

/* The body is looked at as far as the limit goes. */
static void test_a_long_body_is_cut(void **state)
{
	const struct filter_limits limits = {.steps = 1000, .actions = 10, .redirects = 1, .text = 1000, .body = 10};
	struct filter_result r = run_with(slice_of("require \"body\"; if body :raw :is \"0123456789\" { discard; }"),
					  slice_of("A: b\n\n0123456789abc\n"), limits);

	(void)state;
	assert_int_equal(r.outcome, FILTER_DONE);
	assert_int_equal(r.count, 0);
	filter_result_free(&r);
}

/* Once by handle and sender; without a handle by what the answer says. */
static void test_keys_of_answers(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"vacation \"x\";", "vacation \"x\";", true},
		{"vacation \"x\";", "vacation \"y\";", false},
		{"vacation \"x\";", "vacation :subject \"s\" \"x\";", false},
		{"vacation \"x\";", "vacation :from \"bob@example.org\" \"x\";", false},
		{"vacation \"x\";", "vacation :days 3 \"x\";", true},
		{"vacation :handle \"h\" \"x\";", "vacation :handle \"h\" :subject \"s\" \"y\";", true},
		{"vacation :handle \"h\" \"x\";", "vacation :handle \"i\" \"x\";", false},
		{"vacation :handle \"x\" \"x\";", "vacation \"x\";", false},
	};
	struct buf a = buf_make(1000), b = buf_make(1000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter_result x, y;

		buf_addf(&a, "require \"vacation\"; %s", cases[i].a);
		buf_addf(&b, "require \"vacation\"; %s", cases[i].b);
		x = run(&a, "To: bob@example.org\n\n");
		y = run(&b, "To: bob@example.org\n\n");
		assert_true(x.count == 2 && y.count == 2 && x.actions[0].kind == FILTER_MAIL && x.actions[0].once_key.len == 32);
		assert_int_equal(slice_eq(x.actions[0].once_key, y.actions[0].once_key), cases[i].same);
		filter_result_free(&x);
		filter_result_free(&y);
		buf_clear(&a);
		buf_clear(&b);
	}
	buf_free(&a);
	buf_free(&b);
}

/* ---- :matches ---- */

static void test_glob(void **state)
{
	static const struct {
		const char *pattern, *value, *parts; /* "|" between; NULL: no match */
	} cases[] = {
		{"", "", ""},
		{"", "a", NULL},
		{"*", "", "|"},
		{"*", "abc", "abc|"},
		{"?", "", NULL},
		{"?", "\u20ac", "\u20ac|"},
		{"??", "\u20ac", NULL},
		{"a*c", "abcbc", "bcb|"},
		{"*b*", "abcb", "a|cb|"},
		{"*.*", "a.b.c", "a|b.c|"},
		{"**", "ab", "|ab|"},
		{"a*?", "abc", "b|c|"},
		{"?*?", "ab", "a||b|"},
		{"\\*", "*", ""},
		{"\\*", "a", NULL},
		{"\\\\", "\\", ""},
		{"a\\", "a\\", ""},
		{"*a*b*c*d*e*f*g*h*i*j*k", "xaxbxcxdxexfxgxhxixjxk", "x|x|x|x|x|x|x|x|x|"},
		{"A*", "ab", "b|"},
		{"*x", "aXbX", "aXb|"},
	};
	struct slice parts[9];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1000);
		uint64_t work = 0;
		enum pattern_match found = sieve_glob(slice_of(cases[i].pattern), slice_of(cases[i].value), true, parts, 9, &work, 1u << 20);
		size_t stars = 0;

		for (const char *p = cases[i].pattern; *p != '\0'; p++)
			stars += *p == '*' || *p == '?';
		stars = cases[i].pattern[0] == '\\' ? 0 : stars;
		for (size_t k = 0; k < 9 && k < stars; k++)
			buf_addf(&out, "%.*s|", SLICE_ARG(parts[k]));
		assert_int_equal(found, cases[i].parts == NULL ? PATTERN_NO : PATTERN_YES);
		if (cases[i].parts != NULL)
			assert_string_equal(buf_text(&out), cases[i].parts);
		buf_free(&out);
	}
	assert_int_equal(sieve_glob(slice_of("A"), slice_of("a"), false, parts, 0, &(uint64_t){0}, 1000), PATTERN_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting_has_a_bound),
		cmocka_unit_test(test_sizes_have_bounds),
		cmocka_unit_test(test_many_mistakes),
		cmocka_unit_test(test_large_patterns),
		cmocka_unit_test(test_each_beginning_of_a_script),
		cmocka_unit_test(test_steps_have_a_bound),
		cmocka_unit_test(test_actions_have_a_bound),
		cmocka_unit_test(test_texts_have_bounds),
		cmocka_unit_test(test_patterns_have_bounds),
		cmocka_unit_test(test_wildcards_have_bounds),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_many_fields),
		cmocka_unit_test(test_a_body_that_cannot_be_read),
		cmocka_unit_test(test_a_long_body_is_cut),
		cmocka_unit_test(test_keys_of_answers),
		cmocka_unit_test(test_glob),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
