#include "child.h"

#include "base/log.h"
#include "os/fd.h"
#include "os/privilege.h"
#include "roster.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MASTER_FD 3
#define EXIT_NO_PROGRAM 126

/* The event loop of the master blocked and caught signals; the program begins as from a shell. */
void child_reset_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Descriptor 3 may be the program's. */
static bool place_link(int fd, int *program)
{
	if (*program == MASTER_FD)
		*program = fcntl(*program, F_DUPFD_CLOEXEC, MASTER_FD + 1);
	if (fd == MASTER_FD)
		return fcntl(fd, F_SETFD, 0) == 0;
	return dup2(fd, MASTER_FD) == MASTER_FD;
}

static void program_path(const char *libexec, enum role role, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/postern-%s", libexec, role_name(role));
}

void programs_open(struct programs *p, const char *libexec)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ROLE_COUNT; i++) {
		p->fd[i] = -1;
		if (roster_find((enum role)i) == NULL)
			continue;
		program_path(libexec, (enum role)i, path);
		p->fd[i] = open(path, O_PATH | O_CLOEXEC);
	}
}

void programs_close(struct programs *p)
{
	for (size_t i = 0; i < ROLE_COUNT; i++)
		os_close(&p->fd[i]);
}

/* A script has no program of its own to be executed by descriptor: the kernel says ENOENT, and its name is used. */
static void run_program(int program, const char *path, char *const argv[])
{
	if (program >= 0)
		execveat(program, "", argv, environ, AT_EMPTY_PATH);
	if (program < 0 || errno == ENOENT)
		execv(path, argv);
}

static _Noreturn void execute(const struct child_order *order, pid_t master)
{
	char path[PATH_MAX], name[64], instance[24], flag[] = "--instance";
	char *const argv[] = {name, flag, instance, NULL};
	int program = order->program;

	snprintf(name, sizeof(name), "postern-%s", role_name(order->role));
	program_path(order->libexec, order->role, path);
	snprintf(instance, sizeof(instance), "%llu", (unsigned long long)order->instance);
	child_reset_signals();
	if (place_link(order->master_fd, &program) && close_range(MASTER_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) == 0 && die_with_parent(master))
		run_program(program, path, argv);
	dprintf(STDERR_FILENO, "postern-master: cannot run %s: %s\n", path, strerrordesc_np(errno));
	_exit(EXIT_NO_PROGRAM);
}

pid_t child_spawn(const struct child_order *order)
{
	pid_t master = getpid();
	pid_t pid = fork();

	if (pid == 0)
		execute(order, master);
	return pid;
}

void child_end_text(int status, char out[CHILD_END_BYTES])
{
	if (WIFSIGNALED(status))
		snprintf(out, CHILD_END_BYTES, "signal %d (%s)", WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
	else
		snprintf(out, CHILD_END_BYTES, "exit %d", WEXITSTATUS(status));
}
