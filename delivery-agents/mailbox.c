#include "mailbox.h"

#include "base/log.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "ipc/link.h"
#include "maildir.h"
#include "os/cage.h"
#include "os/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 *	forked --become_user--> the user --open the base--> --cage--> caged --OPENED--> takes batches --link closed--> gone
 *
 * Always: nothing of the user's is opened before the process is the user; no message is read before it is in its cage.
 */
#define LINK_FD 3
#define BASE_FD 4 /* as it was handed over; closed when there is none */
#define FILES_MAX (32 + 4 * MAILBOX_BATCH) /* a message, its file, and the two folders of its Maildir */
#define MEMORY_MAX (256ull << 20)
#define TELL_AGAIN_MS 50
#define BATCH_BYTES (16ull << 20) /* no more is taken together: nobody hears of a message before the last of its batch is settled */

struct delivery {
	struct maildir_message message;
	struct maildir_draft draft;
	struct slice path; /* of its Maildir, beneath the base */
	struct buf texts; /* owned; path, address and prepend lie in it */
	bool settled;
};

struct place {
	struct maildir maildir;
	struct slice path; /* the first delivery's */
};

struct mailbox {
	const struct mailbox_order *order;
	int base_fd;
	struct link_now link;
	struct delivery batch[MAILBOX_BATCH];
	struct place places[MAILBOX_BATCH]; /* the Maildirs of the batch */
	size_t count, place_count;
	bool over; /* nothing more is taken: see take_batch */
};

/* What is delivered comes again if nobody hears of it, and with it all that is told of after it: a want of memory is waited out (the
 * parent ends who does not speak). */
static bool tell(enum ipc_type type, const void *body)
{
	while (!link_tell_now(LINK_FD, type, 0, false, body, -1)) {
		if (errno != ENOMEM && errno != ENOBUFS)
			return false;
		(void)poll(NULL, 0, TELL_AGAIN_MS);
	}
	return true;
}

static void tell_opened(enum outcome outcome, const char *text)
{
	struct msg_MAILBOX_OPENED opened = {outcome, slice_of(text)};

	(void)tell(IPC_MAILBOX_OPENED, &opened);
}

static _Noreturn void give_up(enum outcome outcome, const char *text)
{
	tell_opened(outcome, text);
	_exit(75);
}

static _Noreturn void give_up_errno(const char *what, int err)
{
	char text[MAILDIR_TEXT_BYTES];
	struct slice why = log_errno_text(err);

	snprintf(text, sizeof(text), "%s: %.*s", what, SLICE_ARG(why));
	give_up(maildir_errno(err), text);
}

/* The parent's links, its loop and other users' messages are none of ours. */
static bool move_fd(int fd, int to)
{
	close(to);
	return fcntl(fd, F_DUPFD_CLOEXEC, to) == to;
}

static void keep_only_ours(const struct mailbox_order *o)
{
	int base = o->base_fd < 0 ? -1 : fcntl(o->base_fd, F_DUPFD_CLOEXEC, BASE_FD + 1);
	int link = fcntl(o->socket, F_DUPFD_CLOEXEC, BASE_FD + 1);

	if (link < 0 || !move_fd(link, LINK_FD) || (base >= 0 && !move_fd(base, BASE_FD)))
		_exit(75);
	if (base < 0)
		close(BASE_FD);
	close_range(BASE_FD + 1, ~0u, 0);
	if (fcntl(LINK_FD, F_SETFL, 0) == -1)
		_exit(75);
	log_set_sink(NULL);
	log_set_name("mailbox");
	umask(077);
	signal(SIGCHLD, SIG_DFL);
}

static void become(const struct mailbox_order *o)
{
	const struct become who = {.uid = o->uid, .gid = o->gid};
	char why[256] = "";

	if (o->as_root && !become_user(&who, why, sizeof(why)))
		give_up(OC_MAILBOX_TEMP, why);
	if (!die_with_parent(o->parent))
		_exit(75);
}

static int open_base(const struct mailbox_order *o)
{
	int fd = open(o->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == EACCES && o->base_fd >= 0)
		fd = BASE_FD;
	if (fd < 0)
		give_up_errno(o->owns_base ? "opening the home folder" : "opening the folder of the mailboxes", errno);
	if (fstat(fd, &st) == -1)
		give_up_errno("looking at the home folder", errno);
	if (o->owns_base && st.st_uid != o->uid)
		give_up(OC_MAILBOX_TEMP, "the home folder belongs to another user");
	return fd;
}

static void enter_cage(const struct mailbox_order *o, int base_fd)
{
	const struct cage_spec spec = {
		.calls = CALLS_FILES,
		.takes_fds = true,
		.files_max = FILES_MAX,
		.file_bytes_max = o->file_bytes_max,
		.memory_max = MEMORY_MAX,
	};
	const struct cage_order order = {.uid = o->uid, .gid = o->gid, .as_root = false, .root_fd = base_fd};
	char missing[CAGE_MISSING_BYTES], why[256] = "";

	if (!cage_enter(&spec, &order, missing, why, sizeof(why)))
		give_up(OC_MAILBOX_TEMP, why);
}

/* ---- one batch ---- */

static struct slice keep(struct buf *texts, struct slice text)
{
	size_t at = texts->len;

	if (!buf_add_slice(texts, text))
		log_fatal("delivery", ENOMEM);
	return slice_make(texts->at + at, text.len);
}

/* Texts of a message stand only until the next is received. */
static void take_delivery(struct mailbox *b, struct ipc_message *m)
{
	const struct msg_MAILBOX_DELIVER *d = &m->body.MAILBOX_DELIVER;
	struct delivery *one = &b->batch[b->count++];
	size_t room = d->maildir.len + d->address.len + d->prepend.len;

	*one = (struct delivery){.texts = buf_make(room + 1)};
	if (buf_room(&one->texts, room + 1) == NULL)
		log_fatal("delivery", ENOMEM);
	one->path = keep(&one->texts, d->maildir);
	one->message = (struct maildir_message){
		.fd = m->fd,
		.offset = d->offset,
		.length = d->length,
		.id = d->id,
		.is_binary = (d->flags & JOB_BINARY) != 0,
		.address = keep(&one->texts, d->address),
		.prepend = keep(&one->texts, d->prepend),
		.host = slice_of(b->order->host),
	};
	m->fd = -1;
}

static bool more_waits(const struct mailbox *b)
{
	struct pollfd p = {LINK_FD, POLLIN, 0};

	return b->link.rest.len > 0 || (poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0);
}

/* Waits for the first message, takes the others that are there.  False: the link is closed, or one could not be received.  That one
 * may be gone (there was no memory for its descriptor), and verdicts are told in order: none of a later one may be taken for its own. */
static bool take_batch(struct mailbox *b)
{
	uint64_t bytes = 0;

	b->count = 0;
	do {
		struct ipc_message m = {.fd = -1};

		b->over = b->over || !link_receive_now(&b->link, &m) || m.type != IPC_MAILBOX_DELIVER;
		if (b->over)
			break;
		take_delivery(b, &m);
		bytes += b->batch[b->count - 1].message.length < BATCH_BYTES ? b->batch[b->count - 1].message.length : BATCH_BYTES;
	} while (b->count < MAILBOX_BATCH && bytes < BATCH_BYTES && more_waits(b));
	return b->count > 0;
}

/* The Maildir of the same path that this batch has open, or a new one.  NULL: it cannot be opened, the draft says why. */
static struct maildir *open_place(struct mailbox *b, struct delivery *one)
{
	struct place *p = b->places;

	for (; p < b->places + b->place_count; p++)
		if (slice_eq(p->path, one->path))
			return &p->maildir;
	one->draft.outcome = maildir_open(b->base_fd, one->path, &p->maildir, one->draft.text);
	if (one->draft.outcome != OC_DONE) {
		maildir_close(&p->maildir);
		return NULL;
	}
	p->path = one->path;
	b->place_count++;
	return &p->maildir;
}

static void write_one(struct mailbox *b, struct delivery *one)
{
	struct maildir *md;

	one->draft = (struct maildir_draft){.file_fd = -1};
	md = open_place(b, one);
	if (md != NULL && maildir_write(md, &one->message, &one->draft) != OC_DONE)
		maildir_drop(&one->draft); /* what is too big for the disk shall not keep the others out */
}

static void close_places(struct mailbox *b)
{
	while (b->place_count > 0)
		maildir_close(&b->places[--b->place_count].maildir);
}

static void answer(struct delivery *one)
{
	struct msg_MAILBOX_DELIVERED delivered = {
		.outcome = one->draft.outcome,
		.text = slice_of(one->draft.text),
		.path = slice_of(one->settled ? one->draft.name : ""),
	};

	if (!tell(IPC_MAILBOX_DELIVERED, &delivered))
		_exit(75);
}

static void deliver_batch(struct mailbox *b)
{
	struct delivery *end = b->batch + b->count;

	for (struct delivery *d = b->batch; d < end; d++)
		write_one(b, d);
	for (struct delivery *d = b->batch; d < end; d++)
		if (d->draft.outcome == OC_DONE)
			maildir_sync(&d->draft);
	for (struct delivery *d = b->batch; d < end; d++)
		if (d->draft.outcome == OC_DONE)
			maildir_publish(&d->draft, &d->message);
	for (struct delivery *d = b->batch; d < end; d++)
		if (d->draft.outcome == OC_DONE)
			d->settled = maildir_settle(&d->draft) == OC_DONE;
	for (struct delivery *d = b->batch; d < end; d++)
		maildir_drop(&d->draft);
	for (struct delivery *d = b->batch; d < end; d++) {
		answer(d);
		close(d->message.fd);
	}
	close_places(b);
	for (struct delivery *d = b->batch; d < end; d++)
		buf_free(&d->texts);
}

/* What lies unread in a socket that is closed has its other end lose what it has not read yet, and that are verdicts: so all is said,
 * and what still comes is thrown away until the parent has closed the link. */
static _Noreturn void leave(void)
{
	char byte;
	ssize_t n;

	(void)shutdown(LINK_FD, SHUT_WR);
	do
		n = recv(LINK_FD, &byte, sizeof(byte), 0);
	while (n > 0 || (n == -1 && errno == EINTR));
	_exit(0);
}

void mailbox_run(const struct mailbox_order *order)
{
	static char space[LINK_PACKET_MAX];
	static struct mailbox box;

	keep_only_ours(order);
	become(order);
	box.order = order;
	box.base_fd = open_base(order);
	enter_cage(order, box.base_fd);
	box.link = LINK_NOW(LINK_FD, ROLE_MAILBOX, ROLE_LOCAL, space);
	tell_opened(OC_DONE, "");
	while (take_batch(&box))
		deliver_batch(&box);
	leave();
}
