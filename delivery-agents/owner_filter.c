#include "owner_filter.h"

#include "base/clock.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "filter/filter.h"
#include "folder.h"
#include "maildir.h"
#include "once.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HEADER_MAX (256u << 10)
#define MAIL_TEXT_MAX 100000u
#define TOLD_AGAIN_S 86400u

struct run {
	const struct owner_case *c;
	struct plan *plan;
	struct buf header; /* owned */
	uint64_t body_at; /* of the message's file */
	size_t places, others; /* what is to be delivered here; and anything else that is to be done */
};

static bool refuse(struct plan *p, const char *what, const char *why)
{
	p->kind = PLAN_REFUSED;
	p->outcome = OC_MAILBOX_TEMP;
	snprintf(p->text, sizeof(p->text), "%.60s: %.120s", what, why);
	return false;
}

/* ---- files of the owner's ---- */

static bool is_trusted(int fd, uid_t uid, bool folder)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (folder ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode)) && (st.st_uid == uid || st.st_uid == 0) &&
	       (st.st_mode & 022) == 0;
}

/* The folder of a path beneath the owner's, every one on the way looked at.  -1 with errno; EPERM: one is not to be trusted. */
static int open_trusted(const struct owner_case *c, struct slice relative, char name[256])
{
	struct slice rest = relative, part = slice_empty(), next;
	int at = fcntl(c->folder_fd, F_DUPFD_CLOEXEC, 0); /* who may walk through it need not be allowed to read it */

	while (at >= 0 && slice_cut(&rest, '/', &next)) {
		int fd;

		if (!is_trusted(at, c->uid, true)) {
			close(at);
			errno = EPERM;
			return -1;
		}
		part = next;
		if (!slice_copy(part, name, 256) || rest.len == 0)
			break;
		fd = beneath_open(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = fd;
	}
	return at;
}

static enum filter_read read_open_file(int fd, uid_t uid, struct buf *out)
{
	char piece[8192];
	ssize_t n;

	if (!is_trusted(fd, uid, false))
		return FILTER_READ_REFUSED;
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		if (!buf_add(out, piece, (size_t)n))
			return FILTER_READ_REFUSED;
	return n == 0 ? FILTER_READ_DONE : FILTER_READ_LATER;
}

/* `relative` to what `~` lies in.  REFUSED is told as EPERM. */
static enum filter_read read_file(const struct owner_case *c, struct slice relative, struct buf *out)
{
	enum filter_read done;
	char name[256];
	int folder, fd;

	if (relative.len == 0 || !maildir_is_safe(relative))
		return FILTER_READ_REFUSED;
	folder = open_trusted(c, relative, name);
	if (folder < 0)
		return errno == ENOENT ? FILTER_READ_MISSING : errno == EPERM || errno == ELOOP ? FILTER_READ_REFUSED : FILTER_READ_LATER;
	fd = beneath_open(folder, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	close(folder);
	if (fd < 0)
		return errno == ENOENT ? FILTER_READ_MISSING : errno == ELOOP ? FILTER_READ_REFUSED : FILTER_READ_LATER;
	done = read_open_file(fd, c->uid, out);
	close(fd);
	return done;
}

static bool path_of(const struct owner_case *c, struct slice name, struct buf *out)
{
	return buf_add_slice(out, c->folder) && (c->folder.len == 0 || buf_add_char(out, '/')) && buf_add_slice(out, name);
}

/* What a filter names is absolute or beneath home. */
static enum filter_read read_named(void *arg, struct slice path, struct buf *out)
{
	const struct run *r = arg;
	struct buf relative = buf_make(MAILDIR_PATH_MAX);
	struct slice beneath = path;
	enum filter_read done = FILTER_READ_REFUSED;

	if (path.len > 0 && path.at[0] == '/') {
		if (maildir_beneath(slice_of(r->c->home), path, &beneath))
			done = read_file(r->c, beneath, out);
	} else if (path_of(r->c, path, &relative)) {
		done = read_file(r->c, buf_slice(&relative), out);
	}
	buf_free(&relative);
	return done;
}

/* ---- the message ---- */

/* The lines of the delivery, then those of the message up to the empty one. */
static bool read_header(struct run *r)
{
	const struct maildir_message *m = r->c->message;
	size_t size = m->length < HEADER_MAX ? (size_t)m->length : HEADER_MAX;
	char *start = mem_new(1, size + 1);
	struct slice rest, line;
	ssize_t n = start == NULL ? -1 : pread(m->fd, start, size, (off_t)m->offset);

	r->header = buf_make(HEADER_MAX + 32768);
	if (n < 0 || !buf_add_slice(&r->header, m->prepend)) {
		free(start);
		return false;
	}
	r->body_at = m->offset + (uint64_t)n;
	for (rest = slice_make(start, (size_t)n); rest.len > 0;) {
		size_t lf = slice_index(rest, '\n');

		line = slice_sub(rest, 0, lf == SLICE_NONE ? SIZE_MAX : lf + 1);
		rest = slice_from(rest, line.len);
		if (line.at[0] == '\n' || (line.len == 2 && line.at[0] == '\r')) {
			r->body_at = m->offset + (uint64_t)n - rest.len;
			break;
		}
		if (!buf_add_slice(&r->header, line))
			break;
	}
	free(start);
	return buf_ok(&r->header);
}

static ssize_t read_body(void *arg, uint64_t offset, char *out, size_t size)
{
	const struct run *r = arg;
	const struct maildir_message *m = r->c->message;
	uint64_t end = m->offset + m->length, at = r->body_at;
	ssize_t n;

	if (offset >= end - at)
		return 0;
	at += offset;
	do
		n = pread(m->fd, out, end - at < size ? (size_t)(end - at) : size, (off_t)at);
	while (n == -1 && errno == EINTR);
	return n;
}

static bool has_folder(void *arg, struct slice name)
{
	const struct run *r = arg;
	char folder[FOLDER_BYTES], path[MAILDIR_PATH_MAX + FOLDER_BYTES];
	int fd;

	if (r->c->how->kind != TRANSPORT_MAILDIR || !folder_path(name, folder))
		return false;
	snprintf(path, sizeof(path), "%.*s%s%s", SLICE_ARG(r->c->place), r->c->place.len > 0 && folder[0] != '\0' ? "/" : "", folder);
	fd = beneath_open(r->c->base_fd, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int zone_minutes(int64_t now)
{
	time_t at = (time_t)now;
	struct tm tm;

	return localtime_r(&at, &tm) == NULL ? 0 : (int)(tm.tm_gmtoff / 60);
}

/* ---- what it asks for ---- */

static bool add_record(struct plan *p, bool here, struct slice recipient, enum directive_kind directive, struct slice argument)
{
	return rec_expansion_add(&p->records, &(struct rec_expansion){here, recipient, directive, argument});
}

static bool with_extra(struct plan *p, struct slice text, struct slice extra)
{
	buf_clear(&p->argument);
	return buf_add_slice(&p->argument, text) && (extra.len == 0 || (buf_add_char(&p->argument, '\0') && buf_add_slice(&p->argument, extra)));
}

/* One more place in this mailbox; the first is kept as it is, in case it stays the only thing. */
static bool add_place(struct run *r, enum directive_kind kind, struct slice text, struct slice extra)
{
	struct plan *p = r->plan;

	if (!with_extra(p, text, extra))
		return false;
	p->directive = kind;
	r->places++;
	return add_record(p, true, slice_empty(), kind, buf_slice(&p->argument));
}

static bool take_inbox(struct run *r, const struct filter_action *a)
{
	return add_place(r, DIRECTIVE_INBOX, slice_empty(), a->flags);
}

static bool take_folder(struct run *r, const struct filter_action *a)
{
	if (!a->create && !has_folder(r, a->text))
		return take_inbox(r, a);
	return add_place(r, DIRECTIVE_FOLDER, a->text, a->flags);
}

static bool take_file(struct run *r, const struct filter_action *a)
{
	char mode[8] = "";

	if (a->mode != 0)
		snprintf(mode, sizeof(mode), "%o", a->mode & 0660);
	return add_place(r, DIRECTIVE_FILE, a->text, slice_of(mode));
}

static bool take_redirect(struct run *r, const struct filter_action *a)
{
	r->others++;
	return add_record(r->plan, false, a->text, DIRECTIVE_NONE, slice_empty());
}

static bool take_pipe(struct run *r, const struct filter_action *a)
{
	r->others++;
	return add_record(r->plan, true, slice_empty(), DIRECTIVE_PIPE, a->text);
}

static bool add_mail(struct plan *p, struct slice recipients, struct slice text, bool null_sender)
{
	size_t at = p->texts.len;

	/* Those before are borrowed from it: it never grows. */
	if (p->mail_count == PLAN_MAILS_MAX || text.len > MAIL_TEXT_MAX || p->texts.cap - at < recipients.len + text.len || !buf_add_slice(&p->texts, recipients) || !buf_add_slice(&p->texts, text))
		return false;
	p->mails[p->mail_count++] = (struct plan_mail){null_sender, slice_make(p->texts.at + at, recipients.len),
						       slice_make(p->texts.at + at + recipients.len, text.len)};
	return true;
}

/* Once for who got it: a state that cannot be kept is no reason to answer every time. */
static bool take_mail(struct run *r, const struct filter_action *a)
{
	if (a->once_seconds != 0 && !once_is_due(r->c->folder_fd, r->c->folder, a->once_key, a->to, a->once_seconds))
		return true;
	r->others++;
	return add_mail(r->plan, a->to, a->text, a->null_sender);
}

static bool take_reject(struct run *r, const struct filter_action *a)
{
	r->plan->kind = PLAN_REFUSED;
	r->plan->outcome = OC_OWNER_REFUSED;
	snprintf(r->plan->text, sizeof(r->plan->text), "%.*s", SLICE_ARG(slice_sub(a->text, 0, sizeof(r->plan->text) - 1)));
	return true;
}

static bool take_hold(struct run *r, const struct filter_action *a)
{
	(void)a;
	r->others++;
	r->plan->hold = true;
	return r->places > 0 || add_record(r->plan, true, slice_empty(), DIRECTIVE_INBOX, slice_empty());
}

static bool take_add_header(struct run *r, const struct filter_action *a)
{
	r->others++;
	return buf_add_slice(&r->plan->prepend, a->text) && buf_add_text(&r->plan->prepend, "\r\n");
}

static bool take_remove_header(struct run *r, const struct filter_action *a)
{
	r->others++;
	return buf_add_slice(&r->plan->without, a->text) && buf_add_char(&r->plan->without, '\n');
}

static bool (*const takers[])(struct run *r, const struct filter_action *a) = {
	[FILTER_INBOX] = take_inbox,	 [FILTER_FOLDER] = take_folder,		[FILTER_FILE] = take_file,
	[FILTER_REDIRECT] = take_redirect, [FILTER_PIPE] = take_pipe,		[FILTER_MAIL] = take_mail,
	[FILTER_REJECT] = take_reject,	 [FILTER_HOLD] = take_hold,		[FILTER_ADD_HEADER] = take_add_header,
	[FILTER_REMOVE_HEADER] = take_remove_header,
};

static void clear(struct plan *p)
{
	plan_free(p);
	*p = (struct plan){
		.kind = PLAN_HERE,
		.directive = DIRECTIVE_INBOX,
		.argument = buf_make(DIRECTIVE_ARGUMENT_MAX),
		.prepend = buf_make(16384),
		.without = buf_make(4096),
		.records = buf_make(80000),
		.texts = buf_make(PLAN_MAILS_MAX * (MAIL_TEXT_MAX + 16384)),
	};
	/* without memory for them no mail is taken (add_mail) */
	(void)buf_room(&p->texts, PLAN_MAILS_MAX * (MAIL_TEXT_MAX + 16384) - 1);
}

static bool take_actions(struct run *r, const struct filter_result *result)
{
	for (size_t i = 0; i < result->count && r->plan->kind != PLAN_REFUSED; i++) {
		const struct filter_action *a = &result->actions[i];

		if (a->kind == FILTER_PIPE && r->c->how->programs == 0)
			return refuse(r->plan, "its owner's file names a program", "the transport runs none (programs yes)");
		if (!takers[a->kind](r, a))
			return refuse(r->plan, "its owner's file", "asks for more than may be done with one message");
	}
	return true;
}

static void choose(struct run *r)
{
	if (r->plan->kind == PLAN_REFUSED)
		return;
	r->plan->kind = r->places == 1 && r->others == 0 ? PLAN_HERE : PLAN_EXPAND;
}

/* The inbox, and a word to the owner. */
static void keep_and_tell(struct run *r, const char *what, const char *why)
{
	struct buf text = buf_make(4096);
	struct slice key = slice_of(why);

	clear(r->plan);
	if (!once_is_due(r->c->folder_fd, r->c->folder, key, r->c->address, TOLD_AGAIN_S))
		return;
	buf_addf(&text,
		 "From: Mail delivery <postmaster@%.*s>\nTo: <%.*s>\nSubject: your mail filter failed\nAuto-Submitted: auto-generated\n"
		 "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"
		 "Your filter %s was not carried out:\n\n    %s\n\nThe message is in your inbox, and so will be those to come until it is mended.\n",
		 SLICE_ARG(r->c->host), SLICE_ARG(r->c->address), what, why);
	if (buf_ok(&text) && add_mail(r->plan, r->c->address, buf_slice(&text), true) &&
	    add_record(r->plan, true, slice_empty(), DIRECTIVE_INBOX, slice_empty()))
		r->plan->kind = PLAN_EXPAND;
	buf_free(&text);
}

/* ---- running it ---- */

static void run_filter(struct run *r, const struct filter *f, const char *name)
{
	const struct owner_case *c = r->c;
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	const struct filter_message message = {
		.sender = c->sender,
		.recipient = c->original.len > 0 ? c->original : c->address,
		.address = c->address,
		.user = c->user,
		.home = slice_of(c->home),
		.host = c->host,
		.separators = c->how->separators,
		.header = buf_slice(&r->header),
		.id = c->message->id,
		.size = c->message->length + c->message->prepend.len,
		.now = clock_wall_s(),
		.zone_minutes = zone_minutes(clock_wall_s()),
		.body = read_body,
		.read = read_named,
		.has_folder = has_folder,
		.arg = r,
	};
	struct filter_result result;

	filter_run(f, &message, &limits, NULL, &result);
	if (result.outcome == FILTER_LATER)
		(void)refuse(r->plan, name, result.why);
	else if (result.outcome == FILTER_ERROR)
		keep_and_tell(r, name, result.why);
	else if (take_actions(r, &result))
		choose(r);
	filter_result_free(&result);
}

static void compile_and_run(struct run *r, struct slice text, enum filter_kind kind, const char *name)
{
	struct filter_mistake mistake;
	struct filter *f = filter_compile(text, kind, &mistake);
	char why[FILTER_WHY_MAX + 32];

	if (f == NULL && mistake.line == 0) {
		(void)refuse(r->plan, name, "out of memory");
	} else if (f == NULL) {
		snprintf(why, sizeof(why), "line %u: %.240s", mistake.line, mistake.why);
		if (filter_kind_waits(kind == FILTER_KIND_ANY ? filter_kind_of(text) : kind))
			(void)refuse(r->plan, name, why);
		else
			keep_and_tell(r, name, why);
	} else if (!read_header(r)) {
		(void)refuse(r->plan, name, "the message cannot be read now");
	} else {
		run_filter(r, f, name);
	}
	filter_free(&f);
}

/* A filter file says which language it is in, or it is Sieve; it is never a list. */
static enum filter_kind kind_of(struct slice text, enum filter_kind kind)
{
	return kind == FILTER_KIND_SIEVE && filter_kind_of(text) == FILTER_KIND_EXIM ? FILTER_KIND_EXIM : kind;
}

/* False: there is no such file, or nothing in it. */
static bool try_file(struct run *r, struct slice name, enum filter_kind kind)
{
	struct buf text = buf_make(FILTER_SOURCE_MAX), path = buf_make(MAILDIR_PATH_MAX);
	char shown[64];
	enum filter_read done;

	snprintf(shown, sizeof(shown), "~/%.50s", name.at);
	done = path_of(r->c, name, &path) ? read_file(r->c, buf_slice(&path), &text) : FILTER_READ_REFUSED;
	if (done == FILTER_READ_REFUSED)
		(void)refuse(r->plan, shown, "it, or a folder on the way to it, may be written by others, is a link, or is too large");
	else if (done == FILTER_READ_LATER)
		(void)refuse(r->plan, shown, "it cannot be read now");
	else if (done == FILTER_READ_DONE && slice_trim(buf_slice(&text)).len > 0)
		compile_and_run(r, buf_slice(&text), kind_of(buf_slice(&text), kind), shown);
	else
		done = FILTER_READ_MISSING;
	buf_free(&text);
	buf_free(&path);
	return done != FILTER_READ_MISSING;
}

void owner_filter_plan(const struct owner_case *c, struct plan *out)
{
	struct run r = {.c = c, .plan = out, .header = buf_make(0)};
	char forward[1100], filter[1100];

	*out = (struct plan){.argument = buf_make(0), .prepend = buf_make(0), .without = buf_make(0), .records = buf_make(0), .texts = buf_make(0)};
	clear(out);
	(void)slice_copy(c->how->forward, forward, sizeof(forward));
	(void)slice_copy(c->how->filter, filter, sizeof(filter));
	if ((forward[0] == '\0' || !try_file(&r, slice_of(forward), FILTER_KIND_ANY)) && filter[0] != '\0')
		(void)try_file(&r, slice_of(filter), FILTER_KIND_SIEVE);
	buf_free(&r.header);
}

void plan_free(struct plan *p)
{
	buf_free(&p->argument);
	buf_free(&p->prepend);
	buf_free(&p->without);
	buf_free(&p->records);
	buf_free(&p->texts);
}
