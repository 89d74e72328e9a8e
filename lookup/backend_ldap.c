#include "backend.h"
#include "ldap_session.h"

#include "base/clock.h"
#include "base/mem.h"

#include <unistd.h>

/*
 * A directory as a table, by libldap, which blocks: this process has nothing else to do, and each step ends within the table's timeout.
 *
 *   open --TLS, bind--> ready --search--> no entry: no; entries of the class: their values; all else: unknown
 */
#define ANSWER_BYTES_MAX (1u << 20)

struct connection {
	const struct conf_backend *conf; /* borrowed */
	const struct conf_ldap_server *server; /* borrowed */
	struct tls_client *tls; /* borrowed, until it is open; NULL: none */
	struct ldap_session s;
	char user[513], secret[1025]; /* until it is open */
	bool open, asked;
	size_t len;
	char key[1024];
};

static void *open_connection(const struct backend_opening *o, int fd)
{
	struct connection *c = mem_new(1, sizeof(*c));

	if (c == NULL || !slice_copy(o->user, c->user, sizeof(c->user)) || !slice_copy(o->secret, c->secret, sizeof(c->secret))) {
		close(fd);
		free(c);
		return NULL;
	}
	c->conf = o->conf;
	c->server = o->server;
	c->tls = o->tls;
	c->s.fd = fd;
	return c;
}

static void close_connection(void *connection)
{
	struct connection *c = connection;

	ldap_session_close(&c->s);
	mem_wipe(c->secret, sizeof(c->secret));
	free(c);
}

static enum backend_want broken(struct connection *c, struct backend_answer *out)
{
	backend_why(out, "", slice_of(c->s.why));
	return BACKEND_BROKEN;
}

static bool log_in(struct connection *c)
{
	int code = LDAP_SUCCESS;

	if (c->conf->external)
		code = ldap_session_bind_external(&c->s);
	else if (c->conf->login != NULL)
		code = ldap_session_bind(&c->s, c->user, slice_of(c->secret));
	mem_wipe(c->secret, sizeof(c->secret));
	return code == LDAP_SUCCESS || ldap_session_failed(&c->s, "bind", code);
}

static enum backend_want step_open(struct connection *c, struct backend_answer *out)
{
	c->open = ldap_session_open(&c->s, c->server, c->conf->tls.mode, c->tls, ANSWER_BYTES_MAX) && log_in(c);
	return c->open ? BACKEND_READY : broken(c, out);
}

/* What came unasked: a ticket of TLS is nothing, a notice of disconnection the end. */
static enum backend_want step_idle(struct connection *c, struct backend_answer *out)
{
	struct timeval none = {0, 0};
	LDAPMessage *said = NULL;
	int code = ldap_result(c->s.ld, LDAP_RES_ANY, LDAP_MSG_ONE, &none, &said);

	if (said != NULL)
		(void)ldap_msgfree(said);
	if (code == 0)
		return BACKEND_READY;
	backend_why(out, "the server ended the connection", slice_empty());
	return BACKEND_BROKEN;
}

/* The values of one entry, behind those before it. */
static bool add_values(struct connection *c, LDAPMessage *entry, struct buf *value, size_t *count)
{
	struct berval **values = ldap_get_values_len(c->s.ld, entry, c->conf->attribute);
	bool good = true;

	for (size_t i = 0; good && values != NULL && values[i] != NULL; i++) {
		struct slice text = slice_make(values[i]->bv_val, values[i]->bv_len);

		good = ++*count <= BACKEND_ROWS_MAX && slice_index(text, '\0') == SLICE_NONE && (*count == 1 || buf_add_char(value, ',')) &&
		       buf_add_slice(value, text);
	}
	ldap_value_free_len(values);
	return good;
}

/* An entry that has not the class is none; one of it without the attribute is there, with nothing. */
static void take_entries(struct connection *c, LDAPMessage *result, struct backend_answer *out)
{
	size_t count = 0;

	out->oc = OC_NOT_FOUND;
	for (LDAPMessage *e = ldap_first_entry(c->s.ld, result); e != NULL; e = ldap_next_entry(c->s.ld, e)) {
		if (!ldap_session_has_class(&c->s, e, c->conf->object_class))
			continue;
		out->oc = OC_DONE;
		if (!add_values(c, e, &out->value, &count)) {
			backend_why(out, "a value of more than 64 KiB or 1000 values, or with a NUL", slice_empty());
			return;
		}
	}
}

/* Codes that leave the connection as it was: the directory has answered. */
static bool is_answer(int code)
{
	return code == LDAP_SIZELIMIT_EXCEEDED || code == LDAP_TIMELIMIT_EXCEEDED || code == LDAP_INSUFFICIENT_ACCESS ||
	       code == LDAP_NO_SUCH_OBJECT || code == LDAP_FILTER_ERROR;
}

static enum backend_want step_asked(struct connection *c, struct backend_answer *out)
{
	static char object_class[] = "objectClass";
	char attribute[129];
	char *attributes[] = {object_class, attribute, NULL};
	LDAPMessage *result = NULL;
	int code = LDAP_PARAM_ERROR;

	c->asked = false;
	if (slice_copy(slice_of(c->conf->attribute), attribute, sizeof(attribute)))
		code = ldap_session_search(&c->s, c->conf->base, c->conf->filter, slice_make(c->key, c->len), attributes, BACKEND_ROWS_MAX,
					   &result);
	if (code == LDAP_SUCCESS && result != NULL)
		take_entries(c, result, out);
	else
		(void)ldap_session_failed(&c->s, "search", code);
	if (result != NULL)
		(void)ldap_msgfree(result);
	if (code == LDAP_SUCCESS)
		return BACKEND_ANSWER;
	if (!is_answer(code))
		return broken(c, out);
	backend_why(out, "", slice_of(c->s.why));
	return BACKEND_ANSWER;
}

static enum backend_want step(void *connection, struct backend_answer *out)
{
	struct connection *c = connection;

	c->s.until_ms = clock_mono_ms() + c->conf->timeout_ms;
	if (!c->open)
		return step_open(c, out);
	return c->asked ? step_asked(c, out) : step_idle(c, out);
}

static bool ask(void *connection, struct slice key)
{
	struct connection *c = connection;

	c->len = key.len;
	memcpy(c->key, key.at, key.len);
	c->asked = true;
	return true;
}

const struct backend_kind backend_ldap = {open_connection, step, ask, close_connection};
