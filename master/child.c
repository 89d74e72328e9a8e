#include "child.h"

#include "base/log.h"
#include "os/privilege.h"

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
static void reset_signals(void)
{
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool place_link(int fd)
{
	if (fd == MASTER_FD)
		return fcntl(fd, F_SETFD, 0) == 0;
	return dup2(fd, MASTER_FD) == MASTER_FD;
}

static _Noreturn void execute(const struct child_order *order, pid_t master)
{
	char path[PATH_MAX], name[64], instance[24], flag[] = "--instance";
	char *const argv[] = {name, flag, instance, NULL};

	snprintf(name, sizeof(name), "postern-%s", role_name(order->role));
	snprintf(path, sizeof(path), "%s/%s", order->libexec, name);
	snprintf(instance, sizeof(instance), "%llu", (unsigned long long)order->instance);
	reset_signals();
	if (place_link(order->master_fd) && close_range(MASTER_FD + 1, ~0u, 0) == 0 && die_with_parent(master))
		execv(path, argv);
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
