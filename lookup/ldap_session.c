#include "ldap_session.h"

#include "ldap_secure.h"

#include "base/clock.h"
#include "base/mem.h"
#include "conf/ldap_filter.h"

#include <fcntl.h>
#include <openldap.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

bool ldap_session_failed(struct ldap_session *s, const char *step, int code)
{
	char *detail = NULL;

	if (s->ld != NULL)
		(void)ldap_get_option(s->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &detail);
	snprintf(s->why, sizeof(s->why), "%s: %.100s%s%.80s", step, ldap_err2string(code), detail != NULL && *detail != '\0' ? ": " : "",
		 detail != NULL ? detail : "");
	ldap_memfree(detail);
	return false;
}

/* What is left of the time of this question, for the next call. */
static struct timeval time_left(const struct ldap_session *s)
{
	uint64_t now = clock_mono_ms(), left = s->until_ms > now ? s->until_ms - now : 1;

	return (struct timeval){(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000)};
}

static bool set_time(struct ldap_session *s)
{
	struct timeval left = time_left(s);

	if (s->secure != NULL)
		ldap_secure_until(s->secure, s->until_ms);
	return ldap_set_option(s->ld, LDAP_OPT_TIMEOUT, &left) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(s->ld, LDAP_OPT_NETWORK_TIMEOUT, &left) == LDAP_OPT_SUCCESS;
}

static bool set_bounds(struct ldap_session *s, unsigned answer_bytes_max)
{
	int version = LDAP_VERSION3, never = LDAP_DEREF_NEVER;
	ber_len_t most = answer_bytes_max;
	Sockbuf *sb = NULL;

	return ldap_set_option(s->ld, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(s->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(s->ld, LDAP_OPT_RESTART, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(s->ld, LDAP_OPT_DEREF, &never) == LDAP_OPT_SUCCESS &&
	       ldap_get_option(s->ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb != NULL &&
	       ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &most) == 1 && set_time(s);
}

/* Nothing connects to the URL. */
static bool take_connection(struct ldap_session *s, const struct conf_ldap_server *server)
{
	int flags = fcntl(s->fd, F_GETFL), code;
	char url[300];

	if (flags == -1 || fcntl(s->fd, F_SETFL, flags & ~O_NONBLOCK) == -1)
		return ldap_session_failed(s, "connection", LDAP_LOCAL_ERROR);
	snprintf(url, sizeof(url), server->host != NULL && strchr(server->host, ':') != NULL ? "ldap://[%s]:%u" : "ldap://%s:%u",
		 server->host != NULL ? server->host : "localhost", server->host != NULL ? server->port : 389u);
	code = ldap_init_fd(s->fd, server->path != NULL ? LDAP_PROTO_IPC : LDAP_PROTO_TCP, url, &s->ld);
	return code == LDAP_SUCCESS || ldap_session_failed(s, "connection", code);
}

/* Never by libldap, which would take its certificates from files, and has a library of its own for it (ldap_secure.h). */
static bool start_tls(struct ldap_session *s, const struct conf_ldap_server *server, enum conf_tls_mode mode, struct tls_client *tls)
{
	struct berval *data = NULL;
	char *oid = NULL;
	int code = LDAP_SUCCESS;

	if (mode == TLS_OFF)
		return true;
	if (mode != TLS_IMPLICIT)
		code = ldap_extended_operation_s(s->ld, LDAP_EXOP_START_TLS, NULL, NULL, NULL, &oid, &data);
	ldap_memfree(oid);
	ber_bvfree(data);
	if (code != LDAP_SUCCESS)
		return ldap_session_failed(s, "TLS", code);
	s->secure = ldap_secure_new(s->ld, s->fd, tls, server->host, s->until_ms, s->why, sizeof(s->why));
	return s->secure != NULL;
}

bool ldap_session_open(struct ldap_session *s, const struct conf_ldap_server *server, enum conf_tls_mode mode, struct tls_client *tls,
		       unsigned answer_bytes_max)
{
	return take_connection(s, server) && set_bounds(s, answer_bytes_max) && start_tls(s, server, mode, tls);
}

void ldap_session_close(struct ldap_session *s)
{
	if (s->ld != NULL)
		(void)ldap_unbind_ext_s(s->ld, NULL, NULL);
	else if (s->fd >= 0)
		close(s->fd);
	ldap_secure_free(&s->secure);
	s->ld = NULL;
	s->fd = -1;
}

int ldap_session_bind(struct ldap_session *s, const char *dn, struct slice secret)
{
	struct berval password = {secret.len, NULL};
	char text[1025];
	int code;

	if (dn[0] == '\0' || secret.len == 0 || slice_index(secret, '\0') != SLICE_NONE || !slice_copy(secret, text, sizeof(text)) ||
	    !set_time(s))
		return LDAP_PARAM_ERROR;
	password.bv_val = text;
	code = ldap_sasl_bind_s(s->ld, dn, LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
	mem_wipe(text, sizeof(text));
	return code;
}

int ldap_session_bind_external(struct ldap_session *s)
{
	static char nobody_else[] = "";
	struct berval none = {0, nobody_else}; /* present, and empty: we are who the connection says (RFC 4422, appendix A) */

	return set_time(s) ? ldap_sasl_bind_s(s->ld, NULL, "EXTERNAL", &none, NULL, NULL, NULL) : LDAP_PARAM_ERROR;
}

int ldap_session_search(struct ldap_session *s, const char *base, const char *filter, struct slice value, char **attributes, int most,
			LDAPMessage **result_out)
{
	struct buf filled = buf_make(LDAP_FILTER_MAX * 8);
	struct timeval left = time_left(s);
	int code = LDAP_PARAM_ERROR;

	*result_out = NULL;
	if (ldap_filter_fill(slice_of(filter), value, &filled) && set_time(s))
		code = ldap_search_ext_s(s->ld, base, LDAP_SCOPE_SUBTREE, buf_text(&filled), attributes, 0, NULL, NULL, &left, most, result_out);
	buf_free(&filled);
	return code;
}

bool ldap_session_has_class(struct ldap_session *s, LDAPMessage *entry, const char *object_class)
{
	struct berval **values = ldap_get_values_len(s->ld, entry, "objectClass");
	bool has = object_class == NULL;

	for (size_t i = 0; values != NULL && values[i] != NULL; i++)
		has = has || slice_eq_nocase(slice_make(values[i]->bv_val, values[i]->bv_len), slice_of(object_class));
	ldap_value_free_len(values);
	return has;
}
