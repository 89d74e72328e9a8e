#include "queue.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "control.h"
#include "deliver.h"
#include "disk.h"
#include "draft.h"
#include "expand.h"
#include "ending.h"
#include "message.h"
#include "queue_service.h"
#include "scan.h"
#include "senders.h"
#include "sent.h"
#include "waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#define SESSIONS_MAX 2000000u
#define MESSAGES_MAX 1000000u
#define JOBS_MAX 200000u
#define DRAIN_LOOK_MS 50u
#define INDEX_FILE "index.db"

void queue_trouble(const char *event, uint64_t id, int err)
{
	LOG(LEVEL_ERROR, event, KV_ID(id), KV_ERRNO(err));
}

static struct queue *queue_of(struct service *s)
{
	return service_state(s);
}

/* ---- start ---- */

static void on_slots_due(void *arg)
{
	message_flush_slots(arg);
}

static void index_begin_hook(void *arg)
{
	struct queue *q = arg;

	index_begin(q->index);
}

static void index_end_hook(void *arg)
{
	struct queue *q = arg;

	if (!index_end(q->index))
		atomic_store(&q->index_lost, true);
	if (q->senders != NULL && !senders_end(q->senders))
		atomic_store(&q->senders_lost, true);
}

/* The working folder is the spool: the cage has seen to that. */
static void open_spool(struct queue *q)
{
	const struct conf *conf = queue_conf(q);
	const struct spool_config config = {
		.ops = &spool_ops_real,
		.sync_folders = strcmp(conf->set.fsync_dir, "always") == 0,
		.reserve_bytes = conf->set.spool_reserve,
	};
	int err = 0, root = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root == -1)
		log_fatal("the spool folder cannot be opened; does it belong to the queue's user?", errno);
	q->spool = spool_open(root, &config, &err);
	if (q->spool == NULL)
		log_fatal("the spool's folders cannot be made; does it belong to the queue's user?", err);
	spool_id_reserve(&q->ids, spool_mark(q->spool));
	q->let_go = spool_let_go(q->spool);
}

static void make_tables(struct queue *q)
{
	q->sessions = map_new(SESSIONS_MAX);
	q->messages = map_new(MESSAGES_MAX);
	q->jobs = map_new(JOBS_MAX);
	if (q->sessions == NULL || q->messages == NULL || q->jobs == NULL)
		log_fatal("queue", ENOMEM);
}

static void start_threads(struct queue *q)
{
	const struct crew_hooks hooks = {index_begin_hook, index_end_hook, q};

	/* More arenas are more memory, and these threads allocate little. */
	(void)mallopt(M_ARENA_MAX, 2);
	q->index = index_open(INDEX_FILE);
	if (q->index == NULL)
		log_fatal("index", ENOMEM);
	(void)index_was_reset(q->index); /* the scan begins anyway */
	q->writers = crew_new(q->loop, (unsigned)queue_conf(q)->set.spool_writers, NULL);
	q->indexer = crew_new(q->loop, 1, &hooks);
	if (q->writers == NULL || q->indexer == NULL)
		log_fatal("writer threads", errno);
}

void queue_start(struct service *s)
{
	struct queue *q = mem_new(1, sizeof(*q));

	if (q == NULL)
		log_fatal("queue", ENOMEM);
	service_set_state(s, q);
	q->service = s;
	q->loop = service_loop(s);
	/* A number that an agent of an earlier run still has is none of this one. */
	q->last_job = (uint64_t)clock_wall_ms() << 20;
	make_tables(q);
	draft_start(q);
	open_spool(q);
	start_threads(q);
	q->slots_timer = timer_new(q->loop, on_slots_due, q);
	disk_start(q);
	ending_start(q);
	deliver_start(q);
	expand_start(q);
	waiting_start(q);
	scan_start(q);
	sent_start(q);
}

void queue_switched(struct service *s)
{
	struct queue *q = queue_of(s);

	deliver_limits(q);
	sent_switched(q);
	spool_set_reserve(q->spool, queue_conf(q)->set.spool_reserve);
}

/* ---- the end ---- */

static void finish(struct queue *q)
{
	message_finish_all(q);
	spool_mark_exactly(q->spool, q->ids.last);
	waiting_stop(q);
	scan_stop(q);
	crew_free(&q->writers);
	crew_free(&q->indexer);
	index_close(&q->index);
	senders_close(&q->senders);
	sent_stop(q);
	spool_close(&q->spool);
	service_stop(q->service);
}

static void on_drain_look(void *arg)
{
	struct queue *q = arg;
	bool busy = map_count(q->jobs) > 0 || q->submissions > 0;

	if (busy && clock_mono_ms() < q->drain_until_ms)
		timer_set(q->drain_timer, DRAIN_LOOK_MS);
	else
		finish(q);
}

/* What runs may end; what waits is safe where it is. */
void queue_drain(struct service *s, uint64_t deadline_ms)
{
	struct queue *q = queue_of(s);

	q->draining = true;
	q->drain_until_ms = clock_mono_ms() + deadline_ms;
	q->drain_timer = timer_new(q->loop, on_drain_look, q);
	timer_set(q->drain_timer, 0);
}

/* ---- links ---- */

void queue_link_up(struct service *s, struct link *link)
{
	draft_link_up(queue_of(s), link);
}

void queue_link_down(struct service *s, struct link *link)
{
	struct queue *q = queue_of(s);

	if (q == NULL || q->spool == NULL)
		return;
	draft_link_down(q, link);
	control_link_down(q, link);
	sent_link_down(q, link);
	if (link_peer(link) == ROLE_RELAY || link_peer(link) == ROLE_LOCAL)
		deliver_link_down(q, link);
}

void queue_status(struct service *s, struct buf *out)
{
	const struct queue *q = queue_of(s);

	service_status_number(out, "sessions", map_count(q->sessions));
	service_status_number(out, "drafts_kib", q->draft_bytes / 1024);
	service_status_number(out, "routes_kib", q->routing_bytes / 1024);
	service_status_number(out, "in_memory", map_count(q->messages));
	service_status_number(out, "active_jobs", sched_running(q->sched));
	service_status_number(out, "waiting", sched_waiting(q->sched));
	service_status_number(out, "destinations", sched_destinations(q->sched));
	service_status_number(out, "accepted", q->accepted);
	service_status_number(out, "delivered", q->delivered);
	service_status_number(out, "deferred", q->deferred);
	service_status_number(out, "bounced", q->bounced);
	disk_status(q, out);
	service_status_text(out, "scan", scan_is_running(q) ? "running" : "done");
}

#define HANDLER(name, fn)                                                                          \
	static void name(struct service *s, struct link *link, struct ipc_message *m)             \
	{                                                                                          \
		fn(queue_of(s), link, m);                                                          \
	}

HANDLER(on_session_open, draft_on_session_open)
HANDLER(on_session_close, draft_on_session_close)
HANDLER(on_session_login, draft_on_session_login)
HANDLER(on_draft_open, draft_on_open)
HANDLER(on_draft_rcpt, draft_on_rcpt)
HANDLER(on_draft_data, draft_on_data)
HANDLER(on_draft_file_ask, draft_on_file_ask)
HANDLER(on_draft_seal, draft_on_seal)
HANDLER(on_draft_commit, draft_on_commit)
HANDLER(on_draft_abort, draft_on_abort)
HANDLER(on_draft_status_ask, draft_on_status_ask)
HANDLER(on_job_recipient, deliver_on_recipient)
HANDLER(on_job_end, deliver_on_end)
HANDLER(on_job_expand, expand_on_expand)
HANDLER(on_job_mail, expand_on_mail)
HANDLER(on_sent_ask, sent_on_ask)
HANDLER(on_control_ask, control_on_ask)

service_message_fn *const queue_handlers[IPC_COUNT] = {
	[IPC_SESSION_OPEN] = on_session_open,
	[IPC_SESSION_CLOSE] = on_session_close,
	[IPC_SESSION_LOGIN] = on_session_login,
	[IPC_DRAFT_OPEN] = on_draft_open,
	[IPC_DRAFT_RCPT] = on_draft_rcpt,
	[IPC_DRAFT_DATA] = on_draft_data,
	[IPC_DRAFT_FILE_ASK] = on_draft_file_ask,
	[IPC_DRAFT_SEAL] = on_draft_seal,
	[IPC_DRAFT_COMMIT] = on_draft_commit,
	[IPC_DRAFT_ABORT] = on_draft_abort,
	[IPC_DRAFT_STATUS_ASK] = on_draft_status_ask,
	[IPC_JOB_RECIPIENT] = on_job_recipient,
	[IPC_JOB_END] = on_job_end,
	[IPC_JOB_EXPAND] = on_job_expand,
	[IPC_JOB_MAIL] = on_job_mail,
	[IPC_SENT_ASK] = on_sent_ask,
	[IPC_CONTROL_ASK] = on_control_ask,
};
