#include "relay.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/net.h"

#include <inttypes.h>
#include <stdio.h>

/*
 *   finding --hosts--> dialling --descriptor--> open --ready, no job--> idle --job--> open
 *      |                 ^    '---failed---.      |                      '--5 s, QUIT--> ended
 *      |                 '--the next host--'<-----'  (before it was ready)
 *      '--none--> ended                           '--closed--> ended
 */
#define ANSWER_SLACK_MS 5000u

static const char *const state_names[] = {"finding", "dialling", "open", "idle"};

void conn_enter(struct conn *c, enum conn_state next)
{
	LOG(LEVEL_DEBUG, "connection-state", KV_STR("host", c->label), KV_STR("from", state_names[c->state]),
	    KV_STR("to", state_names[next]));
	c->state = next;
	c->entered = true;
}

/* ---- questions to other processes ---- */

struct conn_ask {
	struct conn *conn; /* NULL: it ended meanwhile */
	void (*fn)(struct conn *c, struct ipc_message *m);
};

static void on_answer(struct ipc_message *m, void *arg)
{
	struct conn_ask *ask = arg;
	struct conn *c = ask->conn;
	void (*fn)(struct conn *, struct ipc_message *) = ask->fn;

	free(ask);
	if (c == NULL)
		return;
	c->asked = NULL;
	fn(c, m);
}

void conn_forget(struct conn *c)
{
	if (c->asked != NULL)
		c->asked->conn = NULL;
	c->asked = NULL;
}

static void ask(struct conn *c, enum role role, enum ipc_type type, const void *body, uint64_t timeout_ms,
		void (*fn)(struct conn *c, struct ipc_message *m))
{
	conn_forget(c);
	c->asked = mem_new(1, sizeof(*c->asked));
	if (c->asked == NULL)
		log_fatal("question", 0);
	*c->asked = (struct conn_ask){c, fn};
	service_ask(c->relay->service, role, type, body, timeout_ms, on_answer, c->asked);
}

/* ---- the end ---- */

static void conn_free(struct conn *c)
{
	struct relay *r = c->relay;

	LIST_REMOVE(c, all);
	LIST_REMOVE(c, peers);
	c->destination->conn_count--;
	r->conn_count--;
	io_close(c);
	generation_release(r->service, &c->generation);
	free(c);
	relay_stop_if_done(r);
}

static void end_job(struct conn *c, const struct client_verdict *failure, const char *host)
{
	const struct hosts_one *one = &c->hosts.list[c->host < c->hosts.count ? c->host : 0];

	if (c->job == NULL)
		return;
	job_finish(&c->job, &(struct job_end){failure, one->name, host, c->tls_text});
}

/* No host could be reached: its job and, unless others are up, all that wait have the same fate. */
static void give_up(struct conn *c)
{
	struct destination *d = c->destination;
	const struct client_verdict failure = c->failure;
	char host[sizeof(c->failed_host)];

	memcpy(host, c->failed_host, sizeof(host));
	LOG(LEVEL_INFO, "destination-failed", KV_TEXT("destination", d->key), KV_STR("host", host),
	    KV_STR("outcome", outcome_info(failure.outcome)->name), KV_STR("text", failure.reply.text));
	end_job(c, &failure, host);
	conn_free(c);
	pool_conn_ended(d, &failure, host);
}

/* Keeps what is told in the end: the best host's failure, but a permanent one only where every host's was. */
static void note_failure(struct conn *c, const struct client_verdict *v)
{
	bool replaces = !c->failure.decided ||
			(outcome_kind(c->failure.outcome) == KIND_PERM && outcome_kind(v->outcome) == KIND_TEMP);

	LOG(LEVEL_INFO, "host-failed", KV_STR("host", c->label), KV_STR("outcome", outcome_info(v->outcome)->name),
	    KV_NUM("code", v->reply.code), KV_STR("text", v->reply.text), KV_STR("phase", v->phase));
	if (!replaces)
		return;
	c->failure = *v;
	memcpy(c->failed_host, c->label, sizeof(c->failed_host));
}

static void note(struct conn *c, enum outcome outcome, const char *phase, const char *why)
{
	struct client_verdict v = {.decided = true, .outcome = outcome, .phase = phase};

	reply_sanitise(slice_of(why), v.reply.text, sizeof(v.reply.text));
	note_failure(c, &v);
}

void conn_drop(struct conn *c)
{
	struct destination *d = c->destination;

	if (c->job != NULL)
		job_free(&c->job);
	conn_free(c);
	pool_conn_ended(d, NULL, "");
}

/* ---- dialling ---- */

static void dial(struct conn *c);

static void try_next(struct conn *c)
{
	c->host++;
	c->without_tls = c->whole_handshake = false;
	if (c->host < c->hosts.count && !service_is_draining(c->relay->service))
		dial(c);
	else
		give_up(c);
}

static void on_dialled(struct conn *c, struct ipc_message *m)
{
	char why[256] = "no answer from postern-dial";
	enum outcome outcome = OC_CONNECT_FAILED;
	int fd;

	if (m != NULL) {
		outcome = m->body.DIALLED.outcome;
		slice_copy(slice_sub(m->body.DIALLED.text, 0, sizeof(why) - 1), why, sizeof(why));
	}
	if (m == NULL || outcome != OC_DONE || m->fd < 0) {
		/* Whatever dial says, that it made no connection is temporary. */
		note(c, outcome_kind(outcome) == KIND_TEMP ? outcome : OC_CONNECT_FAILED, "connect", why);
		try_next(c);
		return;
	}
	fd = m->fd;
	m->fd = -1;
	conn_enter(c, CONN_OPEN);
	if (!io_open(c, fd)) {
		note(c, OC_NO_MEMORY, "connect", "no memory for a connection");
		give_up(c);
		return;
	}
	io_go(c, client_start(c->client));
}

static void set_label(struct conn *c, const struct hosts_one *one)
{
	if (one->address[0] == '\0' || strcmp(one->name, one->address) == 0 || one->name[0] == '[')
		snprintf(c->label, sizeof(c->label), "%s", one->name);
	else
		snprintf(c->label, sizeof(c->label), "%s [%s]", one->name, one->address);
}

static void dial(struct conn *c)
{
	const struct hosts_one *one = &c->hosts.list[c->host];
	uint64_t timeout_ms = c->generation->conf->set.connect_timeout_ms;
	const struct msg_DIAL_ASK question = {c->generation->number, c->transport->index, slice_of(one->address),
					      timeout_ms};

	set_label(c, one);
	c->tls_text[0] = '\0';
	c->session_offered = false;
	conn_enter(c, CONN_DIALLING);
	ask(c, ROLE_DIAL, IPC_DIAL_ASK, &question, timeout_ms + ANSWER_SLACK_MS, on_dialled);
}

/* ---- finding hosts ---- */

/* By MX the answer is about the recipient's domain.  Of a configured next hop it is about our configuration: temporary. */
static void fail_finding(struct conn *c, enum outcome outcome, const char *why)
{
	bool ours = !c->transport->by_mx && outcome_kind(outcome) != KIND_TEMP;

	note(c, ours ? OC_DNS_UNKNOWN : outcome, "DNS", why);
	give_up(c);
}

static void take_hosts(struct conn *c, enum outcome outcome, struct slice text, struct slice records)
{
	const struct hosts_facts facts = {&c->relay->here, c->generation->conf->set.hostname,
					  c->transport->allow_local};
	const char *why = "";
	char said[256];

	slice_copy(slice_sub(text, 0, sizeof(said) - 1), said, sizeof(said));
	if (outcome == OC_NO_SUCH_DOMAIN || outcome == OC_NULL_MX) {
		fail_finding(c, outcome, said);
		return;
	}
	if (outcome != OC_DONE) {
		fail_finding(c, OC_DNS_UNKNOWN, said[0] != '\0' ? said : "no answer from DNS");
		return;
	}
	outcome = hosts_read(records, &facts, &c->hosts, &why);
	if (outcome == OC_DONE)
		dial(c);
	else
		fail_finding(c, outcome, why);
}

static void on_mx(struct conn *c, struct ipc_message *m)
{
	if (m == NULL)
		fail_finding(c, OC_DNS_UNKNOWN, "no answer from postern-resolver");
	else
		take_hosts(c, m->body.MX_ANSWER.outcome, m->body.MX_ANSWER.text, m->body.MX_ANSWER.mx_host_records);
}

static void on_host(struct conn *c, struct ipc_message *m)
{
	if (m == NULL)
		fail_finding(c, OC_DNS_UNKNOWN, "no answer from postern-resolver");
	else
		take_hosts(c, m->body.HOST_ANSWER.outcome, m->body.HOST_ANSWER.text,
			   m->body.HOST_ANSWER.mx_host_records);
}

/* A path or an address of the configuration needs no name server; dial knows it by the transport's number. */
static void use_own(struct conn *c, const char *name)
{
	struct hosts_one *one = &c->hosts.list[0];

	c->hosts.count = 1;
	slice_copy(slice_sub(slice_of(name), 0, sizeof(one->name) - 1), one->name, sizeof(one->name));
	one->address[0] = '\0';
	dial(c);
}

static void find_hosts(struct conn *c)
{
	const struct conf_transport *t = c->transport;
	struct in6_addr address;

	if (t->path != NULL)
		use_own(c, t->path);
	else if (t->by_mx)
		ask(c, ROLE_RESOLVER, IPC_MX_ASK, &(struct msg_MX_ASK){slice_sub(c->job->nexthop, 0, 255)},
		    LINK_ASK_MS, on_mx);
	else if (net_address(slice_of(t->host), &address))
		use_own(c, t->host);
	else
		ask(c, ROLE_RESOLVER, IPC_HOST_ASK, &(struct msg_HOST_ASK){slice_of(t->host)}, LINK_ASK_MS, on_host);
}

void conn_start(struct destination *d, struct job *job)
{
	struct conn *c = mem_new(1, sizeof(*c));

	if (c == NULL) {
		job_fail(&job, OC_NO_MEMORY, "no memory for a connection");
		return;
	}
	c->relay = d->relay;
	c->destination = d;
	c->generation = generation_hold(job->generation);
	c->transport = job->transport;
	c->state = CONN_FINDING;
	c->job = job;
	c->fd = -1;
	LIST_INSERT_HEAD(&d->relay->conns, c, all);
	LIST_INSERT_HEAD(&d->conns, c, peers);
	d->conn_count++;
	d->relay->conn_count++;
	find_hosts(c);
}

/* ---- what the client engine wants of us ---- */

static void on_credential(struct conn *c, struct ipc_message *m)
{
	struct slice none = slice_empty();
	char why[128];

	if (m != NULL && m->body.CREDENTIAL.outcome == OC_DONE) {
		io_go(c, client_credential(c->client, m->body.CREDENTIAL.user, m->body.CREDENTIAL.secret,
					   "the credential is empty"));
		return;
	}
	snprintf(why, sizeof(why), "no credential for transport %.60s", c->transport->name);
	LOG(LEVEL_WARN, "credential-missing", KV_STR("transport", c->transport->name),
	    KV_STR("outcome", m == NULL ? "no answer" : outcome_info(m->body.CREDENTIAL.outcome)->name));
	io_go(c, client_credential(c->client, none, none, why));
}

void conn_ask_credential(struct conn *c)
{
	const struct msg_CREDENTIAL_ASK question = {c->job == NULL ? 0 : c->job->number,
						    slice_of(c->transport->name)};

	ask(c, ROLE_AUTHD, IPC_CREDENTIAL_ASK, &question, LINK_ASK_MS, on_credential);
}

static bool is_spent(const struct conn *c)
{
	return c->messages >= c->transport->messages || client_is_spent(c->client) ||
	       service_is_draining(c->relay->service) || c->generation != service_generation(c->relay->service);
}

static enum client_want begin_transaction(struct conn *c)
{
	c->begun = true;
	c->prepend_sent = c->body_sent = 0;
	c->messages++;
	return client_mail(c->client, &c->job->mail);
}

static enum client_want begin_mail(struct conn *c)
{
	c->job_deadline_ms = clock_mono_ms() + RELAY_JOB_MS;
	return begin_transaction(c);
}

/* The host takes fewer recipients at once than the job has: the same again for the others, here or by a new connection. */
static enum client_want go_on_with_rest(struct conn *c)
{
	if (!client_is_spent(c->client))
		return begin_transaction(c);
	pool_again(c->destination, c->job);
	c->job = NULL;
	c->begun = false;
	return client_quit(c->client);
}

enum client_want conn_ready(struct conn *c)
{
	if (c->begun && client_mail_is_left(&c->job->mail))
		return go_on_with_rest(c);
	if (c->begun)
		end_job(c, NULL, c->label);
	c->begun = false;
	if (c->messages == 0 && client_is_in_clear(c->client))
		LOG(LEVEL_INFO, "tls-not-offered", KV_STR("host", c->label), KV_STR("transport", c->transport->name));
	if (c->job == NULL && is_spent(c))
		return client_quit(c->client);
	if (c->job == NULL)
		c->job = pool_next(c->destination);
	if (c->job != NULL) {
		if (c->state == CONN_IDLE)
			conn_enter(c, CONN_OPEN);
		return begin_mail(c);
	}
	conn_enter(c, CONN_IDLE);
	return CLIENT_WANT_READ;
}

void conn_give(struct conn *c, struct job *job)
{
	c->job = job;
	conn_enter(c, CONN_OPEN);
	io_go(c, begin_mail(c));
}

void conn_quit(struct conn *c)
{
	conn_enter(c, CONN_OPEN);
	io_go(c, client_quit(c->client));
}

/* ---- closed ---- */

/* The old connection was closed on their side while it was idle, and nothing of this mail was heard there. */
static bool was_stale(const struct conn *c)
{
	return c->job != NULL && c->messages > 1 && !c->job->retried && !client_mail_was_heard(c->client);
}

static void log_login(const struct conn *c, const struct client_verdict *v)
{
	if (v->decided && (v->outcome == OC_REMOTE_LOGIN || v->outcome == OC_AUTH_UNAVAILABLE))
		LOG(LEVEL_WARN, "login-failed", KV_STR("transport", c->transport->name), KV_STR("host", c->label),
		    KV_NUM("code", v->reply.code), KV_STR("text", v->reply.text),
		    KV_STR("do", "check the line of this login in the credentials file"));
}

/* Before it was ready: the same host with a handshake from the beginning, once; without TLS where that is allowed, once; else the next
 * host. */
static void closed_early(struct conn *c)
{
	struct client_verdict v = *client_failure(c->client);
	bool without_tls = client_failed_in_tls(c->client) && c->transport->tls == TLS_OPTIONAL && !c->without_tls &&
			   c->transport->login == NULL;

	bool whole_handshake = client_failed_in_tls(c->client) && c->session_offered && !c->whole_handshake;

	log_login(c, &v);
	io_close(c);
	/* A host that makes nothing of the session we offered is not one that cannot do TLS. */
	if (whole_handshake) {
		LOG(LEVEL_INFO, "tls-session-refused", KV_STR("host", c->label), KV_STR("why", v.reply.text));
		c->whole_handshake = true;
		dial(c);
		return;
	}
	if (without_tls) {
		LOG(LEVEL_WARN, "tls-given-up", KV_STR("host", c->label), KV_STR("why", v.reply.text),
		    KV_STR("transport", c->transport->name));
		c->without_tls = true;
		dial(c);
		return;
	}
	note_failure(c, &v);
	if (v.outcome == OC_REMOTE_LOGIN || v.outcome == OC_AUTH_UNAVAILABLE)
		give_up(c); /* another host would refuse it too, and count it */
	else
		try_next(c);
}

void conn_closed(struct conn *c)
{
	struct destination *d = c->destination;
	struct client_verdict v = *client_failure(c->client);
	struct job *again = NULL;

	if (!client_was_ready(c->client)) {
		closed_early(c);
		return;
	}
	if (was_stale(c)) {
		again = c->job;
		c->job = NULL;
		again->retried = true;
	}
	if (client_mail_is_in_doubt(c->client)) {
		reply_sanitise(slice_of("; it may have taken the message"), v.reply.text, sizeof(v.reply.text));
		LOG(LEVEL_WARN, "delivery-in-doubt", KV_ID(c->job == NULL ? 0 : c->job->id),
		    KV_STR("host", c->label));
	}
	log_login(c, &v);
	end_job(c, &v, c->label);
	conn_free(c);
	if (again != NULL)
		pool_again(d, again);
	pool_conn_ended(d, NULL, "");
}
