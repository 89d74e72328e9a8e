#include "os/user.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <errno.h>
#include <string.h>

/* The system's name service is played: it knows "alice", and says `silence` of all others. */
int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *space, size_t size, struct passwd **out);
static int silence;

int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *space, size_t size, struct passwd **out)
{
	assert_int_equal(size, OS_USER_BYTES);
	(void)space;
	*out = NULL;
	if (strcmp(name, "alice") != 0)
		return silence;
	*pw = (struct passwd){.pw_uid = 1000};
	*out = pw;
	return 0;
}

static void test_only_a_no_is_a_no(void **state)
{
	static const struct {
		int said;
		enum outcome outcome;
	} cases[] = {
		{0, OC_NOT_FOUND},
		{ENOENT, OC_UNAVAILABLE}, /* a module whose daemon does not run */
		{ESRCH, OC_UNAVAILABLE},
		{ECONNREFUSED, OC_UNAVAILABLE},
		{EINTR, OC_UNAVAILABLE},
		{ENOMEM, OC_UNAVAILABLE},
		{ERANGE, OC_UNAVAILABLE},
	};
	static char space[OS_USER_BYTES];
	struct passwd pw;

	(void)state;
	os_user_prepare();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		silence = cases[i].said;
		assert_int_equal(os_user_find("bob", &pw, space), cases[i].outcome);
		assert_int_equal(os_user_find("alice", &pw, space), OC_DONE);
		assert_int_equal(pw.pw_uid, 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_only_a_no_is_a_no)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
