#include "mailbox.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/flags.h"
#include "ipc/link.h"
#include "folder.h"
#include "maildir.h"
#include "maildir_text.h"
#include "mail/directive.h"
#include "mbox.h"
#include "os/cage.h"
#include "os/privilege.h"
#include "owner_filter.h"
#include "quota.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
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
#define HEADER_LOOKED_AT (64u << 10)
#define BATCH_BYTES (16ull << 20) /* no more is taken together: nobody hears of a message before the last of its batch is settled */

/* Where one message goes: what its directive and its transport make of it. */
struct target {
	int base_fd; /* borrowed */
	struct slice path; /* beneath it */
	bool is_mbox;
	char flags[FLAG_BYTES];
	uint32_t mode;
};

struct delivery {
	struct maildir_message message;
	struct maildir_draft draft;
	struct rec_delivery how; /* its transport's settings */
	struct quota_limit limit;
	struct directive directive;
	struct slice place; /* its mailbox, beneath the base */
	struct slice owner_folder; /* `~`, beneath the base */
	struct slice sender;
	struct target target;
	struct buf texts; /* owned; all these texts lie in it */
	struct slice original, user;
	struct plan plan; /* owned, where `planned` */
	bool planned; /* its owner's files were asked */
	bool settled;
	bool counted; /* its size is taken from the quota */
};

struct place {
	struct maildir maildir;
	struct target target; /* the first delivery's */
};

struct mailbox {
	const struct mailbox_order *order;
	int base_fd;
	int home_fd; /* -1: the base is the home */
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

	if (!tell(IPC_MAILBOX_OPENED, &opened))
		_exit(75); /* who was not heard would never be given anything */
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
	const gid_t groups[] = {o->group, o->gid};
	const struct become who = {.uid = o->uid,
				   .gid = o->group != 0 ? o->group : o->gid,
				   .groups = o->group != 0 ? groups : NULL,
				   .group_count = o->group != 0 ? ARRAY_LEN(groups) : 0};
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

/* What of a user's must be there: mail for who has no home now waits. */
static int open_home(const struct mailbox_order *o)
{
	struct stat st;
	int fd;

	if (o->home == NULL)
		return -1;
	fd = open(o->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		give_up_errno("opening the home folder", errno);
	if (fstat(fd, &st) == -1 || st.st_uid != o->uid)
		give_up(OC_MAILBOX_TEMP, "the home folder belongs to another user");
	return fd;
}

static void enter_cage(const struct mailbox_order *o, int base_fd, int home_fd)
{
	const struct cage_path home = {home_fd, true};
	const struct cage_spec spec = {
		.calls = CALLS_FILES | CALLS_LOCKS,
		.takes_fds = true,
		.files_max = FILES_MAX,
		.file_bytes_max = o->file_bytes_max,
		.memory_max = MEMORY_MAX,
	};
	const struct cage_order order = {.uid = o->uid,
					 .gid = o->gid,
					 .as_root = false,
					 .root_fd = base_fd,
					 .paths = &home,
					 .path_count = home_fd >= 0 ? 1 : 0};
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

/* Texts of a message stand only until the next is received.  False: what it says of itself does not hold together. */
static bool take_texts(struct delivery *one, const struct msg_MAILBOX_DELIVER *d)
{
	struct slice record;

	one->place = keep(&one->texts, d->place);
	one->owner_folder = keep(&one->texts, d->owner_folder);
	one->sender = keep(&one->texts, d->sender);
	one->original = keep(&one->texts, d->original);
	one->user = keep(&one->texts, d->user);
	record = keep(&one->texts, d->delivery_records);
	one->limit = (struct quota_limit){d->quota, d->quota_messages};
	return rec_delivery_next(&record, &one->how) && record.len == 0 &&
	       directive_decode(d->directive, keep(&one->texts, d->argument), &one->directive);
}

static void take_delivery(struct mailbox *b, struct ipc_message *m)
{
	const struct msg_MAILBOX_DELIVER *d = &m->body.MAILBOX_DELIVER;
	struct delivery *one = &b->batch[b->count++];
	size_t room = d->place.len + d->owner_folder.len + d->sender.len + d->address.len + d->prepend.len + d->argument.len +
		      d->delivery_records.len + d->original.len + d->user.len + MAILDIR_PATH_MAX;

	*one = (struct delivery){.texts = buf_make(room + 1), .draft = {.file_fd = -1}};
	if (buf_room(&one->texts, room + 1) == NULL)
		log_fatal("delivery", ENOMEM);
	if (!take_texts(one, d))
		log_fatal("delivery", EBADMSG);
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

/* ---- where it goes ---- */

static bool refuse(struct delivery *one, const char *why)
{
	one->draft.outcome = OC_MAILBOX_TEMP;
	snprintf(one->draft.text, sizeof(one->draft.text), "%s", why);
	return false;
}

/* `folder` and `name` with a slash between, in the delivery's texts; both may be "". */
static struct slice join(struct delivery *one, struct slice folder, struct slice name)
{
	size_t at = one->texts.len;

	if (!buf_add_slice(&one->texts, folder) || (folder.len > 0 && name.len > 0 && !buf_add_char(&one->texts, '/')) ||
	    !buf_add_slice(&one->texts, name))
		log_fatal("delivery", ENOMEM);
	return slice_make(one->texts.at + at, one->texts.len - at);
}

/* An mbox has no folders: it is the inbox then, and nothing is lost. */
static bool choose_folder(struct delivery *one, struct slice name)
{
	char folder[FOLDER_BYTES];

	if (one->how.kind == TRANSPORT_MBOX)
		return true;
	if (!folder_path(name, folder))
		return refuse(one, "the name of the folder is none");
	one->target.path = join(one, one->place, slice_of(folder));
	return true;
}

static bool has_junk_field(const struct delivery *one)
{
	static char header[HEADER_LOOKED_AT];
	size_t size = one->message.length < sizeof(header) ? (size_t)one->message.length : sizeof(header);
	ssize_t n = pread(one->message.fd, header, size, (off_t)one->message.offset);

	return header_has(one->message.prepend, one->how.junk_field) ||
	       (n > 0 && header_has(slice_make(header, (size_t)n), one->how.junk_field));
}

/* Beneath the owner's folder, however it is written; never elsewhere. */
static bool choose_file(struct mailbox *b, struct delivery *one)
{
	struct slice path = one->directive.text, folder = one->owner_folder;
	const char *home = b->home_fd >= 0 ? b->order->home : b->order->base;

	one->target.base_fd = b->home_fd >= 0 ? b->home_fd : b->base_fd;
	one->target.is_mbox = path.at[path.len - 1] != '/';
	while (path.len > 0 && path.at[path.len - 1] == '/')
		path.len--;
	if (path.len > 0 && path.at[0] == '/') {
		if (!maildir_beneath(slice_of(home), path, &path) ||
		    (folder.len > 0 && !maildir_beneath(folder, path, &path)))
			return refuse(one, "the file lies outside of its owner's home");
	}
	if (path.len == 0)
		return refuse(one, "the file has no name");
	one->target.path = join(one, folder, path);
	for (size_t i = 0; i < one->directive.extra.len; i++)
		one->target.mode = one->target.mode * 8 + (uint32_t)(one->directive.extra.at[i] - '0');
	return true;
}

/* False: the draft says why not. */
static bool choose(struct mailbox *b, struct delivery *one)
{
	one->target = (struct target){.base_fd = b->base_fd, .path = one->place, .is_mbox = one->how.kind == TRANSPORT_MBOX};
	if (one->how.kind != TRANSPORT_MAILDIR && one->how.kind != TRANSPORT_MBOX && one->directive.kind != DIRECTIVE_FILE)
		return refuse(one, "its transport has no mailbox");
	switch (one->directive.kind) {
	case DIRECTIVE_NONE:
	case DIRECTIVE_INBOX:
		folder_flags(one->directive.extra, one->target.flags);
		return one->how.junk_field.len == 0 || !has_junk_field(one) || choose_folder(one, one->how.junk_folder);
	case DIRECTIVE_FOLDER:
		folder_flags(one->directive.extra, one->target.flags);
		return choose_folder(one, one->directive.text);
	case DIRECTIVE_FILE:
		return choose_file(b, one);
	case DIRECTIVE_PIPE:
	case DIRECTIVE_LIST:
	case DIRECTIVE_COUNT:
		break;
	}
	return refuse(one, "no mailbox worker runs a program");
}

static bool is_same_place(const struct target *a, const struct target *b)
{
	return a->base_fd == b->base_fd && (a->flags[0] != '\0') == (b->flags[0] != '\0') && slice_eq(a->path, b->path);
}

/* The Maildir of the same path that this batch has open, or a new one.  NULL: it cannot be opened, the draft says why. */
static struct maildir *open_place(struct mailbox *b, struct delivery *one)
{
	struct place *p = b->places;

	for (; p < b->places + b->place_count; p++)
		if (is_same_place(&p->target, &one->target))
			return &p->maildir;
	one->draft.outcome =
		maildir_open(one->target.base_fd, one->target.path, one->target.flags[0] != '\0', &p->maildir, one->draft.text);
	if (one->draft.outcome != OC_DONE) {
		maildir_close(&p->maildir);
		return NULL;
	}
	p->target = one->target;
	b->place_count++;
	return &p->maildir;
}

/* ---- one message ---- */

static bool has_quota(const struct delivery *one)
{
	return one->how.kind == TRANSPORT_MAILDIR && !quota_limit_is_none(&one->limit) && one->directive.kind != DIRECTIVE_FILE;
}

static struct quota_pending pending_in(const struct mailbox *b, struct slice place)
{
	struct quota_pending pending = {0, 0};

	for (size_t i = 0; i < b->count; i++) {
		const struct delivery *d = &b->batch[i];

		if (d->counted && !d->draft.published && slice_eq(d->place, place)) {
			pending.bytes += d->draft.size;
			pending.files++;
		}
	}
	return pending;
}

static void take_quota(struct mailbox *b, struct delivery *one)
{
	if (one->draft.outcome != OC_DONE || !has_quota(one))
		return;
	one->draft.outcome = quota_take(b->base_fd, one->place, &one->limit, pending_in(b, one->place), one->draft.size,
					 one->draft.text);
	one->counted = one->draft.outcome == OC_DONE;
}

static void write_to_maildir(struct mailbox *b, struct delivery *one)
{
	struct maildir *md = open_place(b, one);

	if (md == NULL)
		return;
	one->message.flags = one->target.flags;
	one->message.sized = has_quota(one);
	(void)maildir_write(md, &one->message, &one->draft);
	take_quota(b, one);
	if (one->draft.outcome != OC_DONE)
		maildir_drop(&one->draft); /* what is too big for the disk shall not keep the others out */
}

static void write_to_mbox(struct delivery *one)
{
	const struct mbox box = {.base_fd = one->target.base_fd,
				 .path = one->target.path,
				 .mode = one->target.mode,
				 .sender = one->sender,
				 .now_s = clock_wall_s()};

	one->draft.outcome = mbox_deliver(&box, &one->message, one->draft.text);
	one->settled = one->draft.outcome == OC_DONE;
}

/* ---- what its owner wants ---- */

/* False: nothing is to be delivered by us. */
static bool ask_owner(struct mailbox *b, struct delivery *one)
{
	const struct owner_case c = {
		.folder_fd = b->home_fd >= 0 ? b->home_fd : b->base_fd,
		.folder = one->owner_folder,
		.home = b->home_fd >= 0 ? b->order->home : b->order->base,
		.base_fd = b->base_fd,
		.place = one->place,
		.uid = geteuid(),
		.how = &one->how,
		.message = &one->message,
		.sender = one->sender,
		.original = one->original,
		.address = one->message.address,
		.user = one->user,
		.host = slice_of(b->order->host),
	};

	if (one->directive.kind != DIRECTIVE_NONE || (one->how.forward.len == 0 && one->how.filter.len == 0))
		return true;
	owner_filter_plan(&c, &one->plan);
	one->planned = true;
	if (one->plan.kind == PLAN_REFUSED) {
		one->draft.outcome = one->plan.outcome;
		memcpy(one->draft.text, one->plan.text, sizeof(one->draft.text));
		return false;
	}
	if (one->plan.kind == PLAN_HERE && !directive_decode(one->plan.directive, buf_slice(&one->plan.argument), &one->directive))
		return refuse(one, "what its owner's file says is not to be done");
	return one->plan.kind == PLAN_HERE;
}

/*
 * Where a table says whose the mailboxes of a domain are: what they lie in beneath the base belongs to that user, and nobody else writes there.
 * A folder of another is not mended here: either the table is wrong or the folder.
 */
static bool is_folder_ours(struct mailbox *b, struct delivery *one)
{
	struct slice rest = one->place, first;
	char name[MAILDIR_PATH_MAX];
	struct stat st;

	if (one->how.user_asked == 0 || one->how.kind == TRANSPORT_PIPE)
		return true;
	if (!slice_cut(&rest, '/', &first) || !slice_copy(first, name, sizeof(name)))
		return refuse(one, "its path is not one of this transport");
	if (fstatat(b->base_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT || refuse(one, "the folder of its domain cannot be looked at");
	one->draft.outcome = OC_MAILBOX_TEMP;
	if (st.st_uid != geteuid())
		snprintf(one->draft.text, sizeof(one->draft.text), "%.80s belongs to uid %u, and by the table its mail is uid %u's", name,
			 (unsigned)st.st_uid, (unsigned)geteuid());
	else if (S_ISDIR(st.st_mode) && (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		snprintf(one->draft.text, sizeof(one->draft.text), "%.80s may be written to by others than its owner", name);
	else
		return true;
	return false;
}

static void write_one(struct mailbox *b, struct delivery *one)
{
	one->draft = (struct maildir_draft){.file_fd = -1};
	if (!is_folder_ours(b, one) || !ask_owner(b, one) || !choose(b, one))
		return;
	if (one->target.is_mbox)
		write_to_mbox(one);
	else
		write_to_maildir(b, one);
}

static void close_places(struct mailbox *b)
{
	while (b->place_count > 0)
		maildir_close(&b->places[--b->place_count].maildir);
}

/* In place of a verdict. */
static void answer_plan(const struct plan *p)
{
	const struct msg_MAILBOX_EXPAND expand = {p->hold, buf_slice(&p->prepend), buf_slice(&p->without), buf_slice(&p->records)};

	for (size_t i = 0; i < p->mail_count; i++) {
		const struct msg_MAILBOX_MAIL mail = {p->mails[i].null_sender, p->mails[i].recipients, p->mails[i].text};

		if (!tell(IPC_MAILBOX_MAIL, &mail))
			_exit(75);
	}
	if (!tell(IPC_MAILBOX_EXPAND, &expand))
		_exit(75);
}

static void answer(struct delivery *one)
{
	struct msg_MAILBOX_DELIVERED delivered = {
		.outcome = one->draft.outcome,
		.text = slice_of(one->draft.text),
		.path = slice_of(one->settled ? one->draft.name : ""),
	};

	if (one->planned && one->plan.kind == PLAN_EXPAND) {
		answer_plan(&one->plan);
		return;
	}
	if (!tell(IPC_MAILBOX_DELIVERED, &delivered))
		_exit(75);
}

/* Into a Maildir, and all is well so far. */
static bool is_under_way(const struct delivery *d)
{
	return d->draft.maildir != NULL && d->draft.outcome == OC_DONE;
}

static void drop(struct mailbox *b, struct delivery *d)
{
	maildir_drop(&d->draft);
	if (d->counted && !d->settled)
		quota_give_back(b->base_fd, d->place, d->draft.size);
}

static void free_delivery(struct delivery *d)
{
	if (d->planned)
		plan_free(&d->plan);
	buf_free(&d->texts);
}

static void deliver_batch(struct mailbox *b)
{
	struct delivery *end = b->batch + b->count;

	for (struct delivery *d = b->batch; d < end; d++)
		write_one(b, d);
	for (struct delivery *d = b->batch; d < end; d++)
		if (is_under_way(d))
			maildir_sync(&d->draft);
	for (struct delivery *d = b->batch; d < end; d++)
		if (is_under_way(d))
			maildir_publish(&d->draft, &d->message);
	for (struct delivery *d = b->batch; d < end; d++)
		if (is_under_way(d))
			d->settled = maildir_settle(&d->draft) == OC_DONE;
	for (struct delivery *d = b->batch; d < end; d++)
		drop(b, d);
	for (struct delivery *d = b->batch; d < end; d++) {
		answer(d);
		close(d->message.fd);
	}
	close_places(b);
	for (struct delivery *d = b->batch; d < end; d++)
		free_delivery(d);
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
	tzset(); /* before the cage: dates are of here */
	become(order);
	box.order = order;
	box.base_fd = open_base(order);
	box.home_fd = open_home(order);
	enter_cage(order, box.base_fd, box.home_fd);
	box.link = LINK_NOW(LINK_FD, ROLE_MAILBOX, ROLE_LOCAL, space);
	tell_opened(OC_DONE, "");
	while (take_batch(&box))
		deliver_batch(&box);
	leave();
}
