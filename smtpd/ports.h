#ifndef POSTERN_SMTPD_PORTS_H
#define POSTERN_SMTPD_PORTS_H

#include "event/loop.h"
#include "ipc/link.h"

/*
 * How a connection reaches the other processes: by the links of a shared worker (worker.c), or by
 * the private ones of a process that has one session (solo.c).
 */
struct ports {
	/* As service_ask: exactly one callback, never from inside; NULL message: no answer. */
	void (*ask)(void *arg, enum role role, enum ipc_type type, const void *body,
		    uint64_t timeout_ms, link_answer_fn *on_answer, void *on_answer_arg);
	bool (*tell)(void *arg, enum role role, enum ipc_type type, const void *body);
	bool (*reaches)(void *arg, enum role role); /* there is a link now */
	void *arg;
};

#endif
