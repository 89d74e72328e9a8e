/*
 * What a worker may say to keyd, in any order: bytes are a play of sessions that are attested and ended, and of SIGN_ASKs of two
 * workers, as they come from the wire.  What is admitted must be a handshake message, by a key of the session's listener, asked for
 * by the session's worker, at most twice; told by other means than the unit's own.
 *
 *   op byte: 'o' attest, 'c' end (a session's number, one byte: its worker and listener follow from it)
 *            'a' ask (a worker's number, two bytes of length, the payload of SIGN_ASK)
 */
#include "keyd_decide.h"

#include "base/mem.h"
#include "ipc/message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NUMBERS 256u

static const struct keyd_kind kinds[] = {
	{.is_ec = false},
	{.is_ec = true, .group = "prime256v1"},
	{.is_ec = true, .group = "secp384r1"},
	{.is_ec = true, .group = "secp521r1"},
};

struct play {
	struct keyd_sessions *sessions;
	bool open[NUMBERS];
	unsigned signed_for[NUMBERS];
	unsigned holds;
};

static uint64_t worker_of(uint64_t number)
{
	return number & 1;
}

static uint64_t listener_of(uint64_t number)
{
	return number >> 1 & 3;
}

static const struct keyd_kind *kind_of(void *generation, uint64_t listener, uint64_t number, void *arg)
{
	(void)generation;
	(void)arg;
	return number == listener && number < ARRAY_LEN(kinds) ? &kinds[number] : NULL;
}

static void release(void *generation, void *arg)
{
	struct play *p = arg;

	(void)generation;
	p->holds--;
}

static void need(bool ok)
{
	if (!ok)
		abort();
}

static bool is_handshake(struct slice tbs)
{
	if (slice_find(tbs, slice_of("TLS 1.3, server CertificateVerify")) == 64 && (tbs.len == 130 || tbs.len == 146))
		return true;
	return tbs.len >= 100 && tbs.len <= 201 && tbs.at[64] == 3 && (size_t)(unsigned char)tbs.at[67] == tbs.len - 68;
}

static void ask(struct play *p, uint64_t worker, struct slice payload)
{
	const struct keyd_session *session;
	struct ipc_message m = {.fd = -1};
	struct keyd_ask a;
	const char *why;

	if (!ipc_decode(IPC_SIGN_ASK, payload, &m))
		return;
	a = (struct keyd_ask){m.body.SIGN_ASK.session, worker, m.body.SIGN_ASK.key, m.body.SIGN_ASK.scheme, m.body.SIGN_ASK.tbs};
	if (keyd_decide(p->sessions, &a, kind_of, NULL, &session, &why) != KEYD_SIGN) {
		need(why != NULL);
		return;
	}
	need(why == NULL && a.session < NUMBERS && p->open[a.session] && worker_of(a.session) == worker);
	need(a.key == listener_of(a.session) && session->listener == a.key && is_handshake(a.tbs));
	need(++p->signed_for[a.session] <= KEYD_SIGNATURES_MAX);
}

static void attest(struct play *p, uint64_t number)
{
	const struct keyd_session s = {.worker = worker_of(number), .listener = listener_of(number), .generation = p};

	p->holds++;
	need(keyd_sessions_open(p->sessions, number, &s) == KEYD_OPENED);
	p->open[number] = true;
}

static void end(struct play *p, uint64_t number)
{
	keyd_sessions_close(p->sessions, number);
	p->open[number] = false;
	p->signed_for[number] = 0;
}

static size_t step(struct play *p, struct slice rest)
{
	uint8_t number = (uint8_t)rest.at[1];
	size_t len;

	if (rest.at[0] == 'o')
		attest(p, number);
	if (rest.at[0] == 'c')
		end(p, number);
	if (rest.at[0] != 'a' || rest.len < 4)
		return 2;
	len = (size_t)(uint8_t)rest.at[2] << 8 | (uint8_t)rest.at[3];
	ask(p, number, slice_sub(rest, 4, len));
	return 4 + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size);
	struct play p = {.holds = 0};

	p.sessions = keyd_sessions_new(release, &p);
	while (rest.len >= 2)
		rest = slice_from(rest, step(&p, rest));
	keyd_sessions_free(&p.sessions);
	need(p.holds == 0);
	return 0;
}
