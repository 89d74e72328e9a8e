#include "bridge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 64u

/* What libpq is given of it is as long, or shorter by a whole word; and the rest is as it came. */
static void look_at_first(const uint8_t *data, size_t size)
{
	struct buf in = buf_make(size + 1);

	if (buf_add(&in, data, size) && bridge_first_message(&in) && size > 0) {
		size_t dropped = size - in.len;

		if (in.len > size || (in.len == size && memcmp(in.at, data, size) != 0) || (dropped > 0 && dropped < sizeof("SCRAM-SHA-256-PLUS") - 1))
			abort();
	}
	buf_free(&in);
}

/* Whatever a server says from the first byte on: it is waited for, answered or broken. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_backend conf = {.query = "select v from t where k = ?", .database = "mail", .timeout_ms = 5000};
	static const struct conf_ldap_server server = {.host = "127.0.0.1", .port = 5432};
	const struct backend_opening opening = {.conf = &conf, .server = &server, .user = slice_of("u"), .secret = slice_of("p")};
	struct backend_answer answer = {OC_UNAVAILABLE, buf_make(BACKEND_VALUE_MAX), ""};
	void *connection;
	int pair[2];

	look_at_first(data, size);
	if (size > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		return 0;
	connection = backend_postgresql.open(&opening, pair[0]);
	if (connection != NULL && write(pair[1], data, size) == (ssize_t)size) {
		(void)shutdown(pair[1], SHUT_WR);
		for (unsigned i = 0; i < STEPS_MAX; i++) {
			enum backend_want want = backend_postgresql.step(connection, &answer);

			if (want == BACKEND_BROKEN || (want == BACKEND_READY && !backend_postgresql.ask(connection, slice_of("k"))))
				break;
			if (want == BACKEND_ANSWER && answer.oc == OC_DONE && slice_index(buf_slice(&answer.value), '\0') != SLICE_NONE)
				abort();
			buf_clear(&answer.value);
		}
	}
	if (connection != NULL)
		backend_postgresql.close(connection);
	close(pair[1]);
	buf_free(&answer.value);
	return 0;
}
