#include "probe.h"

#include "base/log.h"
#include "base/mem.h"
#include "master.h"
#include "os/privilege.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_MS 20000u /* less than the others have: its start is part of it */

struct probe {
	LIST_ENTRY(probe) all;
	struct slot slot; /* as if it were one of the master's, for what is handed over */
	bool answered;
	probe_done_fn *done;
	void *arg;
};

/* Before its drop it is still ours, afterwards the user's. */
static void end(struct probe *p)
{
	if (p->slot.pid > 0 && kill(p->slot.pid, SIGKILL) == -1)
		(void)kill_as(p->slot.uid, p->slot.pid, SIGKILL);
}

static void say(struct probe *p, bool agreed, struct slice reason)
{
	if (p->answered)
		return;
	p->answered = true;
	p->done(agreed, reason, p->arg);
	end(p);
}

static void on_checked(struct ipc_message *m, void *arg)
{
	struct probe *p = arg;
	char text[128];

	if (m != NULL) {
		say(p, m->body.GENERATION_CHECKED.outcome == OC_DONE, m->body.GENERATION_CHECKED.reason);
		return;
	}
	snprintf(text, sizeof(text), "a new %s, which this configuration needs, does not start: look at the log or at stderr",
		 role_name(p->slot.row->role));
	say(p, false, slice_of(text));
}

/* READY, and whatever else it says. */
static void on_message(struct link *link, struct ipc_message *m, void *arg)
{
	(void)link;
	(void)m;
	(void)arg;
}

static void on_broken(struct link *link, const char *broke_rules, void *arg)
{
	struct probe *p = arg;

	(void)link;
	(void)broke_rules;
	link_free(&p->slot.link);
	end(p);
}

static void forget(struct probe *p)
{
	LIST_REMOVE(p, all);
	link_free(&p->slot.link);
	free(p);
}

static bool spawn(struct probe *p, const struct plan *plan)
{
	struct slot *s = &p->slot;
	struct master *m = s->master;
	const struct link_config config = {ROLE_MASTER, s->row->role, s->instance, on_message, on_broken, p};
	const struct msg_GENERATION_CHECK check = {plan->number};
	int pair[2];

	if (!link_pair(pair))
		return false;
	s->pid = child_spawn(&(struct child_order){m->options->libexec, m->programs.fd[s->row->role], s->row->role, s->instance, pair[1]});
	close(pair[1]);
	s->link = link_new(m->loop, pair[0], &config);
	if (s->pid == -1)
		s->pid = 0;
	return s->pid > 0 && s->link != NULL && hand_cage(s, plan) && hand_generation(s, plan) &&
	       link_ask(s->link, IPC_GENERATION_CHECK, &check, PROBE_MS, on_checked, p) != 0;
}

bool probe_start(const struct slot *like, const struct plan *plan, probe_done_fn *done, void *arg)
{
	struct probe *p = mem_new(1, sizeof(*p));

	if (p == NULL)
		return false;
	p->slot = (struct slot){.master = like->master,
				.row = like->row,
				.instance = like->instance,
				.uid = like->uid,
				.gid = like->gid,
				.group = like->group,
				.trial = true};
	p->done = done;
	p->arg = arg;
	LIST_INSERT_HEAD(&like->master->probes, p, all);
	if (spawn(p, plan))
		return true;
	p->answered = true;
	end(p);
	if (p->slot.pid == 0)
		forget(p);
	return false;
}

void probes_reap(struct master *m)
{
	struct probe *next;

	for (struct probe *p = LIST_FIRST(&m->probes); p != NULL; p = next) {
		next = LIST_NEXT(p, all);
		if (waitpid(p->slot.pid, NULL, WNOHANG) != p->slot.pid)
			continue;
		p->slot.pid = 0;
		/* Its last words may still be unread; without them it ended before it agreed. */
		if (p->slot.link != NULL)
			link_drain(p->slot.link);
		if (!p->answered)
			on_checked(NULL, p);
		forget(p);
	}
}

void probes_end(struct master *m)
{
	struct probe *p;

	LIST_FOREACH(p, &m->probes, all) {
		p->answered = true;
		end(p);
	}
}

void probes_free(struct master *m)
{
	probes_end(m);
	while (!LIST_EMPTY(&m->probes))
		forget(LIST_FIRST(&m->probes));
}
