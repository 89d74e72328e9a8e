#include "keyd_generation.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct pair {
	struct keyd_key *key; /* owned */
	struct keyd_certificate *certificate; /* owned */
	bool is_new; /* not the one that was in force when it was read */
};

struct keys {
	size_t count;
	struct pair pairs[];
};

static const struct keys *keys_of(const struct generation *g)
{
	return g->state;
}

static const char *host_of(const struct generation *g, size_t i)
{
	const char *name = g->conf->certificates[i].name;

	return name == NULL ? g->conf->set.hostname : name;
}

/* ---- reading ---- */

static bool read_file(int fd, struct buf *out)
{
	ssize_t n;
	char *room;

	do {
		room = buf_room(out, 16384);
		n = room == NULL ? -1 : pread(fd, room, 16384, (off_t)out->len);
		if (n > 0)
			buf_grew(out, (size_t)n);
	} while (n > 0 || (n == -1 && room != NULL && errno == EINTR));
	return n == 0;
}

static bool read_certificate(struct service *s, const struct generation *g, size_t i, struct pair *pair,
			     char why[KEYD_WHY_BYTES])
{
	int fd = service_path_fd(s, g->number, slice_of(g->conf->certificates[i].chain));
	struct buf chain = buf_make(KEYD_CHAIN_FILE_MAX + 16384);

	snprintf(why, KEYD_WHY_BYTES, "the certificate cannot be read");
	if (fd != -1 && read_file(fd, &chain))
		pair->certificate = keyd_certificate_read(buf_slice(&chain), why);
	buf_free(&chain);
	return pair->certificate != NULL;
}

static bool read_key(struct service *s, const struct generation *g, size_t i, struct pair *pair, char why[KEYD_WHY_BYTES])
{
	int fd = service_path_fd(s, g->number, slice_of(g->conf->certificates[i].key));

	if (fd == -1)
		snprintf(why, KEYD_WHY_BYTES, "the private key was not handed over");
	else
		pair->key = keyd_key_read(fd, why);
	return pair->key != NULL;
}

/* ---- may it take the place of what is in force? ---- */

static bool same_name(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool same_kind(const struct pair *a, const struct pair *b)
{
	return keyd_key_kind(a->key)->is_ec == keyd_key_kind(b->key)->is_ec;
}

/* The pair for the same host in the generation in force, with a key of the same kind where it has one; NULL: a start, or a new
 * host. */
static const struct pair *in_force(struct service *s, const struct generation *g, size_t i, const struct pair *next)
{
	const struct generation *now = service_generation(s);
	const struct keys *keys = now == g ? NULL : keys_of(now);
	const struct pair *found = NULL;

	for (size_t k = 0; keys != NULL && k < keys->count; k++)
		if (same_name(now->conf->certificates[k].name, g->conf->certificates[i].name) &&
		    (found == NULL || same_kind(&keys->pairs[k], next)))
			found = &keys->pairs[k];
	return found;
}

static bool is_in_date(const struct pair *p)
{
	char why[KEYD_WHY_BYTES];

	return keyd_certificate_match(p->certificate, p->key, clock_wall_s(), why) == KEYD_MATCHES;
}

static bool check_date(const struct generation *g, size_t i, const struct pair *next, const struct pair *old, char *why)
{
	switch (keyd_certificate_match(next->certificate, next->key, clock_wall_s(), why)) {
	case KEYD_MATCHES:
		return true;
	case KEYD_NO_MATCH:
		return false;
	case KEYD_OUT_OF_DATE:
		break;
	}
	if (old != NULL && is_in_date(old))
		return false;
	LOG(LEVEL_ERROR, "certificate-out-of-date", KV_STR("host", host_of(g, i)),
	    KV_STR("file", g->conf->certificates[i].chain), KV_STR("why", why));
	return true;
}

static bool same_file(struct service *s, const struct generation *g, size_t i)
{
	const struct generation *now = service_generation(s);

	for (size_t k = 0; k < now->conf->certificate_count; k++)
		if (strcmp(now->conf->certificates[k].chain, g->conf->certificates[i].chain) == 0)
			return true;
	return false;
}

/* It is for its host.  Else the default at least for all that the one before it was for, where it is a renewal of that one; a host
 * that the configuration names has no such way out. */
static bool check_names(struct service *s, const struct generation *g, size_t i, const struct pair *next, const struct pair *old,
			char *why)
{
	const struct conf_certificate *one = &g->conf->certificates[i];
	const char *lacks = old == NULL ? NULL : keyd_certificate_lacks(next->certificate, old->certificate);

	if (keyd_certificate_is_for(next->certificate, host_of(g, i)))
		return true;
	if (old != NULL && (one->name != NULL || (lacks != NULL && same_file(s, g, i)))) {
		snprintf(why, KEYD_WHY_BYTES,
			 "the certificate is not for %.64s, %s; if that is meant, restart", one->name != NULL ? one->name : lacks,
			 one->name != NULL ? "as its host says" : "as the one in force is");
		return false;
	}
	if (next->is_new)
		LOG(LEVEL_WARN, "certificate-for-others", KV_STR("host", host_of(g, i)), KV_STR("file", one->chain));
	return true;
}

static bool make_pair(struct service *s, struct generation *g, size_t i, struct pair *pair, char why[KEYD_WHY_BYTES])
{
	const struct pair *old;

	if (!read_certificate(s, g, i, pair, why) || !read_key(s, g, i, pair, why))
		return false;
	old = in_force(s, g, i, pair);
	pair->is_new = old == NULL || strcmp(keyd_certificate_fingerprint(old->certificate),
					     keyd_certificate_fingerprint(pair->certificate)) != 0;
	return check_date(g, i, pair, old, why) && check_names(s, g, i, pair, old, why);
}

/* Of one host, which shows a client the one that it can verify. */
static bool kinds_differ(const struct generation *g, size_t i, const struct keys *keys, char why[KEYD_WHY_BYTES])
{
	size_t other = conf_other_certificate(g->conf, i);

	if (other >= i || !same_kind(&keys->pairs[other], &keys->pairs[i]))
		return true;
	snprintf(why, KEYD_WHY_BYTES, "another certificate of %.64s has an %s key, too; one of the two must have an %s key", host_of(g, i),
		 keyd_key_kind_name(keys->pairs[i].key), keyd_key_kind(keys->pairs[i].key)->is_ec ? "RSA" : "ECDSA");
	return false;
}

static void keys_free(struct keys *keys)
{
	if (keys == NULL)
		return;
	for (size_t i = 0; i < keys->count; i++) {
		keyd_key_free(&keys->pairs[i].key);
		keyd_certificate_free(&keys->pairs[i].certificate);
	}
	free(keys);
}

bool keyd_generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	size_t count = g->conf->certificate_count;
	struct keys *keys = mem_new(1, sizeof(*keys) + count * sizeof(keys->pairs[0]));
	char reason[KEYD_WHY_BYTES] = "";

	if (keys == NULL)
		log_fatal("keys", ENOMEM);
	keys->count = count;
	for (size_t i = 0; i < count; i++) {
		const struct conf_certificate *one = &g->conf->certificates[i];

		if (make_pair(s, g, i, &keys->pairs[i], reason) && kinds_differ(g, i, keys, reason))
			continue;
		snprintf(why, why_size, "tls (certificate %s, key %s): %s", one->chain, one->key, reason);
		keys_free(keys);
		return false;
	}
	g->state = keys;
	return true;
}

void keyd_generation_free(struct service *s, struct generation *g)
{
	(void)s;
	keys_free(g->state);
	g->state = NULL;
}

/* ---- what people hear of it ---- */

void keyd_generation_note(struct service *s, const struct generation *g, struct buf *out)
{
	const struct keys *keys = keys_of(g);
	char date[KEYD_DATE_BYTES];

	for (size_t i = 0; i < keys->count; i++) {
		if (!keys->pairs[i].is_new || service_generation(s) == g)
			continue;
		keyd_certificate_end_date(keys->pairs[i].certificate, date);
		(void)buf_addf(out, "certificate of %s until %s (%s)\n", host_of(g, i), date, g->conf->certificates[i].chain);
	}
}

void keyd_generation_switched(struct service *s)
{
	const struct generation *g = service_generation(s);
	const struct keys *keys = keys_of(g);
	char date[KEYD_DATE_BYTES];

	for (size_t i = 0; i < keys->count; i++) {
		if (!keys->pairs[i].is_new)
			continue;
		keyd_certificate_end_date(keys->pairs[i].certificate, date);
		LOG(LEVEL_INFO, "certificate-in-force", KV_STR("host", host_of(g, i)), KV_STR("until", date),
		    KV_STR("key", keyd_key_kind_name(keys->pairs[i].key)),
		    KV_STR("fingerprint", keyd_certificate_fingerprint(keys->pairs[i].certificate)),
		    KV_STR("file", g->conf->certificates[i].chain));
	}
	keyd_generation_look(s);
}

void keyd_generation_look(struct service *s)
{
	const struct generation *g = service_generation(s);
	const struct keys *keys = keys_of(g);
	int64_t now_s = clock_wall_s();
	char why[KEYD_WHY_BYTES];

	for (size_t i = 0; i < keys->count; i++) {
		const struct pair *p = &keys->pairs[i];
		const char *file = g->conf->certificates[i].chain;
		int64_t left_s = keyd_certificate_left_s(p->certificate, now_s);

		if (keyd_certificate_match(p->certificate, p->key, now_s, why) == KEYD_OUT_OF_DATE)
			LOG(LEVEL_ERROR, "certificate-out-of-date", KV_STR("host", host_of(g, i)), KV_STR("file", file),
			    KV_STR("why", why));
		else if (keyd_certificate_ends_soon(p->certificate, now_s))
			LOG(LEVEL_WARN, "certificate-ends-soon", KV_STR("host", host_of(g, i)), KV_STR("file", file),
			    KV_NUM("hours", left_s / 3600));
	}
}

const char *keyd_generation_state(const struct generation *g)
{
	static const char *const states[] = {"good", "ends-soon", "out-of-date"};
	const struct keys *keys = keys_of(g);
	size_t worst = 0;

	if (keys == NULL || keys->count == 0)
		return "none";
	for (size_t i = 0; i < keys->count; i++) {
		size_t state = keyd_certificate_ends_soon(keys->pairs[i].certificate, clock_wall_s()) ? 1 : 0;

		if (!is_in_date(&keys->pairs[i]))
			state = 2;
		worst = state > worst ? state : worst;
	}
	return states[worst];
}

/* ---- who may use which ---- */

struct keyd_key *keyd_generation_key(const struct generation *g, uint64_t number)
{
	const struct keys *keys = keys_of(g);

	return keys != NULL && number < keys->count ? keys->pairs[number].key : NULL;
}

const struct keyd_kind *keyd_generation_kind(void *generation, uint64_t listener, uint64_t number, void *arg)
{
	const struct generation *g = generation;
	const struct keyd_key *key = keyd_generation_key(g, number);

	(void)arg;
	return key != NULL && conf_may_use_certificate(g->conf, listener, number) ? keyd_key_kind(key) : NULL;
}
