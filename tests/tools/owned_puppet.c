#include "owned_puppet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* errnos of a call that is to be begun again; user space never sees them (linux/errno.h) */
#define RESTART_FIRST 512
#define RESTART_LAST 516

static void give_up(const char *what)
{
	fprintf(stderr, "owned: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void wait_stop(const struct puppet *p)
{
	int status;

	if (waitpid(p->pid, &status, __WALL) != p->pid || !WIFSTOPPED(status)) {
		errno = ESRCH;
		give_up("the process ended");
	}
}

/* The first mapping with these rights whose line holds `name`. */
static int find_mapping(pid_t pid, const char *rights, const char *name, unsigned long *start, unsigned long *end)
{
	char path[64], line[512], has[8];
	FILE *maps;
	int found = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (maps == NULL)
		give_up(path);
	while (!found && fgets(line, sizeof(line), maps) != NULL)
		found = sscanf(line, "%lx-%lx %7s", start, end, has) == 3 && strncmp(has, rights, 3) == 0 &&
			strstr(line, name) != NULL;
	fclose(maps);
	return found;
}

static unsigned long find_gate(const struct puppet *p)
{
	static char piece[65536];
	unsigned long start, end;

	if (!find_mapping(p->pid, "r-x", "libc.so", &start, &end)) {
		errno = ENOENT;
		give_up("its C library");
	}
	for (unsigned long at = start; at < end; at += sizeof(piece) - 1) {
		ssize_t n = pread(p->memory, piece, sizeof(piece), (off_t)at);

		for (ssize_t i = 0; i + 1 < n; i++)
			if (piece[i] == '\x0f' && piece[i + 1] == '\x05')
				return at + (unsigned long)i;
	}
	errno = ENOENT;
	give_up("a system call in its C library");
	return 0;
}

void puppet_hold(struct puppet *p, pid_t pid)
{
	char path[64];
	unsigned long end;

	p->pid = pid;
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) == -1 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1)
		give_up("holding the process");
	wait_stop(p);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	p->memory = open(path, O_RDWR | O_CLOEXEC);
	if (p->memory == -1 || ptrace(PTRACE_GETREGS, pid, NULL, &p->before) == -1)
		give_up("looking into the process");
	p->gate = find_gate(p);
	if (!find_mapping(pid, "rw-", "libc.so", &p->space, &end) || end - p->space < PUPPET_SPACE ||
	    pread(p->memory, p->saved, PUPPET_SPACE, (off_t)p->space) != PUPPET_SPACE)
		give_up("finding room in the process");
}

/* A call that was interrupted is begun again, as the kernel would have it done. */
static struct user_regs_struct as_it_was(const struct puppet *p)
{
	struct user_regs_struct regs = p->before;
	long said = -(long)regs.rax;

	if ((long)regs.orig_rax >= 0 && said >= RESTART_FIRST && said < RESTART_LAST) {
		regs.rax = regs.orig_rax;
		regs.rip -= 2;
	} else if ((long)regs.orig_rax >= 0 && said == RESTART_LAST) {
		regs.rax = (unsigned long)-EINTR;
	}
	regs.orig_rax = (unsigned long)-1;
	return regs;
}

void puppet_let_go(struct puppet *p)
{
	struct user_regs_struct regs = as_it_was(p);

	if (pwrite(p->memory, p->saved, PUPPET_SPACE, (off_t)p->space) != PUPPET_SPACE ||
	    ptrace(PTRACE_SETREGS, p->pid, NULL, &regs) == -1 || ptrace(PTRACE_DETACH, p->pid, NULL, NULL) == -1)
		give_up("letting the process go");
	close(p->memory);
}

unsigned long puppet_put(struct puppet *p, size_t offset, const void *bytes, size_t len)
{
	if (offset + len > PUPPET_SPACE || pwrite(p->memory, bytes, len, (off_t)(p->space + offset)) != (ssize_t)len)
		give_up("writing into the process");
	return p->space + offset;
}

long puppet_call(struct puppet *p, long number, const unsigned long args[6])
{
	struct user_regs_struct regs = p->before;

	regs.orig_rax = (unsigned long)-1;
	regs.rax = (unsigned long)number;
	regs.rip = p->gate;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	if (ptrace(PTRACE_SETREGS, p->pid, NULL, &regs) == -1)
		give_up("a call");
	for (int half = 0; half < 2; half++) {
		if (ptrace(PTRACE_SYSCALL, p->pid, NULL, NULL) == -1)
			give_up("a call");
		wait_stop(p);
	}
	if (ptrace(PTRACE_GETREGS, p->pid, NULL, &regs) == -1)
		give_up("a call");
	return (long)regs.rax;
}
