#include "full.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

struct entry {
	uint64_t until_ms;
	struct quota_limit limit;
};

struct full {
	struct map *entries; /* "transport nexthop" -> struct entry, owned */
};

struct full *full_new(void)
{
	struct full *f = mem_new(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->entries = map_new(FULL_MAX);
	if (f->entries == NULL) {
		free(f);
		return NULL;
	}
	return f;
}

static bool drop_entry(struct slice key, void *value, void *arg)
{
	(void)key;
	(void)arg;
	free(value);
	return true;
}

void full_free(struct full **fp)
{
	struct full *f = *fp;

	*fp = NULL;
	if (f == NULL)
		return;
	map_each(f->entries, drop_entry, NULL);
	map_free(&f->entries);
	free(f);
}

static struct slice key_of(struct slice transport, struct slice nexthop, struct buf *key)
{
	buf_add_slice(key, transport);
	buf_add_char(key, ' ');
	buf_add_slice(key, nexthop);
	return buf_slice(key);
}

/* With no room all is forgotten: the next deliveries tell again. */
static void add(struct full *f, struct slice key, const struct entry *entry)
{
	struct entry *e = map_find(f->entries, key);

	if (e != NULL) {
		*e = *entry;
		return;
	}
	if (map_count(f->entries) >= FULL_MAX) {
		map_each(f->entries, drop_entry, NULL);
		map_free(&f->entries);
		f->entries = map_new(FULL_MAX);
		if (f->entries == NULL)
			abort();
	}
	e = mem_new(1, sizeof(*e));
	if (e == NULL)
		return;
	*e = *entry;
	if (!map_put(f->entries, key, e))
		free(e);
}

void full_tell(struct full *f, const struct full_mailbox *mailbox, bool is_full, uint64_t now_ms)
{
	struct buf key = buf_make(1024);
	struct slice name = key_of(mailbox->transport, mailbox->nexthop, &key);

	if (buf_ok(&key) && is_full)
		add(f, name, &(struct entry){now_ms + FULL_MS, mailbox->limit});
	else if (buf_ok(&key))
		free(map_take(f->entries, name));
	buf_free(&key);
}

bool full_has(const struct full *f, struct slice transport, struct slice nexthop, uint64_t now_ms, struct quota_limit *limit_out)
{
	struct buf key = buf_make(1024);
	const struct entry *e = map_find(f->entries, key_of(transport, nexthop, &key));

	buf_free(&key);
	if (e == NULL || e->until_ms <= now_ms)
		return false;
	*limit_out = e->limit;
	return true;
}
