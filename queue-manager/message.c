#include "message.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "control.h"
#include "deliver.h"
#include "ending.h"
#include "expand.h"
#include "ipc/flags.h"
#include "mail/directive.h"
#include "mail/dsn.h"
#include "routing.h"
#include "waiting.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SLOTS_MS 200u
#define SLOTS_AGAIN_MS 5000u
#define LOAD_AGAIN_S 60
#define NEWER_AGAIN_S 21600
#define FULL_AGAIN_S 30

/* ---- life ---- */

struct message *message_begin(struct queue *q, uint64_t id)
{
	struct message *m;

	if (map_find_u64(q->messages, id) != NULL)
		return NULL;
	m = mem_new(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->id = id;
	m->read_fd = -1;
	m->state = MESSAGE_LOADING;
	if (!map_put_u64(q->messages, id, m)) {
		free(m);
		return NULL;
	}
	return m;
}

static void leave_dirty(struct queue *q, struct message *m)
{
	struct message **at = &q->dirty;

	while (m->dirty && *at != NULL && *at != m)
		at = &(*at)->next_dirty;
	if (m->dirty && *at == m)
		*at = m->next_dirty;
	m->dirty = false;
}

/* It is no longer on its way to being tried. */
static void has_come(struct queue *q, struct message *m)
{
	q->incoming -= m->incoming;
	m->incoming = false;
}

static void batch_free(struct queue *q, struct batch *b)
{
	sched_remove(q->sched, &b->item);
	free(b->destination);
	free(b->slots);
	free(b);
}

void message_free(struct queue *q, struct message **mp)
{
	struct message *m = *mp;

	*mp = NULL;
	leave_dirty(q, m);
	has_come(q, m);
	q->unknown -= m->unknown;
	while (!LIST_EMPTY(&m->batches)) {
		struct batch *b = LIST_FIRST(&m->batches);

		LIST_REMOVE(b, peers);
		batch_free(q, b);
	}
	for (size_t i = 0; m->rcpts != NULL && i < m->file.mail.rcpt_count; i++)
		free(m->rcpts[i].reply);
	free(m->rcpts);
	free(m->destination);
	if (m->read_fd != -1)
		(void)close(m->read_fd);
	map_take_u64(q->messages, m->id);
	if (!ending_is_under_way(q, m->id))
		control_tell(q, m->id, OC_DONE); /* whoever asked for something has it, or it is moot */
	spool_loaded_free(&m->file);
	free(m);
}

int64_t message_age_s(const struct message *m)
{
	int64_t age = clock_wall_s() - (int64_t)(m->file.mail.arrived_ms / 1000);

	return age > 0 ? age : 0;
}

void message_note(struct message *m, const struct reply *reply)
{
	(void)snprintf(m->last, sizeof(m->last), "%s%s%llu %s %.200s", reply->remote, reply->remote[0] != '\0' ? ": " : "",
		       (unsigned long long)reply->code, reply->dsn, reply->text);
}

void message_postpone(struct message *m, int64_t again_s)
{
	if (m->again_s == 0 || again_s < m->again_s)
		m->again_s = again_s;
}

/* An address that was expanded is done with from the start, but for the word of it; the null sender is owed none. */
static void adopt_slot(struct message *m, size_t i)
{
	char *slot = message_slot(m, i);

	if (m->file.mail.rcpts[i].expanded != 0 && slot_is_open(*slot))
		*slot = SLOT_EXPANDED_OWED;
	if (slot_is_owed(*slot) && m->file.mail.sender.len == 0)
		*slot = SLOT_DELIVERED;
}

/* What routing refused after it was accepted is owed a report from the start. */
static bool adopt(struct message *m, struct spool_loaded *file)
{
	m->file = *file;
	*file = (struct spool_loaded){.head = buf_make(0), .tail = buf_make(0)};
	m->folder = m->file.folder;
	m->rcpts = mem_new(m->file.mail.rcpt_count, sizeof(*m->rcpts));
	if (m->rcpts == NULL)
		return false;
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++) {
		const struct spool_rcpt *rcpt = &m->file.mail.rcpts[i];
		struct reply reply = {.outcome = OC_POLICY_REJECT, .code = rcpt->fail_code};

		adopt_slot(m, i);
		m->warned |= slot_is_warned(*message_slot(m, i));
		if (rcpt->fail_code == 0 || !slot_is_open(*message_slot(m, i)))
			continue;
		(void)slice_copy(slice_sub(rcpt->fail_dsn, 0, sizeof(reply.dsn) - 1), reply.dsn, sizeof(reply.dsn));
		(void)slice_copy(slice_sub(rcpt->fail_text, 0, sizeof(reply.text) - 1), reply.text, sizeof(reply.text));
		message_set_reply(m, i, &reply);
		m->rcpts[i].step = STEP_FAILED;
	}
	return true;
}

void message_set_reply(struct message *m, size_t i, const struct reply *reply)
{
	struct recipient *r = &m->rcpts[i];

	if (r->reply == NULL)
		r->reply = mem_new(1, sizeof(*reply));
	if (r->reply != NULL)
		*r->reply = *reply;
}

/* ---- batches ---- */

struct place {
	const char *destination; /* NUL-terminated */
	size_t slot;
};

static int place_cmp(const void *a, const void *b)
{
	const struct place *left = a, *right = b;
	int by_name = strcmp(left->destination, right->destination);

	if (by_name != 0)
		return by_name;
	return left->slot < right->slot ? -1 : 1;
}

static struct batch *batch_new(struct message *m, const struct place *places, size_t count)
{
	struct batch *b = mem_new(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->message = m;
	b->destination = slice_dup(slice_of(places[0].destination));
	b->slots = mem_new(count, sizeof(*b->slots));
	if (b->destination == NULL || b->slots == NULL) {
		free(b->destination);
		free(b->slots);
		free(b);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		b->slots[i] = places[i].slot;
	b->count = b->open = count;
	LIST_INSERT_HEAD(&m->batches, b, peers);
	m->busy += count;
	for (size_t i = 0; i < count; i++)
		m->rcpts[b->slots[i]].step = STEP_BUSY;
	return b;
}

static void batch_withdraw(struct queue *q, struct batch *b)
{
	struct message *m = b->message;

	LIST_REMOVE(b, peers);
	for (size_t i = 0; i < b->count; i++)
		if (m->rcpts[b->slots[i]].step == STEP_BUSY)
			m->rcpts[b->slots[i]].step = STEP_IDLE;
	m->busy -= b->count;
	batch_free(q, b);
}

static void batch_offer(struct queue *q, struct batch *b)
{
	struct message *m = b->message;

	switch (sched_add(q->sched, slice_of(b->destination), &b->item, clock_mono_ms())) {
	case SCHED_WAITING:
		return;
	case SCHED_DEAD:
		if (m->last[0] == '\0')
			(void)snprintf(m->last, sizeof(m->last), "451 4.4.1 the destination has just failed for other mail");
		break;
	case SCHED_FULL: /* to the index; of one destination it is noted there, and comes back when there is room */
		message_postpone(m, clock_wall_s() + (m->destination == NULL ? FULL_AGAIN_S : 0));
		break;
	case SCHED_NO_MEMORY:
		message_postpone(m, clock_wall_s() + 30);
		break;
	}
	batch_withdraw(q, b);
}

/* A job's records must fit one message. */
#define BATCH_BYTES_MAX 60000u

static size_t batch_length(struct queue *q, struct message *m, const struct place *places, size_t count)
{
	size_t most = deliver_batch_max(q, places[0].destination), bytes = 0, n = 0;

	while (n < count && n < most && strcmp(places[n].destination, places[0].destination) == 0) {
		const struct spool_rcpt *r = &m->file.mail.rcpts[places[n].slot];

		bytes += r->address.len + r->original.len + r->orcpt.len + r->argument.len + 64;
		if (n > 0 && bytes > BATCH_BYTES_MAX)
			break;
		n++;
	}
	return n;
}

static void set_only_destination(struct message *m, const struct place *places, size_t count)
{
	free(m->destination);
	m->destination = NULL;
	if (strcmp(places[0].destination, places[count - 1].destination) == 0)
		m->destination = slice_dup(slice_of(places[0].destination));
}

static void make_batches(struct queue *q, struct message *m, struct place *places, size_t count)
{
	if (count > 1)
		qsort(places, count, sizeof(*places), place_cmp);
	if (count > 0)
		set_only_destination(m, places, count);
	for (size_t at = 0, n; at < count; at += n) {
		struct batch *b;

		n = batch_length(q, m, places + at, count - at);
		b = batch_new(m, places + at, n);
		if (b == NULL)
			message_postpone(m, clock_wall_s() + 30);
		else
			batch_offer(q, b);
	}
	deliver_pump(q);
}

static void try_places(struct queue *q, struct message *m, struct place *places, size_t count)
{
	m->state = MESSAGE_TRYING;
	m->counted = false;
	has_come(q, m);
	make_batches(q, m, places, count);
	if (m->wish == WISH_NONE)
		expand_lists(q, m);
	free(places);
	if (m->busy == 0)
		message_settle(q, m);
}

/* ---- fresh ---- */

void message_fresh(struct queue *q, struct message *m, struct spool_loaded *file, const struct slice *destinations, const bool *queue_only,
		   int read_fd)
{
	size_t count = file->mail.rcpt_count, n = 0;
	struct place *places = mem_new(count, sizeof(*places));
	struct buf names = buf_make(SPOOL_TRAILER_MAX);

	m->read_fd = read_fd;
	if (places == NULL || !adopt(m, file)) /* durable, but there is no memory to try it: read again later */
		log_fatal("message", ENOMEM);
	for (size_t i = 0; i < count; i++)
		if (buf_add_slice(&names, destinations[i]))
			buf_add_char(&names, '\0');
	if (!buf_ok(&names))
		log_fatal("message", ENOMEM);
	for (size_t i = 0, at = 0; i < count; i++) {
		if (m->rcpts[i].step == STEP_IDLE && destinations[i].len > 0 && !(queue_only[i] && message_keep(q, m, i)))
			places[n++] = (struct place){names.at + at, i};
		at += destinations[i].len + 1;
	}
	if (m->folder == SPOOL_HOLD) {
		free(places);
		message_settle(q, m);
	} else {
		try_places(q, m, places, n);
	}
	buf_free(&names);
}

/* ---- what is queue-only ---- */

static bool is_noted_as_let_go(const struct queue *q, const struct message *m, size_t slot)
{
	return m->id <= q->let_go || slot_is_let_go(*message_slot(m, slot));
}

bool message_is_let_go(const struct queue *q, const struct message *m, size_t slot)
{
	return m->let_go || is_noted_as_let_go(q, m, slot);
}

bool message_keep(struct queue *q, struct message *m, size_t slot)
{
	char state = *message_slot(m, slot);

	if (is_noted_as_let_go(q, m, slot))
		return false;
	m->rcpts[slot].kept = !m->let_go;
	if (m->let_go) /* for good, whatever comes of this round, and whoever reads the file next */
		message_set_slot(q, m, slot, slot_is_warned(state) ? SLOT_LET_GO_WARNED : SLOT_LET_GO);
	return m->rcpts[slot].kept;
}

/* ---- routes of a message that was read ---- */

struct rounds {
	struct queue *q;
	struct message *m;
	size_t *slots; /* owned; those that are asked for come first */
	size_t count, asked;
	char **destinations; /* owned, each owned; NULL: not known */
};

static void rounds_free(struct rounds *r)
{
	for (size_t i = 0; r->destinations != NULL && i < r->count; i++)
		free(r->destinations[i]);
	free(r->destinations);
	free(r->slots);
	free(r);
}

static struct slice round_recipient(void *arg, size_t i)
{
	struct rounds *r = arg;

	return r->m->file.mail.rcpts[r->slots[i]].address;
}

static void note_route(struct message *m, size_t slot, const struct msg_ROUTE_ANSWER *answer)
{
	struct reply reply = {.outcome = OC_ROUTE_UNKNOWN, .code = outcome_info(OC_ROUTE_UNKNOWN)->smtp};

	(void)slice_copy(slice_of(outcome_info(OC_ROUTE_UNKNOWN)->dsn), reply.dsn, sizeof(reply.dsn));
	(void)snprintf(reply.text, sizeof(reply.text), "no route now%s%.*s", answer == NULL ? "" : ": ",
		       answer == NULL ? 0 : (int)(answer->text.len < 300 ? answer->text.len : 300),
		       answer == NULL ? "" : answer->text.at);
	message_set_reply(m, slot, &reply);
	message_note(m, &reply);
}

/* What was accepted is never refused because a rule says otherwise now: it waits, and the operator can see why. */
static bool round_answer(void *arg, size_t i, const struct msg_ROUTE_ANSWER *answer)
{
	struct rounds *r = arg;
	struct rec_route_target target;
	struct slice records = answer == NULL ? slice_empty() : answer->route_target_records;
	char name[64 + 1 + 512 + 1];

	if (answer == NULL || outcome_kind(answer->outcome) != KIND_OK || !rec_route_target_next(&records, &target)) {
		note_route(r->m, r->slots[i], answer);
		return true;
	}
	if (target.queue_only != 0 && message_keep(r->q, r->m, r->slots[i]))
		return true;
	(void)snprintf(name, sizeof(name), "%.*s %.*s", SLICE_ARG(target.transport), SLICE_ARG(target.nexthop));
	if (target.hold != 0)
		r->m->wish = WISH_HOLD;
	r->destinations[i] = slice_dup(slice_of(name));
	return true;
}

static void round_done(void *arg)
{
	struct rounds *r = arg;
	struct place *places = mem_new(r->count, sizeof(*places));
	size_t n = 0;

	if (places == NULL && r->count > 0)
		message_postpone(r->m, clock_wall_s() + 30);
	for (size_t i = 0; places != NULL && i < r->count && r->m->wish == WISH_NONE; i++)
		if (r->destinations[i] != NULL)
			places[n++] = (struct place){r->destinations[i], r->slots[i]};
	try_places(r->q, r->m, places, n);
	rounds_free(r);
}

/* By an agent, that is: lists are the queue's own. */
static bool is_to_try(struct message *m, size_t i)
{
	return m->file.mail.rcpts[i].directive != DIRECTIVE_LIST && m->rcpts[i].step == STEP_IDLE && slot_is_open(*message_slot(m, i));
}

/* A program or a file: whatever the rules say now, it is for the transport that it was made for. */
static void add_bound(struct rounds *r, size_t slot)
{
	const struct spool_rcpt *rcpt = &r->m->file.mail.rcpts[slot];
	char *destination;

	if (rcpt->queue_only != 0 && message_keep(r->q, r->m, slot))
		return;
	destination = slice_dup(rcpt->bound_to);
	if (destination != NULL && !deliver_is_local(r->q, destination)) {
		const struct msg_ROUTE_ANSWER gone = {.text = slice_of("its transport is not in the configuration any more")};

		note_route(r->m, slot, &gone);
		free(destination);
		destination = NULL;
	}
	r->destinations[r->count] = destination;
	r->slots[r->count++] = slot;
}

static struct rounds *rounds_new(struct queue *q, struct message *m)
{
	struct rounds *r = mem_new(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->q = q;
	r->m = m;
	r->slots = mem_new(m->file.mail.rcpt_count, sizeof(*r->slots));
	r->destinations = mem_new(m->file.mail.rcpt_count, sizeof(*r->destinations));
	if (r->slots == NULL || r->destinations == NULL) {
		rounds_free(r);
		return NULL;
	}
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		if (is_to_try(m, i) && m->file.mail.rcpts[i].bound_to.len == 0)
			r->slots[r->asked++] = i;
	r->count = r->asked;
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		if (is_to_try(m, i) && m->file.mail.rcpts[i].bound_to.len > 0)
			add_bound(r, i);
	return r;
}

void message_try(struct queue *q, struct message *m)
{
	static const struct routing_calls calls = {round_recipient, round_answer, round_done};
	struct rounds *r;
	const struct routing_facts facts = {
		.generation = service_generation(q->service)->number,
		.role = m->file.mail.role,
		.size = m->file.mail.body_length,
		.mode = ROUTE_MODE_FINAL,
		.sender = m->file.mail.sender,
		.login = m->file.mail.login,
		.client = m->file.mail.client,
		.listener = m->file.mail.listener,
		.hostname = m->file.mail.hostname,
		.ancestors = m->file.mail.ancestors,
		.owner = slice_empty(),
		.local = m->file.mail.local,
		.local_port = m->file.mail.local_port,
		.header_names = m->file.mail.header_names,
	};

	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		m->rcpts[i].kept = false;
	r = rounds_new(q, m);
	m->state = MESSAGE_ROUTING;
	m->counted = m->deferred = m->report_late = false;
	m->again_s = 0;
	if (m->wish == WISH_NONE)
		control_tell(q, m->id, OC_DONE);
	if (r != NULL && r->asked > 0 && routing_start(q, &facts, r->asked, &calls, r))
		return;
	if (r != NULL && r->asked == 0 && (r->count > 0 || expand_has_lists(m))) {
		round_done(r);
		return;
	}
	if (r == NULL || r->count > 0)
		message_postpone(m, clock_wall_s() + 30);
	if (r != NULL)
		rounds_free(r);
	has_come(q, m);
	message_settle(q, m);
}

/* ---- reading ---- */

struct load_task {
	struct crew_task task;
	struct queue *q;
	struct message *m;
	struct spool_loaded file;
	struct index_row row; /* where has_row */
	bool has_row;
	enum spool_load load;
	int err;
};

static void run_load(struct crew_task *task)
{
	struct load_task *t = (struct load_task *)(void *)task;

	t->load = spool_load(t->q->spool, t->m->id, &t->file, &t->err);
	if (t->load == LOAD_CORRUPT)
		t->err = spool_set_aside(t->q->spool, t->m->id, t->file.folder);
	/* Only what an earlier run left: what this one is writing has no END yet either. */
	if (t->load == LOAD_UNFINISHED && t->m->id <= spool_mark(t->q->spool))
		t->err = spool_remove(t->q->spool, t->m->id, t->file.folder);
}

static void loaded_ok(struct load_task *t)
{
	struct queue *q = t->q;
	struct message *m = t->m;

	if (!adopt(m, &t->file))
		log_fatal("message", ENOMEM);
	m->has_row = t->has_row;
	if (t->has_row) {
		m->tries = t->row.tries;
		(void)slice_copy(slice_of(t->row.last), m->last, sizeof(m->last));
	}
	if (m->wish == WISH_NONE && m->folder != SPOOL_HOLD) {
		message_try(q, m);
	} else {
		has_come(q, m);
		message_settle(q, m);
	}
}

struct load_word {
	enum log_level level;
	const char *event;
	bool forget; /* the row goes */
	enum outcome told;
};

static const struct load_word load_words[] = {
	[LOAD_OK] = {LEVEL_DEBUG, "loaded", false, OC_DONE},
	[LOAD_NOT_THERE] = {LEVEL_DEBUG, "not-in-the-spool", true, OC_NOT_FOUND},
	[LOAD_UNFINISHED] = {LEVEL_INFO, "unfinished-message-removed", true, OC_NOT_FOUND},
	[LOAD_CORRUPT] = {LEVEL_ERROR, "corrupt-message-set-aside", true, OC_NOT_FOUND},
	[LOAD_NEWER] = {LEVEL_ERROR, "message-of-a-newer-version", false, OC_UNAVAILABLE},
	[LOAD_ERROR] = {LEVEL_ERROR, "message-not-readable-now", false, OC_UNAVAILABLE},
};

/* Not to be read now: it stays where it is, and is looked at again. */
static void look_again(struct load_task *t)
{
	struct index_row row = {.id = t->m->id};

	if (t->has_row)
		row = t->row;
	row.next_s = clock_wall_s() + LOAD_AGAIN_S;
	if (t->load == LOAD_NEWER) { /* the newer version may be back by then */
		row.next_s = clock_wall_s() + NEWER_AGAIN_S;
		row.held = 1;
		(void)snprintf(row.last, sizeof(row.last), "of a newer version of this program: left alone");
	}
	waiting_put(t->q, &row);
}

static void on_loaded(struct crew_task *task)
{
	struct load_task *t = (struct load_task *)(void *)task;
	const struct load_word *word = &load_words[t->load];

	if (t->load == LOAD_OK) {
		loaded_ok(t);
	} else {
		LOG(word->level, word->event, KV_ID(t->m->id), KV_ERRNO(t->err));
		control_tell(t->q, t->m->id, word->told);
		if (!word->forget)
			look_again(t);
		else if (t->has_row)
			waiting_forget(t->q, t->m->id);
		message_free(t->q, &t->m);
	}
	spool_loaded_free(&t->file);
	free(t);
}

void message_load(struct queue *q, uint64_t id, const struct index_row *row, enum message_wish wish)
{
	struct load_task *t;
	struct message *m;

	if (ending_is_under_way(q, id) || map_find_u64(q->messages, id) != NULL) {
		control_tell(q, id, OC_NOT_FOUND);
		return;
	}
	t = mem_new(1, sizeof(*t));
	m = message_begin(q, id);
	if (t == NULL || m == NULL)
		log_fatal("message", ENOMEM);
	m->wish = wish;
	m->incoming = true;
	m->unknown = row == NULL || row->destination[0] == '\0';
	q->incoming++;
	q->unknown += m->unknown;
	t->task = (struct crew_task){NULL, NULL, run_load, on_loaded};
	t->q = q;
	t->m = m;
	t->has_row = row != NULL;
	if (row != NULL)
		t->row = *row;
	crew_give(q->writers, id, &t->task);
}

void message_want(struct queue *q, struct message *m, enum message_wish wish)
{
	struct batch *b = LIST_FIRST(&m->batches), *next;

	m->wish = wish;
	if (m->state != MESSAGE_TRYING || (wish != WISH_HOLD && wish != WISH_REMOVE))
		return;
	for (; b != NULL; b = next) { /* what runs ends first */
		next = LIST_NEXT(b, peers);
		if (b->job == 0)
			batch_withdraw(q, b);
	}
	if (m->busy == 0)
		message_settle(q, m);
}

/* ---- what agents say ---- */

/* Who does DSN and was asked for it tells the sender itself. */
static enum spool_slot slot_of_success(const struct message *m, size_t i, const struct reply *reply)
{
	if (m->file.mail.sender.len == 0 || !dsn_wants(m->file.mail.rcpts[i].notify, DSN_SUCCESS) ||
	    reply->handover == HANDOVER_PASSED_ON)
		return SLOT_DELIVERED;
	if (reply->handover == HANDOVER_EXPANDED)
		return SLOT_EXPANDED_OWED;
	return reply->handover == HANDOVER_DELIVERED ? SLOT_DELIVERED_OWED : SLOT_RELAYED_OWED;
}

bool message_is_own_trouble(enum outcome outcome)
{
	return outcome == OC_UNAVAILABLE || outcome == OC_NO_MEMORY || outcome == OC_SHUTTING_DOWN;
}

void message_verdict(struct queue *q, struct message *m, size_t slot, const struct reply *reply)
{
	struct recipient *r = &m->rcpts[slot];

	r->step = STEP_IDLE;
	message_note(m, reply);
	switch (outcome_kind(reply->outcome)) {
	case KIND_OK:
		message_set_slot(q, m, slot, slot_of_success(m, slot, reply));
		if (slot_is_owed(*message_slot(m, slot)))
			message_set_reply(m, slot, reply);
		q->delivered++;
		break;
	case KIND_PERM:
		r->step = STEP_FAILED;
		message_set_reply(m, slot, reply);
		break;
	case KIND_TEMP: /* what is only our own trouble may have a time of its own */
		m->deferred |= !message_is_own_trouble(reply->outcome);
		message_set_reply(m, slot, reply);
		break;
	}
}

void message_batch_ended(struct queue *q, struct batch *batch)
{
	struct message *m = batch->message;

	batch_withdraw(q, batch);
	if (m->busy == 0)
		message_settle(q, m);
}

/* ---- slots ---- */

/* With one recipient the end of the file is the record; only what outlives the attempt is written. */
static bool must_be_written(const struct message *m, enum spool_slot slot)
{
	return m->file.mail.rcpt_count > 1 || (slot != SLOT_DELIVERED && slot != SLOT_REPORTED);
}

static void mark_dirty(struct queue *q, struct message *m)
{
	if (!m->dirty) {
		m->next_dirty = q->dirty;
		q->dirty = m;
	}
	m->dirty = true;
	if (!timer_is_set(q->slots_timer))
		timer_set(q->slots_timer, SLOTS_MS);
}

void message_set_slot(struct queue *q, struct message *m, size_t i, enum spool_slot slot)
{
	*message_slot(m, i) = (char)slot;
	if (must_be_written(m, slot))
		mark_dirty(q, m);
}

struct slots_task {
	struct crew_task task;
	struct queue *q;
	uint64_t id, offset;
	enum spool_folder folder;
	int err;
	size_t count;
	char slots[];
};

static void run_slots(struct crew_task *task)
{
	struct slots_task *t = (struct slots_task *)(void *)task;

	t->err = spool_write_slots(t->q->spool, t->id, t->folder, t->offset, slice_make(t->slots, t->count));
}

static void on_slots(struct crew_task *task);

static void write_slots(struct queue *q, struct message *m)
{
	size_t count = m->file.mail.rcpt_count;
	struct slots_task *t = mem_new(1, sizeof(*t) + count);

	if (t == NULL)
		log_fatal("message", ENOMEM);
	leave_dirty(q, m);
	m->writing = true;
	t->task = (struct crew_task){NULL, NULL, run_slots, on_slots};
	t->q = q;
	t->id = m->id;
	t->offset = m->file.mail.slots_offset;
	t->folder = m->folder;
	t->count = count;
	memcpy(t->slots, message_slot(m, 0), count);
	crew_give(q->writers, m->id, &t->task);
}

/* Whoever waits for it goes on once the file is as memory is. */
static void slots_go_on(struct queue *q, struct message *m)
{
	void (*then)(struct queue *q, struct message *m) = m->after_slots;

	if (m->writing || then == NULL)
		return;
	if (m->dirty && clock_mono_ms() >= m->write_again_ms) {
		write_slots(q, m);
	} else if (!m->dirty) {
		m->after_slots = NULL;
		then(q, m);
	}
}

/* A file that is gone has no more states.  (It may have ended meanwhile: then there is nobody to tell.) */
static void on_slots(struct crew_task *task)
{
	struct slots_task *t = (struct slots_task *)(void *)task;
	struct queue *q = t->q;
	struct message *m = map_find_u64(q->messages, t->id);
	int err = t->err == ENOENT ? 0 : t->err;

	if (err != 0)
		queue_trouble("spool-slots-not-written", t->id, err);
	free(t);
	if (m == NULL)
		return;
	m->writing = false;
	m->write_again_ms = err == 0 ? 0 : clock_mono_ms() + SLOTS_AGAIN_MS;
	if (err != 0)
		mark_dirty(q, m);
	slots_go_on(q, m);
}

void message_write_slots(struct queue *q, struct message *m, void (*then)(struct queue *q, struct message *m))
{
	m->after_slots = then;
	slots_go_on(q, m);
}

void message_flush_slots(struct queue *q)
{
	struct message *m = q->dirty, *next;
	uint64_t now_ms = clock_mono_ms();

	for (; m != NULL; m = next) {
		next = m->next_dirty;
		if (!m->writing && now_ms >= m->write_again_ms)
			write_slots(q, m);
	}
	if (q->dirty != NULL && !timer_is_set(q->slots_timer))
		timer_set(q->slots_timer, SLOTS_MS);
}

static bool forget_message(struct slice key, void *value, void *arg)
{
	struct message *m = value;

	(void)key;
	message_free(arg, &m);
	return true;
}

void message_finish_all(struct queue *q)
{
	message_flush_slots(q);
	ending_finish_all(q);
	crew_wait(q->writers);
	crew_wait(q->indexer);
	map_each(q->messages, forget_message, q);
}
