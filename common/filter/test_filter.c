#include "filter/filter.h"

#include "base/mem.h"
#include "filter/forward.h"
#include "filter/sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

/* What filters may cost (without bounds these would take years: the time a test has ends them), and what becomes of a message whose filter
 * goes wrong.  What each word does stands in golden/. */

static const char plain_message[] = "From: alice@example.test\nTo: bob@example.org\nSubject: hello\n\nbody\n";

static struct filter_message make_message(struct filter_sample *sample, struct slice text)
{
	struct filter_message m = {
		.sender = slice_of("alice@example.test"),
		.recipient = slice_of("bob@example.org"),
		.address = slice_of("bob@example.org"),
		.user = slice_of("bob"),
		.home = slice_of("/home/bob"),
		.host = slice_of("mx1.example.test"),
		.separators = slice_of("+"),
		.now = 1764417600,
	};

	filter_sample_set(sample, text, &m);
	return m;
}

static void run_over(struct slice text, struct slice message, struct filter_result *r)
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	struct filter_mistake mistake;
	struct filter_sample sample;
	struct filter_message m = make_message(&sample, message);
	struct filter *f = filter_compile(text, FILTER_KIND_ANY, &mistake);

	if (f == NULL)
		fail_msg("%u:%u: %s", mistake.line, mistake.column, mistake.why);
	filter_run(f, &m, &limits, NULL, r);
	filter_free(&f);
}

static void repeat(struct buf *out, const char *text, unsigned count)
{
	while (count-- > 0)
		buf_add_text(out, text);
	assert_true(buf_ok(out));
}

/* ---- bounds ---- */

static const struct {
	const char *name;
	const char *before, *again;
	unsigned count;
	const char *after, *why; /* NULL: it is done */
} costly[] = {
	{"a text that doubles", "if \"", "$h_subject:$message_headers$h_subject:", 400,
	 "\" contains x then finish endif\n", "too much text"},
	{"many long texts", "", "if \"$message_headers$message_headers$message_headers$message_headers\" contains x then endif\n", 2000, "",
	 "too many steps"},
	{"texts in texts", "testprint \"", "${lc:", 60,
	 "$message_headers}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}\"", NULL},
	{"endless matches", "", "if $message_headers matches \"(x+x+)+[yw]\" then endif\n", 4000, "", "takes too long"},
	{"matches against a long header", "", "if $h_x: matches \"[a-wyz]+[0-9]|x+[0-9]\" then endif\n", 100, "", "too many steps"},
	{"a match against a long header", "", "if $h_x: matches \"[a-z]+[0-9]\" then endif\n", 40, "", NULL},
	{"matches", "", "if $h_subject: matches \"(h+e*)+z\" then endif\n", 5000, "", "too many steps"},
	{"a pattern that recurses", "if $message_headers matches \"(x(?1)*)+[yw]\" then endif", "", 0, "", "takes too long"},
	{"loops in loops",
	 "if foranyaddress $h_to: (foranyaddress $h_to: (foranyaddress $h_to: (foranyaddress $h_to: ($thisaddress is x)))) then endif", "", 0,
	 "", "too many steps"},
	{"adding", "", "add 1000000000000 to n1\n", 9000, "testprint $n1", NULL},
	{"many files", "", "save \"a$n1\" add 1 to n1\n", 101, "", "more than 100 things"},
	{"many mails", "", "mail to a@b.example text x\n", 17, "", "more than 16"},
	{"many addresses", "", "deliver \"a$n1@b.example\" add 1 to n1\n", 17, "", "more than 16"},
	{"long mails", "", "mail to a@b.example text \"$message_headers\"\n", 16, "", "too"},
	{"one long mail", "mail to a@b.example text \"", "$message_headers", 20, "\"", "too much text"},
	{"a long command", "pipe \"/bin/cat ", "$message_headers", 1, "\"", "too long"},
	{"a long path", "save \"", "$h_to:", 1, "\"", "too long"},
	{"many header lines", "", "headers add \"X-$n1: a\" add 1 to n1\n", 101, "", "more than 100 things"},
};

/* A header as large as smtpd lets in, for filters that multiply it. */
static void make_large(struct buf *out)
{
	buf_add_text(out, "Subject: hhhhhhhhhhhhhhhhhhhhhhhhhhhhhh\nX: ");
	repeat(out, "x", 20000);
	buf_add_text(out, "\nTo: ");
	repeat(out, "somebody@example.net, ", 999);
	buf_add_text(out, "last@example.net\n\nbody\n");
}

static void test_costly(void **state)
{
	struct buf message = buf_make(1 << 20);

	(void)state;
	make_large(&message);
	for (size_t i = 0; i < ARRAY_LEN(costly); i++) {
		struct buf text = buf_make(FILTER_SOURCE_MAX);
		struct filter_result r;

		buf_addf(&text, "# Exim filter\n%s", costly[i].before);
		repeat(&text, costly[i].again, costly[i].count);
		buf_add_text(&text, costly[i].after);
		assert_true(buf_ok(&text));
		run_over(buf_slice(&text), buf_slice(&message), &r);
		if (costly[i].why == NULL ? r.outcome != FILTER_DONE
					  : r.outcome != FILTER_ERROR || strstr(r.why, costly[i].why) == NULL)
			fail_msg("%s: %s (%s)", costly[i].name, r.why, costly[i].why == NULL ? "done" : costly[i].why);
		assert_true(r.outcome == FILTER_DONE || (r.count == 0 && r.actions == NULL));
		filter_result_free(&r);
		buf_free(&text);
	}
	buf_free(&message);
}

static void test_source_bound(void **state)
{
	static const char *const heads[] = {"# Exim filter\n", "carol@example.net\n"};
	struct filter_mistake m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct buf text = buf_make(2 * FILTER_SOURCE_MAX);

		buf_add_text(&text, heads[i]);
		repeat(&text, "# comment\n", FILTER_SOURCE_MAX / 10);
		assert_null(filter_compile(buf_slice(&text), FILTER_KIND_ANY, &m));
		assert_true(m.line > 0 && strstr(m.why, "long") != NULL);
		buf_free(&text);
	}
}

/* Whatever fits into a filter's text is compiled without lack of room. */
static void test_source_room(void **state)
{
	static const char *const pieces[] = {"if not(a is b)then add 1 to n1 endif ", "testprint $1$1$1$1$1$1$1$1$1$1 ",
					     "finish ", "testprint \"\\x41\\x41\\x41\\x41\" ", "testprint \"${if def:1{${l_1:$1}}}\" "};
	struct filter_mistake m;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct buf text = buf_make(FILTER_SOURCE_MAX);
		struct filter *f;

		buf_add_text(&text, "# Exim filter\n");
		repeat(&text, pieces[i], (unsigned)((FILTER_SOURCE_MAX - 20) / strlen(pieces[i])));
		f = filter_compile(buf_slice(&text), FILTER_KIND_ANY, &m);
		if (f == NULL)
			fail_msg("%s: %u:%u: %s", pieces[i], m.line, m.column, m.why);
		filter_free(&f);
		buf_free(&text);
	}
}

/* ---- what cannot be read ---- */

static ssize_t no_body(void *arg, uint64_t offset, char *out, size_t size)
{
	(void)arg;
	(void)offset;
	(void)out;
	(void)size;
	return -1;
}

static enum filter_read read_later(void *arg, struct slice path, struct buf *out)
{
	(void)arg;
	(void)path;
	(void)out;
	return FILTER_READ_LATER;
}

static enum filter_read read_refused(void *arg, struct slice path, struct buf *out)
{
	(void)arg;
	(void)path;
	(void)out;
	return FILTER_READ_REFUSED;
}

static void assert_outcome(const char *text, enum filter_outcome outcome, bool has_body,
			   enum filter_read (*read)(void *, struct slice, struct buf *))
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	struct filter_mistake mistake;
	struct filter_sample sample;
	struct filter_message m = make_message(&sample, slice_of(plain_message));
	struct filter *f = filter_compile(slice_of(text), FILTER_KIND_ANY, &mistake);
	struct filter_result r;

	assert_non_null(f);
	m.read = read;
	if (!has_body)
		m.body = no_body;
	filter_run(f, &m, &limits, NULL, &r);
	if (r.outcome != outcome)
		fail_msg("%s: %d, %s", text, r.outcome, r.why);
	assert_true(r.outcome == FILTER_DONE || r.count == 0);
	filter_result_free(&r);
	filter_free(&f);
}

static void test_cannot_be_read(void **state)
{
	(void)state;
	assert_outcome("# Exim filter\nif $message_body contains x then finish endif", FILTER_LATER, false, NULL);
	assert_outcome("# Exim filter\nif $message_body_end contains x then finish endif", FILTER_LATER, false, NULL);
	assert_outcome("# Exim filter\nif $body_linecount is 1 then finish endif", FILTER_LATER, false, NULL);
	assert_outcome("# Exim filter\nmail to a@b.example text x return message", FILTER_LATER, false, NULL);
	assert_outcome("# Exim filter\nif $h_subject: contains x then finish endif", FILTER_DONE, false, NULL);
	assert_outcome("# Exim filter\nmail to a@b.example file x", FILTER_LATER, true, read_later);
	assert_outcome("# Exim filter\nmail to a@b.example file x", FILTER_ERROR, true, read_refused);
	assert_outcome("# Exim filter\nmail to a@b.example file x", FILTER_ERROR, true, NULL);
	assert_outcome(":include:/x", FILTER_LATER, true, read_later);
	assert_outcome(":include:/x", FILTER_LATER, true, read_refused);
	assert_outcome(":include:/x", FILTER_LATER, true, NULL);
}

/* ---- lists of lists ---- */

struct tree {
	unsigned files; /* that were opened */
	const char *content;
};

static enum filter_read read_same(void *arg, struct slice path, struct buf *out)
{
	struct tree *t = arg;

	t->files++;
	(void)path;
	buf_add_text(out, t->content);
	return FILTER_READ_DONE;
}

static void run_tree(const char *text, struct tree *t, struct filter_result *r)
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	struct filter_mistake mistake;
	struct filter_sample sample;
	struct filter_message m = make_message(&sample, slice_of(plain_message));
	struct filter *f = filter_compile(slice_of(text), FILTER_KIND_ANY, &mistake);

	assert_non_null(f);
	m.read = read_same;
	m.arg = t;
	filter_run(f, &m, &limits, NULL, r);
	filter_free(&f);
}

/* The file names another name of itself, as a symbolic link would make it: the depth ends it (F17). */
static void test_include_depth(void **state)
{
	struct tree t = {0, "\n:include:/again\n"};
	struct filter_result r;
	bool good;

	(void)state;
	run_tree(":include:/first", &t, &r);
	good = r.outcome == FILTER_LATER && strstr(r.why, "includes itself") != NULL && t.files == 2;
	filter_result_free(&r);
	print_message("ROW F17 loop %s\n", good ? "pass" : "fail");
	assert_true(good);
}

static void test_include_width(void **state)
{
	struct tree t = {0, ":include:/a\n:include:/b\n:include:/c\n:include:/d\n:include:/e\n:include:/f\n:include:/g\n"};
	struct filter_result r;
	bool good;

	(void)state;
	run_tree(":include:/0", &t, &r);
	good = r.outcome == FILTER_LATER && t.files <= FORWARD_WIDTH_MAX && r.count == 0;
	filter_result_free(&r);
	print_message("ROW F17 width %s\n", good ? "pass" : "fail");
	assert_true(good);
}

static void test_forward_width(void **state)
{
	struct buf text = buf_make(FILTER_SOURCE_MAX);
	struct filter_result r;

	(void)state;
	for (unsigned i = 0; i < FORWARD_WIDTH_MAX; i++)
		buf_addf(&text, "user%u@example.net\n", i);
	run_over(buf_slice(&text), slice_of(plain_message), &r);
	assert_int_equal(r.outcome, FILTER_DONE);
	assert_int_equal(r.count, FORWARD_WIDTH_MAX);
	filter_result_free(&r);
	buf_add_text(&text, "one.more@example.net\n");
	run_over(buf_slice(&text), slice_of(plain_message), &r);
	assert_int_equal(r.outcome, FILTER_LATER);
	assert_int_equal(r.count, 0);
	filter_result_free(&r);
	buf_free(&text);
}

/* ---- what a sender writes ---- */

/* Everything that means something to us, to Exim or to a shell (E09). */
static const char evil[] = "${run{/bin/id}} $home ${lookup{x}lsearch{/etc/passwd}} {recipient} \\n %s $(id) `id` $1 \\1 | ; \"'";

static void test_evil_texts(void **state)
{
	struct buf message = buf_make(1 << 16);
	struct filter_result r;
	size_t seen = 0;

	(void)state;
	buf_addf(&message, "From: %s <a@b.example>\nSubject: %s\nX-Tag: %s\n\n%s\n", "x", evil, evil, evil);
	run_over(slice_of("# Exim filter\nif $h_subject: matches \"^(.*)\\\\$\" then\n"
			  "unseen pipe \"/bin/cat $h_subject: $1 '$h_x-tag:' \\\"x$rh_x-tag:\\\"\"\n"
			  "mail to c@d.example subject \"$1\" text \"$h_subject:\" extra_headers \"X-Tag: $h_x-tag:\"\n"
			  "headers add \"X-Copy: $1\" endif\n"),
		 buf_slice(&message), &r);
	assert_int_equal(r.outcome, FILTER_DONE);
	for (size_t i = 0; i < r.count; i++) {
		struct slice rest = r.actions[i].text;
		size_t at;

		while ((at = slice_find(rest, slice_of(evil))) != SLICE_NONE) {
			seen++;
			rest = slice_from(rest, at + 1);
		}
		assert_int_equal(slice_find(r.actions[i].text, slice_of("/home/bob")), SLICE_NONE);
	}
	print_message("ROW E09 exim-filter %s\n", seen == 8 ? "pass" : "fail");
	assert_int_equal(seen, 8);
	filter_result_free(&r);
	buf_free(&message);
}

/* ---- every text ---- */

static void try_text(struct slice text)
{
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	struct filter_mistake mistake;
	struct filter_sample sample;
	struct filter_message m = make_message(&sample, slice_of(plain_message));
	struct filter *f = filter_compile(text, FILTER_KIND_ANY, &mistake);
	struct filter_result r;

	if (f == NULL) {
		assert_true(mistake.line > 0 && mistake.column > 0 && mistake.why[0] != '\0');
		return;
	}
	filter_run(f, &m, &limits, NULL, &r);
	assert_true((r.outcome == FILTER_DONE) == (r.why[0] == '\0'));
	filter_result_free(&r);
	filter_free(&f);
}

/* Cut anywhere, and with each byte changed. */
static void test_every_cut_and_change(void **state)
{
	static const char text[] =
		"# Exim filter\nif ($h_subject: contains \"he\\x6c\" or \"${if and{{def:h_x-a:}{eq{$1}{b}}}{${lc:A}}{${substr_0_2:c}}}\" is not \\N$a\\N)\n"
		" and foranyaddress $h_to:,$h_cc: (personal alias a@b) then unseen save $home/m 640 elif not delivered then\n"
		" add -1k to n3 mail to \"A <a@b>\" subject \"$n3 \\\n  x\" extra_headers \"X: y\\n z\" once_repeat 1d2h text t return message\n"
		" noerror deliver a@b errors_to bob pipe \"/bin/cat 'a b' \\\"$1\\\" c\" else headers remove A:B seen finish endif # end\n";
	char copy[sizeof(text)];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++) {
		try_text(slice_make(text, i));
		memcpy(copy, text, sizeof(text));
		for (size_t c = 0; c < 5; c++) {
			copy[i] = "\0\"${\xff"[c];
			try_text(slice_make(copy, sizeof(text) - 1));
		}
	}
}

static void test_kinds(void **state)
{
	static const struct {
		const char *text;
		enum filter_kind kind;
	} rows[] = {
		{"# Exim filter", FILTER_KIND_EXIM},	 {"#exim filter <== keep", FILTER_KIND_EXIM},
		{"\n\t # Exim\tFILTER\n", FILTER_KIND_EXIM}, {"# Exim filters", FILTER_KIND_FORWARD},
		{"# Sieve filter\nkeep;", FILTER_KIND_SIEVE},
		{"#sieve Filter", FILTER_KIND_SIEVE},
		{"# a list", FILTER_KIND_FORWARD},	 {"", FILTER_KIND_FORWARD},
		{"Exim filter", FILTER_KIND_FORWARD},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (filter_kind_of(slice_of(rows[i].text)) != rows[i].kind)
			fail_msg("%s", rows[i].text);
	assert_true(filter_kind_waits(FILTER_KIND_FORWARD) && filter_kind_waits(FILTER_KIND_EXIM));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_costly),	       cmocka_unit_test(test_source_bound),
		cmocka_unit_test(test_source_room),    cmocka_unit_test(test_cannot_be_read),
		cmocka_unit_test(test_include_depth),  cmocka_unit_test(test_include_width),
		cmocka_unit_test(test_forward_width),  cmocka_unit_test(test_evil_texts),
		cmocka_unit_test(test_every_cut_and_change), cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
