#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "master.h"

#include <stdio.h>
#include <unistd.h>

/*
 * What an operator asks; the gate has made sure who it is.  Verbs: status, reload, upgrade, stop, clock.turn (test builds).
 */
#define STATUS_MS 1000u
#define STATUS_FIELDS_MAX 4096u
#define ROWS_MAX 65536u
#define SAID_IN_ALL 24576u
#define STOP_AFTER_MS 100u

/* Where an answer goes.  The gate may have been restarted meanwhile: then nobody waits for it. */
struct asker {
	struct slot *gate;
	uint64_t births, request;
};

static void answer(const struct asker *who, enum outcome outcome, const char *text, const struct buf *rows)
{
	const struct msg_CONTROL_ANSWER body = {outcome, slice_sub(slice_of(text), 0, 8192), slice_empty(),
						rows != NULL ? buf_slice(rows) : slice_empty()};

	if (who->gate->link != NULL && who->gate->births == who->births)
		link_answer(who->gate->link, who->request, IPC_CONTROL_ANSWER, &body, -1);
}

/* ---- status ---- */

struct status {
	struct asker asker;
	struct master *master;
	size_t waiting;
	struct status_part {
		struct status *whole;
		struct buf fields; /* what the process says itself */
		bool silent; /* it was asked and did not answer in time */
	} parts[SLOTS_MAX];
};

static void add_text(struct buf *fields, const char *key, struct slice value)
{
	rec_control_field_add(fields, &(struct rec_control_field){slice_of(key), value});
}

static void add_number(struct buf *fields, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add_text(fields, key, slice_of(text));
}

/* What a process says of itself, each key behind "now.": it cannot pass for what we say of it.  All rows are one answer: with many
 * processes each has less room, and what comes last in it is left out. */
static void add_said(struct buf *fields, struct slice said, size_t room)
{
	struct rec_control_field field;
	char key[80];

	for (size_t begun = fields->len; rec_control_field_next(&said, &field);) {
		if (fields->len - begun + field.key.len + field.value.len + 24 > room)
			return;
		snprintf(key, sizeof(key), "now.%.*s", SLICE_ARG(slice_sub(field.key, 0, 60)));
		add_text(fields, key, field.value);
	}
}

static void end_row(struct buf *rows, struct buf *fields)
{
	rec_control_row_add(rows, &(struct rec_control_row){buf_slice(fields)});
	buf_free(fields);
}

static void add_row(struct buf *rows, const struct slot *s, const struct status_part *part)
{
	struct buf fields = buf_make(16384);
	bool is_up = s->life.state == SUPERVISE_READY;

	add_text(&fields, "role", slice_of(role_name(s->row->role)));
	add_number(&fields, "instance", s->instance);
	add_number(&fields, "pid", (uint64_t)s->pid);
	add_number(&fields, "uid", s->uid);
	add_text(&fields, "state", slice_of(part->silent ? "silent" : supervise_state_name(s->life.state)));
	add_number(&fields, "uptime", is_up ? (clock_mono_ms() - s->ready_ms) / 1000 : 0);
	add_number(&fields, "generation", s->generation);
	add_number(&fields, "restarts", s->life.deaths);
	add_text(&fields, "last_end", slice_of(s->last_end));
	add_text(&fields, "missing", slice_of(s->missing));
	add_said(&fields, buf_slice(&part->fields), SAID_IN_ALL / s->master->slot_count);
	if (part->silent)
		add_text(&fields, "now.trouble", slice_of("does not answer"));
	end_row(rows, &fields);
}

static const char *phase_name(enum master_phase phase)
{
	static const char *const names[] = {"reading", "starting", "ready", "stopping"};

	return names[phase];
}

/* `run` tells one run of the master from the next, which an upgrade makes in the same process. */
static void add_master_row(struct buf *rows, const struct master *m)
{
	struct buf fields = buf_make(16384);
	char run[24];

	snprintf(run, sizeof(run), "%016llx", (unsigned long long)m->run);
	add_text(&fields, "role", slice_of("master"));
	add_number(&fields, "instance", 0);
	add_number(&fields, "pid", (uint64_t)getpid());
	add_number(&fields, "uid", getuid());
	add_text(&fields, "state", slice_of(m->leaving || m->upgrade != NULL ? "upgrading" : phase_name(m->phase)));
	add_number(&fields, "uptime", (clock_mono_ms() - m->begun_ms) / 1000);
	add_number(&fields, "generation", m->plan->number);
	add_number(&fields, "restarts", 0);
	add_text(&fields, "last_end", slice_empty());
	add_text(&fields, "missing", slice_empty());
	add_text(&fields, "now.version", slice_of(POSTERN_VERSION));
	add_text(&fields, "now.run", slice_of(run));
	end_row(rows, &fields);
}

static void status_end(struct status *st)
{
	struct master *m = st->master;
	struct buf rows = buf_make(ROWS_MAX);

	add_master_row(&rows, m);
	for (size_t i = 0; i < m->slot_count; i++)
		if (m->slots[i]->life.state != SUPERVISE_DEAD)
			add_row(&rows, m->slots[i], &st->parts[i]);
	answer(&st->asker, OC_DONE, "", &rows);
	buf_free(&rows);
	for (size_t i = 0; i < SLOTS_MAX; i++)
		buf_free(&st->parts[i].fields);
	free(st);
}

static void on_status(struct ipc_message *m, void *arg)
{
	struct status_part *part = arg;
	struct status *st = part->whole;

	if (m != NULL)
		buf_add_slice(&part->fields, m->body.STATUS.control_field_records);
	part->silent = m == NULL;
	if (--st->waiting == 0)
		status_end(st);
}

static void control_status(struct master *m, const struct asker *who, struct slice fields)
{
	struct status *st = mem_new(1, sizeof(*st));

	(void)fields;
	if (st == NULL) {
		answer(who, OC_NO_MEMORY, "no memory", NULL);
		return;
	}
	st->asker = *who;
	st->master = m;
	st->waiting = 1; /* ours, so that it cannot end before all are asked */
	for (size_t i = 0; i < m->slot_count; i++) {
		struct slot *s = m->slots[i];

		st->parts[i] = (struct status_part){st, buf_make(STATUS_FIELDS_MAX), false};
		if (s->life.state != SUPERVISE_READY || s->link == NULL)
			continue;
		st->waiting++;
		if (link_ask(s->link, IPC_STATUS_ASK, &(struct msg_STATUS_ASK){0}, STATUS_MS, on_status, &st->parts[i]) == 0)
			st->waiting--;
	}
	if (--st->waiting == 0)
		status_end(st);
}

/* ---- reload, stop, clock ---- */

static void on_reloaded(struct master *m, bool done, const char *text, void *arg)
{
	struct asker *who = arg;
	struct buf words = buf_make(8192);

	(void)m;
	if (done)
		(void)buf_addf(&words, "reloaded%s%.8000s", text[0] == '\0' ? "" : "\n", text);
	answer(who, done ? OC_DONE : OC_BAD_INPUT, done ? buf_text(&words) : text, NULL);
	buf_free(&words);
	free(who);
}

static void control_reload(struct master *m, const struct asker *who, struct slice fields)
{
	struct asker *kept = mem_new(1, sizeof(*kept));

	(void)fields;
	if (kept == NULL) {
		answer(who, OC_NO_MEMORY, "no memory", NULL);
		return;
	}
	*kept = *who;
	reload_start(m, on_reloaded, kept);
}

static void on_upgraded(struct master *m, bool begun, const char *text, void *arg)
{
	struct asker *who = arg;

	(void)m;
	answer(who, begun ? OC_DONE : OC_BAD_INPUT, text, NULL);
	if (begun && who->gate->link != NULL)
		link_flush(who->gate->link);
	free(who);
}

static void control_upgrade(struct master *m, const struct asker *who, struct slice fields)
{
	struct asker *kept = mem_new(1, sizeof(*kept));

	(void)fields;
	if (kept == NULL) {
		answer(who, OC_NO_MEMORY, "no memory", NULL);
		return;
	}
	*kept = *who;
	upgrade_start(m, on_upgraded, kept);
}

static void on_stop(void *arg)
{
	master_stop(arg, 0);
}

/* The gate is the first to end: it needs a moment to pass the answer on. */
static void control_stop(struct master *m, const struct asker *who, struct slice fields)
{
	(void)fields;
	answer(who, OC_DONE, "", NULL);
	if (m->stop == NULL)
		m->stop = timer_new(m->loop, on_stop, m);
	timer_set(m->stop, STOP_AFTER_MS);
}

#ifdef POSTERN_TEST_CLOCK
static void control_clock_turn(struct master *m, const struct asker *who, struct slice fields)
{
	struct rec_control_field field;
	uint64_t forward_ms;

	if (!rec_control_field_next(&fields, &field) || !slice_eq(field.key, slice_of("forward_ms")) ||
	    !slice_u64(field.value, UINT32_MAX * 1000ull, &forward_ms)) {
		answer(who, OC_BAD_INPUT, "clock.turn needs forward_ms", NULL);
		return;
	}
	for (size_t i = 0; i < m->slot_count; i++)
		if (slot_is_live(m->slots[i]))
			link_tell(m->slots[i]->link, IPC_CLOCK_TURN, &(struct msg_CLOCK_TURN){forward_ms}, -1);
	clock_turn_ms((int64_t)forward_ms);
	loop_clock_turned(m->loop);
	answer(who, OC_DONE, "", NULL);
}
#endif

static const struct verb {
	const char *name;
	void (*run)(struct master *m, const struct asker *who, struct slice fields);
} verbs[] = {
	{"status", control_status},
	{"reload", control_reload},
	{"upgrade", control_upgrade},
	{"stop", control_stop},
#ifdef POSTERN_TEST_CLOCK
	{"clock.turn", control_clock_turn},
#endif
};

void on_control_ask(struct slot *gate, struct ipc_message *m)
{
	const struct msg_CONTROL_ASK *b = &m->body.CONTROL_ASK;
	const struct asker who = {gate, gate->births, m->request};

	LOG(LEVEL_DEBUG, "control", KV_TEXT("verb", b->verb), KV_NUM("by-uid", b->uid));
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (slice_eq(b->verb, slice_of(verbs[i].name))) {
			verbs[i].run(gate->master, &who, b->control_field_records);
			return;
		}
	answer(&who, OC_NOT_FOUND, "the master knows no such verb", NULL);
}
