#include "relay.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <unistd.h>

/*
 * Transports that trust the same certificates share a context: the system's are a few hundred, and are parsed once.
 */
struct store {
	bool verify;
	const char *ca; /* NULL: the system's; borrowed from the conf */
	struct tls_client *client; /* owned */
};

struct trust {
	struct store *stores; /* owned */
	size_t store_count;
	size_t *store_of; /* owned; by transport */
	size_t transport_count;
};

static struct buf system_pem; /* read before the cage, kept for reloads */

void trust_prepare(void)
{
	system_pem = buf_make(TLS_TRUST_MAX);
	tls_prepare();
	(void)tls_trust_read_system(&system_pem);
}

static bool verifies(const struct conf_transport *t)
{
	return t->tls == TLS_VERIFIED || (t->tls == TLS_IMPLICIT && t->tls_verify);
}

static bool same_ca(const char *a, const char *b)
{
	return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool read_ca(struct service *s, const struct generation *g, const char *path, struct buf *out)
{
	int fd = service_path_fd(s, g->number, slice_of(path));
	char *room;
	ssize_t n = 1;

	while (fd >= 0 && n > 0) {
		room = buf_room(out, 1 << 16);
		n = room == NULL ? -1 : pread(fd, room, 1 << 16, (off_t)out->len);
		if (n > 0)
			buf_grew(out, (size_t)n);
	}
	return fd >= 0 && n == 0;
}

static bool fill(struct service *s, const struct generation *g, struct store *store, char *why, size_t why_size)
{
	struct buf file = buf_make(TLS_TRUST_MAX);
	char tls_why[TLS_WHY_BYTES] = "";
	struct tls_client_config config = {.verify = store->verify};

	if (store->verify)
		config.trust_pem = buf_slice(&system_pem);
	if (store->ca != NULL && !read_ca(s, g, store->ca, &file))
		snprintf(why, why_size, "tls-ca %s cannot be read, or is larger than %u bytes", store->ca,
			 TLS_TRUST_MAX);
	else if (store->verify && store->ca == NULL && system_pem.len == 0)
		snprintf(why, why_size,
			 "a transport verifies TLS, but this system has no trusted certificates: install "
			 "ca-certificates, or write tls-ca");
	else {
		if (store->ca != NULL)
			config.trust_pem = buf_slice(&file);
		store->client = tls_client_new(&config, tls_why);
		if (store->client == NULL)
			snprintf(why, why_size, "tls-ca %s: %s", store->ca == NULL ? "of the system" : store->ca,
				 tls_why);
	}
	buf_free(&file);
	return store->client != NULL;
}

/* The store this transport needs, made if it is the first.  SIZE_MAX: `why`. */
static size_t store_for(struct trust *t, struct service *s, const struct generation *g,
			const struct conf_transport *of, char *why, size_t why_size)
{
	bool verify = verifies(of);
	const char *ca = verify ? of->tls_ca : NULL;
	struct store *store;

	for (size_t i = 0; i < t->store_count; i++)
		if (t->stores[i].verify == verify && same_ca(t->stores[i].ca, ca))
			return i;
	store = &t->stores[t->store_count];
	*store = (struct store){verify, ca, NULL};
	return fill(s, g, store, why, why_size) ? t->store_count++ : SIZE_MAX;
}

struct trust *trust_new(struct service *s, const struct generation *g, char *why, size_t why_size)
{
	size_t count = g->conf->transport_count;
	struct trust *t = mem_new(1, sizeof(*t));

	snprintf(why, why_size, "out of memory");
	if (t == NULL)
		return NULL;
	t->stores = mem_new(count + 1, sizeof(*t->stores));
	t->store_of = mem_new(count + 1, sizeof(*t->store_of));
	if (t->stores == NULL || t->store_of == NULL)
		goto fail;
	for (size_t i = 0; i < count; i++) {
		const struct conf_transport *of = &g->conf->transports[i];

		t->store_of[i] = SIZE_MAX;
		if (conf_transport_is_local(of) || of->tls == TLS_OFF)
			continue;
		t->store_of[i] = store_for(t, s, g, of, why, why_size);
		if (t->store_of[i] == SIZE_MAX)
			goto fail;
	}
	t->transport_count = count;
	return t;
fail:
	trust_free(&t);
	return NULL;
}

void trust_free(struct trust **tp)
{
	struct trust *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->store_count; i++)
		tls_client_free(&t->stores[i].client);
	free(t->stores);
	free(t->store_of);
	free(t);
}

struct tls_client *trust_of(const struct trust *t, const struct conf_transport *transport)
{
	size_t store = t == NULL || transport->index >= t->transport_count ? SIZE_MAX : t->store_of[transport->index];

	return store == SIZE_MAX ? NULL : t->stores[store].client;
}
