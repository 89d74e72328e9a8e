#ifndef POSTERN_POLICYD_POLICYD_H
#define POSTERN_POLICYD_POLICYD_H

#include "accounts.h"
#include "attested/attested.h"
#include "facts.h"
#include "full.h"
#include "remote.h"
#include "tables.h"
#include "tags.h"

#include <sys/queue.h>

/*
 * What the files of the process share.
 *
 * A question is served from its message alone: what is not known yet (a system user) leaves it parked, as its own bytes, and it is
 * served again from the top when that is known.
 */
#define POLICYD_PARKED_MAX 4096u
#define POLICYD_NAMES_MAX 32u

struct policyd {
	struct service *service;
	struct attested *sessions; /* own: struct policy_session */
	struct accounts *accounts, *senders;
	struct full *full;
	struct remote *remote;
	struct pages *pages;
	LIST_HEAD(, parked) parked;
	size_t parked_count;
	uint64_t began_us, began_ms; /* of the question in hand: when it came; in ms as answers are kept by */
	uint64_t asked, unknown; /* questions, and those that could not be decided */
	/* of the question in hand */
	struct tables *tables;
	struct generation *generation;
	struct accounts *missing_in;
	struct slice missing; /* the last name that was not known yet; "" */
	char missing_name[MAIL_ADDRESS_MAX + 2];
};

/* What policyd itself remembers of a session. */
struct policy_session {
	struct tags tags;
	uint64_t transaction; /* whose message tags these are */
	bool is_known; /* something was asked of it before */
};

/* False: not known yet, nothing was answered, and `missing` says what for. */
typedef bool policyd_serve_fn(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m);
/* serve_policy.c, serve_route.c, serve_control.c */
bool serve_policy(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m);
/* serve_table.c, of serve_control */
bool serve_table(struct policyd *p, struct link *link, uint64_t request, const struct msg_CONTROL_ASK *ask);
bool serve_rewrite(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m);
bool serve_route(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m);
bool serve_control(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m);
/* serve_route.c */
void serve_more(struct policyd *p, struct link *link, uint64_t request, const struct msg_ROUTE_MORE_ASK *ask);
/* serve_mailbox_user.c */
bool serve_mailbox_user(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m);
/* serve_quota.c */
bool serve_quota(struct policyd *p, struct link *link, uint64_t request, const struct ipc_message *m);

/* A login that the session has not been told of yet, but authd has said; NULL: the session has ended. */
struct attested_session *policyd_hear_of_login(struct policyd *p, struct attested_session *session);
/* What is attested of it: client, listener, login. */
struct facts policyd_session_facts(const struct attested_session *s);

/* Sets up the look-ups of that generation for one question. */
struct lookups policyd_lookups(struct policyd *p, struct generation *g);

#endif
