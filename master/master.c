#include "master.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "inherit.h"
#include "notify.h"
#include "os/fd.h"
#include "os/privilege.h"
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 *   READING --plan--> STARTING --all ready--> RUNNING --SIGTERM, SIGINT, "stop"--> STOPPING --all gone--> exit
 *      '-- mistakes: exit 78     '-- refused: exit 78
 *      '-- not known now: exit 75
 */
#define EX_CONFIG 78
#define EX_TEMPFAIL 75

static struct master *the_master; /* for the log's sink, which has no argument */

/* ---- our own events go where everybody's go ---- */

static struct slot *log_slot(void)
{
	struct slot *s = the_master != NULL ? slot_find(the_master, ROLE_LOG, 0) : NULL;

	return s != NULL && s->life.state == SUPERVISE_READY && s->link != NULL ? s : NULL;
}

/* In the form of postern-log, for what is said before it runs and after it ended. */
static void to_stderr(enum log_level level, const char *event, struct slice fields)
{
	char date[CLOCK_DATE_BYTES];

	clock_iso(clock_wall_ms(), date);
	dprintf(STDERR_FILENO, "%s %s master[0] %s%s%.*s\n", date, log_level_name(level), event, fields.len > 0 ? " " : "",
		SLICE_ARG(fields));
}

static void to_log(enum log_level level, const char *event, struct slice fields)
{
	struct slot *s = log_slot();
	const struct msg_LOG_RECORD record = {level, (uint64_t)clock_wall_ms(), slice_of(event), slice_sub(fields, 0, 8300)};

	if (the_master->options->trial || s == NULL || !link_tell(s->link, IPC_LOG_RECORD, &record, -1))
		to_stderr(level, event, fields);
}

/* ---- phases ---- */

static void say_ready(struct master *m)
{
	if (m->options->trial) {
		master_stop(m, 0);
		return;
	}
	m->phase = PHASE_RUNNING;
	LOG(LEVEL_INFO, "ready", KV_NUM("generation", m->plan->number), KV_NUM("processes", m->slot_count));
	dprintf(STDERR_FILENO, "ready\n");
	if (m->options->ready_fd >= 0)
		dprintf(m->options->ready_fd, "ready\n");
	watch_children(m);
	notify_status("ready");
	notify_ready();
	renewal_start(m);
}

static bool turn_is_over(const struct master *m)
{
	for (size_t i = 0; i < m->slot_count; i++)
		if (m->slots[i]->row->drain_turn <= m->drain_turn && m->slots[i]->life.state != SUPERVISE_DEAD)
			return false;
	return true;
}

static void end_turn(struct master *m)
{
	for (size_t i = 0; i < m->slot_count; i++)
		if (m->slots[i]->row->drain_turn == m->drain_turn)
			slot_event(m->slots[i], EVENT_STOP);
}

/* The new master could not be executed: what ran runs on, with the programs it had. */
static void begin_again(struct master *m)
{
	m->leaving = false;
	m->drain_turn = 0;
	m->phase = PHASE_STARTING;
	slots_start(m);
}

void master_look(struct master *m)
{
	if (m->phase == PHASE_STARTING) {
		slots_start(m);
		if (slots_are(m, SUPERVISE_READY))
			say_ready(m);
	}
	while (m->phase == PHASE_STOPPING && turn_is_over(m)) {
		if (++m->drain_turn < ROSTER_TURNS) {
			end_turn(m);
			continue;
		}
		if (m->leaving)
			upgrade_execute(m);
		if (m->leaving)
			begin_again(m);
		else
			loop_stop(m->loop);
		return;
	}
}

void master_leave(struct master *m)
{
	m->leaving = true;
	m->phase = PHASE_STOPPING;
	end_turn(m);
	master_look(m);
}

void master_stop(struct master *m, int exit_code)
{
	upgrade_cancel(m);
	if (m->phase == PHASE_STOPPING && !m->leaving)
		return;
	m->exit_code = exit_code;
	m->phase = PHASE_STOPPING;
	LOG(LEVEL_INFO, "stopping", KV_NUM("exit", exit_code));
	notify_stopping();
	if (m->leaving) {
		m->leaving = false; /* the turns go on, and end */
		return;
	}
	end_turn(m);
	master_look(m);
}

/* ---- start ---- */

/* What root can do is used up here: ports, folders, users.  From now on it changes users and roots, and binds ports when a
 * reload names new ones. */
static bool lower_privileges(struct buf *why)
{
	if (capabilities_keep_master() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
		return true;
	buf_addf(why, "cannot give up privileges: %s\n", strerror(errno));
	return false;
}

static bool prepare(struct master *m, struct buf *why)
{
	bool opened = plan_open_paths(m->plan, why);
	bool bound = plan_bind(m->plan, NULL, why);

	if (!slots_fit(m)) {
		buf_addf(why, "the users of the processes are missing\n");
		return false;
	}
	programs_open(&m->programs, m->options->libexec);
	if (!prepare_folders(m, why) || !opened || !bound)
		return false;
	inherit_end();
	return lower_privileges(why);
}

static void refuse_start(struct master *m, int exit_code, struct slice why)
{
	fprintf(stderr, "%.*s", SLICE_ARG(why));
	m->exit_code = exit_code;
	m->phase = PHASE_STOPPING;
	loop_stop(m->loop);
}

static void on_plan(struct plan *plan, enum outcome outcome, struct slice mistakes, void *arg)
{
	struct master *m = arg;
	struct buf why = buf_make(1 << 16);

	if (m->phase != PHASE_READING) {
		plan_free(&plan);
	} else if (plan == NULL) {
		refuse_start(m, outcome_kind(outcome) == KIND_TEMP ? EX_TEMPFAIL : EX_CONFIG, mistakes);
	} else {
		m->plan = plan;
		plan_in_force(plan);
		if (m->options->trial)
			log_set_level(LEVEL_ERROR + 1); /* why it failed is said on stderr, in words for people */
		if (prepare(m, &why)) {
			m->phase = PHASE_STARTING;
			slots_start(m);
		} else {
			refuse_start(m, EX_CONFIG, buf_slice(&why));
		}
	}
	buf_free(&why);
}

/* ---- signals ---- */

static void on_stop_signal(int signo, void *arg)
{
	struct master *m = arg;

	LOG(LEVEL_INFO, "signal", KV_STR("name", sigabbrev_np(signo)));
	if (m->phase == PHASE_STOPPING && !m->leaving) {
		/* asked twice: somebody does not want to wait */
		for (size_t i = 0; i < m->slot_count; i++)
			slot_event(m->slots[i], EVENT_MUST_DIE);
	}
	master_stop(m, 0);
}

static void on_child_signal(int signo, void *arg)
{
	(void)signo;
	slots_reap(arg);
	probes_reap(arg);
	upgrade_reap(arg);
}

static void on_reloaded(struct master *m, bool done, const char *text, void *arg)
{
	(void)m;
	(void)arg;
	if (!done)
		fprintf(stderr, "postern-master: the reload was refused: %s", text);
}

static void on_reload_signal(int signo, void *arg)
{
	(void)signo;
	reload_start(arg, on_reloaded, NULL);
}

static void on_upgraded(struct master *m, bool begun, const char *text, void *arg)
{
	(void)m;
	(void)arg;
	if (!begun)
		fprintf(stderr, "postern-master: the upgrade was refused: %s", text);
}

static void on_upgrade_signal(int signo, void *arg)
{
	(void)signo;
	upgrade_start(arg, on_upgraded, NULL);
}

/* A master before us may have held signals back while it became us. */
static void listen_to_signals(struct master *m)
{
	sigset_t none;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	loop_on_signal(m->loop, SIGTERM, on_stop_signal, m);
	loop_on_signal(m->loop, SIGINT, on_stop_signal, m);
	loop_on_signal(m->loop, SIGHUP, on_reload_signal, m);
	loop_on_signal(m->loop, SIGCHLD, on_child_signal, m);
	loop_on_signal(m->loop, SIGUSR2, on_upgrade_signal, m);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void free_all(struct master *m)
{
	the_master = NULL;
	for (size_t i = 0; i < m->slot_count; i++) {
		link_free(&m->slots[i]->link);
		timer_free(&m->slots[i]->timer);
		free(m->slots[i]);
	}
	probes_free(m);
	timer_free(&m->stop);
	timer_free(&m->watch);
	renewal_free(&m->renewal);
	plan_free(&m->plan);
	programs_close(&m->programs);
	os_close(&m->spool_fd);
	os_close(&m->empty_fd);
	os_close(&m->runtime_fd);
	os_close(&m->control_fd);
	os_close(&m->submission_fd);
	loop_free(&m->loop);
}

int master_run(const struct master_options *options)
{
	struct master m = {.options = options,
			   .as_root = geteuid() == 0,
			   .spool_fd = -1,
			   .empty_fd = -1,
			   .runtime_fd = -1,
			   .control_fd = -1,
			   .submission_fd = -1};
	struct reader_order order;

	the_master = &m;
	mem_random(&m.run, sizeof(m.run));
	m.begun_ms = clock_mono_ms();
	log_set_name("master");
	log_set_sink(to_log);
	inherit_close_others(options->ready_fd);
	notify_open();
	prepare_reader_user(&m);
	m.loop = loop_new();
	listen_to_signals(&m);
	order = (struct reader_order){options->config, m.conf_uid, m.conf_gid};
	if (reader_start(m.loop, &order, ++m.generations, on_plan, &m) == NULL)
		log_fatal("the configuration reader could not be started", errno);
	loop_run(m.loop);
	log_set_sink(NULL);
	free_all(&m);
	return m.exit_code;
}
