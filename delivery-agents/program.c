#include "program.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "body.h"
#include "conf/conf.h"
#include "ipc/flags.h"
#include "ipc/link.h"
#include "mail/directive.h"
#include "offspring.h"
#include "os/privilege.h"
#include "runner_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#define LINK_FD 3
#define WORDS_BYTES (2u * DIRECTIVE_ARGUMENT_MAX + 4096u)
#define ENV_MAX 16
#define ENV_BYTES 20480

/* Of one program. */
#define MEMORY_MAX (4ull << 30)
#define PROCESSES_MAX 512u /* the kernel counts all of its user's */
#define FILES_MAX 256u
#define FILE_BYTES_MAX (2ull << 30)
#define CLEANUP_MS 2000u
#define ROUND_MS 10

/* What the user's own messages are made of. */
struct job {
	const struct msg_MAILBOX_DELIVER *told;
	const struct offspring *all;
	const char *home;
	struct rec_delivery how;
	struct directive directive;
	struct maildir_message message;
	char words[WORDS_BYTES], env_text[ENV_BYTES];
	char *argv[DIRECTIVE_WORDS_MAX + 1], *envp[ENV_MAX + 1];
	size_t words_len, word_count, env_len, env_count;
	char text[1000]; /* of the verdict */
	char output[PROGRAM_OUTPUT_MAX];
	size_t output_len;
	bool is_left; /* somebody whom SIGKILL did not end yet */
};

static enum outcome refuse(struct job *j, enum outcome outcome, const char *why)
{
	snprintf(j->text, sizeof(j->text), "%s", why);
	return outcome;
}

/* ---- words and environment ---- */

static bool add_word(struct job *j, const char *word)
{
	size_t len = strlen(word) + 1;

	if (j->word_count == DIRECTIVE_WORDS_MAX || len > sizeof(j->words) - j->words_len)
		return false;
	memcpy(j->words + j->words_len, word, len);
	j->argv[j->word_count++] = j->words + j->words_len;
	j->words_len += len;
	return true;
}

/* The words of a directive are its owner's; those of a transport have names to be filled in. */
static enum outcome make_words(struct job *j)
{
	const struct program_facts facts = {j->told->address, j->told->original, j->told->sender};
	bool is_own = j->directive.kind == DIRECTIVE_PIPE;
	struct slice rest = is_own ? j->directive.text : j->how.program, word;
	char made[DIRECTIVE_ARGUMENT_MAX];

	while (slice_cut(&rest, '\0', &word)) {
		enum outcome outcome = !is_own ? program_word(word, &facts, made, sizeof(made))
				      : slice_copy(word, made, sizeof(made)) ? OC_DONE : OC_PROGRAM_FAILED;

		if (outcome != OC_DONE)
			return outcome;
		if (!add_word(j, made))
			return OC_PROGRAM_FAILED;
	}
	return j->word_count > 0 ? OC_DONE : OC_PROGRAM_FAILED;
}

static void add_env(struct job *j, const char *name, struct slice value)
{
	int n;

	value = program_env_value(value);
	n = snprintf(j->env_text + j->env_len, sizeof(j->env_text) - j->env_len, "%s=%.*s", name, SLICE_ARG(value));
	if (n < 0 || (size_t)n >= sizeof(j->env_text) - j->env_len || j->env_count == ENV_MAX)
		return;
	j->envp[j->env_count++] = j->env_text + j->env_len;
	j->env_len += (size_t)n + 1;
}

static void make_env(struct job *j)
{
	const struct msg_MAILBOX_DELIVER *d = j->told;
	size_t at = slice_rindex(d->address, '@');

	add_env(j, "PATH", slice_of("/usr/local/bin:/usr/bin:/bin"));
	add_env(j, "SHELL", slice_of("/bin/sh"));
	add_env(j, "LANG", slice_of("C.UTF-8"));
	add_env(j, "HOME", slice_of(j->home));
	add_env(j, "USER", d->user);
	add_env(j, "LOGNAME", d->user);
	add_env(j, "SENDER", d->sender);
	add_env(j, "RECIPIENT", d->address);
	add_env(j, "ORIGINAL_RECIPIENT", d->original);
	add_env(j, "LOCAL", slice_sub(d->address, 0, at));
	add_env(j, "DOMAIN", at == SLICE_NONE ? slice_empty() : slice_from(d->address, at + 1));
}

/* ---- the program's own process ---- */

static bool limit(int what, rlim_t most)
{
	struct rlimit now, rl = {most, most};

	if (getrlimit((unsigned)what, &now) == 0 && now.rlim_max < most)
		rl.rlim_cur = rl.rlim_max = now.rlim_max;
	return setrlimit((unsigned)what, &rl) == 0;
}

static bool set_limits(const struct job *j)
{
	rlim_t seconds = (rlim_t)(j->how.timeout_ms / 1000 + 1);

	return limit(RLIMIT_CPU, seconds) && limit(RLIMIT_AS, MEMORY_MAX) && limit(RLIMIT_NPROC, PROCESSES_MAX) &&
	       limit(RLIMIT_NOFILE, FILES_MAX) && limit(RLIMIT_FSIZE, FILE_BYTES_MAX) && limit(RLIMIT_CORE, 0);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* `failed_fd` closes where the program begins, and carries an errno where it does not. */
static _Noreturn void become_program(struct job *j, int in, int out, int failed_fd)
{
	int err;

	umask(077);
	reset_signals();
	if (setsid() == -1 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 || dup2(in, 0) == -1 || dup2(out, 1) == -1 ||
	    dup2(out, 2) == -1 || !set_limits(j))
		err = errno;
	else if (chdir(j->home) == -1 && chdir("/") == -1)
		err = errno;
	else {
		close_range(3, (unsigned)failed_fd - 1, 0);
		close_range((unsigned)failed_fd + 1, ~0u, 0);
		(void)execve(j->argv[0], j->argv, j->envp);
		err = errno;
	}
	(void)!write(failed_fd, &err, sizeof(err));
	_exit(EX_TEMPFAIL);
}

/* ---- the message ---- */

/* What could not be read must not look like the end of the message: its exit status says so. */
#define FED_IN_PART EX_IOERR

/* Who stopped reading was told no end, so none that was false. */
static bool has_reader(int in)
{
	struct pollfd p = {in, POLLOUT, 0};

	return poll(&p, 1, 0) != 1 || (p.revents & POLLERR) == 0;
}

static _Noreturn void feed(struct job *j, int in)
{
	char text[MAILDIR_TEXT_BYTES];
	enum outcome outcome;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGTERM, SIG_DFL);
	outcome = body_write(in, &j->message, false, text);
	_exit(outcome == OC_DONE || !has_reader(in) ? 0 : FED_IN_PART);
}

/* ---- watching ---- */

struct running {
	struct job *job;
	pid_t program, feeder;
	int in, out, failed; /* owned; -1 */
	int status, feeder_status;
	int begin_errno; /* why it could not be begun */
	bool ended, too_long, link_ended;
	bool feeder_told; /* by us, to end */
	bool feeder_ended;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool make_pipes(struct running *r, int in[2], int out[2], int failed[2])
{
	int *const pairs[] = {in, out, failed};

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		pairs[i][0] = pairs[i][1] = -1;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (pipe2(pairs[i], O_CLOEXEC) == -1)
			return false;
	r->in = in[1];
	r->out = out[0];
	r->failed = failed[0];
	return true;
}

static bool start(struct running *r, int in[2], int out[2], int failed[2])
{
	r->program = fork();
	if (r->program == 0)
		become_program(r->job, in[0], out[1], failed[1]);
	close_fd(&in[0]);
	close_fd(&out[1]);
	close_fd(&failed[1]);
	if (r->program == -1)
		return false;
	r->feeder = fork();
	if (r->feeder == 0) {
		close_fd(&r->out);
		feed(r->job, r->in);
	}
	close_fd(&r->in);
	return r->feeder != -1;
}

/* The rest of what it says is read, so that it can go on, and not kept. */
static void take_output(struct running *r)
{
	struct job *j = r->job;
	char rest[4096];
	size_t room = sizeof(j->output) - j->output_len;
	ssize_t n = read(r->out, room > 0 ? j->output + j->output_len : rest, room > 0 ? room : sizeof(rest));

	if (n > 0 && room > 0)
		j->output_len += (size_t)n;
	if (n == 0 || (n == -1 && errno != EINTR && errno != EAGAIN))
		close_fd(&r->out);
}

/* Closed without a word: it runs. */
static void take_beginning(struct running *r)
{
	if (read(r->failed, &r->begin_errno, sizeof(r->begin_errno)) != (ssize_t)sizeof(r->begin_errno))
		r->begin_errno = 0;
	close_fd(&r->failed);
}

/* What the program left behind comes to us and ends here as well.  False: nobody is left. */
static bool take_ended(struct running *r)
{
	int status;
	pid_t pid;

	while ((pid = offspring_next(r->job->all, 0, &status)) > 0) {
		if (pid == r->program) {
			r->ended = true;
			r->status = status;
		} else if (pid == r->feeder) {
			r->feeder_ended = true;
			r->feeder_status = status;
		}
	}
	return pid == 0;
}

/* A folder or a file may keep even its beginning waiting (FUSE, NFS, a lease): that is in its time as well. */
static void watch(struct running *r)
{
	uint64_t until = clock_mono_ms() + r->job->how.timeout_ms;

	while (!r->ended && !r->too_long && !r->link_ended) {
		struct pollfd p[] = {{r->out, POLLIN, 0}, {r->job->all->ended, POLLIN, 0}, {LINK_FD, POLLRDHUP, 0}, {r->failed, POLLIN, 0}};
		uint64_t now = clock_mono_ms();

		r->too_long = now >= until;
		if (r->too_long || poll(p, ARRAY_LEN(p), until - now > 60000 ? 60000 : (int)(until - now)) <= 0)
			continue;
		if (p[0].revents != 0)
			take_output(r);
		if (p[3].revents != 0)
			take_beginning(r);
		if (p[1].revents != 0)
			(void)take_ended(r);
		r->link_ended = (p[2].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
	}
	if (r->ended && r->failed >= 0)
		take_beginning(r);
}

/* The program is the same user: it may have stopped him, and then he hears of no end.  Who does not go is killed with the rest. */
static void end_feeder(struct running *r)
{
	uint64_t until = clock_mono_ms() + CLEANUP_MS;

	if (r->feeder <= 0 || r->feeder_ended)
		return;
	r->feeder_told = true;
	(void)kill(r->feeder, r->ended ? SIGTERM : SIGKILL);
	(void)kill(r->feeder, SIGCONT);
	while (take_ended(r) && !r->feeder_ended && clock_mono_ms() < until)
		offspring_wait(r->job->all, ROUND_MS);
}

/*
 * The program, and all that it began.  Who feeds it comes last: nobody may take his end for the message's.  Who waits in the kernel for a
 * disk that is away is not even killed: he is not waited for here.
 */
static void end_all(struct running *r)
{
	const struct offspring *all = r->job->all;
	uint64_t until = clock_mono_ms() + CLEANUP_MS;
	struct pollfd p = {r->out, POLLIN, 0};

	while (take_ended(r) && offspring_kill(r->feeder) > 0 && clock_mono_ms() < until)
		offspring_wait(all, ROUND_MS);
	end_feeder(r);
	while (take_ended(r) && clock_mono_ms() < until) {
		(void)offspring_kill(0);
		offspring_wait(all, ROUND_MS);
	}
	r->job->is_left = take_ended(r);
	while (r->out >= 0 && clock_mono_ms() < until && poll(&p, 1, 0) == 1)
		take_output(r);
}

/* ---- what came of it ---- */

/* sysexits.h, as Postfix's pipe(8): what is not known to be for now is for good. */
static enum outcome outcome_of_exit(int code)
{
	static const struct {
		int code;
		enum outcome outcome;
	} rows[] = {{0, OC_DONE}, {EX_TEMPFAIL, OC_MAILBOX_TEMP}, {EX_OSERR, OC_MAILBOX_TEMP}, {EX_NOUSER, OC_NO_MAILBOX}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].code == code)
			return rows[i].outcome;
	return OC_PROGRAM_FAILED;
}

/* Its words for people: one line, nothing but what is printed. */
static void add_output(struct job *j)
{
	size_t len = strlen(j->text);

	if (j->output_len > 0 && len + 3 < sizeof(j->text)) {
		j->text[len++] = ':';
		j->text[len++] = ' ';
	}
	for (size_t i = 0; i < j->output_len && len + 1 < sizeof(j->text); i++) {
		unsigned char c = (unsigned char)j->output[i];

		if (c == '\n' && i + 1 == j->output_len)
			break;
		j->text[len++] = c == '\n' ? ' ' : c < ' ' || c >= 0x7f ? '?' : (char)c;
	}
	j->text[len] = '\0';
}

/* It did not write all that there was to read, as far as is known; our own SIGTERM came after the program's end. */
static bool is_cut_short(const struct running *r)
{
	int status = r->feeder_status;

	if (!r->feeder_ended)
		return true;
	if (WIFSIGNALED(status))
		return !r->feeder_told || WTERMSIG(status) != SIGTERM;
	return WEXITSTATUS(status) != 0;
}

static enum outcome settle(struct running *r)
{
	struct job *j = r->job;
	struct slice why = log_errno_text(r->begin_errno);
	enum outcome outcome;

	if (!r->ended)
		return refuse(j, OC_MAILBOX_TEMP, "the program cannot be ended: a file or folder that it waits for does not answer");
	if (r->begin_errno != 0) {
		snprintf(j->text, sizeof(j->text), "the program cannot be begun: %.*s", SLICE_ARG(why));
		return OC_MAILBOX_TEMP;
	}
	if (r->too_long && r->failed >= 0)
		snprintf(j->text, sizeof(j->text), "the program could not be begun within %llu s", (unsigned long long)(j->how.timeout_ms / 1000));
	else if (r->too_long)
		snprintf(j->text, sizeof(j->text), "the program took longer than %llu s", (unsigned long long)(j->how.timeout_ms / 1000));
	else if (WIFSIGNALED(r->status))
		snprintf(j->text, sizeof(j->text), "the program was ended by signal %d", WTERMSIG(r->status));
	else
		snprintf(j->text, sizeof(j->text), "the program ended with status %d", WEXITSTATUS(r->status));
	add_output(j);
	if (r->too_long || WIFSIGNALED(r->status))
		return OC_MAILBOX_TEMP;
	outcome = outcome_of_exit(WEXITSTATUS(r->status));
	if (outcome == OC_DONE && is_cut_short(r))
		return refuse(j, OC_IO_ERROR, "the message could not be read to its end");
	return outcome;
}

/* The worker stays, without its link, with those who do not end, so that the runner counts it. */
static _Noreturn void leave(const struct job *j)
{
	int status;
	pid_t pid;

	close(LINK_FD);
	while (j->is_left && (pid = offspring_next(j->all, 0, &status)) >= 0)
		if (pid == 0 && offspring_kill(0) > 0)
			offspring_wait(j->all, 1000);
	_exit(0);
}

static enum outcome run(struct job *j)
{
	struct running r = {.job = j, .in = -1, .out = -1, .failed = -1};
	int in[2], out[2], failed[2];
	enum outcome outcome;

	if (!make_pipes(&r, in, out, failed) || !start(&r, in, out, failed)) {
		end_all(&r);
		outcome = refuse(j, OC_NO_MEMORY, "the program cannot be begun now");
	} else {
		watch(&r);
		end_all(&r);
		if (r.link_ended)
			leave(j);
		outcome = settle(&r);
	}
	close_fd(&r.in);
	close_fd(&r.out);
	close_fd(&r.failed);
	for (int i = 0; i < 2; i++) {
		if (in[i] >= 0 && i == 0)
			close_fd(&in[i]);
		if (out[i] >= 0 && i == 1)
			close_fd(&out[i]);
		if (failed[i] >= 0 && i == 1)
			close_fd(&failed[i]);
	}
	return outcome;
}

/* ---- the worker ---- */

static enum outcome prepare(struct job *j, const struct msg_MAILBOX_DELIVER *d, int fd, const char *host)
{
	struct slice record = d->delivery_records;
	enum outcome words;

	*j = (struct job){.told = d, .home = j->home, .all = j->all};
	if (!rec_delivery_next(&record, &j->how) || !directive_decode(d->directive, d->argument, &j->directive))
		return refuse(j, OC_MAILBOX_TEMP, "what is to be run was not understood");
	j->message = (struct maildir_message){
		.fd = fd,
		.offset = d->offset,
		.length = d->length,
		.id = d->id,
		.is_binary = (d->flags & JOB_BINARY) != 0,
		.address = d->address,
		.prepend = d->prepend,
		.host = slice_of(host),
	};
	words = make_words(j);
	if (words == OC_NO_MEMORY)
		return refuse(j, words, "no memory for the program's words");
	if (words != OC_DONE)
		return refuse(j, OC_PROGRAM_FAILED, "a word of the program's command would begin with -, or is too long");
	if (j->argv[0][0] != '/')
		return refuse(j, OC_MAILBOX_TEMP, "the program has no absolute path");
	make_env(j);
	return body_check_loop(&j->message, j->text);
}

/* A want of memory is waited out, as by a mailbox worker: what was done and not heard of is done again. */
static bool tell(enum ipc_type type, const void *body)
{
	while (!link_tell_now(LINK_FD, type, 0, false, body, -1)) {
		if (errno != ENOMEM && errno != ENOBUFS)
			return false;
		(void)poll(NULL, 0, 10 * ROUND_MS);
	}
	return true;
}

static _Noreturn void work(int link_fd, const struct offspring *all, const char *home, const char *host)
{
	static char space[LINK_PACKET_MAX];
	static struct job j;
	struct link_now link = LINK_NOW(link_fd, ROLE_MAILBOX, ROLE_LOCAL, space);
	struct ipc_message m = {.fd = -1};

	if (!tell(IPC_MAILBOX_OPENED, &(struct msg_MAILBOX_OPENED){OC_DONE, slice_empty()}))
		_exit(EX_TEMPFAIL); /* who was not heard would never be given anything */
	while (link_receive_now(&link, &m) && m.type == IPC_MAILBOX_DELIVER) {
		struct msg_MAILBOX_DELIVERED told = {.path = slice_empty()};

		j.home = home;
		j.all = all;
		told.outcome = prepare(&j, &m.body.MAILBOX_DELIVER, m.fd, host);
		if (told.outcome == OC_DONE)
			told.outcome = run(&j);
		told.text = slice_of(j.text);
		close(m.fd);
		m.fd = -1;
		if (!tell(IPC_MAILBOX_DELIVERED, &told) || j.is_left)
			break;
	}
	leave(&j);
}

static bool watch_over(struct offspring *all, char *why, size_t size)
{
	(void)signal(SIGCHLD, SIG_DFL);
	if (offspring_open(all))
		return true;
	snprintf(why, size, "programs need /proc/thread-self/children, to be ended with all that they began: %.*s", SLICE_ARG(log_errno_text(errno)));
	return false;
}

static _Noreturn void worker_run(const struct program_order *o, const struct msg_PROGRAM_WORKER *w, int socket, pid_t parent)
{
	const gid_t groups[] = {(gid_t)w->group, (gid_t)w->gid};
	const struct become who = {.uid = (uid_t)w->uid,
				   .gid = (gid_t)(w->group != 0 ? w->group : w->gid),
				   .groups = w->group != 0 ? groups : NULL,
				   .group_count = w->group != 0 ? ARRAY_LEN(groups) : 0};
	char *home = slice_dup(w->home);
	struct offspring all;
	int link_fd = fcntl(socket, F_DUPFD_CLOEXEC, LINK_FD + 1);
	char why[256] = "";

	if (home == NULL || link_fd < 0 || dup3(link_fd, LINK_FD, O_CLOEXEC) == -1)
		_exit(EX_TEMPFAIL);
	close_range(LINK_FD + 1, ~0u, 0);
	if (fcntl(LINK_FD, F_SETFL, 0) == -1 || (o->as_root && !become_user(&who, why, sizeof(why))) || !die_with_parent(parent) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1 || !watch_over(&all, why, sizeof(why))) {
		(void)link_tell_now(LINK_FD, IPC_MAILBOX_OPENED, 0, false, &(struct msg_MAILBOX_OPENED){OC_MAILBOX_TEMP, slice_of(why)}, -1);
		_exit(EX_TEMPFAIL);
	}
	(void)prctl(PR_SET_NAME, "program", 0, 0, 0);
	work(LINK_FD, &all, home, o->host);
}

/* ---- the runner ---- */

struct runner {
	const struct program_order *order;
	struct offspring all;
	struct runner_rows rows;
	pid_t self;
};

/* A program may kill its worker, or stop it, which is as good as dead. */
static void take_workers(struct runner *r)
{
	int status;
	pid_t pid;

	while ((pid = offspring_next(&r->all, WUNTRACED, &status)) > 0) {
		struct runner_row *row = runner_rows_find(&r->rows, pid);

		if (row != NULL && WIFSTOPPED(status))
			(void)kill_as(row->uid, pid, SIGKILL);
		else if (row != NULL)
			row->pid = RUNNER_ROW_GONE;
	}
}

/* The folder is its process's user's, whatever else /proc hides.  False: where it is mounted with hidepid, even that is not seen. */
static bool find_owner(pid_t pid, uid_t *uid_out)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%ld", (long)pid);
	if (stat(path, &st) == -1)
		return false;
	*uid_out = st.st_uid;
	return true;
}

static void end_orphan(struct runner *r, pid_t pid)
{
	uid_t uid;

	if (find_owner(pid, &uid)) {
		(void)kill_as(uid, pid, SIGKILL);
		runner_rows_left(&r->rows, &uid);
		return;
	}
	for (size_t i = 0; i < RUNNER_ROWS_MAX; i++)
		if (r->rows.of[i].pid == RUNNER_ROW_GONE && kill_as(r->rows.of[i].uid, pid, SIGKILL))
			break;
	runner_rows_left(&r->rows, NULL);
}

/* What workers left that did not end as they should.  How many that were. */
static size_t end_orphans(struct runner *r)
{
	pid_t all[OFFSPRING_MAX];
	size_t count, orphans = 0;

	take_workers(r);
	if (!runner_rows_has_gone(&r->rows))
		return 0;
	count = offspring_list(all);
	for (size_t i = 0; i < count; i++)
		if (runner_rows_find(&r->rows, all[i]) == NULL) {
			end_orphan(r, all[i]);
			orphans++;
		}
	if (count == OFFSPRING_MAX) /* there may be more, of whomever */
		runner_rows_left(&r->rows, NULL);
	runner_rows_settle(&r->rows);
	return orphans;
}

/* Until there is an order to be read. */
static void wait_for_order(struct runner *r, const struct link_now *link)
{
	struct pollfd p[] = {{link->fd, POLLIN, 0}, {r->all.ended, POLLIN, 0}};

	while (link->rest.len == 0) {
		size_t orphans = end_orphans(r);

		if (poll(p, ARRAY_LEN(p), orphans > 0 ? 10 * ROUND_MS : -1) > 0 && p[0].revents != 0)
			return;
	}
}

static void refuse_worker(int socket)
{
	const struct msg_MAILBOX_OPENED told = {OC_MAILBOX_TEMP, slice_of("too many programs do not end")};

	(void)link_tell_now(socket, IPC_MAILBOX_OPENED, 0, false, &told, -1);
}

static void make_worker(struct runner *r, const struct msg_PROGRAM_WORKER *w, int socket)
{
	uid_t uid = r->order->as_root ? (uid_t)w->uid : geteuid();
	pid_t pid = runner_rows_has_room(&r->rows, uid) ? fork() : -1;

	if (pid == 0)
		worker_run(r->order, w, socket, r->self);
	if (pid == -1) {
		refuse_worker(socket);
		return;
	}
	runner_rows_add(&r->rows, pid, uid);
}

void runner_run(const struct program_order *order)
{
	static char space[LINK_PACKET_MAX];
	static struct runner r;
	struct link_now link = LINK_NOW(order->socket, ROLE_MAILBOX, ROLE_LOCAL, space);
	struct ipc_message m = {.fd = -1};
	char why[256];

	r.order = order;
	r.self = getpid();
	(void)signal(SIGPIPE, SIG_IGN);
	if (!watch_over(&r.all, why, sizeof(why))) {
		LOG_PLAIN(LEVEL_ERROR, why);
		_exit(EX_TEMPFAIL);
	}
	for (;;) {
		wait_for_order(&r, &link);
		if (!link_receive_now(&link, &m) || m.type != IPC_PROGRAM_WORKER)
			break;
		make_worker(&r, &m.body.PROGRAM_WORKER, m.fd);
		close(m.fd);
		m.fd = -1;
	}
	_exit(0);
}
