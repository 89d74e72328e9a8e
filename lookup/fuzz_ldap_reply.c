#include "backend.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libldap loses the notice of disconnection itself, once a connection (RFC 4511 §4.4.1); what is ours to free, test_backends.c looks at. */
const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
	return "detect_leaks=0";
}

/* Whatever a directory says to a search of a table, and then nothing more: an answer, or a connection that is broken. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_backend conf = {
		.base = "dc=x", .filter = "(mail=?)", .attribute = "cn", .object_class = "person", .timeout_ms = 1000};
	static const struct conf_ldap_server server = {.host = "127.0.0.1", .port = 389};
	const struct backend_opening opening = {.conf = &conf, .server = &server, .user = slice_empty(), .secret = slice_empty()};
	struct backend_answer answer = {OC_UNAVAILABLE, buf_make(BACKEND_VALUE_MAX), ""};
	void *connection;
	int pair[2];

	if (size > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		return 0;
	connection = backend_ldap.open(&opening, pair[0]);
	if (connection != NULL && write(pair[1], data, size) == (ssize_t)size && shutdown(pair[1], SHUT_WR) == 0 &&
	    backend_ldap.step(connection, &answer) == BACKEND_READY && backend_ldap.ask(connection, slice_of("a*b"))) {
		if (backend_ldap.step(connection, &answer) == BACKEND_ANSWER && answer.oc == OC_DONE &&
		    slice_index(buf_slice(&answer.value), '\0') != SLICE_NONE)
			abort();
	}
	if (connection != NULL)
		backend_ldap.close(connection);
	close(pair[1]);
	buf_free(&answer.value);
	return 0;
}
