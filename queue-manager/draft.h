#ifndef POSTERN_QUEUE_DRAFT_H
#define POSTERN_QUEUE_DRAFT_H

#include "queue.h"

/*
 * Sessions, as the gate attests them, and the drafts that workers make in them.
 *
 *   draft:  OPEN --DRAFT_FILE_ASK--> FILED    (a body too large for memory goes to a file, through its own descriptor)
 *           OPEN, FILED --DRAFT_SEAL--> SEALED --DRAFT_COMMIT--> COMMITTING --> COMMITTED to the worker, gone
 *           any but COMMITTING --DRAFT_ABORT, session closed, worker gone--> gone
 *
 * Always: client, login, listener and uid of a message are what gate and authd said, never what the worker says; a worker
 * that speaks of a session it was not given, or out of this order, is cut off; a failure on the way (no memory, full disk)
 * is kept and told in COMMITTED.  What a worker said of its session before it knew that it had ended is passed over.  A
 * session outlives the gate that attested it, while its worker lives.
 */
void draft_start(struct queue *q);
void draft_on_session_open(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_session_close(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_session_login(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_open(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_rcpt(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_data(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_file_ask(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_seal(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_commit(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_abort(struct queue *q, struct link *link, struct ipc_message *m);
void draft_on_status_ask(struct queue *q, struct link *link, struct ipc_message *m);
void draft_link_up(struct queue *q, const struct link *link);
/* A worker or the gate has gone. */
void draft_link_down(struct queue *q, struct link *link);

#endif
