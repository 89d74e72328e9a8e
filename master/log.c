/*
 * postern-log: the one writer of events.  Every process sends its own as records over a link; here each becomes one line.  Who
 * said it comes from the link.
 */
#include "log_out.h"
#include "log_rate.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TICK_MS 1000u
#define SPEAKERS_MAX 100000

/* One link. */
struct speaker {
	enum role role;
	uint64_t instance;
	struct log_rate rate;
};

struct logger {
	struct service *service;
	struct log_out out;
	char folder[512]; /* of the file, as at start: the cage allows no other */
	struct map *speakers; /* link -> struct speaker, owned */
	struct timer *tick;
	struct soon *flush;
	enum log_level lowest;
	uint64_t lines;
	bool missing_told;
};

static struct logger *the_logger; /* for the log sink of this very process */

static struct cage_spec cage = {
	.calls = CALLS_BASE,
	.chroot = true,
	/* stderr may be a file as well */
	.file_bytes_max = 1ull << 40,
};

/* The sockets of syslog and journald are names in the system's own tree. */
static void prepare(struct service *s)
{
	bool to_file = false, to_socket = false;
	char kind[32];

	if (service_cage_text(s, CONF_CAGE_LOG, kind, sizeof(kind))) {
		to_file = strcmp(kind, "file") == 0;
		to_socket = strcmp(kind, "syslog") == 0 || strcmp(kind, "journald") == 0;
	}
	if (to_file)
		cage.calls |= CALLS_FILES;
	if (to_socket) {
		cage.calls |= CALLS_DATAGRAM;
		cage.chroot = false;
	}
}

static void write_event(struct logger *l, const struct log_event *e)
{
	if (e->level < l->lowest)
		return;
	log_out_add(&l->out, e);
	l->lines++;
	soon_call(l->flush);
}

static void own_event(enum log_level level, const char *event, struct slice fields)
{
	const struct log_event e = {level, clock_wall_ms(), ROLE_LOG, service_instance(the_logger->service), slice_of(event),
				    fields};

	write_event(the_logger, &e);
	if (level == LEVEL_ERROR)
		log_out_flush(&the_logger->out);
}

static void on_flush(void *arg)
{
	struct logger *l = arg;

	log_out_flush(&l->out);
}

static bool tell_dropped(struct slice key, void *value, void *arg)
{
	struct speaker *sp = value;
	uint64_t n = log_rate_dropped(&sp->rate);

	(void)key;
	(void)arg;
	if (n > 0)
		LOG(LEVEL_WARN, "log-events-dropped", KV_STR("role", role_name(sp->role)),
		    KV_NUM("instance", sp->instance), KV_NUM("count", n));
	return true;
}

/* Told when it begins and when it is over, not each second. */
static void check_destination(struct logger *l)
{
	bool there = log_out_check(&l->out);

	if (!there && !l->missing_told)
		LOG(LEVEL_ERROR, "log-destination-missing", KV_STR("why", l->out.why), KV_STR("instead", "stderr"));
	else if (there && l->missing_told)
		LOG_PLAIN(LEVEL_INFO, "log-destination-back");
	l->missing_told = !there;
}

static void on_tick(void *arg)
{
	struct logger *l = arg;
	uint64_t n;

	check_destination(l);
	map_each(l->speakers, tell_dropped, NULL);
	n = log_out_dropped(&l->out);
	if (n > 0)
		LOG(LEVEL_WARN, "log-lines-dropped", KV_NUM("count", n));
	log_out_flush(&l->out);
	timer_set(l->tick, TICK_MS);
}

/* ---- generations ---- */

/* Folder and name of the log's file in `conf`; false: it goes elsewhere. */
static bool file_of(const struct conf *conf, struct slice *folder, struct slice *name)
{
	enum log_kind kind;

	return log_kind_of(slice_of(conf->set.log), &kind) && kind == LOG_TO_FILE &&
	       log_split_path(slice_of(conf->set.log), folder, name);
}

static bool set_file(struct logger *l, const struct generation *g)
{
	struct slice folder, name;

	if (l->out.kind != LOG_TO_FILE || !file_of(g->conf, &folder, &name))
		return true;
	return log_out_set_file(&l->out, service_path_fd(l->service, g->number, slice_of(g->conf->set.log)), name);
}

/* What the cage was made for stays so; within it the file may have another name. */
static bool agrees(const struct logger *l, const struct conf *conf, char *why, size_t why_size)
{
	struct slice folder, name;
	enum log_kind kind;

	if (!log_kind_of(slice_of(conf->set.log), &kind)) {
		snprintf(why, why_size, "log is stderr, syslog, journald or an absolute path, not %.200s", conf->set.log);
		return false;
	}
	if (l != NULL && kind != l->out.kind) {
		snprintf(why, why_size, "log cannot go to another kind of place while running: restart for that");
		return false;
	}
	if (kind != LOG_TO_FILE)
		return true;
	if (!file_of(conf, &folder, &name) ||
	    (l != NULL && l->folder[0] != '\0' && !slice_eq(folder, slice_of(l->folder)))) {
		snprintf(why, why_size, "log cannot go to a file in another folder while running: restart for that");
		return false;
	}
	return true;
}

static bool generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	struct slice folder, name;

	if (!agrees(service_state(s), g->conf, why, why_size))
		return false;
	if (file_of(g->conf, &folder, &name) && service_path_fd(s, g->number, slice_of(g->conf->set.log)) < 0) {
		snprintf(why, why_size, "the folder of the log file %.200s cannot be opened: make it, owned by the user of "
					"postern-log", g->conf->set.log);
		return false;
	}
	return true;
}

static void generation_switched(struct service *s)
{
	struct logger *l = service_state(s);

	(void)log_level_find(slice_of(service_conf(s)->set.log_level), &l->lowest);
	log_out_flush(&l->out);
	if (!set_file(l, service_generation(s)) || !log_out_open(&l->out))
		check_destination(l);
}

/* ---- links ---- */

static uint64_t key_of(const struct link *link)
{
	return (uint64_t)(uintptr_t)link;
}

static void link_up(struct service *s, struct link *link)
{
	struct logger *l = service_state(s);
	struct speaker *sp = mem_new(1, sizeof(*sp));

	if (sp == NULL)
		log_fatal("speaker", ENOMEM);
	sp->role = link_peer(link);
	sp->instance = link_instance(link);
	sp->rate = log_rate_make(clock_mono_ms());
	if (!map_put_u64(l->speakers, key_of(link), sp)) {
		free(sp);
		link_break(link, "too many links");
	}
}

static void link_down(struct service *s, struct link *link)
{
	struct logger *l = service_state(s);
	struct speaker *sp = map_take_u64(l->speakers, key_of(link));

	if (sp != NULL)
		tell_dropped(slice_empty(), sp, NULL);
	free(sp);
}

static void on_record(struct service *s, struct link *link, struct ipc_message *m)
{
	struct logger *l = service_state(s);
	struct speaker *sp = map_find_u64(l->speakers, key_of(link));
	struct log_event e = {.role = link_peer(link), .instance = link_instance(link)};

	if (sp != NULL && !log_rate_admit(&sp->rate, clock_mono_ms()))
		return;
	log_event_take(&m->body.LOG_RECORD, clock_wall_ms(), &e);
	write_event(l, &e);
}

/* ---- life ---- */

static void start(struct service *s)
{
	struct logger *l = mem_new(1, sizeof(*l));
	const struct conf *conf = service_conf(s);
	enum log_kind kind = LOG_TO_STDERR;
	struct slice folder, name;

	if (l == NULL || (l->speakers = map_new(SPEAKERS_MAX)) == NULL)
		log_fatal("logger", ENOMEM);
	(void)log_kind_of(slice_of(conf->set.log), &kind);
	l->service = s;
	(void)log_level_find(slice_of(conf->set.log_level), &l->lowest);
	log_out_init(&l->out, kind);
	if (file_of(conf, &folder, &name))
		(void)slice_copy(folder, l->folder, sizeof(l->folder));
	l->tick = timer_new(service_loop(s), on_tick, l);
	l->flush = soon_new(service_loop(s), on_flush, l);
	service_set_state(s, l);
	the_logger = l;
	log_set_sink(own_event);
	if (!set_file(l, service_generation(s)) || !log_out_open(&l->out))
		check_destination(l);
	timer_set(l->tick, TICK_MS);
}

static void drain_link(struct link *link, void *arg)
{
	(void)arg;
	link_drain(link);
}

/* The last of all to end: what the others said before they ended is still in their links. */
static void drain(struct service *s, uint64_t deadline_ms)
{
	struct logger *l = service_state(s);

	(void)deadline_ms;
	for (unsigned role = 0; role < ROLE_COUNT; role++)
		service_each_link(s, (enum role)role, drain_link, NULL);
	log_out_flush(&l->out);
	service_stop(s);
}

static void status(struct service *s, struct buf *out)
{
	const struct logger *l = service_state(s);

	service_status_number(out, "lines", l->lines);
	service_status_text(out, "to", l->missing_told ? "stderr" : service_conf(s)->set.log);
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_LOG_RECORD] = on_record,
};

static const struct service_spec spec = {
	.role = ROLE_LOG,
	.cage = &cage,
	.text = &service_text,
	.prepare = prepare,
	.start = start,
	.handlers = handlers,
	.generation_ready = generation_ready,
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
