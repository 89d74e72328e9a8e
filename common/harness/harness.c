#include "harness/harness.h"

#include "base/log.h"
#include "base/mem.h"
#include "conf/bundle.h"
#include "conf/conf.h"
#include "os/fd.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEERS_MAX 16
#define WAIT_MS 10000

struct peer {
	struct harness *harness;
	struct link *link; /* owned; NULL: detached */
	harness_message_fn *fn;
	void *arg;
	bool broken;
};

struct harness {
	struct loop *loop;
	struct timer *late;
	struct link *master; /* our end */
	struct peer peers[PEERS_MAX];
	size_t peer_count;
	pid_t pid;
	char root[32];
	uint64_t generation;
	enum role accused;
	bool is_late, done, gone;
	enum outcome checked;
	char why[1024];
};

static _Noreturn void give_up(const char *what)
{
	perror(what);
	abort();
}

struct loop *harness_loop(struct harness *h)
{
	return h->loop;
}

uint64_t harness_generation(const struct harness *h)
{
	return h->generation;
}

static void on_late(void *arg)
{
	struct harness *h = arg;

	h->is_late = true;
	loop_stop(h->loop);
}

static void on_master_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct harness *h = arg;

	(void)link;
	if (m->type == IPC_PEER_BROKE_RULES)
		h->accused = role_from(m->body.PEER_BROKE_RULES.role);
}

static void on_master_broken(struct link *link, const char *why, void *arg)
{
	struct harness *h = arg;

	(void)link;
	(void)why;
	h->gone = true;
	link_free(&h->master);
	loop_stop(h->loop);
}

bool harness_until(struct harness *h, const bool *flag)
{
	h->is_late = false;
	timer_set(h->late, WAIT_MS);
	while (!*flag && !h->is_late && !h->gone)
		event_base_loop(loop_base(h->loop), EVLOOP_ONCE);
	timer_stop(h->late);
	return *flag;
}

static void on_answer(struct ipc_message *m, void *arg)
{
	struct harness *h = arg;

	h->done = true;
	if (m == NULL || m->type != IPC_GENERATION_CHECKED)
		return;
	h->checked = m->body.GENERATION_CHECKED.outcome;
	(void)slice_copy(m->body.GENERATION_CHECKED.reason, h->why, sizeof(h->why));
}

void harness_settle(struct harness *h)
{
	/* Twice: what it said to a peer in answer may still be on its way after the first. */
	for (int i = 0; i < 2; i++) {
		h->done = false;
		if (h->master == NULL)
			return;
		link_ask(h->master, IPC_STATUS_ASK, &(struct msg_STATUS_ASK){0}, WAIT_MS, on_answer, h);
		(void)harness_until(h, &h->done);
	}
}

void harness_freeze(struct harness *h, bool frozen)
{
	int status;

	if (kill(h->pid, frozen ? SIGSTOP : SIGCONT) == -1)
		give_up("stop");
	if (frozen && waitpid(h->pid, &status, WUNTRACED) != h->pid)
		give_up("stop");
}

void harness_turn_clock(struct harness *h, uint64_t forward_ms)
{
	link_tell(h->master, IPC_CLOCK_TURN, &(struct msg_CLOCK_TURN){forward_ms}, -1);
	harness_settle(h);
}

void harness_retire(struct harness *h)
{
	link_tell(h->master, IPC_RETIRE, &(struct msg_RETIRE){0}, -1);
	harness_settle(h);
}

bool harness_is_gone(const struct harness *h)
{
	return h->gone;
}

/* ---- the process ---- */

static void run_program(const struct harness_spec *spec, int fd)
{
	int at = fcntl(fd, F_DUPFD, 10);

	/* Past CLOEXEC, at the number it looks for. */
	if (at == -1 || dup2(at, 3) == -1)
		_exit(126);
	close(at);
	/* The leak check at the end of a sanitized build stops threads by ptrace, which no cage allows. */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	execl(spec->program, spec->program, "--instance", "0", (char *)NULL);
	_exit(127);
}

struct facts {
	enum role role;
	struct buf records;
};

static void add_fact(unsigned role, const char *name, uint64_t number, const char *text, void *arg)
{
	struct facts *f = arg;

	if (role == f->role && !rec_cage_fact_add(&f->records, &(struct rec_cage_fact){slice_of(name), number, slice_of(text)}))
		give_up("cage fact");
}

/* What the master's reader works out. */
static struct buf facts_of(const char *text, enum role role)
{
	struct facts f = {role, buf_make(8192)};
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct conf_mistakes mistakes;
	struct conf *conf = bundle_add(&bundle, slice_of("t.conf"), slice_of(text)) ? conf_compile(buf_slice(&bundle), &mistakes) : NULL;

	if (conf != NULL)
		conf_each_cage_fact(conf, add_fact, &f);
	conf_free(&conf);
	buf_free(&mistakes.text);
	buf_free(&bundle);
	return f.records;
}

static void tell_cage(struct harness *h, const struct harness_spec *spec, uint64_t instance)
{
	struct buf facts = facts_of(spec->conf, spec->role);
	struct msg_CAGE cage = {.uid = spec->as_root ? HARNESS_UID : getuid(),
				.gid = spec->as_root ? HARNESS_UID : getgid(),
				.instance = instance,
				.as_root = spec->as_root,
				.require = slice_empty(),
				.cage_fact_records = buf_slice(&facts)};
	int fd;

	snprintf(h->root, sizeof(h->root), "/tmp/harness-XXXXXX");
	if (mkdtemp(h->root) == NULL || chmod(h->root, 0755) == -1)
		give_up("folder");
	fd = open(h->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || !link_tell(h->master, IPC_CAGE, &cage, fd))
		give_up("cage");
	buf_free(&facts);
}

static void tell_generation(struct harness *h, const char *conf, const struct harness_path *paths, size_t path_count)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	int fd = -1;

	h->generation++;
	if (bundle_add(&bundle, slice_of("t.conf"), slice_of(conf)))
		fd = os_memfd_sealed("bundle", buf_slice(&bundle));
	if (fd == -1 || !link_tell(h->master, IPC_GENERATION_OPEN, &(struct msg_GENERATION_OPEN){h->generation, LEVEL_INFO, slice_empty()}, fd))
		give_up("generation");
	for (size_t i = 0; i < path_count; i++) {
		struct msg_GENERATION_PATH path = {h->generation, slice_of(paths[i].path)};

		if (!link_tell(h->master, IPC_GENERATION_PATH, &path, fcntl(paths[i].fd, F_DUPFD_CLOEXEC, 3)))
			give_up("path");
	}
	buf_free(&bundle);
}

static bool ask_check(struct harness *h, char *why_out, size_t why_size)
{
	h->done = false;
	h->checked = OC_UNAVAILABLE;
	h->why[0] = '\0';
	link_ask(h->master, IPC_GENERATION_CHECK, &(struct msg_GENERATION_CHECK){h->generation}, WAIT_MS, on_answer, h);
	(void)harness_until(h, &h->done);
	snprintf(why_out, why_size, "%s", h->why);
	return h->checked == OC_DONE;
}

struct harness *harness_start(const struct harness_spec *spec, char *why_out, size_t why_size)
{
	return harness_start_as(spec, 0, why_out, why_size);
}

struct harness *harness_start_as(const struct harness_spec *spec, uint64_t instance, char *why_out, size_t why_size)
{
	struct harness *h = mem_new(1, sizeof(*h));
	int pair[2];

	if (h == NULL || !link_pair(pair))
		give_up("harness");
	h->accused = ROLE_COUNT;
	h->pid = fork();
	if (h->pid == 0)
		run_program(spec, pair[1]);
	if (h->pid == -1)
		give_up("fork");
	close(pair[1]);
	h->loop = loop_new();
	h->late = timer_new(h->loop, on_late, h);
	h->master = link_new(h->loop, pair[0],
			     &(struct link_config){ROLE_MASTER, spec->role, 0, on_master_message, on_master_broken, h});
	tell_cage(h, spec, instance);
	tell_generation(h, spec->conf, spec->paths, spec->path_count);
	if (!ask_check(h, why_out, why_size))
		harness_stop(&h);
	return h;
}

bool harness_reload(struct harness *h, const char *conf, const struct harness_path *paths, size_t path_count, char *why_out,
		    size_t why_size)
{
	tell_generation(h, conf, paths, path_count);
	if (!ask_check(h, why_out, why_size)) {
		link_tell(h->master, IPC_GENERATION_DROP, &(struct msg_GENERATION_DROP){h->generation}, -1);
		return false;
	}
	link_tell(h->master, IPC_GENERATION_SWITCH, &(struct msg_GENERATION_SWITCH){h->generation}, -1);
	harness_settle(h);
	return true;
}

void harness_stop(struct harness **hp)
{
	struct harness *h = *hp;
	int status;

	*hp = NULL;
	for (size_t i = 0; i < h->peer_count; i++)
		link_free(&h->peers[i].link);
	/* Its end ends the process. */
	link_free(&h->master);
	if (waitpid(h->pid, &status, 0) == h->pid && WIFSIGNALED(status)) {
		fprintf(stderr, "the process was killed by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
		abort();
	}
	(void)rmdir(h->root);
	timer_free(&h->late);
	loop_free(&h->loop);
	free(h);
}

/* ---- peers ---- */

static void on_peer_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct peer *p = arg;

	if (p->fn != NULL)
		p->fn(link, m, p->arg);
}

static void on_peer_broken(struct link *link, const char *why, void *arg)
{
	struct peer *p = arg;

	(void)link;
	if (why != NULL)
		fprintf(stderr, "the process broke rules: %s\n", why);
	p->broken = true;
}

struct link *harness_peer(struct harness *h, enum role role, uint64_t instance, harness_message_fn *fn, void *arg)
{
	struct peer *p = &h->peers[h->peer_count++];
	struct msg_LINK_ATTACH attach = {role, instance, h->generation};
	struct link_config config = {role, link_peer(h->master), 0, on_peer_message, on_peer_broken, p};
	int pair[2];

	if (h->peer_count > PEERS_MAX || !link_pair(pair))
		give_up("peer");
	*p = (struct peer){h, NULL, fn, arg, false};
	p->link = link_new(h->loop, pair[0], &config);
	if (p->link == NULL || !link_tell(h->master, IPC_LINK_ATTACH, &attach, pair[1]))
		give_up("peer");
	harness_settle(h);
	return p->link;
}

static struct peer *find_peer(struct harness *h, const struct link *link)
{
	for (size_t i = 0; i < h->peer_count; i++)
		if (h->peers[i].link == link)
			return &h->peers[i];
	give_up("no such peer");
}

bool harness_is_broken(struct harness *h, const struct link *peer)
{
	return find_peer(h, peer)->broken;
}

enum role harness_accused(const struct harness *h)
{
	return h->accused;
}

void harness_detach(struct harness *h, struct link *peer)
{
	link_free(&find_peer(h, peer)->link);
	harness_settle(h);
}
