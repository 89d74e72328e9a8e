#include "test_server.h"

#include "base/log.h"
#include "rdata.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

static size_t question_end(const unsigned char *p, size_t len)
{
	size_t at = 12;

	while (at < len && p[at] != 0)
		at += p[at] + 1u;
	return at + 5;
}

static bool is_asked(struct slice packet, const char *label)
{
	return slice_find(packet, slice_of(label)) != SLICE_NONE;
}

static void on_question(int fd, unsigned what, void *arg)
{
	static const char mx[] = "\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x08\0\x0a\3mx1\xc0\x0c";
	static const char a[] = "\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x33\x64\x07"; /* 198.51.100.7 */
	struct test_server *s = arg;
	unsigned char p[1500];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(fd, p, 512, 0, (struct sockaddr *)&from, &from_len);
	size_t len = n < 17 ? 0 : question_end(p, (size_t)n);
	struct slice packet = slice_make((const char *)p, (size_t)n);
	bool exists = is_asked(packet, "\7example\4test") && !is_asked(packet, "\3nxd");

	(void)what;
	if (len == 0 || len > 512 || is_asked(packet, "\6silent"))
		return;
	s->asked++;
	p[2] = 0x81;
	p[3] = (unsigned char)(0x80 | (is_asked(packet, "\4fail") ? 2 : exists ? 0 : 3));
	memset(p + 6, 0, 6);
	if (exists && p[len - 3] == RDATA_MX) {
		p[7] = 1;
		memcpy(p + len, mx, sizeof(mx) - 1);
		len += sizeof(mx) - 1;
	} else if (exists && p[len - 3] == RDATA_A) {
		p[7] = 1;
		memcpy(p + len, a, sizeof(a) - 1);
		len += sizeof(a) - 1;
	}
	(void)!sendto(fd, p, len, 0, (const struct sockaddr *)&from, from_len);
}

void test_server_open(struct test_server *s)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(here);

	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	MUST(bind(s->fd, (const struct sockaddr *)&here, len) == 0);
	MUST(getsockname(s->fd, (struct sockaddr *)&here, &len) == 0);
	snprintf(s->forwarder, sizeof(s->forwarder), "forward 127.0.0.1@%u", ntohs(here.sin_port));
}

void test_server_start(struct test_server *s, struct loop *loop)
{
	s->watch = watch_new(loop, s->fd, on_question, s);
	watch_want(s->watch, WATCH_READ);
}

void test_server_stop(struct test_server *s)
{
	watch_free(&s->watch);
}
