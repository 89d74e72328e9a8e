#include "base/log.h"
#include "base/mem.h"
#include "child.h"
#include "inherit.h"
#include "master.h"
#include "notify.h"
#include "os/fd.h"
#include "os/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * New programs in the place of those that run (README.md has the picture):
 *
 *   RUNNING --upgrade--> TRYING --trial ended with 0--> EMPTYING --all left--> LEAVING --all children ended--> exec of the new master
 *                           '-- anything else: RUNNING                             '-- exec failed: STARTING, with the old programs
 *
 * While it empties the sessions of then are told to leave, and others are still served: what is slow is over before who connects has
 * to wait.  Trying costs nothing that runs.  After it the old master only ends its children, in order, and executes.
 */
#define TRY_MS 90000u
#define TEXT_MAX 16384u
#define LEAVE_AFTER_MS 100u
#define EMPTY_MS 10000u /* for a mail that is under way */
#define EMPTY_SLACK_MS 2000u

struct upgrade {
	struct master *master;
	pid_t pid; /* of the trial; 0: it ended */
	int fd; /* owned: what it says */
	struct watch *watch;
	struct timer *deadline;
	struct buf text;
	bool late, passed;
	upgrade_done_fn *done;
	void *arg;
};

/* ---- what is handed on ---- */

static size_t collect(const struct master *m, int out[INHERIT_MAX])
{
	const int named[] = {m->control_fd, m->submission_fd, m->runtime_fd};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		out[count++] = named[i];
	for (size_t i = 0; i < m->plan->listener_count; i++)
		for (size_t n = 0; n < 2; n++)
			if (m->plan->listeners[i].fds[n] >= 0)
				out[count++] = m->plan->listeners[i].fds[n];
	return count;
}

/* Returns only when it failed; then what was handed on is ours again. */
static void execute(struct master *m, bool trial)
{
	const struct master_options *o = m->options;
	struct buf list = buf_make(INHERIT_MAX * 12);
	int fds[INHERIT_MAX];
	size_t count = collect(m, fds);
	char self[sizeof(o->self)], config[sizeof(o->config)], libexec[sizeof(o->libexec)], kernel[24];
	char f_[] = "-F", c_[] = "-c", libexec_[] = "--libexec", inherit_[] = "--inherit", kernel_[] = "--kernel", trial_[] = "--trial";
	char *argv[] = {self, f_, c_, config, libexec_, libexec, kernel_, kernel, inherit_, NULL, trial ? trial_ : NULL, NULL};
	int err;

	(void)slice_copy(slice_of(o->self), self, sizeof(self));
	(void)slice_copy(slice_of(o->config), config, sizeof(config));
	(void)slice_copy(slice_of(o->libexec), libexec, sizeof(libexec));
	snprintf(kernel, sizeof(kernel), "%llu", (unsigned long long)o->kernel);
	if (inherit_text(fds, count, &list) && inherit_keep(fds, count, true)) {
		argv[9] = list.at;
		execv(self, argv);
	}
	err = errno;
	inherit_keep(fds, count, false);
	buf_free(&list);
	errno = err;
}

/* ---- the trial ---- */

static void forget(struct upgrade *u)
{
	u->master->upgrade = NULL;
	watch_free(&u->watch);
	timer_free(&u->deadline);
	os_close(&u->fd);
	buf_free(&u->text);
	free(u);
}

static void refuse(struct upgrade *u)
{
	LOG(LEVEL_ERROR, "upgrade-refused", KV_TEXT("why", buf_slice(&u->text)));
	notify_ready();
	u->done(u->master, false, buf_text(&u->text), u->arg);
	forget(u);
}

/* They have left, or had the time to; or a stop has come between. */
static void on_left(struct ipc_message *m, void *arg)
{
	const struct master *master = arg;

	(void)m;
	if (master->upgrade != NULL && master->upgrade->passed)
		timer_set(master->upgrade->deadline, LEAVE_AFTER_MS);
}

/* The gate, which is the first to end, needs a moment to pass the answer on. */
static void begin(struct upgrade *u)
{
	struct slot *gate = slot_find(u->master, ROLE_GATE, 0);
	const struct msg_GUESTS_LEAVE leave = {EMPTY_MS};

	LOG_PLAIN(LEVEL_INFO, "upgrade-begins");
	u->done(u->master, true, buf_text(&u->text), u->arg);
	u->passed = true;
	if (gate == NULL || gate->link == NULL ||
	    link_ask(gate->link, IPC_GUESTS_LEAVE, &leave, EMPTY_MS + EMPTY_SLACK_MS, on_left, u->master) == 0)
		timer_set(u->deadline, LEAVE_AFTER_MS);
	else
		timer_set(u->deadline, EMPTY_MS + 2 * EMPTY_SLACK_MS); /* a gate that dies answers nothing */
}

static void end_trial(struct upgrade *u)
{
	if (u->pid > 0)
		kill(u->pid, SIGKILL);
}

static void on_deadline(void *arg)
{
	struct upgrade *u = arg;
	struct master *m = u->master;

	if (u->passed) {
		forget(u);
		master_leave(m);
		return;
	}
	u->late = true;
	end_trial(u);
}

/* Past the ceiling it is read and forgotten: the trial must not wait for us. */
static void on_words(int fd, unsigned what, void *arg)
{
	struct upgrade *u = arg;
	char space[4096];
	ssize_t n = read(fd, space, sizeof(space));

	(void)what;
	if (n > 0)
		(void)buf_add(&u->text, space, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		watch_free(&u->watch);
}

void upgrade_reap(struct master *m)
{
	struct upgrade *u = m->upgrade;
	char how[CHILD_END_BYTES];
	int status;

	if (u == NULL || u->pid == 0 || waitpid(u->pid, &status, WNOHANG) != u->pid)
		return;
	u->pid = 0;
	while (u->watch != NULL && u->text.len < TEXT_MAX) {
		size_t before = u->text.len;

		on_words(u->fd, WATCH_READ, u);
		if (u->text.len == before)
			break;
	}
	child_end_text(status, how);
	if (u->late)
		(void)buf_addf(&u->text, "the new programs were not ready within %u s\n", TRY_MS / 1000);
	else if (u->text.len == 0)
		(void)buf_addf(&u->text, "%s: %s\n", m->options->self, how);
	if (!u->late && m->phase == PHASE_RUNNING && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		begin(u);
	else
		refuse(u);
}

static _Noreturn void run_trial(struct master *m, int words, pid_t master)
{
	child_reset_signals();
	/* systemd hears one master only. */
	if (unsetenv("NOTIFY_SOCKET") == 0 && unsetenv("WATCHDOG_USEC") == 0 && dup2(words, STDOUT_FILENO) != -1 &&
	    dup2(words, STDERR_FILENO) != -1 && die_with_parent(master))
		execute(m, true);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", m->options->self, strerrordesc_np(errno));
	_exit(126);
}

static bool start_trial(struct upgrade *u)
{
	pid_t self = getpid();
	int words[2];

	if (!os_pipe(words))
		return false;
	u->pid = fcntl(words[0], F_SETFL, O_NONBLOCK) == 0 ? fork() : -1;
	if (u->pid == 0)
		run_trial(u->master, words[1], self);
	close(words[1]);
	u->fd = words[0];
	if (u->pid == -1)
		return false;
	u->watch = watch_new(u->master->loop, u->fd, on_words, u);
	watch_want(u->watch, WATCH_READ);
	timer_set(u->deadline, TRY_MS);
	return true;
}

void upgrade_start(struct master *m, upgrade_done_fn *done, void *arg)
{
	bool can = m->reload == NULL && m->upgrade == NULL && m->phase == PHASE_RUNNING;
	struct upgrade *u = can ? mem_new(1, sizeof(*u)) : NULL;

	if (u == NULL) {
		done(m, false, can || m->phase != PHASE_RUNNING ? "not running yet, or stopping"
								 : "a reload or an upgrade is under way already", arg);
		return;
	}
	*u = (struct upgrade){.master = m, .fd = -1, .text = buf_make(TEXT_MAX + 256), .done = done, .arg = arg};
	u->deadline = timer_new(m->loop, on_deadline, u);
	m->upgrade = u;
	notify_reloading();
	if (start_trial(u))
		return;
	u->pid = 0;
	(void)buf_addf(&u->text, "the trial could not be started: %s\n", strerrordesc_np(errno));
	refuse(u);
}

void upgrade_cancel(struct master *m)
{
	if (m->upgrade == NULL)
		return;
	end_trial(m->upgrade);
	if (m->upgrade->passed)
		forget(m->upgrade);
}

/* ---- the last act of the old master ---- */

/* What arrives between exec and the new master's handlers waits: by default it would end the process. */
static void hold_signals(int how)
{
	static const int held[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR2, SIGCHLD};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(held); i++)
		sigaddset(&set, held[i]);
	sigprocmask(how, &set, NULL);
}

void upgrade_execute(struct master *m)
{
	hold_signals(SIG_BLOCK);
	execute(m, false);
	LOG(LEVEL_ERROR, "upgrade-failed", KV_STR("program", m->options->self), KV_ERRNO(errno));
	hold_signals(SIG_UNBLOCK);
}
