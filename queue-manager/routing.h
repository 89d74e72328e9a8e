#ifndef POSTERN_QUEUE_ROUTING_H
#define POSTERN_QUEUE_ROUTING_H

#include "ipc/flags.h"
#include "queue.h"

/*
 * Asks policyd where recipients go: any number of them, a bounded number at a time.  What is handed in is borrowed until
 * `done`.
 *
 * Always: the pages of all that is asked, and what submissions made of the answers, have ROUTING_BYTES_MAX together; an answer beyond it is BUSY.
 */
#define ROUTING_BYTES_MAX (128u << 20)

struct routing_facts {
	uint64_t generation, role, size;
	enum route_mode mode;
	struct slice sender, login, client, listener, hostname, ancestors, local, header_names;
	uint64_t local_port;
	struct slice owner; /* of mode LIST; else "" */
};

struct routing_calls {
	struct slice (*recipient)(void *arg, size_t i);
	/* With the records of all its pages, which may be more than one message holds.  NULL: there was none, or not all: not known now.
	 * False: who has not been asked yet need not be. */
	bool (*answer)(void *arg, size_t i, const struct msg_ROUTE_ANSWER *answer);
	void (*done)(void *arg); /* once, after every answer to what was asked; never from inside routing_start */
};

/* False: no memory; nothing will be called. */
bool routing_start(struct queue *q, const struct routing_facts *facts, size_t count, const struct routing_calls *calls,
		   void *arg);

/* What is made of answers counts with them until it is released.  False: it would be too much, as the log says, and it does not. */
bool routing_hold(struct queue *q, size_t bytes);
void routing_release(struct queue *q, size_t bytes);

#endif
