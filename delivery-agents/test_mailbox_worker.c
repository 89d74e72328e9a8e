/* The worker process as a whole: who it becomes, what it can do then, and what it answers. */
#include "mailbox.h"

#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/link.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534u
#define OTHER 4242u

static char root[] = "/tmp/postern-mailbox-XXXXXX";
static char space[LINK_PACKET_MAX];
static int handed_fd = -1; /* the base, as the master would hand it over */

struct running {
	pid_t pid;
	int fd;
	struct link_now link;
};

static bool is_root(void)
{
	return geteuid() == 0;
}

static struct running run_worker_on(int pair[2], const char *base, uid_t uid, bool owns_base)
{
	struct running r;
	const struct timeval wait = {20, 0};
	struct mailbox_order order = {.uid = is_root() ? uid : geteuid(),
				      .gid = is_root() ? uid : getegid(),
				      .as_root = is_root(),
				      .owns_base = owns_base,
				      .base = base,
				      .base_fd = handed_fd,
				      .host = "mx",
				      .file_bytes_max = 1 << 20,
				      .parent = getpid()};

	assert_int_equal(fcntl(pair[0], F_SETFL, 0), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	order.socket = pair[1];
	r.pid = fork();
	if (r.pid == 0)
		mailbox_run(&order);
	close(pair[1]);
	r.fd = pair[0];
	r.link = LINK_NOW(r.fd, ROLE_LOCAL, ROLE_MAILBOX, space);
	return r;
}

static struct running run_worker(const char *base, uid_t uid, bool owns_base)
{
	int pair[2];

	assert_true(link_pair(pair));
	return run_worker_on(pair, base, uid, owns_base);
}

/* Its exit status; killed: the signal, negative. */
static int stop_worker(struct running *r)
{
	int status;

	close(r->fd);
	assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static enum outcome opened(struct running *r)
{
	struct ipc_message m = {.fd = -1};

	assert_true(link_receive_now(&r->link, &m));
	assert_int_equal(m.type, IPC_MAILBOX_OPENED);
	return m.body.MAILBOX_OPENED.outcome;
}

static void send_one(struct running *r, const char *maildir, uint64_t length)
{
	static const char text[] = "Subject: x\r\n\r\nbody\r\n";
	int fd = memfd_create("message", MFD_CLOEXEC);
	struct buf record = buf_make(1000);
	struct msg_MAILBOX_DELIVER d = {
		.id = 1,
		.offset = 0,
		.length = length > 0 ? length : sizeof(text) - 1,
		.place = slice_of(maildir),
		.address = slice_of("a@b"),
		.prepend = slice_of("Return-Path: <>\n"),
	};

	assert_true(rec_delivery_add(&record, &(struct rec_delivery){.transport = slice_of("t"), .kind = TRANSPORT_MAILDIR}));
	d.delivery_records = buf_slice(&record);

	assert_int_equal(write(fd, text, sizeof(text) - 1), (ssize_t)sizeof(text) - 1);
	assert_true(link_tell_now(r->fd, IPC_MAILBOX_DELIVER, 0, false, &d, fd));
	close(fd);
	buf_free(&record);
}

static enum outcome verdict(struct running *r)
{
	struct ipc_message m = {.fd = -1};

	assert_true(link_receive_now(&r->link, &m));
	assert_int_equal(m.type, IPC_MAILBOX_DELIVERED);
	return m.body.MAILBOX_DELIVERED.outcome;
}

static int count_new(const char *maildir)
{
	char path[256];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "%s/%s/new", root, maildir);
	dir = opendir(path);
	while (dir != NULL && readdir(dir) != NULL)
		n++;
	if (dir != NULL)
		closedir(dir);
	return n - 2;
}

static void delivers_in_order(void **state)
{
	struct running r = run_worker(root, NOBODY, false);

	(void)state;
	assert_int_equal(opened(&r), OC_DONE);
	for (int i = 0; i < 20; i++)
		send_one(&r, i % 3 == 1 ? "../escape" : i % 3 == 2 ? "bob" : "alice", 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(verdict(&r), i % 3 == 1 ? OC_MAILBOX_TEMP : OC_DONE);
	assert_int_equal(count_new("alice"), 7);
	assert_int_equal(count_new("bob"), 6);
	assert_int_equal(stop_worker(&r), 0);
}

/* One that cannot be read does not harm its neighbours in the batch. */
static void batch_survives_a_bad_one(void **state)
{
	struct running r = run_worker(root, NOBODY, false);

	(void)state;
	assert_int_equal(opened(&r), OC_DONE);
	for (int i = 0; i < 8; i++)
		send_one(&r, "mixed", i == 3 ? 100000 : 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(verdict(&r), i == 3 ? OC_IO_ERROR : OC_DONE);
	assert_int_equal(count_new("mixed"), 7);
	assert_int_equal(stop_worker(&r), 0);
}

/* A packet that is taken from the link and cannot be received, as one whose descriptor finds no room. */
static void send_unreceivable(struct running *r)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control = {0};
	int fds[2] = {r->fd, r->fd};
	struct iovec part = {(void *)(uintptr_t)"lost", 4};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};

	control.head = (struct cmsghdr){CMSG_LEN(sizeof(fds)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
	assert_int_equal(sendmsg(r->fd, &msg, MSG_NOSIGNAL), 4);
}

/* What was lost is not answered, nor is any after it: verdicts are told in order. */
static void what_is_not_received_has_no_verdict(void **state)
{
	struct running r = run_worker(root, NOBODY, false);
	struct ipc_message m = {.fd = -1};

	(void)state;
	assert_int_equal(opened(&r), OC_DONE);
	assert_int_equal(kill(r.pid, SIGSTOP), 0); /* that all lie there together */
	send_one(&r, "before", 0);
	send_unreceivable(&r);
	send_one(&r, "behind", 0);
	assert_int_equal(kill(r.pid, SIGCONT), 0);
	assert_int_equal(verdict(&r), OC_DONE);
	assert_false(link_receive_now(&r.link, &m));
	assert_int_equal(count_new("before"), 1);
	assert_int_equal(count_new("behind"), -2); /* no such folder */
	assert_int_equal(stop_worker(&r), 0);
	printf("ROW C03 mailbox-verdicts-in-order pass\n");
}

static void missing_home_is_temporary(void **state)
{
	struct running r = run_worker("/nonexistent/home", NOBODY, true);

	(void)state;
	assert_int_equal(opened(&r), OC_MAILBOX_TEMP);
	assert_int_equal(stop_worker(&r), 75);
}

static void foreign_home_is_temporary(void **state)
{
	struct running r = run_worker("/", NOBODY, true);
	bool pass = opened(&r) == OC_MAILBOX_TEMP;

	(void)state;
	printf("ROW L01 home-of-another-user %s\n", pass ? "pass" : "fail");
	stop_worker(&r);
	assert_true(pass);
}

static void never_root(void **state)
{
	struct running r;

	(void)state;
	if (!is_root()) {
		printf("skipped: needs root\n");
		return;
	}
	r = run_worker(root, 0, false);
	assert_int_equal(opened(&r), OC_MAILBOX_TEMP);
	printf("ROW L06 never-as-root pass\n");
	assert_int_equal(stop_worker(&r), 75);
}

/* It is the user in every way that /proc knows, and has nothing else. */
static void is_the_user(void **state)
{
	struct running r;
	char path[64], line[256];
	int right = 0;
	FILE *f;

	(void)state;
	if (!is_root()) {
		printf("skipped: needs root\n");
		return;
	}
	r = run_worker(root, NOBODY, false);
	assert_int_equal(opened(&r), OC_DONE);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)r.pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		right += strcmp(line, "Uid:\t65534\t65534\t65534\t65534\n") == 0 ||
			 strcmp(line, "Gid:\t65534\t65534\t65534\t65534\n") == 0 ||
			 strcmp(line, "Groups:\t65534 \n") == 0 || strcmp(line, "CapEff:\t0000000000000000\n") == 0 ||
			 strcmp(line, "CapPrm:\t0000000000000000\n") == 0 || strcmp(line, "NoNewPrivs:\t1\n") == 0 ||
			 strcmp(line, "Seccomp:\t2\n") == 0;
	fclose(f);
	printf("ROW L06 became-the-user %s\n", right == 7 ? "pass" : "fail");
	assert_int_equal(right, 7);
	assert_int_equal(stop_worker(&r), 0);
}

/* A folder of somebody else, though inside the base, stays his. */
static void others_folder_is_temporary(void **state)
{
	struct running r;
	char path[256];

	(void)state;
	if (!is_root()) {
		printf("skipped: needs root\n");
		return;
	}
	snprintf(path, sizeof(path), "%s/private", root);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chown(path, OTHER, OTHER), 0);
	r = run_worker(root, NOBODY, false);
	assert_int_equal(opened(&r), OC_DONE);
	send_one(&r, "private", 0);
	assert_int_equal(verdict(&r), OC_MAILBOX_TEMP);
	assert_int_equal(stop_worker(&r), 0);
}

/* The base lies in a home that the user cannot walk through: the descriptor that was handed over does. */
static void base_behind_a_closed_door(void **state)
{
	struct running r;
	char door[256], base[300];

	(void)state;
	if (!is_root()) {
		printf("skipped: needs root\n");
		return;
	}
	snprintf(door, sizeof(door), "%s/door", root);
	snprintf(base, sizeof(base), "%s/mail", door);
	assert_int_equal(mkdir(door, 0700), 0);
	assert_int_equal(mkdir(base, 0700), 0);
	assert_int_equal(chown(base, NOBODY, NOBODY), 0);
	r = run_worker(base, NOBODY, false);
	assert_int_equal(opened(&r), OC_MAILBOX_TEMP);
	stop_worker(&r);
	handed_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = run_worker(base, NOBODY, false);
	close(handed_fd);
	handed_fd = -1;
	assert_int_equal(opened(&r), OC_DONE);
	send_one(&r, "alice", 0);
	assert_int_equal(verdict(&r), OC_DONE);
	assert_int_equal(count_new("door/mail/alice"), 1);
	assert_int_equal(stop_worker(&r), 0);
}

/* Somebody swaps a part of the path for a link while mail is delivered: never a byte outside. */
static void racer(void **state)
{
	enum { ROUNDS = 400 };
	struct running r;
	char real[256], away[256], outside[256];
	pid_t pid;
	DIR *dir;
	int n = 0;

	(void)state;
	snprintf(real, sizeof(real), "%s/race", root);
	snprintf(away, sizeof(away), "%s/race.away", root);
	snprintf(outside, sizeof(outside), "%s.outside", root);
	assert_int_equal(mkdir(outside, 0777), 0);
	assert_int_equal(chmod(outside, 0777), 0);
	r = run_worker(root, NOBODY, false);
	assert_int_equal(opened(&r), OC_DONE);
	pid = fork();
	if (pid == 0) {
		for (;;) {
			(void)rename(real, away);
			(void)!symlink(outside, real);
			(void)unlink(real);
			(void)rename(away, real);
		}
	}
	for (int i = 0; i < ROUNDS; i++) {
		send_one(&r, "race", 0);
		assert_int_not_equal(outcome_kind(verdict(&r)), KIND_PERM);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(stop_worker(&r), 0);
	dir = opendir(outside);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	printf("ROW L03 swapped-for-a-link %s\n", n == 2 ? "pass" : "fail");
	assert_int_equal(n, 2);
	rmdir(outside);
}

/* The link's other end stays open here: only its parent's death can end it. */
static void ends_with_its_parent(void **state)
{
	int pair[2], pipes[2], status, pidfd;
	pid_t pid, worker;

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(link_pair(pair));
	pid = fork();
	if (pid == 0) {
		struct running r = run_worker_on(pair, root, NOBODY, false);
		bool fine = opened(&r) == OC_DONE;

		(void)!write(pipes[1], &r.pid, sizeof(r.pid));
		_exit(fine ? 0 : 1);
	}
	assert_int_equal(read(pipes[0], &worker, sizeof(worker)), (ssize_t)sizeof(worker));
	pidfd = (int)syscall(SYS_pidfd_open, worker, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	if (pidfd >= 0) {
		struct pollfd p = {pidfd, POLLIN, 0};

		assert_int_equal(poll(&p, 1, 10000), 1);
		close(pidfd);
	}
	close(pipes[0]);
	close(pipes[1]);
	close(pair[0]);
	close(pair[1]);
}

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	return is_root() ? chown(root, NOBODY, NOBODY) : 0;
}

static int tear_down(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", root, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delivers_in_order),
		cmocka_unit_test(batch_survives_a_bad_one),
		cmocka_unit_test(what_is_not_received_has_no_verdict),
		cmocka_unit_test(missing_home_is_temporary),
		cmocka_unit_test(foreign_home_is_temporary),
		cmocka_unit_test(never_root),
		cmocka_unit_test(is_the_user),
		cmocka_unit_test(others_folder_is_temporary),
		cmocka_unit_test(base_behind_a_closed_door),
		cmocka_unit_test(racer),
		cmocka_unit_test(ends_with_its_parent),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
