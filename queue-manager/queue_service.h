#ifndef POSTERN_QUEUE_QUEUE_SERVICE_H
#define POSTERN_QUEUE_QUEUE_SERVICE_H

#include "service/service.h"

/* What main.c wires into the skeleton of every process. */
extern service_message_fn *const queue_handlers[IPC_COUNT];
void queue_start(struct service *s);
void queue_switched(struct service *s);
void queue_drain(struct service *s, uint64_t deadline_ms);
void queue_link_up(struct service *s, struct link *link);
void queue_link_down(struct service *s, struct link *link);
void queue_status(struct service *s, struct buf *out);

#endif
