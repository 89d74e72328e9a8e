#include "directory.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ldap_session.h"
#include "ipc/link.h"

#include <errno.h>
#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 *   connection --TLS--> bind as the searcher --> search: one entry --bind as that entry--> AUTHENTICATED, AUTH_FAILED
 *                                                  '-- none, or not of the class --bind as nobody--> AUTH_FAILED
 *
 * Always: no name and no password that is empty is ever bound with (RFC 4513 §5.1: that is no login, and succeeds); referrals lead
 * nowhere; what is no word about name and password is UNAVAILABLE.  Who is not there takes as many turns as who is.
 */
#define ANSWER_BYTES_MAX (64u << 10)
#define DN_MAX 1024u
#define NOBODY "cn=postern-no-such-user"

static const struct conf_ldap *conf;
static struct tls_client *tls; /* NULL: the block says off */

/* One question: what is asked, and what has come of it. */
struct asking {
	const struct msg_DIRECTORY_START *m;
	struct ldap_session s;
	char dn[DN_MAX]; /* of the entry; "": none */
};

/* ---- before the cage ---- */

void directory_prepare(void)
{
	/* Neither ldap.conf nor the environment has a say. */
	if (setenv("LDAPNOINIT", "1", 1) == -1)
		log_fatal("LDAPNOINIT", errno);
	/* The first call of all sets libldap up, which asks for the name of this host: not possible later. */
	if (ldap_set_option(NULL, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_OPT_SUCCESS)
		log_fatal("libldap", 0);
}

void directory_use(const struct conf_ldap *l, struct tls_client *client)
{
	conf = l;
	tls = client;
}

/* ---- one step after the other; each is false with `why` ---- */

static bool bind_searcher(struct asking *a)
{
	char name[513];
	int code;

	if (conf->external) {
		code = ldap_session_bind_external(&a->s);
		return code == LDAP_SUCCESS || ldap_session_failed(&a->s, "bind to search", code);
	}
	if (a->m->bind_name.len == 0)
		return true;
	if (!slice_copy(a->m->bind_name, name, sizeof(name)))
		return ldap_session_failed(&a->s, "bind to search", LDAP_PARAM_ERROR);
	code = ldap_session_bind(&a->s, name, a->m->bind_secret);
	return code == LDAP_SUCCESS || ldap_session_failed(&a->s, "bind to search", code);
}

/* The name of the entry, where it is of the class. */
static bool take_entry(struct asking *a, LDAPMessage *entry)
{
	char *dn = ldap_get_dn(a->s.ld, entry);
	bool taken = dn != NULL && dn[0] != '\0' && strlen(dn) < sizeof(a->dn);

	if (!taken)
		snprintf(a->s.why, sizeof(a->s.why), "search: an entry without a name, or with one too long");
	else if (ldap_session_has_class(&a->s, entry, conf->object_class))
		memcpy(a->dn, dn, strlen(dn) + 1);
	else
		snprintf(a->s.why, sizeof(a->s.why), "the entry has not the object class %.100s", conf->object_class);
	ldap_memfree(dn);
	return taken;
}

static bool take_result(struct asking *a, int code, LDAPMessage *result)
{
	int count = result == NULL ? -1 : ldap_count_entries(a->s.ld, result);

	if (code == LDAP_SIZELIMIT_EXCEEDED || count > 1) {
		snprintf(a->s.why, sizeof(a->s.why), "search: more than one entry has this login");
		return false;
	}
	if (code != LDAP_SUCCESS || count < 0)
		return ldap_session_failed(&a->s, "search", code);
	return count == 0 || take_entry(a, ldap_first_entry(a->s.ld, result));
}

/* True with `dn`, or with none: nobody has this login. */
static bool search(struct asking *a)
{
	static char object_class[] = "objectClass";
	char *attributes[] = {object_class, NULL};
	LDAPMessage *result = NULL;
	int code = ldap_session_search(&a->s, conf->base, conf->filter, a->m->login, attributes, 2, &result);
	bool done = take_result(a, code, result);

	if (result != NULL)
		(void)ldap_msgfree(result);
	return done;
}

enum outcome directory_bind_outcome(int code)
{
	switch (code) {
	case LDAP_SUCCESS:
		return OC_AUTHENTICATED;
	case LDAP_INVALID_CREDENTIALS:
	case LDAP_INAPPROPRIATE_AUTH: /* the entry has no password */
	case LDAP_INSUFFICIENT_ACCESS:
		return OC_AUTH_FAILED;
	default:
		return OC_UNAVAILABLE;
	}
}

/* The same turn for a login that nobody has, with a password that is nobody's; what comes of it does not matter. */
static void bind_as_nobody(struct asking *a)
{
	char name[DN_MAX], secret[33];
	unsigned char noise[16];

	mem_random(noise, sizeof(noise));
	for (size_t i = 0; i < sizeof(noise); i++)
		snprintf(&secret[i * 2], 3, "%02x", noise[i]);
	snprintf(name, sizeof(name), NOBODY ",%.900s", conf->base);
	(void)ldap_session_bind(&a->s, name, slice_of(secret));
}

/* A directory passes over blanks when it compares, and folds forms of letters (RFC 4518): of one account there is one login. */
static bool is_one_spelling(struct slice login)
{
	for (size_t i = 0; i < login.len; i++)
		if (login.at[i] <= ' ' || login.at[i] > '~')
			return false;
	return true;
}

static enum outcome bind_user(struct asking *a)
{
	enum outcome oc;
	int code;

	if (a->dn[0] == '\0' || !is_one_spelling(a->m->login)) {
		bind_as_nobody(a);
		return OC_AUTH_FAILED;
	}
	code = ldap_session_bind(&a->s, a->dn, a->m->secret);
	oc = directory_bind_outcome(code);
	if (oc != OC_AUTHENTICATED)
		(void)ldap_session_failed(&a->s, "bind", code);
	return oc;
}

static enum outcome ask(struct asking *a)
{
	if (a->m->server >= conf->server_count) {
		snprintf(a->s.why, sizeof(a->s.why), "there is no such server");
		return OC_UNAVAILABLE;
	}
	if (a->m->secret.len == 0)
		return OC_AUTH_FAILED;
	if (!ldap_session_open(&a->s, &conf->servers[a->m->server], conf->tls.mode, tls, ANSWER_BYTES_MAX) || !bind_searcher(a) || !search(a))
		return OC_UNAVAILABLE;
	return bind_user(a);
}

void directory_serve(int fd, const struct ipc_message *m)
{
	struct asking a = {.m = &m->body.DIRECTORY_START, .s = {.fd = m->fd, .until_ms = clock_mono_ms() + conf->timeout_ms}};
	struct msg_DIRECTORY_END told = {0, OC_UNAVAILABLE, {"", 0}};

	if (m->type != IPC_DIRECTORY_START || m->fd < 0)
		return;
	told.number = a.m->number;
	told.outcome = ask(&a);
	told.why = slice_of(a.s.why);
	(void)link_tell_now(fd, IPC_DIRECTORY_END, 0, false, &told, -1);
}
