#ifndef POSTERN_QUEUE_CREW_H
#define POSTERN_QUEUE_CREW_H

#include "event/loop.h"

#include <stddef.h>

/*
 * A few threads that do what would block the loop.  A task runs in a thread, then its `done` runs in the loop.
 *
 * What a thread finds waiting together (CREW_TOGETHER at most) is prepared, then run: so the writes of all of them are
 * begun before the first is waited for, and a journaling file system makes one commit of them.
 *
 * Always: tasks of one key run in the order they were given, never two at a time; nothing that a task's `prepare` and `run`
 * touch is touched by the loop until its `done`; tasks never log and never talk to a link.
 */
#define CREW_TOGETHER 32

struct crew_task {
	struct crew_task *next; /* the crew's */
	void (*prepare)(struct crew_task *task); /* in a thread; NULL, unless it is the first of its key */
	void (*run)(struct crew_task *task); /* in a thread */
	void (*done)(struct crew_task *task); /* in the loop; the task is its own again, to be freed */
};

struct crew_hooks {
	/* Around all tasks a thread finds waiting at once: a transaction.  `done` of none is called before `end`.  May be NULL. */
	void (*begin)(void *arg);
	void (*end)(void *arg);
	void *arg;
};

struct crew;

/* NULL: no memory, or no thread.  `hooks` may be NULL. */
struct crew *crew_new(struct loop *loop, unsigned threads, const struct crew_hooks *hooks);
/* Waits for all that was given, calls the `done`s, ends the threads. */
void crew_free(struct crew **cp);

/* Takes `task` until its `done`.  The same key, the same thread. */
void crew_give(struct crew *crew, uint64_t key, struct crew_task *task);
/* Given and not yet done. */
size_t crew_pending(const struct crew *crew);
/* Waits until everything given so far is done (start-up, the end, tests): blocks. */
void crew_wait(struct crew *crew);

#endif
