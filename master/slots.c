#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "child.h"
#include "master.h"
#include "os/privilege.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Beyond session-timeout: a commit (60 s), a last reply to somebody slow (30 s), a gate that is just starting. */
#define RETIRE_SLACK_MS 120000u

struct slot *slot_find(struct master *m, enum role role, uint64_t instance)
{
	for (size_t i = 0; i < m->slot_count; i++)
		if (m->slots[i]->row->role == role && m->slots[i]->instance == instance)
			return m->slots[i];
	return NULL;
}

bool slots_are(const struct master *m, enum supervise_state state)
{
	for (size_t i = 0; i < m->slot_count; i++)
		if (m->slots[i]->life.state != state && m->slots[i]->life.state != SUPERVISE_DEAD)
			return false;
	return true;
}

static void log_slot(enum log_level level, const char *event, const struct slot *s)
{
	LOG(level, event, KV_STR("role", role_name(s->row->role)), KV_NUM("instance", s->instance), KV_NUM("child", s->pid));
}

/* ---- a process begins ---- */

static void on_slot_broken(struct link *link, const char *broke_rules, void *arg)
{
	struct slot *s = arg;

	(void)link;
	if (broke_rules != NULL)
		LOG(LEVEL_ERROR, "child-broke-rules", KV_STR("role", role_name(s->row->role)),
		    KV_NUM("instance", s->instance), KV_STR("why", broke_rules));
	link_free(&s->link);
	/* With the link of its master gone it ends by itself; one that does not is ended. */
	slot_event(s, EVENT_MUST_DIE);
}

static void on_checked(struct ipc_message *m, void *arg)
{
	struct slot *s = arg;
	struct buf text = buf_make(8192);

	if (m == NULL || m->body.GENERATION_CHECKED.outcome == OC_DONE)
		return; /* READY follows; or its death, or the deadline of the start */
	LOG(LEVEL_ERROR, "configuration-refused", KV_STR("role", role_name(s->row->role)),
	    KV_TEXT("reason", m->body.GENERATION_CHECKED.reason));
	if (s->master->phase == PHASE_STARTING) {
		buf_addf(&text, "postern-master: the configuration is refused: %.*s\n",
			 SLICE_ARG(m->body.GENERATION_CHECKED.reason));
		fputs(buf_text(&text), stderr);
		master_stop(s->master, 78);
	} else {
		slot_event(s, EVENT_MUST_DIE);
	}
	buf_free(&text);
}

static bool hand_over(struct slot *s)
{
	const struct plan *plan = s->master->plan;
	const struct msg_GENERATION_CHECK check = {plan->number};

	return hand_clock(s) && hand_cage(s, plan) && hand_generation(s, plan) &&
	       link_ask(s->link, IPC_GENERATION_CHECK, &check, SUPERVISE_START_MS, on_checked, s) != 0;
}

static void spawn(struct slot *s)
{
	struct master *m = s->master;
	const struct link_config config = {ROLE_MASTER, s->row->role, s->instance, on_slot_message, on_slot_broken, s};
	int pair[2];

	s->births++;
	s->session_ms = 0;
	s->missing[0] = '\0';
	s->missed = 0;
	s->pinged = false;
	if (!link_pair(pair)) {
		slot_event(s, EVENT_DIED);
		return;
	}
	s->pid = child_spawn(&(struct child_order){m->options->libexec, m->programs.fd[s->row->role], s->row->role, s->instance,
						   pair[1]});
	close(pair[1]);
	s->link = link_new(m->loop, pair[0], &config);
	if (s->pid == -1) {
		LOG(LEVEL_ERROR, "fork-failed", KV_ERRNO(errno));
		s->pid = 0;
		link_free(&s->link);
		slot_event(s, EVENT_DIED);
	} else if (s->link == NULL || !hand_over(s)) {
		slot_event(s, EVENT_MUST_DIE);
	}
}

static void end(struct slot *s)
{
	if (s->pid == 0)
		return;
	/* Before its drop it is still ours, afterwards the user's: the helper is for the second. */
	if (kill(s->pid, SIGKILL) == -1 && !kill_as(s->uid, s->pid, SIGKILL))
		log_slot(LEVEL_ERROR, "kill-failed", s);
}

/* Only smtpd takes turns. */
static struct slot *other_of(const struct slot *s)
{
	return s->row->role == ROLE_SMTPD ? slot_find(s->master, s->row->role, roster_other(s->instance)) : NULL;
}

static void arm(struct slot *s)
{
	uint64_t now = clock_mono_ms();

	if (s->life.deadline_ms == 0)
		timer_stop(s->timer);
	else
		timer_set(s->timer, s->life.deadline_ms > now ? s->life.deadline_ms - now : 0);
}

/* The gate must know of the new one before the old takes its leave there.  From then on it gets no session, and the configuration
 * bounds those it has: what stays longer is not what we started. */
static void let_retire(struct slot *s)
{
	struct slot *gate = slot_find(s->master, ROLE_GATE, 0);

	if (gate != NULL && gate->link != NULL)
		link_flush(gate->link);
	s->wants_successor = false;
	s->retiring = true;
	supervise_until(&s->life, clock_mono_ms() + s->session_ms + RETIRE_SLACK_MS);
	arm(s);
	link_tell(s->link, IPC_RETIRE, &(struct msg_RETIRE){0}, -1);
}

static void ready(struct slot *s)
{
	struct slot *other = other_of(s);

	s->ready_ms = clock_mono_ms();
	LOG(LEVEL_INFO, "child-ready", KV_STR("role", role_name(s->row->role)), KV_NUM("instance", s->instance),
	    KV_NUM("child", s->pid), KV_STR("missing", s->missing));
	if (!s->master->options->trial)
		hand_links(s);
	if (other != NULL && other->wants_successor && other->link != NULL)
		let_retire(other);
	master_look(s->master);
}

static void drain(struct slot *s)
{
	const struct msg_DRAIN drain = {s->life.state == SUPERVISE_REPLACING ? SUPERVISE_REPLACE_MS : SUPERVISE_DRAIN_MS};

	if (s->link == NULL || !link_tell(s->link, IPC_DRAIN, &drain, -1))
		end(s);
}

void slot_event(struct slot *s, enum supervise_event event)
{
	enum supervise_state before = s->life.state;
	enum supervise_action action = supervise_step(&s->life, event, clock_mono_ms());

	if (before != s->life.state)
		LOG(LEVEL_DEBUG, "child-state", KV_STR("role", role_name(s->row->role)), KV_NUM("instance", s->instance),
		    KV_STR("from", supervise_state_name(before)), KV_STR("to", supervise_state_name(s->life.state)));
	arm(s);
	switch (action) {
	case ACTION_NONE:
		return;
	case ACTION_SPAWN:
		spawn(s);
		return;
	case ACTION_LINK:
		ready(s);
		return;
	case ACTION_KILL:
		end(s);
		return;
	case ACTION_DRAIN:
		drain(s);
		return;
	case ACTION_GONE:
		master_look(s->master);
		return;
	}
}

static void on_slot_timer(void *arg)
{
	const struct slot *s = arg;

	if (s->retiring && s->life.state == SUPERVISE_READY)
		log_slot(LEVEL_ERROR, "worker-overstays", s);
	slot_event(arg, EVENT_TIMEOUT);
}

/* ---- a process ends ---- */

static bool is_successor(const struct slot *s)
{
	return !s->wants_successor && !s->retiring &&
	       (s->life.state == SUPERVISE_STARTING || s->life.state == SUPERVISE_READY || s->life.state == SUPERVISE_BACKING_OFF);
}

/* One that does not start is enough; what it said itself stands before this line. */
static void fail_trial(struct slot *s, const char *how)
{
	if (s->master->phase == PHASE_STARTING)
		fprintf(stderr, "%s/postern-%s does not start: %s\n", s->master->options->libexec, role_name(s->row->role), how);
	master_stop(s->master, 75);
}

static void gone(struct slot *s, int status)
{
	char text[CHILD_END_BYTES];
	struct slot *other = other_of(s);
	bool succeeded = other != NULL && is_successor(other);
	bool meant = s->life.state == SUPERVISE_DRAINING || s->life.state == SUPERVISE_REPLACING || (succeeded && s->retiring);

	child_end_text(status, text);
	(void)slice_copy(slice_of(text), s->last_end, sizeof(s->last_end));
	LOG(meant ? LEVEL_INFO : LEVEL_ERROR, "child-ended", KV_STR("role", role_name(s->row->role)),
	    KV_NUM("instance", s->instance), KV_NUM("child", s->pid), KV_STR("how", text));
	s->pid = 0;
	link_free(&s->link);
	s->wants_successor = s->retiring = false;
	reload_slot_gone(s->master, s);
	slot_event(s, succeeded ? EVENT_RETIRED : EVENT_DIED);
	if (other != NULL && other->wants_successor)
		slot_succeed(other); /* it has waited for this place */
	if (s->master->options->trial && !meant)
		fail_trial(s, text);
}

/* By pid, never "any child": the helpers that kill and the reader are waited for where they are started. */
void slots_reap(struct master *m)
{
	for (size_t i = 0; i < m->slot_count; i++) {
		struct slot *s = m->slots[i];
		int status;

		if (s->pid > 0 && waitpid(s->pid, &status, WNOHANG) == s->pid)
			gone(s, status);
	}
}

/* ---- which there are ---- */

static uint64_t wanted_count(const struct master *m, enum role role)
{
	uint64_t count = 1;

	if (role == ROLE_SMTPD)
		count = m->plan->smtpd_workers;
	else if (role == ROLE_RELAY)
		count = m->plan->relay_workers;
	else if (role == ROLE_LOOKUP)
		count = m->plan->lookups;
	return count < ROSTER_WORKERS_MAX ? count : ROSTER_WORKERS_MAX;
}

static bool is_wanted(const struct master *m, enum role role, uint64_t instance)
{
	if (role != ROLE_SMTPD)
		return instance < wanted_count(m, role);
	if (roster_place(instance) == ROSTER_SMTPD_PARENT)
		return m->plan->smtpd_parents > 0;
	return roster_place(instance) < wanted_count(m, role);
}

static bool add_slot(struct master *m, const struct roster_row *row, uint64_t instance)
{
	struct slot *s = mem_new(1, sizeof(*s));
	struct buf why = buf_make(512);
	bool known;

	if (s == NULL)
		return false;
	s->master = m;
	s->row = row;
	s->instance = instance;
	s->timer = timer_new(m->loop, on_slot_timer, s);
	known = prepare_slot_user(m, s, &why);
	if (!known)
		LOG(LEVEL_ERROR, "no-user", KV_TEXT("why", buf_slice(&why)));
	buf_free(&why);
	m->slots[m->slot_count++] = s;
	return known;
}

static bool fit(struct master *m, const struct roster_row *row, uint64_t instance)
{
	struct slot *s = slot_find(m, row->role, instance);
	bool wanted = is_wanted(m, row->role, instance);

	if (s != NULL && !wanted) {
		slot_event(s, EVENT_STOP);
		if (other_of(s) != NULL)
			slot_event(other_of(s), EVENT_STOP);
	}
	return s != NULL || !wanted || add_slot(m, row, instance);
}

bool slots_fit(struct master *m)
{
	bool fits = true;

	for (size_t r = 0; r < ROSTER_COUNT; r++) {
		for (uint64_t i = 0; fits && i < ROSTER_WORKERS_MAX; i++)
			fits = fit(m, &roster[r], i);
		if (roster[r].role == ROLE_SMTPD)
			fits = fits && fit(m, &roster[r], ROSTER_SMTPD_PARENT);
	}
	return fits;
}

void slot_succeed(struct slot *s)
{
	uint64_t instance = roster_other(s->instance);
	struct slot *other = other_of(s);

	if (other == NULL && add_slot(s->master, s->row, instance))
		other = slot_find(s->master, s->row->role, instance);
	if (other != NULL && s->master->phase == PHASE_RUNNING)
		slot_event(other, EVENT_START); /* one that is still retiring ends first (gone) */
}

static bool others_ready(const struct master *m)
{
	for (size_t i = 0; i < m->slot_count; i++)
		if (m->slots[i]->row->role != ROLE_GATE && m->slots[i]->life.state != SUPERVISE_READY &&
		    m->slots[i]->life.state != SUPERVISE_DEAD)
			return false;
	return true;
}

/* Of two who share a place the one that lives, else the first. */
static bool has_turn(const struct slot *s)
{
	const struct slot *other = other_of(s);

	if (other == NULL)
		return true;
	if (other->life.state != SUPERVISE_IDLE && other->life.state != SUPERVISE_DEAD)
		return false;
	return s->instance == roster_place(s->instance);
}

/* The gate comes last: until all it attests to are there it could only say 421. */
void slots_start(struct master *m)
{
	for (size_t i = 0; i < m->slot_count; i++) {
		struct slot *s = m->slots[i];
		bool waits = s->life.state == SUPERVISE_IDLE || s->life.state == SUPERVISE_DEAD;

		if (waits && has_turn(s) && is_wanted(m, s->row->role, s->instance) && (s->row->role != ROLE_GATE || others_ready(m)))
			slot_event(s, EVENT_START);
	}
}
