#include "local.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ipc/flags.h"
#include "maildir_path.h"

#include <errno.h>
#include <unistd.h>

#define ACCOUNT_ASK_MS 20000u
#define QUOTA_ASK_MS 20000u
#define USER_ASK_MS 20000u

static void tell_recipient(const struct delivery *d, enum outcome outcome, struct slice text, struct slice file)
{
	const struct outcome_info *info = outcome_info(outcome);
	struct buf words = buf_make(1024);
	struct msg_JOB_RECIPIENT told = {
		.job = d->job->number,
		.slot = d->slot,
		.outcome = outcome,
		.code = info->smtp,
		.dsn = slice_of(info->dsn),
		.remote = slice_empty(),
		.detail = file,
		.handover = d->handover,
	};

	buf_addf(&words, "%s%s%.*s", info->kind == KIND_OK ? "delivered to mailbox" : info->text, text.len > 0 ? ": " : "",
		 SLICE_ARG(text));
	told.text = buf_slice(&words);
	(void)service_tell(d->job->local->service, ROLE_QUEUE, IPC_JOB_RECIPIENT, &told);
	buf_free(&words);
}

static const char *transport_name(const struct job *job)
{
	return job->owner != NULL ? job->owner->transport : "";
}

static void log_verdict(const struct delivery *d, enum outcome outcome, struct slice text, struct slice file)
{
	if (outcome == OC_DONE)
		LOG(LEVEL_DEBUG, "mailbox-delivered", KV_ID(d->job->id), KV_STR("rcpt", d->recipient),
		    KV_STR("transport", transport_name(d->job)), KV_TEXT("file", file));
	else
		LOG(LEVEL_WARN, "mailbox-failed", KV_ID(d->job->id), KV_STR("rcpt", d->recipient),
		    KV_STR("transport", transport_name(d->job)), KV_STR("outcome", outcome_info(outcome)->name),
		    KV_TEXT("cause", text));
}

static void job_free(struct job *job)
{
	struct local *l = job->local;

	TAILQ_REMOVE(&l->jobs, job, jobs);
	l->job_count--;
	close(job->fd);
	buf_free(&job->prepend);
	free(job->sender);
	free(job->nexthop);
	free(job->place);
	free(job->owner_folder);
	generation_release(l->service, &job->generation);
	free(job);
	if (l->ending && TAILQ_EMPTY(&l->jobs))
		service_stop(l->service);
}

static void job_end(struct job *job)
{
	if (!job->orphan)
		(void)service_tell(job->local->service, ROLE_QUEUE, IPC_JOB_END, &(struct msg_JOB_END){job->number});
	job_free(job);
}

/* policyd lets the client hear it at once, until it hears otherwise, or for a while. */
static void tell_state(const struct delivery *d, enum outcome outcome)
{
	struct local *l = d->job->local;
	struct msg_MAILBOX_STATE state = {slice_of(transport_name(d->job)), slice_of(d->job->nexthop), outcome == OC_MAILBOX_FULL,
					  d->job->quota.bytes, d->job->quota.messages};
	struct buf key = buf_make(1024);
	bool told;

	if (outcome != OC_MAILBOX_FULL && (outcome != OC_DONE || map_count(l->full) == 0))
		return;
	buf_addf(&key, "%s %s", transport_name(d->job), d->job->nexthop);
	told = map_take(l->full, buf_slice(&key)) != NULL;
	if (state.full != 0)
		(void)map_put(l->full, buf_slice(&key), l);
	if (state.full != 0 || told)
		(void)service_tell(l->service, ROLE_POLICYD, IPC_MAILBOX_STATE, &state);
	buf_free(&key);
}

void delivery_end(struct delivery *d, enum outcome outcome, struct slice text, struct slice file)
{
	struct job *job = d->job;

	log_verdict(d, outcome, text, file);
	tell_state(d, outcome);
	if (outcome == OC_DONE)
		job->local->delivered++;
	else
		job->local->failed++;
	if (!job->orphan)
		tell_recipient(d, outcome, text, file);
	free(d);
	if (--job->open == 0)
		job_end(job);
}

/* The first that waits for an owner.  Where no more do, the job may be gone after its end. */
static struct delivery *take_asked(struct job *job, bool *more_out)
{
	struct delivery *d = TAILQ_FIRST(&job->asked);

	TAILQ_REMOVE(&job->asked, d, peers);
	*more_out = !TAILQ_EMPTY(&job->asked);
	return d;
}

/* All that still wait for an owner. */
static void fail_asked(struct job *job, enum outcome outcome, const char *text)
{
	bool more;

	do
		delivery_end(take_asked(job, &more), outcome, slice_of(text), slice_empty());
	while (more);
}

/* ---- where it goes ---- */

static bool needs_program(const struct delivery *d)
{
	return d->directive.kind == DIRECTIVE_PIPE || (d->directive.kind == DIRECTIVE_NONE && d->job->owner->how.kind == TRANSPORT_PIPE);
}

/* Programs begin in the home, or where there is none in the folder that holds the mailboxes. */
static struct pool *pool_for(struct delivery *d, const struct who *who, const char *home)
{
	struct who runs = {.uid = who->uid, .gid = who->gid, .group = who->group, .base = home, .base_fd = -1, .programs = true};

	return pool_open(d->job->local, needs_program(d) ? &runs : who);
}

static bool may_run(const struct delivery *d)
{
	return d->job->owner->how.kind == TRANSPORT_PIPE || d->job->owner->how.programs != 0;
}

static void hand_over(struct delivery *d, const struct who *who, const char *home)
{
	struct pool *pool = pool_for(d, who, home);

	if (pool == NULL)
		delivery_end(d, OC_NO_MEMORY, slice_empty(), slice_empty());
	else if (needs_program(d) && !may_run(d))
		delivery_end(d, OC_MAILBOX_TEMP, slice_of("its transport runs no programs"), slice_empty());
	else
		pool_take(pool, d);
	if (pool != NULL)
		pool_pump(pool);
}

/* The job may be gone after it. */
static void hand_all(struct job *job, const struct who *who, const char *home)
{
	bool more;

	do
		hand_over(take_asked(job, &more), who, home);
	while (more);
}

static bool set_places(struct job *job, struct slice place, struct slice owner_folder)
{
	job->place = slice_dup(place);
	job->owner_folder = slice_dup(owner_folder);
	return job->place != NULL && job->owner_folder != NULL;
}

/* "example.org/alice/Maildir" without its "/Maildir". */
static struct slice without_suffix(struct slice place, struct slice suffix)
{
	if (suffix.len == 0 || place.len <= suffix.len + 1)
		return place;
	return slice_sub(place, 0, place.len - suffix.len - 1);
}

static struct who virtual_owner(const struct owner *o)
{
	return (struct who){
		.uid = (uid_t)o->how.uid,
		.gid = (gid_t)o->how.gid,
		.group = (gid_t)o->how.group,
		.base = o->how.kind == TRANSPORT_PIPE ? "/" : o->base, /* a file of an alias lies anywhere that user may write */
		.base_fd = o->base_fd,
	};
}

/* False: all was said. */
static bool find_places(struct job *job)
{
	const struct owner *o = job->owner;
	struct slice place = slice_empty();

	if (job->place != NULL)
		return true;
	if (o->how.kind != TRANSPORT_PIPE && !maildir_beneath(slice_of(o->base), slice_of(job->nexthop), &place))
		fail_asked(job, OC_MAILBOX_TEMP, "its path is not one of this transport");
	else if (!set_places(job, place, without_suffix(place, o->how.suffix)))
		fail_asked(job, OC_NO_MEMORY, "");
	else
		return true;
	return false;
}

static void ask_user(struct job *job);

/* One that a table was asked for, and then the next is: what shares a path, or a program, need not share a user. */
static void hand_one(struct job *job, const struct who *who, const char *home)
{
	bool more;

	hand_over(take_asked(job, &more), who, home);
	if (more)
		ask_user(job);
}

static void fail_one(struct job *job, enum outcome outcome, const char *text)
{
	bool more;

	delivery_end(take_asked(job, &more), outcome, slice_of(text), slice_empty());
	if (more)
		ask_user(job);
}

/* home: of the user; where it is none, programs begin at the root. */
static void deliver_virtual(struct job *job, const struct who *who, struct slice home_path)
{
	char *home;

	if (!find_places(job))
		return;
	home = slice_dup(home_path.len > 0 && home_path.at[0] == '/' ? home_path : slice_of("/"));
	if (home == NULL)
		fail_asked(job, OC_NO_MEMORY, "");
	else if (job->owner->how.user_asked != 0)
		hand_one(job, who, home);
	else
		hand_all(job, who, home);
	free(home);
}

/* As the transport's own user. */
static void deliver_as_owner(struct job *job)
{
	const struct who who = virtual_owner(job->owner);

	deliver_virtual(job, &who, job->owner->how.home);
}

/* A system user's: beneath the home, or called as the user is. */
static void deliver_as(struct job *job, const struct msg_ACCOUNT *account, const char *home)
{
	const struct owner *o = job->owner;
	struct who who = {
		.uid = (uid_t)account->uid,
		.gid = (gid_t)account->gid,
		.group = (gid_t)o->how.group,
		.base = home,
		.base_fd = -1,
		.owns_base = true,
	};
	struct slice place = o->how.kind == TRANSPORT_PIPE ? slice_empty() : o->how.path;

	if (o->how.kind != TRANSPORT_PIPE && o->how.is_home == 0) {
		place = slice_of(job->nexthop);
		who.base = o->base;
		who.base_fd = o->base_fd;
		who.home = home;
		who.owns_base = false;
	}
	if (!maildir_is_safe(place))
		fail_asked(job, OC_MAILBOX_TEMP, "its path is not one of this transport");
	else if (!set_places(job, place, slice_empty()))
		fail_asked(job, OC_NO_MEMORY, "");
	else
		hand_all(job, &who, home);
}

#define NOT_AS_HIM "mail is not delivered as this user: it is root or a system user"

static bool may_be(const struct local *l, const struct msg_ACCOUNT *account)
{
	return service_is_unprivileged(l->service) || (account->uid != 0 && account->uid >= l->uid_floor && account->uid <= INT32_MAX &&
						       account->gid != 0 && account->gid <= INT32_MAX);
}

static void deliver_to_user(struct job *job, const struct msg_ACCOUNT *account)
{
	char *home;

	if (!may_be(job->local, account)) {
		fail_asked(job, OC_MAILBOX_TEMP, NOT_AS_HIM);
		return;
	}
	home = slice_dup(account->home);
	if (home == NULL || home[0] != '/')
		fail_asked(job, OC_MAILBOX_TEMP, "the user has no home folder");
	else
		deliver_as(job, account, home);
	free(home);
}

static void on_account(struct ipc_message *m, void *arg)
{
	struct job *job = arg;
	enum outcome outcome = m == NULL ? OC_LOOKUP_UNKNOWN : m->body.ACCOUNT.outcome;

	if (outcome == OC_DONE)
		deliver_to_user(job, &m->body.ACCOUNT);
	else if (outcome == OC_NOT_FOUND)
		fail_asked(job, OC_NO_MAILBOX, "");
	else
		fail_asked(job, OC_LOOKUP_UNKNOWN, "it cannot be asked now who the user is");
}

/* ---- as whom, by a table ---- */

static void deliver_as_named(struct job *job, const struct msg_ACCOUNT *account)
{
	struct who who = virtual_owner(job->owner);

	who.uid = (uid_t)account->uid;
	who.gid = (gid_t)account->gid;
	if (may_be(job->local, account))
		deliver_virtual(job, &who, account->home);
	else
		fail_one(job, OC_MAILBOX_TEMP, NOT_AS_HIM);
}

/* What the table says is ours: nobody is told that there is no such mailbox. */
static void on_named_account(struct ipc_message *m, void *arg)
{
	struct job *job = arg;
	enum outcome outcome = m == NULL ? OC_LOOKUP_UNKNOWN : m->body.ACCOUNT.outcome;

	if (outcome == OC_DONE)
		deliver_as_named(job, &m->body.ACCOUNT);
	else if (outcome == OC_NOT_FOUND)
		fail_one(job, OC_LOOKUP_UNKNOWN, "mail is not delivered as the user that the table names: there is none, or it is root or a system user");
	else
		fail_asked(job, OC_LOOKUP_UNKNOWN, "it cannot be asked now who the user is");
}

#define CANNOT_ASK_USER "it cannot be asked now as which user it is delivered"

static void on_mailbox_user(struct ipc_message *m, void *arg)
{
	struct job *job = arg;
	enum outcome outcome = m == NULL ? OC_LOOKUP_UNKNOWN : m->body.MAILBOX_USER.outcome;
	struct msg_ACCOUNT_ASK ask = {outcome == OC_DONE ? m->body.MAILBOX_USER.user : slice_empty()};
	bool nobody = job->owner->how.uid == 0; /* of its own */

	if (outcome == OC_DONE && ask.name.len > 0)
		service_ask(job->local->service, ROLE_AUTHD, IPC_ACCOUNT_ASK, &ask, ACCOUNT_ASK_MS, on_named_account, job);
	else if (outcome == OC_DONE && !nobody)
		deliver_as_owner(job);
	else if (outcome == OC_DONE || outcome == OC_NOT_FOUND)
		fail_one(job, OC_LOOKUP_UNKNOWN, "no table says as which user it is delivered");
	else if (m == NULL)
		fail_asked(job, OC_LOOKUP_UNKNOWN, CANNOT_ASK_USER); /* nobody is there who would know of the others */
	else
		fail_one(job, OC_LOOKUP_UNKNOWN, CANNOT_ASK_USER);
}

static void ask_user(struct job *job)
{
	struct msg_MAILBOX_USER_ASK ask = {job->generation->number, slice_of(job->owner->transport), slice_of(TAILQ_FIRST(&job->asked)->recipient)};

	service_ask(job->local->service, ROLE_POLICYD, IPC_MAILBOX_USER_ASK, &ask, USER_ASK_MS, on_mailbox_user, job);
}

static void find_owner(struct job *job)
{
	struct msg_ACCOUNT_ASK ask = {slice_of(job->nexthop)};

	if (job->owner->how.user_asked != 0)
		ask_user(job);
	else if (job->owner->how.is_system == 0)
		deliver_as_owner(job);
	else if (ask.name.len == 0 || ask.name.len > 255 || slice_index(ask.name, '/') != SLICE_NONE)
		fail_asked(job, OC_NO_MAILBOX, "");
	else
		service_ask(job->local->service, ROLE_AUTHD, IPC_ACCOUNT_ASK, &ask, ACCOUNT_ASK_MS, on_account, job);
}

/* ---- how much it may hold ---- */

static void on_quota(struct ipc_message *m, void *arg)
{
	struct job *job = arg;

	if (m == NULL || m->body.QUOTA.outcome != OC_DONE) {
		fail_asked(job, OC_LOOKUP_UNKNOWN, "it cannot be asked now how much the mailbox may hold");
		return;
	}
	job->quota = (struct quota_limit){m->body.QUOTA.bytes, m->body.QUOTA.messages};
	find_owner(job);
}

/* One question a job: what shares a mailbox shares its limit, and it is the limit of now, however long the mail has waited. */
static void find_quota(struct job *job)
{
	const struct rec_delivery *how = &job->owner->how;
	struct msg_QUOTA_ASK ask = {job->generation->number, slice_of(job->owner->transport), slice_of(TAILQ_FIRST(&job->asked)->recipient)};

	job->quota = (struct quota_limit){how->quota, how->quota_messages};
	if (how->quota_asked == 0)
		find_owner(job);
	else
		service_ask(job->local->service, ROLE_POLICYD, IPC_QUOTA_ASK, &ask, QUOTA_ASK_MS, on_quota, job);
}

/* ---- a new job ---- */

static struct slice keep(char **at, struct slice text)
{
	char *to = *at;

	memcpy(to, text.at, text.len);
	*at += text.len;
	return slice_make(to, text.len);
}

static struct delivery *delivery_new(struct job *job, const struct rec_job_recipient *r)
{
	struct delivery *d = mem_new(1, sizeof(*d) + r->recipient.len + 1 + r->argument.len + r->original.len);
	char *at;

	if (d == NULL)
		log_fatal("delivery", ENOMEM);
	d->job = job;
	d->slot = r->slot;
	memcpy(d->recipient, r->recipient.at, r->recipient.len);
	at = d->recipient + r->recipient.len + 1;
	d->argument = keep(&at, r->argument);
	d->original = keep(&at, r->original);
	return d;
}

/* False: its directive is none. */
static bool add_delivery(struct job *job, const struct rec_job_recipient *r)
{
	struct delivery *d = delivery_new(job, r);

	if (!directive_decode(r->directive, d->argument, &d->directive)) {
		free(d);
		return false;
	}
	TAILQ_INSERT_TAIL(&job->asked, d, peers);
	job->open++;
	return true;
}

/* False: malformed. */
static bool add_deliveries(struct job *job, struct slice records)
{
	struct rec_job_recipient r;

	while (rec_job_recipient_next(&records, &r))
		if (!add_delivery(job, &r))
			return false;
	return records.len == 0 && job->open > 0;
}

static struct job *job_new(struct local *l, struct ipc_message *m)
{
	const struct msg_JOB_START *b = &m->body.JOB_START;
	struct generation *g = generation_find(l->service, b->generation);
	struct job *job = mem_new(1, sizeof(*job));

	if (job == NULL)
		log_fatal("job", 0);
	job->local = l;
	job->number = b->job;
	job->id = b->id;
	job->flags = b->flags;
	job->offset = b->offset;
	job->length = b->length;
	job->fd = m->fd;
	m->fd = -1;
	job->generation = generation_hold(g != NULL ? g : service_generation(l->service));
	job->owner = owners_find(job->generation->state, b->transport);
	job->sender = slice_dup(b->sender);
	job->nexthop = slice_dup(b->nexthop);
	job->prepend = buf_make(b->prepend.len + 1);
	if (job->sender == NULL || job->nexthop == NULL || !buf_add_slice(&job->prepend, b->prepend))
		log_fatal("job", 0);
	TAILQ_INIT(&job->asked);
	TAILQ_INSERT_TAIL(&l->jobs, job, jobs);
	l->job_count++;
	return job;
}

void on_job_start(struct service *s, struct link *link, struct ipc_message *m)
{
	struct local *l = service_state(s);
	struct job *job = job_new(l, m);

	if (!add_deliveries(job, m->body.JOB_START.job_recipient_records)) {
		link_break(link, "a job without recipients, or malformed ones");
		while (!TAILQ_EMPTY(&job->asked)) {
			struct delivery *d = TAILQ_FIRST(&job->asked);

			TAILQ_REMOVE(&job->asked, d, peers);
			free(d);
		}
		job_free(job);
		return;
	}
	if (l->job_count > JOBS_MAX)
		fail_asked(job, OC_BUSY, "");
	else if (l->ending)
		fail_asked(job, OC_SHUTTING_DOWN, "");
	else if (job->owner == NULL)
		fail_asked(job, OC_ROUTE_UNKNOWN, "the configuration has no such local transport any more");
	else
		find_quota(job);
}

void jobs_orphan(struct local *l)
{
	struct job *job;

	TAILQ_FOREACH(job, &l->jobs, jobs)
		job->orphan = true;
}
