#ifndef POSTERN_IPC_LINK_H
#define POSTERN_IPC_LINK_H

#include "event/loop.h"
#include "ipc/message.h"

/*
 * One end of a SOCK_SEQPACKET pair between two processes.  Packets hold several messages (what is said in one turn of the
 * loop travels together); a descriptor travels with the only message of its packet.
 *
 * Always: the peer's role was given by the master; admission is decided before decoding; a bad message ends the link; a
 * question gets exactly one callback (its answer, or NULL when the link broke, the time was over, or it could not be sent).
 * Nothing here blocks.  What waits to be sent has a ceiling; beyond it sending fails.  Want of memory is never the peer's fault:
 * the process exits 75 (the master: it breaks the link without a reason), or tries again a moment later.
 */
struct link;

/* A statement or a question arrived.  Answer questions with link_answer(link, m->request, ...), now or later. */
typedef void link_message_fn(struct link *link, struct ipc_message *m, void *arg);
/* The link is dead (peer gone, or it broke the rules: then `broke_rules` says how).  Called once; free the link in or after
 * it.  Open questions have got their NULL before. */
typedef void link_broken_fn(struct link *link, const char *broke_rules, void *arg);
/* `m` is NULL on failure.  Borrowed until the callback returns. */
typedef void link_answer_fn(struct ipc_message *m, void *arg);

struct link_config {
	enum role self, peer;
	uint64_t instance; /* of the peer */
	link_message_fn *on_message;
	link_broken_fn *on_broken;
	void *arg;
};

#define LINK_ASK_MS 30000u /* default deadline of a question */
#define LINK_QUEUED_MAX (16u << 20)
#define LINK_PACKET_MAX (128u << 10)

/* Takes `fd` in every case.  NULL: no memory. */
struct link *link_new(struct loop *loop, int fd, const struct link_config *config);
void link_free(struct link **lp);

enum role link_peer(const struct link *l);
uint64_t link_instance(const struct link *l);
/* Borrowed, for a forked child that says something of its own there (link_tell_now); -1 once broken. */
int link_fd(const struct link *l);
size_t link_queued_bytes(const struct link *l);
size_t link_open_questions(const struct link *l);

/* A statement.  `fd` (or -1) is taken in every case.  False: not sent, and never will be. */
bool link_tell(struct link *l, enum ipc_type type, const void *body, int fd);
/* A question.  `on_answer` is called exactly once, never from inside link_ask; a number to forget it by, never 0. */
uint64_t link_ask(struct link *l, enum ipc_type type, const void *body, uint64_t timeout_ms, link_answer_fn *on_answer,
		  void *arg);
/* The same for a payload that was encoded before (ipc_encode). */
uint64_t link_ask_encoded(struct link *l, enum ipc_type type, struct slice payload, uint64_t timeout_ms,
			  link_answer_fn *on_answer, void *arg);
bool link_is_broken(const struct link *l);
/* The callback will not be called; the answer is dropped when it comes. */
void link_forget(struct link *l, uint64_t number);
bool link_answer(struct link *l, uint64_t request, enum ipc_type type, const void *body, int fd);

/* Sends what waits now instead of at the end of the turn; true when all of it left. */
bool link_flush(struct link *l);
/* Reads and handles what has arrived, without waiting. */
void link_drain(struct link *l);
/* Stop reading from this peer (it is not heard, and in time its own sends wait); and again. */
void link_pause(struct link *l, bool paused);
/* Ends the link as if the peer had broken the rules (a state it may not be in, a session that is not its own). */
void link_break(struct link *l, const char *why);
/* The same for one that lets too much wait: unless it waits for memory of ours. */
void link_break_deaf(struct link *l);

/* SOCK_SEQPACKET | CLOEXEC | NONBLOCK, buffers as large as a packet needs.  False: errno. */
bool link_pair(int out[2]);

/*
 * For a program without a loop (a command, a short-lived child): blocking, on a blocking socket.  A packet may hold several
 * messages; the reader keeps what is left of it.  Texts in a message stand until the next call.
 */
struct link_now {
	int fd; /* borrowed */
	enum role self, peer;
	char *space; /* borrowed: LINK_PACKET_MAX bytes */
	struct slice rest;
	int passed_fd; /* -1 */
};
#define LINK_NOW(fd_, self_, peer_, space_) ((struct link_now){(fd_), (self_), (peer_), (space_), {"", 0}, -1})
/* False: closed, SO_RCVTIMEO over, or malformed. */
bool link_receive_now(struct link_now *n, struct ipc_message *out);
/* `pass_fd` (or -1) stays the caller's.  False with errno: ENOMEM and ENOBUFS may pass. */
bool link_tell_now(int fd, enum ipc_type type, uint64_t request, bool is_answer, const void *body, int pass_fd);

#endif
