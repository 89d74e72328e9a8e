#ifndef POSTERN_QUEUE_SEND_REPORT_H
#define POSTERN_QUEUE_SEND_REPORT_H

#include "message.h"
#include "report.h"

/*
 * Makes one report about all recipients of a message of whom the sender is to hear now, and brings it into the spool as a
 * message of its own, with the null sender and NOTIFY=NEVER.  `then` is called once: `durable` says that the report is in the
 * spool.  Never called for a message with the null sender, or with nobody to tell of.
 */
enum report_kind {
	REPORT_OUTCOMES, /* who has failed, and successes that are owed */
	REPORT_DELAY, /* who waits, and asked for that */
};

void send_report(struct queue *q, struct message *m, enum report_kind kind,
		 void (*then)(struct queue *q, struct message *m, bool durable));

#endif
