#include "maildir.h"

#include "quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/postern-maildir-XXXXXX";
static int base_fd = -1;

static const char body[] = "Subject: hello\r\n\r\nfirst\r\nsecond\r\n";

static int message_file(const char *text, size_t len)
{
	int fd = memfd_create("message", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "HDR", 3), 3);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	return fd;
}

static struct maildir_message message(int fd, size_t len)
{
	return (struct maildir_message){
		.fd = fd,
		.offset = 3,
		.length = len,
		.id = 42,
		.address = slice_of("alice@example.test"),
		.prepend = slice_of("Return-Path: <bob@example.test>\n"),
		.host = slice_of("mx.example.test"),
	};
}

/* The whole way, as far as it goes. */
static enum outcome deliver(const char *maildir, const struct maildir_message *m, struct maildir_draft *d)
{
	struct maildir md;
	enum outcome oc;

	*d = (struct maildir_draft){.file_fd = -1};
	oc = maildir_open(base_fd, slice_of(maildir), false, &md, d->text);
	if (oc == OC_DONE)
		oc = maildir_write(&md, m, d);
	if (oc == OC_DONE)
		oc = maildir_sync(d);
	if (oc == OC_DONE)
		oc = maildir_publish(d, m);
	if (oc == OC_DONE)
		oc = maildir_settle(d);
	maildir_drop(d);
	maildir_close(&md);
	return oc;
}

static enum outcome deliver_body(const char *maildir, struct maildir_draft *d)
{
	int fd = message_file(body, sizeof(body) - 1);
	struct maildir_message m = message(fd, sizeof(body) - 1);
	enum outcome oc = deliver(maildir, &m, d);

	close(fd);
	return oc;
}

static int entries(const char *folder)
{
	char path[256];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "%s/%s", root, folder);
	dir = opendir(path);
	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 2;
}

static void in_root(char out[512], const char *relative)
{
	snprintf(out, 512, "%s/%s", root, relative);
}

static void make_dir(const char *relative)
{
	char path[512];

	in_root(path, relative);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_link(const char *target, const char *relative)
{
	char path[512];

	in_root(path, relative);
	assert_int_equal(symlink(target, path), 0);
}

static void row(const char *id, const char *variant, bool pass)
{
	printf("ROW %s %s %s\n", id, variant, pass ? "pass" : "fail");
	assert_true(pass);
}

static void delivers(void **state)
{
	struct maildir_draft d;
	char path[512], text[512];
	ssize_t n;
	int fd;
	struct stat st;

	(void)state;
	assert_int_equal(deliver_body("example.test/alice", &d), OC_DONE);
	assert_int_equal(entries("example.test/alice/new"), 1);
	assert_int_equal(entries("example.test/alice/tmp"), 0);
	assert_int_equal(entries("example.test/alice/cur"), 0);
	snprintf(path, sizeof(path), "%s/example.test/alice/new/%s", root, d.name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "Return-Path: <bob@example.test>\nSubject: hello\n\nfirst\nsecond\n");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close(fd);
	in_root(path, "example.test");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void delivers_into_the_base(void **state)
{
	struct maildir_draft d;

	(void)state;
	assert_int_equal(deliver_body("", &d), OC_DONE);
	assert_int_equal(entries("new"), 1);
}

/* Bigger than every buffer, and not a multiple of one. */
static void delivers_big(void **state)
{
	enum { LINES = 40000 };
	static char big[LINES * 10];
	struct maildir_draft d;
	char path[512];
	struct stat st;
	int fd;

	(void)state;
	for (size_t i = 0; i < LINES; i++)
		memcpy(big + i * 10, "12345678\r\n", 10);
	fd = message_file(big, sizeof(big));
	{
		struct maildir_message m = message(fd, sizeof(big));

		assert_int_equal(deliver("big", &m, &d), OC_DONE);
		snprintf(path, sizeof(path), "%s/big/new/%s", root, d.name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, (off_t)(LINES * 9 + m.prepend.len));
	}
	close(fd);
}

static void refuses_a_loop(void **state)
{
	static const char text[] = "Delivered-To: ALICE@example.test\r\nSubject: x\r\n\r\nx\r\n";
	int fd = message_file(text, sizeof(text) - 1);
	struct maildir_message m = message(fd, sizeof(text) - 1);
	struct maildir_draft d;

	(void)state;
	assert_int_equal(deliver("loop", &m, &d), OC_MAIL_LOOP);
	assert_int_equal(entries("loop/new"), 0);
	assert_int_equal(entries("loop/tmp"), 0);
	close(fd);
}

/* The message file is shorter than was told, or the numbers are mad: temporary, and nothing is left. */
static void refuses_what_is_not_there(void **state)
{
	int fd = message_file(body, sizeof(body) - 1);
	struct maildir_message m = message(fd, sizeof(body) + 10);
	struct maildir_draft d;

	(void)state;
	assert_int_equal(deliver("short", &m, &d), OC_IO_ERROR);
	assert_int_equal(entries("short/tmp"), 0);
	assert_int_equal(entries("short/new"), 0);
	m.offset = UINT64_MAX - 5;
	assert_int_equal(deliver("short", &m, &d), OC_MAILBOX_TEMP);
	m.offset = 3;
	m.length = UINT64_MAX - 1;
	assert_int_equal(deliver("short", &m, &d), OC_MAILBOX_TEMP);
	m = message(fd, 5);
	assert_int_equal(deliver("../out", &m, &d), OC_MAILBOX_TEMP);
	close(fd);
}

static void follows_no_link(void **state)
{
	static const struct {
		const char *variant, *maildir;
	} cases[] = {
		{"maildir-is-symlink", "evil1"},
		{"parent-is-symlink", "evil2/alice"},
		{"new-is-symlink", "evil3"},
		{"tmp-is-symlink", "evil4"},
		{"maildir-is-relative-symlink", "evil5"},
	};
	struct maildir_draft d;

	(void)state;
	make_dir("victim");
	make_dir("victim/new");
	make_dir("victim/tmp");
	make_dir("victim/alice");
	make_link("/etc", "evil1");
	make_link("victim", "evil2");
	make_dir("evil3");
	make_dir("evil3/tmp");
	make_link("../victim/new", "evil3/new");
	make_dir("evil4");
	make_dir("evil4/new");
	make_link("../victim/tmp", "evil4/tmp");
	make_link("victim", "evil5");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum outcome oc = deliver_body(cases[i].maildir, &d);

		row("L01", cases[i].variant,
		    oc == OC_MAILBOX_TEMP && entries("victim/new") == 0 && entries("victim/tmp") == 0 &&
			    entries("victim/alice") == 0);
	}
}

/* Something else than a folder on the way: temporary, and it does not hang. */
static void meets_odd_things(void **state)
{
	struct maildir_draft d;
	char path[512];

	(void)state;
	in_root(path, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	make_dir("odd");
	in_root(path, "odd/tmp");
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(20);
	row("L02", "maildir-is-fifo", deliver_body("fifo", &d) == OC_MAILBOX_TEMP);
	row("L02", "tmp-is-fifo", deliver_body("odd", &d) == OC_MAILBOX_TEMP);
	alarm(0);
}

static struct maildir opened(const char *maildir)
{
	struct maildir md;
	char text[MAILDIR_TEXT_BYTES];

	assert_int_equal(maildir_open(base_fd, slice_of(maildir), false, &md, text), OC_DONE);
	return md;
}

/* What lies under the name in new/ already is not touched, and the message gets another name. */
static void takes_another_name(void **state)
{
	static const char *const kinds[] = {"file", "symlink", "fifo", "folder"};
	int fd = message_file(body, sizeof(body) - 1);
	struct maildir md = opened("names");
	char path[512];

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct maildir_message m = message(fd, sizeof(body) - 1);
		struct maildir_draft d;
		char first[MAILDIR_NAME_BYTES];

		assert_int_equal(maildir_write(&md, &m, &d), OC_DONE);
		assert_int_equal(maildir_sync(&d), OC_DONE);
		memcpy(first, d.name, sizeof(first));
		snprintf(path, sizeof(path), "%s/names/new/%s", root, d.name);
		if (i == 0)
			close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		else if (i == 1)
			assert_int_equal(symlink("/etc/passwd", path), 0);
		else if (i == 2)
			assert_int_equal(mkfifo(path, 0600), 0);
		else
			assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(maildir_publish(&d, &m), OC_DONE);
		assert_int_equal(maildir_settle(&d), OC_DONE);
		row("L02", kinds[i], strcmp(first, d.name) != 0 && entries("names/new") == 2 * (int)(i + 1));
		maildir_drop(&d);
	}
	maildir_close(&md);
	close(fd);
}

/* Two in one folder, whose sync failed for the first: nobody knows of the second either.  Who comes later has a sync of his own. */
static void a_failed_sync_holds_for_all_of_its_folder(void **state)
{
	int fd = message_file(body, sizeof(body) - 1);
	struct maildir_message m = message(fd, sizeof(body) - 1);
	struct maildir md = opened("unsure");
	struct maildir_draft d[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(maildir_write(&md, &m, &d[i]), OC_DONE);
		assert_int_equal(maildir_sync(&d[i]), OC_DONE);
	}
	assert_int_equal(maildir_publish(&d[0], &m), OC_DONE);
	assert_int_equal(maildir_publish(&d[1], &m), OC_DONE);
	md.settled = true;
	md.sync_errno = EIO;
	assert_int_equal(maildir_settle(&d[0]), OC_IO_ERROR);
	assert_int_equal(maildir_settle(&d[1]), OC_IO_ERROR);
	assert_int_equal(entries("unsure/new"), 0);
	assert_int_equal(maildir_publish(&d[2], &m), OC_DONE);
	assert_int_equal(maildir_settle(&d[2]), OC_DONE);
	assert_int_equal(entries("unsure/new"), 1);
	for (int i = 0; i < 3; i++)
		maildir_drop(&d[i]);
	maildir_close(&md);
	close(fd);
}

static void drops_leave_nothing(void **state)
{
	int fd = message_file(body, sizeof(body) - 1);
	struct maildir_message m = message(fd, sizeof(body) - 1);
	struct maildir md = opened("dropped");
	struct maildir_draft d;

	(void)state;
	assert_int_equal(maildir_write(&md, &m, &d), OC_DONE);
	assert_int_equal(entries("dropped/tmp"), 1);
	maildir_drop(&d);
	assert_int_equal(entries("dropped/tmp"), 0);
	assert_int_equal(maildir_write(&md, &m, &d), OC_DONE);
	assert_int_equal(maildir_sync(&d), OC_DONE);
	maildir_drop(&d);
	assert_int_equal(entries("dropped/tmp"), 0);
	maildir_close(&md);
	close(fd);
}

/* The folder goes away between two steps. */
static void meets_a_vanished_folder(void **state)
{
	int fd = message_file(body, sizeof(body) - 1);
	struct maildir_message m = message(fd, sizeof(body) - 1);
	struct maildir md = opened("gone");
	struct maildir_draft d;
	char path[512];

	(void)state;
	assert_int_equal(maildir_write(&md, &m, &d), OC_DONE);
	assert_int_equal(maildir_sync(&d), OC_DONE);
	in_root(path, "gone/new");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(maildir_publish(&d, &m), OC_MAILBOX_TEMP);
	maildir_drop(&d);
	assert_int_equal(entries("gone/tmp"), 0);
	maildir_close(&md);
	close(fd);
}

static void errnos(void **state)
{
	(void)state;
	assert_int_equal(maildir_errno(ENOSPC), OC_MAILBOX_FULL);
	assert_int_equal(maildir_errno(EDQUOT), OC_MAILBOX_FULL);
	assert_int_equal(maildir_errno(EIO), OC_IO_ERROR);
	for (int err = 1; err < 140; err++)
		assert_int_equal(outcome_kind(maildir_errno(err)), KIND_TEMP);
}

/* A limit of the cage is no fault of the message. */
static void meets_the_file_limit(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		const struct rlimit rl = {10, 10};
		struct maildir_draft d;

		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &rl);
		{
			int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
			struct maildir_message m = message(fd, 0);

			_exit(deliver("limit", &m, &d) == OC_MAILBOX_FULL && entries("limit/tmp") == 0 ? 0 : 1);
		}
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Needs a file system of its own, which only root can have. */
static void meets_a_full_disk(void **state)
{
	static char big[200000];
	char path[512];
	int fd;

	(void)state;
	make_dir("full");
	in_root(path, "full");
	if (mount("tmpfs", path, "tmpfs", 0, "size=64k") != 0) {
		printf("skipped: cannot mount a small file system here\n");
		return;
	}
	memset(big, 'x', sizeof(big));
	fd = message_file(big, sizeof(big));
	{
		struct maildir_message m = message(fd, sizeof(big));
		struct maildir_draft d;

		assert_int_equal(deliver("full/alice", &m, &d), OC_MAILBOX_FULL);
		assert_int_equal(entries("full/alice/tmp"), 0);
	}
	close(fd);
	umount(path);
}

/* Its holder is asked to give it back, and does not; -1: this file system has no leases. */
static int leased(const char *name)
{
	int fd = openat(base_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		return fd;
	print_message("%s: no leases here\n", root);
	close(fd);
	return -1;
}

/* The kernel would take it back after 45 s: nobody waits for that. */
static void a_lease_is_not_waited_for(void **state)
{
	int fd = leased("leased");

	(void)state;
	if (fd < 0)
		skip();
	assert_int_equal(beneath_open(base_fd, "leased", O_RDWR | O_NONBLOCK), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(maildir_errno(EAGAIN), OC_MAILBOX_TEMP);
	close(fd);
}

/* What could not be written down is counted again: a lease makes no mailbox larger. */
static void a_leased_count_is_none(void **state)
{
	char text[MAILDIR_TEXT_BYTES];
	int fd;

	(void)state;
	assert_int_equal(mkdirat(base_fd, "counted", 0700), 0);
	assert_int_equal(mkdirat(base_fd, "counted/tmp", 0700), 0);
	assert_int_equal(quota_take(base_fd, slice_of("counted"), &(struct quota_limit){1000, 0}, (struct quota_pending){0, 0}, 10, text), OC_DONE);
	fd = leased("counted/maildirsize");
	if (fd < 0)
		skip();
	quota_give_back(base_fd, slice_of("counted"), 10);
	assert_int_equal(faccessat(base_fd, "counted/maildirsize", F_OK, 0), -1);
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	base_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return base_fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	char command[64];
	pid_t pid;

	(void)state;
	close(base_fd);
	snprintf(command, sizeof(command), "%s", root);
	pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", command, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delivers),
		cmocka_unit_test(delivers_into_the_base),
		cmocka_unit_test(delivers_big),
		cmocka_unit_test(refuses_a_loop),
		cmocka_unit_test(refuses_what_is_not_there),
		cmocka_unit_test(follows_no_link),
		cmocka_unit_test(meets_odd_things),
		cmocka_unit_test(takes_another_name),
		cmocka_unit_test(a_failed_sync_holds_for_all_of_its_folder),
		cmocka_unit_test(drops_leave_nothing),
		cmocka_unit_test(meets_a_vanished_folder),
		cmocka_unit_test(errnos),
		cmocka_unit_test(a_lease_is_not_waited_for),
		cmocka_unit_test(a_leased_count_is_none),
		cmocka_unit_test(meets_the_file_limit),
		cmocka_unit_test(meets_a_full_disk),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
