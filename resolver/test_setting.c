#include "anchor.h"
#include "setting.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const char resolv[] =
	"# comment\nsearch example.test\nnameserver 192.0.2.53\nnameserver bad\n\tnameserver  2001:db8::53 \n"
	"options edns0\nnameserver fe80::1%eth0\n";

static const struct {
	const char *text, *resolv_conf;
	bool good, recurse;
	const char *first;
	size_t count;
} cases[] = {
	{"auto", resolv, true, false, "192.0.2.53", 2},
	{"auto", "", true, true, "", 0},
	{"auto", "nameserver nothing", true, true, "", 0},
	{"recurse", resolv, true, true, "", 0},
	{"forward 127.0.0.1@5354", resolv, true, false, "127.0.0.1@5354", 1},
	{"forward ::1 192.0.2.1", "", true, false, "::1", 2},
	{"forward", resolv, false, false, "", 0},
	{"forward here", resolv, false, false, "", 0},
	{"forward 127.0.0.1@0", resolv, false, false, "", 0},
	{"forward 127.0.0.1@70000", resolv, false, false, "", 0},
	{"forward 127.0.0.1@", resolv, false, false, "", 0},
	{"recurse more", resolv, false, false, "", 0},
	{"auto more", resolv, false, false, "", 0},
	{"", resolv, false, false, "", 0},
	{"guess", resolv, false, false, "", 0},
};

static void test_settings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct setting s;

		if (setting_read(slice_of(cases[i].text), slice_of(cases[i].resolv_conf), &s) != cases[i].good)
			fail_msg("%s", cases[i].text);
		if (!cases[i].good)
			continue;
		assert_int_equal(s.recurse, cases[i].recurse);
		assert_int_equal(s.count, cases[i].count);
		if (s.count > 0)
			assert_string_equal(s.forwarders[0], cases[i].first);
	}
}

static void test_many_name_servers(void **state)
{
	struct buf text = buf_make(65536);
	struct setting s;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		buf_add_text(&text, "nameserver 192.0.2.1\n");
	assert_true(setting_read(slice_of("auto"), buf_slice(&text), &s));
	assert_int_equal(s.count, SETTING_FORWARDERS_MAX);
	buf_free(&text);
}

static void test_anchors(void **state)
{
	struct buf out = buf_make(65536);

	(void)state;
	anchor_parse(slice_of("; autotrust trust anchor file\n;;id: . 1\n.\t86400\tIN\tDNSKEY\t257 3 8 AwEAAa== ;{id "
			      "= 20326} ;;state=2\n"
			      "example.test. IN DS 1 2 3 4\n. IN A 192.0.2.1\n. IN DS\n"),
		     &out);
	assert_string_equal(buf_text(&out), ".\t86400\tIN\tDNSKEY\t257 3 8 AwEAAa==\n");
	buf_clear(&out);
	anchor_read(&out);
	assert_true(out.len > 0);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_many_name_servers),
		cmocka_unit_test(test_anchors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
