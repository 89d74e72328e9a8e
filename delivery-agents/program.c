#include "program.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "body.h"
#include "conf/conf.h"
#include "ipc/flags.h"
#include "ipc/link.h"
#include "mail/directive.h"
#include "os/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* What the user's own messages are made of. */
struct job {
	const struct msg_MAILBOX_DELIVER *told;
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
	pid_t hanging; /* a program that SIGKILL did not end; 0 */
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
	int in, out, failed, pid_fd; /* owned; -1 */
	int status, feeder_status;
	int begin_errno; /* why it could not be begun */
	bool ended, too_long, link_ended;
	bool feeder_ended; /* by itself, or by another's signal */
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
	r->pid_fd = (int)syscall(SYS_pidfd_open, r->program, 0);
	r->feeder = fork();
	if (r->feeder == 0) {
		close_fd(&r->out);
		feed(r->job, r->in);
	}
	close_fd(&r->in);
	return r->pid_fd >= 0 && r->feeder != -1;
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

/* A folder or a file may keep even its beginning waiting (FUSE, NFS, a lease): that is in its time as well. */
static void watch(struct running *r)
{
	uint64_t until = clock_mono_ms() + r->job->how.timeout_ms;

	while (!r->ended && !r->too_long && !r->link_ended) {
		struct pollfd p[] = {{r->out, POLLIN, 0}, {r->pid_fd, POLLIN, 0}, {LINK_FD, POLLRDHUP, 0}, {r->failed, POLLIN, 0}};
		uint64_t now = clock_mono_ms();

		r->too_long = now >= until;
		if (r->too_long || poll(p, ARRAY_LEN(p), until - now > 60000 ? 60000 : (int)(until - now)) <= 0)
			continue;
		if (p[0].revents != 0)
			take_output(r);
		if (p[3].revents != 0)
			take_beginning(r);
		r->ended = p[1].revents != 0;
		r->link_ended = (p[2].revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
	}
	if (r->ended && r->failed >= 0)
		take_beginning(r);
}

/* Who waits in the kernel for a disk that is away is not even killed: it is not waited for here. */
static void reap_program(struct running *r)
{
	struct pollfd p = {r->pid_fd, POLLIN, 0};

	if (r->pid_fd >= 0 && poll(&p, 1, CLEANUP_MS) == 0) {
		r->job->hanging = r->program;
		return;
	}
	while (waitpid(r->program, &r->status, 0) == -1 && errno == EINTR)
		;
}

/* What a program left behind in its group goes with it. */
static void end_all(struct running *r)
{
	if (r->program > 0) {
		(void)kill(-r->program, SIGKILL);
		(void)kill(r->program, SIGKILL);
		reap_program(r);
	}
	if (r->feeder > 0) {
		struct pollfd p = {r->out, POLLIN, 0};

		r->feeder_ended = waitpid(r->feeder, &r->feeder_status, WNOHANG) == r->feeder;
		if (!r->feeder_ended) {
			(void)kill(r->feeder, r->ended ? SIGTERM : SIGKILL);
			while (waitpid(r->feeder, &r->feeder_status, 0) == -1 && errno == EINTR)
				;
		}
		for (uint64_t until = clock_mono_ms() + CLEANUP_MS; r->out >= 0 && clock_mono_ms() < until && poll(&p, 1, 0) == 1;)
			take_output(r);
	}
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

/* It did not write all that there was to read; our own SIGTERM came after the program's end. */
static bool is_cut_short(const struct running *r)
{
	int status = r->feeder_status;

	if (WIFSIGNALED(status))
		return r->feeder_ended || WTERMSIG(status) != SIGTERM;
	return WEXITSTATUS(status) != 0;
}

static enum outcome settle(struct running *r)
{
	struct job *j = r->job;
	struct slice why = log_errno_text(r->begin_errno);
	enum outcome outcome;

	if (j->hanging != 0)
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

/* With a program that hangs the worker stays, without its link, so that the runner counts it. */
static _Noreturn void leave(const struct job *j)
{
	close(LINK_FD);
	while (j->hanging != 0 && waitpid(j->hanging, NULL, 0) == -1 && errno == EINTR)
		;
	_exit(0);
}

static enum outcome run(struct job *j)
{
	struct running r = {.job = j, .in = -1, .out = -1, .failed = -1, .pid_fd = -1};
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
	close_fd(&r.pid_fd);
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

	*j = (struct job){.told = d, .home = j->home};
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

static _Noreturn void work(int link_fd, const char *home, const char *host)
{
	static char space[LINK_PACKET_MAX];
	static struct job j;
	struct link_now link = LINK_NOW(link_fd, ROLE_MAILBOX, ROLE_LOCAL, space);
	struct ipc_message m = {.fd = -1};

	(void)link_tell_now(link_fd, IPC_MAILBOX_OPENED, 0, false, &(struct msg_MAILBOX_OPENED){OC_DONE, slice_empty()}, -1);
	while (link_receive_now(&link, &m) && m.type == IPC_MAILBOX_DELIVER) {
		struct msg_MAILBOX_DELIVERED told = {.path = slice_empty()};

		j.home = home;
		told.outcome = prepare(&j, &m.body.MAILBOX_DELIVER, m.fd, host);
		if (told.outcome == OC_DONE)
			told.outcome = run(&j);
		told.text = slice_of(j.text);
		close(m.fd);
		m.fd = -1;
		if (!link_tell_now(link_fd, IPC_MAILBOX_DELIVERED, 0, false, &told, -1) || j.hanging != 0)
			break;
	}
	leave(&j);
}

static _Noreturn void worker_run(const struct program_order *o, const struct msg_PROGRAM_WORKER *w, int socket, pid_t parent)
{
	const gid_t groups[] = {(gid_t)w->group, (gid_t)w->gid};
	const struct become who = {.uid = (uid_t)w->uid,
				   .gid = (gid_t)(w->group != 0 ? w->group : w->gid),
				   .groups = w->group != 0 ? groups : NULL,
				   .group_count = w->group != 0 ? ARRAY_LEN(groups) : 0};
	char *home = slice_dup(w->home);
	int link_fd = fcntl(socket, F_DUPFD_CLOEXEC, LINK_FD + 1);
	char why[256] = "";

	if (home == NULL || link_fd < 0 || dup3(link_fd, LINK_FD, O_CLOEXEC) == -1)
		_exit(EX_TEMPFAIL);
	close_range(LINK_FD + 1, ~0u, 0);
	if (fcntl(LINK_FD, F_SETFL, 0) == -1 || (o->as_root && !become_user(&who, why, sizeof(why))) || !die_with_parent(parent) ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1) {
		(void)link_tell_now(LINK_FD, IPC_MAILBOX_OPENED, 0, false, &(struct msg_MAILBOX_OPENED){OC_MAILBOX_TEMP, slice_of(why)}, -1);
		_exit(EX_TEMPFAIL);
	}
	(void)signal(SIGCHLD, SIG_DFL);
	(void)prctl(PR_SET_NAME, "program", 0, 0, 0);
	work(LINK_FD, home, o->host);
}

/* Those that have ended are no more. */
static unsigned count_workers(unsigned count)
{
	while (count > 0 && waitpid(-1, NULL, WNOHANG) > 0)
		count--;
	return count;
}

static void refuse_worker(int socket)
{
	const struct msg_MAILBOX_OPENED told = {OC_MAILBOX_TEMP, slice_of("too many programs do not end")};

	(void)link_tell_now(socket, IPC_MAILBOX_OPENED, 0, false, &told, -1);
}

void runner_run(const struct program_order *order)
{
	static char space[LINK_PACKET_MAX];
	struct link_now link = LINK_NOW(order->socket, ROLE_MAILBOX, ROLE_LOCAL, space);
	struct ipc_message m = {.fd = -1};
	pid_t self = getpid(), pid;
	unsigned workers = 0;

	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGPIPE, SIG_IGN);
	while (link_receive_now(&link, &m) && m.type == IPC_PROGRAM_WORKER) {
		workers = count_workers(workers);
		pid = workers < RUNNER_WORKERS_MAX ? fork() : -1;
		if (pid == 0)
			worker_run(order, &m.body.PROGRAM_WORKER, m.fd, self);
		else if (pid == -1)
			refuse_worker(m.fd);
		else
			workers++;
		close(m.fd);
		m.fd = -1;
	}
	_exit(0);
}
