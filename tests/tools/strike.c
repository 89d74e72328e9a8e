/*
 * strike PID [birth=PROGRAM] [thread=K] [calls=A,B,...] [about=files|others|all] [at=N]
 *	[do=kill|short|nothing|pretend|ERROR]
 *
 * Follows every thread of a process by ptrace(2) and counts its system calls; the N-th of those that were asked for is the last
 * thing that happens (kill: it is not done), or fails (it is not done either, but for close), or takes only a part of what it is
 * given (short), or is said to be done and is not (pretend).  Counted is from SIGUSR1 on.  With birth=, the process is
 * one that PID makes: from its first call, and without a signal.  An error is for calls on files and folders, with about=others for
 * all else that calls are about (sockets, memory, threads).  Ends with the process, or at SIGTERM, which lets it live.
 *
 * Told on stdout, a line each:
 *	attached THREADS
 *	counting           SIGUSR1 was heard: no call after this line is missed
 *	struck N THREAD CALL FILE
 *	unsure FILE        a sync that failed
 *	repeated FILE      a sync of what could not be synced before, and was not written again since
 *	gone               the process has ended
 *	counted THREAD N   the last lines
 */
#include "strike.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/ptrace.h>

#define THREADS_MAX 128
#define UNSURE_MAX 256
#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC)

struct thread {
	pid_t tid;
	long place;
	struct call call;
	bool is_targets; /* others are only let go on */
	bool replaced, shortened;
	struct iovec part, whole; /* of a vector that was shortened: put back when the call ends */
};

static struct order order = {.thread = -1, .at = 1, .deed = DEED_NOTHING};
static struct thread threads[THREADS_MAX];
static ino_t unsure[UNSURE_MAX];
static unsigned unsure_count;
static pid_t target; /* 0: not born yet */
static long places;
static uint64_t counted, counted_by[THREADS_MAX]; /* all; each place's part of it */
static bool counting, over;

static void tell(const char *what, const char *path)
{
	printf("%s %s\n", what, path);
	(void)fflush(stdout);
}

/* ---- threads ---- */

static struct thread *thread_find(pid_t tid)
{
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (threads[i].tid == tid)
			return &threads[i];
	return NULL;
}

static bool is_targets(pid_t tid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d", (int)target, (int)tid);
	return target != 0 && access(path, F_OK) == 0;
}

static struct thread *thread_add(pid_t tid)
{
	struct thread *t = thread_find(0);

	if (t == NULL) {
		fprintf(stderr, "strike: too many threads\n");
		exit(1);
	}
	*t = (struct thread){.tid = tid, .is_targets = is_targets(tid)};
	if (t->is_targets)
		t->place = places++;
	return t;
}

static void go_on(const struct thread *t, int signal)
{
	(void)ptrace(t->is_targets ? PTRACE_SYSCALL : PTRACE_CONT, t->tid, NULL, (void *)(intptr_t)signal);
}

static bool seize(pid_t tid)
{
	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)(intptr_t)OPTIONS) == -1)
		return false;
	return ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0;
}

static int tid_cmp(const void *a, const void *b)
{
	return *(const pid_t *)a < *(const pid_t *)b ? -1 : 1;
}

/* In the order of their making: a thread has the same place each time. */
static bool seize_all(pid_t pid)
{
	char path[64];
	pid_t tids[THREADS_MAX];
	size_t count = 0;
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir != NULL && count < THREADS_MAX && (entry = readdir(dir)) != NULL)
		if (atoi(entry->d_name) > 0)
			tids[count++] = atoi(entry->d_name);
	if (dir != NULL)
		closedir(dir);
	if (count > 1)
		qsort(tids, count, sizeof(tids[0]), tid_cmp);
	for (size_t i = 0; i < count; i++)
		if (!seize(tids[i]) || thread_add(tids[i]) == NULL)
			return false;
	return count > 0;
}

/* ---- syncs that failed ---- */

static ino_t file_number(const struct call *call)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)call->tid, (int)call->args[0]);
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_ino : 0;
}

static void watch_write(const struct call *call)
{
	ino_t number = file_number(call);

	for (unsigned i = 0; i < unsure_count; i++)
		if (unsure[i] == number)
			unsure[i] = 0;
}

static void watch_sync(const struct call *call, bool failed)
{
	ino_t number = file_number(call);
	char path[PATH_BYTES];

	call_path(call, path);
	for (unsigned i = 0; i < unsure_count && number != 0; i++)
		if (unsure[i] == number)
			tell("repeated", path);
	if (!failed || number == 0 || unsure_count == UNSURE_MAX)
		return;
	unsure[unsure_count++] = number;
	tell("unsure", path);
}

/* ---- one call ---- */

static bool change_registers(pid_t tid, void (*change)(struct user_regs_struct *regs, struct thread *t), struct thread *t)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs) == -1)
		return false;
	change(&regs, t);
	return ptrace(PTRACE_SETREGS, tid, NULL, &regs) == 0;
}

static void skip_call(struct user_regs_struct *regs, struct thread *t)
{
	(void)t;
	regs->orig_rax = (unsigned long long)-1;
}

static void ask_nothing(struct user_regs_struct *regs, struct thread *t)
{
	(void)t;
	regs->rdi = 0;
}

static void give_error(struct user_regs_struct *regs, struct thread *t)
{
	(void)t;
	regs->rax = (unsigned long long)-order.error;
}

/* Half of a plain write; of a vector its first part, and of one part half. */
static void take_less(struct user_regs_struct *regs, struct thread *t)
{
	struct iovec local = {&t->whole, sizeof(t->whole)}, remote = {(void *)(uintptr_t)t->call.args[1], sizeof(t->whole)};
	bool is_vector = t->call.number == SYS_pwritev || t->call.number == SYS_writev;

	if (!is_vector || regs->rdx > 1) {
		regs->rdx = is_vector ? 1 : (regs->rdx + 1) / 2;
		return;
	}
	if (process_vm_readv(t->tid, &local, 1, &remote, 1, 0) != (ssize_t)sizeof(t->whole))
		return;
	t->part = t->whole;
	t->part.iov_len = (t->part.iov_len + 1) / 2;
	local.iov_base = &t->part;
	t->shortened = process_vm_writev(t->tid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(t->part);
}

static void put_back(struct thread *t)
{
	struct iovec local = {&t->whole, sizeof(t->whole)}, remote = {(void *)(uintptr_t)t->call.args[1], sizeof(t->whole)};

	(void)process_vm_writev(t->tid, &local, 1, &remote, 1, 0);
	t->shortened = false;
}

static void strike(struct thread *t)
{
	char name[PATH_BYTES], path[PATH_BYTES];

	call_path(&t->call, path);
	printf("struck %llu %ld %s %s\n", (unsigned long long)counted, t->place, call_name(&t->call, name), path);
	(void)fflush(stdout);
	switch (order.deed) {
	case DEED_KILL:
		(void)kill(target, SIGKILL);
		return;
	case DEED_ERROR:
		if (call_is_brk(&t->call)) {
			(void)change_registers(t->tid, ask_nothing, t);
			return;
		}
		t->replaced = call_runs_all_the_same(&t->call) || change_registers(t->tid, skip_call, t);
		return;
	case DEED_SHORT:
		(void)change_registers(t->tid, take_less, t);
		return;
	case DEED_NOTHING:
		return;
	}
}

static void call_begins(struct thread *t, const struct ptrace_syscall_info *info)
{
	t->call = (struct call){.tid = t->tid, .number = (long)info->entry.nr};
	for (size_t i = 0; i < 6; i++)
		t->call.args[i] = info->entry.args[i];
	if (call_is_write(&t->call))
		watch_write(&t->call);
	if (!counting || (order.thread != -1 && order.thread != t->place) || !call_is_wanted(&order, &t->call))
		return;
	counted++;
	counted_by[t->place % THREADS_MAX]++;
	if (order.deed != DEED_NOTHING && (order.at == 0 || counted == order.at))
		strike(t);
}

static void call_ends(struct thread *t, const struct ptrace_syscall_info *info)
{
	bool failed = t->replaced || info->exit.is_error;

	if (t->replaced)
		(void)change_registers(t->tid, give_error, t);
	if (t->shortened)
		put_back(t);
	if (call_is_sync(&t->call))
		watch_sync(&t->call, failed);
	t->replaced = false;
}

static void on_call(struct thread *t)
{
	struct ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, (void *)sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		call_begins(t, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		call_ends(t, &info);
}

/* ---- births ---- */

static bool runs(pid_t pid, const char *program)
{
	char link[64], path[PATH_BYTES];
	ssize_t got;

	(void)snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	got = readlink(link, path, sizeof(path) - 1);
	path[got > 0 ? got : 0] = '\0';
	return strrchr(path, '/') != NULL && strcmp(strrchr(path, '/') + 1, program) == 0;
}

static void is_born(struct thread *t)
{
	target = t->tid;
	t->is_targets = true;
	places = 1;
	counting = true;
	tell("attached", "1");
}

/* Nobody is the target yet: is this one it? */
static void look_at_child(struct thread *t, int event)
{
	if (event == PTRACE_EVENT_EXEC && order.birth[0] != '\0' && runs(t->tid, order.birth))
		is_born(t);
	else if (event == PTRACE_EVENT_STOP && order.birth[0] == '\0' && t->tid != order.pid)
		is_born(t);
}

/* ---- stops ---- */

static void on_stop(pid_t tid, int status)
{
	struct thread *t = thread_find(tid);
	int signal = WSTOPSIG(status), event = status >> 16;

	if (t == NULL)
		t = thread_add(tid);
	if (target == 0) {
		look_at_child(t, event);
	} else if (signal == (SIGTRAP | 0x80)) {
		on_call(t);
	}
	go_on(t, event != 0 || signal == (SIGTRAP | 0x80) ? 0 : signal);
}

static void on_end(pid_t tid)
{
	struct thread *t = thread_find(tid);

	if (t != NULL)
		t->tid = 0;
	if (tid != target)
		return;
	tell("gone", "");
	over = true;
}

static void drain_children(void)
{
	int status;
	pid_t tid;

	while (!over && (tid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (WIFSTOPPED(status))
			on_stop(tid, status);
		else
			on_end(tid);
	}
}

static void run(const sigset_t *signals)
{
	while (!over) {
		int signal = sigwaitinfo(signals, NULL);

		if (signal == SIGTERM)
			over = true;
		if (signal == SIGUSR1) {
			counting = true;
			tell("counting", "");
		}
		if (signal == SIGCHLD)
			drain_children();
	}
}

/* ---- options ---- */

static bool take_word(char *word)
{
	char *value = strchr(word, '=');

	if (value == NULL)
		return false;
	*value++ = '\0';
	if (strcmp(word, "birth") == 0)
		order.birth = value;
	else if (strcmp(word, "thread") == 0)
		order.thread = strtol(value, NULL, 10);
	else if (strcmp(word, "at") == 0)
		order.at = strtoull(value, NULL, 10);
	else if (strcmp(word, "calls") == 0)
		return calls_parse(value, &order);
	else if (strcmp(word, "about") == 0)
		return about_parse(value, &order);
	else
		return strcmp(word, "do") == 0 && deed_parse(value, &order);
	return true;
}

int main(int argc, char **argv)
{
	bool ok = argc > 1 && atoi(argv[1]) > 0;
	sigset_t signals;
	char count[24];

	for (int i = 2; i < argc && ok; i++)
		ok = take_word(argv[i]);
	if (!ok) {
		fprintf(stderr, "usage: strike PID [birth=PROGRAM] [thread=K] [calls=A,B] [about=files|others|all] [at=N] "
				"[do=kill|short|nothing|pretend|ERROR]\n");
		return 2;
	}
	order.pid = (pid_t)atoi(argv[1]);
	target = order.birth == NULL ? order.pid : 0;
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	if (!seize_all(order.pid)) {
		perror("strike");
		return 1;
	}
	(void)snprintf(count, sizeof(count), "%ld", places);
	if (target != 0)
		tell("attached", count);
	else
		tell("waiting", "");
	run(&signals);
	for (long i = 0; i < places && i < THREADS_MAX; i++)
		printf("counted %ld %llu\n", i, (unsigned long long)counted_by[i]);
	return 0;
}
