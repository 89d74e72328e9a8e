/*
 * postern-local: the parent of local delivery.  It reads no mail: it is told by the queue manager which message goes to whom,
 * finds out who owns that mailbox, and hands the message to a worker that is this user.
 *
 * It keeps CAP_SETUID, so there is no parser in it: of a configuration it is told its transports, decoded.
 */
#include "local.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* The workers inherit limits and filter, and can only get less. */
static struct cage_spec cage = {
	.calls = CALLS_FILES | CALLS_LOCKS | CALLS_FORK | CALLS_BECOME, /* locks: of workers */
	.takes_fds = true,
	.files_max = 8192,
	.file_bytes_max = UINT64_MAX, /* as workers need it: see local_spawn.c */
	.processes_max = 4 * WORKERS_MAX,
};

static uid_t uid_floor;
static int runner_fd = -1;
static pid_t runner_pid;
static bool runner_died;

/* Of the configuration this is all that is known before the cage. */
static void prepare(struct service *s)
{
	uint64_t lowest, programs;

	if (!service_cage_number(s, CONF_CAGE_UID_MIN, &lowest) || lowest == 0 || lowest > INT32_MAX) {
		LOG_PLAIN(LEVEL_ERROR, "no-lowest-uid");
		exit(75);
	}
	cage.become_min = uid_floor = (uid_t)lowest;
	if (service_cage_number(s, CONF_CAGE_PROGRAMS, &programs) && programs != 0 && (runner_fd = runner_spawn(s, uid_floor, &runner_pid)) < 0)
		exit(75);
}

static void on_tick(void *arg)
{
	pools_tick(arg);
}

static void on_drain_end(void *arg)
{
	struct local *l = arg;

	LOG(LEVEL_WARN, "drain-deadline", KV_NUM("jobs", l->job_count));
	service_stop(l->service);
}

static void drain(struct service *s, uint64_t deadline_ms)
{
	struct local *l = service_state(s);

	l->ending = true;
	if (TAILQ_EMPTY(&l->jobs))
		service_stop(s);
	else
		timer_set(l->drain_end, deadline_ms);
}

/* Another can only be made before the cage: by the process that the master starts in our place.  What is under way may come to its end. */
static void on_runner_end(struct local *l, int status)
{
	if (WIFSIGNALED(status))
		LOG(LEVEL_ERROR, "program-runner-died", KV_NUM("pid", runner_pid), KV_NUM("signal", WTERMSIG(status)));
	else
		LOG(LEVEL_ERROR, "program-runner-died", KV_NUM("pid", runner_pid), KV_NUM("status", WEXITSTATUS(status)));
	runner_died = true;
	if (!l->ending)
		drain(l->service, RUNNERLESS_MS);
}

static void log_child(pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		LOG(LEVEL_ERROR, "mailbox-worker-died", KV_NUM("pid", pid), KV_NUM("signal", WTERMSIG(status)));
}

static void on_child(int signo, void *arg)
{
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == runner_pid)
			on_runner_end(arg, status);
		else
			log_child(pid, status);
}

static void start(struct service *s)
{
	struct local *l = mem_new(1, sizeof(*l));
	const char *host = service_generation(s)->host;

	if (l == NULL)
		log_fatal("local", ENOMEM);
	l->service = s;
	l->full = map_new(FULL_MAILBOXES_MAX);
	if (l->full == NULL)
		log_fatal("local", ENOMEM);
	TAILQ_INIT(&l->jobs);
	TAILQ_INIT(&l->pools);
	l->tick = timer_new(service_loop(s), on_tick, l);
	l->drain_end = timer_new(service_loop(s), on_drain_end, l);
	l->uid_floor = uid_floor;
	l->runner_fd = runner_fd;
	if (host[0] != '\0')
		(void)slice_copy(slice_of(host), l->host, sizeof(l->host));
	else if (gethostname(l->host, sizeof(l->host) - 1) == -1)
		l->host[0] = '\0';
	service_set_state(s, l);
	loop_on_signal(service_loop(s), SIGCHLD, on_child, l);
	on_child(SIGCHLD, l); /* the runner may have ended before anybody listened */
}

static void on_delivery(struct service *s, struct link *link, struct ipc_message *m)
{
	struct generation *g = generation_find(s, m->body.GENERATION_DELIVERY.generation);

	(void)link;
	if (g == NULL)
		return;
	if (g->state == NULL)
		g->state = owners_new();
	owners_add(g->state, m->body.GENERATION_DELIVERY.delivery_records);
}

static bool generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	struct owners *owners = g->state;

	if (owners == NULL)
		return true; /* nothing is delivered here */
	for (struct owner *o = owners->first; o != NULL; o = o->next)
		o->base_fd = o->path == NULL ? -1 : service_path_fd(s, g->number, slice_of(o->path));
	return owners_check(owners, service_is_unprivileged(s) ? 0 : uid_floor, runner_fd >= 0, why, why_size);
}

static void generation_free(struct service *s, struct generation *g)
{
	struct owners *owners = g->state;

	(void)s;
	owners_free(&owners);
	g->state = NULL;
}

static void link_down(struct service *s, struct link *link)
{
	if (link_peer(link) == ROLE_QUEUE)
		jobs_orphan(service_state(s));
}

static void status(struct service *s, struct buf *out)
{
	const struct local *l = service_state(s);

	service_status_number(out, "jobs", l->job_count);
	service_status_number(out, "mailbox_workers", l->worker_count);
	service_status_number(out, "delivered", l->delivered);
	service_status_number(out, "failed", l->failed);
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_JOB_START] = on_job_start,
	[IPC_GENERATION_DELIVERY] = on_delivery,
};

static const struct service_spec spec = {
	.role = ROLE_LOCAL,
	.cage = &cage,
	.prepare = prepare,
	.start = start,
	.handlers = handlers,
	.generation_ready = generation_ready,
	.generation_free = generation_free,
	.link_down = link_down,
	.drain = drain,
	.status = status,
};

int main(int argc, char **argv)
{
	int code = service_run(&spec, argc, argv);

	return code == 0 && runner_died ? EX_TEMPFAIL : code;
}
