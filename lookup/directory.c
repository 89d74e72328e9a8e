#include "directory.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/ldap_filter.h"
#include "ipc/link.h"

#include <errno.h>
#include <fcntl.h>
#include <ldap.h>
#include <openldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

/*
 *   connection --TLS--> bind as the searcher --> search: one entry --bind as that entry--> AUTHENTICATED, AUTH_FAILED
 *                                                  '-- none, or not of the class --bind as nobody--> AUTH_FAILED
 *
 * Always: no name and no password that is empty is ever bound with (RFC 4513 §5.1: that is no login, and succeeds); referrals lead
 * nowhere; what is no word about name and password is UNAVAILABLE.  Who is not there takes as many turns as who is.
 */
#define WHY_MAX 255u
#define ANSWER_BYTES_MAX (64u << 10)
#define DN_MAX 1024u
#define NOBODY "cn=postern-no-such-user"

static const char *const system_cas[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
					 "/etc/ssl/cert.pem"};

static const struct conf_ldap *conf;

/* One question: what is asked, and what has come of it. */
struct asking {
	const struct msg_DIRECTORY_START *m;
	int fd; /* the connection; libldap's own once it has it */
	LDAP *ld; /* owned */
	uint64_t until_ms;
	char dn[DN_MAX]; /* of the entry; "": none */
	char why[WHY_MAX + 1];
};

/* ---- before the cage ---- */

static const char *ca_file(const char *named)
{
	if (named[0] != '\0')
		return named;
	for (size_t i = 0; i < ARRAY_LEN(system_cas); i++)
		if (access(system_cas[i], R_OK) == 0)
			return system_cas[i];
	return system_cas[0];
}

/* All handles made later share this context; the new one reads the file now. */
static bool set_tls(const char *ca)
{
	int demand = LDAP_OPT_X_TLS_DEMAND, least = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;

	return ldap_set_option(NULL, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(NULL, LDAP_OPT_X_TLS_PROTOCOL_MIN, &least) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(NULL, LDAP_OPT_X_TLS_CACERTFILE, ca_file(ca)) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(NULL, LDAP_OPT_X_TLS_NEWCTX, &client) == LDAP_OPT_SUCCESS;
}

void directory_prepare(const char *ca)
{
	/* Neither ldap.conf nor the environment has a say. */
	if (setenv("LDAPNOINIT", "1", 1) == -1)
		log_fatal("LDAPNOINIT", errno);
	/* The first call of all sets libldap up, which asks for the name of this host: not possible later. */
	if (ldap_set_option(NULL, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_OPT_SUCCESS)
		log_fatal("libldap", 0);
	if (ca == NULL || set_tls(ca))
		return;
	LOG(LEVEL_ERROR, "directory-certificates", KV_STR("path", ca_file(ca)));
	exit(75);
}

void directory_use(const struct conf_ldap *l)
{
	conf = l;
}

/* ---- one step after the other; each is false with `why` ---- */

static bool failed(struct asking *a, const char *step, int code)
{
	char *detail = NULL;

	if (a->ld != NULL)
		(void)ldap_get_option(a->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &detail);
	snprintf(a->why, sizeof(a->why), "%s: %.100s%s%.80s", step, ldap_err2string(code), detail != NULL && *detail != '\0' ? ": " : "",
		 detail != NULL ? detail : "");
	ldap_memfree(detail);
	return false;
}

/* What is left of the time of this question, for the next call. */
static struct timeval time_left(const struct asking *a)
{
	uint64_t now = clock_mono_ms(), left = a->until_ms > now ? a->until_ms - now : 1;

	return (struct timeval){(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};
}

static bool set_time(struct asking *a)
{
	struct timeval left = time_left(a);

	return ldap_set_option(a->ld, LDAP_OPT_TIMEOUT, &left) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(a->ld, LDAP_OPT_NETWORK_TIMEOUT, &left) == LDAP_OPT_SUCCESS;
}

static bool set_bounds(struct asking *a)
{
	int version = LDAP_VERSION3, never = LDAP_DEREF_NEVER, entries = 2;
	ber_len_t most = ANSWER_BYTES_MAX;
	Sockbuf *sb = NULL;

	return ldap_set_option(a->ld, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(a->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(a->ld, LDAP_OPT_RESTART, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(a->ld, LDAP_OPT_DEREF, &never) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(a->ld, LDAP_OPT_SIZELIMIT, &entries) == LDAP_OPT_SUCCESS &&
	       ldap_get_option(a->ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb != NULL &&
	       ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &most) == 1 && set_time(a);
}

/* The URL is looked at for the name that the certificate must have; nothing connects to it. */
static bool take_connection(struct asking *a, const struct conf_ldap_server *s)
{
	int flags = fcntl(a->fd, F_GETFL), code;
	char url[300];

	if (flags == -1 || fcntl(a->fd, F_SETFL, flags & ~O_NONBLOCK) == -1)
		return failed(a, "connection", LDAP_LOCAL_ERROR);
	snprintf(url, sizeof(url), s->host != NULL && strchr(s->host, ':') != NULL ? "ldap://[%s]:%u" : "ldap://%s:%u",
		 s->host != NULL ? s->host : "localhost", s->host != NULL ? s->port : 389u);
	code = ldap_init_fd(a->fd, s->path != NULL ? LDAP_PROTO_IPC : LDAP_PROTO_TCP, url, &a->ld);
	return code == LDAP_SUCCESS || failed(a, "connection", code);
}

static bool start_tls(struct asking *a)
{
	int code = LDAP_SUCCESS;

	if (conf->tls == TLS_IMPLICIT)
		code = ldap_install_tls(a->ld);
	else if (conf->tls != TLS_OFF)
		code = ldap_start_tls_s(a->ld, NULL, NULL);
	return code == LDAP_SUCCESS || failed(a, "TLS", code);
}

static int bind_as(struct asking *a, const char *dn, struct slice secret)
{
	struct berval password = {secret.len, NULL};
	char text[1025];
	int code;

	if (dn[0] == '\0' || secret.len == 0 || slice_index(secret, '\0') != SLICE_NONE || !slice_copy(secret, text, sizeof(text)) ||
	    !set_time(a))
		return LDAP_PARAM_ERROR;
	password.bv_val = text;
	code = ldap_sasl_bind_s(a->ld, dn, LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
	mem_wipe(text, sizeof(text));
	return code;
}

static bool bind_searcher(struct asking *a)
{
	char name[513];
	int code;

	if (a->m->bind_name.len == 0)
		return true;
	if (!slice_copy(a->m->bind_name, name, sizeof(name)))
		return failed(a, "bind to search", LDAP_PARAM_ERROR);
	code = bind_as(a, name, a->m->bind_secret);
	return code == LDAP_SUCCESS || failed(a, "bind to search", code);
}

static bool has_class(LDAP *ld, LDAPMessage *entry)
{
	struct berval **values = ldap_get_values_len(ld, entry, "objectClass");
	bool has = conf->object_class == NULL;

	for (size_t i = 0; values != NULL && values[i] != NULL; i++)
		has = has || slice_eq_nocase(slice_make(values[i]->bv_val, values[i]->bv_len), slice_of(conf->object_class));
	ldap_value_free_len(values);
	return has;
}

/* The name of the entry, where it is of the class. */
static bool take_entry(struct asking *a, LDAPMessage *entry)
{
	char *dn = ldap_get_dn(a->ld, entry);
	bool taken = dn != NULL && dn[0] != '\0' && strlen(dn) < sizeof(a->dn);

	if (!taken)
		snprintf(a->why, sizeof(a->why), "search: an entry without a name, or with one too long");
	else if (has_class(a->ld, entry))
		memcpy(a->dn, dn, strlen(dn) + 1);
	else
		snprintf(a->why, sizeof(a->why), "the entry has not the object class %.100s", conf->object_class);
	ldap_memfree(dn);
	return taken;
}

static bool take_result(struct asking *a, int code, LDAPMessage *result)
{
	int count = result == NULL ? -1 : ldap_count_entries(a->ld, result);

	if (code == LDAP_SIZELIMIT_EXCEEDED || count > 1) {
		snprintf(a->why, sizeof(a->why), "search: more than one entry has this login");
		return false;
	}
	if (code != LDAP_SUCCESS || count < 0)
		return failed(a, "search", code);
	return count == 0 || take_entry(a, ldap_first_entry(a->ld, result));
}

/* True with `dn`, or with none: nobody has this login. */
static bool search(struct asking *a)
{
	static char object_class[] = "objectClass";
	char *attributes[] = {object_class, NULL};
	struct buf filter = buf_make(LDAP_FILTER_MAX * 8);
	struct timeval left = time_left(a);
	LDAPMessage *result = NULL;
	bool done = false;
	int code;

	if (!ldap_filter_fill(slice_of(conf->filter), a->m->login, &filter) || !set_time(a)) {
		(void)failed(a, "search", LDAP_PARAM_ERROR);
	} else {
		code = ldap_search_ext_s(a->ld, conf->base, LDAP_SCOPE_SUBTREE, buf_text(&filter), attributes, 0, NULL, NULL, &left, 2,
					 &result);
		done = take_result(a, code, result);
	}
	if (result != NULL)
		(void)ldap_msgfree(result);
	buf_free(&filter);
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
	(void)bind_as(a, name, slice_of(secret));
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
	code = bind_as(a, a->dn, a->m->secret);
	oc = directory_bind_outcome(code);
	if (oc != OC_AUTHENTICATED)
		(void)failed(a, "bind", code);
	return oc;
}

static enum outcome ask(struct asking *a)
{
	if (a->m->server >= conf->server_count) {
		snprintf(a->why, sizeof(a->why), "there is no such server");
		return OC_UNAVAILABLE;
	}
	if (a->m->secret.len == 0)
		return OC_AUTH_FAILED;
	if (!take_connection(a, &conf->servers[a->m->server]) || !set_bounds(a) || !start_tls(a) || !bind_searcher(a) || !search(a))
		return OC_UNAVAILABLE;
	return bind_user(a);
}

void directory_serve(int fd, const struct ipc_message *m)
{
	struct asking a = {.m = &m->body.DIRECTORY_START, .fd = m->fd, .until_ms = clock_mono_ms() + conf->timeout_ms};
	struct msg_DIRECTORY_END told = {0, OC_UNAVAILABLE, {"", 0}};

	if (m->type != IPC_DIRECTORY_START || m->fd < 0)
		return;
	told.number = a.m->number;
	told.outcome = ask(&a);
	told.why = slice_of(a.why);
	(void)link_tell_now(fd, IPC_DIRECTORY_END, 0, false, &told, -1);
}
