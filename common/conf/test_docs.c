#include "conf/bundle.h"
#include "conf/conf.h"
#include "conf/settings.h"
#include "rules/verb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/*
 * docs/configuration.md against the code: each ```postern example compiles; each ```postern mistake
 * gives what the ```text behind it shows; the tables of settings and facts are what the code says.
 * `POSTERN_GOLDEN=rewrite` puts those tables into the file.
 */
#define DOC_MAX (1u << 20)

static struct buf doc;

static int read_doc(void **state)
{
	FILE *f = fopen(DOC_PATH, "re");
	char *room;

	(void)state;
	doc = buf_make(DOC_MAX);
	room = buf_room(&doc, DOC_MAX - 1);
	if (f == NULL || room == NULL)
		return -1;
	buf_grew(&doc, fread(room, 1, DOC_MAX - 1, f));
	fclose(f);
	return 0;
}

static int free_doc(void **state)
{
	(void)state;
	buf_free(&doc);
	return 0;
}

/* The next fenced block that starts with `fence`; false: there is none. */
static bool next_block(struct slice *rest, const char *fence, struct slice *block)
{
	size_t start = slice_find(*rest, slice_of(fence)), end;

	if (start == SLICE_NONE)
		return false;
	*block = slice_from(*rest, start + strlen(fence));
	end = slice_find(*block, slice_of("\n```"));
	assert_true(end != SLICE_NONE);
	*rest = slice_from(*block, end + 4);
	*block = slice_sub(*block, 0, end + 1);
	return true;
}

static struct conf *compile(struct slice text, struct conf_mistakes *mistakes)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct conf *conf;

	assert_true(bundle_add(&bundle, slice_of("postern.conf"), text));
	conf = conf_compile(buf_slice(&bundle), mistakes);
	buf_free(&bundle);
	return conf;
}

static void test_examples(void **state)
{
	struct slice rest = buf_slice(&doc), block;
	size_t count = 0;

	(void)state;
	for (; next_block(&rest, "\n```postern example\n", &block); count++) {
		struct conf_mistakes mistakes;
		struct conf *conf = compile(block, &mistakes);

		if (conf == NULL)
			print_error("example %zu:\n%s", count + 1, buf_text(&mistakes.text));
		assert_non_null(conf);
		buf_free(&mistakes.text);
		conf_free(&conf);
	}
	assert_true(count >= 8);
}

static void test_mistakes(void **state)
{
	struct slice rest = buf_slice(&doc), block, expected;
	size_t count = 0;

	(void)state;
	for (; next_block(&rest, "\n```postern mistake\n", &block); count++) {
		struct conf_mistakes mistakes;

		assert_null(compile(block, &mistakes));
		assert_true(next_block(&rest, "\n```text\n", &expected));
		if (!slice_eq(buf_slice(&mistakes.text), expected))
			print_error("now it says:\n%s", buf_text(&mistakes.text));
		assert_true(slice_eq(buf_slice(&mistakes.text), expected));
		buf_free(&mistakes.text);
	}
	assert_true(count > 0);
}

/* ---- the tables ---- */

static void add_setting(const struct setting *s, struct buf *out)
{
	buf_add_text(out, "| `");
	for (const char *c = s->name; *c != '\0'; c++)
		buf_add_char(out, *c == '_' ? '-' : *c);
	buf_addf(out, s->initial[0] == '\0' ? "` | |" : "` | `%s` |", s->initial);
	buf_addf(out, s->min[0] == '\0' ? " | %.0s%.0s%s |\n" : " %s to %s | %s |\n", s->min, s->max,
		 s->about);
}

static void add_settings(struct buf *out)
{
	buf_add_text(out, "| setting | default | bounds | what it is |\n|---|---|---|---|\n");
	for (size_t i = 0; i < settings_count(); i++)
		add_setting(setting_at(i), out);
}

static void add_fact(const struct fact_info *f, struct buf *out)
{
	static const char *const types[] = {[FACT_TYPE_TEXT] = "text",
					    [FACT_TYPE_DOMAIN] = "host name",
					    [FACT_TYPE_ADDRESS] = "mail address",
					    [FACT_TYPE_IP] = "address",
					    [FACT_TYPE_NUMBER] = "number",
					    [FACT_TYPE_SIZE] = "size",
					    [FACT_TYPE_BOOL] = "yes or no",
					    [FACT_TYPE_WORD] = "word"};
	const char *sep = "";

	buf_addf(out, "| `%s` | %s | ", f->name, types[f->type]);
	for (unsigned place = 0; place <= RULES_REWRITE; place++)
		if (f->places & RULES_IN(place)) {
			buf_addf(out, "%s%s", sep, rules_place_name(place));
			sep = " ";
		}
	buf_addf(out, " | %s |\n", f->about);
}

static void add_facts(struct buf *out)
{
	buf_add_text(out, "| fact | type | known in | what it is |\n|---|---|---|---|\n");
	for (unsigned i = 0; i < FACT_COUNT; i++)
		add_fact(fact_info((enum fact_id)i), out);
}

static void put_section(size_t at, size_t len, struct slice text)
{
	struct buf now = buf_make(DOC_MAX);
	FILE *f = fopen(DOC_PATH, "we");

	assert_non_null(f);
	buf_add(&now, doc.at, at);
	buf_add_slice(&now, text);
	buf_add_slice(&now, slice_from(buf_slice(&doc), at + len));
	assert_int_equal(fwrite(now.at, 1, now.len, f), now.len);
	fclose(f);
	buf_free(&doc);
	doc = now;
}

/* What stands between `<!-- NAME: ... -->` and `<!-- end -->`. */
static void check_section(const char *name, void (*add)(struct buf *out))
{
	const char *mode = getenv("POSTERN_GOLDEN");
	struct buf expected = buf_make(DOC_MAX), mark = buf_make(64);
	struct slice all = buf_slice(&doc), section;
	size_t at, line, end;

	buf_addf(&mark, "<!-- %s:", name);
	at = slice_find(all, buf_slice(&mark));
	assert_true(at != SLICE_NONE);
	line = slice_index(slice_from(all, at), '\n');
	section = slice_from(all, at + line + 1);
	end = slice_find(section, slice_of("<!-- end -->"));
	assert_true(end != SLICE_NONE);
	add(&expected);
	if (mode != NULL && strcmp(mode, "rewrite") == 0)
		put_section(at + line + 1, end, buf_slice(&expected));
	else
		assert_true(slice_eq(slice_sub(section, 0, end), buf_slice(&expected)));
	buf_free(&expected);
	buf_free(&mark);
}

static void test_settings(void **state)
{
	(void)state;
	check_section("settings", add_settings);
}

static void test_facts(void **state)
{
	(void)state;
	check_section("facts", add_facts);
}

static bool is_named(const char *before, const char *word, const char *after)
{
	struct buf text = buf_make(128);
	bool found;

	buf_addf(&text, "%s%s%s", before, word, after);
	found = slice_find(buf_slice(&doc), buf_slice(&text)) != SLICE_NONE;
	buf_free(&text);
	return found;
}

static void assert_named(bool named, const char *word)
{
	if (!named)
		print_error("%s is not documented\n", word);
	assert_true(named);
}

static void test_words(void **state)
{
	static const char *const statements[] = {"include", "trusted",	   "listen", "tls",
						 "auth",    "credentials", "table",  "transport",
						 "policy",  "route",	   "retry",  "rewrite"};
	static const char *const lines[] = {
		"role",	      "tls",   "auth",	      "isolation",    "hostname", "maildir",
		"smtp",	      "lmtp",  "user",	      "delivered-to", "tls-ca",	  "tls-name",
		"mbox", "pipe", "group", "add", "quota", "junk", "forward", "filter", "programs", "timeout",
		"tls-verify", "login", "allow-local", "connections",  "messages", "recipients"};

	(void)state;
	for (size_t i = 0; i < verb_count(); i++)
		assert_named(is_named("\n| `", verb_at(i)->name, ""), verb_at(i)->name);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		assert_named(is_named("\n", statements[i], " ") || is_named("`", statements[i], " "),
			     statements[i]);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_named(is_named("\n| `", lines[i], ""), lines[i]);
	for (unsigned i = 0; i < SHAPE_COUNT; i++)
		assert_named(is_named("", shape_name((enum shape)i), ""), shape_name((enum shape)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples), cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_settings), cmocka_unit_test(test_facts),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, read_doc, free_doc);
}
