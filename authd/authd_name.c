#include "authd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "os/user.h"

#include <errno.h>

/*
 * Which system users mail may be delivered as.
 *
 *   nothing --asked--> asking --USER_FOUND--> known --60 s (1 s when it was not known)--> nothing
 *
 * The children ask the system; here are the cache and those who wait for an answer.
 */
#define NAMES_MAX 4096u
#define KEEP_MS 60000
#define KEEP_UNKNOWN_MS 1000
#define ASK_MS 12000

struct asker {
	LIST_ENTRY(asker) peers;
	struct link *link; /* borrowed: askers end with it */
	uint64_t request;
};

struct name {
	struct names *all;
	LIST_HEAD(, asker) askers;
	bool asking;
	uint64_t until_ms;
	enum outcome outcome;
	uint64_t uid, gid;
	char *home; /* owned; NULL: none */
	char text[256];
};

struct names {
	struct authd *authd;
	struct map *by_text; /* -> struct name, owned */
	struct link *finder; /* owned */
};

struct names *names_new(struct authd *a, int finder_fd)
{
	struct names *n = mem_new(1, sizeof(*n));

	if (n != NULL)
		n->by_text = map_new(NAMES_MAX);
	if (n == NULL || n->by_text == NULL)
		log_fatal("names", ENOMEM);
	n->authd = a;
	n->finder = authd_child_link(a, finder_fd);
	return n;
}

static void answer(const struct name *one, struct link *link, uint64_t request)
{
	struct msg_ACCOUNT body = {one->outcome, one->uid, one->gid, slice_of(one->home)};

	link_answer(link, request, IPC_ACCOUNT, &body, -1);
}

static void answer_outcome(struct link *link, uint64_t request, enum outcome oc)
{
	struct msg_ACCOUNT body = {oc, ACCOUNT_NO_UID, 0, slice_empty()};

	link_answer(link, request, IPC_ACCOUNT, &body, -1);
}

static void answer_all(struct name *one)
{
	struct asker *a;

	while ((a = LIST_FIRST(&one->askers)) != NULL) {
		LIST_REMOVE(a, peers);
		answer(one, a->link, a->request);
		free(a);
	}
}

/* Mail is never delivered as root or as one of the system's own users. */
static enum outcome check_uid(const struct name *one, uint64_t uid, uint64_t least)
{
	if (uid >= least && uid != 0)
		return OC_DONE;
	LOG(LEVEL_WARN, "account-refused", KV_STR("name", one->text), KV_NUM("uid", uid), KV_NUM("system_uid_min", least));
	return OC_NOT_FOUND;
}

static void take_answer(struct name *one, const struct msg_USER_FOUND *found)
{
	uint64_t least = service_conf(one->all->authd->service)->set.system_uid_min;

	one->outcome = found->outcome;
	one->uid = found->outcome == OC_DONE ? found->uid : ACCOUNT_NO_UID;
	if (found->outcome == OC_DONE)
		one->outcome = check_uid(one, found->uid, least);
	if (one->outcome != OC_DONE)
		return;
	one->gid = found->gid;
	one->home = slice_dup(found->home);
	if (one->home == NULL)
		one->outcome = OC_NO_MEMORY;
}

static void on_found(struct ipc_message *m, void *arg)
{
	struct name *one = arg;
	bool known;

	one->asking = false;
	if (m == NULL)
		one->outcome = OC_UNAVAILABLE;
	else
		take_answer(one, &m->body.USER_FOUND);
	known = one->outcome == OC_DONE || one->outcome == OC_NOT_FOUND;
	one->until_ms = clock_mono_ms() + (known ? KEEP_MS : KEEP_UNKNOWN_MS);
	if (!known)
		LOG(LEVEL_WARN, "account-unknown", KV_STR("name", one->text));
	answer_all(one);
}

static void name_free(struct names *n, struct name *one)
{
	map_take(n->by_text, slice_of(one->text));
	free(one->home);
	free(one);
}

static bool drop_known(struct slice key, void *value, void *arg)
{
	struct name *one = value;

	(void)key;
	if (!one->asking)
		name_free(arg, one);
	return true;
}

static struct name *name_new(struct names *n, struct slice text)
{
	struct name *one = mem_new(1, sizeof(*one));

	if (one == NULL)
		return NULL;
	if (map_count(n->by_text) >= NAMES_MAX)
		map_each(n->by_text, drop_known, n);
	one->all = n;
	LIST_INIT(&one->askers);
	if (!slice_copy(text, one->text, sizeof(one->text)) || !map_put(n->by_text, text, one)) {
		free(one);
		return NULL;
	}
	return one;
}

static void ask(struct name *one)
{
	struct msg_USER_ASK question = {slice_of(one->text)};

	free(one->home);
	one->home = NULL;
	one->asking = true;
	link_ask(one->all->finder, IPC_USER_ASK, &question, ASK_MS, on_found, one);
	link_flush(one->all->finder);
}

static bool wait_for(struct name *one, struct link *link, uint64_t request)
{
	struct asker *a = mem_new(1, sizeof(*a));

	if (a == NULL)
		return false;
	a->link = link;
	a->request = request;
	LIST_INSERT_HEAD(&one->askers, a, peers);
	return true;
}

void on_account_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	struct names *n = ((struct authd *)service_state(s))->names;
	struct slice text = m->body.ACCOUNT_ASK.name;
	struct name *one = map_find(n->by_text, text);

	if (!os_user_is_name(text)) {
		answer_outcome(link, m->request, OC_NOT_FOUND);
		return;
	}
	if (one == NULL)
		one = name_new(n, text);
	else if (!one->asking && clock_mono_ms() < one->until_ms) {
		answer(one, link, m->request);
		return;
	}
	if (one == NULL || !wait_for(one, link, m->request))
		answer_outcome(link, m->request, OC_UNAVAILABLE);
	else if (!one->asking)
		ask(one);
}

static bool drop_askers(struct slice key, void *value, void *arg)
{
	struct name *one = value;
	struct asker *a = LIST_FIRST(&one->askers), *next;

	(void)key;
	for (; a != NULL; a = next) {
		next = LIST_NEXT(a, peers);
		if (a->link == arg) {
			LIST_REMOVE(a, peers);
			free(a);
		}
	}
	return true;
}

void names_link_down(struct names *n, const struct link *link)
{
	map_each(n->by_text, drop_askers, (void *)(uintptr_t)link);
}
