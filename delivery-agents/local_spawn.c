#include "local.h"

#include "base/log.h"
#include "mailbox.h"
#include "os/privilege.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

/* The largest message_size_max there can be (a message may be older than the present one), and the lines before it. */
#define FILE_BYTES_MAX ((2ull << 30) + (64u << 10))

static void order_fill(const struct pool *pool, int socket, pid_t parent, struct mailbox_order *out)
{
	const struct local *l = pool->local;

	*out = (struct mailbox_order){
		.socket = socket,
		.uid = pool->uid,
		.gid = pool->gid,
		.as_root = !service_is_unprivileged(l->service),
		.owns_base = pool->owns_base,
		.base = pool->base,
		.base_fd = pool->base_fd,
		.host = l->host,
		.file_bytes_max = FILE_BYTES_MAX,
		.parent = parent,
	};
}

struct link *worker_spawn(struct pool *pool, const struct link_config *config, pid_t *pid_out)
{
	struct mailbox_order order;
	pid_t parent = getpid(), pid;
	int pair[2];

	if (!link_pair(pair)) {
		LOG(LEVEL_ERROR, "mailbox-worker-not-started", KV_ERRNO(errno));
		return NULL;
	}
	order_fill(pool, pair[1], parent, &order);
	pid = fork();
	if (pid == 0)
		mailbox_run(&order);
	close(pair[1]);
	if (pid == -1) {
		LOG(LEVEL_ERROR, "mailbox-worker-not-started", KV_ERRNO(errno));
		close(pair[0]);
		return NULL;
	}
	*pid_out = pid;
	return link_new(service_loop(pool->local->service), pair[0], config);
}

void worker_kill(const struct pool *pool, pid_t pid)
{
	if (service_is_unprivileged(pool->local->service))
		(void)kill(pid, SIGKILL);
	else
		(void)kill_as(pool->uid, pid, SIGKILL);
}
