#include "service/service.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/fd.h"
#include "service/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MASTER_FD 3
#define EX_USAGE 64

struct loop *service_loop(struct service *s)
{
	return s->loop;
}

void *service_state(struct service *s)
{
	return s->state;
}

void service_set_state(struct service *s, void *state)
{
	s->state = state;
}

uint64_t service_instance(const struct service *s)
{
	return s->instance;
}

bool service_is_draining(const struct service *s)
{
	return s->draining;
}

bool service_is_unprivileged(const struct service *s)
{
	return s->cage.as_root == 0;
}

void service_stop(struct service *s)
{
	loop_stop(s->loop);
}

/* ---- status ---- */

void service_status_text(struct buf *out, const char *key, const char *value)
{
	(void)rec_control_field_add(out, &(struct rec_control_field){slice_of(key), slice_of(value)});
}

void service_status_number(struct buf *out, const char *key, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	service_status_text(out, key, text);
}

/* ---- what the master says ---- */

static void on_cage(struct service *s, struct ipc_message *m)
{
	s->cage = m->body.CAGE;
	s->cage_facts = buf_make(8192);
	if (!slice_copy(s->cage.require, s->require, sizeof(s->require)) || !buf_add_slice(&s->cage_facts, s->cage.cage_fact_records))
		log_fatal("cage", ENOMEM);
	s->cage.require = s->cage.cage_fact_records = slice_empty();
	s->root_fd = m->fd;
	m->fd = -1;
	s->instance = s->cage.instance;
	s->cage_told = true;
}

static bool find_fact(const struct service *s, const char *name, struct rec_cage_fact *out)
{
	struct slice rest = buf_slice(&s->cage_facts);

	while (rec_cage_fact_next(&rest, out))
		if (slice_eq(out->name, slice_of(name)))
			return true;
	return false;
}

bool service_cage_number(const struct service *s, const char *name, uint64_t *out)
{
	struct rec_cage_fact fact;

	if (!find_fact(s, name, &fact))
		return false;
	*out = fact.number;
	return true;
}

bool service_cage_text(const struct service *s, const char *name, char *text_out, size_t size)
{
	struct rec_cage_fact fact;

	if (!find_fact(s, name, &fact))
		return false;
	if (!slice_copy(fact.text, text_out, size))
		log_fatal("what the cage must know is too long", 0);
	return true;
}

struct conf *service_first_conf(const struct service *s)
{
	return s->spec->text->compile(s->current->text_fd);
}

#define CAGE_PATHS_MAX 256

static size_t collect_paths(struct service *s, struct cage_path out[CAGE_PATHS_MAX])
{
	struct handed_path *p;
	size_t n = 0;

	if (s->root_fd >= 0 && (s->spec->cage->calls & CALLS_FILES) != 0)
		out[n++] = (struct cage_path){s->root_fd, true};
	/* A copy in memory is no path. */
	SLIST_FOREACH(p, &s->paths, next)
		if (n < CAGE_PATHS_MAX && !os_memfd_is_sealed(p->fd))
			out[n++] = (struct cage_path){p->fd, (s->spec->cage->calls & CALLS_FILES) != 0};
	return n;
}

void service_cage_order(struct service *s, struct cage_order *out)
{
	*out = (struct cage_order){
		.uid = (uid_t)s->cage.uid,
		.gid = (gid_t)s->cage.gid,
		.groups = {(gid_t)s->cage.group},
		.group_count = s->cage.group != 0 ? 1 : 0,
		.as_root = s->cage.as_root != 0,
		.root_fd = s->root_fd,
		.require = s->require,
		.parent = s->parent,
		.kernel = (unsigned)s->cage.kernel,
	};
}

static void enter_cage(struct service *s, char missing[CAGE_MISSING_BYTES])
{
	struct cage_path paths[CAGE_PATHS_MAX];
	struct cage_order order;
	char why[256] = "";

	service_cage_order(s, &order);
	order.paths = paths;
	order.path_count = collect_paths(s, paths);
	order.become_min = s->spec->cage->become_min;
	if (!cage_enter(s->spec->cage, &order, missing, why, sizeof(why))) {
		LOG(LEVEL_ERROR, "cage-failed", KV_STR("why", why));
		exit(75);
	}
}

static void tell_checked(struct service *s, uint64_t request, uint64_t number, bool agreed, const char *why)
{
	struct msg_GENERATION_CHECKED checked = {number, agreed ? OC_DONE : OC_BAD_INPUT, slice_of(why)};

	link_answer(s->master, request, IPC_GENERATION_CHECKED, &checked, -1);
}

/* The first check ends the hand-over: from here on the process is in its cage. */
static void begin(struct service *s, char missing[CAGE_MISSING_BYTES])
{
	if (!s->cage_told || s->current == NULL) {
		LOG_PLAIN(LEVEL_ERROR, "start-without-cage-or-configuration");
		exit(75);
	}
	if (s->spec->prepare != NULL)
		s->spec->prepare(s);
	enter_cage(s, missing);
	s->caged = true;
	for (struct generation *g = s->generations; g != NULL; g = g->next)
		generation_compile(s, g);
}

/* `why` of a generation that is agreed to. */
static void note(struct service *s, uint64_t number, char *why, size_t why_size)
{
	struct buf text = buf_make(why_size - 1);

	if (s->spec->generation_note != NULL)
		s->spec->generation_note(s, generation_find(s, number), &text);
	(void)slice_copy(buf_slice(&text), why, why_size);
	buf_free(&text);
}

static void on_generation_check(struct service *s, struct ipc_message *m)
{
	uint64_t number = m->body.GENERATION_CHECK.generation;
	char missing[CAGE_MISSING_BYTES] = "", why[1024] = "";
	bool first = !s->running, agreed;

	if (first && s->current != NULL)
		begin(s, missing);
	agreed = generation_check(s, number, why, sizeof(why));
	if (first && agreed && s->cage.trial == 0) {
		s->running = true;
		if (s->spec->start != NULL)
			s->spec->start(s);
	}
	if (agreed)
		note(s, number, why, sizeof(why));
	tell_checked(s, m->request, number, agreed, why);
	if (first && agreed)
		link_tell(s->master, IPC_READY, &(struct msg_READY){slice_of(missing)}, -1);
}

static void on_drain(struct service *s, struct ipc_message *m)
{
	if (s->draining)
		return;
	s->draining = true;
	if (s->spec->drain != NULL && s->running)
		s->spec->drain(s, m->body.DRAIN.deadline_ms);
	else
		service_stop(s);
}

static void on_status_ask(struct service *s, struct ipc_message *m)
{
	struct buf fields = buf_make(4096);
	struct msg_STATUS status;

	if (s->spec->status != NULL && s->running)
		s->spec->status(s, &fields);
	status.control_field_records = buf_slice(&fields);
	link_answer(s->master, m->request, IPC_STATUS, &status, -1);
	buf_free(&fields);
}

static void on_ping(struct service *s, struct ipc_message *m)
{
	link_answer(s->master, m->request, IPC_PONG, &(struct msg_PONG){0}, -1);
}

static void on_clock_turn(struct service *s, struct ipc_message *m)
{
	clock_turn_ms((int64_t)m->body.CLOCK_TURN.forward_ms);
	loop_clock_turned(s->loop);
}

static void on_attach(struct service *s, struct ipc_message *m)
{
	on_link_attach(s, s->master, m);
}

typedef void master_message_fn(struct service *s, struct ipc_message *m);

static master_message_fn *const from_master[IPC_COUNT] = {
	[IPC_CAGE] = on_cage,
	[IPC_GENERATION_OPEN] = on_generation_open,
	[IPC_GENERATION_PATH] = on_generation_path,
	[IPC_GENERATION_CHECK] = on_generation_check,
	[IPC_GENERATION_SWITCH] = on_generation_switch,
	[IPC_GENERATION_DROP] = on_generation_drop,
	[IPC_LINK_ATTACH] = on_attach,
	[IPC_DRAIN] = on_drain,
	[IPC_STATUS_ASK] = on_status_ask,
	[IPC_PING] = on_ping,
	[IPC_CLOCK_TURN] = on_clock_turn,
};

void service_dispatch(struct service *s, struct link *link, struct ipc_message *m)
{
	if (m->type == IPC_LINK_ATTACH && link != s->master) {
		if (s->spec->attach == NULL || !s->spec->attach(s, link, m))
			on_link_attach(s, link, m);
		return;
	}
	/* Before the start only the master speaks (LISTENER belongs to the hand-over). */
	if (s->spec->handlers == NULL || s->spec->handlers[m->type] == NULL || (!s->running && link != s->master))
		link_break(link, "a message that is not expected here");
	else
		s->spec->handlers[m->type](s, link, m);
}

static void on_master_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct service *s = arg;

	if (from_master[m->type] != NULL)
		from_master[m->type](s, m);
	else
		service_dispatch(s, link, m);
}

/* Without a master nobody restarts what dies and nobody could reload: end. */
static void on_master_gone(struct link *link, const char *broke_rules, void *arg)
{
	struct service *s = arg;

	(void)link;
	if (broke_rules != NULL)
		LOG(LEVEL_ERROR, "master-broke-rules", KV_STR("why", broke_rules));
	service_stop(s);
}

/* ---- start ---- */

static void ignore_signals(void)
{
	static const int ignored[] = {SIGPIPE, SIGINT, SIGHUP, SIGTERM, SIGQUIT, SIGXFSZ, SIGUSR1, SIGUSR2};

	/* The master alone hears the operator; its word to us comes over the socket. */
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

static bool parse_arguments(int argc, char **argv, uint64_t *instance)
{
	*instance = 0;
	if (argc == 1)
		return true;
	return argc == 3 && strcmp(argv[1], "--instance") == 0 && slice_u64(slice_of(argv[2]), UINT32_MAX, instance);
}

static void inherit_master(struct service *s)
{
	int flags = fcntl(MASTER_FD, F_GETFL);

	if (flags == -1 || fcntl(MASTER_FD, F_SETFD, FD_CLOEXEC) == -1 ||
	    fcntl(MASTER_FD, F_SETFL, flags | O_NONBLOCK) == -1)
		log_fatal("no socket to the master; this program is started by postern-master", errno);
	s->master = link_new(s->loop, MASTER_FD,
			     &(struct link_config){s->spec->role, ROLE_MASTER, 0, on_master_message, on_master_gone, s});
	if (s->master == NULL)
		log_fatal("link to the master", ENOMEM);
}

int service_run(const struct service_spec *spec, int argc, char **argv)
{
	struct service *s = mem_new(1, sizeof(*s));

	log_set_name(role_name(spec->role));
	/* Executed by descriptor, it would be called by that number in ps. */
	prctl(PR_SET_NAME, argv[0]);
	if (s == NULL)
		log_fatal("service", ENOMEM);
	s->spec = spec;
	s->root_fd = -1;
	s->parent = getppid();
	if (!parse_arguments(argc, argv, &s->instance)) {
		fprintf(stderr, "usage: %s [--instance N], started by postern-master\n", argv[0]);
		return EX_USAGE;
	}
	LIST_INIT(&s->links);
	LIST_INIT(&s->parked);
	SLIST_INIT(&s->paths);
	ignore_signals();
	service_log_start(s);
	close_range(MASTER_FD + 1, ~0u, 0); /* before the loop has descriptors of its own */
	s->loop = loop_new();
	inherit_master(s);
	loop_run(s->loop);
	/* What was said in the last turn still leaves. */
	for (struct peer *p = LIST_FIRST(&s->links); p != NULL; p = LIST_NEXT(p, peers))
		link_flush(p->link);
	link_flush(s->master);
	return 0;
}
