#include "local.h"

#include "base/log.h"
#include "mailbox.h"
#include "os/privilege.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* RLIMIT_FSIZE counts where in a file is written, and an mbox file grows for years: with a limit it would never get mail again.  What is
 * written for one message is bounded by its own size. */
#define FILE_BYTES_MAX UINT64_MAX

static void order_fill(const struct pool *pool, int socket, pid_t parent, struct mailbox_order *out)
{
	const struct local *l = pool->local;

	*out = (struct mailbox_order){
		.socket = socket,
		.uid = pool->who.uid,
		.gid = pool->who.gid,
		.group = pool->who.group,
		.as_root = !service_is_unprivileged(l->service),
		.owns_base = pool->who.owns_base,
		.base = pool->who.base,
		.base_fd = pool->who.base_fd,
		.home = pool->who.home,
		.host = l->host,
		.file_bytes_max = FILE_BYTES_MAX,
		.parent = parent,
	};
}

static pid_t fork_mailbox(struct pool *pool, int socket)
{
	struct mailbox_order order;
	pid_t parent = getpid(), pid;

	order_fill(pool, socket, parent, &order);
	pid = fork();
	if (pid == 0)
		mailbox_run(&order);
	return pid;
}

/* The runner forks it; who it is nobody needs to know here.  0, or -1. */
static pid_t ask_runner(const struct pool *pool, int socket)
{
	const struct who *who = &pool->who;
	const struct msg_PROGRAM_WORKER order = {who->uid, who->gid, who->group, slice_of(who->base)};

	errno = ENOSYS;
	return pool->local->runner_fd >= 0 && link_tell_now(pool->local->runner_fd, IPC_PROGRAM_WORKER, 0, false, &order, socket) ? 0 : -1;
}

struct link *worker_spawn(struct pool *pool, const struct link_config *config, pid_t *pid_out)
{
	int pair[2];
	pid_t pid;

	if (!link_pair(pair)) {
		LOG(LEVEL_ERROR, "mailbox-worker-not-started", KV_ERRNO(errno));
		return NULL;
	}
	pid = pool->who.programs ? ask_runner(pool, pair[1]) : fork_mailbox(pool, pair[1]);
	close(pair[1]);
	if (pid == -1) {
		LOG(LEVEL_ERROR, "mailbox-worker-not-started", KV_ERRNO(errno));
		close(pair[0]);
		return NULL;
	}
	*pid_out = pid;
	return link_new(service_loop(pool->local->service), pair[0], config);
}

/* ---- the runner ---- */

static _Noreturn void runner_child(struct service *s, int socket, uid_t uid_floor, pid_t parent)
{
	const struct cage_spec spec = {
		.calls = CALLS_BECOME | CALLS_FORK | CALLS_PROGRAMS,
		.takes_fds = true,
		.files_max = 1024,
		.file_bytes_max = 4ull << 30,
		.memory_max = 8ull << 30, /* programs have less */
		.become_min = uid_floor,
	};
	struct program_order order = {.socket = socket, .as_root = !service_is_unprivileged(s), .host = service_generation(s)->host};
	char missing[CAGE_MISSING_BYTES], why[256] = "";
	struct cage_order cage;

	service_cage_order(s, &cage);
	cage.parent = parent;
	cage.root_fd = -1;
	if (!cage_enter(&spec, &cage, missing, why, sizeof(why))) {
		LOG_PLAIN(LEVEL_ERROR, why);
		_exit(75);
	}
	prctl(PR_SET_NAME, "programs", 0, 0, 0);
	runner_run(&order);
}

int runner_spawn(struct service *s, uid_t uid_floor, pid_t *pid_out)
{
	pid_t parent = getpid(), pid;
	int pair[2];

	if (!link_pair(pair)) {
		LOG(LEVEL_ERROR, "program-runner-not-started", KV_ERRNO(errno));
		return -1;
	}
	pid = fork();
	if (pid == 0) {
		int socket = fcntl(pair[1], F_DUPFD_CLOEXEC, 3) == -1 ? -1 : dup3(pair[1], 3, O_CLOEXEC);

		close_range(4, ~0u, 0);
		if (socket == -1 || fcntl(3, F_SETFL, 0) == -1)
			_exit(75);
		runner_child(s, 3, uid_floor, parent);
	}
	close(pair[1]);
	*pid_out = pid;
	if (pid != -1)
		return pair[0];
	LOG(LEVEL_ERROR, "program-runner-not-started", KV_ERRNO(errno));
	close(pair[0]);
	return -1;
}

void worker_kill(const struct pool *pool, pid_t pid)
{
	if (pid == 0) /* the runner's: it ends with its link */
		return;
	if (service_is_unprivileged(pool->local->service))
		(void)kill(pid, SIGKILL);
	else
		(void)kill_as(pool->who.uid, pid, SIGKILL);
}
