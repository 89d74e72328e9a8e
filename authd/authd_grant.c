#include "authd.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>

/*
 * A relay hears the credential of a transport only while the queue's grant stands: for that job, by that instance, of that transport.
 */
#define GRANTS_MAX 200000u

struct grant {
	uint64_t job, relay;
	char transport[65];
};

struct grants {
	struct map *by_job; /* -> struct grant, owned */
};

struct grants *grants_new(void)
{
	struct grants *g = mem_new(1, sizeof(*g));

	if (g != NULL)
		g->by_job = map_new(GRANTS_MAX);
	if (g == NULL || g->by_job == NULL)
		log_fatal("grants", ENOMEM);
	return g;
}

size_t grants_count(const struct grants *g)
{
	return map_count(g->by_job);
}

static void revoke(struct grants *g, uint64_t job)
{
	free(map_take_u64(g->by_job, job));
}

static bool drop_one(struct slice key, void *value, void *arg)
{
	struct grants *g = arg;
	struct grant *one = value;

	(void)key;
	revoke(g, one->job);
	return true;
}

/* Its jobs ended with it. */
void grants_queue_down(struct grants *g)
{
	map_each(g->by_job, drop_one, g);
}

void on_job_grant(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_JOB_GRANT *b = &m->body.JOB_GRANT;
	struct grants *g = ((struct authd *)service_state(s))->grants;
	struct grant *one = mem_new(1, sizeof(*one));

	(void)link;
	revoke(g, b->job);
	if (one == NULL || !slice_copy(b->transport, one->transport, sizeof(one->transport))) {
		free(one);
		return;
	}
	one->job = b->job;
	one->relay = b->relay;
	if (map_put_u64(g->by_job, b->job, one))
		return;
	LOG(LEVEL_WARN, "grant-not-noted", KV_NUM("job", b->job));
	free(one);
}

void on_job_revoke(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)link;
	revoke(((struct authd *)service_state(s))->grants, m->body.JOB_REVOKE.job);
}

/* A grant leaves the queue before its job does, and a revocation before the next, but on another link: they may not have been read
 * yet. */
static const struct grant *find_grant(struct service *s, uint64_t job)
{
	struct link *queue = service_link(s, ROLE_QUEUE, SERVICE_ANY);

	if (queue != NULL)
		link_drain(queue);
	return map_find_u64(((struct authd *)service_state(s))->grants->by_job, job);
}

static enum outcome find_credential(struct service *s, struct slice transport, struct buf *user, struct buf *password)
{
	const struct conf_transport *t = conf_transport_find(service_conf(s), transport);
	struct backends *b = authd_backends_of(service_generation(s));

	if (t == NULL || t->login == NULL || b == NULL)
		return OC_UNAVAILABLE;
	return backends_find_credential(b, slice_of(t->login), user, password);
}

/* Whatever is missing is TEMPORARY: a job must not bounce for it. */
void on_credential_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_CREDENTIAL_ASK *b = &m->body.CREDENTIAL_ASK;
	const struct grant *one = find_grant(s, b->job);
	struct buf user = buf_make_secret(1024), password = buf_make_secret(2048);
	struct msg_CREDENTIAL answer = {OC_UNAVAILABLE, {"", 0}, {"", 0}};

	if (one == NULL || one->relay != link_instance(link) || !slice_eq(slice_of(one->transport), b->transport))
		LOG(LEVEL_WARN, "credential-without-grant", KV_NUM("relay", link_instance(link)), KV_NUM("job", b->job),
		    KV_TEXT("transport", b->transport));
	else
		answer.outcome = find_credential(s, b->transport, &user, &password);
	answer.user = buf_slice(&user);
	answer.secret = buf_slice(&password);
	link_answer(link, m->request, IPC_CREDENTIAL, &answer, -1);
	buf_free(&user);
	buf_free(&password);
}

/* ---- tables of other servers ---- */

/* NULL: this instance of lookup asks no table of that name. */
static const char *table_login(const struct conf *conf, uint64_t instance, struct slice name)
{
	const struct conf_table *t = conf_lookup_table(conf, instance);

	return t != NULL && slice_eq(slice_of(t->name), name) ? t->backend->login : NULL;
}

void on_table_login_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_TABLE_LOGIN_ASK *b = &m->body.TABLE_LOGIN_ASK;
	struct buf user = buf_make_secret(1024), password = buf_make_secret(2048);
	struct msg_CREDENTIAL answer = {OC_UNAVAILABLE, {"", 0}, {"", 0}};
	struct backends *backends = authd_backends_of(service_generation(s));
	const char *login = table_login(service_conf(s), link_instance(link), b->table);

	if (login == NULL)
		LOG(LEVEL_WARN, "credential-of-another-table", KV_NUM("lookup", link_instance(link)), KV_TEXT("table", b->table));
	else if (backends != NULL)
		answer.outcome = backends_find_credential(backends, slice_of(login), &user, &password);
	answer.user = buf_slice(&user);
	answer.secret = buf_slice(&password);
	link_answer(link, m->request, IPC_CREDENTIAL, &answer, -1);
	buf_free(&user);
	buf_free(&password);
}
