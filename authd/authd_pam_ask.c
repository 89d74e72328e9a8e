#include "authd_crew.h"

#include "authd.h"
#include "authd_pam.h"

/* Passwords that PAM is asked about, in children (authd_pam.c). */
#define ANSWER_MS 12000

static bool is_named(const struct conf_auth *auth)
{
	return auth->pam != NULL;
}

static bool ask(struct authd *a, struct password_check *check, link_answer_fn *answered)
{
	const struct msg_PAM_ASK question = {slice_of(check->login), slice_of(check->client), buf_slice(&check->secret)};

	link_ask(a->pam_children, IPC_PAM_ASK, &question, ANSWER_MS, answered, check);
	/* Alone in its packet: whichever child takes it, takes only this. */
	link_flush(a->pam_children);
	return true;
}

static void check(struct authd *a, struct password_check *check)
{
	/* A reload that names another service begins with another authd. */
	if (a->pam_children == NULL)
		crew_refuse(a->pam, check);
	else
		crew_check(a->pam, check);
}

static const struct crew_spec crew = {"pam", PAM_CHILDREN, ask, true}; /* a module may canonicalize the name (pam_get_user(3)) */

struct crew *pam_crew(struct authd *a)
{
	return crew_new(a, &crew);
}

const struct password_backend pam_backend = {"pam", is_named, check};
