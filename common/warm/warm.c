#include "warm/warm.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * A child has the end of a pipe.  By a byte it says that it has its question, before it looks into it, and the parent counts from then;
 * when the pipe's end is closed the child ends, and the next takes its place.  What is in the question may take the child over, and its
 * alarm with it: a child that is there long after its time is ended by the end of the parent, for no filter here allows kill(2), and
 * PDEATHSIG cannot be given up.
 */
#define SOCKET_FD 3
#define PIPE_FD 4 /* of a child */
#define OWNER_IS_GONE 3 /* exit code of a child whose socket has ended */
#define CANNOT_START 75
#define PAUSE_MS 50
#define LOOK_MS 1000 /* a child that has begun is looked for so often: it may stay too long */
#define SOON_MS 1 /* one that has closed its pipe is about to end */
#define GRACE_MS 4000 /* for its alarm to be heard on a busy machine */

struct child {
	pid_t pid; /* 0: no child */
	int pipe; /* owned; -1: its end is closed */
	bool begun;
	uint64_t began_ms; /* once it has */
};

struct crew {
	const struct warm_spec *spec;
	struct child children[WARM_CHILDREN_MAX];
};

/* What a child had forked would outlive it, and hear the next question on the same socket.  Only modules may: one that wants to run a
 * helper hears that it cannot be run, where the end of the child would tell nothing. */
static bool give_up_forking(const struct warm_spec *spec)
{
	const struct rlimit none = {0, 0};

	return (spec->cage->calls & CALLS_MODULES) != 0 || setrlimit(RLIMIT_NPROC, &none) == 0;
}

static _Noreturn void serve_one(const struct warm_spec *spec, pid_t parent, int pipe)
{
	static char space[LINK_PACKET_MAX];
	struct link_now now = LINK_NOW(SOCKET_FD, ROLE_VERIFIER, spec->owner, space);
	const struct rlimit cpu = {spec->seconds, spec->seconds};
	struct ipc_message m;

	/* Its brothers' pipes are none of its business. */
	if (pipe != PIPE_FD) {
		close(PIPE_FD);
		if (fcntl(pipe, F_DUPFD_CLOEXEC, PIPE_FD) != PIPE_FD)
			_exit(CANNOT_START);
	}
	close_range(PIPE_FD + 1, ~0u, 0);
	/* Forks clear it; the parent may have died before it was set again. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(OWNER_IS_GONE);
	if (spec->begin != NULL)
		spec->begin();
	if (setrlimit(RLIMIT_CPU, &cpu) == -1 || !give_up_forking(spec))
		_exit(CANNOT_START);
	if (!link_receive_now(&now, &m))
		_exit(OWNER_IS_GONE);
	if (write(PIPE_FD, "", 1) != 1)
		_exit(OWNER_IS_GONE);
	alarm(spec->seconds);
	spec->serve(SOCKET_FD, &m);
	_exit(0);
}

static bool spawn(struct crew *c, struct child *at)
{
	pid_t parent = getpid(), pid;
	int pair[2];

	if (pipe2(pair, O_CLOEXEC) == -1)
		return false;
	pid = fork();
	if (pid == 0)
		serve_one(c->spec, parent, pair[1]);
	close(pair[1]);
	if (pid == -1) {
		close(pair[0]);
		return false;
	}
	*at = (struct child){.pid = pid, .pipe = pair[0]};
	return true;
}

static void pause_a_little(void)
{
	const struct timespec t = {0, PAUSE_MS * 1000000L};

	nanosleep(&t, NULL);
}

/* As many as there should be, or as there can be now; returns how many live. */
static unsigned fill(struct crew *c)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < c->spec->children; i++)
		if (c->children[i].pid != 0 || spawn(c, &c->children[i]))
			alive++;
	return alive;
}

static void forget(struct child *child)
{
	if (child->pipe >= 0)
		close(child->pipe);
	*child = (struct child){.pipe = -1};
}

/* Those that crash at once come back slowly. */
static void reap(struct crew *c)
{
	for (unsigned i = 0; i < c->spec->children; i++) {
		struct child *child = &c->children[i];
		int status;

		if (child->pid == 0 || waitpid(child->pid, &status, WNOHANG) != child->pid)
			continue;
		forget(child);
		if (WIFEXITED(status) && WEXITSTATUS(status) == OWNER_IS_GONE)
			_exit(0);
		if (!WIFEXITED(status))
			pause_a_little();
	}
}

/* What it says after its byte is not heard. */
static void hear(struct child *child, short said)
{
	char byte;

	if ((said & POLLIN) != 0 && read(child->pipe, &byte, 1) == -1)
		return;
	if (!child->begun)
		child->began_ms = clock_mono_ms();
	child->begun = true;
	if ((said & ~POLLIN) == 0)
		return;
	close(child->pipe);
	child->pipe = -1;
}

/* Until one must be looked at again, whether it says anything or not; -1: that is never. */
static int patience_ms(const struct crew *c)
{
	int ms = -1;

	for (unsigned i = 0; i < c->spec->children; i++) {
		const struct child *child = &c->children[i];

		if (child->pid != 0 && child->pipe < 0)
			return SOON_MS;
		if (child->pid != 0 && child->begun)
			ms = LOOK_MS;
	}
	return ms;
}

/* Waits until one has begun or ended, or for a moment where one has. */
static void wait_for_news(struct crew *c)
{
	struct pollfd pipes[WARM_CHILDREN_MAX];

	for (unsigned i = 0; i < c->spec->children; i++)
		pipes[i] = (struct pollfd){c->children[i].pipe, c->children[i].begun ? 0 : POLLIN, 0};
	if (poll(pipes, c->spec->children, patience_ms(c)) <= 0)
		return;
	for (unsigned i = 0; i < c->spec->children; i++)
		if (pipes[i].revents != 0)
			hear(&c->children[i], pipes[i].revents);
}

static void end_if_overdue(const struct crew *c)
{
	uint64_t now = clock_mono_ms();

	for (unsigned i = 0; i < c->spec->children; i++) {
		const struct child *child = &c->children[i];

		if (child->pid == 0 || !child->begun || now - child->began_ms < c->spec->seconds * 1000 + GRACE_MS)
			continue;
		LOG(LEVEL_ERROR, "helper-overdue", KV_STR("name", c->spec->name), KV_NUM("pid", child->pid));
		_exit(CANNOT_START);
	}
}

/* Keeps so many children waiting.  A child sees that owner is gone by its socket; without one (the user has no process left) it has
 * to be looked for, because not every end of owner may signal us. */
static _Noreturn void keep_children(const struct warm_spec *spec, pid_t owner)
{
	static struct crew c;

	c.spec = spec;
	for (unsigned i = 0; i < WARM_CHILDREN_MAX; i++)
		c.children[i].pipe = -1;
	for (;;) {
		if (fill(&c) > 0) {
			wait_for_news(&c);
			reap(&c);
			end_if_overdue(&c);
			continue;
		}
		if (getppid() != owner)
			_exit(0);
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

/* What it loads are others' libraries and files: not as root. */
static bool prepare(const struct warm_spec *spec, struct cage_order *order, char *why, size_t why_size)
{
	if (!cage_become(spec->cage, order, why, why_size)) {
		LOG(LEVEL_ERROR, "cage-failed", KV_STR("why", why));
		return false;
	}
	spec->prepare();
	return true;
}

static _Noreturn void run_parent(const struct warm_spec *spec, pid_t owner, int fd)
{
	char missing[CAGE_MISSING_BYTES], why[256] = "";
	struct cage_order order = spec->order;

	log_set_sink(NULL);
	(void)prctl(PR_SET_NAME, spec->name);
	if (!keep_only(fd))
		_exit(CANNOT_START);
	if (spec->prepare != NULL && !prepare(spec, &order, why, sizeof(why)))
		_exit(CANNOT_START);
	signal(SIGALRM, SIG_DFL);
	order.parent = owner;
	if (!cage_enter(spec->cage, &order, missing, why, sizeof(why))) {
		LOG(LEVEL_ERROR, "cage-failed", KV_STR("why", why));
		_exit(CANNOT_START);
	}
	if (spec->caged != NULL && !spec->caged())
		_exit(CANNOT_START);
	close_range(SOCKET_FD + 1, ~0u, 0);
	keep_children(spec, owner);
}

int warm_start(const struct warm_spec *spec)
{
	pid_t owner = getpid(), pid;
	int pair[2];

	MUST(spec->children <= WARM_CHILDREN_MAX);
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
