/*
 * keyd_main.c: postern-keyd, the only process that has private keys.
 *
 * It hears the gate (which sessions there are and whose), the smtpd workers (SIGN_ASK) and the master; it opens nothing and
 * connects nowhere.  What it refuses, it logs.
 */
#include "keyd_key.h"
#include "keyd_session.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/service.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct keyd {
	struct keyd_sessions *sessions;
	uint64_t signatures, refusals;
};

/* What a generation holds. */
struct keys {
	struct keyd_key *server; /* key number 0; owned; NULL: no TLS is offered */
	bool in_date;
};

static struct keyd keyd;

/* ---- generations ---- */

static bool read_chain(int fd, struct buf *out, char *why)
{
	ssize_t n;
	char *room;

	do {
		room = buf_room(out, 16384);
		n = room == NULL ? -1 : pread(fd, room, 16384, (off_t)out->len);
		if (n > 0)
			buf_grew(out, (size_t)n);
	} while (n > 0 || (n == -1 && room != NULL && errno == EINTR));
	if (n == -1)
		snprintf(why, KEYD_WHY_BYTES, "the certificate cannot be read: %s",
			 log_errno_text(room == NULL ? EFBIG : errno).at);
	return n == 0;
}

static enum keyd_match match_certificate(struct service *s, const struct generation *g, const struct keyd_key *key,
					 char why[KEYD_WHY_BYTES])
{
	int fd = service_path_fd(s, g->number, slice_of(g->conf->tls_certificate));
	struct buf chain = buf_make(KEYD_CHAIN_FILE_MAX + 16384);
	enum keyd_match match;

	/* Where the certificate is not ours to see, a key of another shows in the first handshake. */
	if (fd == -1)
		return KEYD_MATCHES;
	match = read_chain(fd, &chain, why) ? keyd_key_match(key, buf_slice(&chain), clock_wall_s(), why) : KEYD_NO_MATCH;
	buf_free(&chain);
	return match;
}

static bool current_is_in_date(struct service *s)
{
	const struct keys *current = service_generation(s)->state;

	return current != NULL && current->server != NULL && current->in_date;
}

/* A certificate out of date never takes the place of a good one; but where there is no good one, mail with an expired
 * certificate is better than no mail. */
static bool check_certificate(struct service *s, struct generation *g, struct keys *keys, char why[KEYD_WHY_BYTES])
{
	switch (match_certificate(s, g, keys->server, why)) {
	case KEYD_MATCHES:
		keys->in_date = true;
		return true;
	case KEYD_OUT_OF_DATE:
		LOG(LEVEL_ERROR, "certificate-out-of-date", KV_STR("file", g->conf->tls_certificate), KV_STR("why", why));
		return !current_is_in_date(s);
	case KEYD_NO_MATCH:
		break;
	}
	return false;
}

static bool load_keys(struct service *s, struct generation *g, struct keys *keys, char why[KEYD_WHY_BYTES])
{
	int fd;

	if (g->conf->tls_key == NULL)
		return true;
	fd = service_path_fd(s, g->number, slice_of(g->conf->tls_key));
	if (fd == -1) {
		snprintf(why, KEYD_WHY_BYTES, "the private key was not handed over");
		return false;
	}
	keys->server = keyd_key_read(fd, why);
	return keys->server != NULL && check_certificate(s, g, keys, why);
}

static void keys_free(struct keys *keys)
{
	if (keys == NULL)
		return;
	keyd_key_free(&keys->server);
	free(keys);
}

static bool generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	struct keys *keys = mem_new(1, sizeof(*keys));
	char reason[KEYD_WHY_BYTES] = "out of memory";

	if (keys != NULL && load_keys(s, g, keys, reason)) {
		g->state = keys;
		return true;
	}
	keys_free(keys);
	snprintf(why, why_size, "tls (certificate %s, key %s): %s",
		 g->conf->tls_certificate == NULL ? "none" : g->conf->tls_certificate,
		 g->conf->tls_key == NULL ? "none" : g->conf->tls_key, reason);
	return false;
}

static void generation_free(struct service *s, struct generation *g)
{
	(void)s;
	keys_free(g->state);
	g->state = NULL;
}

/* ---- sessions, as the gate attests them ---- */

static void on_session_open(struct service *s, struct link *link, struct ipc_message *m)
{
	const struct msg_SESSION_OPEN *b = &m->body.SESSION_OPEN;

	(void)s;
	(void)link;
	if (!keyd_sessions_open(keyd.sessions, b->session, b->worker))
		LOG(LEVEL_ERROR, "session-not-kept", KV_SESSION(b->session));
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

/* The gate told us before it told the worker, but over another link: hear it first. */
static enum keyd_right right_of(struct service *s, struct link *link, uint64_t session)
{
	enum keyd_right right = keyd_sessions_use(keyd.sessions, session, link_instance(link));
	struct link *gate = service_link(s, ROLE_GATE, SERVICE_ANY);

	if (right != KEYD_UNKNOWN || gate == NULL)
		return right;
	link_drain(gate);
	return keyd_sessions_use(keyd.sessions, session, link_instance(link));
}

static struct keyd_key *key_find(struct service *s, uint64_t generation, uint64_t key)
{
	struct generation *g = generation_find(s, generation);
	const struct keys *keys;

	if (g == NULL)
		g = service_generation(s);
	keys = g->state;
	return keys != NULL && key == 0 ? keys->server : NULL;
}

static void sign(struct service *s, struct link *link, const struct ipc_message *m)
{
	const struct msg_SIGN_ASK *b = &m->body.SIGN_ASK;
	struct keyd_key *key = key_find(s, b->generation, b->key);
	struct buf signature = buf_make(KEYD_SIGNATURE_MAX);
	const char *refusal = key == NULL ? "no such key" : keyd_request_refusal(keyd_key_kind(key), b->scheme, b->tbs);

	if (refusal != NULL) {
		refuse(link, m, OC_NOT_ALLOWED, refusal);
	} else if (!keyd_key_sign(key, b->scheme, b->tbs, &signature)) {
		refuse(link, m, OC_UNAVAILABLE, "signing failed");
	} else {
		keyd.signatures++;
		answer(link, m->request, OC_DONE, buf_slice(&signature));
	}
	buf_free(&signature);
}

static void on_sign_ask(struct service *s, struct link *link, struct ipc_message *m)
{
	switch (right_of(s, link, m->body.SIGN_ASK.session)) {
	case KEYD_RIGHT:
		sign(s, link, m);
		return;
	case KEYD_UNKNOWN: /* over meanwhile, or attested to a keyd before this one: no proof of a lie */
		refuse(link, m, OC_UNAVAILABLE, "no such session");
		return;
	case KEYD_SPENT:
		refuse(link, m, OC_NOT_ALLOWED, "the session has had its signatures");
		return;
	case KEYD_NOT_YOURS:
		refuse(link, m, OC_NOT_ALLOWED, "another worker's session");
		link_break(link, "asked for a signature in another worker's session");
		return;
	}
}

/* ---- wiring ---- */

static void prepare(struct service *s)
{
	(void)s;
	keyd_key_prepare();
	keyd.sessions = keyd_sessions_new();
}

static void status(struct service *s, struct buf *out)
{
	const struct keys *keys = service_generation(s)->state;

	service_status_number(out, "sessions", keyd_sessions_count(keyd.sessions));
	service_status_number(out, "signatures", keyd.signatures);
	service_status_number(out, "refusals", keyd.refusals);
	service_status_text(out, "certificate", keys == NULL || keys->server == NULL ? "none" : (keys->in_date ? "good" : "out of date"));
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
	.prepare = prepare,
	.handlers = handlers,
	.generation_ready = generation_ready,
	.generation_free = generation_free,
	.link_down = link_down,
	.status = status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
