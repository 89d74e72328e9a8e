#include "authd_password.h"

#include "authd.h"
#include "base/log.h"
#include "base/mem.h"
#include "users/users.h"

#include <errno.h>

/*
 * Passwords against the hashes of the users database and the flat file.
 *
 *   check --hash found, or none--> waiting --a verifier is free--> hashing --VERIFIED--> answered
 *
 * Always: one hash is computed for each check, whoever it names: where nobody has that name, one that fits nothing.  At most as many
 * are computed at once as there are verifiers, and at most WAITING_MAX wait; more are answered AUTH_UNAVAILABLE.
 */
#define WAITING_MAX 64u
#define VERIFY_MS 12000

struct hashes {
	struct authd *authd;
	struct link *verifier; /* owned */
	unsigned verifiers, hashing;
	size_t waiting_count;
	TAILQ_HEAD(, password_check) waiting;
	TAILQ_HEAD(, password_check) refused; /* to be told in the next turn */
	struct timer *refusal;
};

static void on_refusal(void *arg)
{
	struct hashes *h = arg;
	struct password_check *check;

	while ((check = TAILQ_FIRST(&h->refused)) != NULL) {
		TAILQ_REMOVE(&h->refused, check, peers);
		check->answer(check, OC_AUTH_UNAVAILABLE);
	}
}

struct hashes *hashes_new(struct authd *a, int verifier_fd, unsigned verifiers)
{
	struct hashes *h = mem_new(1, sizeof(*h));

	if (h == NULL)
		log_fatal("hashes", ENOMEM);
	h->authd = a;
	h->verifiers = verifiers;
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->refused);
	h->refusal = timer_new(service_loop(a->service), on_refusal, h);
	h->verifier = authd_child_link(a, verifier_fd);
	return h;
}

void hashes_status(const struct hashes *h, struct buf *out)
{
	service_status_number(out, "verifying", h->hashing);
	service_status_number(out, "waiting", h->waiting_count);
}

static void hash_next(struct hashes *h);

static void on_verified(struct ipc_message *m, void *arg)
{
	struct password_check *check = arg;
	struct hashes *h = check->own;
	enum outcome oc = m == NULL ? OC_AUTH_UNAVAILABLE : m->body.VERIFIED.outcome;

	h->hashing--;
	/* A verifier has two words; any other is its failure. */
	check->answer(check, oc == OC_AUTHENTICATED || oc == OC_AUTH_FAILED ? oc : OC_AUTH_UNAVAILABLE);
	hash_next(h);
}

/* Looked up as late as may be: no hash is kept while its check waits. */
static bool ask_verifier(struct hashes *h, struct password_check *check)
{
	struct buf hash = buf_make_secret(USERS_HASH_MAX);
	enum outcome oc = backends_find_hash(authd_backends_of(check->generation), slice_of(check->login), &hash);
	const struct msg_VERIFY_ASK ask = {slice_of(check->login), buf_slice(&check->secret), buf_slice(&hash)};
	bool known = oc == OC_DONE || oc == OC_NOT_FOUND; /* nobody has the empty hash */

	if (known) {
		link_ask(h->verifier, IPC_VERIFY_ASK, &ask, VERIFY_MS, on_verified, check);
		/* Alone in its packet: whichever child takes it, takes only this. */
		link_flush(h->verifier);
	}
	buf_free(&hash);
	buf_free(&check->secret);
	return known;
}

static void refuse(struct hashes *h, struct password_check *check)
{
	TAILQ_INSERT_TAIL(&h->refused, check, peers);
	timer_set(h->refusal, 0);
}

static void hash_next(struct hashes *h)
{
	struct password_check *check;

	while (h->hashing < h->verifiers && (check = TAILQ_FIRST(&h->waiting)) != NULL) {
		TAILQ_REMOVE(&h->waiting, check, peers);
		h->waiting_count--;
		if (ask_verifier(h, check))
			h->hashing++;
		else
			refuse(h, check);
	}
}

static bool hashes_are_named(const struct conf_auth *auth)
{
	return auth->sqlite != NULL || auth->file != NULL;
}

static void hash_check(struct authd *a, struct password_check *check)
{
	struct hashes *h = a->hashes;

	check->own = h;
	if (h->waiting_count >= WAITING_MAX) {
		refuse(h, check);
		return;
	}
	TAILQ_INSERT_TAIL(&h->waiting, check, peers);
	h->waiting_count++;
	hash_next(h);
}

const struct password_backend hash_backend = {"hashes", hashes_are_named, hash_check};
