#include "base/log.h"
#include "base/mem.h"
#include "master.h"
#include "notify.h"
#include "probe.h"

/*
 * A generation: read -> open and bind -> hand out -> all CHECKED -> SWITCH.  Whatever fails on the way leaves the old one in
 * force and says why.
 *
 *   READING --plan--> CHECKING --all agreed--> switched
 *      '----------------'--refused, silent, process gone--> dropped
 */
#define CHECK_MS 30000u

struct asked {
	struct slot *slot; /* NULL: answered */
	uint64_t births;
	bool agreed;
	char *words; /* owned: why not, or what is new; NULL: none */
};

struct reload {
	struct master *master;
	struct plan *next; /* owned until in force */
	struct asked asked[SLOTS_MAX];
	size_t waiting;
	bool of_files; /* the configuration is the same, files it names are others */
	bool refused;
	struct buf text; /* why it was refused, or what is new */
	struct soon *finish; /* owned */
	reload_done_fn *done;
	void *arg;
	/* An operator asked while this one, which nobody asked for, was under way; NULL: nobody did. */
	reload_done_fn *next_done;
	void *next_arg;
};

static void refuse(struct reload *r, struct slice why)
{
	r->refused = true;
	buf_add_slice(&r->text, why);
	buf_add_char(&r->text, '\n');
}

/* ---- the end ---- */

static void drop(struct reload *r)
{
	struct master *m = r->master;

	for (size_t i = 0; r->next != NULL && i < m->slot_count; i++) {
		struct slot *s = m->slots[i];

		if (!slot_is_live(s) || s->generation != r->next->number)
			continue;
		link_tell(s->link, IPC_GENERATION_DROP, &(struct msg_GENERATION_DROP){r->next->number}, -1);
		s->generation = m->plan->number;
	}
	plan_free(&r->next);
}

/* A lookup that the next configuration has nothing for cannot agree to it: it ends at the switch (slots_fit). */
static bool has_place(const struct slot *s, const struct plan *next)
{
	return s->row->role != ROLE_LOOKUP || s->instance < next->lookups;
}

static void switch_slot(struct slot *s, const struct plan *old, const struct plan *next)
{
	if (!has_place(s, next))
		return;
	/* What lies beyond its cage the next process of the role has; this one ends what it has begun. */
	if (plan_needs_new_process(next, old, s->row->role)) {
		LOG(LEVEL_INFO, "restart-for-reload", KV_STR("role", role_name(s->row->role)));
		slot_event(s, EVENT_REPLACE);
		return;
	}
	if (s->generation != next->number && !hand_generation(s, next))
		slot_event(s, EVENT_MUST_DIE);
	else
		link_tell(s->link, IPC_GENERATION_SWITCH, &(struct msg_GENERATION_SWITCH){next->number}, -1);
}

static void warn_fixed(const char *name, const char *old, const char *next)
{
	if (strcmp(old, next) != 0)
		LOG(LEVEL_WARN, "setting-needs-restart", KV_STR("setting", name), KV_STR("in-force", old), KV_STR("new", next));
}

static void put_in_force(struct reload *r)
{
	struct master *m = r->master;
	struct plan *old = m->plan;

	warn_fixed("spool", old->spool, r->next->spool);
	warn_fixed("runtime", old->runtime, r->next->runtime);
	warn_fixed("user_prefix", old->user_prefix, r->next->user_prefix);
	m->plan = r->next;
	plan_in_force(m->plan);
	r->next = NULL;
	for (size_t i = 0; i < m->slot_count; i++)
		if (slot_is_live(m->slots[i]))
			switch_slot(m->slots[i], old, m->plan);
	plan_free(&old);
	watch_children(m);
	slots_fit(m);
	slots_start(m);
}

/* That files were refused is told by who looks at them, and once. */
static void tell_log(struct reload *r)
{
	uint64_t generation = r->master->plan->number;
	struct slice text = buf_slice(&r->text);

	if (!r->refused)
		LOG(LEVEL_INFO, r->of_files ? "files-taken-up" : "reloaded", KV_NUM("generation", generation),
		    KV_TEXT("new", text));
	else if (!r->of_files)
		LOG(LEVEL_ERROR, "reload-refused", KV_NUM("generation", generation), KV_TEXT("why", text));
}

/* In the order of the processes, not of their answers; what several say is said once. */
static void collect_words(struct reload *r)
{
	for (size_t i = 0; i < SLOTS_MAX; i++) {
		struct slice words = slice_of(r->asked[i].words);
		bool counts = words.len > 0 && r->asked[i].agreed == !r->refused;

		if (counts && slice_find(buf_slice(&r->text), words) == SLICE_NONE) {
			(void)buf_add_slice(&r->text, words);
			if (words.at[words.len - 1] != '\n')
				(void)buf_add_char(&r->text, '\n');
		}
		free(r->asked[i].words);
		r->asked[i].words = NULL;
	}
}

static void on_finish(void *arg)
{
	struct reload *r = arg;
	struct master *m = r->master;

	collect_words(r);
	/* What has ended by now would be started again. */
	if (!r->refused && m->phase != PHASE_RUNNING)
		refuse(r, slice_of("postern is stopping"));
	if (r->refused)
		drop(r);
	else
		put_in_force(r);
	m->reload = NULL;
	probes_end(m);
	tell_log(r);
	if (m->phase == PHASE_RUNNING)
		notify_ready();
	r->done(m, !r->refused, buf_text(&r->text), r->arg);
	if (r->next_done != NULL)
		reload_start(m, r->next_done, r->next_arg);
	soon_free(&r->finish);
	buf_free(&r->text);
	free(r);
}

/* ---- all are asked ---- */

static void answered(struct reload *r, size_t i)
{
	r->asked[i].slot = NULL;
	if (--r->waiting == 0)
		soon_call(r->finish);
}


static void on_checked(struct ipc_message *m, void *arg)
{
	struct asked *a = arg;
	struct slot *s = a->slot;
	struct reload *r;

	/* NULL: it had gone before, or the reload was ended without it; its slot was forgotten then. */
	if (s == NULL || s->births != a->births || s->master->reload == NULL)
		return;
	r = s->master->reload;
	if (m == NULL) {
		refuse(r, slice_of(role_name(s->row->role)));
		refuse(r, slice_of("did not answer in time"));
	} else if (m->body.GENERATION_CHECKED.outcome != OC_DONE) {
		r->refused = true;
		a->words = slice_dup(m->body.GENERATION_CHECKED.reason);
	} else {
		a->agreed = true;
		a->words = slice_dup(m->body.GENERATION_CHECKED.reason);
	}
	answered(r, (size_t)(a - r->asked));
}

/* Its restart would begin with the old generation; without its word the new one cannot be in force. */
void reload_slot_gone(struct master *m, struct slot *s)
{
	struct reload *r = m->reload;

	for (size_t i = 0; r != NULL && i < SLOTS_MAX; i++)
		if (r->asked[i].slot == s) {
			refuse(r, slice_of("a process ended while it checked the new configuration; try again"));
			answered(r, i);
			return;
		}
}

/* The process itself may have gone meanwhile: then reload_slot_gone has answered for it. */
static void on_probed(bool agreed, struct slice reason, void *arg)
{
	struct asked *a = arg;
	struct reload *r = a->slot == NULL ? NULL : a->slot->master->reload;

	if (r == NULL)
		return;
	if (!agreed)
		refuse(r, reason);
	answered(r, (size_t)(a - r->asked));
}

/* Who will be started anew at the switch is checked by a process of its kind, which has what the running one cannot be given. */
static bool ask_slot(struct reload *r, size_t i, struct slot *s)
{
	const struct msg_GENERATION_CHECK check = {r->next->number};

	r->asked[i] = (struct asked){.slot = s, .births = s->births};
	r->waiting++;
	if (plan_needs_new_process(r->next, r->master->plan, s->row->role))
		return probe_start(s, r->next, on_probed, &r->asked[i]);
	return hand_generation(s, r->next) &&
	       link_ask(s->link, IPC_GENERATION_CHECK, &check, CHECK_MS, on_checked, &r->asked[i]) != 0;
}

static void ask_all(struct reload *r)
{
	struct master *m = r->master;

	for (size_t i = 0; i < m->slot_count; i++) {
		struct slot *s = m->slots[i];

		if (s->life.state != SUPERVISE_READY || s->link == NULL || !has_place(s, r->next))
			continue;
		if (!ask_slot(r, i, s)) {
			refuse(r, slice_of("a process could not be asked; try again"));
			answered(r, i);
		}
	}
	if (r->waiting == 0)
		soon_call(r->finish);
}

static void on_plan(struct plan *plan, enum outcome outcome, struct slice mistakes, void *arg)
{
	struct reload *r = arg;
	struct buf why = buf_make(1 << 16);

	(void)outcome;
	r->next = plan;
	if (plan == NULL) {
		refuse(r, mistakes);
	} else {
		bool opened = plan_open_paths(plan, &why);

		if (!plan_bind(plan, r->master->plan, &why) || !opened)
			refuse(r, buf_slice(&why));
	}
	buf_free(&why);
	if (r->refused || r->master->phase != PHASE_RUNNING)
		soon_call(r->finish);
	else
		ask_all(r);
}

static struct reload *begin(struct master *m, reload_done_fn *done, void *arg)
{
	bool busy = m->reload != NULL || m->upgrade != NULL;
	struct reload *r = !busy && m->phase == PHASE_RUNNING ? mem_new(1, sizeof(*r)) : NULL;

	if (r == NULL) {
		done(m, false, busy ? "a reload or an upgrade is under way already" : "not running yet, or stopping", arg);
		return NULL;
	}
	*r = (struct reload){.master = m, .done = done, .arg = arg, .text = buf_make(1 << 18)};
	r->finish = soon_new(m->loop, on_finish, r);
	m->reload = r;
	return r;
}

void reload_start(struct master *m, reload_done_fn *done, void *arg)
{
	const struct reader_order order = {m->options->config, m->conf_uid, m->conf_gid};
	struct reload *r = m->reload;

	if (r != NULL && r->of_files && r->next_done == NULL) {
		r->next_done = done;
		r->next_arg = arg;
		return;
	}
	r = begin(m, done, arg);
	if (r == NULL)
		return;
	notify_reloading();
	if (reader_start(m->loop, &order, ++m->generations, on_plan, r) == NULL) {
		refuse(r, slice_of("the configuration reader could not be started"));
		soon_call(r->finish);
	}
}

void reload_files(struct master *m, reload_done_fn *done, void *arg)
{
	struct reload *r = begin(m, done, arg);

	if (r == NULL)
		return;
	r->of_files = true;
	on_plan(plan_again(m->plan, ++m->generations), OC_UNAVAILABLE, slice_of("no memory"), r);
}
