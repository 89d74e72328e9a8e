#include "submit.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "crc32c.h"
#include "disk.h"
#include "ending.h"
#include "mail/directive.h"
#include "mail/dsn.h"
#include "mail/header_names.h"
#include "message.h"
#include "received.h"
#include "routing.h"

#include <stdio.h>
#include <unistd.h>

#define POOL_MAX (256u << 20)
#define SMALL_BYTES 16384u /* of each message, not counted: what lists take is no ordinary mail's affair */
#define TAIL_MAX ((size_t)SPOOL_TRAILER_MAX + SPOOL_RECIPIENTS_MAX + SPOOL_END_BYTES)

/* A final recipient: what routing made of one that was asked. */
struct target {
	struct spool_rcpt rcpt;
	struct slice destination; /* "transport nexthop"; empty: refused, or a report that cannot go */
	bool queue_only;
	size_t asked;
};

void submission_init(struct submission *sub, struct queue *q)
{
	*sub = (struct submission){.q = q, .outcome = OC_DONE, .uninvited = slice_empty(), .list_sender = slice_empty()};
	spool_mail_init(&sub->mail);
	sub->pool = pool_make(POOL_MAX);
	sub->body = buf_make(SPOOL_TRAILER_MAX);
	sub->head = buf_make(SPOOL_HEAD_BYTES + SPOOL_ENVELOPE_MAX);
	sub->mail.arrived_ms = (uint64_t)clock_wall_ms();
}

void submission_clear(struct submission *sub)
{
	if (sub->generation != NULL)
		generation_release(sub->q->service, &sub->generation);
	routing_release(sub->q, sub->counted);
	sub->counted = 0;
	pool_free(&sub->pool);
	buf_free(&sub->body);
	buf_free(&sub->head);
	free(sub->asked);
	sub->asked = NULL;
	free(sub->targets);
	sub->targets = NULL;
	free(sub->mail.rcpts);
	sub->mail.rcpts = NULL;
}

bool submission_add_rcpt(struct submission *sub, const struct asked_rcpt *rcpt)
{
	struct asked_rcpt copy = *rcpt;
	void *items = sub->asked;

	if (!mem_grow(&items, &sub->asked_cap, sub->asked_count, sizeof(*rcpt), SPOOL_RECIPIENTS_MAX))
		return false;
	sub->asked = items;
	if (!pool_copy(&sub->pool, rcpt->address, &copy.address) || !pool_copy(&sub->pool, rcpt->orcpt, &copy.orcpt))
		return false;
	sub->asked[sub->asked_count++] = copy;
	return true;
}

bool submission_add_ready(struct submission *sub, const struct spool_rcpt *rcpt, struct slice destination)
{
	void *items = sub->targets;
	struct target *t;

	if (!mem_grow(&items, &sub->target_cap, sub->target_count, sizeof(*t), SPOOL_RECIPIENTS_MAX))
		return false;
	sub->targets = items;
	t = &sub->targets[sub->target_count++];
	*t = (struct target){.rcpt = *rcpt};
	t->rcpt.fail_dsn = t->rcpt.fail_text = t->rcpt.bound_to = slice_empty();
	if (!pool_copy(&sub->pool, rcpt->address, &t->rcpt.address) || !pool_copy(&sub->pool, rcpt->original, &t->rcpt.original) ||
	    !pool_copy(&sub->pool, rcpt->orcpt, &t->rcpt.orcpt) || !pool_copy(&sub->pool, rcpt->argument, &t->rcpt.argument) ||
	    !pool_copy(&sub->pool, destination, &t->destination))
		return false;
	if (directive_is_bound(rcpt->directive))
		t->rcpt.bound_to = t->destination;
	return true;
}

void submission_fail(struct submission *sub, enum outcome outcome, const char *text)
{
	const struct outcome_info *info = outcome_info(outcome);

	if (outcome_kind(sub->outcome) != KIND_OK)
		return;
	sub->outcome = outcome;
	sub->code = info->smtp;
	(void)slice_copy(slice_of(info->dsn), sub->dsn, sizeof(sub->dsn));
	(void)slice_copy(slice_sub(slice_of(text == NULL ? info->text : text), 0, sizeof(sub->text) - 1), sub->text,
			 sizeof(sub->text));
}

/* ---- the end ---- */

static void finish(struct submission *sub)
{
	sub->q->submissions--;
	sub->done(sub, sub->arg);
}

struct discard_task {
	struct crew_task task;
	struct submission *sub;
};

static void run_discard(struct crew_task *task)
{
	struct discard_task *d = (struct discard_task *)(void *)task;

	spool_draft_remove(d->sub->q->spool, d->sub->mail.id);
}

static void on_discarded(struct crew_task *task)
{
	struct discard_task *d = (struct discard_task *)(void *)task;
	struct submission *sub = d->sub;

	free(d);
	finish(sub);
}

/* It will not be a message: a file that was begun goes first. */
static void give_up(struct submission *sub)
{
	struct discard_task *d = sub->in_file ? mem_new(1, sizeof(*d)) : NULL;

	if (d == NULL) { /* a draft left behind is swept at the next start */
		finish(sub);
		return;
	}
	d->task = (struct crew_task){NULL, NULL, run_discard, on_discarded};
	d->sub = sub;
	crew_give(sub->q->writers, sub->mail.id, &d->task);
}

/* ---- written ---- */

struct write_task {
	struct crew_task task;
	struct submission *sub;
	struct message *message; /* its place in memory */
	struct spool_loaded file; /* owned: the message as written */
	uint32_t crc;
	struct spool_new new_file; /* of a body in memory */
	bool begun, decoded, is_left;
	enum outcome outcome;
	int read_fd, err;
};

/* What is tried is what a restart would read: decoded from the bytes that were written. */
static bool decode_written(struct write_task *w)
{
	struct slice tail = buf_slice(&w->file.tail);
	const struct spool_mail *mail = &w->sub->mail;
	struct spool_end end;

	w->file.size_bytes = mail->slots_offset + mail->rcpt_count + SPOOL_END_BYTES;
	return spool_decode_end(slice_from(tail, tail.len - SPOOL_END_BYTES), w->file.size_bytes, &end) == SPOOL_OK &&
	       spool_decode(&end, buf_slice(&w->file.head), tail, w->crc, &w->file.mail) == SPOOL_OK;
}

static void write_file(struct write_task *w)
{
	struct submission *sub = w->sub;
	struct spool_draft draft = {sub->mail.id, w->file.folder, buf_slice(&w->file.head), &sub->mail, &w->file.tail, 0, false};

	w->outcome = spool_draft_commit(sub->q->spool, &draft, &w->read_fd, &w->err);
	w->is_left = draft.is_left;
	w->crc = draft.crc;
}

static void begin_write(struct crew_task *task)
{
	struct write_task *w = (struct write_task *)(void *)task;
	struct submission *sub = w->sub;
	struct iovec parts[3];

	w->crc = crc32c(crc32c(0, buf_slice(&w->file.head)), buf_slice(&sub->body));
	if (!spool_encode_tail(&sub->mail, w->crc, &w->file.tail))
		return;
	parts[0] = (struct iovec){w->file.head.at, w->file.head.len};
	parts[1] = (struct iovec){sub->body.at, sub->body.len};
	parts[2] = (struct iovec){w->file.tail.at, w->file.tail.len};
	w->new_file = (struct spool_new){.id = sub->mail.id, .folder = w->file.folder};
	w->begun = true;
	spool_new_write(sub->q->spool, &w->new_file, parts, 3);
}

static void finish_write(struct write_task *w)
{
	if (!w->begun)
		return;
	w->outcome = spool_new_sync(w->sub->q->spool, &w->new_file, &w->read_fd);
	w->err = w->new_file.err;
	w->is_left = w->new_file.is_left;
}

static void run_write(struct crew_task *task)
{
	struct write_task *w = (struct write_task *)(void *)task;

	if (w->sub->in_file)
		write_file(w);
	else
		finish_write(w);
	w->decoded = w->outcome == OC_DONE && decode_written(w);
}

static void log_accepted(const struct submission *sub)
{
	LOG(LEVEL_INFO, "accepted", KV_ID(sub->mail.id), KV_SESSION(sub->mail.session), KV_TEXT("sender", sub->mail.sender),
	    KV_NUM("size", sub->mail.body_length), KV_NUM("recipients", sub->mail.rcpt_count),
	    KV_TEXT("client", sub->mail.client), KV_TEXT("login", sub->mail.login), KV_NUM("held", sub->mail.hold));
}

static void go_on(struct write_task *w)
{
	struct submission *sub = w->sub;
	struct queue *q = sub->q;
	struct slice *destinations = mem_new(sub->target_count, sizeof(*destinations));
	bool *queue_only = mem_new(sub->target_count, sizeof(*queue_only));

	for (size_t i = 0; destinations != NULL && queue_only != NULL && i < sub->target_count; i++) {
		destinations[i] = sub->targets[i].destination;
		queue_only[i] = sub->targets[i].queue_only;
	}
	if (destinations != NULL && queue_only != NULL && w->decoded) {
		w->message->let_go = sub->let_go;
		message_fresh(q, w->message, &w->file, destinations, queue_only, w->read_fd);
	} else { /* it is durable, and will be read when there is memory */
		message_free(q, &w->message);
		spool_loaded_free(&w->file);
		if (w->read_fd != -1)
			(void)close(w->read_fd);
		message_load(q, sub->mail.id, NULL, WISH_NONE);
	}
	free(destinations);
	free(queue_only);
}

/* Its id is never without an owner: a scan must not find, and deliver, what its sender is told was not taken. */
static void refuse_written(struct write_task *w)
{
	struct submission *sub = w->sub;

	queue_trouble("spool-write-failed", sub->mail.id, w->err);
	disk_failed(sub->q, w->err);
	submission_fail(sub, w->outcome, NULL);
	if (w->is_left)
		ending_of_refused(sub->q, &sub->mail, w->file.folder);
	message_free(sub->q, &w->message);
	spool_loaded_free(&w->file);
}

static void on_written(struct crew_task *task)
{
	struct write_task *w = (struct write_task *)(void *)task;
	struct submission *sub = w->sub;

	if (w->outcome == OC_DONE) {
		sub->q->accepted++;
		log_accepted(sub);
		go_on(w);
	} else {
		refuse_written(w);
	}
	free(w);
	finish(sub);
}

/* ---- what is to be written ---- */

static bool take_recipients(struct submission *sub)
{
	sub->mail.rcpts = mem_new(sub->target_count, sizeof(*sub->mail.rcpts));
	sub->mail.rcpt_count = sub->target_count;
	for (size_t i = 0; sub->mail.rcpts != NULL && i < sub->target_count; i++)
		sub->mail.rcpts[i] = sub->targets[i].rcpt;
	return sub->mail.rcpts != NULL;
}

/* The lines that go before the body: our trace first, then what policy adds. */
static bool make_prepend(struct submission *sub)
{
	struct buf lines = buf_make(SPOOL_TEXT_MAX);
	struct slice only = sub->asked_count == 1 ? sub->asked[0].address : slice_empty();
	bool ok = true;

	if (!sub->own && !sub->made_here)
		ok = received_add(&lines, &sub->mail, slice_of(sub->generation->conf->set.hostname), only, sub->withholds_client);
	ok = ok && buf_add_slice(&lines, sub->uninvited) && pool_copy(&sub->pool, buf_slice(&lines), &sub->mail.prepend);
	buf_free(&lines);
	return ok;
}

static bool make_head(struct submission *sub)
{
	if (!sub->in_file) {
		sub->mail.body_length = sub->body.len;
		if (!spool_encode_head(&sub->mail, &sub->head))
			return false;
	}
	sub->mail.body_offset = sub->head.len;
	return true;
}

static void write_it(struct submission *sub)
{
	struct write_task *w = mem_new(1, sizeof(*w));

	if (w == NULL || !take_recipients(sub) || !make_prepend(sub) || !make_head(sub)) {
		free(w);
		submission_fail(sub, OC_NO_MEMORY, NULL);
		give_up(sub);
		return;
	}
	w->message = message_begin(sub->q, sub->mail.id);
	if (w->message == NULL) {
		free(w);
		submission_fail(sub, OC_NO_MEMORY, NULL);
		give_up(sub);
		return;
	}
	w->task = (struct crew_task){NULL, sub->in_file ? NULL : begin_write, run_write, on_written};
	w->outcome = OC_NO_MEMORY;
	w->sub = sub;
	w->read_fd = -1;
	w->file.folder = sub->mail.hold != 0 ? SPOOL_HOLD : SPOOL_NEW;
	w->file.head = sub->head;
	w->file.tail = buf_make(TAIL_MAX);
	sub->head = buf_make(0);
	crew_give(sub->q->writers, sub->mail.id, &w->task);
}

/* ---- routes ---- */

static struct slice asked_address(void *arg, size_t i)
{
	struct submission *sub = arg;

	return sub->asked[i].address;
}

static struct target *target_new(struct submission *sub, size_t asked)
{
	void *items = sub->targets;
	struct target *t;

	if (!mem_grow(&items, &sub->target_cap, sub->target_count, sizeof(*t), SPOOL_RECIPIENTS_MAX)) {
		submission_fail(sub, OC_NO_MEMORY, NULL);
		return NULL;
	}
	sub->targets = items;
	t = &sub->targets[sub->target_count++];
	*t = (struct target){.asked = asked, .destination = slice_empty()};
	t->rcpt.address = t->rcpt.original = sub->asked[asked].address;
	t->rcpt.orcpt = sub->asked[asked].orcpt;
	t->rcpt.notify = sub->asked[asked].notify;
	t->rcpt.fail_dsn = t->rcpt.fail_text = t->rcpt.argument = t->rcpt.bound_to = slice_empty();
	return t;
}

/* An address that stood for several: its members are told of as it asked, but for success, and the sender hears of that
 * (RFC 3461 §5.2.7.2 (c)). */
static void note_expansion(struct submission *sub, size_t asked, size_t first)
{
	bool owed = dsn_wants(sub->asked[asked].notify, DSN_SUCCESS) && sub->mail.sender.len > 0;
	struct target *t;

	for (size_t i = first; i < sub->target_count; i++)
		sub->targets[i].rcpt.notify = dsn_notify_of_member(sub->targets[i].rcpt.notify);
	t = owed ? target_new(sub, asked) : NULL;
	if (t != NULL)
		t->rcpt.expanded = 1;
}

/* A refusal after RCPT: told in the reply when all are refused, or the sender is a stranger's; else to the sender in a report. */
static void refuse(struct submission *sub, size_t asked, uint64_t code, struct slice dsn, struct slice text, struct slice rule)
{
	struct target *t = target_new(sub, asked);

	if (t == NULL)
		return;
	LOG(LEVEL_INFO, "recipient-refused", KV_SESSION(sub->mail.session), KV_TEXT("recipient", t->rcpt.address),
	    KV_NUM("code", code), KV_TEXT("text", text), KV_TEXT("rule", rule));
	t->rcpt.fail_code = code;
	sub->asked[asked].refused = true;
	if (!pool_copy(&sub->pool, dsn, &t->rcpt.fail_dsn) || !pool_copy(&sub->pool, text, &t->rcpt.fail_text))
		submission_fail(sub, OC_NO_MEMORY, NULL);
	if (sub->refused++ == 0)
		(void)slice_copy(rule, sub->rule, sizeof(sub->rule));
	if (sub->own) { /* nobody to tell: kept for the operator, in hold/ */
		t->rcpt.fail_code = 0;
		sub->mail.hold = 1;
	}
}

static void refuse_relay(struct submission *sub, size_t asked, struct slice rule)
{
	const struct outcome_info *info = outcome_info(OC_NO_RELAY);

	refuse(sub, asked, info->smtp, slice_of(info->dsn), slice_of(info->text), rule);
}

static bool make_destination(struct submission *sub, const struct rec_route_target *r, struct slice *out)
{
	char text[64 + 1 + 512 + 1];
	int n = snprintf(text, sizeof(text), "%.*s %.*s", SLICE_ARG(r->transport), SLICE_ARG(r->nexthop));

	return n > 0 && (size_t)n < sizeof(text) && pool_copy(&sub->pool, slice_make(text, (size_t)n), out);
}

static void take_target(struct submission *sub, size_t asked, const struct rec_route_target *r)
{
	struct directive directive;
	struct target *t;

	if (!directive_decode(r->directive, r->argument, &directive)) {
		submission_fail(sub, OC_ROUTE_UNKNOWN, NULL);
		return;
	}
	if (r->leaves != 0 && !sub->may_leave && !sub->own && r->relay_domain == 0) {
		refuse_relay(sub, asked, r->rule);
		return;
	}
	t = target_new(sub, asked);
	if (t == NULL)
		return;
	sub->asked[asked].leads_on = true;
	/* What the queue itself does has none. */
	if (!pool_copy(&sub->pool, r->recipient, &t->rcpt.address) ||
	    (r->directive != DIRECTIVE_LIST && !make_destination(sub, r, &t->destination)) ||
	    !pool_copy(&sub->pool, r->argument, &t->rcpt.argument))
		submission_fail(sub, OC_NO_MEMORY, NULL);
	if (sub->is_list) /* its members are who this message is for (RFC 3461 §5.2.7.3 (c)) */
		t->rcpt.original = t->rcpt.address;
	t->rcpt.directive = r->directive;
	if (directive_is_bound(r->directive)) {
		t->rcpt.bound_to = t->destination;
		t->rcpt.queue_only = r->queue_only;
	}
	t->queue_only = r->queue_only != 0;
	sub->mail.hold |= r->hold != 0;
}

static void take_targets(struct submission *sub, size_t asked, struct slice records)
{
	struct rec_route_target r;
	size_t first = sub->target_count;

	while (rec_route_target_next(&records, &r))
		take_target(sub, asked, &r);
	if (sub->target_count - first > 1)
		note_expansion(sub, asked, first);
	if (records.len > 0)
		submission_fail(sub, OC_ROUTE_UNKNOWN, NULL);
}

static void judge(struct submission *sub, size_t i, const struct msg_ROUTE_ANSWER *answer)
{
	switch (outcome_kind(answer->outcome)) {
	case KIND_OK:
		take_targets(sub, i, answer->route_target_records);
		break;
	case KIND_TEMP:
		submission_fail(sub, answer->outcome == OC_BUSY ? OC_BUSY : OC_ROUTE_UNKNOWN, NULL);
		(void)slice_copy(answer->rule, sub->rule, sizeof(sub->rule));
		break;
	case KIND_PERM:
		refuse(sub, i, answer->code != 0 ? answer->code : outcome_info(answer->outcome)->smtp, answer->dsn,
		       answer->text, answer->rule);
		break;
	}
}

/* The recipients, as they are now and as they will be written. */
static bool count_memory(struct submission *sub)
{
	size_t all = sub->pool.bytes + sub->target_cap * (sizeof(struct target) + sizeof(struct spool_rcpt));
	size_t now = all > SMALL_BYTES ? all - SMALL_BYTES : 0;

	if (now > sub->counted && !routing_hold(sub->q, now - sub->counted))
		return false;
	if (now < sub->counted)
		routing_release(sub->q, sub->counted - now);
	sub->counted = now;
	return true;
}

/* It has failed: the others wait for the memory. */
static void drop_targets(struct submission *sub)
{
	free(sub->targets);
	sub->targets = NULL;
	sub->target_count = sub->target_cap = 0;
	(void)count_memory(sub);
}

static bool on_answer(void *arg, size_t i, const struct msg_ROUTE_ANSWER *answer)
{
	struct submission *sub = arg;

	if (outcome_kind(sub->outcome) != KIND_OK)
		return false;
	if (answer == NULL)
		submission_fail(sub, OC_ROUTE_UNKNOWN, NULL);
	else
		judge(sub, i, answer);
	if (outcome_kind(sub->outcome) == KIND_OK && !count_memory(sub))
		submission_fail(sub, OC_BUSY, NULL);
	if (outcome_kind(sub->outcome) == KIND_OK)
		return true;
	drop_targets(sub);
	return false;
}

static void add_folded(struct buf *key, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		buf_add_char(key, ascii_lower(text.at[i]));
}

/* A list is its owner, however the case of what was asked for and whatever its tag (a kept one leads to other members): each would be a
 * message of its own to all members. */
static struct slice list_key(const struct target *t, bool by_tag, struct buf *key)
{
	buf_add_char(key, '\0'); /* so begins no address */
	add_folded(key, t->rcpt.argument);
	buf_add_char(key, '\0');
	if (by_tag)
		add_folded(key, t->rcpt.address);
	return buf_slice(key);
}

/* Two are one where all of this is the same: no field but the argument, which comes last, holds a NUL. */
static struct slice same_key(const struct target *t, bool by_tag, struct buf *key)
{
	buf_clear(key);
	if (t->rcpt.directive == DIRECTIVE_LIST)
		return list_key(t, by_tag, key);
	buf_add_slice(key, t->rcpt.address);
	if (t->rcpt.directive == DIRECTIVE_NONE)
		return buf_slice(key);
	buf_add_char(key, '\0');
	buf_add_text(key, directive_name(t->rcpt.directive));
	buf_add_char(key, '\0');
	buf_add_slice(key, t->rcpt.bound_to);
	buf_add_char(key, '\0');
	buf_add_slice(key, t->rcpt.argument);
	return buf_slice(key);
}

/* So many tags of one list are told apart in one message; more would be as many messages to all its members. */
#define LIST_TAGS_MAX 5u

/* NULL: it counts as a list of its own.  Else the first of those that have come before it. */
static struct target *list_of_many_tags(struct map *seen, struct target *t, struct buf *key, bool *ok)
{
	struct target *first = NULL;

	for (unsigned i = 0; i < LIST_TAGS_MAX; i++) {
		struct target *other;

		buf_clear(key);
		buf_add_char(key, '\0');
		add_folded(key, t->rcpt.argument);
		buf_add_char(key, '\0');
		buf_add_char(key, '\0'); /* so begins no address either */
		buf_addf(key, "%u", i);
		other = map_find(seen, buf_slice(key));
		if (other == NULL) {
			*ok = map_put(seen, buf_slice(key), t) && *ok;
			return NULL;
		}
		first = first == NULL ? other : first;
	}
	return first;
}

static bool keeps_tags(const struct submission *sub)
{
	return sub->generation->conf->set.sub_address_kept;
}

static struct target *find_same(const struct submission *sub, struct map *seen, struct target *t, struct buf *key, bool *ok)
{
	struct target *other = map_find(seen, same_key(t, keeps_tags(sub), key));

	return other == NULL && keeps_tags(sub) && t->rcpt.directive == DIRECTIVE_LIST ? list_of_many_tags(seen, t, key, ok) : other;
}

/* The same recipient by two ways is one: the first stays, and is told of as either asked. */
static bool merge_targets(struct submission *sub)
{
	struct map *seen = map_new(2u * SPOOL_RECIPIENTS_MAX);
	struct buf key = buf_make(2 * DIRECTIVE_ARGUMENT_MAX);
	size_t kept = 0;
	bool ok = true;

	if (seen == NULL)
		return false;
	for (size_t i = 0; i < sub->target_count; i++) {
		struct target *t = &sub->targets[kept], *other;

		*t = sub->targets[i];
		other = t->rcpt.expanded != 0 ? NULL : find_same(sub, seen, t, &key, &ok);
		if (other != NULL) {
			other->rcpt.notify = dsn_notify_join(other->rcpt.notify, t->rcpt.notify);
			continue;
		}
		if (t->rcpt.expanded == 0 && !map_put(seen, same_key(t, keeps_tags(sub), &key), t))
			ok = false;
		kept++;
	}
	sub->target_count = kept;
	map_free(&seen);
	ok = ok && buf_ok(&key);
	buf_free(&key);
	return ok;
}

/* No table and no mailbox knows them apart, and each spelling of a list would bring all its members. */
static bool merge_asked(struct submission *sub)
{
	struct map *seen = map_new(SPOOL_RECIPIENTS_MAX);
	struct buf key = buf_make(SPOOL_TEXT_MAX);
	size_t kept = 0;
	bool ok = seen != NULL;

	for (size_t i = 0; ok && i < sub->asked_count; i++) {
		struct asked_rcpt *rcpt = &sub->asked[i], *other;

		buf_clear(&key);
		add_folded(&key, rcpt->address);
		other = map_find(seen, buf_slice(&key));
		if (other != NULL) {
			other->notify = dsn_notify_join(other->notify, rcpt->notify);
			continue;
		}
		sub->asked[kept] = *rcpt;
		ok = buf_ok(&key) && map_put(seen, buf_slice(&key), &sub->asked[kept]);
		kept++;
	}
	if (ok)
		sub->asked_count = kept;
	map_free(&seen);
	buf_free(&key);
	return ok;
}

/* A stranger may have invented the sender: nobody is sent a report because a recipient was let in at RCPT, for a header that may have
 * come, and is refused for the one that came.  Nothing is accepted yet, so all of it is refused, and the client may try the others. */
static const struct target *refused_to_a_stranger(const struct submission *sub)
{
	if (sub->may_leave || sub->own || sub->made_here)
		return NULL;
	for (size_t i = 0; i < sub->target_count; i++) {
		const struct asked_rcpt *asked = &sub->asked[sub->targets[i].asked];

		if (sub->targets[i].rcpt.fail_code != 0 && asked->refused && !asked->leads_on)
			return &sub->targets[i];
	}
	return NULL;
}

static bool nobody_left(const struct submission *sub)
{
	for (size_t i = 0; i < sub->target_count; i++)
		if (sub->targets[i].rcpt.fail_code == 0 && sub->targets[i].rcpt.expanded == 0)
			return false;
	return sub->refused > 0;
}

/* What the client hears then. */
static void answer_refused(struct submission *sub, const struct spool_rcpt *first)
{
	sub->outcome = OC_POLICY_REJECT;
	sub->code = first->fail_code;
	(void)slice_copy(slice_sub(first->fail_dsn, 0, sizeof(sub->dsn) - 1), sub->dsn, sizeof(sub->dsn));
	(void)slice_copy(slice_sub(first->fail_text, 0, sizeof(sub->text) - 1), sub->text, sizeof(sub->text));
}

static void on_routed(void *arg)
{
	struct submission *sub = arg;
	const struct target *refused = refused_to_a_stranger(sub);

	if (outcome_kind(sub->outcome) == KIND_OK && refused == NULL && sub->target_count > 1 && !merge_targets(sub))
		submission_fail(sub, OC_NO_MEMORY, NULL);
	if (outcome_kind(sub->outcome) != KIND_OK) {
		give_up(sub);
	} else if (refused != NULL || nobody_left(sub)) {
		answer_refused(sub, refused != NULL ? &refused->rcpt : &sub->targets[0].rcpt);
		give_up(sub);
	} else if (sub->target_count == 0) {
		LOG(LEVEL_INFO, "discarded", KV_ID(sub->mail.id), KV_SESSION(sub->mail.session),
		    KV_TEXT("sender", sub->mail.sender));
		sub->discarded = true;
		give_up(sub);
	} else {
		write_it(sub);
	}
}

static const struct routing_calls routing_calls = {asked_address, on_answer, on_routed};

/* Of what comes from outside the worker has said it, of a copy its original; what was made here is in memory. */
static struct slice header_names(struct submission *sub)
{
	struct header_names names = header_names_make();

	if (sub->mail.header_names.len == 0 && (sub->own || sub->made_here) && !sub->in_file) {
		header_names_add_header(&names, buf_slice(&sub->body));
		if (!pool_copy(&sub->pool, header_names_text(&names), &sub->mail.header_names))
			submission_fail(sub, OC_NO_MEMORY, NULL);
		header_names_free(&names);
	}
	return sub->mail.header_names;
}

void submission_commit(struct submission *sub)
{
	const struct routing_facts facts = {
		.generation = sub->generation->number,
		.role = sub->mail.role,
		.size = sub->in_file ? sub->mail.body_length : sub->body.len,
		.mode = sub->is_list ? ROUTE_MODE_LIST : ROUTE_MODE_WHOLE,
		.sender = sub->is_list ? sub->list_sender : sub->mail.sender,
		.owner = sub->is_list ? sub->mail.sender : slice_empty(),
		.login = sub->mail.login,
		.client = sub->mail.client,
		.listener = sub->mail.listener,
		.hostname = sub->mail.hostname,
		.ancestors = sub->mail.ancestors,
		.local = sub->mail.local,
		.local_port = sub->mail.local_port,
		.header_names = header_names(sub),
	};

	sub->q->submissions++;
	if (sub->mail.id == 0)
		sub->mail.id = spool_id_next(&sub->q->ids, clock_wall_ms());
	if (outcome_kind(sub->outcome) == KIND_OK && sub->asked_count == 0 && sub->target_count > 0) {
		on_routed(sub);
		return;
	}
	if (sub->asked_count > 1 && !merge_asked(sub))
		submission_fail(sub, OC_NO_MEMORY, NULL);
	if (outcome_kind(sub->outcome) == KIND_OK &&
	    !routing_start(sub->q, &facts, sub->asked_count, &routing_calls, sub))
		submission_fail(sub, OC_NO_MEMORY, NULL);
	else if (outcome_kind(sub->outcome) == KIND_OK)
		return;
	give_up(sub);
}
