#include "warm/warm.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SOCKET_FD 3
#define OWNER_IS_GONE 3 /* exit code of a child whose socket has ended */
#define CANNOT_START 75
#define PAUSE_MS 50

static _Noreturn void serve_one(const struct warm_spec *spec, pid_t parent)
{
	static char space[LINK_PACKET_MAX];
	struct link_now now = LINK_NOW(SOCKET_FD, ROLE_VERIFIER, spec->owner, space);
	const struct rlimit cpu = {spec->seconds, spec->seconds};
	struct ipc_message m;

	/* Forks clear it; the parent may have died before it was set again. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(OWNER_IS_GONE);
	if (spec->begin != NULL)
		spec->begin();
	if (!link_receive_now(&now, &m))
		_exit(OWNER_IS_GONE);
	alarm(spec->seconds);
	if (setrlimit(RLIMIT_CPU, &cpu) == -1)
		_exit(CANNOT_START);
	spec->serve(SOCKET_FD, &m);
	_exit(0);
}

static bool spawn(const struct warm_spec *spec)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		serve_one(spec, parent);
	return pid > 0;
}

static void pause_a_little(void)
{
	const struct timespec t = {0, PAUSE_MS * 1000000L};

	nanosleep(&t, NULL);
}

/* Keeps so many children waiting.  Those that crash at once come back slowly.  A child sees that owner is gone by its socket;
 * without one (the user has no process left) it has to be looked for, because not every end of owner may signal us. */
static _Noreturn void keep_children(const struct warm_spec *spec, pid_t owner)
{
	unsigned alive = 0;
	int status;

	for (;;) {
		while (alive < spec->children && spawn(spec))
			alive++;
		if (alive == 0) {
			if (getppid() != owner)
				_exit(0);
			pause_a_little();
			continue;
		}
		if (wait(&status) == -1) {
			if (errno != EINTR)
				_exit(CANNOT_START);
			continue;
		}
		alive--;
		if (WIFEXITED(status) && WEXITSTATUS(status) == OWNER_IS_GONE)
			_exit(0);
		if (!WIFEXITED(status))
			pause_a_little();
	}
}

/* What owner has open is none of the children's. */
static bool keep_only(int fd)
{
	int flags;

	if (fd != SOCKET_FD && dup3(fd, SOCKET_FD, O_CLOEXEC) == -1)
		return false;
	flags = fcntl(SOCKET_FD, F_GETFL);
	return flags != -1 && fcntl(SOCKET_FD, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

static _Noreturn void run_parent(const struct warm_spec *spec, pid_t owner, int fd)
{
	char missing[CAGE_MISSING_BYTES], why[256] = "";
	struct cage_order order = spec->order;

	log_set_sink(NULL);
	(void)prctl(PR_SET_NAME, spec->name);
	if (!keep_only(fd))
		_exit(CANNOT_START);
	if (spec->prepare != NULL)
		spec->prepare();
	signal(SIGALRM, SIG_DFL);
	order.parent = owner;
	if (!cage_enter(spec->cage, &order, missing, why, sizeof(why))) {
		LOG(LEVEL_ERROR, "cage-failed", KV_STR("why", why));
		_exit(CANNOT_START);
	}
	close_range(SOCKET_FD + 1, ~0u, 0);
	keep_children(spec, owner);
}

int warm_start(const struct warm_spec *spec)
{
	pid_t owner = getpid(), pid;
	int pair[2];

	if (!link_pair(pair))
		log_fatal("socket pair", errno);
	pid = fork();
	if (pid == -1)
		log_fatal("fork", errno);
	if (pid == 0)
		run_parent(spec, owner, pair[1]);
	close(pair[1]);
	return pair[0];
}
