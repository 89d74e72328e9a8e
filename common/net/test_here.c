#include "net/here.h"

#include "base/mem.h"
#include "conf/net.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>

static const struct {
	const char *address;
	enum here_kind kind;
} cases[] = {
	{"127.0.0.1", HERE_OWN},
	{"127.255.255.254", HERE_OWN},
	{"0.0.0.0", HERE_OWN},
	{"0.1.2.3", HERE_OWN},
	{"::1", HERE_OWN},
	{"::", HERE_OWN},
	{"::ffff:127.0.0.1", HERE_OWN},
	{"::127.0.0.1", HERE_OWN},
	{"::ffff:0.0.0.0", HERE_OWN},
	{"192.0.2.7", HERE_OWN},
	{"::ffff:192.0.2.7", HERE_OWN},
	{"2001:db8::7", HERE_OWN},
	{"2001:DB8:0::7", HERE_OWN},
	{"192.0.2.8", HERE_ELSEWHERE},
	{"2001:db8::8", HERE_ELSEWHERE},
	{"10.0.0.1", HERE_ELSEWHERE},
	{"224.0.0.1", HERE_NO_HOST},
	{"255.255.255.255", HERE_NO_HOST},
	{"240.0.0.1", HERE_NO_HOST},
	{"169.254.1.1", HERE_NO_HOST},
	{"fe80::1", HERE_NO_HOST},
	{"ff02::1", HERE_NO_HOST},
};

static void test_kinds(void **state)
{
	struct here h = {.count = 0};
	struct in6_addr a;

	(void)state;
	assert_true(net_address(slice_of("192.0.2.7"), &a));
	here_add(&h, &a);
	assert_false(h.has_v6);
	assert_true(net_address(slice_of("2001:db8::7"), &a));
	here_add(&h, &a);
	assert_true(h.has_v6);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(net_address(slice_of(cases[i].address), &a));
		if (here_kind(&h, &a) != cases[i].kind)
			fail_msg("%s", cases[i].address);
	}
}

static void test_interfaces(void **state)
{
	struct here h = {.count = 0};

	(void)state;
	assert_true(here_read(&h));
	assert_true(h.count > 0);
	for (size_t i = 0; i < h.count; i++)
		assert_int_equal(here_kind(&h, &h.own[i]), HERE_OWN);
}

static void test_it_is_bounded(void **state)
{
	struct here h = {.count = 0};
	struct in6_addr a;

	(void)state;
	assert_true(net_address(slice_of("192.0.2.7"), &a));
	for (unsigned i = 0; i < 2 * HERE_ADDRESSES_MAX; i++)
		here_add(&h, &a);
	assert_int_equal(h.count, HERE_ADDRESSES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_it_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
