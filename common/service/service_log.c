#include "base/clock.h"
#include "base/log.h"
#include "service/internal.h"

#include <unistd.h>

/*
 * Events go to postern-log.  While there is no link to it they wait, at most WAITING_MAX bytes of them; what does not fit is
 * counted, and the count is an event itself.  What ends the process goes to stderr too.
 */
#define WAITING_MAX (64u << 10)

static struct service *log_service;
static struct buf waiting; /* encoded LOG_RECORD payloads, each behind its length */
static uint64_t lost;

static bool send_record(const struct msg_LOG_RECORD *record)
{
	struct link *link = log_service == NULL ? NULL : service_link(log_service, ROLE_LOG, SERVICE_ANY);

	return link != NULL && link_tell(link, IPC_LOG_RECORD, record, -1);
}

static void keep(const struct msg_LOG_RECORD *record)
{
	struct buf one = buf_make(LOG_LINE_MAX + 512);
	size_t before = waiting.len;
	uint64_t len;

	if (ipc_encode(IPC_LOG_RECORD, record, &one)) {
		len = one.len;
		if (waiting.len + one.len + sizeof(len) <= WAITING_MAX && buf_add(&waiting, &len, sizeof(len)) &&
		    buf_add_slice(&waiting, buf_slice(&one))) {
			buf_free(&one);
			return;
		}
	}
	buf_undo(&waiting, before);
	buf_free(&one);
	lost++;
}

static bool ends_process(const char *event)
{
	return strcmp(event, "fatal") == 0 || strcmp(event, "bug") == 0;
}

static void say_on_stderr(enum log_level level, const char *event, struct slice fields)
{
	struct buf line = buf_make(LOG_LINE_MAX + 512);

	buf_addf(&line, "postern-%s: %s: %s %.*s\n", role_name(log_service->spec->role), log_level_name(level), event,
		 SLICE_ARG(fields));
	(void)!write(STDERR_FILENO, line.at == NULL ? "" : line.at, line.len);
	buf_free(&line);
}

static void to_log_process(enum log_level level, const char *event, struct slice fields)
{
	struct msg_LOG_RECORD record = {(uint64_t)level, (uint64_t)clock_wall_ms(), slice_of(event), fields};
	bool last = ends_process(event);

	if (!send_record(&record))
		keep(&record);
	/* A trial's words are shown to the operator, who wants to know only why it failed. */
	if (last || (!log_service->running && (log_service->cage.trial == 0 || level == LEVEL_ERROR)))
		say_on_stderr(level, event, fields);
	if (last && service_link(log_service, ROLE_LOG, SERVICE_ANY) != NULL)
		link_flush(service_link(log_service, ROLE_LOG, SERVICE_ANY));
}

void service_log_start(struct service *s)
{
	log_service = s;
	waiting = buf_make(WAITING_MAX);
	if (s->spec->role != ROLE_LOG)
		log_set_sink(to_log_process);
}

void service_log_flush(struct service *s)
{
	struct slice rest = buf_slice(&waiting);

	(void)s;
	while (rest.len > sizeof(uint64_t)) {
		struct ipc_message m;
		uint64_t len;

		memcpy(&len, rest.at, sizeof(len));
		rest = slice_from(rest, sizeof(len));
		if (ipc_decode(IPC_LOG_RECORD, slice_sub(rest, 0, (size_t)len), &m))
			send_record(&m.body.LOG_RECORD);
		rest = slice_from(rest, (size_t)len);
	}
	buf_clear(&waiting);
	if (lost > 0)
		LOG(LEVEL_WARN, "log-records-lost", KV_NUM("count", lost));
	lost = 0;
}
