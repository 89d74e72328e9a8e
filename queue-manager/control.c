#include "control.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "control_check.h"
#include "deliver.h"
#include "mail/directive.h"
#include "message.h"
#include "scan.h"
#include "waiting.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE 200u
#define ROWS_BYTES_MAX 60000u

/* An operator who waits. */
struct control_ask {
	struct control_ask *next;
	struct queue *q;
	struct link *link; /* borrowed; NULL: gone */
	uint64_t request;
	uint64_t id;
	enum message_wish wish;
};

static void answer(struct link *link, uint64_t request, enum outcome outcome, const char *text)
{
	const struct msg_CONTROL_ANSWER said = {outcome, slice_of(text), slice_empty(), slice_empty()};

	if (link != NULL)
		link_answer(link, request, IPC_CONTROL_ANSWER, &said, -1);
}

static struct control_ask *ask_new(struct queue *q, struct link *link, uint64_t request, uint64_t id)
{
	struct control_ask *ask = mem_new(1, sizeof(*ask));

	if (ask == NULL)
		log_fatal("control", ENOMEM);
	*ask = (struct control_ask){q->asks, q, link, request, id, WISH_NONE};
	q->asks = ask;
	return ask;
}

static void ask_free(struct control_ask *ask)
{
	struct control_ask **at = &ask->q->asks;

	while (*at != ask)
		at = &(*at)->next;
	*at = ask->next;
	free(ask);
}

void control_link_down(struct queue *q, struct link *link)
{
	for (struct control_ask *ask = q->asks; ask != NULL; ask = ask->next)
		if (ask->link == link)
			ask->link = NULL;
	control_check_link_down(q, link);
}

static const char *word_for(enum outcome outcome)
{
	return outcome == OC_NOT_FOUND ? "there is no message of that id in the queue" : outcome_info(outcome)->text;
}

static void tell(struct queue *q, uint64_t id, enum outcome outcome, const char *text)
{
	struct control_ask *ask = q->asks, *next;

	for (; ask != NULL; ask = next) {
		next = ask->next;
		if (ask->id != id || ask->wish == WISH_NONE)
			continue;
		answer(ask->link, ask->request, outcome, text);
		ask_free(ask);
	}
}

void control_tell(struct queue *q, uint64_t id, enum outcome outcome)
{
	tell(q, id, outcome, outcome == OC_DONE ? "" : word_for(outcome));
}

/* ---- rows ---- */

static void add_text(struct buf *row, const char *key, struct slice value)
{
	const struct rec_control_field field = {slice_of(key), value};

	(void)rec_control_field_add(row, &field);
}

static void add_str(struct buf *row, const char *key, const char *value)
{
	add_text(row, key, slice_of(value));
}

static void add_number(struct buf *row, const char *key, int64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	add_str(row, key, text);
}

static void add_id(struct buf *row, uint64_t id)
{
	char text[ID_CHARS + 1];

	id_text(id, text);
	add_str(row, "id", text);
}

static bool end_row(struct buf *rows, struct buf *row)
{
	const struct rec_control_row record = {buf_slice(row)};
	bool ok = buf_ok(row) && rec_control_row_add(rows, &record);

	buf_clear(row);
	return ok;
}

/* ---- list ---- */

struct list_task {
	struct crew_task task;
	struct control_ask *ask;
	uint64_t after;
	size_t count;
	bool ok, reset;
	char why[200];
	struct index_row rows[PAGE];
};

/* One line of the list: from the index, from memory, or both. */
struct entry {
	uint64_t id;
	const struct index_row *row;
	struct message *message;
};

struct entries {
	struct entry *at; /* owned */
	size_t count, cap;
	uint64_t after, until;
};

static void run_list(struct crew_task *task)
{
	struct list_task *t = (struct list_task *)(void *)task;
	struct index *ix = t->ask->q->index;

	t->ok = index_list(ix, t->after, t->rows, PAGE, &t->count);
	t->reset = index_was_reset(ix);
	if (!t->ok)
		(void)snprintf(t->why, sizeof(t->why), "%s", index_trouble(ix));
}

static bool add_entry(struct entries *e, struct entry entry)
{
	void *items = e->at;

	if (!mem_grow(&items, &e->cap, e->count, sizeof(entry), 1u << 20))
		return false;
	e->at = items;
	e->at[e->count++] = entry;
	return true;
}

static bool collect_message(struct slice key, void *value, void *arg)
{
	struct entries *e = arg;
	struct message *m = value;

	(void)key;
	if (m->id <= e->after || m->id > e->until || m->rcpts == NULL)
		return true;
	return add_entry(e, (struct entry){m->id, NULL, m});
}

/* By id, what is in memory before what the index says of the same message. */
static int entry_cmp(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	if (left->id != right->id)
		return left->id < right->id ? -1 : 1;
	return (left->message == NULL) - (right->message == NULL);
}

static size_t open_count(struct message *m)
{
	size_t count = 0;

	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		count += slot_is_open(*message_slot(m, i));
	return count;
}

static size_t first_open(struct message *m)
{
	for (size_t i = 0; i < m->file.mail.rcpt_count; i++)
		if (slot_is_open(*message_slot(m, i)))
			return i;
	return 0;
}

/* The first, and how many more. */
static void add_recipients(struct buf *row, struct slice first, size_t count)
{
	char text[360];

	first = slice_sub(first, 0, 320);
	if (count > 1)
		(void)snprintf(text, sizeof(text), "%.*s and %zu more", SLICE_ARG(first), count - 1);
	else
		(void)snprintf(text, sizeof(text), "%.*s", SLICE_ARG(first));
	add_str(row, "recipients", text);
}

static void describe_message(struct buf *row, struct message *m)
{
	add_id(row, m->id);
	add_str(row, "state", m->folder == SPOOL_HOLD ? "hold" : "active");
	add_text(row, "sender", slice_sub(m->file.mail.sender, 0, 320));
	add_recipients(row, m->file.mail.rcpts[first_open(m)].address, open_count(m));
	add_number(row, "size", (int64_t)m->file.size_bytes);
	add_number(row, "age", message_age_s(m));
	add_number(row, "next", 0);
	add_number(row, "tries", (int64_t)m->tries);
	add_str(row, "last", m->last);
}

static void describe_row(struct buf *row, const struct index_row *r)
{
	int64_t now = clock_wall_s(), next = r->next_s > now ? r->next_s - now : 0;

	add_id(row, r->id);
	add_str(row, "state", r->held ? "hold" : "waiting");
	add_text(row, "sender", slice_sub(slice_of(r->sender), 0, 320));
	add_recipients(row, slice_of(r->recipient), (size_t)r->recipients);
	add_number(row, "size", (int64_t)r->size_bytes);
	add_number(row, "age", now - spool_id_wall_ms(r->id) / 1000);
	if (r->next_s == INDEX_NEVER)
		add_str(row, "next", "");
	else
		add_number(row, "next", next);
	add_number(row, "tries", (int64_t)r->tries);
	add_str(row, "last", r->last);
}

/* As many lines as one answer takes; the id of the last in `*last_out`. */
static size_t write_lines(const struct entries *e, struct buf *rows, uint64_t *last_out)
{
	struct buf row = buf_make(ROWS_BYTES_MAX);
	size_t i = 0;

	for (; i < e->count && rows->len < ROWS_BYTES_MAX - 4096; i++) {
		if (i > 0 && e->at[i].id == e->at[i - 1].id)
			continue;
		if (e->at[i].message != NULL)
			describe_message(&row, e->at[i].message);
		else
			describe_row(&row, e->at[i].row);
		(void)end_row(rows, &row);
		*last_out = e->at[i].id;
	}
	buf_free(&row);
	return i;
}

static void answer_list(struct list_task *t)
{
	struct buf rows = buf_make(65536);
	struct entries e = {.after = t->after, .until = UINT64_MAX};
	struct msg_CONTROL_ANSWER said = {OC_DONE, slice_empty(), slice_empty(), slice_empty()};
	char cursor[ID_CHARS + 1];
	bool ok = true, more = t->count == PAGE;
	uint64_t last = t->after;

	if (more)
		e.until = t->rows[PAGE - 1].id;
	for (size_t i = 0; i < t->count && ok; i++)
		ok = add_entry(&e, (struct entry){t->rows[i].id, &t->rows[i], NULL});
	map_each(t->ask->q->messages, collect_message, &e);
	if (e.count > 1)
		qsort(e.at, e.count, sizeof(*e.at), entry_cmp);
	more |= write_lines(&e, &rows, &last) < e.count;
	id_text(last, cursor);
	if (more)
		said.cursor = slice_of(cursor);
	said.control_row_records = buf_slice(&rows);
	if (t->ask->link != NULL)
		link_answer(t->ask->link, t->ask->request, IPC_CONTROL_ANSWER, &said, -1);
	free(e.at);
	buf_free(&rows);
}

static void on_listed(struct crew_task *task)
{
	struct list_task *t = (struct list_task *)(void *)task;

	waiting_after(t->ask->q, t->ok, t->reset, t->why);
	answer_list(t);
	ask_free(t->ask);
	free(t);
}

static void on_list(struct queue *q, struct link *link, struct ipc_message *m, struct slice id)
{
	struct list_task *t = mem_new(1, sizeof(*t));

	(void)id;
	if (t == NULL)
		log_fatal("control", ENOMEM);
	t->task = (struct crew_task){NULL, NULL, run_list, on_listed};
	if (m->body.CONTROL_ASK.cursor.len > 0 && !id_parse(m->body.CONTROL_ASK.cursor, &t->after)) {
		free(t);
		answer(link, m->request, OC_BAD_INPUT, "not a place in the list");
		return;
	}
	t->ask = ask_new(q, link, m->request, 0);
	crew_give(q->indexer, 0, &t->task);
}

/* ---- show ---- */

struct show_task {
	struct crew_task task;
	struct control_ask *ask;
	struct spool_loaded file;
	enum spool_load load;
	struct index_row row;
	bool has_row;
	int err;
};

static void run_show(struct crew_task *task)
{
	struct show_task *t = (struct show_task *)(void *)task;

	t->load = spool_load(t->ask->q->spool, t->ask->id, &t->file, &t->err);
}

/* The index's part, where there is one. */
static void run_show_row(struct crew_task *task)
{
	struct show_task *t = (struct show_task *)(void *)task;

	if (!index_find(t->ask->q->index, t->ask->id, &t->row, &t->has_row))
		t->has_row = false;
}

static const char *slot_word(char slot)
{
	static const struct {
		enum spool_slot slot;
		const char *word;
	} words[] = {
		{SLOT_DELIVERED, "delivered"}, {SLOT_REPORTED, "failed, reported"}, {SLOT_FAILED, "failed"},
		{SLOT_REMOVED, "removed"},     {SLOT_WARNED, "waiting, warned"},
		{SLOT_LET_GO, "waiting, let go"}, {SLOT_LET_GO_WARNED, "waiting, let go, warned"},
		{SLOT_DELIVERED_OWED, "delivered, to be reported"},
		{SLOT_RELAYED_OWED, "relayed, to be reported"},
		{SLOT_EXPANDED_OWED, "expanded, to be reported"},
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if ((char)words[i].slot == slot)
			return words[i].word;
	return "waiting";
}

static void show_times(struct buf *row, const struct show_task *t, const struct message *m)
{
	int64_t now = clock_wall_s();
	bool waits = t->has_row && m == NULL;

	add_str(row, "state", t->file.folder == SPOOL_HOLD ? "hold" : waits ? "waiting" : "active");
	add_number(row, "age", now - (int64_t)(t->file.mail.arrived_ms / 1000));
	if (waits && t->row.next_s != INDEX_NEVER)
		add_number(row, "next", t->row.next_s > now ? t->row.next_s - now : 0);
	add_number(row, "tries", (int64_t)(m != NULL ? m->tries : t->row.tries));
	add_str(row, "last", m != NULL ? m->last : t->row.last);
}

static void show_facts(struct buf *row, const struct spool_loaded *file)
{
	const struct spool_mail *mail = &file->mail;
	char date[CLOCK_DATE_BYTES];

	clock_iso((int64_t)mail->arrived_ms, date);
	add_id(row, mail->id);
	add_str(row, "folder", spool_folder_name(file->folder));
	add_str(row, "arrived", date);
	add_text(row, "sender", mail->sender);
	add_number(row, "size", (int64_t)file->size_bytes);
	add_text(row, "client", mail->client);
	add_text(row, "helo", mail->helo);
	add_text(row, "protocol", mail->protocol);
	add_text(row, "tls", mail->tls);
	add_text(row, "login", mail->login);
	if (mail->uid_plus_1 != 0)
		add_number(row, "uid", (int64_t)(mail->uid_plus_1 - 1));
	add_text(row, "rule", mail->rule);
	add_text(row, "tags", mail->tags);
}

static void show_recipient(struct buf *row, const struct spool_mail *mail, size_t i, struct message *m)
{
	char slot = m != NULL ? *message_slot(m, i) : mail->slots.at[i];

	add_text(row, "recipient", mail->rcpts[i].address);
	add_text(row, "original", mail->rcpts[i].original);
	if (mail->rcpts[i].directive != DIRECTIVE_NONE)
		add_str(row, "directive", directive_name(mail->rcpts[i].directive));
	add_str(row, "state", mail->rcpts[i].expanded != 0 && !slot_is_owed(slot) ? "expanded" : slot_word(slot));
	if (m != NULL && m->rcpts[i].reply != NULL)
		add_str(row, "last", m->rcpts[i].reply->text);
}

static void answer_show(struct show_task *t)
{
	struct control_ask *ask = t->ask;
	struct message *m = map_find_u64(ask->q->messages, ask->id);
	struct buf rows = buf_make(65000), row = buf_make(ROWS_BYTES_MAX);
	struct msg_CONTROL_ANSWER said = {OC_DONE, slice_empty(), slice_empty(), slice_empty()};

	if (m != NULL && (m->rcpts == NULL || m->file.mail.rcpt_count != t->file.mail.rcpt_count))
		m = NULL;
	show_facts(&row, &t->file);
	show_times(&row, t, m);
	(void)end_row(&rows, &row);
	for (size_t i = 0; i < t->file.mail.rcpt_count; i++) {
		show_recipient(&row, &t->file.mail, i, m);
		if (!end_row(&rows, &row)) {
			said.text = slice_of("not all recipients are shown");
			break;
		}
	}
	said.control_row_records = buf_slice(&rows);
	if (ask->link != NULL)
		link_answer(ask->link, ask->request, IPC_CONTROL_ANSWER, &said, -1);
	buf_free(&row);
	buf_free(&rows);
}

static void on_shown(struct crew_task *task)
{
	struct show_task *t = (struct show_task *)(void *)task;

	answer_show(t);
	spool_loaded_free(&t->file);
	ask_free(t->ask);
	free(t);
}

static void on_show_read(struct crew_task *task)
{
	struct show_task *t = (struct show_task *)(void *)task;

	if (t->load == LOAD_OK) {
		t->task = (struct crew_task){NULL, NULL, run_show_row, on_shown};
		crew_give(t->ask->q->indexer, 0, &t->task);
		return;
	}
	if (t->load == LOAD_NOT_THERE || t->load == LOAD_UNFINISHED)
		answer(t->ask->link, t->ask->request, OC_NOT_FOUND, word_for(OC_NOT_FOUND));
	else
		answer(t->ask->link, t->ask->request, OC_UNAVAILABLE, "the message cannot be read; see the log");
	spool_loaded_free(&t->file);
	ask_free(t->ask);
	free(t);
}

/* ---- wishes ---- */

struct find_task {
	struct crew_task task;
	struct control_ask *ask;
	struct index_row row;
	bool ok, found, reset;
	char why[200];
};

static void run_find(struct crew_task *task)
{
	struct find_task *t = (struct find_task *)(void *)task;
	struct index *ix = t->ask->q->index;

	t->ok = index_find(ix, t->ask->id, &t->row, &t->found);
	t->reset = index_was_reset(ix);
	if (!t->ok)
		(void)snprintf(t->why, sizeof(t->why), "%s", index_trouble(ix));
}

static void on_found(struct crew_task *task)
{
	struct find_task *t = (struct find_task *)(void *)task;
	struct queue *q = t->ask->q;
	uint64_t id = t->ask->id; /* the ask goes with its answer */
	struct message *m = map_find_u64(q->messages, id);

	waiting_after(q, t->ok, t->reset, t->why);
	if (m != NULL) {
		message_want(q, m, t->ask->wish);
		m = map_find_u64(q->messages, id);
		if (m != NULL && m->busy > 0) /* it may last for hours: nobody waits for it, nor takes it for done */
			tell(q, id, OC_DONE, "it is being tried: this takes effect once that has ended, if Postern runs until then");
	} else {
		message_load(q, id, t->found ? &t->row : NULL, t->ask->wish);
	}
	free(t);
}

static bool parse_id(struct link *link, struct ipc_message *m, struct slice text, uint64_t *id)
{
	if (id_parse(text, id))
		return true;
	answer(link, m->request, OC_BAD_INPUT, "not a message id: 13 letters and digits, as queue list shows them");
	return false;
}

static void on_show(struct queue *q, struct link *link, struct ipc_message *m, struct slice text)
{
	struct show_task *t;
	uint64_t id;

	if (!parse_id(link, m, text, &id))
		return;
	t = mem_new(1, sizeof(*t));
	if (t == NULL)
		log_fatal("control", ENOMEM);
	t->task = (struct crew_task){NULL, NULL, run_show, on_show_read};
	t->ask = ask_new(q, link, m->request, id);
	crew_give(q->writers, id, &t->task);
}

static void wish(struct queue *q, struct link *link, struct ipc_message *m, struct slice text, enum message_wish what)
{
	struct find_task *t;
	uint64_t id;

	if (!parse_id(link, m, text, &id))
		return;
	t = mem_new(1, sizeof(*t));
	if (t == NULL)
		log_fatal("control", ENOMEM);
	t->task = (struct crew_task){NULL, NULL, run_find, on_found};
	t->ask = ask_new(q, link, m->request, id);
	t->ask->wish = what;
	crew_give(q->indexer, 0, &t->task);
}

static void on_hold(struct queue *q, struct link *link, struct ipc_message *m, struct slice id)
{
	wish(q, link, m, id, WISH_HOLD);
}

static void on_release(struct queue *q, struct link *link, struct ipc_message *m, struct slice id)
{
	wish(q, link, m, id, WISH_RELEASE);
}

static void on_remove(struct queue *q, struct link *link, struct ipc_message *m, struct slice id)
{
	wish(q, link, m, id, WISH_REMOVE);
}

static void on_check(struct queue *q, struct link *link, struct ipc_message *m, struct slice id)
{
	(void)id;
	control_check(q, link, m);
}

/* ---- all of them ---- */

struct flush_task {
	struct crew_task task;
	struct control_ask *ask;
	uint64_t id;
	int err;
};

static void run_flush(struct crew_task *task)
{
	struct flush_task *t = (struct flush_task *)(void *)task;

	t->err = spool_let_go_note(t->ask->q->spool, t->id);
}

/* It goes in any case; who asked hears that a restart may forget it. */
static void on_flushed(struct crew_task *task)
{
	struct flush_task *t = (struct flush_task *)(void *)task;
	struct control_ask *ask = t->ask;

	if (t->err != 0)
		queue_trouble("let-go-not-noted", t->id, t->err);
	answer(ask->link, ask->request, t->err == 0 ? OC_DONE : OC_IO_ERROR,
	       t->err == 0 ? "" : "what waits goes now, but that could not be noted: after a restart what is queue-only is kept again");
	ask_free(ask);
	free(t);
}

/* Notes are written in the order they were asked for. */
#define FLUSH_KEY 0u

static void retry_all(struct queue *q, struct link *link, uint64_t request)
{
	struct flush_task *t = mem_new(1, sizeof(*t));

	if (t == NULL)
		log_fatal("control", ENOMEM);
	q->let_go = spool_id_next(&q->ids, clock_wall_ms());
	t->task = (struct crew_task){NULL, NULL, run_flush, on_flushed};
	t->ask = ask_new(q, link, request, 0);
	t->id = q->let_go;
	crew_give(q->writers, FLUSH_KEY, &t->task);
	sched_revive(q->sched);
	deliver_pump(q);
	waiting_all_due(q);
	scan_now(q);
}

static void on_retry(struct queue *q, struct link *link, struct ipc_message *m, struct slice id)
{
	if (!slice_eq(id, slice_of("all"))) {
		wish(q, link, m, id, WISH_RETRY);
		return;
	}
	retry_all(q, link, m->request);
}

/* ---- who asks what ---- */

struct verb {
	const char *name;
	void (*run)(struct queue *q, struct link *link, struct ipc_message *m, struct slice id);
};

static const struct verb verbs[] = {
	{"queue.list", on_list},	{"queue.show", on_show},     {"queue.hold", on_hold},
	{"queue.release", on_release}, {"queue.remove", on_remove}, {"queue.retry", on_retry},
	{"queue.check", on_check},
};

static struct slice field_find(struct slice records, const char *key)
{
	struct rec_control_field field;

	while (rec_control_field_next(&records, &field))
		if (slice_eq(field.key, slice_of(key)))
			return field.value;
	return slice_empty();
}

void control_on_ask(struct queue *q, struct link *link, struct ipc_message *m)
{
	const struct msg_CONTROL_ASK *ask = &m->body.CONTROL_ASK;

	if (ask->uid != 0 && ask->uid != getuid()) {
		answer(link, m->request, OC_NOT_ALLOWED, "only root may ask this");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (slice_eq(ask->verb, slice_of(verbs[i].name))) {
			verbs[i].run(q, link, m, field_find(ask->control_field_records, "id"));
			return;
		}
	answer(link, m->request, OC_BAD_INPUT, "the queue manager does not know this verb");
}
