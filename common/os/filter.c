#include "os/filter.h"

#include "base/mem.h"
#include "base/sanitizer.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The system calls, as tables: a row allows one call for the sets named in its first column, if its conditions on arguments
 * hold.  A call with no row kills the process.  Rows with an errno are probes that libc and libraries make on their own; they
 * are answered, not obeyed.
 *
 * Pointers cannot be looked behind: calls whose meaning lies in memory (openat2, clone3) are allowed whole or not at all.
 */
#define ANY_ROLE 0u
#define FILES_ANY (CALLS_FILES | CALLS_FILES_READ)
#define CHILDREN (CALLS_FORK | CALLS_BECOME)
#define SOCKETS_ANY (CALLS_SOCKETS | CALLS_DATAGRAM)


struct plain_row {
	unsigned sets; /* ANY_ROLE, or one of these is enough */
	int call;
};

static const struct plain_row plain_rows[] = {
	/* what is open already */
	{ANY_ROLE, SCMP_SYS(read)},
	{ANY_ROLE, SCMP_SYS(readv)},
	{ANY_ROLE, SCMP_SYS(pread64)},
	{ANY_ROLE, SCMP_SYS(preadv)},
	{ANY_ROLE, SCMP_SYS(write)},
	{ANY_ROLE, SCMP_SYS(writev)},
	{ANY_ROLE, SCMP_SYS(pwrite64)},
	{ANY_ROLE, SCMP_SYS(pwritev)},
	{ANY_ROLE, SCMP_SYS(lseek)},
	{ANY_ROLE, SCMP_SYS(recvfrom)},
	{ANY_ROLE, SCMP_SYS(recvmsg)},
	{ANY_ROLE, SCMP_SYS(recvmmsg)},
	{ANY_ROLE, SCMP_SYS(sendto)},
	{ANY_ROLE, SCMP_SYS(sendmsg)},
	{ANY_ROLE, SCMP_SYS(sendmmsg)},
	{ANY_ROLE, SCMP_SYS(shutdown)},
	{ANY_ROLE, SCMP_SYS(close)},
	{ANY_ROLE, SCMP_SYS(close_range)},
	{ANY_ROLE, SCMP_SYS(dup)},
	{ANY_ROLE, SCMP_SYS(fstat)},
	{ANY_ROLE, SCMP_SYS(getsockopt)},
	{ANY_ROLE, SCMP_SYS(getsockname)},
	{ANY_ROLE, SCMP_SYS(getpeername)},
	/* waiting */
	{ANY_ROLE, SCMP_SYS(epoll_create1)},
	{ANY_ROLE, SCMP_SYS(epoll_ctl)},
	{ANY_ROLE, SCMP_SYS(epoll_wait)},
	{ANY_ROLE, SCMP_SYS(epoll_pwait)},
	{ANY_ROLE, SCMP_SYS(epoll_pwait2)},
	{ANY_ROLE, SCMP_SYS(poll)},
	{ANY_ROLE, SCMP_SYS(ppoll)},
	{ANY_ROLE, SCMP_SYS(select)},
	{ANY_ROLE, SCMP_SYS(pselect6)},
	{ANY_ROLE, SCMP_SYS(eventfd2)},
	{ANY_ROLE, SCMP_SYS(pipe2)},
	{ANY_ROLE, SCMP_SYS(timerfd_create)},
	{ANY_ROLE, SCMP_SYS(timerfd_settime)},
	{ANY_ROLE, SCMP_SYS(setitimer)},
	{ANY_ROLE, SCMP_SYS(alarm)},
	{ANY_ROLE, SCMP_SYS(pause)},
	{ANY_ROLE, SCMP_SYS(nanosleep)},
	{ANY_ROLE, SCMP_SYS(clock_nanosleep)},
	{ANY_ROLE, SCMP_SYS(futex)},
	{ANY_ROLE, SCMP_SYS(restart_syscall)},
	{ANY_ROLE, SCMP_SYS(sched_yield)},
	/* memory */
	{ANY_ROLE, SCMP_SYS(brk)},
	{ANY_ROLE, SCMP_SYS(munmap)},
	{ANY_ROLE, SCMP_SYS(mremap)},
	{ANY_ROLE, SCMP_SYS(madvise)},
	{ANY_ROLE, SCMP_SYS(mlock)},
	{ANY_ROLE, SCMP_SYS(mlock2)},
	{ANY_ROLE, SCMP_SYS(munlock)},
	/* time, chance, oneself */
	{ANY_ROLE, SCMP_SYS(clock_gettime)},
	{ANY_ROLE, SCMP_SYS(clock_getres)},
	{ANY_ROLE, SCMP_SYS(gettimeofday)},
	{ANY_ROLE, SCMP_SYS(time)},
	{ANY_ROLE, SCMP_SYS(times)},
	{ANY_ROLE, SCMP_SYS(getrandom)},
	{ANY_ROLE, SCMP_SYS(getpid)},
	{ANY_ROLE, SCMP_SYS(getppid)},
	{ANY_ROLE, SCMP_SYS(gettid)},
	{ANY_ROLE, SCMP_SYS(getuid)},
	{ANY_ROLE, SCMP_SYS(geteuid)},
	{ANY_ROLE, SCMP_SYS(getgid)},
	{ANY_ROLE, SCMP_SYS(getegid)},
	{ANY_ROLE, SCMP_SYS(getresuid)},
	{ANY_ROLE, SCMP_SYS(getresgid)},
	{ANY_ROLE, SCMP_SYS(getgroups)},
	{ANY_ROLE, SCMP_SYS(getcpu)},
	{ANY_ROLE, SCMP_SYS(getrusage)},
	{ANY_ROLE, SCMP_SYS(getrlimit)},
	{ANY_ROLE, SCMP_SYS(sched_getaffinity)},
	{ANY_ROLE, SCMP_SYS(sysinfo)},
	{ANY_ROLE, SCMP_SYS(uname)},
	{ANY_ROLE, SCMP_SYS(umask)},
	{ANY_ROLE, SCMP_SYS(rseq)},
	{ANY_ROLE, SCMP_SYS(set_robust_list)},
	{ANY_ROLE, SCMP_SYS(set_tid_address)},
	{ANY_ROLE, SCMP_SYS(membarrier)},
	{ANY_ROLE, SCMP_SYS(rt_sigaction)},
	{ANY_ROLE, SCMP_SYS(rt_sigprocmask)},
	{ANY_ROLE, SCMP_SYS(rt_sigreturn)},
	{ANY_ROLE, SCMP_SYS(sigaltstack)},
	{ANY_ROLE, SCMP_SYS(exit)},
	{ANY_ROLE, SCMP_SYS(exit_group)},
	/* files, read */
	{FILES_ANY, SCMP_SYS(newfstatat)},
	{FILES_ANY, SCMP_SYS(statx)},
	{FILES_ANY, SCMP_SYS(stat)},
	{FILES_ANY, SCMP_SYS(lstat)},
	{FILES_ANY, SCMP_SYS(access)},
	{FILES_ANY, SCMP_SYS(faccessat)},
	{FILES_ANY, SCMP_SYS(faccessat2)},
	{FILES_ANY, SCMP_SYS(readlink)},
	{FILES_ANY, SCMP_SYS(readlinkat)},
	{FILES_ANY, SCMP_SYS(getdents64)},
	{FILES_ANY, SCMP_SYS(getcwd)},
	{FILES_ANY, SCMP_SYS(fstatfs)},
	{FILES_ANY, SCMP_SYS(statfs)},
	{FILES_ANY, SCMP_SYS(fadvise64)},
	{FILES_ANY, SCMP_SYS(memfd_create)},
	/* files, all */
	{CALLS_FILES, SCMP_SYS(openat2)},
	{CALLS_FILES, SCMP_SYS(mkdir)},
	{CALLS_FILES, SCMP_SYS(mkdirat)},
	{CALLS_FILES, SCMP_SYS(rmdir)},
	{CALLS_FILES, SCMP_SYS(unlink)},
	{CALLS_FILES, SCMP_SYS(unlinkat)},
	{CALLS_FILES, SCMP_SYS(rename)},
	{CALLS_FILES, SCMP_SYS(renameat)},
	{CALLS_FILES, SCMP_SYS(renameat2)},
	{CALLS_FILES, SCMP_SYS(link)},
	{CALLS_FILES, SCMP_SYS(linkat)},
	{CALLS_FILES, SCMP_SYS(ftruncate)},
	{CALLS_FILES, SCMP_SYS(fallocate)},
	{CALLS_FILES, SCMP_SYS(fsync)},
	{CALLS_FILES, SCMP_SYS(fdatasync)},
	{CALLS_FILES, SCMP_SYS(sync_file_range)},
	{CALLS_FILES, SCMP_SYS(syncfs)},
	{CALLS_FILES, SCMP_SYS(msync)},
	{CALLS_FILES, SCMP_SYS(sendfile)},
	{CALLS_FILES, SCMP_SYS(copy_file_range)},
	{CALLS_LOCKS, SCMP_SYS(flock)},
	/* sockets */
	{SOCKETS_ANY, SCMP_SYS(connect)},
	{CALLS_SOCKETS, SCMP_SYS(bind)},
	{CALLS_ACCEPT, SCMP_SYS(accept)},
	{CALLS_ACCEPT, SCMP_SYS(accept4)},
	/* children, and what a child needs to become less */
	{CHILDREN, SCMP_SYS(wait4)},
	{CHILDREN, SCMP_SYS(waitid)},
	{CHILDREN, SCMP_SYS(seccomp)},
	{CALLS_MODULES, SCMP_SYS(pipe)},
	{CALLS_BECOME, SCMP_SYS(kill)},
	{CALLS_BECOME, SCMP_SYS(setgroups)},
	{CALLS_BECOME, SCMP_SYS(capget)},
	{CALLS_BECOME, SCMP_SYS(capset)},
	{CALLS_BECOME, SCMP_SYS(fchdir)},
	{CALLS_BECOME, SCMP_SYS(setrlimit)},
	{CALLS_BECOME, SCMP_SYS(prlimit64)},
	{CALLS_BECOME, SCMP_SYS(prctl)},
	{CALLS_BECOME, SCMP_SYS(landlock_create_ruleset)},
	{CALLS_BECOME, SCMP_SYS(landlock_add_rule)},
	{CALLS_BECOME, SCMP_SYS(landlock_restrict_self)},
};

struct argument_row {
	unsigned sets;
	unsigned not_sets; /* and none of these: a wider row speaks there */
	int call;
	int err; /* 0: allowed; else answered with this errno */
	unsigned count;
	struct scmp_arg_cmp args[3];
};

/* For int arguments, of which the kernel looks at 32 bits. */
#define IS(n, value) {(n), SCMP_CMP_MASKED_EQ, 0xffffffffu, (scmp_datum_t)(value)}
#define AT_LEAST(n, value) {(n), SCMP_CMP_GE, (scmp_datum_t)(value), 0}
#define ABOVE(n, value) {(n), SCMP_CMP_GT, (scmp_datum_t)(value), 0}
#define MASKED(n, mask, value) {(n), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(value)}
#define ALLOW_IF_1(sets, name, a) {(sets), 0, SCMP_SYS(name), 0, 1, {a}}
#define ALLOW_IF_2(sets, name, a, b) {(sets), 0, SCMP_SYS(name), 0, 2, {a, b}}
#define ANSWER(sets, not_sets, name, err) {(sets), (not_sets), SCMP_SYS(name), (err), 0, {IS(0, 0)}}

#define OPEN_CHANGES ((unsigned)O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define CLONE_NAMESPACES                                                                                \
	(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP)
#define CLONE_OF_THREAD (CLONE_VM | CLONE_THREAD)
/* prlimit64 that only reads passes no new limit. */
#define NO_NEW_LIMIT {2, SCMP_CMP_EQ, 0, 0}

static const struct argument_row argument_rows[] = {
	/* never a page that can be executed; but libraries are loaded with modules, never from memory that was written to */
	ALLOW_IF_1(ANY_ROLE, mmap, MASKED(2, PROT_EXEC, 0)),
	ALLOW_IF_1(ANY_ROLE, mprotect, MASKED(2, PROT_EXEC, 0)),
	ALLOW_IF_1(CALLS_MODULES, mmap, MASKED(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)),

	ALLOW_IF_1(ANY_ROLE, fcntl, IS(1, F_GETFD)),
	ALLOW_IF_1(ANY_ROLE, fcntl, IS(1, F_SETFD)),
	ALLOW_IF_1(ANY_ROLE, fcntl, IS(1, F_GETFL)),
	ALLOW_IF_1(ANY_ROLE, fcntl, IS(1, F_SETFL)),
	ALLOW_IF_1(ANY_ROLE, fcntl, IS(1, F_DUPFD_CLOEXEC)),
	ALLOW_IF_1(ANY_ROLE, fcntl, IS(1, F_GET_SEALS)),
	ALLOW_IF_1(FILES_ANY, fcntl, IS(1, F_ADD_SEALS)),
	ALLOW_IF_1(CALLS_LEASE, fcntl, IS(1, F_SETLEASE)),
	ALLOW_IF_1(CALLS_LEASE, fcntl, IS(1, F_GETLEASE)),
	ALLOW_IF_1(CALLS_LOCKS, fcntl, IS(1, F_GETLK)),
	ALLOW_IF_1(CALLS_LOCKS, fcntl, IS(1, F_SETLK)),
	ALLOW_IF_1(CALLS_LOCKS, fcntl, IS(1, F_SETLKW)),
	ALLOW_IF_1(CALLS_LOCKS, fcntl, IS(1, F_OFD_GETLK)),
	ALLOW_IF_1(CALLS_LOCKS, fcntl, IS(1, F_OFD_SETLK)),
	ALLOW_IF_1(CALLS_LOCKS, fcntl, IS(1, F_OFD_SETLKW)),

	ALLOW_IF_1(ANY_ROLE, ioctl, IS(1, FIONREAD)),
	ALLOW_IF_1(ANY_ROLE, ioctl, IS(1, FIONBIO)),
	{ANY_ROLE, 0, SCMP_SYS(ioctl), ENOTTY, 1, {IS(1, TCGETS)}},

	ALLOW_IF_1(ANY_ROLE, setsockopt, IS(1, SOL_SOCKET)),
	ALLOW_IF_1(ANY_ROLE, setsockopt, IS(1, IPPROTO_TCP)),
	ALLOW_IF_1(CALLS_SOCKETS, setsockopt, IS(1, IPPROTO_IP)),
	ALLOW_IF_1(CALLS_SOCKETS, setsockopt, IS(1, IPPROTO_IPV6)),
	ALLOW_IF_1(ANY_ROLE, socketpair, IS(0, AF_UNIX)),
	ALLOW_IF_1(CALLS_SOCKETS, socket, IS(0, AF_INET)),
	ALLOW_IF_1(CALLS_SOCKETS, socket, IS(0, AF_INET6)),
	ALLOW_IF_1(SOCKETS_ANY, socket, IS(0, AF_UNIX)),
	{SOCKETS_ANY, 0, SCMP_SYS(socket), EAFNOSUPPORT, 1, {IS(0, AF_NETLINK)}},
	/* A module that would run a helper (pam_unix, where it may not read the hashes) has a child that cannot, and says so. */
	ANSWER(CALLS_MODULES, 0, dup2, EPERM),
	ANSWER(CALLS_MODULES, 0, execve, EPERM),

	ALLOW_IF_1(ANY_ROLE, prctl, IS(0, PR_GET_NAME)),
	ALLOW_IF_1(ANY_ROLE, prctl, IS(0, PR_SET_NAME)),
	ALLOW_IF_1(ANY_ROLE, prctl, IS(0, PR_GET_DUMPABLE)),
	ALLOW_IF_2(CALLS_FORK, prctl, IS(0, PR_SET_PDEATHSIG), IS(1, SIGKILL)),
	ALLOW_IF_1(ANY_ROLE, prlimit64, NO_NEW_LIMIT),
	/* a child's own time; limits of others are a matter of capabilities */
	ALLOW_IF_2(CALLS_FORK, prlimit64, IS(0, 0), IS(1, RLIMIT_CPU)),
	ALLOW_IF_2(CALLS_FORK, prlimit64, IS(0, 0), IS(1, RLIMIT_NPROC)),

	/* stat of a descriptor, as libc spells fstat; a name is not looked at */
	ALLOW_IF_1(ANY_ROLE, newfstatat, MASKED(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	ALLOW_IF_1(ANY_ROLE, statx, MASKED(2, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	{ANY_ROLE, FILES_ANY, SCMP_SYS(newfstatat), EACCES, 1, {MASKED(3, AT_EMPTY_PATH, 0)}},
	{ANY_ROLE, FILES_ANY, SCMP_SYS(statx), EACCES, 1, {MASKED(2, AT_EMPTY_PATH, 0)}},
	ANSWER(ANY_ROLE, FILES_ANY, access, EACCES),
	ANSWER(ANY_ROLE, FILES_ANY, faccessat2, EACCES),
	ANSWER(ANY_ROLE, FILES_ANY, readlink, EACCES),
	ANSWER(ANY_ROLE, FILES_ANY, readlinkat, EACCES),

	/* opening to read is what libraries try unasked (time zones, locales); to change is an attack */
	{FILES_ANY, CALLS_FILES, SCMP_SYS(openat), 0, 1, {MASKED(2, OPEN_CHANGES, 0)}},
	{ANY_ROLE, FILES_ANY, SCMP_SYS(openat), EACCES, 1, {MASKED(2, OPEN_CHANGES, 0)}},
	ANSWER(CALLS_FILES_READ, CALLS_FILES, openat2, ENOSYS),
	/* O_PATH beside O_CREAT and the like changes nothing: the row is for all flags */
	{CALLS_FILES, 0, SCMP_SYS(openat), 0, 0, {IS(0, 0)}},
	{CALLS_FILES, 0, SCMP_SYS(fchmod), 0, 1, {MASKED(1, 07000, 0)}},
	ANSWER(CALLS_FILES, 0, fchown, EPERM),

	ALLOW_IF_1(CALLS_THREADS, clone, MASKED(0, CLONE_OF_THREAD | CLONE_NAMESPACES, CLONE_OF_THREAD)),
	ALLOW_IF_1(CHILDREN, clone, MASKED(0, CLONE_OF_THREAD | CLONE_NAMESPACES, 0)),
	ANSWER(ANY_ROLE, 0, clone3, ENOSYS),
};

/* What AddressSanitizer and the leak check at the end of a test need. */
static const int asan_calls[] = {
	SCMP_SYS(ptrace), SCMP_SYS(wait4),   SCMP_SYS(clone),	  SCMP_SYS(prctl),	       SCMP_SYS(tgkill),
	SCMP_SYS(kill),	  SCMP_SYS(openat),  SCMP_SYS(readlink),  SCMP_SYS(process_vm_readv),  SCMP_SYS(getdents64),
	SCMP_SYS(mincore), SCMP_SYS(prlimit64), SCMP_SYS(personality), SCMP_SYS(sched_getparam),
};

static bool wanted(unsigned sets, unsigned not_sets, unsigned calls)
{
	return (sets == ANY_ROLE || (sets & calls) != 0) && (not_sets & calls) == 0;
}

static bool is_asan_call(int call)
{
	for (size_t i = 0; WITH_ASAN && i < ARRAY_LEN(asan_calls); i++)
		if (asan_calls[i] == call)
			return true;
	return false;
}

static bool is_plain(int call, unsigned calls)
{
	if (is_asan_call(call))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(plain_rows); i++)
		if (plain_rows[i].call == call && wanted(plain_rows[i].sets, 0, calls))
			return true;
	return false;
}

static int add_plain_rows(scmp_filter_ctx filter, unsigned calls)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < ARRAY_LEN(plain_rows); i++)
		if (wanted(plain_rows[i].sets, 0, calls) && !is_asan_call(plain_rows[i].call))
			err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_rows[i].call, 0);
	for (size_t i = 0; WITH_ASAN && err == 0 && i < ARRAY_LEN(asan_calls); i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, asan_calls[i], 0);
	return err;
}

static int add_argument_rows(scmp_filter_ctx filter, unsigned calls)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < ARRAY_LEN(argument_rows); i++) {
		const struct argument_row *row = &argument_rows[i];

		/* A call allowed whole needs no conditions, and libseccomp takes none beside. */
		if (!wanted(row->sets, row->not_sets, calls) || is_plain(row->call, calls))
			continue;
		err = seccomp_rule_add_array(filter, row->err == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint16_t)row->err),
					     row->call, row->count, row->args);
	}
	return err;
}

/* Every call that changes who a process is. */
static const struct {
	int call;
	unsigned args;
	bool is_group;
} id_calls[] = {
	{SCMP_SYS(setuid), 1, false},  {SCMP_SYS(setreuid), 2, false}, {SCMP_SYS(setresuid), 3, false}, {SCMP_SYS(setfsuid), 1, false},
	{SCMP_SYS(setgid), 1, true},   {SCMP_SYS(setregid), 2, true},  {SCMP_SYS(setresgid), 3, true},	 {SCMP_SYS(setfsgid), 1, true},
};

/* The kernel cuts ids to 32 bits before it looks: 1 << 32 is above every bound, and root.  A filter of its own, for libseccomp
 * compares an argument once in a rule; of two filters the stricter answer counts. */
static int load_id_guard(void)
{
	scmp_filter_ctx guard = seccomp_init(SCMP_ACT_ALLOW);
	int err = guard == NULL ? -ENOMEM : seccomp_attr_set(guard, SCMP_FLTATR_CTL_NNP, 0);

	for (size_t i = 0; i < ARRAY_LEN(id_calls); i++)
		for (unsigned arg = 0; err == 0 && arg < id_calls[i].args; arg++)
			err = seccomp_rule_add_array(guard, SCMP_ACT_KILL_PROCESS, id_calls[i].call, 1,
						     &(struct scmp_arg_cmp)ABOVE(arg, UINT32_MAX));
	if (err == 0)
		err = seccomp_load(guard);
	if (guard != NULL)
		seccomp_release(guard);
	return err;
}

static int add_own_rows(scmp_filter_ctx filter, unsigned calls, uid_t become_min)
{
	const struct scmp_arg_cmp users[] = {AT_LEAST(0, become_min), AT_LEAST(1, become_min), AT_LEAST(2, become_min)};
	const struct scmp_arg_cmp groups[] = {AT_LEAST(0, 1), AT_LEAST(1, 1), AT_LEAST(2, 1)};
	const struct scmp_arg_cmp root[] = {IS(0, 0), IS(1, 0), IS(2, 0)};
	const struct scmp_arg_cmp abort_self[] = {IS(0, getpid()), IS(2, SIGABRT)};
	int err = 0;

	/* abort() of ours must end as an abort, not as a forbidden call. */
	if (!WITH_ASAN)
		err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), ARRAY_LEN(abort_self), abort_self);
	if (err != 0 || (calls & CALLS_BECOME) == 0)
		return err;
	err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(setresuid), ARRAY_LEN(users), users);
	if (err == 0) /* a child's own proof that it cannot be root again */
		err = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setresuid), ARRAY_LEN(root), root);
	if (err == 0)
		err = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(setresgid), ARRAY_LEN(groups), groups);
	return err;
}

static int load(scmp_filter_ctx filter, unsigned calls, uid_t become_min)
{
	/* no_new_privs is set by the caller, whatever the filter. */
	int err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);

	/* strace -e inject skips a call by making its number -1. */
	if (err == 0)
		err = seccomp_attr_set(filter, SCMP_FLTATR_API_TSKIP, 1);
	if (err == 0)
		err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, -1, 0);
	if (err == 0)
		err = add_plain_rows(filter, calls);
	if (err == 0)
		err = add_argument_rows(filter, calls);
	if (err == 0)
		err = add_own_rows(filter, calls, become_min);
	return err == 0 ? seccomp_load(filter) : err;
}

/* ---- what programs of users may not ---- */

/* None of it is a program's business that mail is given to, and each has been a way out of a process.  Answered, so that it can say so. */
static const int denied_calls[] = {
	SCMP_SYS(ptrace),	 SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(kexec_load),	      SCMP_SYS(kexec_file_load),
	SCMP_SYS(init_module),	 SCMP_SYS(finit_module),     SCMP_SYS(delete_module),	  SCMP_SYS(mount),	      SCMP_SYS(umount2),
	SCMP_SYS(move_mount),	 SCMP_SYS(fsopen),	     SCMP_SYS(fsmount),		  SCMP_SYS(fsconfig),	      SCMP_SYS(fspick),
	SCMP_SYS(open_tree),	 SCMP_SYS(mount_setattr),    SCMP_SYS(pivot_root),	  SCMP_SYS(chroot),	      SCMP_SYS(swapon),
	SCMP_SYS(swapoff),	 SCMP_SYS(reboot),	     SCMP_SYS(acct),		  SCMP_SYS(bpf),	      SCMP_SYS(perf_event_open),
	SCMP_SYS(keyctl),	 SCMP_SYS(add_key),	     SCMP_SYS(request_key),	  SCMP_SYS(unshare),	      SCMP_SYS(setns),
	SCMP_SYS(userfaultfd),	 SCMP_SYS(io_uring_setup),   SCMP_SYS(io_uring_enter),	  SCMP_SYS(io_uring_register), SCMP_SYS(clock_settime),
	SCMP_SYS(settimeofday), SCMP_SYS(quotactl),	     SCMP_SYS(sethostname),	  SCMP_SYS(setdomainname),    SCMP_SYS(open_by_handle_at),
};

static int deny_ids(scmp_filter_ctx filter, uid_t become_min)
{
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(id_calls); i++)
		for (unsigned arg = 0; err == 0 && arg < id_calls[i].args; arg++) {
			const struct scmp_arg_cmp below = {arg, SCMP_CMP_LT, id_calls[i].is_group ? 1 : become_min, 0};

			err = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), id_calls[i].call, 1, &below);
		}
	return err;
}

static int deny_namespaces(scmp_filter_ctx filter)
{
	static const unsigned long flags[] = {CLONE_NEWNS,   CLONE_NEWUTS, CLONE_NEWIPC,    CLONE_NEWUSER,
					      CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
	/* its flags lie in memory: libc falls back to clone */
	int err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	for (size_t i = 0; err == 0 && i < ARRAY_LEN(flags); i++)
		err = seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
					     &(struct scmp_arg_cmp)MASKED(0, flags[i], flags[i]));
	return err;
}

static int load_deny_list(uid_t become_min)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int err = filter == NULL ? -ENOMEM : seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);

	for (size_t i = 0; err == 0 && i < ARRAY_LEN(denied_calls); i++)
		if (!is_asan_call(denied_calls[i]))
			err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied_calls[i], 0);
	if (err == 0)
		err = deny_namespaces(filter);
	if (err == 0)
		err = deny_ids(filter, become_min);
	if (err == 0)
		err = seccomp_load(filter);
	if (filter != NULL)
		seccomp_release(filter);
	return err;
}

static bool tell_filter(int err, char *why, size_t why_size)
{
	if (err != 0)
		snprintf(why, why_size, "cannot load the system call filter: %s", strerror(-err));
	return err == 0;
}

bool filter_load(unsigned calls, uid_t become_min, char *why, size_t why_size)
{
	scmp_filter_ctx filter;
	int err;

	if ((calls & CALLS_PROGRAMS) != 0) {
		err = load_id_guard();
		return tell_filter(err == 0 ? load_deny_list(become_min > 0 ? become_min : 1) : err, why, why_size);
	}
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	err = filter == NULL ? -ENOMEM : 0;
	if (err == 0 && (calls & CALLS_BECOME) != 0)
		err = load_id_guard();
	if (err == 0)
		err = load(filter, calls, become_min > 0 ? become_min : 1);

	if (filter != NULL)
		seccomp_release(filter);
	return tell_filter(err, why, why_size);
}
