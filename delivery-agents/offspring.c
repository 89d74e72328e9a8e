#include "offspring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the kernel says of our children. */
static int open_list(void)
{
	return open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
}

bool offspring_open(struct offspring *o)
{
	int list = open_list();
	sigset_t child;

	if (list < 0)
		return false;
	close(list);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1 || sigprocmask(SIG_BLOCK, &child, NULL) == -1)
		return false;
	o->ended = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	return o->ended >= 0;
}

pid_t offspring_next(const struct offspring *o, int flags, int *status)
{
	struct signalfd_siginfo told;

	pid_t pid;

	(void)!read(o->ended, &told, sizeof(told)); /* before we look, so that none is missed */
	do
		pid = waitpid(-1, status, flags | WNOHANG);
	while (pid == -1 && errno == EINTR);
	return pid;
}

/* The kernel gives no more than a page at a time; nobody but us takes one off the list, so what is read in pieces fits together. */
static void read_list(char *text, size_t size)
{
	int list = open_list();
	size_t len = 0;
	ssize_t n;

	while (list >= 0 && len + 1 < size && (n = read(list, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	if (list >= 0)
		close(list);
	text[len] = '\0';
}

size_t offspring_list(pid_t out[OFFSPRING_MAX])
{
	char text[OFFSPRING_MAX * 12], *at = text, *end;
	size_t count = 0;

	read_list(text, sizeof(text));
	for (; count < OFFSPRING_MAX; at = end) {
		long pid = strtol(at, &end, 10);

		if (end == at || *end != ' ') /* a number that was cut is not the whole one */
			break;
		out[count++] = (pid_t)pid;
	}
	return count;
}

size_t offspring_kill(pid_t spared)
{
	pid_t all[OFFSPRING_MAX];
	size_t count = offspring_list(all), killed = 0;

	for (size_t i = 0; i < count; i++)
		if (all[i] != spared) {
			(void)kill(all[i], SIGKILL);
			killed++;
		}
	return killed;
}

void offspring_wait(const struct offspring *o, int ms)
{
	struct pollfd p = {o->ended, POLLIN, 0};

	(void)poll(&p, 1, ms);
}
