#include "policyd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "check_main.h"
#include "explain_main.h"
#include "ipc/flags.h"
#include "pages.h"

#include <errno.h>
#include <stdio.h>

#define ROUNDS_MAX 4000u

/*
 *   question --served--> answered
 *      '-- a name, or a key of a table, is not known yet --> parked --ACCOUNT, LOOKUP--> served again
 *                                        '-- its link ends --> gone
 */
struct parked {
	LIST_ENTRY(parked) peers;
	struct policyd *policyd;
	struct link *link; /* borrowed: parked questions end with it */
	uint64_t request;
	enum ipc_type type;
	struct buf payload; /* owned */
	struct accounts_waiter *waiter; /* owned; NULL once called */
	struct remote_waiter *remote_waiter; /* the same; at most one of them */
	unsigned rounds; /* it was served again */
	uint64_t began_us, began_ms;
};

static policyd_serve_fn *server_of(enum ipc_type type)
{
	if (type == IPC_CONTROL_ASK)
		return serve_control;
	if (type == IPC_REWRITE_ASK)
		return serve_rewrite;
	if (type == IPC_QUOTA_ASK)
		return serve_quota;
	if (type == IPC_MAILBOX_USER_ASK)
		return serve_mailbox_user;
	return type == IPC_POLICY_ASK ? serve_policy : serve_route;
}

/* ---- look-ups ---- */

static enum answer find_in_table(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out)
{
	struct policyd *p = arg;

	return p->tables == NULL ? ANSWER_UNKNOWN : tables_find(p->tables, table, key, value_out);
}

static enum answer find_alias(void *arg, const struct conf_table *table, struct slice address, struct slice base, struct buf *value_out)
{
	struct policyd *p = arg;

	return p->tables == NULL ? ANSWER_UNKNOWN : tables_alias(p->tables, table, address, base, value_out);
}

static enum answer find_name(void *arg, const struct conf_table *table, struct slice address)
{
	struct policyd *p = arg;

	return p->tables == NULL ? ANSWER_UNKNOWN : tables_names(p->tables, table, address);
}

static bool read_include(void *arg, const struct conf_table *table, struct slice path, struct buf *text_out, struct buf *why)
{
	struct policyd *p = arg;

	return p->tables != NULL && tables_include(p->tables, table, path, text_out, why);
}

/* The last of those that are missing: what was asked for before it is known by then. */
static enum answer find_name_in(struct policyd *p, struct accounts *in, struct slice name)
{
	enum answer answer = accounts_find(in, name);

	if (answer == ANSWER_PENDING && slice_copy(name, p->missing_name, sizeof(p->missing_name))) {
		p->missing = slice_of(p->missing_name);
		p->missing_in = in;
	}
	return answer;
}

static enum answer find_account(void *arg, struct slice name)
{
	struct policyd *p = arg;

	return find_name_in(p, p->accounts, name);
}

static enum answer find_sent(void *arg, struct slice address)
{
	struct policyd *p = arg;

	return find_name_in(p, p->senders, address);
}

static enum answer find_uid(void *arg, struct slice name, uint64_t *uid_out)
{
	struct policyd *p = arg;
	enum answer answer = find_account(arg, name);

	return answer == ANSWER_YES || answer == ANSWER_NO ? accounts_uid(p->accounts, name, uid_out) : answer;
}

static enum answer find_remote(void *arg, const struct conf_table *table, struct slice key, struct buf *value_out, char why[REMOTE_WHY_MAX])
{
	struct policyd *p = arg;

	return remote_find(p->remote, p->generation, table, key, value_out, why);
}

struct lookups policyd_lookups(struct policyd *p, struct generation *g)
{
	p->tables = g->state;
	p->generation = g;
	if (p->tables != NULL)
		tables_set_remote(p->tables, &(struct tables_remote){find_remote, p});
	remote_begin(p->remote, p->began_ms);
	p->missing = slice_empty();
	p->missing_in = p->accounts;
	return (struct lookups){find_in_table, find_alias, read_include, find_account, p, find_uid, find_name, find_sent};
}

/* ---- questions that wait ---- */

static void parked_free(struct parked *q)
{
	LIST_REMOVE(q, peers);
	q->policyd->parked_count--;
	accounts_forget(&q->waiter);
	remote_forget(&q->remote_waiter);
	buf_free(&q->payload);
	free(q);
}

static void answer_failure(struct link *link, uint64_t request, enum ipc_type type)
{
	const struct outcome_info *info = outcome_info(OC_LOOKUP_UNKNOWN);

	if (type == IPC_POLICY_ASK)
		link_answer(link, request, IPC_POLICY_ANSWER,
			    &(struct msg_POLICY_ANSWER){OC_LOOKUP_UNKNOWN, info->smtp, slice_of(info->dsn), slice_of(info->text),
							slice_empty(), 0, 0, slice_empty()}, -1);
	else if (type == IPC_QUOTA_ASK)
		link_answer(link, request, IPC_QUOTA, &(struct msg_QUOTA){OC_LOOKUP_UNKNOWN, 0, 0}, -1);
	else if (type == IPC_MAILBOX_USER_ASK)
		link_answer(link, request, IPC_MAILBOX_USER, &(struct msg_MAILBOX_USER){OC_LOOKUP_UNKNOWN, slice_empty()}, -1);
	else if (type == IPC_REWRITE_ASK)
		link_answer(link, request, IPC_REWRITE_ANSWER, &(struct msg_REWRITE_ANSWER){OC_LOOKUP_UNKNOWN, slice_empty(), slice_empty()}, -1);
	else if (type == IPC_CONTROL_ASK)
		link_answer(link, request, IPC_CONTROL_ANSWER,
			    &(struct msg_CONTROL_ANSWER){OC_LOOKUP_UNKNOWN, slice_of("the system's users cannot be asked now; try again"),
							 slice_empty(), slice_empty()}, -1);
	else
		link_answer(link, request, IPC_ROUTE_ANSWER,
			    &(struct msg_ROUTE_ANSWER){OC_ROUTE_UNKNOWN, info->smtp, slice_of(info->dsn), slice_of(info->text),
						       slice_empty(), slice_empty(), 0}, -1);
}

static void on_known(void *arg);

static bool wait_for_missing(struct parked *q)
{
	struct policyd *p = q->policyd;

	/* What ends before it is asked for again could make it wait for ever. */
	if (++q->rounds > ROUNDS_MAX)
		return false;
	q->remote_waiter = remote_wait(p->remote, on_known, q);
	if (q->remote_waiter == NULL)
		q->waiter = accounts_wait(p->missing_in, p->missing, on_known, q);
	return q->remote_waiter != NULL || q->waiter != NULL;
}

static void on_known(void *arg)
{
	struct parked *q = arg;
	struct ipc_message m = {.type = q->type, .request = q->request, .fd = -1};
	bool decoded = ipc_decode(q->type, buf_slice(&q->payload), &m);

	q->waiter = NULL;
	q->remote_waiter = NULL;
	q->policyd->began_us = q->began_us;
	q->policyd->began_ms = q->began_ms;
	if (decoded && !server_of(q->type)(q->policyd, q->link, q->request, &m)) {
		if (wait_for_missing(q))
			return;
		decoded = false;
	}
	if (!decoded)
		answer_failure(q->link, q->request, q->type);
	parked_free(q);
}

static bool park(struct policyd *p, struct link *link, const struct ipc_message *m)
{
	struct parked *q = p->parked_count < POLICYD_PARKED_MAX ? mem_new(1, sizeof(*q)) : NULL;

	if (q == NULL)
		return false;
	q->policyd = p;
	q->link = link;
	q->request = m->request;
	q->type = m->type;
	q->payload = buf_make(LINK_PACKET_MAX);
	q->began_us = p->began_us;
	q->began_ms = p->began_ms;
	LIST_INSERT_HEAD(&p->parked, q, peers);
	p->parked_count++;
	if (ipc_encode(m->type, &m->body, &q->payload) && wait_for_missing(q))
		return true;
	parked_free(q);
	return false;
}

static void on_question(struct service *s, struct link *link, struct ipc_message *m)
{
	struct policyd *p = service_state(s);

	p->asked++;
	p->began_us = clock_mono_us();
	p->began_ms = clock_mono_ms();
	if (server_of(m->type)(p, link, m->request, m))
		return;
	if (!park(p, link, m))
		answer_failure(link, m->request, m->type);
}

static void drop_parked(struct policyd *p, const struct link *link)
{
	struct parked *q = LIST_FIRST(&p->parked), *next;

	for (; q != NULL; q = next) {
		next = LIST_NEXT(q, peers);
		if (q->link == link)
			parked_free(q);
	}
}

/* ---- sessions ---- */

static void on_session_open(struct service *s, struct link *link, struct ipc_message *m)
{
	struct policyd *p = service_state(s);

	attested_open(p->sessions, link, m);
}

static void on_session_close(struct service *s, struct link *link, struct ipc_message *m)
{
	struct policyd *p = service_state(s);

	(void)link;
	attested_close(p->sessions, m);
}

static void on_session_login(struct service *s, struct link *link, struct ipc_message *m)
{
	struct policyd *p = service_state(s);
	struct link *gate = service_link(s, ROLE_GATE, SERVICE_ANY);
	struct attested_session *session = attested_find(p->sessions, m->body.SESSION_LOGIN.session);

	(void)link;
	if (session == NULL && gate != NULL) {
		link_drain(gate);
		session = attested_find(p->sessions, m->body.SESSION_LOGIN.session);
	}
	if (session != NULL)
		(void)slice_copy(m->body.SESSION_LOGIN.login, session->login, sizeof(session->login));
}

/* ---- generations ---- */

struct paths {
	struct service *service;
	uint64_t generation;
};

static int path_fd(void *arg, const char *path)
{
	const struct paths *paths = arg;

	return service_path_fd(paths->service, paths->generation, slice_of(path));
}

/* A reload with a malformed table is refused, for the old one still serves.  At start there is nothing better: what that table would
 * say is unknown, and everything else goes on. */
static bool on_generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	struct paths paths = {s, g->number};
	struct buf mistake = buf_make(why_size);
	struct tables *tables = tables_new(g->conf, path_fd, &paths);
	bool is_reload = service_state(s) != NULL, good;

	if (tables == NULL) {
		snprintf(why, why_size, "policyd: out of memory");
		return false;
	}
	good = tables_check(tables, &mistake) || !is_reload;
	if (!good) {
		snprintf(why, why_size, "%s", buf_text(&mistake));
		tables_free(&tables);
	}
	g->state = tables;
	buf_free(&mistake);
	return good;
}

static void on_generation_free(struct service *s, struct generation *g)
{
	struct tables *tables = g->state;

	(void)s;
	tables_free(&tables);
	g->state = NULL;
}

/* ---- the service ---- */

static void on_start(struct service *s)
{
	struct policyd *p = mem_new(1, sizeof(*p));

	if (p == NULL)
		log_fatal("policyd", ENOMEM);
	p->service = s;
	LIST_INIT(&p->parked);
	p->sessions = attested_new(s, sizeof(struct policy_session));
	p->accounts = accounts_new(s);
	p->senders = accounts_new_senders(s);
	p->full = full_new();
	if (p->full == NULL)
		log_fatal("policyd", ENOMEM);
	p->remote = remote_new(s);
	p->pages = pages_new(s);
	service_set_state(s, p);
}

static void on_link_up(struct service *s, struct link *link)
{
	struct policyd *p = service_state(s);

	if (link_peer(link) == ROLE_GATE)
		attested_gate_up(p->sessions);
}

static void on_link_down(struct service *s, struct link *link)
{
	struct policyd *p = service_state(s);

	drop_parked(p, link);
	pages_drop(p->pages, link);
	if (link_peer(link) == ROLE_GATE)
		attested_gate_down(p->sessions);
}

static void on_status(struct service *s, struct buf *out)
{
	struct policyd *p = service_state(s);

	service_status_number(out, "sessions", attested_count(p->sessions));
	service_status_number(out, "waiting", p->parked_count);
	service_status_number(out, "questions", p->asked);
	service_status_number(out, "unknown", p->unknown);
	service_status_number(out, "accounts_cached", accounts_count(p->accounts));
	service_status_number(out, "senders_cached", accounts_count(p->senders));
	service_status_number(out, "keys_cached", remote_count(p->remote));
}

static void on_more(struct service *s, struct link *link, struct ipc_message *m)
{
	struct policyd *p = service_state(s);

	serve_more(p, link, m->request, &m->body.ROUTE_MORE_ASK);
}

static void on_mailbox_state(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_MAILBOX_STATE *b = &m->body.MAILBOX_STATE;
	struct policyd *p = service_state(s);

	(void)link;
	full_tell(p->full, &(struct full_mailbox){b->transport, b->nexthop, {b->quota, b->quota_messages}}, b->full != 0, clock_mono_ms());
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_SESSION_OPEN] = on_session_open,	[IPC_SESSION_CLOSE] = on_session_close,
	[IPC_SESSION_LOGIN] = on_session_login, [IPC_POLICY_ASK] = on_question,
	[IPC_ROUTE_ASK] = on_question,		[IPC_ROUTE_MORE_ASK] = on_more,
	[IPC_REWRITE_ASK] = on_question,		[IPC_CONTROL_ASK] = on_question,
	[IPC_MAILBOX_STATE] = on_mailbox_state,		[IPC_QUOTA_ASK] = on_question,
	[IPC_MAILBOX_USER_ASK] = on_question,
};

static const struct cage_spec cage = {
	.calls = CALLS_FILES_READ | CALLS_LOCKS,
	.chroot = true,
	.takes_fds = true, /* from the master: tables of a new generation */
	.files_max = 65536, /* a link for each session with a process of its own */
};

static const struct service_spec spec = {
	.role = ROLE_POLICYD,
	.cage = &cage,
	.text = &service_text,
	.start = on_start,
	.handlers = handlers,
	.generation_ready = on_generation_ready,
	.generation_free = on_generation_free,
	.link_up = on_link_up,
	.link_down = on_link_down,
	.status = on_status,
};

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--route") == 0)
		return explain_main(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return check_main(argv[2]);
	return service_run(&spec, argc, argv);
}
