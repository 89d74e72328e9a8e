/*
 * Says to a live process every message there is, as each of its peers could who had been taken over, and prints what became of
 * it:
 *
 *	say ROLE MASTER FD      FD is the master's end of its link to that process; the master is stopped meanwhile
 *
 * For each peer of the trust graph the process is given links as the master gives them, one for each try; session 1 was given to
 * another worker than theirs.
 *
 *	LINK MESSAGE PLAIN ZERO HUGE QUESTION ANSWER OTHER-FD SHORT LONG     what the peer may say; each is heard | cut
 *	accepted LINK MESSAGE                                                what it may not say, and was not cut for
 *	tried N
 *
 * Or, on a link of process PID of that role itself, one message that it may not say to that listener:
 *
 *	say --lie ROLE LISTENER PID FD
 */
#include "base/log.h"
#include "base/mem.h"
#include "ipc/link.h"
#include "ipc/packet.h"
#include "roster.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAIT_MS 20000
#define FIRST_INSTANCE 5000u /* nobody's */
#define GENERATION 1u

/* ---- a message of any type ---- */

struct filling {
	uint64_t number;
	struct slice text;
};

#define U64(n) b.n = f->number;
#define OUTCOME(n) b.n = OC_DONE;
#define TEXT(n, max) b.n = slice_sub(f->text, 0, (max));
#define BYTES(n, max) b.n = slice_sub(f->text, 0, (max));
#define SECRET(n, max) b.n = slice_sub(f->text, 0, (max));
#define REC(name, max, fields)
#define MSG(name, from, to, fds, max, resend, fields)                                              \
	static bool encode_##name(const struct filling *f, struct buf *out)                        \
	{                                                                                          \
		struct msg_##name b;                                                               \
                                                                                                   \
		(void)f; /* a message without fields has none */                                   \
		fields return ipc_encode(IPC_##name, &b, out);                                     \
	}
#include "ipc/messages.def"
#undef MSG
static bool (*const encoders[IPC_COUNT])(const struct filling *f, struct buf *out) = {
#define MSG(name, from, to, fds, max, resend, fields) [IPC_##name] = encode_##name,
#include "ipc/messages.def"
#undef MSG
};

/* ---- ways to say it ---- */

#define MANY_AS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static const struct way {
	const char *name;
	uint64_t number, request;
	const char *text;
	bool is_answer, other_fd;
	int more; /* bytes of the payload, more or fewer */
} ways[] = {
	{"plain", 1, 0, "x", false, false, 0},
	{"zero", 0, 0, "", false, false, 0},
	{"huge", UINT64_MAX, 0, MANY_AS, false, false, 0},
	{"question", 1, 5, "x", false, false, 0},
	{"answer", 1, 12345, "x", true, false, 0},
	{"other-fd", 1, 0, "x", false, true, 0},
	{"short", 1, 0, "x", false, false, -1},
	{"long", 1, 0, "x", false, false, 1},
};

static void make_packet(enum ipc_type type, const struct way *way, struct buf *out)
{
	const struct filling f = {way->number, slice_of(way->text)};
	struct ipc_head head = {(uint16_t)type, way->is_answer ? IPC_FLAG_ANSWER : 0, 0, way->request};

	buf_grew(out, buf_room(out, IPC_HEAD_BYTES) == NULL ? 0 : IPC_HEAD_BYTES);
	MUST(encoders[type](&f, out));
	if (way->more > 0)
		MUST(buf_add_char(out, '\0'));
	if (way->more < 0)
		out->len--;
	head.length = (uint32_t)(out->len - IPC_HEAD_BYTES);
	ipc_head_encode(&head, out->at);
}

/* ---- the process ---- */

struct stage {
	enum role self; /* who listens */
	struct link_now master;
	uint64_t instances;
	int file; /* to be passed along */
	unsigned long tried;
};

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "say: %s: %s\n", what, strerror(errno));
	exit(1);
}

static bool hear_status(struct stage *s)
{
	struct pollfd p = {s->master.fd, POLLIN, 0};
	struct ipc_message m = {.fd = -1};

	if (s->master.rest.len == 0 && poll(&p, 1, WAIT_MS) != 1)
		give_up("it hangs");
	if (!link_receive_now(&s->master, &m))
		give_up("it has ended");
	return m.type == IPC_STATUS;
}

/* Thrice: what was said to it elsewhere is heard in one of these turns. */
static void settle(struct stage *s)
{
	for (int i = 0; i < 3; i++) {
		if (!link_tell_now(s->master.fd, IPC_STATUS_ASK, 1, false, &(struct msg_STATUS_ASK){0}, -1))
			give_up("it has ended");
		while (!hear_status(s))
			continue;
	}
}

static int attach(struct stage *s, enum role peer)
{
	const struct msg_LINK_ATTACH body = {(uint64_t)peer, FIRST_INSTANCE + s->instances++, GENERATION};
	int pair[2];

	if (!link_pair(pair) || !link_tell_now(s->master.fd, IPC_LINK_ATTACH, 0, false, &body, pair[1]))
		give_up("link");
	close(pair[1]);
	return pair[0];
}

static int say(struct stage *s, enum role peer, enum ipc_type type, const struct way *way)
{
	struct buf packet = buf_make(LINK_PACKET_MAX);
	bool with_fd = ipc_may_carry_fd(type) != way->other_fd;
	int fd = attach(s, peer);

	make_packet(type, way, &packet);
	if (packet_send(fd, buf_slice(&packet), with_fd ? s->file : -1) != PACKET_DONE)
		give_up("send");
	buf_free(&packet);
	s->tried++;
	return fd;
}

static bool is_cut(int fd)
{
	char bytes[512];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		continue;
	return n == 0 || errno == ECONNRESET;
}

/* ---- every message ---- */

static bool may_say(enum role self, enum role peer, enum ipc_type type)
{
	const struct ipc_head head = {(uint16_t)type, 0, 0, 0};

	return ipc_admit(self, peer, &head, ipc_may_carry_fd(type)) == IPC_ADMIT;
}

static void say_allowed(struct stage *s, enum role peer, enum ipc_type type)
{
	int fds[ARRAY_LEN(ways)];

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		fds[i] = say(s, peer, type, &ways[i]);
	settle(s);
	printf("%s<%s %s", role_name(s->self), role_name(peer), ipc_type_name(type));
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		printf(" %s", is_cut(fds[i]) ? "cut" : "heard");
		close(fds[i]);
	}
	printf("\n");
}

/* All that it may not say, each on a link of its own. */
static void say_forbidden(struct stage *s, enum role peer, const struct way *way)
{
	int fds[IPC_COUNT];

	for (unsigned type = 0; type < IPC_COUNT; type++)
		fds[type] = may_say(s->self, peer, (enum ipc_type)type) ? -1 : say(s, peer, (enum ipc_type)type, way);
	settle(s);
	for (unsigned type = 0; type < IPC_COUNT; type++) {
		if (fds[type] < 0)
			continue;
		if (!is_cut(fds[type]))
			printf("accepted %s<%s %s\n", role_name(s->self), role_name(peer), ipc_type_name((enum ipc_type)type));
		close(fds[type]);
	}
}

/* A session that was given to another worker than those that will speak of it.  The gate's link: it stays. */
static int hold_session(struct stage *s)
{
	const struct msg_SESSION_OPEN open = {.session = 1,
					      .worker = FIRST_INSTANCE - 1,
					      .generation = GENERATION,
					      .uid = UINT64_MAX,
					      .client = slice_of("192.0.2.1"),
					      .local = slice_of("192.0.2.2"),
					      .local_port = 25};
	int fd = attach(s, ROLE_GATE);

	if (!link_tell_now(fd, IPC_SESSION_OPEN, 0, false, &open, -1))
		give_up("session");
	settle(s);
	return fd;
}

static void be(struct stage *s, enum role peer)
{
	int gate = may_say(s->self, ROLE_GATE, IPC_SESSION_OPEN) ? hold_session(s) : -1;

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (ways[i].more == 0 && ways[i].number == 1)
			say_forbidden(s, peer, &ways[i]); /* the payload is of no concern */
	for (unsigned type = 0; type < IPC_COUNT; type++)
		if (may_say(s->self, peer, (enum ipc_type)type))
			say_allowed(s, peer, (enum ipc_type)type);
	if (gate >= 0)
		close(gate);
}

static enum role role_called(const char *name)
{
	unsigned role = 0;

	while (role < ROLE_COUNT && strcmp(role_name((enum role)role), name) != 0)
		role++;
	return (enum role)role;
}

static int take_descriptor(const char *pid, const char *fd)
{
	int process = (int)syscall(SYS_pidfd_open, strtol(pid, NULL, 10), 0);
	int copy = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, strtol(fd, NULL, 10), 0);

	if (copy < 0)
		give_up("its descriptor");
	return copy;
}

static int lie(enum role self, enum role listener, int fd)
{
	struct buf packet = buf_make(LINK_PACKET_MAX);
	unsigned type = IPC_LINK_ATTACH + 1;

	while (may_say(listener, self, (enum ipc_type)type) || ipc_may_carry_fd((enum ipc_type)type))
		type++;
	make_packet((enum ipc_type)type, &ways[0], &packet);
	if (packet_send(fd, buf_slice(&packet), -1) != PACKET_DONE)
		give_up("send");
	printf("%s\n", ipc_type_name((enum ipc_type)type));
	return 0;
}

int main(int argc, char **argv)
{
	static char space[LINK_PACKET_MAX];
	static struct stage s;

	if (argc == 6 && strcmp(argv[1], "--lie") == 0)
		return lie(role_called(argv[2]), role_called(argv[3]), take_descriptor(argv[4], argv[5]));
	if (argc != 4 || (s.self = role_called(argv[1])) == ROLE_COUNT) {
		fprintf(stderr, "usage: say ROLE MASTER FD | say --lie ROLE LISTENER PID FD\n");
		return 64;
	}
	s.master = LINK_NOW(take_descriptor(argv[2], argv[3]), ROLE_MASTER, s.self, space);
	s.file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	settle(&s);
	for (unsigned peer = 0; peer < ROLE_COUNT; peer++)
		if (peer != ROLE_MASTER && trust_has(s.self, (enum role)peer))
			be(&s, (enum role)peer);
	printf("tried %lu\n", s.tried);
	return 0;
}
