/*
 * gate_main.c: postern-gate.  It accepts, counts, attests and hands over; it reads no byte of SMTP and no byte of TLS.
 */
#include "gate_control.h"
#include "gate_door.h"
#include "gate_lobby.h"
#include "gate_session.h"

#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"
#include "service/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_AFTER_MS 20u
#define LAST_GUESTS_MS 2000u
#define OPEN_AT_LAST_MS 5000u /* somebody is missing: 421 is better than silence */
#define GATE_GENERATIONS_MAX 4u /* with sessions at once: the one in force, and three before it */
#define GENERATION_LEAVE_MS 60000u /* the oldest may take so long to finish a mail */

struct gate {
	struct service *service;
	struct doors *doors;
	struct controls *controls;
	struct gate_sessions *sessions;
	struct lobby *lobby;
	struct timer *deadline; /* of the drain */
	struct timer *opening; /* until mail is let in */
	struct timer *last_guests; /* of a drain: until the lobby is cleared */
	uint64_t leave_ms; /* of a drain */
	uint64_t guests_asked; /* the number of GUESTS_LEAVE; 0: not asked */
	bool opened;
	uint64_t refused;
};

static struct gate gate;

/* ---- refusing ---- */

static const struct {
	const char *reply; /* after 421 */
	const char *why;
} refusals[] = {
	[GATE_ADMIT] = {"", ""},
	[GATE_TOO_MANY] = {"4.7.0 too many connections here now, try again later", "connections_max"},
	[GATE_TOO_MANY_OF_HOST] = {"4.7.0 too many connections from your address, try again later", "connections_per_host"},
	[GATE_TOO_MANY_OF_NET] = {"4.7.0 too many connections from your network, try again later", "connections_per_net"},
	[GATE_BUSY] = {"4.3.2 service is starting or too busy, try again later", "not ready"},
};

/* Where TLS comes first, clear text would only puzzle, and speaking first is right. */
static bool speaks_clear(const struct conf_listener *l)
{
	return l == NULL || l->tls != TLS_IMPLICIT;
}

/* NULL: the submission socket. */
static const struct conf_listener *listener_of(const struct door_caller *caller)
{
	return caller->kind == DOOR_TCP ? &service_conf(gate.service)->listeners[caller->listener] : NULL;
}

struct refusal {
	const struct conf_listener *listener; /* NULL: the submission socket */
	const char *client, *proxy;
	enum gate_verdict verdict;
};

/* Best effort: the socket is fresh and its buffer empty, so one short line goes or the client is gone. */
static void say_no(const struct refusal *no, int fd)
{
	char line[128];
	int len = snprintf(line, sizeof(line), "421 %s\r\n", refusals[no->verdict].reply);

	gate.refused++;
	LOG(LEVEL_WARN, "connection-refused", KV_STR("client", no->client), KV_STR("proxy", no->proxy),
	    KV_STR("listener", no->listener == NULL ? "submission" : no->listener->name), KV_NUM("code", 421),
	    KV_STR("why", refusals[no->verdict].why));
	if (speaks_clear(no->listener))
		(void)!send(fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- who came ---- */

static bool set_address(const struct sockaddr_storage *from, struct in6_addr *address, char text[64], uint64_t *port)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

	if (from->ss_family == AF_INET) {
		*address = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
		memcpy(address->s6_addr + 12, &v4->sin_addr, 4);
		*port = ntohs(v4->sin_port);
	} else if (from->ss_family == AF_INET6) {
		*address = v6->sin6_addr;
		*port = ntohs(v6->sin6_port);
	} else {
		return false;
	}
	return gate_address_text(address, text);
}

static bool is_early(const struct conf_listener *l, int fd)
{
	char byte;

	return speaks_clear(l) && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static bool names_client(const struct conf_nets *nets, const struct gate_visit *visit)
{
	return net_list_contains(nets->at, nets->count, slice_of(visit->client));
}

/* What the configuration in force says of this listener. */
static void set_listener(struct gate_visit *v, const struct conf_listener *l)
{
	v->generation = service_generation(gate.service)->number;
	v->listener = (uint64_t)(l - service_conf(gate.service)->listeners);
	(void)slice_copy(slice_of(l->name), v->listener_name, sizeof(v->listener_name));
	v->role = l->role;
	v->isolated = l->isolation == ISOLATION_CONNECTION;
	v->may_xclient = names_client(&l->xclient, v);
}

static bool set_visit(const struct door_caller *caller, int fd, struct gate_visit *v)
{
	struct sockaddr_storage local = {.ss_family = AF_UNSPEC};
	const struct conf_listener *listener = listener_of(caller);
	struct in6_addr address;
	socklen_t len = sizeof(local);

	*v = (struct gate_visit){.generation = service_generation(gate.service)->number, .uid = GATE_NO_UID};
	if (caller->kind == DOOR_SUBMISSION) {
		v->origin = gate_origin_of_uid((uint32_t)caller->uid);
		v->listener = GATE_LISTENER_LOCAL;
		v->role = LISTENER_LOCAL;
		v->uid = caller->uid;
		return true;
	}
	if (listener == NULL || getsockname(fd, (struct sockaddr *)&local, &len) == -1 ||
	    !set_address(&local, &address, v->local, &v->local_port) ||
	    !set_address(&caller->from, &address, v->client, &v->client_port))
		return false;
	v->origin = gate_origin_of_address(&address);
	set_listener(v, listener);
	return true;
}

static struct gate_limits limits_of(const struct conf *conf)
{
	return (struct gate_limits){
		.all = conf->set.connections_max,
		.host = conf->set.connections_per_host,
		.net = conf->set.connections_per_net,
	};
}

/* Takes `fd`. */
static void conclude(enum gate_verdict verdict, const struct conf_listener *l, const struct gate_visit *visit, int fd)
{
	if (verdict == GATE_ADMIT)
		return;
	say_no(&(struct refusal){l, visit->client, visit->proxy, verdict}, fd);
	close(fd);
}

static void admit(const struct conf_listener *l, const struct gate_visit *visit, int fd)
{
	const struct gate_limits limits = limits_of(service_conf(gate.service));

	conclude(gate_sessions_admit(gate.sessions, visit, &limits, fd), l, visit, fd);
}

static void enter_lobby(const struct conf_listener *l, const struct gate_visit *visit, int fd)
{
	const struct conf *conf = service_conf(gate.service);
	const struct lobby_terms terms = {
		.listener = l->name,
		.limits = limits_of(conf),
		.proxy = l->proxy.count > 0,
		.proxy_is_trusted = conf_is_trusted(conf, slice_of(visit->client)),
		.speaks_clear = speaks_clear(l),
		.pause_ms = l->greet_pause_ms,
	};

	if (!terms.proxy || names_client(&l->proxy, visit)) {
		conclude(lobby_enter(gate.lobby, visit, &terms, fd), l, visit, fd);
		return;
	}
	LOG(LEVEL_WARN, "proxy-refused", KV_STR("proxy", visit->client), KV_STR("listener", l->name),
	    KV_STR("why", "it is in none of the networks that proxies are in"));
	close(fd);
}

/* A reload may have come in between. */
static void on_leave_lobby(const char *listener, struct gate_visit *visit, int fd, void *arg)
{
	const struct conf *conf = service_conf(gate.service);
	const struct conf_listener *l = NULL;

	(void)arg;
	for (size_t i = 0; i < conf->listener_count; i++)
		if (strcmp(conf->listeners[i].name, listener) == 0)
			l = &conf->listeners[i];
	if (l == NULL) {
		close(fd);
		return;
	}
	set_listener(visit, l);
	admit(l, visit, fd);
	if (service_is_draining(gate.service))
		gate_sessions_leave(gate.sessions, UINT64_MAX, gate.leave_ms);
	else
		gate_sessions_hand_over(gate.sessions);
}

static void on_mail_caller(const struct door_caller *caller, int fd)
{
	const struct conf_listener *l = listener_of(caller);
	struct gate_visit visit;

	if (!set_visit(caller, fd, &visit)) {
		close(fd); /* gone already */
	} else if (l != NULL && (l->proxy.count > 0 || l->greet_pause_ms > 0)) {
		enter_lobby(l, &visit, fd);
	} else {
		visit.early = l != NULL && is_early(l, fd);
		admit(l, &visit, fd);
	}
}

static void on_accept(const struct door_caller *caller, int fd, void *arg)
{
	(void)arg;
	if (caller->kind == DOOR_CONTROL)
		controls_accept(gate.controls, fd, caller->uid);
	else
		on_mail_caller(caller, fd);
}

static void on_refuse(const struct door_caller *caller, int fd, void *arg)
{
	(void)arg;
	if (caller->kind != DOOR_CONTROL)
		say_no(&(struct refusal){listener_of(caller), "", "", GATE_BUSY}, fd);
}

static void on_turn(void *arg)
{
	(void)arg;
	gate_sessions_hand_over(gate.sessions);
}

/* ---- draining ---- */

/* The master waits for those who were there before it asked. */
static void tell_if_left(void)
{
	struct link *master = service_link(gate.service, ROLE_MASTER, 0);

	if (gate.guests_asked == 0 || gate_sessions_guests(gate.sessions) > 0)
		return;
	if (master != NULL)
		link_answer(master, gate.guests_asked, IPC_GUESTS_LEFT, &(struct msg_GUESTS_LEFT){0}, -1);
	gate.guests_asked = 0;
}

static void stop_if_empty(void *arg)
{
	(void)arg;
	tell_if_left();
	if (service_is_draining(gate.service) && gate_sessions_count(gate.sessions) == 0 && lobby_count(gate.lobby) == 0)
		service_stop(gate.service);
}

static void on_deadline(void *arg)
{
	service_stop(arg);
}

/* Whoever was accepted may still become a session, but not for ever. */
static void on_last_guests(void *arg)
{
	lobby_clear(gate.lobby);
	stop_if_empty(arg);
}

static void drain(struct service *s, uint64_t deadline_ms)
{
	doors_close_for_mail(gate.doors);
	gate.leave_ms = deadline_ms - deadline_ms / 4;
	gate_sessions_leave(gate.sessions, UINT64_MAX, gate.leave_ms);
	gate.last_guests = timer_new(service_loop(s), on_last_guests, NULL);
	timer_set(gate.last_guests, LAST_GUESTS_MS);
	timer_set(gate.deadline, deadline_ms - deadline_ms / 8); /* before the master ends it */
	(void)s;
	stop_if_empty(NULL);
}

/* ---- descriptors ---- */

/* smtpd has the same limit as we, for it inherits it from the same master.  A session needs one there, and one more for the file of a
 * large message; without one an smtpd could not take what it is given. */
#define OTHER_DESCRIPTORS 128u

static uint64_t descriptors(void)
{
	struct rlimit rl;

	return getrlimit(RLIMIT_NOFILE, &rl) == 0 ? rl.rlim_cur : 1024;
}

static uint64_t worker_max(void)
{
	uint64_t most = descriptors();

	return most > 2 * OTHER_DESCRIPTORS ? (most - OTHER_DESCRIPTORS) / 2 : OTHER_DESCRIPTORS / 2;
}

/* Said at the start and at each reload: later it would only be 421 and a riddle. */
static void compare_descriptors(const struct conf *conf)
{
	uint64_t served = worker_max() * conf->set.smtpd_workers;

	if (served < conf->set.connections_max)
		LOG(LEVEL_WARN, "descriptors-few", KV_NUM("connections-max", conf->set.connections_max), KV_NUM("served", served),
		    KV_NUM("limit", descriptors()));
}

/* Once more at each multiple: the master may have been unable to hear of the last. */
static void on_served(uint64_t instance, uint64_t sessions, void *arg)
{
	(void)arg;
	if (sessions % service_conf(gate.service)->set.smtpd_sessions_max == 0)
		(void)service_tell(gate.service, ROLE_MASTER, IPC_TURN_OVER, &(struct msg_TURN_OVER){instance});
}

/* ---- messages ---- */

static struct doors *doors_of(struct service *s)
{
	static const struct door_config config = {on_accept, on_refuse, on_turn, NULL};

	if (gate.doors == NULL)
		gate.doors = doors_new(service_loop(s), &config);
	return gate.doors;
}

/* Those that come before the start are kept until then: nobody is let in before the cage is in force. */
static void on_listener(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_LISTENER *b = &m->body.LISTENER;
	int fd = m->fd;

	(void)link;
	m->fd = -1;
	if (!doors_add(doors_of(s), b->kind, b->name, b->generation, fd))
		LOG(LEVEL_ERROR, "listener-not-taken", KV_TEXT("listener", b->name));
	else if (gate.service != NULL)
		doors_follow(gate.doors, service_conf(s), service_generation(s)->number);
}

static void on_session_end(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)s;
	if (!gate_sessions_end(gate.sessions, m->body.SESSION_END.session, link))
		link_break(link, "ended a session that is not its own");
}

/* Whom an XCLIENT may name.  It is a worker that repeats it, and a worker may be owned: a trusted client, which may relay, is nobody
 * that it could make.  After a reload trust may be another than that the session was begun with. */
static enum outcome may_claim(const struct gate_visit *visit, const char *client, struct gate_limits *limits_out, void *arg)
{
	const struct conf *conf = service_conf(gate.service);

	(void)arg;
	*limits_out = limits_of(conf);
	if (visit->generation != service_generation(gate.service)->number)
		return OC_BUSY;
	return conf_is_trusted(conf, slice_of(client)) ? OC_NOT_ALLOWED : OC_DONE;
}

static void on_client_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)s;
	if (!gate_sessions_claim(gate.sessions, m, link))
		link_break(link, "spoke for a client it may not speak for");
}

/* Its successor is known by then, or stands in the master's next words. */
static void on_worker_retire(struct service *s, struct link *link, struct ipc_message *m)
{
	uint64_t request = m->request, instance = link_instance(link);

	link_drain(service_link(s, ROLE_MASTER, 0));
	if (service_link(s, ROLE_SMTPD, instance) == link)
		gate_sessions_retire(gate.sessions, link, request);
}

static void on_guests_leave(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)s;
	(void)link;
	gate.guests_asked = m->request;
	gate_sessions_leave_now(gate.sessions, m->body.GUESTS_LEAVE.deadline_ms);
	tell_if_left();
}

static void ask_control(enum role role, const struct msg_CONTROL_ASK *ask, link_answer_fn *on_answer, void *on_answer_arg,
			void *arg)
{
	service_ask(arg, role, IPC_CONTROL_ASK, ask, CONTROL_ASK_MS, on_answer, on_answer_arg);
}

/* At the start, who comes waits until all links are there: they arrive in one go, that of the private workers' parent last. */
static void link_up(struct service *s, struct link *link)
{
	(void)s;
	gate_sessions_link_up(gate.sessions, link);
	if (!gate.opened && gate_sessions_can_serve(gate.sessions))
		timer_set(gate.opening, OPEN_AFTER_MS);
}

static void on_opening(void *arg)
{
	gate.opened = true;
	doors_hold_mail(arg, false);
}

static void link_down(struct service *s, struct link *link)
{
	(void)s;
	gate_sessions_link_down(gate.sessions, link);
	stop_if_empty(NULL);
}

/* Whoever reloads again and again while sessions are idle must not fill the memory of all who hold their generations. */
static void bound_generations(void)
{
	struct gate_generation seen[GATE_GENERATIONS_SEEN];
	uint64_t current = service_generation(gate.service)->number, leaving = 0;
	size_t count = gate_sessions_generations(gate.sessions, seen);
	/* The one in force counts, also while it has no session yet. */
	size_t allowed = count > 0 && seen[0].number == current ? GATE_GENERATIONS_MAX : GATE_GENERATIONS_MAX - 1;

	for (size_t i = allowed; i < count; i++)
		leaving += seen[i].sessions;
	if (leaving == 0)
		return;
	LOG(LEVEL_INFO, "sessions-told-to-leave", KV_NUM("generation", seen[allowed].number), KV_NUM("sessions", leaving));
	gate_sessions_leave(gate.sessions, seen[allowed].number, GENERATION_LEAVE_MS);
}

static void generation_switched(struct service *s)
{
	compare_descriptors(service_conf(s));
	doors_follow(gate.doors, service_conf(s), service_generation(s)->number);
	bound_generations();
}

static void generation_free(struct service *s, struct generation *g)
{
	(void)s;
	doors_drop(gate.doors, g->number);
}

/* ---- wiring ---- */

static void start(struct service *s)
{
	gate.service = s;
	gate.controls = controls_new(service_loop(s), ask_control, s);
	gate.sessions = gate_sessions_new(service_loop(s), &(struct gate_sessions_config){stop_if_empty, may_claim, NULL, on_served, worker_max()});
	compare_descriptors(service_conf(s));
	gate.lobby = lobby_new(service_loop(s), gate.sessions, on_leave_lobby, NULL);
	gate.deadline = timer_new(service_loop(s), on_deadline, s);
	doors_hold_mail(doors_of(s), true);
	gate.opening = timer_new(service_loop(s), on_opening, gate.doors);
	timer_set(gate.opening, OPEN_AT_LAST_MS);
	doors_follow(gate.doors, service_conf(s), service_generation(s)->number);
}

static void status_generations(struct buf *out)
{
	struct gate_generation seen[GATE_GENERATIONS_SEEN];
	size_t count = gate_sessions_generations(gate.sessions, seen);
	char key[64];

	for (size_t i = 0; i < count; i++) {
		snprintf(key, sizeof(key), "sessions_of_generation_%llu", (unsigned long long)seen[i].number);
		service_status_number(out, key, seen[i].sessions);
	}
}

static void status(struct service *s, struct buf *out)
{
	(void)s;
	service_status_number(out, "sessions", gate_sessions_count(gate.sessions));
	service_status_number(out, "private_processes", gate_sessions_private(gate.sessions));
	service_status_number(out, "waiting", lobby_count(gate.lobby));
	status_generations(out);
	service_status_number(out, "started", gate_sessions_started(gate.sessions));
	service_status_number(out, "refused", gate.refused);
	service_status_number(out, "listeners", doors_open_count(gate.doors));
	service_status_number(out, "operators", controls_count(gate.controls));
}

static const struct cage_spec cage = {
	.calls = CALLS_ACCEPT,
	.chroot = true,
	.takes_fds = true,
	.files_max = 65536,
};

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_LISTENER] = on_listener,
	[IPC_SESSION_END] = on_session_end,
	[IPC_CLIENT_ASK] = on_client_ask,
	[IPC_GUESTS_LEAVE] = on_guests_leave,
	[IPC_WORKER_RETIRE] = on_worker_retire,
};

static const struct service_spec spec = {
	.role = ROLE_GATE,
	.cage = &cage,
	.text = &service_text,
	.start = start,
	.handlers = handlers,
	.generation_free = generation_free,
	.generation_switched = generation_switched,
	.link_up = link_up,
	.link_down = link_down,
	.drain = drain,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
