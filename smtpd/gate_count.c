#include "gate_count.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>

#define KEYS_MAX 2100000u /* a host and a network for each of a million sessions */

struct gate_counts {
	struct map *keys; /* host or network -> number of sessions, as a pointer's value */
	uint64_t all;
};

static void set_key(char *key, uint8_t *len, char kind, const uint8_t *bytes, size_t count)
{
	key[0] = kind;
	memcpy(key + 1, bytes, count);
	*len = (uint8_t)(count + 1);
}

struct gate_origin gate_origin_of_address(const struct in6_addr *address)
{
	struct gate_origin from = {.host_len = 0};
	const uint8_t *bytes = address->s6_addr;

	if (IN6_IS_ADDR_V4MAPPED(address)) {
		set_key(from.host, &from.host_len, '4', bytes + 12, 4);
		set_key(from.net, &from.net_len, 'n', bytes + 12, 3);
	} else {
		set_key(from.host, &from.host_len, '6', bytes, 8);
		set_key(from.net, &from.net_len, 'm', bytes, 6);
	}
	return from;
}

struct gate_origin gate_origin_of_uid(uint32_t uid)
{
	struct gate_origin from = {.host_len = 0};

	set_key(from.host, &from.host_len, 'u', (const uint8_t *)&uid, sizeof(uid));
	return from;
}

bool gate_address_text(const struct in6_addr *address, char out[64])
{
	if (IN6_IS_ADDR_V4MAPPED(address))
		return inet_ntop(AF_INET, address->s6_addr + 12, out, 64) != NULL;
	return inet_ntop(AF_INET6, address, out, 64) != NULL;
}

struct gate_counts *gate_counts_new(void)
{
	struct gate_counts *c = mem_new(1, sizeof(*c));

	if (c != NULL)
		c->keys = map_new(KEYS_MAX);
	if (c == NULL || c->keys == NULL)
		log_fatal("session counts", ENOMEM);
	return c;
}

void gate_counts_free(struct gate_counts **cp)
{
	struct gate_counts *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	map_free(&c->keys);
	free(c);
}

static struct slice host_of(const struct gate_origin *from)
{
	return slice_make(from->host, from->host_len);
}

static struct slice net_of(const struct gate_origin *from)
{
	return slice_make(from->net, from->net_len);
}

static uint64_t count_of(const struct gate_counts *c, struct slice key)
{
	return key.len == 0 ? 0 : (uintptr_t)map_find(c->keys, key);
}

static bool add_one(struct gate_counts *c, struct slice key)
{
	return key.len == 0 || map_put(c->keys, key, (void *)(uintptr_t)(count_of(c, key) + 1));
}

static void take_one(struct gate_counts *c, struct slice key)
{
	uint64_t count = count_of(c, key);

	if (count > 1)
		(void)map_put(c->keys, key, (void *)(uintptr_t)(count - 1)); /* it is there: replacing needs no memory */
	else if (count == 1)
		(void)map_take(c->keys, key);
}

enum gate_verdict gate_counts_enter(struct gate_counts *c, const struct gate_origin *from, const struct gate_limits *limits)
{
	if (c->all >= limits->all)
		return GATE_TOO_MANY;
	if (count_of(c, host_of(from)) >= limits->host)
		return GATE_TOO_MANY_OF_HOST;
	if (count_of(c, net_of(from)) >= limits->net)
		return GATE_TOO_MANY_OF_NET;
	if (!add_one(c, host_of(from)))
		return GATE_BUSY;
	if (!add_one(c, net_of(from))) {
		take_one(c, host_of(from));
		return GATE_BUSY;
	}
	c->all++;
	return GATE_ADMIT;
}

void gate_counts_leave(struct gate_counts *c, const struct gate_origin *from)
{
	MUST(c->all > 0);
	c->all--;
	take_one(c, host_of(from));
	take_one(c, net_of(from));
}

uint64_t gate_counts_all(const struct gate_counts *c)
{
	return c->all;
}

uint64_t gate_counts_remembered(const struct gate_counts *c)
{
	return map_count(c->keys);
}
