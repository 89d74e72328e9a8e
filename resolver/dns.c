#include "dns.h"

#include "base/log.h"
#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/queue.h>
/* unbound.h wants the types of the headers above */
#include <unbound.h>
#include <unbound-event.h>

#define RCODE_NXDOMAIN 3
#define CLASS_IN 1
#define SEC_BOGUS 1
#define SEC_SECURE 2

struct query {
	TAILQ_ENTRY(query) next; /* in dns.ready once it is answered */
	struct dns *dns;
	dns_answer_fn *fn;
	void *arg;
	enum rdata_type type;
	bool known, bogus;
	struct rdata answer;
};

struct dns {
	struct ub_ctx *ctx; /* owned */
	struct soon *soon;
	TAILQ_HEAD(, query) ready;
	size_t open;
	bool retired;
};

void dns_prepare(void)
{
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		log_fatal("starting OpenSSL", 0);
}

/* ---- making one ---- */

static const struct {
	const char *name, *value;
} options[] = {
	{"verbosity:", "0"},
	{"use-syslog:", "no"},
	{"do-not-query-localhost:", "no"}, /* a forwarder on this host is what many have */
	{"edns-buffer-size:", "1232"},
	{"msg-cache-size:", "8m"},
	{"rrset-cache-size:", "16m"},
	{"hide-identity:", "yes"},
	{"qname-minimisation:", "yes"},
	/* The root is signed and does not have these: what is served under them here would count as false. */
	{"domain-insecure:", "test."},
	{"domain-insecure:", "internal."},
	{"domain-insecure:", "home.arpa."},
	{"unblock-lan-zones:", "yes"},
	{"insecure-lan-zones:", "yes"},
};

/* libunbound answers for these without asking anybody: a "no" of its own invention that would end in a bounce. */
static const char *const built_in_zones[] = {
	"localhost.",
	"127.in-addr.arpa.",
	"test.",
	"invalid.",
	"onion.",
	"home.arpa.",
	"local.",
	"internal.",
	"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
	"0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.",
	"0.in-addr.arpa.",
	"10.in-addr.arpa.",
	"168.192.in-addr.arpa.",
	"254.169.in-addr.arpa.",
	"2.0.192.in-addr.arpa.",
	"100.51.198.in-addr.arpa.",
	"113.0.203.in-addr.arpa.",
	"255.255.255.255.in-addr.arpa.",
	"d.f.ip6.arpa.",
	"8.e.f.ip6.arpa.",
	"9.e.f.ip6.arpa.",
	"a.e.f.ip6.arpa.",
	"b.e.f.ip6.arpa.",
	"8.b.d.0.1.0.0.2.ip6.arpa.",
};

static bool remove_range(struct ub_ctx *ctx, unsigned from, unsigned to, const char *below)
{
	char zone[40];

	for (unsigned i = from; i <= to; i++) {
		snprintf(zone, sizeof(zone), "%u.%s", i, below);
		if (ub_ctx_zone_remove(ctx, zone) != 0)
			return false;
	}
	return true;
}

static bool remove_built_in_zones(struct ub_ctx *ctx)
{
	for (size_t i = 0; i < ARRAY_LEN(built_in_zones); i++)
		if (ub_ctx_zone_remove(ctx, built_in_zones[i]) != 0)
			return false;
	return remove_range(ctx, 16, 31, "172.in-addr.arpa.") && remove_range(ctx, 64, 127, "100.in-addr.arpa.");
}

static bool add_anchors(struct ub_ctx *ctx, struct slice anchors)
{
	struct slice line;

	while (slice_cut(&anchors, '\n', &line)) {
		char text[2048];

		if (line.len == 0)
			continue;
		if (!slice_copy(line, text, sizeof(text)) || ub_ctx_add_ta(ctx, text) != 0)
			return false;
	}
	return true;
}

static const char *set_up(struct ub_ctx *ctx, const struct setting *setting, struct slice anchors)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (ub_ctx_set_option(ctx, options[i].name, options[i].value) != 0)
			return "libunbound does not know an option";
	for (size_t i = 0; i < setting->count; i++)
		if (ub_ctx_set_fwd(ctx, setting->forwarders[i]) != 0)
			return "libunbound refuses a forwarder";
	if (!add_anchors(ctx, anchors))
		return "libunbound refuses a trust anchor";
	if (!remove_built_in_zones(ctx))
		return "libunbound keeps a built-in zone";
	return NULL;
}

static void on_ready(void *arg);

struct dns *dns_new(struct loop *loop, const struct setting *setting, struct slice anchors, const char **why)
{
	struct dns *d = mem_new(1, sizeof(*d));

	*why = "no memory";
	if (d == NULL)
		return NULL;
	TAILQ_INIT(&d->ready);
	d->ctx = ub_ctx_create_event(loop_base(loop));
	if (d->ctx != NULL)
		*why = set_up(d->ctx, setting, anchors);
	if (*why != NULL) {
		ub_ctx_delete(d->ctx);
		free(d);
		return NULL;
	}
	d->soon = soon_new(loop, on_ready, d);
	return d;
}

/* ---- questions and answers ---- */

static void free_when_done(struct dns *d)
{
	if (!d->retired || d->open > 0)
		return;
	ub_ctx_delete(d->ctx);
	soon_free(&d->soon);
	free(d);
}

void dns_retire(struct dns **dp)
{
	struct dns *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	d->retired = true;
	/* Never from inside one of libunbound's callbacks: on_ready frees it after the last answer. */
	soon_call(d->soon);
}

size_t dns_open_queries(const struct dns *d)
{
	return d->open;
}

static void on_ready(void *arg)
{
	struct dns *d = arg;
	struct query *q;

	while ((q = TAILQ_FIRST(&d->ready)) != NULL) {
		TAILQ_REMOVE(&d->ready, q, next);
		q->fn(q->known ? &q->answer : NULL, q->bogus, q->arg);
		free(q);
		d->open--;
	}
	free_when_done(d);
}

/* The one place that judges an answer. */
static void on_resolved(void *arg, int rcode, void *packet, int packet_len, int sec, char *why_bogus,
			int was_ratelimited)
{
	struct query *q = arg;
	struct slice bytes =
		packet == NULL || packet_len <= 0 ? slice_empty() : slice_make(packet, (size_t)packet_len);

	q->bogus = sec == SEC_BOGUS;
	if (q->bogus)
		LOG(LEVEL_WARN, "dns-bogus", KV_STR("why", why_bogus == NULL ? "" : why_bogus));
	/* A name that does not exist comes with either response code, and with its packet. */
	q->known = (rcode == 0 || rcode == RCODE_NXDOMAIN) && rdata_read(bytes, q->type, &q->answer);
	q->known = q->known && !q->bogus && was_ratelimited == 0;
	q->answer.secure = sec == SEC_SECURE;
	TAILQ_INSERT_TAIL(&q->dns->ready, q, next);
	soon_call(q->dns->soon);
}

bool dns_ask(struct dns *d, const char *name, enum rdata_type type, dns_answer_fn *fn, void *arg)
{
	struct query *q = d->open >= DNS_QUERIES_MAX ? NULL : mem_new(1, sizeof(*q));

	if (q == NULL)
		return false;
	q->dns = d;
	q->fn = fn;
	q->arg = arg;
	q->type = type;
	d->open++;
	if (ub_resolve_event(d->ctx, name, (int)type, CLASS_IN, q, on_resolved, NULL) == 0)
		return true;
	d->open--;
	free(q);
	return false;
}
