#include "mail/target_list.h"

#include "base/buf.h"
#include "base/mem.h"
#include "mail/directive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const char *const kinds[] = {"address", "user", "program", "file", "include", "fail", "defer", "blackhole"};

/* "line:kind text; ...", a NUL shown as ~ */
static bool write_down(const struct target *t, void *arg)
{
	struct buf *out = arg;

	buf_addf(out, "%s%u:%s", out->len > 0 ? "; " : "", t->line, kinds[t->kind]);
	if (t->text.len > 0)
		buf_add_char(out, ' ');
	for (size_t i = 0; i < t->text.len; i++)
		buf_add_char(out, t->text.at[i] == '\0' ? '~' : t->text.at[i]);
	return true;
}

/* What became of it: the items, or "LINE:COLUMN: why". */
static void read_list(struct slice text, struct buf *out)
{
	struct target_mistake m;

	if (target_list_parse(text, write_down, out, &m) != TARGET_BAD)
		return;
	buf_clear(out);
	buf_addf(out, "%u:%u: %s", m.line, m.column, m.why);
}

static const struct {
	const char *text, *expect;
} cases[] = {
	{"", ""},
	{" \n\r\n,, # nothing\n", ""},
	{"alice@Example.ORG", "1:address alice@example.org"},
	{"alice, bob\ncarol@x.example,\n\n dave", "1:address alice; 1:address bob; 2:address carol@x.example; 4:address dave"},
	{"alice\r\nbob\r\n", "1:address alice; 2:address bob"},
	{"# who\nalice # at work\n#bob\n", "2:address alice"},
	{"alice#1", "1:address alice#1"},
	{"\"alice@example.org\"", "1:address alice@example.org"},
	{"\"john smith\"@x.example, \"a,b\"@x.example", "1:address \"john smith\"@x.example; 1:address \"a,b\"@x.example"},
	{"\"john smith\"", "1:address \"john smith\""},
	{"Carol <carol@x.example>, \"D, E\" <d@x.example>, <e@x.example>",
	 "1:address carol@x.example; 1:address d@x.example; 1:address e@x.example"},
	{"bob@b\xc3\xbc"
	 "cher.example",
	 "1:address bob@xn--bcher-kva.example"},
	{"o'brien, \\o'brien@x.example", "1:address o'brien; 1:user o'brien@x.example"},
	{"\\alice, bob", "1:user alice; 1:address bob"},
	{"\"\\\\alice\", \"\\bob\"", "1:user alice; 1:user bob"},
	{"/var/mail/x, \"/var/mail/a, b/\"", "1:file /var/mail/x; 1:file /var/mail/a, b/"},
	{"/dev/null", "1:blackhole"},
	{"|/bin/cat", "1:program /bin/cat~"},
	{"|/bin/cat -a  \"b c\" 'd \"e' f\"g h\"", "1:program /bin/cat~-a~b c~d \"e~fg h~"},
	{"\"|/bin/cat a, 'b  c' \\\"d e\\\"\", alice", "1:program /bin/cat~a,~b  c~d e~; 1:address alice"},
	{"| /bin/cat \"\" x", "1:program /bin/cat~~x~"},
	{"|/bin/cat '>' \"a|b\" $HOME `id` a>b", "1:program /bin/cat~>~a|b~$HOME~`id`~a>b~"},
	{"|/bin/cat 'a,b', alice", "1:program /bin/cat~a,b~; 1:address alice"},
	{"|/bin/cat \"a\\\\b\\\"c\\d\" e\\f", "1:program /bin/cat~a\\b\"c\\d~e\\f~"},
	{":include:/etc/list, :include: /etc/b", "1:include /etc/list; 1:include /etc/b"},
	{"\":include:/etc/a, b\"", "1:include /etc/a, b"},
	{":fail: not here, \"never\nalice", "1:fail not here, \"never; 2:address alice"},
	{":FAIL:\n:Defer:moving # today\r\n", "1:fail; 2:defer moving # today"},
	{":blackhole:, alice", "1:blackhole; 1:address alice"},
	{"alice,\n  bob@@x", "2:3: not an address: bad domain"},
	{"b\xc3\xbc, x y", "1:5: not an address: bad local part"},
	{"<>", "1:1: not an address: empty address"},
	{"a%b@x.example", "1:1: an address that names another host in its local part"},
	{"x!y", "1:1: an address that names another host in its local part"},
	{"alice, \"|/bin/cat", "1:8: a quote without an end on its line"},
	{"\"alice\nbob\"", "1:1: a quote without an end on its line"},
	{"\"\"", "1:1: nothing between the quotes"},
	{"|cat", "1:1: a program is named by its whole path, and no shell reads this line"},
	{"|", "1:1: a program is named by its whole path, and no shell reads this line"},
	{"|/bin/cat > /tmp/x",
	 "1:1: no shell reads the command: it is a program and its arguments (in quotes where one is meant so)"},
	{"\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #alice\"",
	 "1:1: no shell reads the command: it is a program and its arguments (in quotes where one is meant so)"},
	{"|/bin/cat 'a", "1:11: a quote without an end on its line"},
	{"\"|/bin/cat 'a\"", "1:1: a quote without an end in the command"},
	{"~/Mail", "1:1: `~` is no folder here: write the whole path"},
	{":include:list", "1:1: a path must be absolute: begin with /"},
	{":include:", "1:1: a path must be absolute: begin with /"},
	{":unknown:", "1:1: what begins with `:` is :include:, :fail:, :defer: or :blackhole:"},
	{":blackhole: alice", "1:1: nothing may stand behind :blackhole: but a comma or the end of the line"},
	{":fail: \xff", "1:1: a text that is not UTF-8"},
	{"alice\x01", "1:6: a control character"},
	{"/a\tb", "1:file /a\tb"},
};

static void test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = buf_make(1 << 16);

		read_list(slice_of(cases[i].text), &out);
		if (strcmp(buf_text(&out), cases[i].expect) != 0)
			fail_msg("%s\n gives    %s\n expected %s", cases[i].text, buf_text(&out), cases[i].expect);
		buf_free(&out);
	}
}

static void test_nul(void **state)
{
	struct buf out = buf_make(1 << 16);
	char words[16], why[TARGET_WHY_MAX];

	(void)state;
	read_list(slice_make("a\0b", 3), &out);
	assert_string_equal(buf_text(&out), "1:2: a control character");
	assert_int_equal(target_words(slice_make("a\0b", 3), words, sizeof(words), why), SLICE_NONE);
	buf_free(&out);
}

static bool stop(const struct target *t, void *arg)
{
	(void)t;
	return ++*(int *)arg < 2;
}

static void test_stopped(void **state)
{
	struct target_mistake m;
	int count = 0;

	(void)state;
	assert_int_equal(target_list_parse(slice_of("a, b, c@@"), stop, &count, &m), TARGET_STOPPED);
	assert_int_equal(count, 2);
}

static void test_words_fit(void **state)
{
	char words[8], why[TARGET_WHY_MAX];

	(void)state;
	assert_int_equal(target_words(slice_of("a b c d"), words, sizeof(words), why), 8);
	assert_memory_equal(words, "a\0b\0c\0d", 8);
	assert_int_equal(target_words(slice_of("a b c de"), words, sizeof(words), why), SLICE_NONE);
	assert_int_equal(target_words(slice_of(""), words, sizeof(words), why), 0);
}

/* ---- whatever is taken here a directive can carry ---- */

static bool carry(const struct target *t, void *arg)
{
	struct directive d;

	(void)arg;
	return directive_decode(t->kind == TARGET_PROGRAM ? DIRECTIVE_PIPE : DIRECTIVE_FILE, t->text, &d);
}

static void test_words_can_be_carried(void **state)
{
	(void)state;
	for (unsigned words = DIRECTIVE_WORDS_MAX - 1; words <= DIRECTIVE_WORDS_MAX + 1; words++) {
		struct buf text = buf_make(4096);
		struct target_mistake m;
		enum target_end end;

		buf_add_text(&text, "x@y.example,\n |/prog");
		for (unsigned i = 1; i < words; i++)
			buf_add_text(&text, " a");
		end = target_list_parse(slice_from(buf_slice(&text), 12), carry, NULL, &m);
		assert_int_equal(end, words <= DIRECTIVE_WORDS_MAX ? TARGET_DONE : TARGET_BAD);
		if (end == TARGET_BAD)
			assert_true(m.line == 2 && m.column == 2 && strstr(m.why, "more than 64 words") != NULL);
		buf_free(&text);
	}
}

static void test_paths_can_be_carried(void **state)
{
	(void)state;
	for (size_t n = DIRECTIVE_PATH_MAX - 1; n <= DIRECTIVE_PATH_MAX + 1; n++) {
		struct buf text = buf_make(8192);
		struct target_mistake m;
		enum target_end end;

		for (size_t i = 0; i < n; i++)
			buf_add_char(&text, i == 0 ? '/' : 'x');
		end = target_list_parse(buf_slice(&text), carry, NULL, &m);
		assert_int_equal(end, n <= DIRECTIVE_PATH_MAX ? TARGET_DONE : TARGET_BAD);
		buf_free(&text);
	}
}

/* An item of any length is read, or refused; nothing is cut. */
static void test_long(void **state)
{
	(void)state;
	for (size_t n = TARGET_TEXT_MAX - 4; n < TARGET_TEXT_MAX + 4; n++) {
		static const char *const heads[] = {"/", "|/", ":fail: ", "\"/", "a"};

		for (size_t h = 0; h < ARRAY_LEN(heads); h++) {
			struct buf text = buf_make(1 << 16), out = buf_make(1 << 16);

			buf_add_text(&text, heads[h]);
			for (size_t i = 0; i < n; i++)
				buf_add_char(&text, 'x');
			if (heads[h][0] == '"')
				buf_add_char(&text, '"');
			read_list(buf_slice(&text), &out);
			if (slice_find(buf_slice(&out), slice_of("1:1: ")) != 0)
				assert_true(out.len > n);
			else
				assert_true(h == 4 || n + 3 >= TARGET_TEXT_MAX || (heads[h][0] != ':' && heads[h][0] != '|' && n >= DIRECTIVE_PATH_MAX));
			buf_free(&text);
			buf_free(&out);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),	  cmocka_unit_test(test_nul),  cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_words_fit), cmocka_unit_test(test_long),
		cmocka_unit_test(test_words_can_be_carried), cmocka_unit_test(test_paths_can_be_carried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
