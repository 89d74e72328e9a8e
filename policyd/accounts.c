#include "accounts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ipc/flags.h"

#include <errno.h>
#include <sys/queue.h>

#define KEEP_UNKNOWN_MS 1000
#define ASK_MS 15000

/* Who is asked, and how. */
struct source {
	enum role role;
	enum ipc_type type;
	uint64_t keep_yes_ms, keep_no_ms;
	void (*put)(struct slice name, struct ipc_message *question);
	enum outcome (*take)(const struct ipc_message *answer, uint64_t *uid_out);
};

static void put_account(struct slice name, struct ipc_message *question)
{
	question->body.ACCOUNT_ASK.name = name;
}

static enum outcome take_account(const struct ipc_message *answer, uint64_t *uid_out)
{
	*uid_out = answer->body.ACCOUNT.uid;
	return answer->body.ACCOUNT.outcome;
}

static void put_sender(struct slice name, struct ipc_message *question)
{
	question->body.SENT_ASK.address = name;
}

static enum outcome take_sender(const struct ipc_message *answer, uint64_t *uid_out)
{
	(void)uid_out;
	return answer->body.SENT.outcome;
}

/* That somebody never sent ends with his first message, and an answer to it may come at once. */
static const struct source system_users = {ROLE_AUTHD, IPC_ACCOUNT_ASK, 60000, 10000, put_account, take_account};
static const struct source senders = {ROLE_QUEUE, IPC_SENT_ASK, 60000, 1000, put_sender, take_sender};

struct accounts_waiter {
	LIST_ENTRY(accounts_waiter) peers;
	accounts_done_fn *done;
	void *arg;
};

struct account {
	struct accounts *all;
	LIST_HEAD(, accounts_waiter) waiters;
	enum answer answer; /* PENDING while it is asked for */
	bool waking; /* not to be dropped: its waiters are being called */
	uint64_t until_ms, uid;
	char name[256];
};

struct accounts {
	struct service *service;
	const struct source *source;
	struct map *names; /* struct account, owned */
	uint64_t now_ms;
};

static struct accounts *new_of(struct service *s, const struct source *source)
{
	struct accounts *a = mem_new(1, sizeof(*a));

	if (a == NULL)
		log_fatal("accounts", ENOMEM);
	a->service = s;
	a->source = source;
	a->names = map_new(ACCOUNTS_MAX);
	if (a->names == NULL)
		log_fatal("accounts", ENOMEM);
	return a;
}

struct accounts *accounts_new(struct service *s)
{
	return new_of(s, &system_users);
}

struct accounts *accounts_new_senders(struct service *s)
{
	return new_of(s, &senders);
}

size_t accounts_count(const struct accounts *a)
{
	return map_count(a->names);
}

static uint64_t keep_ms(const struct source *source, enum answer answer)
{
	switch (answer) {
	case ANSWER_YES:
		return source->keep_yes_ms;
	case ANSWER_NO:
		return source->keep_no_ms;
	case ANSWER_UNKNOWN:
	case ANSWER_PENDING:
		break;
	}
	return KEEP_UNKNOWN_MS;
}

static enum answer answer_of(const struct source *source, const struct ipc_message *m, uint64_t *uid_out)
{
	enum outcome outcome;

	*uid_out = ACCOUNT_NO_UID;
	if (m == NULL)
		return ANSWER_UNKNOWN;
	outcome = source->take(m, uid_out);
	if (outcome == OC_DONE)
		return ANSWER_YES;
	if (outcome == OC_NOT_FOUND)
		return ANSWER_NO;
	*uid_out = ACCOUNT_NO_UID;
	return ANSWER_UNKNOWN;
}

/* The answer stands by now, so none of them waits for this name again. */
static void wake(struct account *one)
{
	struct accounts_waiter *w;

	one->waking = true;
	while ((w = LIST_FIRST(&one->waiters)) != NULL) {
		accounts_done_fn *done = w->done;
		void *arg = w->arg;

		LIST_REMOVE(w, peers);
		free(w);
		done(arg);
	}
	one->waking = false;
}

static void on_account(struct ipc_message *m, void *arg)
{
	struct account *one = arg;

	one->answer = answer_of(one->all->source, m, &one->uid);
	one->until_ms = clock_mono_ms() + keep_ms(one->all->source, one->answer);
	wake(one);
}

static bool drop_known(struct slice key, void *value, void *arg)
{
	struct account *one = value;
	struct accounts *a = arg;

	if (one->answer == ANSWER_PENDING || one->waking)
		return true;
	map_take(a->names, key);
	free(one);
	return true;
}

static struct account *account_new(struct accounts *a, struct slice name)
{
	struct account *one = mem_new(1, sizeof(*one));

	if (one == NULL)
		return NULL;
	if (map_count(a->names) >= ACCOUNTS_MAX)
		map_each(a->names, drop_known, a);
	LIST_INIT(&one->waiters);
	one->all = a;
	if (!slice_copy(name, one->name, sizeof(one->name)) || !map_put(a->names, name, one)) {
		free(one);
		return NULL;
	}
	return one;
}

static enum answer ask(struct accounts *a, struct account *one)
{
	struct ipc_message question = {.type = a->source->type, .fd = -1};

	one->answer = ANSWER_PENDING;
	a->source->put(slice_of(one->name), &question);
	service_ask(a->service, a->source->role, a->source->type, &question.body, ASK_MS, on_account, one);
	return ANSWER_PENDING;
}

enum answer accounts_find(struct accounts *a, struct slice name)
{
	struct account *one = map_find(a->names, name);

	if (one == NULL)
		one = account_new(a, name);
	else if (one->answer == ANSWER_PENDING || clock_mono_ms() < one->until_ms)
		return one->answer;
	return one == NULL ? ANSWER_UNKNOWN : ask(a, one);
}

enum answer accounts_uid(struct accounts *a, struct slice name, uint64_t *uid_out)
{
	enum answer answer = accounts_find(a, name);
	const struct account *one = answer == ANSWER_YES || answer == ANSWER_NO ? map_find(a->names, name) : NULL;

	if (one == NULL || one->uid == ACCOUNT_NO_UID)
		return answer;
	*uid_out = one->uid;
	return ANSWER_YES;
}

struct accounts_waiter *accounts_wait(struct accounts *a, struct slice name, accounts_done_fn *done, void *arg)
{
	struct account *one = map_find(a->names, name);
	struct accounts_waiter *w = one == NULL || one->answer != ANSWER_PENDING ? NULL : mem_new(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->done = done;
	w->arg = arg;
	LIST_INSERT_HEAD(&one->waiters, w, peers);
	return w;
}

void accounts_forget(struct accounts_waiter **wp)
{
	struct accounts_waiter *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	LIST_REMOVE(w, peers);
	free(w);
}
