/*
 * postern-resolver: all of the suite's DNS.  Answers MX_ASK, HOST_ASK and PTR_ASK; every failure is "not known now".
 */
#include "anchor.h"
#include "dns.h"
#include "lookup.h"

#include "base/log.h"
#include "base/mem.h"
#include "service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/queue.h>
#include <unistd.h>

#define REQUESTS_MAX 2000u
#define REQUEST_MS 20000u /* less than who asks waits */
#define PROBE_MS 5000u
#define PROBE_AGAIN_MS 600000u
#define RESOLV_CONF_MAX 65536u

/*
 *   probing --the root's keys are valid--> validating
 *      '-----no, or not in time----------> plain --probe again, every ten minutes--> validating
 *
 * `dnssec off` starts in plain and stays; `require` starts in validating and stays.  Questions wait while it is probing.
 */
enum mode { MODE_PROBING, MODE_VALIDATING, MODE_PLAIN };

static const char *const mode_names[] = {"probing", "validating", "plain"};

struct request {
	LIST_ENTRY(request) next;
	struct resolver *resolver;
	struct link *link; /* NULL: whoever asked is gone */
	uint64_t number;
	enum ipc_type answer;
	struct lookup *lookup; /* owned */
	struct timer *deadline; /* owned */
	size_t open; /* DNS questions; it is freed when they are answered too */
	bool answered;
};

struct question {
	struct request *request;
	size_t number;
};

struct resolver {
	struct service *service;
	struct buf resolv_conf, anchors; /* owned; read before the cage */
	char resolver_setting[1024], dnssec_setting[16];
	struct dns *validating, *plain; /* owned */
	enum mode mode;
	struct timer *probe_timer;
	unsigned probe; /* counts; an older one's answer means nothing */
	LIST_HEAD(, request) requests;
	size_t count;
};

/* ---- one request ---- */

static void request_free(struct request *q)
{
	struct resolver *r = q->resolver;

	LIST_REMOVE(q, next);
	r->count--;
	lookup_free(&q->lookup);
	timer_free(&q->deadline);
	free(q);
	if (service_is_draining(r->service) && r->count == 0)
		service_stop(r->service);
}

static void say(struct request *q, enum outcome outcome, const char *text, bool secure, struct slice records)
{
	const struct msg_MX_ANSWER mx = {outcome, slice_of(text), secure, records};
	const struct msg_HOST_ANSWER host = {outcome, slice_of(text), secure, records};

	if (q->link == NULL)
		return;
	if (q->answer == IPC_MX_ANSWER)
		link_answer(q->link, q->number, q->answer, &mx, -1);
	else
		link_answer(q->link, q->number, q->answer, &host, -1);
}

static void answer(struct request *q)
{
	struct buf records = buf_make(65000);
	enum outcome outcome = lookup_outcome(q->lookup);

	if (lookup_records(q->lookup, &records) || outcome != OC_DONE)
		say(q, outcome, lookup_text(q->lookup), lookup_is_secure(q->lookup), buf_slice(&records));
	else
		say(q, OC_DNS_UNKNOWN, "too large an answer", false, slice_empty());
	buf_free(&records);
	q->answered = true;
	timer_stop(q->deadline);
}

static void on_dns_answer(const struct rdata *a, bool bogus, void *arg);

static struct dns *dns_in_force(struct resolver *r)
{
	return r->mode == MODE_VALIDATING ? r->validating : r->plain;
}

static bool ask(struct request *q, const struct lookup_query *query, size_t number)
{
	struct question *question = mem_new(1, sizeof(*question));
	struct dns *dns = dns_in_force(q->resolver);

	if (question == NULL)
		return false;
	*question = (struct question){q, number};
	if (dns != NULL && dns_ask(dns, query->name, query->type, on_dns_answer, question)) {
		q->open++;
		return true;
	}
	free(question);
	return false;
}

/* Asks what is to be asked now; may free the request. */
static void go_on(struct request *q)
{
	struct lookup_query query;
	size_t number;

	while (!q->answered && lookup_next(q->lookup, &query, &number))
		if (!ask(q, &query, number))
			lookup_answer(q->lookup, number, NULL);
	if (!q->answered && lookup_is_over(q->lookup))
		answer(q);
	if (q->answered && q->open == 0)
		request_free(q);
}

static void on_dns_answer(const struct rdata *a, bool bogus, void *arg)
{
	struct question *question = arg;
	struct request *q = question->request;

	(void)bogus;
	q->open--;
	if (!q->answered)
		lookup_answer(q->lookup, question->number, a);
	free(question);
	go_on(q);
}

static void on_deadline(void *arg)
{
	struct request *q = arg;

	lookup_give_up(q->lookup);
	answer(q);
	if (q->open == 0)
		request_free(q);
}

static struct request *request_new(struct resolver *r, struct link *link, struct ipc_message *m,
				   enum lookup_kind kind, struct slice subject)
{
	struct request *q = r->count >= REQUESTS_MAX ? NULL : mem_new(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->lookup = lookup_new(kind, subject);
	if (q->lookup == NULL) {
		free(q);
		return NULL;
	}
	q->resolver = r;
	q->link = link;
	q->number = m->request;
	q->answer = ipc_answer_of(m->type);
	q->deadline = timer_new(service_loop(r->service), on_deadline, q);
	LIST_INSERT_HEAD(&r->requests, q, next);
	r->count++;
	return q;
}

static void begin(struct service *s, struct link *link, struct ipc_message *m, enum lookup_kind kind,
		  struct slice subject)
{
	struct resolver *r = service_state(s);
	struct request *q = request_new(r, link, m, kind, subject);
	struct request refused = {.link = link, .number = m->request, .answer = ipc_answer_of(m->type)};

	if (q == NULL) {
		LOG(LEVEL_WARN, "dns-overload", KV_NUM("requests", r->count));
		say(&refused, OC_DNS_UNKNOWN, "too many questions at once", false, slice_empty());
		return;
	}
	timer_set(q->deadline, REQUEST_MS);
	if (r->mode != MODE_PROBING)
		go_on(q);
}

static void on_mx_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	begin(s, link, m, LOOKUP_MX, m->body.MX_ASK.domain);
}

static void on_host_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	begin(s, link, m, LOOKUP_HOST, m->body.HOST_ASK.name);
}

static void on_ptr_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	begin(s, link, m, LOOKUP_PTR, m->body.PTR_ASK.address);
}

static void on_link_down(struct service *s, struct link *link)
{
	struct resolver *r = service_state(s);
	struct request *q;

	LIST_FOREACH (q, &r->requests, next)
		if (q->link == link)
			q->link = NULL;
}

/* ---- validating or not ---- */

static void enter(struct resolver *r, enum mode mode)
{
	struct request *q, *next;

	if (mode != r->mode)
		LOG(LEVEL_INFO, "dnssec-mode", KV_STR("from", mode_names[r->mode]), KV_STR("to", mode_names[mode]));
	r->mode = mode;
	if (mode == MODE_PROBING)
		return;
	for (q = LIST_FIRST(&r->requests); q != NULL; q = next) {
		next = LIST_NEXT(q, next);
		if (q->open == 0 && !q->answered)
			go_on(q);
	}
}

static bool is_auto(const struct resolver *r)
{
	return strcmp(r->dnssec_setting, "auto") == 0;
}

static void give_up_probe(struct resolver *r, const char *why)
{
	if (!is_auto(r)) {
		LOG(LEVEL_ERROR, "dnssec-unusable", KV_STR("why", why),
		    KV_STR("do",
			   "dnssec require is set: until the name servers pass DNSSEC on, every answer is unknown"));
	} else if (r->mode == MODE_PROBING) {
		LOG(LEVEL_WARN, "dnssec-off", KV_STR("why", why),
		    KV_STR("do", "answers are not validated; probing again later"));
		enter(r, MODE_PLAIN);
	}
	timer_set(r->probe_timer, PROBE_AGAIN_MS);
}

struct probe {
	struct resolver *resolver;
	unsigned number;
};

static void on_probed(const struct rdata *a, bool bogus, void *arg)
{
	struct probe *p = arg;
	struct resolver *r = p->resolver;
	bool current = p->number == r->probe;

	free(p);
	if (!current)
		return;
	if (a == NULL || !a->secure) {
		give_up_probe(r,
			      bogus ? "the name servers do not pass DNSSEC on" : "the root's keys cannot be fetched");
		return;
	}
	timer_stop(r->probe_timer);
	LOG_PLAIN(LEVEL_INFO, "dnssec-validating");
	enter(r, MODE_VALIDATING);
}

static void probe(struct resolver *r)
{
	struct probe *p = mem_new(1, sizeof(*p));

	if (p != NULL)
		*p = (struct probe){r, r->probe};
	timer_set(r->probe_timer, r->mode == MODE_PROBING ? PROBE_MS : PROBE_AGAIN_MS);
	if (p == NULL || dns_ask(r->validating, ".", RDATA_DNSKEY, on_probed, p))
		return;
	free(p);
	give_up_probe(r, "the probe cannot be asked");
}

/* In time for the answer, or time for another probe. */
static void on_probe_timer(void *arg)
{
	struct resolver *r = arg;

	if (r->mode == MODE_PROBING)
		give_up_probe(r, "no answer in time");
	else
		probe(r);
}

static struct dns *make(struct resolver *r, const struct setting *setting, struct slice anchors)
{
	const char *why;
	struct dns *d = dns_new(service_loop(r->service), setting, anchors, &why);

	if (d == NULL)
		LOG(LEVEL_ERROR, "resolver-failed", KV_STR("why", why));
	return d;
}

static void log_setting(const struct resolver *r, const struct setting *setting)
{
	struct buf list = buf_make(1024);

	for (size_t i = 0; i < setting->count; i++)
		buf_addf(&list, "%s%s", i > 0 ? " " : "", setting->forwarders[i]);
	LOG(LEVEL_INFO, "resolver-ready", KV_STR("asks", setting->recurse ? "the root" : buf_text(&list)),
	    KV_STR("dnssec", r->dnssec_setting));
	buf_free(&list);
}

static void build(struct resolver *r)
{
	const struct conf_settings *set = &service_conf(r->service)->set;
	struct setting setting;

	slice_copy(slice_of(set->resolver), r->resolver_setting, sizeof(r->resolver_setting));
	slice_copy(slice_of(set->dnssec), r->dnssec_setting, sizeof(r->dnssec_setting));
	setting_read(slice_of(set->resolver), buf_slice(&r->resolv_conf), &setting);
	log_setting(r, &setting);
	dns_retire(&r->validating);
	dns_retire(&r->plain);
	r->probe++;
	timer_stop(r->probe_timer);
	if (strcmp(set->dnssec, "off") != 0)
		r->validating = make(r, &setting, buf_slice(&r->anchors));
	if (strcmp(set->dnssec, "require") != 0)
		r->plain = make(r, &setting, slice_empty());
	if (r->validating == NULL) {
		enter(r, MODE_PLAIN);
		return;
	}
	enter(r, is_auto(r) ? MODE_PROBING : MODE_VALIDATING);
	probe(r);
}

/* ---- the process ---- */

static void read_resolv_conf(struct buf *out)
{
	int fd = open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
	char *room = fd < 0 ? NULL : buf_room(out, RESOLV_CONF_MAX);
	ssize_t n = room == NULL ? -1 : read(fd, room, RESOLV_CONF_MAX);

	if (n > 0)
		buf_grew(out, (size_t)n);
	if (fd >= 0)
		close(fd);
}

static void prepare(struct service *s)
{
	struct resolver *r = mem_new(1, sizeof(*r));

	if (r == NULL)
		log_fatal("resolver", ENOMEM);
	r->service = s;
	r->resolv_conf = buf_make(RESOLV_CONF_MAX);
	r->anchors = buf_make(1 << 16);
	LIST_INIT(&r->requests);
	service_set_state(s, r);
	dns_prepare();
	read_resolv_conf(&r->resolv_conf);
	anchor_read(&r->anchors);
}

static void start(struct service *s)
{
	struct resolver *r = service_state(s);

	r->mode = MODE_PROBING;
	r->probe_timer = timer_new(service_loop(s), on_probe_timer, r);
	build(r);
}

static bool generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	struct resolver *r = service_state(s);
	struct setting setting;

	if (setting_read(slice_of(g->conf->set.resolver), buf_slice(&r->resolv_conf), &setting))
		return true;
	snprintf(why, why_size, "resolver: \"%.200s\" is neither auto, recurse nor forward ADDRESS...",
		 g->conf->set.resolver);
	return false;
}

static void generation_switched(struct service *s)
{
	struct resolver *r = service_state(s);
	const struct conf_settings *set = &service_conf(s)->set;

	if (strcmp(set->resolver, r->resolver_setting) != 0 || strcmp(set->dnssec, r->dnssec_setting) != 0)
		build(r);
}

static void drain(struct service *s, uint64_t deadline_ms)
{
	struct resolver *r = service_state(s);

	(void)deadline_ms; /* no request lives longer than REQUEST_MS */
	if (r->count == 0)
		service_stop(s);
}

static void status(struct service *s, struct buf *out)
{
	const struct resolver *r = service_state(s);

	service_status_number(out, "questions_in_flight", r->count);
	service_status_text(out, "dnssec", mode_names[r->mode]);
}

static const struct cage_spec cage = {
	.calls = CALLS_SOCKETS,
	.chroot = true,
	.takes_fds = true,
	.files_max = 4096,
};

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_MX_ASK] = on_mx_ask,
	[IPC_HOST_ASK] = on_host_ask,
	[IPC_PTR_ASK] = on_ptr_ask,
};

static const struct service_spec spec = {
	.role = ROLE_RESOLVER,
	.cage = &cage,
	.text = &service_text,
	.prepare = prepare,
	.start = start,
	.handlers = handlers,
	.generation_ready = generation_ready,
	.generation_switched = generation_switched,
	.link_down = on_link_down,
	.drain = drain,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
