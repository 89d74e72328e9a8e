#include "authd_crew.h"

#include "authd.h"
#include "authd_backends.h"
#include "base/log.h"

/* Passwords that a directory is asked about, by postern-lookup; with a credential, where one is named, that it searches with. */
#define AT_ONCE 4u
#define ANSWER_MS 25000u

static bool is_named(const struct conf_auth *auth)
{
	return auth->ldap != NULL;
}

static bool find_searcher(struct password_check *check, struct buf *name, struct buf *secret)
{
	const char *login = check->generation->conf->auth.ldap->login;

	return login == NULL ||
	       backends_find_credential(authd_backends_of(check->generation), slice_of(login), name, secret) == OC_DONE;
}

/* Without the credential the search would be another's: it is not asked, and that is not known. */
static bool ask(struct authd *a, struct password_check *check, link_answer_fn *answered)
{
	struct buf name = buf_make(512), secret = buf_make_secret(1024);
	bool found = find_searcher(check, &name, &secret);
	const struct msg_DIRECTORY_ASK question = {slice_of(check->login), buf_slice(&check->secret), buf_slice(&name),
						   buf_slice(&secret)};

	if (found)
		service_ask_instance(a->service, ROLE_LOOKUP, 0, IPC_DIRECTORY_ASK, &question, ANSWER_MS, answered, check);
	buf_free(&name);
	buf_free(&secret);
	return found;
}

static void check_there(struct authd *a, struct password_check *check)
{
	crew_check(a->directory, check);
}

static const struct crew_spec crew = {"ldap", AT_ONCE, ask, false};

struct crew *directory_crew(struct authd *a)
{
	return crew_new(a, &crew);
}

const struct password_backend directory_backend = {"ldap", is_named, check_there};
