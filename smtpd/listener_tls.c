#include "base/log.h"
#include "base/mem.h"
#include "service/service.h"
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What this process makes of a generation: the certificates, read once, and for each listener what it allows in TLS. */

struct tls_server *smtpd_generation_tls(const struct generation *g, uint64_t listener)
{
	const struct smtpd_generation *state = g->state;

	return state != NULL && listener < state->count ? state->tls[listener] : NULL;
}

/* The descriptor is shared with others: never by its own offset. */
static bool read_file(int fd, struct buf *out)
{
	for (;;) {
		char *room = buf_room(out, 4096);
		ssize_t n = room == NULL ? -1 : pread(fd, room, 4096, (off_t)out->len);

		if (n == -1 && room != NULL && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		buf_grew(out, (size_t)n);
	}
}

/* ---- certificates ---- */

struct reading {
	struct service *service;
	const struct generation *generation;
	struct tls_certificate **certificates; /* owned while reading */
	char *why;
	size_t why_size;
};

static bool read_certificate(struct reading *r, size_t i)
{
	const struct conf_certificate *one = &r->generation->conf->certificates[i];
	struct buf chain = buf_make(TLS_CHAIN_MAX);
	char reason[TLS_WHY_BYTES] = "it cannot be read";

	if (read_file(service_path_fd(r->service, r->generation->number, slice_of(one->chain)), &chain))
		r->certificates[i] = tls_certificate_new(buf_slice(&chain), i, reason);
	if (r->certificates[i] == NULL)
		snprintf(r->why, r->why_size, "certificate %s: %s", one->chain, reason);
	buf_free(&chain);
	return r->certificates[i] != NULL;
}

/* ---- listeners ---- */

static struct tls_host host_of(const struct reading *r, size_t i)
{
	const struct conf *conf = r->generation->conf;
	size_t other = conf_other_certificate(conf, i);

	return (struct tls_host){conf->certificates[i].name, r->certificates[i], other == i ? NULL : r->certificates[other]};
}

/* Those it may use, its default first. */
static size_t hosts_of(const struct reading *r, size_t listener, struct tls_host *hosts)
{
	const struct conf *conf = r->generation->conf;
	size_t first = conf_default_certificate(conf, listener), count = 0;

	hosts[count++] = host_of(r, first);
	for (size_t i = 0; i < conf->certificate_count; i++)
		if (i != first && conf_other_certificate(conf, i) >= i && conf_may_use_certificate(conf, listener, i))
			hosts[count++] = host_of(r, i);
	return count;
}

static struct tls_server *make_server(const struct reading *r, size_t listener, struct tls_host *hosts, struct slice client_ca,
				      char why[TLS_WHY_BYTES])
{
	static const enum tls_client_certificate asks[] = {
		[CLIENT_CERTIFICATE_OFF] = TLS_CLIENT_OFF,
		[CLIENT_CERTIFICATE_ASK] = TLS_CLIENT_ASK,
		[CLIENT_CERTIFICATE_REQUIRE] = TLS_CLIENT_REQUIRE,
	};
	const struct conf_listener *l = &r->generation->conf->listeners[listener];
	const struct tls_server_config config = {
		.hosts = hosts,
		.host_count = hosts_of(r, listener, hosts),
		.listener = l->name,
		.tickets = l->isolation == ISOLATION_SHARED,
		.only_known_hosts = l->tls_known_hosts,
		.only_tls13 = l->tls_minimum == TLS_1_3,
		.ciphers = l->tls_ciphers,
		.client_certificate = asks[l->client_certificate],
		.client_trust_pem = client_ca,
	};

	return tls_server_new(&config, why);
}

static bool make_listener(struct reading *r, size_t listener, struct tls_server **out)
{
	const struct conf *conf = r->generation->conf;
	const struct conf_listener *l = &conf->listeners[listener];
	struct tls_host *hosts = mem_new(conf->certificate_count, sizeof(*hosts));
	struct buf client_ca = buf_make(TLS_TRUST_MAX);
	char reason[TLS_WHY_BYTES] = "client-ca cannot be read";

	if (hosts == NULL)
		log_fatal("listener", ENOMEM);
	if (l->client_ca == NULL ||
	    read_file(service_path_fd(r->service, r->generation->number, slice_of(l->client_ca)), &client_ca))
		*out = make_server(r, listener, hosts, buf_slice(&client_ca), reason);
	if (*out == NULL)
		snprintf(r->why, r->why_size, "listener %s: %s", l->name, reason);
	buf_free(&client_ca);
	free(hosts);
	return *out != NULL;
}

static bool make_all(struct reading *r, struct smtpd_generation *state)
{
	const struct conf *conf = r->generation->conf;
	bool good = true;

	for (size_t i = 0; good && i < conf->certificate_count; i++)
		good = read_certificate(r, i);
	for (size_t i = 0; good && i < conf->listener_count; i++)
		good = conf->listeners[i].tls == TLS_OFF || make_listener(r, i, &state->tls[i]);
	return good;
}

bool smtpd_generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	const struct conf *conf = g->conf;
	struct smtpd_generation *state = mem_new(1, sizeof(*state) + conf->listener_count * sizeof(state->tls[0]));
	struct reading r = {s, g, mem_new(conf->certificate_count + 1, sizeof(*r.certificates)), why, why_size};
	bool good;

	if (state == NULL || r.certificates == NULL)
		log_fatal("generation", ENOMEM);
	state->count = conf->listener_count;
	g->state = state;
	good = make_all(&r, state);
	for (size_t i = 0; i < conf->certificate_count; i++)
		tls_certificate_free(&r.certificates[i]); /* the listeners hold them */
	free(r.certificates);
	return good;
}

void smtpd_generation_free(struct service *s, struct generation *g)
{
	struct smtpd_generation *state = g->state;

	(void)s;
	for (size_t i = 0; state != NULL && i < state->count; i++)
		tls_server_free(&state->tls[i]);
	free(state);
	g->state = NULL;
}
