#include "conf/bundle.h"
#include "conf/include.h"
#include "conf/lex.h"
#include "conf/net.h"
#include "conf/unit.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/stat.h>

/* Units, networks, tokens, bundles: what stands below the statements. */

static void test_times(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t ms;
		const char *printed;
	} rows[] = {
		{"0", true, 0, "0s"},
		{"0s", true, 0, "0s"},
		{"250ms", true, 250, "250ms"},
		{"90s", true, 90000, "90s"},
		{"60s", true, 60000, "1m"},
		{"15m", true, 900000, "15m"},
		{"36h", true, 129600000, "36h"},
		{"48h", true, 172800000, "2d"},
		{"1W", true, 604800000, "1w"},
		{"", false, 0, ""},
		{"15", false, 0, ""},
		{"m", false, 0, ""},
		{"-1s", false, 0, ""},
		{"1.5h", false, 0, ""},
		{"15 m", false, 0, ""},
		{"15min", false, 0, ""},
		{"99999999999999999999s", false, 0, ""},
		{"9223372036854775807s", false, 0, ""},
	};
	struct buf out = buf_make(64);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t ms = 7;

		assert_int_equal(unit_time(slice_of(rows[i].text), &ms), rows[i].ok);
		if (!rows[i].ok)
			continue;
		assert_int_equal(ms, rows[i].ms);
		buf_clear(&out);
		unit_print_time(&out, ms);
		assert_string_equal(buf_text(&out), rows[i].printed);
	}
	buf_free(&out);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t bytes;
		const char *printed;
	} rows[] = {
		{"0", true, 0, "0"},
		{"1000", true, 1000, "1000"},
		{"64K", true, 65536, "64K"},
		{"64k", true, 65536, "64K"},
		{"2048K", true, 2097152, "2M"},
		{"1T", true, 1ull << 40, "1T"},
		{"", false, 0, ""},
		{"K", false, 0, ""},
		{"1KB", false, 0, ""},
		{"1.5M", false, 0, ""},
		{"16777216T", false, 0, ""},
		{"0x10", false, 0, ""},
	};
	struct buf out = buf_make(64);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t n = 7;

		assert_int_equal(unit_size(slice_of(rows[i].text), &n), rows[i].ok);
		if (!rows[i].ok)
			continue;
		assert_int_equal(n, rows[i].bytes);
		buf_clear(&out);
		unit_print_size(&out, n);
		assert_string_equal(buf_text(&out), rows[i].printed);
	}
	buf_free(&out);
}

static void test_factors(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t permille;
		const char *printed;
	} rows[] = {
		{"1", true, 1000, "1"},	      {"1.5", true, 1500, "1.5"},
		{"1.05", true, 1050, "1.05"}, {"2.125", true, 2125, "2.125"},
		{"1.", false, 0, ""},	      {".5", false, 0, ""},
		{"1.0005", false, 0, ""},     {"x", false, 0, ""},
	};
	struct buf out = buf_make(64);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t n = 7;

		assert_int_equal(unit_permille(slice_of(rows[i].text), &n), rows[i].ok);
		if (!rows[i].ok)
			continue;
		assert_int_equal(n, rows[i].permille);
		buf_clear(&out);
		unit_print_permille(&out, n);
		assert_string_equal(buf_text(&out), rows[i].printed);
	}
	buf_free(&out);
}

static void test_networks(void **state)
{
	static const struct {
		const char *net;
		enum net_parse how;
		const char *printed, *in, *out;
	} rows[] = {
		{"192.0.2.0/24", NET_OK, "192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
		{"192.0.2.1", NET_OK, "192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"192.0.2.1/32", NET_OK, "192.0.2.1", "::ffff:192.0.2.1", "::1"},
		{"10.0.0.0/8", NET_OK, "10.0.0.0/8", "10.255.1.2", "11.0.0.0"},
		{"192.0.2.128/25", NET_OK, "192.0.2.128/25", "192.0.2.129", "192.0.2.127"},
		{"0.0.0.0/0", NET_OK, "0.0.0.0/0", "255.1.1.1", "2001:db8::1"},
		{"2001:db8::/32", NET_OK, "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
		{"::/0", NET_OK, "::/0", "::1", "no address"},
		{"192.0.2.1/24", NET_HOST_BITS, "192.0.2.0/24", "192.0.2.9", "192.0.3.1"},
		{"2001:db8::1/32", NET_HOST_BITS, "2001:db8::/32", "2001:db8::5", "::"},
		{"192.0.2.0/33", NET_BAD, "", "", ""},
		{"2001:db8::/129", NET_BAD, "", "", ""},
		{"192.0.2/24", NET_BAD, "", "", ""},
		{"example.org", NET_BAD, "", "", ""},
		{"", NET_BAD, "", "", ""},
		{"/8", NET_BAD, "", "", ""},
		{"1.2.3.4/", NET_BAD, "", "", ""},
		{"fe80::1%eth0", NET_BAD, "", "", ""},
		{"1.2.3.4/-1", NET_BAD, "", "", ""},
	};
	struct buf out = buf_make(128);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf_cidr net;

		assert_int_equal(net_cidr(slice_of(rows[i].net), &net), rows[i].how);
		if (rows[i].how == NET_BAD)
			continue;
		buf_clear(&out);
		net_print(&out, &net);
		assert_string_equal(buf_text(&out), rows[i].printed);
		assert_true(net_list_contains(&net, 1, slice_of(rows[i].in)));
		assert_false(net_list_contains(&net, 1, slice_of(rows[i].out)));
	}
	buf_free(&out);
}

static void test_this_host(void **state)
{
	static const char *const here[] = {"127.0.0.1", "127.8.9.1", "::1", "localhost", "LocalHost", "::ffff:127.0.0.1"};
	static const char *const away[] = {"127.db.example.org", "127.0.0.1.example.org", "127.1", "128.0.0.1", "::", "::2", "localhost.example.org", ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(here); i++)
		assert_true(net_is_loopback(slice_of(here[i])));
	for (size_t i = 0; i < ARRAY_LEN(away); i++)
		assert_false(net_is_loopback(slice_of(away[i])));
}

/* Tokens as one letter each: w s o { } ( ) , ; and ! for a bad one. */
static void lex_all(const char *text, struct buf *kinds, struct buf *texts)
{
	static const char letters[] = {
		[TOKEN_END] = '.',    [TOKEN_LINE] = ';',	[TOKEN_WORD] = 'w',
		[TOKEN_STRING] = 's', [TOKEN_OPERATOR] = 'o',	[TOKEN_OPEN] = '{',
		[TOKEN_CLOSE] = '}',  [TOKEN_PAREN_OPEN] = '(', [TOKEN_PAREN_CLOSE] = ')',
		[TOKEN_COMMA] = ',',  [TOKEN_BAD] = '!'};
	struct arena *arena = arena_new(1 << 20);
	struct lex l = lex_make("x", slice_of(text), arena, NULL);
	struct token t;

	buf_clear(kinds);
	buf_clear(texts);
	do {
		t = lex_next(&l);
		buf_add_char(kinds, letters[t.kind]);
		if (t.kind == TOKEN_WORD || t.kind == TOKEN_STRING) {
			buf_add_slice(texts, t.text);
			buf_add_char(texts, '|');
		}
	} while (t.kind != TOKEN_END);
	arena_free(&arena);
}

static void test_tokens(void **state)
{
	static const struct {
		const char *text, *kinds, *texts;
	} rows[] = {
		{"", ".", ""},
		{"listen :25 { role mx }", "ww{ww}.", "listen|:25|role|mx|"},
		{"a # comment\nb", "w;w.", "a|b|"},
		{"a;b", "w;w.", "a|b|"},
		{"a\r\nb", "w;w.", "a|b|"},
		{"a\rb", "w!w.", "a|b|"},
		{"/var/mail/{domain}/{local}/ x", "ww.", "/var/mail/{domain}/{local}/|x|"},
		{"mx{role}", "w.", "mx{role}|"},
		{"mx{ role}", "w{w}.", "mx|role|"},
		{"{local}", "{w}.", "local|"},
		{"\"a \\\"b\\\" c\"", "s.", "a \"b\" c|"},
		{"\"\\\\d\\.x\"", "s.", "\\d\\.x|"},
		{"\"no end", "!.", ""},
		{"\"no end\nnext", "!;w.", "next|"},
		{"\"ctrl \x01\"", "!.", ""},
		{"a == b != c <= d >= e < f > g", "wowowowowowow.", "a|b|c|d|e|f|g|"},
		{"a = b", "w!w.", "a|b|"},
		{"! a", "!w.", "a|"},
		{"in (a,b)", "w(w,w).", "in|a|b|"},
		{"caf\xc3\xa9 x", "ww.", "caf\xc3\xa9|x|"},
		{"a\x01", "w!.", "a|"},
	};
	struct buf kinds = buf_make(256), texts = buf_make(256);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		lex_all(rows[i].text, &kinds, &texts);
		assert_string_equal(buf_text(&kinds), rows[i].kinds);
		assert_string_equal(buf_text(&texts), rows[i].texts);
	}
	buf_free(&kinds);
	buf_free(&texts);
}

static void test_columns_count_characters(void **state)
{
	struct arena *arena = arena_new(65536);
	struct lex l = lex_make("x", slice_of("\xc3\xa9\xc3\xa9 b\n\tc"), arena, NULL);
	struct token t;

	(void)state;
	lex_next(&l);
	t = lex_next(&l);
	assert_int_equal(t.pos.column, 4);
	lex_next(&l);
	t = lex_next(&l);
	assert_int_equal(t.pos.line, 2);
	assert_int_equal(t.pos.column, 2);
	arena_free(&arena);
}

static void test_nearest(void **state)
{
	static const struct {
		const char *word, *nearest;
	} rows[] = {
		{"liten", "listen"},
		{"lsiten", "listen"},
		{"transprot", "transport"},
		{"Route", "route"},
		{"my_domain", "my-domains"},
		{"zzzzzz", NULL},
		{"x", NULL},
		{"", NULL},
		{"rout", "route"},
	};
	struct arena *arena = arena_new(65536);
	struct wordlist list = {NULL, 0};

	(void)state;
	wordlist_add(arena, &list, "listen");
	wordlist_add(arena, &list, "transport");
	wordlist_add(arena, &list, "route");
	wordlist_add(arena, &list, "my-domains");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *nearest = wordlist_nearest(&list, slice_of(rows[i].word));

		assert_int_equal(nearest == NULL, rows[i].nearest == NULL);
		if (nearest != NULL)
			assert_string_equal(nearest, rows[i].nearest);
	}
	arena_free(&arena);
}

static void test_include_patterns(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool matches;
	} rows[] = {
		{"*.conf", "a.conf", true},
		{"*.conf", "a.conf.bak", false},
		{"*", "", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "acb", false},
		{"x", "x", true},
		{"x", "xy", false},
		{"**", "abc", true},
		{"*ab", "aab", true},
	};
	struct buf out = buf_make(256);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(include_matches(slice_of(rows[i].pattern), slice_of(rows[i].name)),
				 rows[i].matches);
	include_resolve(slice_of("/etc/postern/postern.conf"), slice_of("conf.d/*.conf"), &out);
	assert_string_equal(buf_text(&out), "/etc/postern/conf.d/*.conf");
	buf_clear(&out);
	include_resolve(slice_of("/etc/postern/postern.conf"), slice_of("/x/y"), &out);
	assert_string_equal(buf_text(&out), "/x/y");
	buf_clear(&out);
	include_resolve(slice_of("postern.conf"), slice_of("y"), &out);
	assert_string_equal(buf_text(&out), "y");
	assert_true(include_is_pattern(slice_of("conf.d/*.conf")));
	assert_false(include_is_pattern(slice_of("conf*/x")));
	buf_free(&out);
}

/* ---- bundles ---- */

static void make_bundle(struct buf *b)
{
	*b = buf_make(BUNDLE_BYTES_MAX);
	assert_true(bundle_add(b, slice_of("main"), slice_of("hostname x\n")));
	assert_true(bundle_add(b, slice_of("empty"), slice_empty()));
	assert_true(bundle_add(b, slice_of("last"), slice_of("y")));
}

static void test_bundle_round_trip(void **state)
{
	struct slice rest, name, text;
	struct buf b;

	(void)state;
	make_bundle(&b);
	rest = buf_slice(&b);
	assert_true(bundle_next(&rest, &name, &text));
	assert_true(slice_eq(name, slice_of("main")) && slice_eq(text, slice_of("hostname x\n")));
	assert_true(bundle_next(&rest, &name, &text));
	assert_true(slice_eq(name, slice_of("empty")) && text.len == 0);
	assert_true(bundle_next(&rest, &name, &text));
	assert_false(bundle_next(&rest, &name, &text));
	assert_int_equal(rest.len, 0);
	assert_true(bundle_find(buf_slice(&b), slice_of("last"), &text) &&
		    slice_eq(text, slice_of("y")));
	assert_false(bundle_find(buf_slice(&b), slice_of("las"), &text));
	buf_free(&b);
}

/* A walk over anything ends, stays inside, and ends early unless it is whole. */
static size_t walk(struct slice rest)
{
	struct slice name, text;

	while (bundle_next(&rest, &name, &text))
		;
	return rest.len;
}

static void test_bundle_damaged(void **state)
{
	struct buf b;

	(void)state;
	make_bundle(&b);
	for (size_t n = 0; n < b.len; n++) {
		char *exact = malloc(n + 1);

		assert_non_null(exact);
		memcpy(exact, b.at, n);
		walk(slice_make(exact, n));
		free(exact);
	}
	for (size_t i = 0; i < b.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			b.at[i] = (char)(b.at[i] ^ (1 << bit));
			walk(buf_slice(&b));
			b.at[i] = (char)(b.at[i] ^ (1 << bit));
		}
	assert_int_equal(walk(buf_slice(&b)), 0);
	assert_true(walk(slice_sub(buf_slice(&b), 0, b.len - 1)) > 0);
	buf_free(&b);
}

static void test_bundle_bounds(void **state)
{
	char *large = calloc(1, BUNDLE_FILE_MAX + 1);
	struct buf b = buf_make(BUNDLE_BYTES_MAX);

	(void)state;
	assert_non_null(large);
	assert_false(bundle_add(&b, slice_of("x"), slice_make(large, BUNDLE_FILE_MAX + 1)));
	assert_false(bundle_add(&b, slice_empty(), slice_empty()));
	for (int i = 0; i < 7; i++)
		assert_true(bundle_add(&b, slice_of("x"), slice_make(large, BUNDLE_FILE_MAX)));
	assert_false(bundle_add(&b, slice_of("x"), slice_make(large, BUNDLE_FILE_MAX)));
	assert_int_equal(walk(buf_slice(&b)), 0);
	buf_free(&b);
	free(large);
}

/* ---- reading from disk ---- */

static char folder[64];

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool read_main(struct buf *b, struct buf *why)
{
	char path[256];

	buf_clear(why);
	snprintf(path, sizeof(path), "%s/main.conf", folder);
	return bundle_read(path, b, why);
}

static int make_folder(void **state)
{
	char path[256];

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/postern-conf-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/d", folder);
	return mkdir(path, 0700);
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"main.conf", "one.conf",  "d/b.conf", "d/a.conf",
					    "d/c.txt",	 "d/.h.conf", "fifo",	  "d"};
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		remove(path);
	}
	return rmdir(folder);
}

static void assert_names(struct slice bundle, const char *expected)
{
	struct buf names = buf_make(4096);
	struct slice name, text;

	while (bundle_next(&bundle, &name, &text)) {
		if (slice_starts(name, slice_of(folder)))
			name = slice_from(name, strlen(folder) + 1);
		buf_add_slice(&names, name);
		buf_add_char(&names, ' ');
	}
	assert_string_equal(buf_text(&names), expected);
	buf_free(&names);
}

static void test_read_follows_includes(void **state)
{
	struct buf b = buf_make(0), why = buf_make(1024);

	(void)state;
	put("main.conf", "hostname x # include \"nothing\"\ninclude \"one.conf\"\ninclude "
			 "\"d/*.conf\"\ninclude \"e/*.conf\"\n");
	put("one.conf", "postmaster \"include two.conf\"\n");
	put("d/b.conf", "");
	put("d/a.conf", "include \"../one.conf\"\ninclude ../one.conf");
	put("d/c.txt", "");
	put("d/.h.conf", "");
	assert_true(read_main(&b, &why));
	assert_names(buf_slice(&b), "main.conf one.conf d/a.conf d/../one.conf d/b.conf (system) ");
	buf_free(&b);
	buf_free(&why);
}

static void test_read_refuses(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"include \"none.conf\"\n", "main.conf:1: include "},
		{"x\n\ninclude \"fifo\"\n", "is not a regular file"},
		{"include \"d\"\n", "is not a regular file"},
	};
	struct buf b = buf_make(0), why = buf_make(1024);
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		put("main.conf", rows[i].text);
		assert_false(read_main(&b, &why));
		assert_non_null(strstr(buf_text(&why), rows[i].why));
	}
	buf_free(&b);
	buf_free(&why);
}

static void test_read_stops_at_a_circle(void **state)
{
	struct buf b = buf_make(0), why = buf_make(1024);

	(void)state;
	put("main.conf", "include \"one.conf\"\n");
	put("one.conf", "include \"main.conf\"\n");
	assert_true(read_main(&b, &why));
	assert_names(buf_slice(&b), "main.conf one.conf (system) ");
	buf_free(&b);
	buf_free(&why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_factors),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_this_host),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_columns_count_characters),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_include_patterns),
		cmocka_unit_test(test_bundle_round_trip),
		cmocka_unit_test(test_bundle_damaged),
		cmocka_unit_test(test_bundle_bounds),
		cmocka_unit_test_setup_teardown(test_read_follows_includes, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_read_refuses, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_read_stops_at_a_circle, make_folder,
						remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
