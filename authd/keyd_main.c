/*
 * keyd_main.c: postern-keyd, the only process that has private keys.
 *
 * It hears the gate (which sessions there are and whose), the smtpd workers (SIGN_ASK) and the master; it opens nothing and
 * connects nowhere.  What it refuses, it logs.
 */
#include "keyd_decide.h"
#include "keyd_generation.h"

#include "base/log.h"

#define LOOK_MS (24u * 60u * 60u * 1000u) /* at what ends soon */

struct keyd {
	struct keyd_sessions *sessions;
	struct timer *look; /* owned */
	uint64_t signatures, refusals;
};

static struct keyd keyd;

/* ---- sessions, as the gate attests them ---- */

static void release(void *generation, void *arg)
{
	struct generation *g = generation;

	generation_release(arg, &g);
}

static void on_session_open(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_SESSION_OPEN *b = &m->body.SESSION_OPEN;
	struct keyd_session attested = {.worker = b->worker};

	attested.generation = generation_of_session(s, b, &attested.listener);
	switch (keyd_sessions_open(keyd.sessions, b->session, &attested)) {
	case KEYD_OPENED:
		return;
	case KEYD_NOT_KEPT:
		LOG(LEVEL_ERROR, "session-not-kept", KV_SESSION(b->session));
		return;
	case KEYD_GIVEN_TWICE:
		link_break(link, "a session was given to two workers");
		return;
	}
}

static void on_session_close(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)s;
	(void)link;
	keyd_sessions_close(keyd.sessions, m->body.SESSION_CLOSE.session);
}

static void link_down(struct service *s, struct link *link)
{
	(void)s;
	/* Another gate attests its own sessions; nobody would close these. */
	if (link_peer(link) == ROLE_GATE)
		keyd_sessions_forget_all(keyd.sessions);
}

/* ---- signing ---- */

static void answer(struct link *link, uint64_t request, enum outcome oc, struct slice signature)
{
	link_answer(link, request, IPC_SIGNED, &(struct msg_SIGNED){oc, signature}, -1);
}

static void refuse(struct link *link, const struct ipc_message *m, enum outcome oc, const char *why)
{
	const struct msg_SIGN_ASK *b = &m->body.SIGN_ASK;

	keyd.refusals++;
	LOG(LEVEL_WARN, "signature-refused", KV_SESSION(b->session), KV_NUM("worker", link_instance(link)),
	    KV_NUM("key", b->key), KV_NUM("scheme", b->scheme), KV_NUM("bytes", b->tbs.len), KV_STR("why", why));
	answer(link, m->request, oc, slice_empty());
}

static void sign(struct link *link, const struct ipc_message *m, const struct generation *g)
{
	const struct msg_SIGN_ASK *b = &m->body.SIGN_ASK;
	struct buf signature = buf_make(KEYD_SIGNATURE_MAX);

	if (keyd_key_sign(keyd_generation_key(g, b->key), b->scheme, b->tbs, &signature)) {
		keyd.signatures++;
		answer(link, m->request, OC_DONE, buf_slice(&signature));
	} else {
		refuse(link, m, OC_UNAVAILABLE, "signing failed");
	}
	buf_free(&signature);
}

static void on_sign_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_SIGN_ASK *b = &m->body.SIGN_ASK;
	const struct keyd_ask ask = {b->session, link_instance(link), b->key, b->scheme, b->tbs};
	struct link *gate = service_link(s, ROLE_GATE, SERVICE_ANY);
	const struct keyd_session *session;
	enum keyd_decision decision;
	const char *why;

	decision = keyd_decide(keyd.sessions, &ask, keyd_generation_kind, NULL, &session, &why);
	/* The gate told us before it told the worker, but over another link: hear it first. */
	if (decision == KEYD_NOT_NOW && gate != NULL) {
		link_drain(gate);
		decision = keyd_decide(keyd.sessions, &ask, keyd_generation_kind, NULL, &session, &why);
	}
	switch (decision) {
	case KEYD_SIGN:
		sign(link, m, session->generation);
		return;
	case KEYD_NOT_NOW:
		refuse(link, m, OC_UNAVAILABLE, why);
		return;
	case KEYD_REFUSE:
		refuse(link, m, OC_NOT_ALLOWED, why);
		return;
	case KEYD_LIE:
		refuse(link, m, OC_NOT_ALLOWED, why);
		link_break(link, "asked for a signature in another worker's session");
		return;
	}
}

/* ---- wiring ---- */

static void on_look(void *arg)
{
	keyd_generation_look(arg);
	timer_set(keyd.look, LOOK_MS);
}

static void prepare(struct service *s)
{
	keyd_key_prepare();
	keyd.sessions = keyd_sessions_new(release, s);
}

static void start(struct service *s)
{
	keyd.look = timer_new(service_loop(s), on_look, s);
	timer_set(keyd.look, LOOK_MS);
	keyd_generation_switched(s);
}

static void status(struct service *s, struct buf *out)
{
	const struct generation *g = service_generation(s);

	service_status_number(out, "sessions", keyd_sessions_count(keyd.sessions));
	service_status_number(out, "signatures", keyd.signatures);
	service_status_number(out, "refusals", keyd.refusals);
	service_status_number(out, "certificates", g->conf->certificate_count);
	service_status_text(out, "certificate", keyd_generation_state(g));
}

static const struct cage_spec cage = {
	.calls = CALLS_BASE,
	.chroot = true,
	.takes_fds = true,
	.files_max = 65536, /* a link for each session with a process of its own */
	.memory_max = 1ull << 30,
};

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_SESSION_OPEN] = on_session_open,
	[IPC_SESSION_CLOSE] = on_session_close,
	[IPC_SIGN_ASK] = on_sign_ask,
};

static const struct service_spec spec = {
	.role = ROLE_KEYD,
	.cage = &cage,
	.text = &service_text,
	.prepare = prepare,
	.start = start,
	.handlers = handlers,
	.generation_ready = keyd_generation_ready,
	.generation_free = keyd_generation_free,
	.generation_note = keyd_generation_note,
	.generation_switched = keyd_generation_switched,
	.link_down = link_down,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
