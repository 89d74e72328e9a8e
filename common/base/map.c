#include "base/map.h"

#include "base/mem.h"

/*
 * Chains in a table that doubles.  Always: every entry is in the chain of its hash; `count` is their number.
 */
struct entry {
	struct entry *next; /* owned */
	void *value;
	uint64_t hash;
	size_t len;
	char key[];
};

struct map {
	struct entry **slots; /* owned; `mask` + 1 of them */
	size_t mask;
	size_t count;
	size_t max;
	uint64_t secret[2];
};

static uint64_t turn(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = turn(v[1], 13) ^ v[0];
	v[3] = turn(v[3], 16) ^ v[2];
	v[0] = turn(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = turn(v[1], 17) ^ v[2];
	v[3] = turn(v[3], 21) ^ v[0];
	v[2] = turn(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein). */
static uint64_t sip_hash(const uint64_t secret[2], struct slice s)
{
	uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
			 secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u};
	uint64_t word;
	size_t at = 0;

	for (; s.len - at >= 8; at += 8) {
		memcpy(&word, s.at + at, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)s.len << 56;
	for (int i = 0; at < s.len; at++, i += 8)
		word |= (uint64_t)(unsigned char)s.at[at] << i;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(size_t max_entries)
{
	struct map *m = mem_new(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->mask = 15;
	m->max = max_entries;
	m->slots = mem_new(m->mask + 1, sizeof(struct entry *));
	if (m->slots == NULL) {
		free(m);
		return NULL;
	}
	mem_random(m->secret, sizeof(m->secret));
	return m;
}

void map_free(struct map **mp)
{
	struct map *m = *mp;

	if (m == NULL)
		return;
	*mp = NULL;
	for (size_t i = 0; i <= m->mask; i++) {
		while (m->slots[i] != NULL) {
			struct entry *e = m->slots[i];

			m->slots[i] = e->next;
			free(e);
		}
	}
	free(m->slots);
	free(m);
}

size_t map_count(const struct map *m)
{
	return m->count;
}

static struct entry **find_slot(const struct map *m, struct slice key, uint64_t hash)
{
	struct entry **at = &m->slots[hash & m->mask];

	while (*at != NULL && !((*at)->hash == hash && (*at)->len == key.len &&
				memcmp((*at)->key, key.at, key.len) == 0))
		at = &(*at)->next;
	return at;
}

/* Without memory the chains grow longer instead; nothing is lost. */
static void widen(struct map *m)
{
	size_t mask = m->mask * 2 + 1;
	struct entry **slots = mem_new(mask + 1, sizeof(struct entry *));

	if (slots == NULL)
		return;
	for (size_t i = 0; i <= m->mask; i++) {
		while (m->slots[i] != NULL) {
			struct entry *e = m->slots[i];

			m->slots[i] = e->next;
			e->next = slots[e->hash & mask];
			slots[e->hash & mask] = e;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->mask = mask;
}

void *map_find(const struct map *m, struct slice key)
{
	struct entry *e = *find_slot(m, key, sip_hash(m->secret, key));

	return e == NULL ? NULL : e->value;
}

bool map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = sip_hash(m->secret, key);
	struct entry **at = find_slot(m, key, hash);
	struct entry *e;

	if (*at != NULL) {
		(*at)->value = value;
		return true;
	}
	if (m->count >= m->max)
		return false;
	e = malloc(sizeof(*e) + key.len);
	if (e == NULL)
		return false;
	e->next = NULL;
	e->value = value;
	e->hash = hash;
	e->len = key.len;
	memcpy(e->key, key.at, key.len);
	*at = e;
	if (++m->count > m->mask)
		widen(m);
	return true;
}

void *map_take(struct map *m, struct slice key)
{
	struct entry **at = find_slot(m, key, sip_hash(m->secret, key));
	struct entry *e = *at;
	void *value;

	if (e == NULL)
		return NULL;
	value = e->value;
	*at = e->next;
	free(e);
	m->count--;
	return value;
}

static struct slice number_key(const uint64_t *key)
{
	return slice_make((const char *)key, sizeof(*key));
}

void *map_find_u64(const struct map *m, uint64_t key)
{
	return map_find(m, number_key(&key));
}

bool map_put_u64(struct map *m, uint64_t key, void *value)
{
	return map_put(m, number_key(&key), value);
}

void *map_take_u64(struct map *m, uint64_t key)
{
	return map_take(m, number_key(&key));
}

void map_each(struct map *m, bool (*fn)(struct slice key, void *value, void *arg), void *arg)
{
	for (size_t i = 0; i <= m->mask; i++) {
		struct entry *e = m->slots[i];

		while (e != NULL) {
			struct entry *next = e->next;

			if (!fn(slice_make(e->key, e->len), e->value, arg))
				return;
			e = next;
		}
	}
}
