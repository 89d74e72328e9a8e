#include "reader.h"

#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The real reader in its cage.  The system's name service is played: what happens in the child when it is asked for a name. */
int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *space, size_t size, struct passwd **out);

int __wrap_getpwnam_r(const char *name, struct passwd *pw, char *space, size_t size, struct passwd **out)
{
	char byte;

	(void)space;
	(void)size;
	*out = NULL;
	if (strcmp(name, "nobody-yet") == 0)
		return ENOENT; /* its daemon is not up */
	if (strcmp(name, "crash") == 0)
		_exit(1);
	if (strcmp(name, "hang") == 0)
		(void)!read(3, &byte, 1);
	if (strcmp(name, "vmail") != 0)
		return 0;
	*pw = (struct passwd){.pw_uid = 5000, .pw_gid = 5000};
	*out = pw;
	return 0;
}

struct told {
	enum outcome outcome;
	bool done, has_plan;
	char mistakes[4096];
};

static void on_done(struct plan *plan, enum outcome outcome, struct slice mistakes, void *arg)
{
	struct told *t = arg;

	t->done = true;
	t->outcome = outcome;
	t->has_plan = plan != NULL;
	(void)slice_copy(slice_sub(mistakes, 0, sizeof(t->mistakes) - 1), t->mistakes, sizeof(t->mistakes));
	plan_free(&plan);
}

static struct told read_with(const char *users, const char *more)
{
	static const char start[] = "hostname mx.example.test\npostmaster a@example.test\nspool /x\nruntime /x\n"
				    "transport out { smtp mx }\nroute { relay out }\n";
	char path[] = "/tmp/postern-reader-XXXXXX";
	const struct reader_order order = {path, 65534, 65534};
	struct loop *loop = loop_new();
	struct told t = {.done = false};
	char user[64];
	int fd = mkstemp(path);

	assert_int_not_equal(fd, -1);
	assert_int_equal(fchmod(fd, 0644), 0);
	dprintf(fd, "%s%s", start, more);
	for (unsigned i = 0; sscanf(users, "%63s", user) == 1; i++, users += strcspn(users, " "), users += strspn(users, " "))
		dprintf(fd, "transport box%u { maildir /var/mail/{domain}/{local}/ user %s }\n", i, user);
	close(fd);
	assert_non_null(reader_start(loop, &order, 1, on_done, &t));
	if (strcmp(user, "hang") == 0) {
		clock_turn_ms(31000);
		loop_clock_turned(loop);
	}
	for (unsigned i = 0; i < 100000 && !t.done; i++) {
		loop_turn(loop);
		usleep(200);
	}
	assert_true(t.done);
	unlink(path);
	loop_free(&loop);
	return t;
}

/* What may pass by itself is no mistake: nobody is there to start us again after one. */
static void test_outcomes(void **state)
{
	static const struct {
		const char *users, *more;
		enum outcome outcome;
		const char *said;
	} cases[] = {
		{"vmail", "", OC_DONE, ""},
		{"nobody-at-all", "", OC_BAD_INPUT, "its `user` does not exist"},
		{"nobody-yet", "", OC_UNAVAILABLE, "cannot be found out now"},
		{"nobody-yet nobody-at-all", "", OC_BAD_INPUT, "its `user` does not exist"},
		{"nobody-at-all nobody-yet", "", OC_BAD_INPUT, "cannot be found out now"},
		{"vmail", "lisen 25\n", OC_BAD_INPUT, "lisen"},
		{"crash", "", OC_UNAVAILABLE, "ended early"},
		{"hang", "", OC_UNAVAILABLE, "more than 30 seconds"},
	};

	(void)state;
	if (getuid() != 0) {
		print_message("users are looked up only for root: skipped\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct told t = read_with(cases[i].users, cases[i].more);

		if (t.outcome != cases[i].outcome || strstr(t.mistakes, cases[i].said) == NULL)
			fail_msg("%s: %s: %s", cases[i].users, outcome_info(t.outcome)->name, t.mistakes);
		assert_int_equal(t.has_plan, cases[i].outcome == OC_DONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_outcomes)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
