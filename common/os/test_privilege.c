#include "os/privilege.h"

#include "base/mem.h"
#include "os/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define A_UID 65011
#define A_GID 65012

static int status_of(pid_t child)
{
	int status = 0;

	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static bool can_become(void)
{
	return getuid() == 0 && capabilities_has_setid();
}

static void test_root_is_refused(void **state)
{
	static const struct become cases[] = {{0, A_GID, NULL, 0, false}, {A_UID, 0, NULL, 0, false}};
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_false(become_user(&cases[i], why, sizeof(why)));
		assert_non_null(strstr(why, "refusing to be root"));
	}
}

static int become_and_look(bool keep_setid)
{
	const struct become who = {A_UID, A_GID, NULL, 0, keep_setid};
	char why[200];
	gid_t groups[4];

	if (!become_user(&who, why, sizeof(why)))
		return 1;
	if (getuid() != A_UID || getegid() != A_GID || getgroups(4, groups) != 1 || groups[0] != A_GID)
		return 2;
	if (capabilities_has_setid() != keep_setid)
		return 3;
	return keep_setid == (setresuid(A_UID + 1, A_UID + 1, A_UID + 1) == 0) ? 0 : 4;
}

static void test_becomes_user(void **state)
{
	(void)state;
	for (int keep = 0; keep <= 1 && can_become(); keep++) {
		pid_t child = fork();

		if (child == 0)
			_exit(become_and_look(keep == 1));
		assert_int_equal(status_of(child), 0);
	}
}

/* A parent that is not root but may change uids: its children do not inherit the right. */
static void test_capability_does_not_pass_on(void **state)
{
	const struct become parent = {A_UID, A_GID, NULL, 0, true}, user = {A_UID + 5, A_GID + 5, NULL, 0, false};
	char why[200];
	pid_t child;

	(void)state;
	if (!can_become())
		return;
	child = fork();
	if (child == 0) {
		if (!become_user(&parent, why, sizeof(why)) || !become_user(&user, why, sizeof(why)))
			_exit(1);
		_exit(capabilities_has_setid() || setresuid(A_UID, A_UID, A_UID) == 0 ? 2 : 0);
	}
	assert_int_equal(status_of(child), 0);
	printf("ROW L06 no-right-is-inherited pass\n");
}

/* From here on the call does nothing in this process, and says `err`; with 0 it lies. */
static bool breaks_call(long number, unsigned err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(code), code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/* Each call of the way down fails, as where a user has too many processes, or lies: whoever asked is told, and touches nothing. */
static void test_each_call_fails(void **state)
{
	static const struct {
		const char *name;
		long number;
		unsigned err;
	} cases[] = {
		{"prctl-EPERM", SYS_prctl, EPERM},	     {"setgroups-EPERM", SYS_setgroups, EPERM},
		{"setgroups-ENOMEM", SYS_setgroups, ENOMEM}, {"setresgid-EPERM", SYS_setresgid, EPERM},
		{"setresgid-EAGAIN", SYS_setresgid, EAGAIN}, {"setresgid-lies", SYS_setresgid, 0},
		{"setresuid-EAGAIN", SYS_setresuid, EAGAIN}, {"setresuid-EPERM", SYS_setresuid, EPERM},
		{"setresuid-lies", SYS_setresuid, 0},	     {"capset-EPERM", SYS_capset, EPERM},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases) && can_become(); i++) {
		const struct become who = {A_UID, A_GID, NULL, 0, false};
		char why[200];
		pid_t child = fork();

		if (child == 0) {
			if (!breaks_call(cases[i].number, cases[i].err))
				_exit(1);
			_exit(become_user(&who, why, sizeof(why)) || strstr(why, "cannot become") == NULL ? 2 : 0);
		}
		assert_int_equal(status_of(child), 0);
		printf("ROW L06 %s pass\n", cases[i].name);
	}
}

/* Without the right nothing is half done and taken for success. */
static void test_unprivileged_fails(void **state)
{
	const struct become who = {A_UID, A_GID, NULL, 0, false};
	char why[200];
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (!capabilities_drop())
			_exit(1);
		_exit(become_user(&who, why, sizeof(why)) || strstr(why, "cannot become") == NULL ? 2 : 0);
	}
	assert_int_equal(status_of(child), 0);
	printf("ROW L06 failing-drop-is-seen pass\n");
}

/* With CAP_SETUID alone (no CAP_KILL) a child of another uid is killed through the helper. */
static int kill_other(void)
{
	const struct become who = {A_UID, A_GID, NULL, 0, false};
	char why[200];
	pid_t victim;
	int status = 0;

	if (!capabilities_keep_master())
		return 1;
	victim = fork();
	if (victim == 0) {
		if (!become_user(&who, why, sizeof(why)))
			_exit(1);
		for (;;)
			pause();
	}
	while (kill(victim, 0) == 0)
		sched_yield();
	if (errno != EPERM || !kill_as(A_UID, victim, SIGKILL) || waitpid(victim, &status, 0) != victim)
		return 2;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 3;
}

static void test_kill_as(void **state)
{
	pid_t child;

	(void)state;
	if (!can_become())
		return;
	child = fork();
	if (child == 0)
		_exit(kill_other());
	assert_int_equal(status_of(child), 0);
	assert_false(kill_as(A_UID, 1 << 22, SIGTERM));
	printf("ROW A3 kill-across-uids pass\n");
}

#define VICTIMS 150
#define NO_NAMESPACE 77

static void give_up(int signo)
{
	(void)signo;
	_exit(9);
}

static pid_t make_victim(bool stops_all)
{
	const struct become who = {A_UID, A_GID, NULL, 0, false};
	char why[200];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	if (!become_user(&who, why, sizeof(why)))
		_exit(1);
	for (;;)
		if (stops_all)
			(void)kill(-1, SIGSTOP);
		else
			pause();
}

/* As the first process of a namespace, so that nobody else of that uid is stopped. */
static int kill_who_stops_others(void)
{
	pid_t victims[VICTIMS];
	int status;

	if (signal(SIGALRM, give_up) == SIG_ERR || !capabilities_keep_master())
		return 1;
	alarm(60);
	for (size_t i = 0; i < VICTIMS; i++) {
		victims[i] = make_victim(i + 1 == VICTIMS);
		while (victims[i] > 0 && kill(victims[i], 0) == 0)
			sched_yield();
	}
	for (size_t i = 0; i < VICTIMS; i++)
		if (!kill_as(A_UID, victims[i], SIGKILL) || waitpid(victims[i], &status, 0) != victims[i] || !WIFSIGNALED(status))
			return 2;
	return 0;
}

/* Whoever is to be killed may stop each process of his own user, and must not stop who kills him. */
static void test_the_helper_is_nobody_elses(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (!can_become())
		return;
	child = fork();
	if (child == 0) {
		pid_t first;

		if (unshare(CLONE_NEWPID) == -1)
			_exit(NO_NAMESPACE);
		first = fork();
		if (first == 0)
			_exit(kill_who_stops_others());
		_exit(status_of(first) == 0 ? 0 : 1);
	}
	status = status_of(child);
	if (WEXITSTATUS(status) == NO_NAMESPACE) {
		printf("a namespace of processes cannot be made here\n");
		return;
	}
	assert_int_equal(status, 0);
	printf("ROW A3 killer-is-not-stopped pass\n");
}

static void test_dies_with_parent(void **state)
{
	int up[2];
	char byte;
	pid_t middle;

	(void)state;
	assert_true(os_pipe(up));
	middle = fork();
	if (middle == 0) {
		pid_t self = getpid();

		if (fork() == 0) {
			if (!die_with_parent(self) || write(up[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		_exit(read(up[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(up[1]);
	assert_int_equal(status_of(middle), 0);
	/* The grandchild held the only writing end: its death is the end of the pipe. */
	assert_int_equal(read(up[0], &byte, 1), 0);
	close(up[0]);
	assert_false(die_with_parent(1 << 22));
	assert_int_equal(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0), 0);
	printf("ROW C10 dies-with-parent pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_root_is_refused),	   cmocka_unit_test(test_becomes_user),
		cmocka_unit_test(test_capability_does_not_pass_on), cmocka_unit_test(test_unprivileged_fails),
		cmocka_unit_test(test_each_call_fails),
		cmocka_unit_test(test_kill_as),		   cmocka_unit_test(test_dies_with_parent),
		cmocka_unit_test(test_the_helper_is_nobody_elses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
