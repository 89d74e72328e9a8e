/*
 * Makes a live process do what somebody would who had taken it over, and prints what became of each deed:
 *
 *	owned PID OTHER MASTER KEY SPOOL FOLDER      one line a deed: its name, and yes | killed | an errno
 *	owned --really PID NUMBER                    that system call, without arguments, in earnest
 *
 * OTHER and MASTER are pids of the same suite, KEY and SPOOL a private key and a file of the spool, FOLDER one that all may
 * write to.  A call that its filter would kill it for is not made: the filter is read out of the kernel and asked.  What the
 * filter lets pass is done, but for deeds that would end the process or the machine; those count as done ("yes").
 */
#include "owned_filter.h"
#include "owned_puppet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum what {
	NUMBER,
	TEXT,
	THE_OTHER,
	THE_MASTER,
	THE_KEY,
	THE_SPOOL,
	A_VICTIM, /* a file of root's that is there */
	A_NEW_NAME, /* a name that is not there, in a folder that all may write to */
	AN_ADDRESS, /* of a TCP port on loopback */
	A_SOCKET_NAME, /* of a Unix socket that is not ours */
	HOW_TO_OPEN, /* struct open_how, to read */
	ZEROES, /* room of 64 bytes */
	THE_SOCKET, /* what the last deed gave, or descriptor -1 */
};

struct arg {
	enum what what;
	long number;
	const char *text;
};

#define N(n) {NUMBER, (long)(n), NULL}
#define T(text) {TEXT, 0, text}
#define A(what) {what, 0, NULL}

enum then { DO_IT, ONLY_ASK, DO_AND_CLOSE, DO_AND_KEEP };

struct deed {
	const char *name;
	long call;
	enum then then;
	struct arg args[6];
};

static const struct deed deeds[] = {
	/* files */
	{"read-shadow", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), T("/etc/shadow"), N(O_RDONLY)}},
	{"read-passwd", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), T("/etc/passwd"), N(O_RDONLY)}},
	{"read-key", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), A(THE_KEY), N(O_RDONLY)}},
	{"read-spool", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), A(THE_SPOOL), N(O_RDONLY)}},
	{"read-above", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), T("../../../../../../../../etc/passwd"), N(O_RDONLY)}},
	{"read-openat2", SYS_openat2, DO_AND_CLOSE, {N(AT_FDCWD), T("/etc/passwd"), A(HOW_TO_OPEN), N(sizeof(struct open_how))}},
	{"read-old-open", SYS_open, DO_AND_CLOSE, {T("/etc/passwd"), N(O_RDONLY)}},
	{"list-root", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), T("/"), N(O_RDONLY | O_DIRECTORY)}},
	{"read-memory-of-other", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), T("/proc/1/mem"), N(O_RDONLY)}},
	{"write-passwd", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), T("/etc/passwd"), N(O_WRONLY)}},
	{"write-cron", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), T("/etc/cron.d/owned"), N(O_WRONLY | O_CREAT | O_EXCL), N(0600)}},
	{"write-anywhere", SYS_openat, DO_AND_CLOSE, {N(AT_FDCWD), A(A_NEW_NAME), N(O_WRONLY | O_CREAT | O_EXCL), N(0600)}},
	{"make-folder", SYS_mkdirat, DO_IT, {N(AT_FDCWD), A(A_NEW_NAME), N(0700)}},
	{"remove", SYS_unlinkat, DO_IT, {N(AT_FDCWD), A(A_VICTIM), N(0)}},
	{"rename", SYS_renameat2, DO_IT, {N(AT_FDCWD), A(A_VICTIM), N(AT_FDCWD), A(A_NEW_NAME), N(0)}},
	{"link", SYS_linkat, DO_IT, {N(AT_FDCWD), A(A_VICTIM), N(AT_FDCWD), A(A_NEW_NAME), N(0)}},
	{"symlink", SYS_symlinkat, DO_IT, {T("/etc/passwd"), N(AT_FDCWD), A(A_NEW_NAME)}},
	{"make-device", SYS_mknodat, DO_IT, {N(AT_FDCWD), A(A_NEW_NAME), N(0020600), N(0x101)}},
	{"change-mode", SYS_fchmodat, DO_IT, {N(AT_FDCWD), A(A_VICTIM), N(0777)}},
	{"change-owner", SYS_fchownat, DO_IT, {N(AT_FDCWD), A(A_VICTIM), N(0), N(0), N(0)}},
	{"truncate", SYS_truncate, DO_IT, {A(A_VICTIM), N(0)}},
	{"change-root", SYS_chroot, DO_IT, {T("/")}},
	{"mount", SYS_mount, ONLY_ASK, {T("none"), T("/"), T("tmpfs")}},
	{"memory-file", SYS_memfd_create, DO_AND_CLOSE, {T("owned"), N(MFD_CLOEXEC)}},
	{"open-by-handle", SYS_open_by_handle_at, DO_IT, {N(0), A(ZEROES), N(0)}},
	{"watch-files", SYS_inotify_init1, DO_AND_CLOSE, {N(0)}},
	/* network */
	{"socket-unix", SYS_socket, DO_AND_KEEP, {N(AF_UNIX), N(SOCK_STREAM)}},
	{"connect-unix", SYS_connect, DO_AND_CLOSE, {A(THE_SOCKET), A(A_SOCKET_NAME), N(sizeof(struct sockaddr_un))}},
	{"socket-inet", SYS_socket, DO_AND_KEEP, {N(AF_INET), N(SOCK_STREAM)}},
	{"connect-loopback", SYS_connect, DO_AND_CLOSE, {A(THE_SOCKET), A(AN_ADDRESS), N(sizeof(struct sockaddr_in))}},
	{"socket-inet6", SYS_socket, DO_AND_KEEP, {N(AF_INET6), N(SOCK_STREAM)}},
	{"listen", SYS_listen, DO_AND_CLOSE, {A(THE_SOCKET), N(1)}},
	{"socket-netlink", SYS_socket, DO_AND_CLOSE, {N(AF_NETLINK), N(SOCK_RAW)}},
	{"socket-packet", SYS_socket, DO_AND_CLOSE, {N(AF_PACKET), N(SOCK_RAW)}},
	/* programs and processes */
	{"run", SYS_execve, ONLY_ASK, {T("/bin/true")}},
	{"run-at", SYS_execveat, ONLY_ASK, {N(AT_FDCWD), T("/bin/true")}},
	{"fork", SYS_clone, ONLY_ASK, {N(SIGCHLD)}},
	{"old-fork", SYS_fork, ONLY_ASK, {N(0)}},
	{"thread", SYS_clone, ONLY_ASK, {N(CLONE_VM | CLONE_THREAD | CLONE_SIGHAND)}},
	{"new-namespace", SYS_unshare, DO_IT, {N(CLONE_NEWUSER)}},
	{"clone-namespace", SYS_clone, ONLY_ASK, {N(CLONE_NEWUSER | SIGCHLD)}},
	{"join-namespace", SYS_setns, DO_IT, {N(-1), N(0)}},
	{"signal-master", SYS_kill, DO_IT, {A(THE_MASTER), N(0)}},
	{"signal-other", SYS_kill, DO_IT, {A(THE_OTHER), N(0)}},
	{"signal-thread", SYS_tgkill, DO_IT, {A(THE_OTHER), A(THE_OTHER), N(0)}},
	{"signal-by-descriptor", SYS_pidfd_open, DO_AND_CLOSE, {A(THE_OTHER), N(0)}},
	{"trace", SYS_ptrace, ONLY_ASK, {N(PTRACE_ATTACH), A(THE_OTHER)}},
	{"read-memory", SYS_process_vm_readv, DO_IT, {A(THE_OTHER), A(ZEROES), N(0), A(ZEROES), N(0), N(0)}},
	{"take-descriptor", SYS_pidfd_getfd, DO_IT, {N(-1), N(0), N(0)}},
	{"limits-of-other", SYS_prlimit64, DO_IT, {A(THE_OTHER), N(7), A(ZEROES), N(0)}},
	{"share-memory", SYS_shmget, ONLY_ASK, {N(0), N(4096), N(0600)}},
	/* rights */
	{"become-root", SYS_setuid, DO_IT, {N(0)}},
	{"become-root-whole", SYS_setresuid, DO_IT, {N(0), N(0), N(0)}},
	{"become-root-by-cut", SYS_setresuid, ONLY_ASK, {N(0x100000000), N(0x100000000), N(0x100000000)}},
	{"become-daemon", SYS_setresuid, ONLY_ASK, {N(1), N(1), N(1)}},
	{"become-user", SYS_setresuid, ONLY_ASK, {N(60001), N(60001), N(60001)}},
	{"groups", SYS_setgroups, ONLY_ASK, {N(0), N(0)}},
	{"capabilities", SYS_capset, ONLY_ASK, {A(ZEROES), A(ZEROES)}},
	{"be-dumpable", SYS_prctl, ONLY_ASK, {N(PR_SET_DUMPABLE), N(1)}},
	{"outlive-master", SYS_prctl, ONLY_ASK, {N(PR_SET_PDEATHSIG), N(0)}},
	{"run-memory", SYS_mmap, DO_IT, {N(0), N(4096), N(PROT_READ | PROT_WRITE | PROT_EXEC), N(MAP_PRIVATE | MAP_ANONYMOUS), N(-1), N(0)}},
	{"make-runnable", SYS_mprotect, DO_IT, {A(ZEROES), N(0), N(PROT_READ | PROT_EXEC)}},
	{"other-personality", SYS_personality, DO_IT, {N(0xffffffff)}},
	/* doors of the kernel */
	{"ring", SYS_io_uring_setup, DO_IT, {N(1), A(ZEROES)}},
	{"filter-programs", SYS_bpf, DO_IT, {N(0), A(ZEROES), N(0)}},
	{"counters", SYS_perf_event_open, DO_IT, {A(ZEROES), N(0), N(-1), N(-1), N(0)}},
	{"page-faults", SYS_userfaultfd, DO_AND_CLOSE, {N(0)}},
	{"key-ring", SYS_keyctl, DO_IT, {N(0), N(-3), N(0)}},
	{"modules", SYS_init_module, ONLY_ASK, {A(ZEROES), N(0), A(ZEROES)}},
	{"reboot", SYS_reboot, ONLY_ASK, {N(0)}},
	{"set-clock", SYS_clock_settime, ONLY_ASK, {N(0), A(ZEROES)}},
	{"host-name", SYS_sethostname, ONLY_ASK, {A(ZEROES), N(1)}},
	{"terminal-input", SYS_ioctl, DO_IT, {N(0), N(0x5412), A(ZEROES)}},
};

struct scene {
	struct puppet puppet;
	struct owned_filters filters;
	long other, master, kept;
	const char *key, *spool, *folder;
	size_t used; /* of the puppet's space */
};

static unsigned long put(struct scene *s, const void *bytes, size_t len)
{
	unsigned long at = puppet_put(&s->puppet, s->used, bytes, len);

	s->used += (len + 15) & ~15ul;
	return at;
}

static unsigned long put_text(struct scene *s, const char *text)
{
	return put(s, text, strlen(text) + 1);
}

static unsigned long put_path(struct scene *s, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", s->folder, name);
	return put_text(s, path);
}

static unsigned long put_address(struct scene *s)
{
	const struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(1), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return put(s, &a, sizeof(a));
}

static unsigned long put_socket_name(struct scene *s)
{
	const struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/owned-and-not-there"};

	return put(s, &a, sizeof(a));
}

static unsigned long value_of(struct scene *s, const struct deed *d, const struct arg *a)
{
	static const char zeroes[64];
	static const struct open_how how = {.flags = O_RDONLY};

	switch (a->what) {
	case NUMBER:
		return (unsigned long)a->number;
	case TEXT:
		return put_text(s, a->text);
	case THE_OTHER:
		return (unsigned long)s->other;
	case THE_MASTER:
		return (unsigned long)s->master;
	case THE_KEY:
		return put_text(s, s->key);
	case THE_SPOOL:
		return put_text(s, s->spool);
	case A_VICTIM:
		return put_path(s, "victim");
	case A_NEW_NAME:
		return put_path(s, d->name);
	case AN_ADDRESS:
		return put_address(s);
	case A_SOCKET_NAME:
		return put_socket_name(s);
	case HOW_TO_OPEN:
		return put(s, &how, sizeof(how));
	case ZEROES:
		return put(s, zeroes, sizeof(zeroes));
	case THE_SOCKET:
		return (unsigned long)s->kept;
	}
	return 0;
}

static const char *fate_of(long said)
{
	return said >= 0 || said < -4095 ? "yes" : strerrorname_np((int)-said);
}

static void close_in(struct scene *s, long fd)
{
	const unsigned long args[6] = {(unsigned long)fd};

	if (fd >= 0)
		puppet_call(&s->puppet, SYS_close, args);
}

static void act(struct scene *s, const struct deed *d, const unsigned long args[6])
{
	long said = puppet_call(&s->puppet, d->call, args);

	printf("%s %s\n", d->name, fate_of(said));
	if (d->then == DO_AND_CLOSE) {
		close_in(s, d->call == SYS_connect || d->call == SYS_listen ? s->kept : said);
		s->kept = -1;
	} else if (d->then == DO_AND_KEEP) {
		s->kept = said >= 0 ? said : -1;
	}
}

static void try(struct scene *s, const struct deed *d)
{
	struct seccomp_data call = {.nr = (int)d->call, .arch = AUDIT_ARCH_X86_64, .instruction_pointer = s->puppet.gate};
	unsigned long args[6];
	uint32_t verdict;

	s->used = 0;
	for (size_t i = 0; i < 6; i++) {
		args[i] = value_of(s, d, &d->args[i]);
		call.args[i] = args[i];
	}
	verdict = owned_filters_ask(&s->filters, &call);
	if (verdict == SECCOMP_RET_KILL_PROCESS)
		printf("%s killed\n", d->name);
	else if ((verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW && d->then == ONLY_ASK)
		printf("%s yes\n", d->name);
	else
		act(s, d, args);
}

static int really(pid_t pid, long number)
{
	static struct puppet p;

	puppet_hold(&p, pid);
	printf("%s\n", fate_of(puppet_call(&p, number, (const unsigned long[6]){0})));
	puppet_let_go(&p);
	return 0;
}

int main(int argc, char **argv)
{
	static struct scene s;
	int err;

	if (argc == 4 && strcmp(argv[1], "--really") == 0)
		return really((pid_t)strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10));
	if (argc != 7) {
		fprintf(stderr, "usage: owned PID OTHER MASTER KEY SPOOL FOLDER | owned --really PID NUMBER\n");
		return 64;
	}
	s.other = strtol(argv[2], NULL, 10);
	s.master = strtol(argv[3], NULL, 10);
	s.key = argv[4];
	s.spool = argv[5];
	s.folder = argv[6];
	s.kept = -1;
	puppet_hold(&s.puppet, (pid_t)strtol(argv[1], NULL, 10));
	err = owned_filters_read(s.puppet.pid, &s.filters);
	for (size_t i = 0; err == 0 && i < ARRAY_LEN(deeds); i++)
		try(&s, &deeds[i]);
	puppet_let_go(&s.puppet);
	if (err != 0)
		fprintf(stderr, "owned: this kernel does not tell a process's filters: %s\n", strerror(err));
	return err == 0 ? 0 : 69;
}
