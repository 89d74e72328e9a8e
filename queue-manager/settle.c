/*
 * What becomes of a message when nobody works on it any more: it ends, is reported, is held, or waits.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "control.h"
#include "ending.h"
#include "mail/dsn.h"
#include "message.h"
#include "send_report.h"
#include "waiting.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define REPORT_AGAIN_S 300
#define KEPT_AGAIN_S 3600

struct counts {
	size_t waiting, failed, kept, owed;
};

static struct counts count_slots(struct message *m)
{
	struct counts c = {0, 0, 0, 0};

	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		char slot = *message_slot(m, i);

		c.kept += slot == SLOT_FAILED;
		c.owed += slot_is_owed(slot);
		if (!slot_is_open(slot))
			continue;
		c.failed += m->rcpts[i].step == STEP_FAILED;
		c.waiting += m->rcpts[i].step != STEP_FAILED;
	}
	return c;
}

/* ---- put away: slots, folder, row, memory, in this order ---- */

static int64_t lifetime_s(const struct queue *q)
{
	const struct conf_retry *r = &service_conf(q->service)->retry;

	return r->count == 0 ? 0 : (int64_t)r->steps[r->count - 1].until_s;
}

static size_t first_waiting(struct message *m)
{
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		if (slot_is_open(*message_slot(m, i)))
			return i;
	return 0;
}

static void copy_clipped(struct slice text, char *out, size_t size)
{
	(void)slice_copy(slice_sub(text, 0, size - 1), out, size);
}

static void put_row(struct queue *q, struct message *m, int64_t next_s, bool held)
{
	struct index_row row = {
		.id = m->id,
		.next_s = next_s,
		.tries = m->tries,
		.size_bytes = m->file.size_bytes,
		.recipients = count_slots(m).waiting,
		.held = held,
		.warned = m->warned,
	};

	copy_clipped(m->destination == NULL ? slice_empty() : slice_of(m->destination), row.destination,
		     sizeof(row.destination));
	copy_clipped(m->file.mail.sender, row.sender, sizeof(row.sender));
	copy_clipped(m->file.mail.rcpts[first_waiting(m)].address, row.recipient, sizeof(row.recipient));
	copy_clipped(slice_of(m->last), row.last, sizeof(row.last));
	m->has_row = true;
	waiting_put(q, &row);
}

struct move_task {
	struct crew_task task;
	struct queue *q;
	uint64_t id;
	enum spool_folder from, to;
	bool durable, moved;
	int err;
	void (*then)(struct queue *q, struct message *m);
};

static void run_move(struct crew_task *task)
{
	struct move_task *t = (struct move_task *)(void *)task;

	t->err = spool_move(t->q->spool, t->id, t->from, t->to, t->durable, &t->moved);
}

static void on_moved(struct crew_task *task)
{
	struct move_task *t = (struct move_task *)(void *)task;
	struct message *m = map_find_u64(t->q->messages, t->id);

	if (t->err != 0) {
		queue_trouble("spool-not-moved", t->id, t->err);
		control_tell(t->q, t->id, OC_IO_ERROR);
	}
	if (t->moved)
		m->folder = t->to;
	t->then(t->q, m);
	free(t);
}

static void move_file(struct queue *q, struct message *m, enum spool_folder to, bool durable,
		      void (*then)(struct queue *q, struct message *m))
{
	struct move_task *t = m->folder == to ? NULL : mem_new(1, sizeof(*t));

	if (t == NULL) {
		then(q, m);
		return;
	}
	*t = (struct move_task){{NULL, NULL, run_move, on_moved}, q, m->id, m->folder, to, durable, false, 0, then};
	crew_give(q->writers, m->id, &t->task);
}

/* A report that cannot be delivered is dropped after its time; any other message is held until the operator speaks. */
static bool drops(struct message *m)
{
	return m->file.mail.sender.len == 0 && (m->file.mail.parent != 0 || count_slots(m).waiting == 0);
}

static void held_away(struct queue *q, struct message *m)
{
	if (m->wish != WISH_NONE) { /* the operator has spoken meanwhile */
		message_settle(q, m);
		return;
	}
	LOG(LEVEL_INFO, "held", KV_ID(m->id), KV_TEXT("sender", m->file.mail.sender));
	put_row(q, m, drops(m) ? (int64_t)(m->file.mail.arrived_ms / 1000) + lifetime_s(q) : INDEX_NEVER, true);
	message_free(q, &m);
}

static void hold_move(struct queue *q, struct message *m)
{
	move_file(q, m, SPOOL_HOLD, true, held_away);
}

static void hold_message(struct queue *q, struct message *m)
{
	m->wish = WISH_NONE;
	message_write_slots(q, m, hold_move);
}

/* A row of what is never due stays one even if the clock is turned: release asks for it by name. */
static void waiting_away(struct queue *q, struct message *m)
{
	if (m->wish != WISH_NONE) {
		message_settle(q, m);
		return;
	}
	put_row(q, m, m->again_s, false);
	message_free(q, &m);
}

static void waiting_move(struct queue *q, struct message *m)
{
	move_file(q, m, SPOOL_CUR, false, waiting_away);
}

static void put_away(struct queue *q, struct message *m)
{
	message_write_slots(q, m, waiting_move);
}

/* ---- held messages that were read again ---- */

/* Its file may have refused to move: then it is still held, and the operator has been told. */
static void try_again(struct queue *q, struct message *m)
{
	if (m->folder == SPOOL_HOLD)
		held_away(q, m);
	else
		message_try(q, m);
}

static void release_move(struct queue *q, struct message *m)
{
	move_file(q, m, SPOOL_CUR, true, try_again);
}

/* What has failed with nobody to tell gets another chance: that is what release is for. */
static void release(struct queue *q, struct message *m)
{
	m->wish = WISH_NONE;
	m->let_go = true;
	LOG(LEVEL_INFO, "released", KV_ID(m->id));
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		if (*message_slot(m, i) == SLOT_FAILED)
			message_set_slot(q, m, i, SLOT_WAITING);
	message_write_slots(q, m, release_move);
}

static void settle_held(struct queue *q, struct message *m)
{
	bool expired = message_age_s(m) >= lifetime_s(q);

	if (m->wish == WISH_RELEASE) {
		release(q, m);
	} else if (drops(m) && expired && m->wish == WISH_NONE) {
		LOG(LEVEL_WARN, "undeliverable-report-dropped", KV_ID(m->id),
		    KV_TEXT("recipient", m->file.mail.rcpts[0].address), KV_STR("last", m->last));
		ending_of(q, m);
	} else {
		m->wish = WISH_NONE;
		held_away(q, m);
	}
}

/* ---- failures ---- */

/* Nobody to tell: kept for the operator, then dropped. */
static void keep_failures(struct queue *q, struct message *m)
{
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		if (m->rcpts[i].step != STEP_FAILED)
			continue;
		m->rcpts[i].step = STEP_IDLE;
		LOG(LEVEL_WARN, "undeliverable-report", KV_ID(m->id), KV_TEXT("recipient", m->file.mail.rcpts[i].address),
		    KV_STR("text", m->rcpts[i].reply == NULL ? "" : m->rcpts[i].reply->text));
		message_set_slot(q, m, i, SLOT_FAILED);
	}
}

/* A failure whose sender asked not to be told of it is done with. */
static void forgo_reports(struct queue *q, struct message *m)
{
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		const struct spool_rcpt *rcpt = &m->file.mail.rcpts[i];

		if (m->rcpts[i].step != STEP_FAILED || m->file.mail.sender.len == 0 || dsn_wants(rcpt->notify, DSN_FAILURE))
			continue;
		m->rcpts[i].step = STEP_IDLE;
		LOG(LEVEL_INFO, "report-not-wanted", KV_ID(m->id), KV_TEXT("recipient", rcpt->address));
		message_set_slot(q, m, i, SLOT_REPORTED);
	}
}

/* What a durable report has told: of failures, and of successes. */
static bool close_reported(struct queue *q, struct message *m, bool durable)
{
	bool any_failed = false;

	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		bool failed = m->rcpts[i].step == STEP_FAILED;

		if (failed)
			m->rcpts[i].step = STEP_IDLE;
		if (durable && failed)
			message_set_slot(q, m, i, SLOT_REPORTED);
		else if (durable && slot_is_owed(*message_slot(m, i)))
			message_set_slot(q, m, i, SLOT_DELIVERED);
		any_failed |= failed;
	}
	return any_failed;
}

static void on_outcomes_reported(struct queue *q, struct message *m, bool durable)
{
	bool any_failed = close_reported(q, m, durable);

	if (durable) {
		q->bounced += any_failed;
	} else { /* the next round asks again, and what failed fails again */
		m->deferred = false;
		m->report_late = true;
		message_postpone(m, clock_wall_s() + REPORT_AGAIN_S);
	}
	message_settle(q, m);
}

static void on_delay_reported(struct queue *q, struct message *m, bool durable)
{
	m->warned = true; /* once, even if it could not be told now */
	for (size_t i = 0; durable && i < m->file.mail.rcpt_count; i++)
		if (slot_is_open(*message_slot(m, i)) && dsn_wants(m->file.mail.rcpts[i].notify, DSN_DELAY))
			message_set_slot(q, m, i, slot_is_let_go(*message_slot(m, i)) ? SLOT_LET_GO_WARNED : SLOT_WARNED);
	message_settle(q, m);
}

/* Nobody of it waits for anything but the operator's word. */
static bool all_kept(struct message *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		if (slot_is_open(*message_slot(m, i)) && !m->rcpts[i].kept)
			return false;
		kept += slot_is_open(*message_slot(m, i));
	}
	return kept > 0;
}

/* Looked at again now and then, for the rules may say otherwise by then; never counted, warned of or returned. */
static void put_away_kept(struct queue *q, struct message *m)
{
	(void)snprintf(m->last, sizeof(m->last), "kept until `postern queue flush`");
	m->again_s = clock_wall_s() + KEPT_AGAIN_S;
	put_away(q, m);
}

static void expire(struct queue *q, struct message *m)
{
	const struct outcome_info *info = outcome_info(OC_EXPIRED);

	LOG(LEVEL_INFO, "expired", KV_ID(m->id), KV_NUM("age", message_age_s(m)), KV_STR("last", m->last));
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		struct reply reply = {.outcome = OC_EXPIRED, .code = info->smtp};
		const struct reply *said = m->rcpts[i].reply;

		if (!slot_is_open(*message_slot(m, i)) || m->rcpts[i].kept)
			continue;
		copy_clipped(slice_of(info->dsn), reply.dsn, sizeof(reply.dsn));
		(void)snprintf(reply.text, sizeof(reply.text), "not delivered in %" PRId64 " hours; last: %.300s",
			       message_age_s(m) / 3600, said != NULL ? said->text : m->last);
		message_set_reply(m, i, &reply);
		m->rcpts[i].step = STEP_FAILED;
	}
	message_settle(q, m);
}

static bool somebody_asks_for_delays(struct message *m)
{
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		if (slot_is_open(*message_slot(m, i)) && dsn_wants(m->file.mail.rcpts[i].notify, DSN_DELAY))
			return true;
	return false;
}

static bool warning_is_due(struct queue *q, struct message *m)
{
	uint64_t after_ms = queue_conf(q)->set.delay_warning_ms;

	return after_ms > 0 && !m->warned && m->file.mail.sender.len > 0 &&
	       message_age_s(m) >= (int64_t)(after_ms / 1000) && somebody_asks_for_delays(m);
}

/* ---- the next round ---- */

static void wait_for_next(struct queue *q, struct message *m)
{
	uint64_t wait_s;

	if (all_kept(m)) {
		put_away_kept(q, m);
		return;
	}
	if (m->again_s != 0 && !m->deferred) {
		put_away(q, m);
		return;
	}
	m->tries += !m->counted;
	m->counted = true;
	m->again_s = 0; /* what was tried and deferred waits as the rule says, whatever else was to come sooner */
	wait_s = conf_retry_next(&queue_conf(q)->retry, (uint64_t)message_age_s(m), (unsigned)m->tries);
	if (wait_s == 0) {
		expire(q, m);
		return;
	}
	if (warning_is_due(q, m)) {
		send_report(q, m, REPORT_DELAY, on_delay_reported);
		return;
	}
	m->again_s = clock_wall_s() + (int64_t)wait_s;
	q->deferred++;
	put_away(q, m);
}

static void remove_message(struct queue *q, struct message *m)
{
	LOG(LEVEL_WARN, "removed-by-operator", KV_ID(m->id), KV_TEXT("sender", m->file.mail.sender));
	ending_of(q, m);
}

void message_settle(struct queue *q, struct message *m)
{
	struct counts c;

	MUST(m->busy == 0);
	m->state = MESSAGE_SETTLING;
	if (m->wish == WISH_REMOVE) {
		remove_message(q, m);
		return;
	}
	if (m->folder != SPOOL_HOLD)
		forgo_reports(q, m);
	c = count_slots(m);
	if (c.failed + c.owed > 0 && m->folder != SPOOL_HOLD && !m->report_late) {
		if (m->file.mail.sender.len > 0) {
			send_report(q, m, REPORT_OUTCOMES, on_outcomes_reported);
			return;
		}
		keep_failures(q, m);
		c = count_slots(m);
	}
	if (c.waiting + c.failed + c.kept + c.owed == 0)
		ending_of(q, m);
	else if (m->folder == SPOOL_HOLD)
		settle_held(q, m);
	else if (c.waiting + c.failed + c.owed == 0 || m->wish == WISH_HOLD)
		hold_message(q, m);
	else if (m->wish != WISH_NONE) { /* retry or release of what is not held: now */
		m->wish = WISH_NONE;
		m->let_go = true;
		message_try(q, m);
	} else
		wait_for_next(q, m);
}
