#ifndef POSTERN_QUEUE_SEND_REPORT_H
#define POSTERN_QUEUE_SEND_REPORT_H

#include "message.h"
#include "report.h"

/*
 * Makes a report about the failed (or, for a delay, the waiting) recipients of a message and brings it into the spool as a
 * message of its own, with the null sender.  `then` is called once: `durable` says that the report is in the spool.  Never
 * called for a message with the null sender.
 */
void send_report(struct queue *q, struct message *m, enum report_kind kind,
		 void (*then)(struct queue *q, struct message *m, bool durable));

#endif
