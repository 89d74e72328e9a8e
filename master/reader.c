#include "reader.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/link.h"
#include "os/privilege.h"
#include "reader_child.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define READER_MS 30000u

/*
 *   started --CONF_PATH, CONF_LISTENER, CONF_DELIVERY, CONF_CAGE_FACT, CONF_SETTINGS, CONF_MISTAKE--> --CONF_DONE--> done
 *      '---- link broken (it died, or broke the rules), or time over ----> done, refused as temporary
 */
struct reader {
	struct link *link; /* owned */
	struct timer *deadline; /* owned */
	struct soon *finish; /* owned: the link is never freed inside its own callback */
	struct plan *plan; /* owned until handed over */
	struct buf mistakes;
	pid_t pid;
	uid_t uid;
	reader_done_fn *done;
	void *arg;
	enum outcome outcome; /* DONE, BAD_INPUT, UNAVAILABLE */
	bool settled; /* the first word of it stands */
};

static void settle(struct reader *r, enum outcome outcome)
{
	if (r->settled)
		return;
	r->settled = true;
	r->outcome = outcome;
	soon_call(r->finish);
}

static void refuse(struct reader *r, enum outcome outcome, const char *why)
{
	if (!r->settled)
		buf_addf(&r->mistakes, "%s\n", why);
	settle(r, outcome);
}

static bool on_path(struct reader *r, struct ipc_message *m)
{
	return plan_add_path(r->plan, &m->body.CONF_PATH);
}

static bool on_listener(struct reader *r, struct ipc_message *m)
{
	const struct msg_CONF_LISTENER *b = &m->body.CONF_LISTENER;

	return plan_add_listener(r->plan, b->index, b->port, b->address, b->name);
}

static bool on_settings(struct reader *r, struct ipc_message *m)
{
	return plan_set(r->plan, &m->body.CONF_SETTINGS);
}

static bool on_delivery(struct reader *r, struct ipc_message *m)
{
	return plan_add_delivery(r->plan, &m->body.CONF_DELIVERY);
}

static bool on_cage_fact(struct reader *r, struct ipc_message *m)
{
	return plan_add_cage_fact(r->plan, &m->body.CONF_CAGE_FACT);
}

static bool on_mistake(struct reader *r, struct ipc_message *m)
{
	return buf_add_slice(&r->mistakes, m->body.CONF_MISTAKE.text);
}

static bool on_done(struct reader *r, struct ipc_message *m)
{
	enum outcome said = m->body.CONF_DONE.outcome;
	bool whole = said == OC_DONE && m->fd >= 0;

	r->plan->bundle_fd = m->fd;
	m->fd = -1;
	/* Doubt is temporary. */
	settle(r, whole || said == OC_BAD_INPUT ? said : OC_UNAVAILABLE);
	return true;
}

static bool (*const handlers[IPC_COUNT])(struct reader *r, struct ipc_message *m) = {
	[IPC_CONF_PATH] = on_path,	       [IPC_CONF_LISTENER] = on_listener, [IPC_CONF_DELIVERY] = on_delivery,
	[IPC_CONF_CAGE_FACT] = on_cage_fact, [IPC_CONF_SETTINGS] = on_settings, [IPC_CONF_MISTAKE] = on_mistake,
	[IPC_CONF_DONE] = on_done,
};

static void on_message(struct link *link, struct ipc_message *m, void *arg)
{
	struct reader *r = arg;

	if (r->settled || handlers[m->type] == NULL)
		link_break(link, "a message that is not expected here");
	else if (!handlers[m->type](r, m))
		refuse(r, OC_BAD_INPUT, "the configuration is beyond its bounds (paths, listeners, Maildir transports)");
}

static void on_broken(struct link *link, const char *broke_rules, void *arg)
{
	struct reader *r = arg;

	(void)link;
	refuse(r, OC_UNAVAILABLE, broke_rules != NULL ? broke_rules : "the configuration reader ended early");
}

static void on_deadline(void *arg)
{
	refuse(arg, OC_UNAVAILABLE, "reading the configuration took more than 30 seconds");
}

static void end_child(struct reader *r)
{
	int status;

	if (r->pid <= 0)
		return;
	kill_as(r->uid, r->pid, SIGKILL);
	while (waitpid(r->pid, &status, 0) == -1 && errno == EINTR)
		continue;
	r->pid = 0;
}

static void on_finish(void *arg)
{
	struct reader *r = arg;
	struct plan *plan = NULL;

	end_child(r);
	if (r->outcome == OC_DONE && !plan_is_whole(r->plan))
		r->outcome = OC_UNAVAILABLE;
	if (r->outcome == OC_DONE) {
		plan = r->plan;
		r->plan = NULL;
	}
	link_free(&r->link);
	timer_free(&r->deadline);
	soon_free(&r->finish);
	r->done(plan, r->outcome, buf_slice(&r->mistakes), r->arg);
	plan_free(&r->plan);
	buf_free(&r->mistakes);
	free(r);
}

struct reader *reader_start(struct loop *loop, const struct reader_order *order, uint64_t number, reader_done_fn *done, void *arg)
{
	struct reader *r = mem_new(1, sizeof(*r));
	int pair[2];

	if (r == NULL)
		return NULL;
	r->plan = plan_new(number);
	if (r->plan == NULL || !link_pair(pair)) {
		plan_free(&r->plan);
		free(r);
		return NULL;
	}
	r->mistakes = buf_make(1 << 18);
	r->done = done;
	r->arg = arg;
	r->uid = order->uid;
	r->pid = reader_child_spawn(order, pair[1]);
	close(pair[1]);
	r->link = link_new(loop, pair[0], &(struct link_config){ROLE_MASTER, ROLE_CONF, 0, on_message, on_broken, r});
	r->deadline = timer_new(loop, on_deadline, r);
	r->finish = soon_new(loop, on_finish, r);
	timer_set(r->deadline, READER_MS);
	if (r->pid == -1 || r->link == NULL)
		refuse(r, OC_UNAVAILABLE, "the configuration reader could not be started");
	return r;
}
