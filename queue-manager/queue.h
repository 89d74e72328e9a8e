#ifndef POSTERN_QUEUE_QUEUE_H
#define POSTERN_QUEUE_QUEUE_H

#include "crew.h"
#include "index.h"
#include "scheduler.h"
#include "service/service.h"
#include "sickness.h"
#include "spool.h"
#include "spool_id.h"

#include <stdatomic.h>
#include <sys/queue.h>

/*
 * The queue manager's state: one of it, in the loop's thread.  What each file adds to it stands in that file's header.
 */
#define QUEUE_RELAYS_MAX 64u

struct map;
struct run;
struct senders;
struct sent;
struct list_turn;

struct queue {
	struct service *service;
	struct loop *loop;
	struct spool *spool; /* its functions block: writer threads only */
	struct crew *writers;
	struct crew *indexer;
	struct index *index; /* the indexer's thread only */
	atomic_bool index_lost; /* it did not keep what was written together; told once */
	struct senders *senders; /* the indexer's thread only; NULL: no rule asks */
	atomic_bool senders_lost; /* as index_lost */
	struct sent *sent; /* sent.h */
	struct spool_ids ids;
	struct sched *sched;
	struct map *sessions; /* number -> struct session */
	struct map *ended; /* sessions that have: number -> struct ended, owned by the ring */
	struct ended **ended_ring;
	size_t ended_next;
	uint64_t newest_session; /* of the gate that is linked */
	uint64_t introduced_until_ms; /* sessions of a gate just linked are being told */
	struct map *messages; /* id -> struct message, in memory now */
	struct map *jobs; /* number -> struct batch, running */
	struct map *endings; /* id -> ended message whose file is not removed yet (ending.h) */
	struct timer *endings_timer, *jobs_timer;
	size_t incoming; /* messages that are being read, or wait for their routes */
	size_t unknown; /* messages read without the index knowing where to */
	uint64_t last_job;
	unsigned relay_jobs[QUEUE_RELAYS_MAX]; /* by instance (the local agent counts as one of them) */
	uint64_t let_go; /* the last message that was there when the operator let all go; 0: never */
	size_t draft_bytes; /* what drafts hold in memory */
	size_t routing_bytes; /* what routes that are asked for do (routing.h) */
	size_t status_asked; /* DRAFT_STATUS_ASKs under way */
	STAILQ_HEAD(, list_turn) lists; /* expand.h: that wait for their turn */
	unsigned lists_running;
	size_t submissions; /* on their way into the spool */
	struct timer *slots_timer, *drain_timer;
	struct sickness sickness; /* disk.h */
	struct timer *disk_timer;
	struct message *dirty; /* messages with slots to be written, linked */
	struct soon *pump_soon;
	struct waiting *waiting;
	struct scan *scan;
	struct run *checks; /* control_check.h */
	struct control_ask *asks; /* operators that wait for an answer */
	bool draining;
	uint64_t drain_until_ms;
	uint64_t accepted, delivered, deferred, bounced; /* since start */
};

static inline const struct conf *queue_conf(struct queue *q)
{
	return service_conf(q->service);
}

/* A failure of our own that an operator must see, once for each message it hits. */
void queue_trouble(const char *event, uint64_t id, int err);

#endif
