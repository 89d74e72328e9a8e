#include "backend.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a server says behind a login, a database and a question: it is waited for, answered or broken. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct conf_backend conf = {.key = "?", .number = 1};
	struct backend_answer answer = {OC_UNAVAILABLE, buf_make(BACKEND_VALUE_MAX), ""};
	enum backend_want want;
	void *connection;
	int pair[2];

	if (size > 100000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1)
		return 0;
	connection = backend_redis.open(&(struct backend_opening){.conf = &conf, .user = slice_of("u"), .secret = slice_of("p")}, pair[0]);
	if (connection != NULL && write(pair[1], data, size) == (ssize_t)size) {
		for (unsigned i = 0; i < 4; i++) {
			want = backend_redis.step(connection, &answer);
			if (want == BACKEND_BROKEN)
				break;
			if (want == BACKEND_READY && !backend_redis.ask(connection, slice_of("k")))
				break;
			buf_clear(&answer.value);
		}
	}
	if (connection != NULL)
		backend_redis.close(connection);
	close(pair[1]);
	buf_free(&answer.value);
	return 0;
}
