#include "command.h"

#include "base/log.h"
#include "os/fd.h"
#include "os/privilege.h"
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * queue check: what the queue found in its own files, page by page; or, for a spool that nobody uses, what postern-queue finds there
 * as the owner of that folder.  Root opens nothing in the spool but the folder itself: whatever lies in it was put there by its owner.
 */
#define PAGES_MAX 100000u
#define OUT_MAX (16u << 20)
#define PAGE_BYTES (1u << 20)
#define BUCKETS 1024u

struct checked {
	const struct command *command;
	struct rows rows;
	struct buf findings; /* control_row records of a page */
	uint64_t counts[7];
	bool progress;
};

static const char *const count_names[7] = {"messages", "held", "set_aside", "drafts", "bytes", "rows", "findings"};

static void add_count(struct checked *k, const struct rec_control_field *f)
{
	uint64_t v;

	for (size_t i = 0; i < 7; i++)
		if (slice_eq(f->key, slice_of(count_names[i])) && slice_u64(f->value, INT64_MAX, &v))
			k->counts[i] += v;
}

/* A row of counts begins with their first; all others are findings. */
static bool take_row(struct checked *k, const struct rec_control_row *row)
{
	struct slice fields = row->control_field_records;
	struct rec_control_field f;

	if (!rec_control_field_next(&fields, &f))
		return false;
	if (!slice_eq(f.key, slice_of(count_names[0])))
		return rec_control_row_add(&k->findings, row);
	do
		add_count(k, &f);
	while (rec_control_field_next(&fields, &f));
	return true;
}

static bool take_page(struct checked *k, struct slice records)
{
	struct rec_control_row row;
	bool ok = true;

	buf_clear(&k->findings);
	while (ok && rec_control_row_next(&records, &row))
		ok = take_row(k, &row);
	return ok && records.len == 0 && rows_page(&k->rows, buf_slice(&k->findings)) && print_out(k->rows.out);
}

static void show_progress(const struct checked *k, struct slice cursor)
{
	uint64_t bucket;

	if (k->progress && slice_u64(cursor, BUCKETS, &bucket))
		fprintf(stderr, "\r%llu%%, %llu messages ", (unsigned long long)(bucket * 100 / BUCKETS), (unsigned long long)k->counts[0]);
}

/* ---- the end ---- */

/* For programs the counts are the last object. */
static void end_json(struct checked *k)
{
	struct buf fields = buf_make(1024), row = buf_make(2048);

	for (size_t i = 0; i < 7; i++) {
		char key[32], text[24];

		snprintf(key, sizeof(key), "counts.%s", count_names[i]);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)k->counts[i]);
		(void)rec_control_field_add(&fields, &(struct rec_control_field){slice_of(key), slice_of(text)});
	}
	(void)rec_control_row_add(&row, &(struct rec_control_row){buf_slice(&fields)});
	(void)rows_page(&k->rows, buf_slice(&row));
	(void)rows_end(&k->rows, "");
	buf_free(&fields);
	buf_free(&row);
}

static int end(struct checked *k)
{
	const unsigned long long *c = (const unsigned long long *)k->counts;

	if (k->progress)
		fprintf(stderr, "\r\033[K");
	if (k->rows.style == ROWS_JSON)
		end_json(k);
	else
		buf_addf(k->rows.out, "%llu messages (%llu held), %llu rows in the index, %llu set aside, %llu drafts: %s\n", c[0], c[1], c[5], c[2],
			 c[3], c[6] == 0 ? "nothing is wrong" : "see above");
	if (!print_out(k->rows.out))
		return CLI_TEMPORARY;
	return c[6] == 0 ? CLI_OK : CLI_REFUSED;
}

/* ---- a queue that runs ---- */

static int ask_all(const struct cli *cli, struct control *c, struct checked *k)
{
	struct buf fields = buf_make(256);
	char cursor[65] = "";
	int exit = CLI_OK;

	if (cli->repair)
		(void)rec_control_field_add(&fields, &(struct rec_control_field){slice_of("repair"), slice_of("yes")});
	for (unsigned i = 0; i < PAGES_MAX; i++) {
		const struct msg_CONTROL_ANSWER *a =
			control_ask(c, k->command->verb, slice_of(cursor), buf_slice(&fields), k->command->limit_s);

		exit = a == NULL ? complain(c->exit, "queue check", c->why) : ask_verdict(a, "queue check");
		if (exit != CLI_OK)
			break;
		if (!take_page(k, a->control_row_records) || !slice_copy(a->cursor, cursor, sizeof(cursor))) {
			exit = complain(CLI_TEMPORARY, "queue check", "the answer is malformed");
			break;
		}
		show_progress(k, slice_of(cursor));
		if (cursor[0] == '\0')
			break;
	}
	buf_free(&fields);
	return exit == CLI_OK ? end(k) : exit;
}

static int check_running(const struct cli *cli, struct checked *k)
{
	struct control c;
	int exit = ask_open(cli, &c) ? ask_all(cli, &c, k) : complain(c.exit, "queue check", c.why);

	control_close(&c);
	return exit;
}

/* ---- a spool that nobody uses ---- */

static bool become_owner(const struct stat *st)
{
	const struct become who = {.uid = st->st_uid, .gid = st->st_gid};
	char why[256];

	if (geteuid() != 0)
		return true;
	if (become_user(&who, why, sizeof(why)))
		return true;
	fprintf(stderr, "postern: queue check: %s\n", why);
	return false;
}

static _Noreturn void look(int folder, const struct stat *st, int out)
{
	char program[PATH_MAX], flag[] = "--check";
	char *const argv[] = {program, flag, NULL}, *const environment[] = {NULL};

	program_path("postern-queue", program);
	if (fchdir(folder) == 0 && dup2(out, STDOUT_FILENO) != -1 && become_owner(st))
		execve(program, argv, environment);
	fprintf(stderr, "postern: queue check: %s: %s\n", program, strerrordesc_np(errno));
	_exit(CLI_TEMPORARY);
}

static bool read_all(int fd, char *into, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, into, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		into += n;
		len -= (size_t)n;
	}
	return true;
}

/* False: what came is no page.  `*over_out`: nothing came any more. */
static bool read_page(int fd, struct checked *k, bool *over_out)
{
	unsigned char head[8];
	struct buf page = buf_make(16u << 20);
	uint64_t len = 0;
	char *room;
	bool ok;

	*over_out = !read_all(fd, (char *)head, sizeof(head));
	if (*over_out)
		return true;
	for (size_t i = 0; i < sizeof(head); i++)
		len = len << 8 | head[i];
	room = len <= 16u << 20 ? buf_room(&page, (size_t)len) : NULL;
	ok = room != NULL && read_all(fd, room, (size_t)len);
	if (ok)
		buf_grew(&page, (size_t)len);
	ok = ok && take_page(k, buf_slice(&page));
	buf_free(&page);
	return ok;
}

static int hear(int fd, pid_t child, struct checked *k)
{
	bool over = false, ok = true;
	int status;

	while (ok && !over)
		ok = read_page(fd, k, &over);
	close(fd);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || !ok)
		return complain(CLI_TEMPORARY, "queue check", "the spool could not be looked through");
	return end(k);
}

static int check_folder(const char *path, struct checked *k)
{
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), out[2];
	struct stat st;
	pid_t child;

	if (folder == -1 || fstat(folder, &st) == -1)
		return complain(CLI_USAGE, path, strerrordesc_np(errno));
	if (st.st_uid == 0 || st.st_gid == 0)
		return complain(CLI_USAGE, path, "this folder belongs to root, and a spool belongs to the queue's user");
	if (!os_pipe(out))
		return complain(CLI_TEMPORARY, path, strerrordesc_np(errno));
	child = fork();
	if (child == 0)
		look(folder, &st, out[1]);
	close(out[1]);
	close(folder);
	if (child == -1) {
		close(out[0]);
		return complain(CLI_TEMPORARY, path, strerrordesc_np(errno));
	}
	return hear(out[0], child, k);
}

int run_queue_check(const struct cli *cli, const struct command *command)
{
	struct buf out = buf_make(OUT_MAX);
	struct checked k = {.command = command,
			    .rows = rows_begin(cli->json ? ROWS_JSON : ROWS_TABLE, &out),
			    .findings = buf_make(PAGE_BYTES),
			    .progress = isatty(STDERR_FILENO) != 0};
	int exit;

	if (cli->count > 0 && cli->repair)
		exit = complain(CLI_USAGE, "queue check", "only a queue that runs repairs: start Postern, and leave the folder out");
	else
		exit = cli->count > 0 ? check_folder(cli->argument[0], &k) : check_running(cli, &k);
	buf_free(&out);
	buf_free(&k.findings);
	return exit;
}
