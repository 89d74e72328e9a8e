#include "solo.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES_MAX 65536u
#define KEPT_MAX 16
#define DEFERRED_MAX 8

/* ---- the parent ---- */

/* The links of the session that is being introduced. */
static struct {
	uint64_t instance;
	bool begun;
	int fd[ROLE_COUNT]; /* owned; -1: not told; valid once begun */
} next;

static uint64_t children, failures, crashes;
static struct map *sessions; /* process -> its session, as a pointer's value: for the log */
static solo_retire_fn *on_crash;

bool solo_is_parent(const struct service *s)
{
	return service_instance(s) >= SOLO_PARENT_FIRST && service_instance(s) < SOLO_PARENT_END;
}

void solo_widen(struct cage_spec *cage)
{
	cage->calls |= CALLS_FORK;
	cage->processes_max = PROCESSES_MAX;
}

void solo_status(struct buf *out)
{
	service_status_text(out, "kind", "parent of processes for one session each");
	service_status_number(out, "processes_in_all", children);
	service_status_number(out, "fork_failures", failures);
	service_status_number(out, "crashes", crashes);
}

static void child_ended(struct service *s, pid_t pid, int status)
{
	uint64_t session = (uintptr_t)map_take_u64(sessions, (uint64_t)pid);

	if (!WIFSIGNALED(status))
		return;
	crashes++;
	LOG(LEVEL_ERROR, "session-process-crashed", KV_SESSION(session), KV_NUM("child", pid), KV_NUM("signal", WTERMSIG(status)));
	on_crash(s, crashes);
}

static void on_child_signal(int signo, void *arg)
{
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_ended(arg, pid, status);
}

void solo_watch_children(struct service *s, solo_retire_fn *retire)
{
	on_crash = retire;
	sessions = map_new(PROCESSES_MAX);
	if (sessions == NULL)
		log_fatal("sessions", ENOMEM);
	loop_on_signal(service_loop(s), SIGCHLD, on_child_signal, s);
}

static void forget_next(void)
{
	for (size_t i = 0; next.begun && i < ROLE_COUNT; i++)
		if (next.fd[i] != -1)
			close(next.fd[i]);
	next.begun = false;
}

static void begin_next(uint64_t instance)
{
	forget_next();
	next.instance = instance;
	next.begun = true;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		next.fd[i] = -1;
}

static bool is_private_role(enum role role)
{
	return role == ROLE_QUEUE || role == ROLE_POLICYD || role == ROLE_AUTHD ||
	       role == ROLE_KEYD || role == ROLE_GATE;
}

bool solo_attach(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_LINK_ATTACH *attach = &m->body.LINK_ATTACH;
	enum role role = role_from(attach->role);

	if (!solo_is_parent(s) || link_peer(link) != ROLE_GATE)
		return false;
	if (attach->instance < SOLO_PARENT_END || !is_private_role(role)) {
		link_break(link, "a link that no session needs");
		return true;
	}
	if (!next.begun || next.instance != attach->instance)
		begin_next(attach->instance);
	if (next.fd[role] != -1)
		close(next.fd[role]);
	next.fd[role] = m->fd;
	m->fd = -1;
	return true;
}

/* ---- the child ---- */

struct deferred {
	link_answer_fn *fn;
	void *arg;
};

/* One session: the process has nothing else. */
static struct {
	struct worker worker;
	struct link *links[ROLE_COUNT]; /* owned; NULL: there is none any more */
	struct timer *failing;
	struct deferred deferred[DEFERRED_MAX]; /* questions nobody can be asked */
	size_t deferred_count;
	int log_fd; /* -1: none */
} child;

static void to_log(enum log_level level, const char *event, struct slice fields)
{
	const struct msg_LOG_RECORD record = {(uint64_t)level, (uint64_t)clock_wall_ms(),
					      slice_of(event), fields};

	/* What the socket does not take now is lost: a session never waits for its log. */
	(void)link_tell_now(child.log_fd, IPC_LOG_RECORD, 0, false, &record, -1);
}

static void on_failing(void *arg)
{
	size_t count = child.deferred_count;
	struct deferred now[DEFERRED_MAX];

	(void)arg;
	memcpy(now, child.deferred, sizeof(now));
	child.deferred_count = 0;
	for (size_t i = 0; i < count; i++)
		now[i].fn(NULL, now[i].arg);
}

static struct link *link_to(enum role role)
{
	struct link *l = child.links[role];

	return l == NULL || link_is_broken(l) ? NULL : l;
}

static void ask(void *arg, enum role role, enum ipc_type type, const void *body, uint64_t timeout_ms,
		link_answer_fn *on_answer, void *on_answer_arg)
{
	(void)arg;
	if (link_to(role) != NULL) {
		link_ask(link_to(role), type, body, timeout_ms, on_answer, on_answer_arg);
		return;
	}
	MUST(child.deferred_count <
	     DEFERRED_MAX); /* a session asks one thing at a time, and its handshake another */
	child.deferred[child.deferred_count++] = (struct deferred){on_answer, on_answer_arg};
	timer_set(child.failing, 0);
}

static bool tell(void *arg, enum role role, enum ipc_type type, const void *body)
{
	(void)arg;
	return link_to(role) != NULL && link_tell(link_to(role), type, body, -1);
}

static bool reaches(void *arg, enum role role)
{
	(void)arg;
	return link_to(role) != NULL;
}

static void on_message(struct link *link, struct ipc_message *m, void *arg)
{
	(void)arg;
	if (m->type == IPC_SESSIONS_LEAVE)
		worker_leave(&child.worker, m->body.SESSIONS_LEAVE.generation, m->body.SESSIONS_LEAVE.deadline_ms);
	else
		link_break(link, "a message that is not expected here");
}

static void on_broken(struct link *link, const char *broke_rules, void *arg)
{
	enum role role = link_peer(link);

	(void)arg;
	if (broke_rules != NULL)
		LOG(LEVEL_ERROR, "peer-broke-rules", KV_STR("peer", role_name(role)),
		    KV_STR("why", broke_rules));
	worker_lost(&child.worker, role);
}

static void release(struct worker *w, struct generation **gp)
{
	(void)w;
	*gp = NULL; /* it goes with the process */
}

static void on_empty(struct worker *w)
{
	loop_stop(w->loop);
}

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Everything the parent had, but `kept`. */
static void close_others(int *kept, size_t count)
{
	unsigned from = STDERR_FILENO + 1;

	qsort(kept, count, sizeof(kept[0]), by_number);
	for (size_t i = 0; i < count; i++) {
		if (kept[i] < (int)from)
			continue;
		if ((unsigned)kept[i] > from)
			close_range(from, (unsigned)kept[i] - 1, 0);
		from = (unsigned)kept[i] + 1;
	}
	close_range(from, ~0u, 0);
}

static void keep_only(int connection)
{
	int kept[KEPT_MAX];
	size_t count = 0;

	kept[count++] = connection;
	if (child.log_fd != -1)
		kept[count++] = child.log_fd;
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (next.fd[i] != -1)
			kept[count++] = next.fd[i];
	close_others(kept, count);
}

static void make_links(struct loop *loop)
{
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		const struct link_config config = {ROLE_SMTPD, (enum role)i, 0,
						   on_message, on_broken,    NULL};

		if (next.fd[i] == -1)
			continue;
		child.links[i] = link_new(loop, next.fd[i], &config);
		if (child.links[i] == NULL)
			log_fatal("link", ENOMEM);
	}
}

static void flush_links(void)
{
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if (link_to((enum role)i) != NULL)
			link_flush(link_to((enum role)i));
}

static _Noreturn void run_child(struct service *s, const struct msg_SESSION_START *start, int fd,
				struct generation *g)
{
	const struct ports ports = {ask, tell, reaches, NULL};
	struct link *log = service_link(s, ROLE_LOG, SERVICE_ANY);
	struct loop *loop;

	child.log_fd = log == NULL ? -1 : link_fd(log);
	log_set_sink(child.log_fd == -1 ? NULL : to_log);
	signal(SIGCHLD, SIG_DFL);
	keep_only(fd);
	if (!cage_narrow(CALLS_BASE))
		_exit(75);
	loop = loop_new();
	make_links(loop);
	child.failing = timer_new(loop, on_failing, NULL);
	child.worker.release = release;
	child.worker.on_empty = on_empty;
	worker_init(&child.worker, loop, &ports);
	worker_begin(&child.worker, start, fd, g);
	if (child.worker.count > 0)
		loop_run(loop);
	flush_links();
	_exit(0);
}

uint64_t solo_begin(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_SESSION_START *start = &m->body.SESSION_START;
	struct generation *g = generation_find(s, start->generation);
	pid_t pid;

	if (!next.begun || next.fd[ROLE_GATE] == -1) {
		link_break(link, "a session without its links");
		return children;
	}
	pid = fork();
	if (pid == 0)
		run_child(s, start, m->fd, g != NULL ? g : service_generation(s));
	if (pid == -1) {
		failures++;
		LOG(LEVEL_ERROR, "fork-failed", KV_SESSION(start->session), KV_ERRNO(errno));
	}
	children += pid > 0;
	if (pid > 0)
		(void)map_put_u64(sessions, (uint64_t)pid, (void *)(uintptr_t)start->session);
	/* Without a child the gate sees its private link end, and the session with it. */
	forget_next();
	return children;
}
