#include "conn_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/service.h"

#include <stdio.h>

/* TLS of a connection: the handshake and who signs it, steps, and the end. */
#define KEYD_SILENT_MS 10000u

static void on_signed(struct conn *c, struct ipc_message *m)
{
	bool good = m != NULL && m->body.SIGNED.outcome == OC_DONE;

	if (m == NULL)
		c->worker->keyd_silent_until_ms = clock_mono_ms() + KEYD_SILENT_MS;
	c->waits_key = false;
	tls_key_answer(c->tls, good ? m->body.SIGNED.signature : slice_empty());
	conn_step_tls(c, slice_empty());
}

static bool ask_key(const struct tls_key_request *request, void *arg)
{
	struct conn *c = arg;
	const struct msg_SIGN_ASK ask = {
		.session = c->session.place.number,
		.key = request->key,
		.scheme = request->scheme,
		.tbs = request->tbs,
	};

	if (!worker_can_sign(c->worker))
		return false;
	conn_ask(c, ROLE_KEYD, IPC_SIGN_ASK, &ask, TLS_KEY_MS, on_signed);
	return true;
}

void conn_begin_handshake(struct conn *c)
{
	c->tls = tls_conn_server(c->tls_server, ask_key, c);
	if (c->tls == NULL) {
		LOG(LEVEL_WARN, "out-of-memory", KV_SESSION(c->session.place.number));
		conn_enter(c, CONN_GONE);
		return;
	}
	buf_free(&c->in); /* nothing from before may be taken for clear text of after */
	conn_enter(c, CONN_HANDSHAKE);
}

static void note_bindings(const struct tls_conn *tls, struct session_tls *out)
{
	struct tls_bindings b;

	tls_bindings(tls, &b);
	memcpy(out->exporter, b.exporter, sizeof(out->exporter));
	out->exporter_len = b.exporter_len;
	memcpy(out->end_point, b.end_point, sizeof(out->end_point));
	out->end_point_len = b.end_point_len;
}

static void note_tls(struct conn *c)
{
	const struct tls_facts *facts = tls_facts(c->tls);
	const struct tls_peer *client = facts->client;
	struct session_tls tls = {.active = true, .bits = facts->bits, .client = client};

	snprintf(tls.version, sizeof(tls.version), "%s", facts->version);
	snprintf(tls.cipher, sizeof(tls.cipher), "%s", facts->cipher);
	snprintf(tls.sni, sizeof(tls.sni), "%s", facts->sni);
	if (c->session.place.takes_logins)
		note_bindings(c->tls, &tls);
	LOG(LEVEL_INFO, "tls-open", KV_SESSION(c->session.place.number), KV_STR("version", tls.version),
	    KV_STR("cipher", tls.cipher), KV_NUM("bits", tls.bits), KV_STR("sni", facts->asked), KV_NUM("resumed", facts->resumed),
	    KV_STR("client.certificate", client == NULL ? "none" : client->verified ? "verified" : "not-verified"));
	if (client != NULL)
		LOG(LEVEL_INFO, "client-certificate", KV_SESSION(c->session.place.number),
		    KV_STR("verified", client->verified ? "yes" : "no"), KV_STR("fingerprint", client->fingerprint),
		    KV_STR("subject", client->subject), KV_STR("names", client->names));
	session_tls_open(&c->session, &tls);
	conn_enter(c, CONN_OPEN);
	if (c->session.state == SESSION_CONNECT)
		session_begin(&c->session);
}

void conn_tls_over(struct conn *c, enum tls_want want)
{
	if (want == TLS_FAILED)
		LOG(LEVEL_INFO, "tls-failed", KV_SESSION(c->session.place.number),
		    KV_STR("client", c->session.place.client), KV_STR("why", tls_error(c->tls)));
	c->ended = true;
}

void conn_step_tls(struct conn *c, struct slice bytes)
{
	enum tls_want want = tls_step(c->tls, bytes, &c->out, &c->in);

	c->waits_key = want == TLS_WANT_KEY;
	if (c->phase == CONN_HANDSHAKE && tls_is_open(c->tls))
		note_tls(c);
	if (want == TLS_CLOSED || want == TLS_FAILED)
		conn_tls_over(c, want);
}
