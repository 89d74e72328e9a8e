#include "sent.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "rules/rules.h"
#include "senders.h"

#include <errno.h>
#include <stdio.h>

#define SENDERS_FILE "senders.db"
#define NOTED_MAX 100000u
#define ASKED_MAX 4096u /* as many as policyd lets wait */
#define DAY_S 86400
#define TELL_MS 60000u /* failures are told once in that time */

struct sent {
	struct map *noted; /* keys noted on `day`; the values say nothing */
	int64_t day;
	bool keeps;
	size_t asked;
	uint64_t told_ms;
	uint64_t policyd; /* counts the links to it: who asked on an earlier one waits no more */
};

/* A task for the indexer's thread. */
struct sent_task {
	struct crew_task task;
	struct queue *q;
	struct senders_terms terms;
	char key[MAIL_ADDRESS_MAX + 1];
	uint64_t request, policyd;
	enum senders_answer answer;
	bool keep; /* there is to be one */
	bool ok, reset;
	char why[200];
};

/* ---- in the thread ---- */

static void ran(struct sent_task *t, bool ok)
{
	t->ok = ok;
	t->reset = t->q->senders != NULL && senders_was_reset(t->q->senders);
	(void)snprintf(t->why, sizeof(t->why), "%s", t->q->senders == NULL ? "no memory" : senders_trouble(t->q->senders));
}

static void run_keep(struct crew_task *task)
{
	struct sent_task *t = (struct sent_task *)(void *)task;

	if (!t->keep)
		senders_remove(&t->q->senders, SENDERS_FILE);
	else if (t->q->senders == NULL)
		t->q->senders = senders_open(SENDERS_FILE, SENDERS_MAX);
	ran(t, !t->keep || t->q->senders != NULL);
}

static void run_note(struct crew_task *task)
{
	struct sent_task *t = (struct sent_task *)(void *)task;

	ran(t, t->q->senders != NULL && senders_note(t->q->senders, t->key, &t->terms));
}

static void run_find(struct crew_task *task)
{
	struct sent_task *t = (struct sent_task *)(void *)task;

	t->answer = SENDERS_UNKNOWN;
	ran(t, t->q->senders != NULL && senders_find(t->q->senders, t->key, &t->terms, &t->answer));
}

/* ---- in the loop ---- */

static void forget_noted(struct sent *s)
{
	map_free(&s->noted);
	s->noted = map_new(NOTED_MAX);
	if (s->noted == NULL)
		log_fatal("senders", ENOMEM);
}

static void after(struct sent_task *t)
{
	bool failed = atomic_exchange(&t->q->senders_lost, false) || !t->ok;
	struct sent *s = t->q->sent;

	if (failed && (s->told_ms == 0 || clock_mono_ms() - s->told_ms >= TELL_MS)) {
		LOG(LEVEL_ERROR, "senders-failed", KV_STR("why", t->why));
		s->told_ms = clock_mono_ms();
	}
	if (t->reset)
		LOG(t->why[0] == '\0' ? LEVEL_INFO : LEVEL_WARN, "senders-begun-anew", KV_STR("why", t->why));
	if (failed || t->reset)
		forget_noted(s);
}

static void on_done(struct crew_task *task)
{
	struct sent_task *t = (struct sent_task *)(void *)task;

	after(t);
	free(t);
}

static struct sent_task *task_new(struct queue *q)
{
	const struct conf *conf = queue_conf(q);
	struct sent_task *t = mem_new(1, sizeof(*t));

	if (t == NULL)
		log_fatal("senders", ENOMEM);
	t->q = q;
	t->terms.kept_s = (int64_t)(conf->set.senders_kept_ms / 1000);
	t->terms.now_s = clock_wall_s();
	(void)snprintf(t->terms.sub_address, sizeof(t->terms.sub_address), "%s", conf->set.sub_address);
	return t;
}

static void give(struct sent_task *t, void (*run)(struct crew_task *), void (*done)(struct crew_task *))
{
	t->task = (struct crew_task){NULL, NULL, run, done};
	crew_give(t->q->indexer, 0, &t->task);
}

/* Also where there is none to be: one of an earlier configuration would know nothing of what was sent meanwhile. */
static void keep(struct queue *q)
{
	struct sent_task *t = task_new(q);

	q->sent->keeps = t->keep = rules_ask_about(queue_conf(q), FACT_RECIPIENT_HAS_SENT);
	forget_noted(q->sent);
	give(t, run_keep, on_done);
}

void sent_start(struct queue *q)
{
	q->sent = mem_new(1, sizeof(*q->sent));
	if (q->sent == NULL)
		log_fatal("senders", ENOMEM);
	keep(q);
}

void sent_switched(struct queue *q)
{
	keep(q);
}

void sent_stop(struct queue *q)
{
	map_free(&q->sent->noted);
	free(q->sent);
	q->sent = NULL;
}

void sent_link_down(struct queue *q, const struct link *link)
{
	if (q->sent == NULL || link_peer(link) != ROLE_POLICYD)
		return;
	q->sent->policyd++;
	q->sent->asked = 0;
}

static bool is_noted(struct sent *s, struct slice key, int64_t day)
{
	if (s->day != day || map_count(s->noted) >= NOTED_MAX)
		forget_noted(s);
	s->day = day;
	return map_find(s->noted, key) != NULL;
}

void sent_note(struct queue *q, struct slice sender)
{
	struct sent_task *t;

	if (!q->sent->keeps || sender.len == 0)
		return;
	t = task_new(q);
	if (!senders_key(t->terms.sub_address, sender, t->key) || is_noted(q->sent, slice_of(t->key), t->terms.now_s / DAY_S)) {
		free(t);
		return;
	}
	(void)map_put(q->sent->noted, slice_of(t->key), q->sent); /* without memory: noted once more */
	give(t, run_note, on_done);
}

/* ---- questions ---- */

static void answer(struct link *link, uint64_t request, enum outcome outcome)
{
	link_answer(link, request, IPC_SENT, &(struct msg_SENT){outcome}, -1);
}

static void on_found(struct crew_task *task)
{
	static const enum outcome outcomes[] = {
		[SENDERS_YES] = OC_DONE, [SENDERS_NO] = OC_NOT_FOUND, [SENDERS_UNKNOWN] = OC_LOOKUP_UNKNOWN};
	struct sent_task *t = (struct sent_task *)(void *)task;
	struct sent *s = t->q->sent;
	struct link *link = t->policyd == s->policyd ? service_link(t->q->service, ROLE_POLICYD, SERVICE_ANY) : NULL;

	if (link != NULL) {
		s->asked--;
		answer(link, t->request, outcomes[t->answer]);
	}
	after(t);
	free(t);
}

void sent_on_ask(struct queue *q, struct link *link, struct ipc_message *m)
{
	struct sent_task *t = q->sent->keeps && q->sent->asked < ASKED_MAX ? task_new(q) : NULL;

	if (t == NULL || !senders_key(t->terms.sub_address, m->body.SENT_ASK.address, t->key)) {
		answer(link, m->request, OC_LOOKUP_UNKNOWN);
		free(t);
		return;
	}
	t->request = m->request;
	t->policyd = q->sent->policyd;
	q->sent->asked++;
	give(t, run_find, on_found);
}
