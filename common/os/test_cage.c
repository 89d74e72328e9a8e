#include "os/cage.h"
#include "os/filter.h"

#include "base/mem.h"
#include "base/sanitizer.h"
#include "os/fd.h"
#include "os/landlock.h"
#include "os/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/*
 * A child enters the cage and tries one thing.  What became of it is its exit status: 0 allowed, an errno where it was
 * refused, or death by SIGSYS.
 */
#define NO_ENTRY 200
#define OUR_UID 65001
#define OUR_GID 65002

enum fate { ALLOWED = 0, KILLED = 1000 };

static char folder[] = "/tmp/postern-cage-XXXXXX";
static int folder_fd = -1;
static int outside_fd = -1; /* a file that is not in the folder */

static struct cage_order order_here(const struct cage_spec *spec)
{
	(void)spec;
	return (struct cage_order){
		.uid = OUR_UID,
		.gid = OUR_GID,
		.as_root = getuid() == 0,
		.root_fd = folder_fd,
		.require = "",
		.parent = getppid(),
	};
}

static int child_status(pid_t child)
{
	int status = 0;

	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : 2000 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static int try_caged(const struct cage_spec *spec, int (*attempt)(void))
{
	pid_t child = fork();

	if (child == 0) {
		struct cage_order order = order_here(spec);
		char missing[CAGE_MISSING_BYTES], why[256];

		if (!cage_enter(spec, &order, missing, why, sizeof(why))) {
			fprintf(stderr, "%s\n", why);
			_exit(NO_ENTRY);
		}
		_exit(attempt() == -1 ? errno : 0);
	}
	return child_status(child);
}

/* ---- what is tried ---- */

static int try_nothing(void)
{
	return 0;
}

static int try_open_write(void)
{
	return open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int try_open_read(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int try_open_beneath(void)
{
	return open("inside", O_RDONLY | O_CLOEXEC);
}

static int try_create_beneath(void)
{
	int fd = open("made", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd == -1 || write(fd, "x", 1) != 1 || fsync(fd) == -1 ? -1 : unlink("made");
}

static int try_open_absolute(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int try_escape_upwards(void)
{
	return openat(AT_FDCWD, "../../../../etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int try_socket_packet(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int try_socket_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int try_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25)};

	return connect(outside_fd, (struct sockaddr *)&to, sizeof(to));
}

static int try_tcp_connect(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = try_socket();

	return fd == -1 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1 && errno != ECONNREFUSED) ? -1 : 0;
}

static int try_socketpair(void)
{
	int pair[2];

	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int try_exec(void)
{
	char *const argv[] = {NULL};

	return execve("/bin/true", argv, argv);
}

static int try_kill_parent(void)
{
	return kill(getppid(), 0);
}

static int try_ptrace_parent(void)
{
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_mmap_exec(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -1 : 0;
}

static int try_mprotect_exec(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(at, 4096, PROT_READ | PROT_EXEC);
}

static int try_setuid_root(void)
{
	return setresuid(0, 0, 0);
}

/* The kernel cuts the number to 32 bits: this asks for root. */
static int try_setuid_beyond_32_bits(void)
{
	return (int)syscall(SYS_setresuid, 1ul << 32, 1ul << 32, 1ul << 32);
}

static int try_setgid_root(void)
{
	return setresgid(0, 0, 0);
}

static int try_become_low(void)
{
	return setresuid(999, 999, 999);
}

static int try_become_user(void)
{
	return setresuid(1500, 1500, 1500);
}

static int try_chroot(void)
{
	return chroot("/");
}

static int try_mount(void)
{
	return mount("x", "/", "tmpfs", 0, NULL);
}

static int try_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static int try_fork(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(0);
	return child == -1 ? -1 : waitpid(child, &status, 0);
}

static void *thread_main(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, thread_main, NULL);

	errno = err;
	return err != 0 ? -1 : pthread_join(thread, NULL);
}

static int try_lease(void)
{
	return fcntl(outside_fd, F_SETLEASE, F_UNLCK) == -1 && errno != EAGAIN && errno != EACCES ? -1 : 0;
}

static int try_lock(void)
{
	struct flock lock = {.l_type = F_RDLCK};

	return fcntl(outside_fd, F_SETLK, &lock);
}

static int try_set_owner(void)
{
	return fcntl(outside_fd, F_SETOWN, getppid());
}

static int try_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int try_terminal_input(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static int try_is_terminal(void)
{
	errno = 0;
	return isatty(outside_fd) == 0 && errno == ENOTTY ? 0 : -1;
}

static int try_raise_limit(void)
{
	const struct rlimit rl = {100, 100};

	return setrlimit(RLIMIT_CORE, &rl);
}

static int try_read_limit(void)
{
	struct rlimit rl;

	return getrlimit(RLIMIT_NOFILE, &rl);
}

static int try_inject(void)
{
	return syscall(-1) == -1 && errno == ENOSYS ? 0 : -1;
}

static int try_harmless(void)
{
	struct stat st;
	char byte;
	int n = 0;

	return fstat(outside_fd, &st) == 0 && getppid() > 0 && syscall(SYS_getrandom, &byte, 1, 0) == 1 &&
			       ioctl(outside_fd, FIONREAD, &n) == 0 && sysconf(_SC_NPROCESSORS_ONLN) > 0 && getuid() == geteuid()
		       ? 0
		       : -1;
}

static int try_allocate(void)
{
	char *at = malloc(8u << 20);

	if (at == NULL)
		return -1;
	memset(at, 1, 8u << 20);
	at[0] = at[(8u << 20) - 1];
	free(at);
	return 0;
}

static int try_too_much_memory(void)
{
	void *at = mmap(NULL, 1ull << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? -1 : 0;
}

static int try_io_uring(void)
{
	return (int)syscall(425, 1, NULL);
}

static int try_process_memory(void)
{
	return (int)syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
}

static int try_abstract_socket(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "\0postern-cage-test"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1 && errno != ECONNREFUSED ? -1 : 0;
}

/* As the leader of a role with children: a forked child drops what it does not need. */
static int try_narrowed_fork(void)
{
	return cage_narrow(CALLS_BASE) ? try_fork() : -1;
}

static int try_narrowed_write(void)
{
	return cage_narrow(CALLS_BASE) && fcntl(outside_fd, F_GETFD) >= 0 ? 0 : -1;
}

static int try_nested_cage(void)
{
	static const struct cage_spec inner = {.calls = CALLS_FILES, .file_bytes_max = 1 << 20};
	struct cage_order order = {.root_fd = folder_fd, .require = ""};
	const struct become who = {1500, 1500, NULL, 0, false};
	char missing[CAGE_MISSING_BYTES], why[256];
	pid_t child = fork();

	if (child == 0) {
		if (!become_user(&who, why, sizeof(why)) || !cage_enter(&inner, &order, missing, why, sizeof(why))) {
			fprintf(stderr, "%s\n", why);
			_exit(1);
		}
		_exit(try_open_beneath() == -1 || try_open_absolute() != -1);
	}
	errno = EPROTO;
	return child_status(child) == 0 ? 0 : -1;
}

static int try_kill_other_uid(void)
{
	const struct become who = {1500, 1500, NULL, 0, false};
	char why[256];
	pid_t child = fork();

	if (child == 0) {
		if (!become_user(&who, why, sizeof(why)))
			_exit(1);
		for (;;)
			pause();
	}
	while (kill(child, 0) == 0) /* until it has changed its uid */
		sched_yield();
	if (!kill_as(1500, child, SIGKILL))
		return -1;
	errno = EPROTO;
	return child_status(child) == 2000 + SIGKILL ? 0 : -1;
}

#define ROLE_CALLS_LOCAL (CALLS_BECOME | CALLS_FORK | CALLS_FILES)

static const struct {
	const char *row, *name;
	unsigned calls;
	int (*attempt)(void);
	int fate;
	enum { ALWAYS, ROOT_ONLY, NOT_ASAN, NEEDS_LANDLOCK } when;
} cases[] = {
	{"CAGE", "enters", CALLS_BASE, try_nothing, ALLOWED, ALWAYS},
	{"CAGE", "harmless calls", CALLS_BASE, try_harmless, ALLOWED, ALWAYS},
	{"CAGE", "memory", CALLS_BASE, try_allocate, ALLOWED, ALWAYS},
	{"CAGE", "memory beyond its bound", CALLS_BASE, try_too_much_memory, ENOMEM, NOT_ASAN},
	{"CAGE", "isatty", CALLS_BASE, try_is_terminal, ALLOWED, ALWAYS},
	{"CAGE", "socketpair", CALLS_BASE, try_socketpair, ALLOWED, ALWAYS},
	{"C03", "call -1 for fault injection", CALLS_BASE, try_inject, ALLOWED, ALWAYS},
	{"CAGE", "reads its limits", CALLS_BASE, try_read_limit, ALLOWED, ALWAYS},
	{"CAGE", "raises a limit", CALLS_BASE, try_raise_limit, KILLED, NOT_ASAN},
	{"CAGE", "opens to write", CALLS_BASE, try_open_write, KILLED, NOT_ASAN},
	{"CAGE", "opens to read", CALLS_BASE, try_open_read, EACCES, NOT_ASAN},
	{"CAGE", "socket", CALLS_BASE, try_socket, KILLED, ALWAYS},
	{"CAGE", "connect", CALLS_BASE, try_connect, KILLED, ALWAYS},
	{"E01", "execve", CALLS_BASE, try_exec, KILLED, ALWAYS},
	{"E01", "execve with files", CALLS_FILES | CALLS_THREADS | CALLS_FORK, try_exec, KILLED, ALWAYS},
	{"CAGE", "kill", CALLS_BASE, try_kill_parent, KILLED, NOT_ASAN},
	{"CAGE", "kill with fork", CALLS_FORK, try_kill_parent, KILLED, NOT_ASAN},
	{"CAGE", "ptrace", CALLS_BASE, try_ptrace_parent, KILLED, NOT_ASAN},
	{"CAGE", "process_vm_writev", CALLS_BASE, try_process_memory, KILLED, ALWAYS},
	{"CAGE", "mmap of code", CALLS_BASE, try_mmap_exec, KILLED, ALWAYS},
	{"CAGE", "mprotect to code", CALLS_BASE, try_mprotect_exec, KILLED, ALWAYS},
	{"L06", "setresuid root", CALLS_BASE, try_setuid_root, KILLED, ALWAYS},
	{"CAGE", "chroot", CALLS_FILES, try_chroot, KILLED, ALWAYS},
	{"CAGE", "mount", CALLS_FILES, try_mount, KILLED, ALWAYS},
	{"CAGE", "unshare", CALLS_BASE, try_unshare, KILLED, ALWAYS},
	{"CAGE", "io_uring", CALLS_FILES | CALLS_SOCKETS, try_io_uring, KILLED, ALWAYS},
	{"CAGE", "fork", CALLS_BASE, try_fork, KILLED, NOT_ASAN},
	{"CAGE", "fork where threads are due", CALLS_THREADS, try_fork, KILLED, NOT_ASAN},
	{"CAGE", "fork where due", CALLS_FORK, try_fork, ALLOWED, ALWAYS},
	{"CAGE", "thread", CALLS_BASE, try_thread, KILLED, NOT_ASAN},
	{"CAGE", "thread where due", CALLS_THREADS, try_thread, ALLOWED, ALWAYS},
	{"CAGE", "narrowed child forks", CALLS_FORK, try_narrowed_fork, KILLED, NOT_ASAN},
	{"CAGE", "narrowed child goes on", CALLS_FORK, try_narrowed_write, ALLOWED, ALWAYS},
	{"CAGE", "lease", CALLS_FILES, try_lease, KILLED, ALWAYS},
	{"CAGE", "lease where due", CALLS_FILES | CALLS_LEASE, try_lease, ALLOWED, ALWAYS},
	{"CAGE", "lock", CALLS_FILES, try_lock, KILLED, ALWAYS},
	{"CAGE", "lock where due", CALLS_FILES | CALLS_LOCKS, try_lock, ALLOWED, ALWAYS},
	{"CAGE", "F_SETOWN", CALLS_FILES | CALLS_LOCKS | CALLS_LEASE, try_set_owner, KILLED, ALWAYS},
	{"CAGE", "dumpable again", CALLS_FORK, try_dumpable, KILLED, NOT_ASAN},
	{"CAGE", "types on the terminal", CALLS_BASE, try_terminal_input, KILLED, ALWAYS},
	{"CAGE", "creates beneath its folder", CALLS_FILES, try_create_beneath, ALLOWED, ALWAYS},
	{"CAGE", "reads beneath its folder", CALLS_FILES_READ, try_open_beneath, ALLOWED, ALWAYS},
	{"CAGE", "creates though it may read only", CALLS_FILES_READ, try_create_beneath, KILLED, NOT_ASAN},
	{"CAGE", "leaves its folder", CALLS_FILES, try_open_absolute, EACCES, NEEDS_LANDLOCK},
	{"CAGE", "leaves its folder upwards", CALLS_FILES_READ, try_escape_upwards, EACCES, NEEDS_LANDLOCK},
	{"CAGE", "socket where due", CALLS_SOCKETS, try_tcp_connect, ALLOWED, ALWAYS},
	{"CAGE", "raw packets", CALLS_SOCKETS, try_socket_packet, KILLED, ALWAYS},
	{"CAGE", "netlink is answered", CALLS_SOCKETS, try_socket_netlink, EAFNOSUPPORT, ALWAYS},
	{"CAGE", "TCP where only datagrams are due", CALLS_DATAGRAM, try_socket, KILLED, ALWAYS},
	{"A13", "abstract socket of another", CALLS_SOCKETS, try_abstract_socket, ALLOWED, ALWAYS},
	{"L06", "becomes a user", ROLE_CALLS_LOCAL, try_become_user, ALLOWED, ROOT_ONLY},
	{"L06", "becomes a system user", ROLE_CALLS_LOCAL, try_become_low, KILLED, ROOT_ONLY},
	{"L06", "becomes root", ROLE_CALLS_LOCAL, try_setuid_root, EPERM, ROOT_ONLY},
	{"L06", "becomes root by a number beyond 32 bits", ROLE_CALLS_LOCAL, try_setuid_beyond_32_bits, KILLED, ROOT_ONLY},
	{"L06", "joins group root", ROLE_CALLS_LOCAL, try_setgid_root, KILLED, ROOT_ONLY},
	{"L06", "its child becomes a user in a cage", ROLE_CALLS_LOCAL, try_nested_cage, ALLOWED, ROOT_ONLY},
	{"L06", "kills its child of another uid", ROLE_CALLS_LOCAL, try_kill_other_uid, ALLOWED, ROOT_ONLY},
};

static bool applies(size_t i)
{
	switch (cases[i].when) {
	case ALWAYS:
		return true;
	case ROOT_ONLY:
		return getuid() == 0 && capabilities_has_setid();
	case NOT_ASAN:
		return !WITH_ASAN;
	case NEEDS_LANDLOCK:
		return landlock_abi() > 0;
	}
	return false;
}

/* As root the folder is the root of the file system: outside there is nothing rather than no right. */
static bool is_fate(int got, int expected)
{
	return got == expected || (expected == EACCES && got == ENOENT && getuid() == 0);
}

static void test_attempts(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct cage_spec spec = {.calls = cases[i].calls,
					       .chroot = (cases[i].calls & CALLS_BECOME) == 0,
					       .file_bytes_max = 1 << 20,
					       .become_min = 1000};
		int got;

		if (!applies(i))
			continue;
		got = try_caged(&spec, cases[i].attempt);
		printf("ROW %s %s %s\n", cases[i].row, cases[i].name, is_fate(got, cases[i].fate) ? "pass" : "fail");
		if (!is_fate(got, cases[i].fate)) {
			printf("  expected %d, got %d\n", cases[i].fate, got);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* ---- the floor, as the kernel tells it ---- */

static bool status_has(const char *status, const char *line)
{
	return strstr(status, line) != NULL;
}

static void read_status(pid_t pid, char *out, size_t size)
{
	char name[64];
	int fd;
	ssize_t n;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, out, size - 1);
	assert_true(n > 0);
	out[n] = '\0';
	close(fd);
}

/* Where the hard limit of whoever began it is lower than what the role wants, all of that is had, and not the soft one. */
static void test_all_descriptors(void **state)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE, .files_max = 65536};
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct cage_order order = order_here(&spec);
		struct rlimit rl = {64, 1000};
		char missing[CAGE_MISSING_BYTES], why[256];

		if (setrlimit(RLIMIT_NOFILE, &rl) == -1 || !cage_enter(&spec, &order, missing, why, sizeof(why)))
			_exit(2);
		_exit(getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur == 1000 ? 0 : 1);
	}
	assert_int_equal(child_status(child), 0);
}

static void floor_in_proc(const struct cage_spec *spec, bool user_first)
{
	static const char *const lines[] = {"\nNoNewPrivs:\t1\n",	    "\nSeccomp:\t2\n",
					    "\nCapPrm:\t0000000000000000\n", "\nCapEff:\t0000000000000000\n",
					    "\nCapAmb:\t0000000000000000\n"};
	char status[8192], byte;
	int entered[2], leave[2];
	pid_t child;

	assert_true(os_pipe(entered) && os_pipe(leave));
	child = fork();
	if (child == 0) {
		struct cage_order order = order_here(spec);
		char missing[CAGE_MISSING_BYTES], why[256];

		close(leave[1]);
		if (user_first && !cage_become(spec, &order, why, sizeof(why)))
			_exit(1);
		if (!cage_enter(spec, &order, missing, why, sizeof(why)) || write(entered[1], "x", 1) != 1)
			_exit(1);
		_exit(read(leave[0], &byte, 1) == 0 ? 0 : 1);
	}
	close(leave[0]);
	assert_int_equal(read(entered[0], &byte, 1), 1);
	read_status(child, status, sizeof(status));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!status_has(status, lines[i]))
			fail_msg("no %s in %s", lines[i], status);
	if (getuid() == 0)
		assert_true(status_has(status, "\nUid:\t65001\t65001\t65001\t65001\n") &&
			    status_has(status, "\nGid:\t65002\t65002\t65002\t65002\n") &&
			    status_has(status, "\nGroups:\t65002 \n"));
	close(leave[1]);
	assert_int_equal(child_status(child), 0);
	close(entered[0]);
	close(entered[1]);
}

static void test_floor_in_proc(void **state)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE, .chroot = true};

	(void)state;
	floor_in_proc(&spec, false);
}

/* The same floor for who becomes the user first, and nothing is left of root between; who only says so does not enter. */
static void test_user_first(void **state)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE};
	pid_t child;

	(void)state;
	floor_in_proc(&spec, true);
	if (getuid() != 0)
		return;
	child = fork();
	if (child == 0) {
		struct cage_order order = order_here(&spec);
		char missing[CAGE_MISSING_BYTES], why[256];

		order.is_user = true;
		if (cage_enter(&spec, &order, missing, why, sizeof(why)))
			_exit(1);
		order.is_user = false;
		if (!cage_become(&spec, &order, why, sizeof(why)) || setuid(0) == 0 || open("/etc/shadow", O_RDONLY | O_CLOEXEC) != -1)
			_exit(2);
		_exit(0);
	}
	assert_int_equal(child_status(child), 0);
	printf("ROW L06 user-first pass\n");
}

/* ---- extras ---- */

/* The child's exit status says which part of the expectation did not hold. */
static int enter_with(const char *require, unsigned kernel, const char *expect_missing, const char *expect_why)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE};
	pid_t child = fork();

	if (child == 0) {
		struct cage_order order = order_here(&spec);
		char missing[CAGE_MISSING_BYTES], why[256];
		bool entered;

		order.require = require;
		order.kernel = kernel;
		entered = cage_enter(&spec, &order, missing, why, sizeof(why));
		if (expect_why != NULL)
			_exit(entered || strstr(why, expect_why) == NULL);
		if (!entered)
			_exit(2);
		_exit(expect_missing != NULL && strcmp(missing, expect_missing) != 0 ? 3 : 0);
	}
	return child_status(child);
}

static void test_kernel_6_1(void **state)
{
	(void)state;
	assert_int_equal(enter_with("", 61, landlock_abi() > 0 ? "mdwe scopes passrights" : "landlock mdwe scopes passrights", NULL),
			 0);
	printf("ROW A1 kernel-6.1-enters pass\n");
	assert_int_equal(enter_with("passrights", 61, NULL, "sandbox_require names passrights"), 0);
	assert_int_equal(enter_with("landlock mdwe", 61, NULL, "sandbox_require names mdwe"), 0);
	printf("ROW A1 required-extra-refuses pass\n");
}

static void test_this_kernel(void **state)
{
	(void)state;
	assert_int_equal(enter_with("", 0, NULL, NULL), 0);
}

static void test_no_entry(void **state)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE, .chroot = true};
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct cage_order order = order_here(&spec);
		char missing[CAGE_MISSING_BYTES], why[256];

		order.as_root = true; /* whoever we are: uid 0 is refused, and so is a missing folder */
		order.uid = 0;
		_exit(cage_enter(&spec, &order, missing, why, sizeof(why)) ? 1 : 0);
	}
	assert_int_equal(child_status(child), 0);
	printf("ROW L06 uid-0-is-refused pass\n");
}

static void test_parent_gone(void **state)
{
	static const struct cage_spec spec = {.calls = CALLS_BASE};
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct cage_order order = order_here(&spec);
		char missing[CAGE_MISSING_BYTES], why[256];

		order.parent = 1 << 22;
		_exit(cage_enter(&spec, &order, missing, why, sizeof(why)) ? 1 : 0);
	}
	assert_int_equal(child_status(child), 0);
	printf("ROW C10 parent-compared pass\n");
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(folder_fd, "inside", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd == -1 || (getuid() == 0 && (fchown(folder_fd, OUR_UID, OUR_GID) == -1 || fchmod(folder_fd, 0755) == -1)))
		return -1;
	close(fd);
	outside_fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	return outside_fd == -1 ? -1 : 0;
}

static int clean_up(void **state)
{
	(void)state;
	unlinkat(folder_fd, "inside", 0);
	close(folder_fd);
	close(outside_fd);
	return rmdir(folder);
}

/* Every call that changes an id, every argument of it: 1 << 32 is above each bound, and root once the kernel has cut it. */
static void test_ids_beyond_32_bits(void **state)
{
	static const struct {
		const char *name;
		long call;
		unsigned args;
	} calls[] = {
		{"setuid", SYS_setuid, 1},     {"setreuid", SYS_setreuid, 2}, {"setresuid", SYS_setresuid, 3}, {"setfsuid", SYS_setfsuid, 1},
		{"setgid", SYS_setgid, 1},     {"setregid", SYS_setregid, 2}, {"setresgid", SYS_setresgid, 3}, {"setfsgid", SYS_setfsgid, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		for (unsigned arg = 0; arg < calls[i].args; arg++) {
			unsigned long args[3] = {1500, 1500, 1500};
			pid_t child = fork();
			int status = 0;

			args[arg] = 1ul << 32;
			if (child == 0) {
				char why[200];

				if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !filter_load(CALLS_BECOME | CALLS_PROGRAMS, 1000, why, sizeof(why)))
					_exit(77);
				_exit(syscall(calls[i].call, args[0], args[1], args[2]) == 0 ? 1 : 2);
			}
			assert_int_equal(waitpid(child, &status, 0), child);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
				fail_msg("%s, argument %u: %x", calls[i].name, arg, (unsigned)status);
		}
	printf("ROW L06 program-ids-beyond-32-bits pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_beyond_32_bits),
		cmocka_unit_test(test_attempts),  cmocka_unit_test(test_all_descriptors),
		cmocka_unit_test(test_floor_in_proc), cmocka_unit_test(test_user_first), cmocka_unit_test(test_kernel_6_1),
		cmocka_unit_test(test_this_kernel), cmocka_unit_test(test_no_entry),	cmocka_unit_test(test_parent_gone),
	};

	return cmocka_run_group_tests(tests, set_up, clean_up);
}
