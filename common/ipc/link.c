#include "ipc/link.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ipc/packet.h"

#include <errno.h>
#include <sys/queue.h>
#include <unistd.h>

/*
 *   OPEN --peer gone, rule broken, link_break--> BROKEN --link_free--> gone
 *
 * `depth` counts the calls into the owner that are on the stack: memory goes only when it is 0.
 * Messages said in one turn gather in `open`; a packet that could not be sent waits in `waiting`, in order.
 *
 *   FLOWING --socket full--> BLOCKED (until it can be written) --all of `waiting` left--> FLOWING
 *      '-- no memory to send it --> BLOCKED with `retry` set (a socket that can be written says nothing of memory) --^
 */
struct packet {
	STAILQ_ENTRY(packet) peers;
	size_t len;
	int fd; /* owned; -1: none */
	bool secret;
	char bytes[];
};

TAILQ_HEAD(questions, question);

struct question {
	TAILQ_ENTRY(question) peers;
	struct questions *in; /* `asked` or `failing` of its link */
	struct link *link;
	uint64_t number;
	enum ipc_type answer;
	uint64_t deadline_ms;
	link_answer_fn *on_answer;
	void *arg;
};

struct link {
	struct link_config config;
	struct loop *loop;
	int fd; /* owned; -1 once broken */
	struct watch *watch;
	struct soon *soon;
	struct timer *tick;
	struct timer *retry; /* set: BLOCKED for want of memory */
	struct buf open;
	bool open_secret;
	STAILQ_HEAD(, packet) waiting;
	size_t waiting_bytes;
	struct questions asked, failing; /* owned; failing: their NULL is due */
	struct map *by_number; /* -> struct question, but those there was no place for */
	uint64_t last_number;
	unsigned depth;
	bool takes_fds, broken, told, freed, paused, blocked;
	const char *why;
};

#define QUESTIONS_MAX 200000
#define TICK_MS 250
#define RETRY_MS 30 /* memory may be there again */
#define PACKETS_A_TURN 16
#define DRAIN_TURNS 256 /* of a socket that is refilled while we read: an end */
#define NESTING_MAX 4

/* A handler may drain another link, so each depth of receiving has a buffer of its own. */
static char *receive_space[NESTING_MAX];
static unsigned receive_depth;

static void on_soon(void *arg);
static void on_tick(void *arg);
static void on_retry(void *arg);
static void on_ready(int fd, unsigned what, void *arg);

static void update_watch(struct link *l)
{
	if (l->watch != NULL)
		watch_want(l->watch, (l->paused ? 0u : WATCH_READ) | (l->blocked && !timer_is_set(l->retry) ? WATCH_WRITE : 0u));
}

struct link *link_new(struct loop *loop, int fd, const struct link_config *config)
{
	struct link *l = mem_new(1, sizeof(*l));

	if (l == NULL) {
		close(fd);
		return NULL;
	}
	l->config = *config;
	l->loop = loop;
	l->fd = fd;
	l->open = buf_make(LINK_PACKET_MAX);
	STAILQ_INIT(&l->waiting);
	TAILQ_INIT(&l->asked);
	TAILQ_INIT(&l->failing);
	l->takes_fds = ipc_takes_fds(config->self, config->peer);
	l->by_number = map_new(QUESTIONS_MAX);
	l->watch = watch_new(loop, fd, on_ready, l);
	l->soon = soon_new(loop, on_soon, l);
	l->tick = timer_new(loop, on_tick, l);
	l->retry = timer_new(loop, on_retry, l);
	if (l->by_number == NULL || l->watch == NULL || l->soon == NULL) {
		link_free(&l);
		return NULL;
	}
	update_watch(l);
	return l;
}

static void packet_free(struct packet *p)
{
	if (p->fd >= 0)
		close(p->fd);
	if (p->secret)
		mem_wipe(p->bytes, p->len);
	free(p);
}

static void drop_waiting(struct link *l)
{
	while (!STAILQ_EMPTY(&l->waiting)) {
		struct packet *p = STAILQ_FIRST(&l->waiting);

		STAILQ_REMOVE_HEAD(&l->waiting, peers);
		packet_free(p);
	}
	l->waiting_bytes = 0;
	buf_free(&l->open);
}

static void close_socket(struct link *l)
{
	watch_free(&l->watch);
	timer_stop(l->retry);
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	drop_waiting(l);
}

static void free_questions(struct questions *list)
{
	struct question *q;

	while ((q = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, q, peers);
		free(q);
	}
}

static void destroy(struct link *l)
{
	close_socket(l);
	soon_free(&l->soon);
	timer_free(&l->tick);
	timer_free(&l->retry);
	free_questions(&l->asked);
	free_questions(&l->failing);
	map_free(&l->by_number);
	free(l);
}

void link_free(struct link **lp)
{
	struct link *l = *lp;

	if (l == NULL)
		return;
	*lp = NULL;
	l->freed = true;
	l->broken = true;
	if (l->depth > 0)
		close_socket(l);
	else
		destroy(l);
}

static void enter(struct link *l)
{
	l->depth++;
}

/* False: the link's memory is gone. */
static bool leave(struct link *l)
{
	if (--l->depth == 0 && l->freed) {
		destroy(l);
		return false;
	}
	return true;
}

enum role link_peer(const struct link *l)
{
	return l->config.peer;
}

uint64_t link_instance(const struct link *l)
{
	return l->config.instance;
}

int link_fd(const struct link *l)
{
	return l->fd;
}

bool link_is_broken(const struct link *l)
{
	return l->broken;
}

size_t link_queued_bytes(const struct link *l)
{
	return l->waiting_bytes + l->open.len;
}

size_t link_open_questions(const struct link *l)
{
	return map_count(l->by_number);
}

/* The owner hears of it from the loop, never from inside a call of its own. */
static void break_link(struct link *l, const char *why)
{
	if (l->broken)
		return;
	l->broken = true;
	l->why = why;
	close_socket(l);
	soon_call(l->soon);
}

/* Nobody makes a link anew of two that live: who cannot use one any more begins anew itself.  The master does not; it ends and
 * starts the other. */
static void end_link(struct link *l, enum packet_result r)
{
	if (r == PACKET_FAILED && l->config.self != ROLE_MASTER)
		log_fatal("a link to another process", errno);
	break_link(l, r == PACKET_BAD ? "malformed packet" : NULL);
}

static void end_for_memory(struct link *l)
{
	errno = ENOMEM;
	end_link(l, PACKET_FAILED);
}

void link_break(struct link *l, const char *why)
{
	break_link(l, why);
}

void link_break_deaf(struct link *l)
{
	if (timer_is_set(l->retry))
		end_for_memory(l);
	else
		break_link(l, "it does not read what it is sent");
}

void link_pause(struct link *l, bool paused)
{
	l->paused = paused;
	update_watch(l);
}

/* ---- sending ---- */

static bool queue_packet(struct link *l, struct slice bytes, int fd, bool secret)
{
	struct packet *p;

	if (l->waiting_bytes + bytes.len > LINK_QUEUED_MAX)
		return false;
	p = malloc(sizeof(*p) + bytes.len);
	if (p == NULL) {
		end_for_memory(l);
		return false;
	}
	p->len = bytes.len;
	p->fd = fd;
	p->secret = secret;
	memcpy(p->bytes, bytes.at, bytes.len);
	STAILQ_INSERT_TAIL(&l->waiting, p, peers);
	l->waiting_bytes += p->len;
	return true;
}

static void block(struct link *l, enum packet_result why)
{
	l->blocked = true;
	if (why == PACKET_NO_MEMORY)
		timer_set(l->retry, RETRY_MS);
	else
		timer_stop(l->retry);
	update_watch(l);
}

static void unblock(struct link *l)
{
	l->blocked = false;
	timer_stop(l->retry);
	update_watch(l);
}

static void send_waiting(struct link *l)
{
	while (!STAILQ_EMPTY(&l->waiting) && !l->broken) {
		struct packet *p = STAILQ_FIRST(&l->waiting);
		enum packet_result r = packet_send(l->fd, slice_make(p->bytes, p->len), p->fd);

		if (r == PACKET_AGAIN || r == PACKET_NO_MEMORY) {
			block(l, r);
			return;
		}
		if (r != PACKET_DONE) {
			end_link(l, r);
			return;
		}
		STAILQ_REMOVE_HEAD(&l->waiting, peers);
		l->waiting_bytes -= p->len;
		packet_free(p);
	}
	if (l->blocked && !l->broken)
		unblock(l);
}

/* Sends bytes now when nothing waits before them, else puts them behind.  `fd` is taken. */
static bool send_or_queue(struct link *l, struct slice bytes, int fd, bool secret)
{
	if (STAILQ_EMPTY(&l->waiting) && !l->blocked) {
		enum packet_result r = packet_send(l->fd, bytes, fd);

		if (r == PACKET_DONE) {
			if (fd >= 0)
				close(fd);
			return true;
		}
		if (r != PACKET_AGAIN && r != PACKET_NO_MEMORY) {
			end_link(l, r);
			if (fd >= 0)
				close(fd);
			return false;
		}
		block(l, r);
	}
	if (queue_packet(l, bytes, fd, secret))
		return true;
	if (fd >= 0)
		close(fd);
	return false;
}

/* What was said this turn becomes a packet.  Words that were promised to be sent and cannot be end the link. */
static void close_open(struct link *l)
{
	if (l->open.len == 0 || l->broken)
		return;
	if (!send_or_queue(l, buf_slice(&l->open), -1, l->open_secret))
		link_break_deaf(l);
	l->open.secret = l->open_secret;
	buf_clear(&l->open);
	l->open.secret = l->open_secret = false;
}

/* While the socket is full, `open` goes on gathering. */
bool link_flush(struct link *l)
{
	send_waiting(l);
	if (!l->blocked)
		close_open(l);
	return !l->broken && link_queued_bytes(l) == 0;
}

static void on_retry(void *arg)
{
	(void)link_flush(arg);
}

/* What is to be said: a struct, or its payload as encoded before. */
struct words {
	enum ipc_type type;
	const void *body; /* NULL: `payload` */
	struct slice payload;
};

static bool add_payload(struct buf *out, const struct words *w)
{
	return w->body != NULL ? ipc_encode(w->type, w->body, out) : buf_add_slice(out, w->payload);
}

/* Appends head and payload to `open`; false leaves it as it was, or ended the link. */
static bool append(struct link *l, const struct words *w, uint64_t request, bool is_answer)
{
	enum ipc_type type = w->type;
	size_t start = l->open.len;
	struct ipc_head head = {(uint16_t)type, is_answer ? IPC_FLAG_ANSWER : 0, 0, request};

	if (ipc_is_secret(type))
		l->open_secret = l->open.secret = true;
	if (buf_room(&l->open, IPC_HEAD_BYTES) != NULL) {
		buf_grew(&l->open, IPC_HEAD_BYTES);
		if (add_payload(&l->open, w)) {
			head.length = (uint32_t)(l->open.len - start - IPC_HEAD_BYTES);
			ipc_head_encode(&head, l->open.at + start);
			return true;
		}
	}
	if (l->open.no_memory)
		end_for_memory(l);
	else
		buf_undo(&l->open, start);
	return false;
}

/* `fd` is taken in every case. */
static bool say(struct link *l, const struct words *w, uint64_t request, bool is_answer, int fd)
{
	bool said = false;

	if (l->broken || link_queued_bytes(l) > LINK_QUEUED_MAX)
		goto out;
	if (fd >= 0)
		close_open(l);
	said = append(l, w, request, is_answer);
	if (!said && l->open.len > 0) {
		close_open(l);
		said = !l->broken && append(l, w, request, is_answer);
	}
	if (said && fd >= 0) {
		said = send_or_queue(l, buf_slice(&l->open), fd, l->open_secret);
		fd = -1;
		buf_clear(&l->open);
		l->open.secret = l->open_secret = false;
	} else if (said) {
		soon_call(l->soon);
	}
out:
	if (fd >= 0)
		close(fd);
	return said;
}

bool link_tell(struct link *l, enum ipc_type type, const void *body, int fd)
{
	return say(l, &(struct words){type, body, slice_empty()}, 0, false, fd);
}

bool link_answer(struct link *l, uint64_t request, enum ipc_type type, const void *body, int fd)
{
	return say(l, &(struct words){type, body, slice_empty()}, request, true, fd);
}

/* ---- questions ---- */

static void put_in(struct questions *list, struct question *q)
{
	if (q->in != NULL)
		TAILQ_REMOVE(q->in, q, peers);
	q->in = list;
	TAILQ_INSERT_TAIL(list, q, peers);
}

/* Now the caller's. */
static void take_out(struct question *q)
{
	TAILQ_REMOVE(q->in, q, peers);
	if (map_find_u64(q->link->by_number, q->number) == q)
		map_take_u64(q->link->by_number, q->number);
}

static void fail_soon(struct question *q)
{
	put_in(&q->link->failing, q);
	timer_set(q->link->tick, 0);
}

static uint64_t ask(struct link *l, const struct words *w, uint64_t timeout_ms, link_answer_fn *on_answer, void *arg)
{
	struct question *q = mem_new(1, sizeof(*q));

	if (q == NULL)
		log_fatal("question", 0);
	q->link = l;
	q->number = ++l->last_number;
	q->answer = ipc_answer_of(w->type);
	q->on_answer = on_answer;
	q->arg = arg;
	q->deadline_ms = clock_mono_ms() + timeout_ms;
	MUST(q->answer != IPC_COUNT);
	put_in(&l->asked, q);
	/* Who makes us ask more than this makes us fail, not end. */
	if (!map_put_u64(l->by_number, q->number, q) || !say(l, w, q->number, false, -1))
		fail_soon(q);
	else if (!timer_is_set(l->tick))
		timer_set(l->tick, TICK_MS);
	return q->number;
}

uint64_t link_ask(struct link *l, enum ipc_type type, const void *body, uint64_t timeout_ms, link_answer_fn *on_answer,
		  void *arg)
{
	return ask(l, &(struct words){type, body, slice_empty()}, timeout_ms, on_answer, arg);
}

uint64_t link_ask_encoded(struct link *l, enum ipc_type type, struct slice payload, uint64_t timeout_ms,
			  link_answer_fn *on_answer, void *arg)
{
	return ask(l, &(struct words){type, NULL, payload}, timeout_ms, on_answer, arg);
}

static struct question *find_question(struct link *l, uint64_t number)
{
	struct question *q = map_find_u64(l->by_number, number);

	if (q != NULL || TAILQ_EMPTY(&l->failing))
		return q;
	TAILQ_FOREACH(q, &l->failing, peers)
		if (q->number == number)
			break;
	return q;
}

void link_forget(struct link *l, uint64_t number)
{
	struct question *q = find_question(l, number);

	if (q == NULL)
		return;
	take_out(q);
	free(q);
}

static void call_back(struct question *q, struct ipc_message *m)
{
	take_out(q);
	q->on_answer(m, q->arg);
	free(q);
}

/* A callback may ask, forget, or free the link: those that are due are put aside first, in one walk. */
static void fail_overdue(struct link *l, uint64_t now)
{
	struct question *q, *next;

	for (q = TAILQ_FIRST(&l->asked); q != NULL; q = next) {
		next = TAILQ_NEXT(q, peers);
		if (q->deadline_ms <= now)
			put_in(&l->failing, q);
	}
	while (!l->freed && (q = TAILQ_FIRST(&l->failing)) != NULL)
		call_back(q, NULL);
}

static void on_tick(void *arg)
{
	struct link *l = arg;

	enter(l);
	fail_overdue(l, clock_mono_ms());
	if (!leave(l))
		return;
	if (!TAILQ_EMPTY(&l->asked) && !timer_is_set(l->tick))
		timer_set(l->tick, TICK_MS);
}

static void on_soon(void *arg)
{
	struct link *l = arg;

	if (!l->broken) {
		link_flush(l);
		if (!l->broken)
			return;
	}
	if (l->told || l->freed)
		return;
	l->told = true;
	enter(l);
	fail_overdue(l, UINT64_MAX);
	if (!l->freed)
		l->config.on_broken(l, l->why, l->config.arg);
	leave(l);
}

/* ---- receiving ---- */

static void handle_answer(struct link *l, struct ipc_message *m)
{
	struct question *q = map_find_u64(l->by_number, m->request);

	if (q == NULL)
		return; /* it came too late, and has been told so */
	if (q->answer != m->type) {
		break_link(l, "it answered with something else");
		return;
	}
	call_back(q, m);
}

static const char *verdict_text(enum ipc_verdict v)
{
	return v == IPC_FORGED ? "it said what its role may not say" : "malformed message";
}

/* Handles the first message of `*rest`.  False ends the packet. */
static bool handle_one(struct link *l, struct slice *rest, int *fd)
{
	struct ipc_message m = {.fd = -1};
	struct ipc_head head;
	enum ipc_verdict verdict;

	if (!ipc_head_decode(*rest, &head) || head.length > rest->len - IPC_HEAD_BYTES) {
		break_link(l, "malformed message");
		return false;
	}
	verdict = ipc_admit(l->config.self, l->config.peer, &head, *fd >= 0);
	if (verdict != IPC_ADMIT ||
	    !ipc_decode((enum ipc_type)head.type, slice_sub(*rest, IPC_HEAD_BYTES, head.length), &m)) {
		break_link(l, verdict_text(verdict));
		return false;
	}
	*rest = slice_from(*rest, IPC_HEAD_BYTES + head.length);
	m.request = head.request;
	m.is_answer = (head.flags & IPC_FLAG_ANSWER) != 0;
	m.fd = *fd;
	*fd = -1;
	if (m.is_answer)
		handle_answer(l, &m);
	else
		l->config.on_message(l, &m, l->config.arg);
	if (m.fd >= 0)
		close(m.fd);
	return !l->broken;
}

static bool holds_secret(struct slice packet)
{
	struct ipc_head head;

	while (ipc_head_decode(packet, &head) && head.length <= packet.len - IPC_HEAD_BYTES) {
		if (head.type < IPC_COUNT && ipc_is_secret((enum ipc_type)head.type))
			return true;
		packet = slice_from(packet, IPC_HEAD_BYTES + head.length);
	}
	return false;
}

/* Receives and handles one packet.  False: nothing more now. */
static bool receive_packet(struct link *l, char *space)
{
	size_t len = 0;
	int fd = -1;
	enum packet_result r = packet_receive(l->fd, space, LINK_PACKET_MAX, &len, l->takes_fds ? &fd : NULL);
	struct slice rest = slice_make(space, len);

	if (r == PACKET_AGAIN)
		return false;
	if (r == PACKET_NO_ROOM)
		log_fatal("a descriptor that a message carries", EMFILE); /* begin anew rather than lose what it was for */
	if (r != PACKET_DONE) {
		end_link(l, r);
		return false;
	}
	while (rest.len > 0 && handle_one(l, &rest, &fd))
		continue;
	if (fd >= 0)
		close(fd);
	if (holds_secret(slice_make(space, len)))
		mem_wipe(space, len);
	return !l->broken && !l->paused;
}

/* True: there may be more. */
static bool receive_some(struct link *l)
{
	int left = PACKETS_A_TURN;

	if (receive_depth >= NESTING_MAX)
		return false;
	if (receive_space[receive_depth] == NULL)
		receive_space[receive_depth] = malloc(LINK_PACKET_MAX);
	if (receive_space[receive_depth] == NULL)
		log_fatal("receive buffer", 0);
	receive_depth++;
	while (left > 0 && receive_packet(l, receive_space[receive_depth - 1]))
		left--;
	receive_depth--;
	return left == 0;
}

void link_drain(struct link *l)
{
	if (l->broken)
		return;
	enter(l);
	for (int i = 0; i < DRAIN_TURNS && receive_some(l); i++)
		continue;
	leave(l);
}

static void on_ready(int fd, unsigned what, void *arg)
{
	struct link *l = arg;

	(void)fd;
	enter(l);
	if ((what & WATCH_WRITE) != 0 && !l->broken)
		link_flush(l);
	if ((what & WATCH_READ) != 0 && !l->broken && !l->paused)
		(void)receive_some(l);
	leave(l);
}
