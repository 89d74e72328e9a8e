/* postern-local as a process: this test is its master, its queue manager and its authd. */
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/link.h"
#include "mail/directive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PARENT_UID 4242u
#define OWNER_UID 65534u
#define FLOOR_UID 1000u

static char root[] = "/tmp/postern-local-XXXXXX";
static char base[200], home[200];

struct peer {
	int fd;
	struct link_now link;
	char *space;
};

static struct {
	pid_t pid;
	struct peer master, queue, authd, policyd;
} local;

static bool is_root(void)
{
	return geteuid() == 0;
}

/* ---- the three peers ---- */

static void peer_open(struct peer *p, int fd, enum role self)
{
	const struct timeval wait = {30, 0};

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	p->fd = fd;
	p->space = malloc(LINK_PACKET_MAX);
	assert_non_null(p->space);
	p->link = LINK_NOW(fd, self, ROLE_LOCAL, p->space);
}

static void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	free(p->space);
	p->space = NULL;
}

static void tell(struct peer *p, enum ipc_type type, const void *body, int fd)
{
	assert_true(link_tell_now(p->fd, type, 0, false, body, fd));
}

static struct ipc_message hear(struct peer *p, enum ipc_type type)
{
	struct ipc_message m = {.fd = -1};

	if (!link_receive_now(&p->link, &m))
		fail_msg("no %s came", ipc_type_name(type));
	if (m.type != type)
		fail_msg("%s came, not %s", ipc_type_name(m.type), ipc_type_name(type));
	return m;
}

static void attach(struct peer *p, enum role role)
{
	const struct msg_LINK_ATTACH body = {(uint64_t)role, 0, 1};
	int pair[2];

	assert_true(link_pair(pair));
	tell(&local.master, IPC_LINK_ATTACH, &body, pair[1]);
	close(pair[1]);
	peer_open(p, pair[0], role);
}

/* No text goes to local: its Maildir transports come decoded. */
static void open_generation(uint64_t number, const struct rec_delivery *maildirs, size_t count)
{
	char key[300];
	int mail = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	snprintf(key, sizeof(key), "%s/.", base);
	tell(&local.master, IPC_GENERATION_OPEN, &(struct msg_GENERATION_OPEN){number, LEVEL_INFO, slice_of("mx.example.test")}, -1);
	for (size_t i = 0; i < count; i++) {
		struct rec_delivery d = maildirs[i];
		struct buf record = buf_make(12000);

		d.path = d.path.len == 0 ? slice_of(key) : d.path;
		d.add = ADD_DELIVERED_TO;
		assert_true(rec_delivery_add(&record, &d));
		tell(&local.master, IPC_GENERATION_DELIVERY, &(struct msg_GENERATION_DELIVERY){number, buf_slice(&record)}, -1);
		buf_free(&record);
	}
	tell(&local.master, IPC_GENERATION_PATH, &(struct msg_GENERATION_PATH){number, slice_of(key)}, mail);
	assert_true(link_tell_now(local.master.fd, IPC_GENERATION_CHECK, number, false, &(struct msg_GENERATION_CHECK){number}, -1));
	close(mail);
}

static void hand_over(void)
{
	const uint64_t owner = is_root() ? OWNER_UID : geteuid(), group = is_root() ? OWNER_UID : getegid();
	const struct rec_delivery maildirs[] = {
		{.transport = slice_of("mailboxes"), .path = slice_empty(), .uid = owner, .gid = group},
		{.transport = slice_of("homes"), .is_system = 1, .is_home = 1, .path = slice_of("Maildir")},
		{.transport = slice_of("named"), .path = slice_empty(), .user_asked = 1, .uid = is_root() ? 0 : owner, .gid = is_root() ? 0 : group},
		{.transport = slice_of("named-or-own"), .path = slice_empty(), .user_asked = 1, .uid = owner, .gid = group},
	};
	struct buf facts = buf_make(1000);
	int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(rec_cage_fact_add(&facts, &(struct rec_cage_fact){slice_of("uid-min"), FLOOR_UID, slice_empty()}));
	tell(&local.master, IPC_CAGE,
	     &(struct msg_CAGE){.uid = is_root() ? PARENT_UID : geteuid(),
				.gid = is_root() ? PARENT_UID : getegid(),
				.as_root = is_root(),
				.require = slice_empty(),
				.cage_fact_records = buf_slice(&facts)},
	     folder);
	open_generation(1, maildirs, sizeof(maildirs) / sizeof(maildirs[0]));
	close(folder);
	buf_free(&facts);
}

static void launch(void)
{
	struct ipc_message m;
	int pair[2];

	assert_true(link_pair(pair));
	local.pid = fork();
	if (local.pid == 0) {
		/* the cage lets nobody look into the process, the leak check neither */
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		if (dup2(pair[1], 3) == 3)
			execl(POSTERN_LOCAL, "postern-local", "--instance", "0", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	peer_open(&local.master, pair[0], ROLE_MASTER);
	hand_over();
	m = hear(&local.master, IPC_GENERATION_CHECKED);
	if (m.body.GENERATION_CHECKED.outcome != OC_DONE)
		fail_msg("%.*s", SLICE_ARG(m.body.GENERATION_CHECKED.reason));
	hear(&local.master, IPC_READY);
	attach(&local.queue, ROLE_QUEUE);
	attach(&local.authd, ROLE_AUTHD);
	attach(&local.policyd, ROLE_POLICYD);
}

/* ---- jobs ---- */

static const char body_text[] = "Subject: x\r\n\r\nbody\r\n";

static void start_job(uint64_t job, const char *transport, const char *nexthop, const char *recipients[], size_t count)
{
	struct buf records = buf_make(65536);
	int fd = memfd_create("message", MFD_CLOEXEC);
	struct msg_JOB_START start = {
		.job = job,
		.id = job,
		.generation = 1,
		.transport = slice_of(transport),
		.nexthop = slice_of(nexthop),
		.length = sizeof(body_text) - 1,
		.sender = slice_of("bob@example.test"),
		.envid = slice_empty(),
		.prepend = slice_of("Received: by test\r\n"),
	};

	assert_int_equal(write(fd, body_text, sizeof(body_text) - 1), (ssize_t)sizeof(body_text) - 1);
	for (size_t i = 0; i < count; i++) {
		struct rec_job_recipient r = {i, 0, slice_of(recipients[i]), slice_of(recipients[i]), slice_empty(), DIRECTIVE_NONE, slice_empty()};

		assert_true(rec_job_recipient_add(&records, &r));
	}
	start.job_recipient_records = buf_slice(&records);
	tell(&local.queue, IPC_JOB_START, &start, fd);
	close(fd);
	buf_free(&records);
}

static void start_one(uint64_t job, const char *transport, const char *nexthop, const char *recipient)
{
	start_job(job, transport, nexthop, &recipient, 1);
}

static enum outcome verdict_of(uint64_t job)
{
	struct ipc_message m = hear(&local.queue, IPC_JOB_RECIPIENT);
	enum outcome outcome = m.body.JOB_RECIPIENT.outcome;

	assert_int_equal(m.body.JOB_RECIPIENT.job, job);
	m = hear(&local.queue, IPC_JOB_END);
	assert_int_equal(m.body.JOB_END.job, job);
	return outcome;
}

static int files_in(const char *folder)
{
	DIR *dir = opendir(folder);
	int n = 0;

	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n > 2 ? n - 2 : 0;
}

static int mail_of(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/example.test/%s/new", base, name);
	return files_in(path);
}

static void mailbox(char out[300], const char *name)
{
	snprintf(out, 300, "%s/example.test/%s/", base, name);
}

/* Many at once, to several mailboxes: every job gets its verdict and its end, every message is there. */
static void delivers_many(void **state)
{
	enum { JOBS = 300 };
	bool ended[JOBS] = {false};
	char path[300], name[8];

	(void)state;
	for (uint64_t i = 0; i < JOBS; i++) {
		snprintf(name, sizeof(name), "u%u", (unsigned)(i % 5));
		mailbox(path, name);
		start_one(i, "mailboxes", path, "u@example.test");
	}
	for (int heard = 0; heard < 2 * JOBS; heard++) {
		struct ipc_message m = {.fd = -1};

		assert_true(link_receive_now(&local.queue.link, &m));
		if (m.type == IPC_JOB_RECIPIENT) {
			if (m.body.JOB_RECIPIENT.outcome != OC_DONE)
				fail_msg("%.*s", SLICE_ARG(m.body.JOB_RECIPIENT.text));
			assert_false(ended[m.body.JOB_RECIPIENT.job]);
		} else {
			assert_int_equal(m.type, IPC_JOB_END);
			assert_false(ended[m.body.JOB_END.job]);
			ended[m.body.JOB_END.job] = true;
		}
	}
	assert_int_equal(mail_of("u0"), JOBS / 5);
	for (unsigned i = 1; i < 5; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		assert_int_equal(mail_of(name), JOBS / 5);
	}
}

static void several_recipients(void **state)
{
	const char *recipients[] = {"a@example.test", "b@example.test", "c@example.test"};
	unsigned slots = 0;
	char path[300];

	(void)state;
	mailbox(path, "shared");
	start_job(7, "mailboxes", path, recipients, 3);
	for (int i = 0; i < 3; i++) {
		struct ipc_message m = hear(&local.queue, IPC_JOB_RECIPIENT);

		assert_int_equal(m.body.JOB_RECIPIENT.outcome, OC_DONE);
		slots |= 1u << m.body.JOB_RECIPIENT.slot;
	}
	hear(&local.queue, IPC_JOB_END);
	assert_int_equal(slots, 7);
	assert_int_equal(mail_of("shared"), 3);
}

static void answer_account_of(enum outcome outcome, uint64_t uid, uint64_t gid, struct slice home_path)
{
	struct ipc_message m = hear(&local.authd, IPC_ACCOUNT_ASK);
	const struct msg_ACCOUNT account = {outcome, uid, gid, home_path};

	assert_true(slice_eq(m.body.ACCOUNT_ASK.name, slice_of("alice")));
	assert_true(link_tell_now(local.authd.fd, IPC_ACCOUNT, m.request, true, &account, -1));
}

static void answer_account(enum outcome outcome, uint64_t uid, const char *home_path)
{
	answer_account_of(outcome, uid, uid, slice_of(home_path));
}

static void homes(void **state)
{
	uint64_t owner = is_root() ? OWNER_UID : geteuid();
	const struct {
		const char *name;
		enum outcome account;
		uint64_t uid;
		const char *home;
		enum outcome want;
		bool root_only;
	} cases[] = {
		{"delivers", OC_DONE, owner, home, OC_DONE, false},
		{"no such user", OC_NOT_FOUND, 0, "", OC_NO_MAILBOX, false},
		{"not known now", OC_UNAVAILABLE, 0, "", OC_LOOKUP_UNKNOWN, false},
		{"a permanent word that is none", OC_NOT_ALLOWED, 0, "", OC_LOOKUP_UNKNOWN, false},
		{"no home", OC_DONE, owner, "", OC_MAILBOX_TEMP, false},
		{"missing home", OC_DONE, owner, "/nonexistent/home", OC_MAILBOX_TEMP, false},
		{"root", OC_DONE, 0, "/root", OC_MAILBOX_TEMP, true},
		{"system user", OC_DONE, 42, home, OC_MAILBOX_TEMP, true},
		{"home of another", OC_DONE, 12345, home, OC_MAILBOX_TEMP, true},
		{"mad uid", OC_DONE, UINT64_MAX, home, OC_MAILBOX_TEMP, true},
		{"uid beyond 32 bits", OC_DONE, (1ull << 32) + 12345, home, OC_MAILBOX_TEMP, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum outcome got;

		if (cases[i].root_only && !is_root())
			continue;
		start_one(100 + i, "homes", "alice", "alice@mx.example.test");
		answer_account(cases[i].account, cases[i].uid, cases[i].home);
		got = verdict_of(100 + i);
		if (got != cases[i].want)
			fail_msg("%s: %s", cases[i].name, outcome_info(got)->name);
	}
}

static void answer_user_of(const char *recipient, enum outcome outcome, const char *user)
{
	struct ipc_message m = hear(&local.policyd, IPC_MAILBOX_USER_ASK);
	const struct msg_MAILBOX_USER told = {outcome, slice_of(user)};

	assert_true(slice_eq(m.body.MAILBOX_USER_ASK.recipient, slice_of(recipient)));
	assert_true(link_tell_now(local.policyd.fd, IPC_MAILBOX_USER, m.request, true, &told, -1));
}

static void answer_user(enum outcome outcome, const char *user)
{
	answer_user_of("u@named.test", outcome, user);
}

static void make_domain(const char *domain, uint64_t owner, mode_t mode)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", base, domain);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
	if (is_root())
		assert_int_equal(chown(path, (uid_t)owner, (gid_t)owner), 0);
}

/* As whom a table says: a name for authd, or the transport's own.  Nobody hears that there is no such mailbox, and nothing is written where another is at home. */
static void as_a_table_says(void **state)
{
	const uint64_t owner = is_root() ? OWNER_UID : geteuid();
	const struct {
		const char *name, *transport, *domain;
		enum outcome told;
		const char *user; /* "": authd is not asked */
		enum outcome account;
		uint64_t uid;
		enum outcome want;
		bool root_only;
	} cases[] = {
		{"its user", "named", "ours.test", OC_DONE, "alice", OC_DONE, owner, OC_DONE, false},
		{"and not the transport's", "named-or-own", "another.test", OC_DONE, "alice", OC_DONE, owner - 1, OC_DONE, true},
		{"the transport's", "named-or-own", "ours.test", OC_DONE, "", 0, 0, OC_DONE, false},
		{"the transport has none", "named", "ours.test", OC_DONE, "", 0, 0, OC_LOOKUP_UNKNOWN, true},
		{"nobody", "named", "ours.test", OC_NOT_FOUND, "", 0, 0, OC_LOOKUP_UNKNOWN, false},
		{"not known now", "named-or-own", "ours.test", OC_LOOKUP_UNKNOWN, "", 0, 0, OC_LOOKUP_UNKNOWN, false},
		{"no such user", "named-or-own", "ours.test", OC_DONE, "alice", OC_NOT_FOUND, 0, OC_LOOKUP_UNKNOWN, false},
		{"who it is is not known", "named-or-own", "ours.test", OC_DONE, "alice", OC_UNAVAILABLE, 0, OC_LOOKUP_UNKNOWN, false},
		{"root", "named", "ours.test", OC_DONE, "alice", OC_DONE, 0, OC_MAILBOX_TEMP, true},
		{"below the bound", "named", "ours.test", OC_DONE, "alice", OC_DONE, FLOOR_UID - 1, OC_MAILBOX_TEMP, true},
		{"the folder is another's", "named", "another.test", OC_DONE, "alice", OC_DONE, owner, OC_MAILBOX_TEMP, true},
		{"others may write there", "named", "open.test", OC_DONE, "alice", OC_DONE, owner, OC_MAILBOX_TEMP, false},
		{"there is none yet", "named", "new.test", OC_DONE, "alice", OC_DONE, owner, OC_DONE, false},
		{"nor may it be made", "named", "other.test", OC_DONE, "alice", OC_DONE, owner - 1, OC_MAILBOX_TEMP, true},
	};

	(void)state;
	make_domain("ours.test", owner, 0700);
	make_domain("another.test", owner - 1, 0700);
	make_domain("open.test", owner, 0770);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum outcome got;
		char path[300];

		if (cases[i].root_only && !is_root())
			continue;
		snprintf(path, sizeof(path), "%s/%s/u/", base, cases[i].domain);
		start_one(400 + i, cases[i].transport, path, "u@named.test");
		answer_user(cases[i].told, cases[i].user);
		if (cases[i].user[0] != '\0')
			answer_account_of(cases[i].account, cases[i].uid, cases[i].uid, slice_of(home));
		got = verdict_of(400 + i);
		if (got != cases[i].want)
			fail_msg("%s: %s", cases[i].name, outcome_info(got)->name);
	}
}

/* Recipients whose mail goes to one place: each is asked for, and what one has is not the next one's. */
static void each_as_a_table_says(void **state)
{
	const char *recipients[] = {"a@one.test", "b@two.test", "c@three.test", "d@four.test"};
	const uint64_t owner = is_root() ? OWNER_UID : geteuid();
	const enum outcome wanted[] = {OC_DONE, OC_LOOKUP_UNKNOWN, OC_LOOKUP_UNKNOWN, OC_DONE};
	char path[300];

	(void)state;
	make_domain("shared.test", owner, 0700);
	snprintf(path, sizeof(path), "%s/shared.test/u/", base);
	start_job(450, "named-or-own", path, recipients, 4);
	answer_user_of("a@one.test", OC_DONE, "alice");
	answer_account_of(OC_DONE, owner, owner, slice_of(home));
	answer_user_of("b@two.test", OC_NOT_FOUND, "");
	answer_user_of("c@three.test", OC_DONE, "alice");
	answer_account_of(OC_NOT_FOUND, 0, 0, slice_empty());
	answer_user_of("d@four.test", OC_DONE, "");
	for (int i = 0; i < 4; i++) {
		struct ipc_message m = hear(&local.queue, IPC_JOB_RECIPIENT);

		assert_true(m.body.JOB_RECIPIENT.slot < 4);
		assert_int_equal(m.body.JOB_RECIPIENT.outcome, wanted[m.body.JOB_RECIPIENT.slot]);
	}
	hear(&local.queue, IPC_JOB_END);
}

/* Who keeps the accounts says that somebody is root, of root's group, below the bound, or at home elsewhere: his mail waits.  (A text with NUL,
 * or of 4097 octets, is no message of the bus.) */
static void accounts_that_lead_elsewhere(void **state)
{
	static char long_home[4096] = "/";
	const uint64_t owner = is_root() ? OWNER_UID : geteuid();
	const struct {
		const char *name;
		uint64_t uid, gid;
		struct slice home;
		bool root_only;
	} cases[] = {
		{"uid-0", 0, owner, slice_of(home), true},
		{"gid-0", owner, 0, slice_of(home), true},
		{"gid-0-by-cut", owner, 1ull << 32, slice_of(home), true},
		{"uid-0-by-cut", 1ull << 32, owner, slice_of(home), true},
		{"uid-below-the-bound", FLOOR_UID - 1, owner, slice_of(home), true},
		{"home-above", owner, owner, slice_of("../../etc"), false},
		{"home-relative", owner, owner, slice_of("etc"), false},
		{"home-of-4096", owner, owner, {long_home, sizeof(long_home)}, false},
		{"home-of-root", owner, owner, slice_of("/root"), true},
		{"home-is-the-root", owner, owner, slice_of("/"), true},
	};

	(void)state;
	memset(long_home + 1, 'a', sizeof(long_home) - 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum outcome got;

		if (cases[i].root_only && !is_root())
			continue;
		start_one(200 + i, "homes", "alice", "alice@mx.example.test");
		answer_account_of(OC_DONE, cases[i].uid, cases[i].gid, cases[i].home);
		got = verdict_of(200 + i);
		printf("ROW F19 account-%s %s\n", cases[i].name, got == OC_MAILBOX_TEMP ? "pass" : "fail");
		assert_int_equal(got, OC_MAILBOX_TEMP);
	}
}

static void home_is_the_users(void **state)
{
	char path[300];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/Maildir/new", home);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, is_root() ? OWNER_UID : geteuid());
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(files_in(path), 1);
}

static void refuses_other_paths(void **state)
{
	static const struct {
		const char *transport, *nexthop;
		enum outcome want;
	} cases[] = {
		{"mailboxes", "/etc/x", OC_MAILBOX_TEMP},	 {"mailboxes", "", OC_MAILBOX_TEMP},
		{"mailboxes", "relative/x", OC_MAILBOX_TEMP}, {"nowhere", "/x", OC_ROUTE_UNKNOWN},
		{"homes", "", OC_NO_MAILBOX},		 {"homes", "../root", OC_NO_MAILBOX},
		{"homes", "/etc", OC_NO_MAILBOX},
	};
	char path[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start_one(200 + i, cases[i].transport, cases[i].nexthop, "x@example.test");
		assert_int_equal(verdict_of(200 + i), cases[i].want);
	}
	snprintf(path, sizeof(path), "%s/../out", base);
	start_one(300, "mailboxes", path, "x@example.test");
	assert_int_equal(verdict_of(300), OC_MAILBOX_TEMP);
}

static void kill_workers(void)
{
	char path[64], text[1000], *at = text;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)local.pid, (int)local.pid);
	f = fopen(path, "re");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	for (long pid = strtol(at, &at, 10); pid > 0; pid = strtol(at, &at, 10))
		kill((pid_t)pid, SIGKILL);
}

/* Workers are killed in the middle: every job still gets one verdict, none of them permanent, and delivery goes on. */
static void workers_die(void **state)
{
	enum { JOBS = 400 };
	int ends = 0, done = 0;
	char path[300];

	(void)state;
	mailbox(path, "dying");
	for (uint64_t i = 0; i < JOBS; i++) {
		start_one(i, "mailboxes", path, "dying@example.test");
		if (i % 100 == 50)
			kill_workers();
	}
	while (ends < JOBS) {
		struct ipc_message m = {.fd = -1};

		assert_true(link_receive_now(&local.queue.link, &m));
		ends += m.type == IPC_JOB_END;
		if (m.type == IPC_JOB_RECIPIENT) {
			assert_int_not_equal(outcome_kind(m.body.JOB_RECIPIENT.outcome), KIND_PERM);
			done += m.body.JOB_RECIPIENT.outcome == OC_DONE;
		}
	}
	assert_true(mail_of("dying") >= done);
	start_one(1, "mailboxes", path, "dying@example.test");
	assert_int_equal(verdict_of(1), OC_DONE);
}

/* A job that no honest queue sends ends that link, is told to the master, and stops nobody. */
static void malformed_job(void **state)
{
	struct ipc_message m = {.fd = -1};
	char path[300];

	(void)state;
	start_job(1, "mailboxes", "/x", NULL, 0);
	m = hear(&local.master, IPC_PEER_BROKE_RULES);
	assert_int_equal(m.body.PEER_BROKE_RULES.role, ROLE_QUEUE);
	assert_false(link_receive_now(&local.queue.link, &m));
	peer_close(&local.queue);
	attach(&local.queue, ROLE_QUEUE);
	mailbox(path, "after");
	start_one(2, "mailboxes", path, "after@example.test");
	assert_int_equal(verdict_of(2), OC_DONE);
}

/* What a generation says that nobody can be delivered by is refused, and the one in force stays. */
static void refuses_generations(void **state)
{
	static const struct {
		struct rec_delivery maildir;
		const char *why;
		bool root_only;
	} cases[] = {
		{{.uid = 0, .gid = 1000}, "never delivered as root", true},
		{{.uid = 1000, .gid = 0}, "never delivered as root", true},
		{{.uid = FLOOR_UID - 1, .gid = 1000}, "lower uid", true},
		{{.uid = 1ull << 32, .gid = 1000}, "its user is none", false},
		{{.path = {"relative/.", 10}, .uid = 1000, .gid = 1000}, "its path", false},
		{{.path = {"/no/dot", 7}, .uid = 1000, .gid = 1000}, "its path", false},
		{{.is_system = 1, .is_home = 1, .path = {"../x", 4}}, "beneath ~ is plain", false},
		{{.is_system = 1, .is_home = 1, .path = {"a//b", 4}}, "beneath ~ is plain", false},
	};
	char path[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rec_delivery maildir = cases[i].maildir;
		struct ipc_message m;
		char why[300];

		if (cases[i].root_only && !is_root())
			continue;
		maildir.transport = slice_of("mailboxes");
		open_generation(100 + i, &maildir, 1);
		m = hear(&local.master, IPC_GENERATION_CHECKED);
		assert_int_not_equal(m.body.GENERATION_CHECKED.outcome, OC_DONE);
		assert_true(slice_copy(m.body.GENERATION_CHECKED.reason, why, sizeof(why)));
		if (strstr(why, cases[i].why) == NULL)
			fail_msg("%s", why);
		printf("ROW F19 transport-%zu pass\n", i);
		tell(&local.master, IPC_GENERATION_DROP, &(struct msg_GENERATION_DROP){100 + i}, -1);
	}
	mailbox(path, "still");
	start_one(1, "mailboxes", path, "still@example.test");
	assert_int_equal(verdict_of(1), OC_DONE);
}

/* One is taken up, and the transport that it does not have is gone. */
static void takes_generation_up(void **state)
{
	const struct rec_delivery maildir = {.transport = slice_of("mailboxes"),
						       .path = slice_empty(),
						       .uid = is_root() ? OWNER_UID : geteuid(),
						       .gid = is_root() ? OWNER_UID : getegid()};
	char path[300];

	(void)state;
	open_generation(200, &maildir, 1);
	assert_int_equal(hear(&local.master, IPC_GENERATION_CHECKED).body.GENERATION_CHECKED.outcome, OC_DONE);
	tell(&local.master, IPC_GENERATION_SWITCH, &(struct msg_GENERATION_SWITCH){200}, -1);
	mailbox(path, "switched");
	start_one(1, "mailboxes", path, "switched@example.test");
	assert_int_equal(verdict_of(1), OC_DONE);
	start_one(2, "homes", "alice", "alice@example.test");
	assert_int_equal(verdict_of(2), OC_ROUTE_UNKNOWN);
}

static void drains(void **state)
{
	const struct msg_DRAIN drain = {10000};
	char path[300];
	int status;

	(void)state;
	mailbox(path, "last");
	start_one(1, "mailboxes", path, "last@example.test");
	tell(&local.master, IPC_DRAIN, &drain, -1);
	(void)verdict_of(1);
	assert_int_equal(waitpid(local.pid, &status, 0), local.pid);
	assert_int_equal(status, 0);
}

static int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(root) == NULL)
		return -1;
	snprintf(base, sizeof(base), "%s/mail", root);
	snprintf(home, sizeof(home), "%s/home", root);
	if (chmod(root, 0755) != 0 || mkdir(base, 0755) != 0 || mkdir(home, 0755) != 0)
		return -1;
	if (is_root() && (chown(base, OWNER_UID, OWNER_UID) != 0 || chown(home, OWNER_UID, OWNER_UID) != 0))
		return -1;
	launch();
	return 0;
}

static int tear_down(void **state)
{
	pid_t pid;

	(void)state;
	peer_close(&local.queue);
	peer_close(&local.authd);
	peer_close(&local.policyd);
	peer_close(&local.master);
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", root, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delivers_many),
		cmocka_unit_test(several_recipients),
		cmocka_unit_test(homes),
		cmocka_unit_test(as_a_table_says),
		cmocka_unit_test(each_as_a_table_says),
		cmocka_unit_test(accounts_that_lead_elsewhere),
		cmocka_unit_test(home_is_the_users),
		cmocka_unit_test(refuses_other_paths),
		cmocka_unit_test(workers_die),
		cmocka_unit_test(malformed_job),
		cmocka_unit_test(refuses_generations),
		cmocka_unit_test(takes_generation_up),
		cmocka_unit_test(drains),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
