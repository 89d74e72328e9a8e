#include "remote.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/queue.h>

#define KEEP_UNKNOWN_MS 1000u
#define SLACK_MS 7000u /* beyond the table's own time: lookup may just be starting anew */
#define NAME_MAX_BYTES (16u + 1024u)
#define SERVERS_MAX (CONF_BACKENDS_MAX + 1u) /* postern-lookup's instances */

struct remote_waiter {
	LIST_ENTRY(remote_waiter) peers;
	remote_done_fn *done;
	void *arg;
};

struct entry {
	struct remote *all;
	LIST_HEAD(, remote_waiter) waiters;
	enum answer answer; /* PENDING while it is asked for */
	bool waking; /* not to be dropped: its waiters are being called */
	uint64_t known_ms, until_ms, keep_ms, keep_no_ms;
	uint64_t instance; /* whom it is asked of */
	struct buf value; /* owned */
	char why[REMOTE_WHY_MAX];
	size_t name_len;
	char name[]; /* generation, table and key */
};

struct remote {
	struct service *service;
	struct map *entries; /* struct entry, owned */
	size_t bytes; /* of their values */
	size_t asked[SERVERS_MAX]; /* of each: that it has not answered yet */
	struct entry *pending; /* what the question in hand waits for */
	size_t missing; /* how much that is */
	uint64_t began_ms; /* when it came */
};

struct remote *remote_new(struct service *s)
{
	struct remote *r = mem_new(1, sizeof(*r));

	if (r == NULL)
		log_fatal("remote", ENOMEM);
	r->service = s;
	r->entries = map_new(REMOTE_ENTRIES_MAX);
	if (r->entries == NULL)
		log_fatal("remote", ENOMEM);
	return r;
}

size_t remote_count(const struct remote *r)
{
	return map_count(r->entries);
}

void remote_begin(struct remote *r, uint64_t began_ms)
{
	r->began_ms = began_ms;
	r->pending = NULL;
	r->missing = 0;
}

/* ---- entries ---- */

static struct slice name_of(const struct entry *e)
{
	return slice_make(e->name, e->name_len);
}

static void set_value(struct entry *e, struct slice value)
{
	e->all->bytes -= e->value.len;
	buf_free(&e->value);
	if (!buf_add_slice(&e->value, value))
		e->answer = ANSWER_UNKNOWN;
	e->all->bytes += e->value.len;
}

static bool drop_known(struct slice key, void *value, void *arg)
{
	struct remote *r = arg;
	struct entry *e = value;

	if (e->answer == ANSWER_PENDING || e->waking)
		return true;
	(void)map_take(r->entries, key);
	r->bytes -= e->value.len;
	buf_free(&e->value);
	free(e);
	return true;
}

static void make_room(struct remote *r)
{
	if (map_count(r->entries) >= REMOTE_ENTRIES_MAX || r->bytes > REMOTE_BYTES_MAX)
		map_each(r->entries, drop_known, r);
}

static size_t make_name(char out[NAME_MAX_BYTES], const struct generation *g, const struct conf_table *table, struct slice key)
{
	uint64_t of[2] = {g->number, (uint64_t)(table - g->conf->tables)};

	if (key.len > NAME_MAX_BYTES - sizeof(of))
		return 0;
	memcpy(out, of, sizeof(of));
	memcpy(out + sizeof(of), key.at, key.len);
	return sizeof(of) + key.len;
}

static struct entry *entry_new(struct remote *r, struct slice name, const struct conf_backend *b)
{
	struct entry *e = mem_new(1, sizeof(*e) + name.len);

	if (e == NULL)
		return NULL;
	LIST_INIT(&e->waiters);
	e->all = r;
	e->keep_ms = b->keep_ms;
	e->keep_no_ms = b->keep_no_ms;
	e->value = buf_make(65535);
	e->name_len = name.len;
	memcpy(e->name, name.at, name.len);
	if (map_put(r->entries, name_of(e), e))
		return e;
	free(e);
	return NULL;
}

/* ---- answers ---- */

/* The answer stands by now, so none of them waits for this key again. */
static void wake(struct entry *e)
{
	struct remote_waiter *w;

	e->waking = true;
	while ((w = LIST_FIRST(&e->waiters)) != NULL) {
		remote_done_fn *done = w->done;
		void *arg = w->arg;

		LIST_REMOVE(w, peers);
		free(w);
		done(arg);
	}
	e->waking = false;
}

static void take(struct entry *e, const struct msg_LOOKUP *m)
{
	uint64_t keep_ms = KEEP_UNKNOWN_MS;

	e->answer = ANSWER_UNKNOWN;
	if (m == NULL)
		snprintf(e->why, sizeof(e->why), "postern-lookup does not answer");
	else
		(void)slice_copy(m->why, e->why, sizeof(e->why));
	if (m != NULL && m->outcome == OC_DONE && slice_index(m->value, '\0') == SLICE_NONE) {
		e->answer = ANSWER_YES;
		set_value(e, m->value);
		keep_ms = e->keep_ms;
	} else if (m != NULL && m->outcome == OC_NOT_FOUND) {
		e->answer = ANSWER_NO;
		keep_ms = e->keep_no_ms;
	} else if (m != NULL && m->outcome == OC_DONE) {
		snprintf(e->why, sizeof(e->why), "a value with a NUL");
	}
	e->known_ms = clock_mono_ms();
	e->until_ms = e->known_ms + keep_ms;
}

static void on_lookup(struct ipc_message *m, void *arg)
{
	struct entry *e = arg;

	e->all->asked[e->instance]--;
	take(e, m == NULL ? NULL : &m->body.LOOKUP);
	wake(e);
}

static void ask(struct entry *e, const struct conf *conf, const struct conf_table *table, struct slice key)
{
	struct msg_LOOKUP_ASK question = {slice_of(table->name), key};

	e->answer = ANSWER_PENDING;
	e->instance = conf_lookup_instance(conf, table);
	e->all->asked[e->instance]++;
	service_ask_instance(e->all->service, ROLE_LOOKUP, e->instance, IPC_LOOKUP_ASK, &question,
			     table->backend->timeout_ms + SLACK_MS, on_lookup, e);
}

/* One key of each question always, so that all get on; more by what there is room for, which is the less the more are at it. */
static bool may_ask(const struct remote *r, const struct generation *g, const struct conf_table *table)
{
	size_t asked = r->asked[conf_lookup_instance(g->conf, table)];

	return r->missing == 0 || (asked < REMOTE_ASKED_MAX && r->missing < (REMOTE_ASKED_MAX - asked) / 4);
}

static enum answer wait_for(struct remote *r, struct entry *e)
{
	r->pending = e; /* the last one: what was asked for before it is known by then */
	r->missing++;
	return ANSWER_PENDING;
}

static enum answer tell(const struct entry *e, struct buf *value_out, char why[REMOTE_WHY_MAX])
{
	if (e->answer == ANSWER_UNKNOWN)
		memcpy(why, e->why, REMOTE_WHY_MAX);
	if (e->answer != ANSWER_YES || value_out == NULL)
		return e->answer;
	return buf_add_slice(value_out, buf_slice(&e->value)) ? ANSWER_YES : ANSWER_UNKNOWN;
}

enum answer remote_find(struct remote *r, const struct generation *g, const struct conf_table *table, struct slice key,
			struct buf *value_out, char why[REMOTE_WHY_MAX])
{
	char name[NAME_MAX_BYTES];
	size_t len = make_name(name, g, table, key);
	struct entry *e = len == 0 ? NULL : map_find(r->entries, slice_make(name, len));

	why[0] = '\0';
	if (e != NULL && e->answer == ANSWER_PENDING)
		return wait_for(r, e);
	if (e != NULL && (clock_mono_ms() < e->until_ms || e->known_ms > r->began_ms))
		return tell(e, value_out, why);
	if (len > 0 && !may_ask(r, g, table))
		return ANSWER_PENDING; /* for what it waits for already */
	if (e == NULL && len > 0) {
		make_room(r);
		e = entry_new(r, slice_make(name, len), table->backend);
	}
	if (e == NULL) {
		snprintf(why, REMOTE_WHY_MAX, "too many keys are asked for");
		return ANSWER_UNKNOWN;
	}
	ask(e, g->conf, table, key);
	return wait_for(r, e);
}

/* ---- who waits ---- */

struct remote_waiter *remote_wait(struct remote *r, remote_done_fn *done, void *arg)
{
	struct remote_waiter *w = r->pending == NULL || r->pending->answer != ANSWER_PENDING ? NULL : mem_new(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->done = done;
	w->arg = arg;
	LIST_INSERT_HEAD(&r->pending->waiters, w, peers);
	return w;
}

void remote_forget(struct remote_waiter **wp)
{
	struct remote_waiter *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	LIST_REMOVE(w, peers);
	free(w);
}
