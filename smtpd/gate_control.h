#ifndef POSTERN_SMTPD_GATE_CONTROL_H
#define POSTERN_SMTPD_GATE_CONTROL_H

#include "ipc/link.h"

#include <sys/types.h>

/*
 * The operator's connections: each asks CONTROL_ASK, which is passed on to who answers that verb (gate_verb.c), with the
 * caller's uid as the kernel tells it; the answer goes back.  What a command says badly ends its own connection only.
 */
struct controls;

#define CONTROL_CONNECTIONS_MAX 32u
#define CONTROL_QUESTIONS_MAX 8u /* of one connection at a time */
#define CONTROL_IDLE_MS 60000u /* without an open question */
#define CONTROL_ASK_MS 120000u /* a reload waits for every process */

/* Asks the process of a role, as service_ask does; `on_answer` is called once, with NULL when there is no answer. */
typedef void control_ask_fn(enum role role, const struct msg_CONTROL_ASK *ask, link_answer_fn *on_answer, void *on_answer_arg,
			    void *arg);

struct controls *controls_new(struct loop *loop, control_ask_fn *ask, void *arg); /* exits 75 without memory */
/* Answers to questions that were passed on may still come: they go nowhere. */
void controls_free(struct controls **cp);

/* Takes `fd`. */
void controls_accept(struct controls *c, int fd, uid_t uid);
size_t controls_count(const struct controls *c);

#endif
