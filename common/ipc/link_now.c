#include "ipc/link.h"
#include "ipc/packet.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void drop_passed(struct link_now *n)
{
	if (n->passed_fd >= 0)
		close(n->passed_fd);
	n->passed_fd = -1;
}

static bool refill(struct link_now *n)
{
	bool fds = ipc_takes_fds(n->self, n->peer);
	size_t len;

	drop_passed(n);
	if (packet_receive(n->fd, n->space, LINK_PACKET_MAX, &len, fds ? &n->passed_fd : NULL) != PACKET_DONE)
		return false;
	n->rest = slice_make(n->space, len);
	return true;
}

bool link_receive_now(struct link_now *n, struct ipc_message *out)
{
	struct ipc_head head;
	struct slice payload;

	if (n->rest.len == 0 && !refill(n))
		return false;
	if (!ipc_head_decode(n->rest, &head) || head.length > n->rest.len - IPC_HEAD_BYTES ||
	    ipc_admit(n->self, n->peer, &head, n->passed_fd >= 0) != IPC_ADMIT)
		return false;
	payload = slice_sub(n->rest, IPC_HEAD_BYTES, head.length);
	n->rest = slice_from(n->rest, IPC_HEAD_BYTES + head.length);
	out->request = head.request;
	out->is_answer = (head.flags & IPC_FLAG_ANSWER) != 0;
	out->fd = n->passed_fd;
	n->passed_fd = -1;
	return ipc_decode((enum ipc_type)head.type, payload, out);
}

bool link_tell_now(int fd, enum ipc_type type, uint64_t request, bool is_answer, const void *body, int pass_fd)
{
	struct buf packet = buf_make(LINK_PACKET_MAX);
	struct ipc_head head = {(uint16_t)type, is_answer ? IPC_FLAG_ANSWER : 0, 0, request};
	char *room = buf_room(&packet, IPC_HEAD_BYTES);
	bool sent = false;
	int err = ENOMEM;

	packet.secret = ipc_is_secret(type);
	if (room != NULL) {
		buf_grew(&packet, IPC_HEAD_BYTES);
		if (ipc_encode(type, body, &packet)) {
			head.length = (uint32_t)(packet.len - IPC_HEAD_BYTES);
			ipc_head_encode(&head, packet.at);
			sent = packet_send(fd, buf_slice(&packet), pass_fd) == PACKET_DONE;
			err = errno;
		} else {
			err = EMSGSIZE;
		}
	}
	buf_free(&packet);
	errno = err;
	return sent;
}

bool link_pair(int out[2])
{
	int size = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out) == -1)
		return false;
	for (int i = 0; i < 2; i++)
		(void)setsockopt(out[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return true;
}
