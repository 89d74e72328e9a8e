#include "ipc/packet.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_the_end(int err)
{
	return err == EPIPE || err == ECONNRESET || err == ECONNREFUSED || err == ENOTCONN;
}

static enum packet_result not_sent(void)
{
	if (errno == EAGAIN)
		return PACKET_AGAIN;
	if (errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS)
		return PACKET_NO_MEMORY;
	return is_the_end(errno) ? PACKET_CLOSED : PACKET_FAILED;
}

static enum packet_result not_received(void)
{
	if (errno == EAGAIN)
		return PACKET_AGAIN;
	return is_the_end(errno) ? PACKET_CLOSED : PACKET_FAILED;
}

enum packet_result packet_send(int socket, struct slice bytes, int pass_fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes.at, .iov_len = bytes.len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (pass_fd >= 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &pass_fd, sizeof(int));
	}
	do {
		n = sendmsg(socket, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? not_sent() : PACKET_DONE;
}

#define CONTROL_FDS 4u

/* Takes the only descriptor; closes all of them when there is more than one. */
static enum packet_result take_fds(struct msghdr *msg, int *fd_out)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= c->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + at, sizeof(int));
			if (count++ == 0)
				*fd_out = fd;
			else
				close(fd);
		}
	}
	if (count > 1 || (msg->msg_flags & MSG_CTRUNC) != 0) {
		if (*fd_out >= 0)
			close(*fd_out);
		*fd_out = -1;
		/* Fewer came than there was space for: it was our table that had no room. */
		return count <= 1 ? PACKET_NO_ROOM : PACKET_BAD;
	}
	return PACKET_DONE;
}

static ssize_t receive_once(int socket, struct msghdr *msg)
{
	ssize_t n;

	do {
		n = recvmsg(socket, msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	return n;
}

/* A peer that ended before it had read all is told of first, once; what it said before that still lies there. */
enum packet_result packet_receive(int socket, char *space, size_t size, size_t *len_out, int *fd_out)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = space, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	enum packet_result taken = PACKET_DONE;
	ssize_t n;

	if (fd_out != NULL) {
		*fd_out = -1;
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
	}
	n = receive_once(socket, &msg);
	if (n < 0 && errno == ECONNRESET)
		n = receive_once(socket, &msg);
	if (n < 0)
		return not_received();
	if (fd_out != NULL)
		taken = take_fds(&msg, fd_out);
	if (taken != PACKET_DONE)
		return taken;
	if (n == 0)
		return PACKET_CLOSED;
	*len_out = (size_t)n;
	if ((msg.msg_flags & MSG_TRUNC) != 0) {
		if (fd_out != NULL && *fd_out >= 0)
			close(*fd_out);
		return PACKET_BAD;
	}
	return PACKET_DONE;
}
