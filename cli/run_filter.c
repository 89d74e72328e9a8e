#include "command.h"

#include "base/clock.h"
#include "filter/filter.h"
#include "filter/report.h"
#include "filter/sample.h"
#include "filter/sieve.h"
#include "filter/view_address.h"
#include "mail/address.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * `postern filter test`: a filter over a message, both in files, as whoever calls it; nothing is delivered, sent or written.  Files that
 * the filter names are read as its caller may.
 */
#define MESSAGE_MAX (64u << 20)
#define REPORT_MAX (64u << 20)

struct trial {
	const struct cli *cli;
	const char *file; /* the filter's */
	struct buf filter, message, address, sender, home, user, host;
	struct filter_sample sample;
	struct buf out;
	size_t steps; /* told so far */
};

/* ---- files ---- */

/* All there is, up to what `out` may become; false with errno. */
static bool read_open(int fd, struct buf *out)
{
	for (;;) {
		char *room = buf_room(out, 65536);
		size_t size = 65536;
		ssize_t n;

		if (room == NULL) { /* what is left, and one byte to see whether there is more */
			buf_undo(out, out->len);
			size = out->max - out->len;
			room = buf_room(out, size);
		}
		if (room == NULL || size == 0) {
			errno = EFBIG;
			return false;
		}
		n = read(fd, room, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		buf_grew(out, (size_t)n);
	}
}

static bool read_path(const char *path, struct buf *out)
{
	int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	bool good = fd >= 0 && read_open(fd, out);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return good;
}

static enum filter_read read_result(int fd, struct buf *out)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return FILTER_READ_REFUSED;
	return read_open(fd, out) ? FILTER_READ_DONE : FILTER_READ_REFUSED;
}

/* A file that the filter names: no FIFO is waited for, no device read. */
static enum filter_read read_named(void *arg, struct slice path, struct buf *out)
{
	struct trial *t = (struct trial *)(void *)((char *)arg - offsetof(struct trial, sample));
	struct buf whole = buf_make(4096);
	enum filter_read got;
	int fd;

	if (path.len > 0 && path.at[0] != '/')
		buf_addf(&whole, "%s/", buf_text(&t->home));
	buf_add_slice(&whole, path);
	fd = buf_ok(&whole) ? open(buf_text(&whole), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
	if (fd < 0)
		got = errno == ENOENT || errno == ENOTDIR ? FILTER_READ_MISSING : FILTER_READ_REFUSED;
	else
		got = read_result(fd, out);
	if (fd >= 0)
		close(fd);
	buf_free(&whole);
	return got;
}

/* ---- who and where ---- */

static bool set_user(struct trial *t)
{
	const char *name = t->cli->user;
	const struct passwd *pw = name != NULL ? getpwnam(name) : getpwuid(getuid());

	buf_add_text(&t->user, name != NULL ? name : pw != NULL ? pw->pw_name : "nobody");
	buf_add_text(&t->home, t->cli->home != NULL ? t->cli->home : pw != NULL ? pw->pw_dir : "");
	return buf_ok(&t->user) && buf_ok(&t->home);
}

static bool set_address(struct trial *t)
{
	struct mail_address a;
	char host[256] = "localhost";

	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		memcpy(host, "localhost", sizeof("localhost"));
	buf_add_text(&t->host, host);
	if (t->cli->recipient == NULL)
		return buf_addf(&t->address, "%s@%s", buf_text(&t->user), host);
	if (mail_address_parse(slice_of(t->cli->recipient), MAIL_ALLOW_UTF8, &a) != MAIL_OK)
		return false;
	return buf_add_slice(&t->address, mail_address_text(&a));
}

static bool add_first_address(struct slice text, struct buf *out)
{
	struct arena *arena = arena_new(1 << 20);
	struct view_addresses list = {NULL, 0};
	bool found = arena != NULL && view_addresses_parse(arena, text, &list) && list.count > 0 && list.at[0].good;

	if (found)
		buf_add_slice(out, list.at[0].address);
	arena_free(&arena);
	return found;
}

/* In a field of that name that is not folded. */
static bool find_address(struct slice header, struct slice name, struct buf *out)
{
	struct slice line;

	while (slice_cut(&header, '\n', &line))
		if (slice_starts_nocase(line, name) && add_first_address(slice_from(line, name.len), out))
			return true;
	return false;
}

/* Without --sender: as whoever delivered it noted, or as the message says itself. */
static bool set_sender(struct trial *t, struct slice header)
{
	struct mail_address a;

	if (t->cli->sender == NULL) {
		if (!find_address(header, slice_of("return-path:"), &t->sender))
			find_address(header, slice_of("from:"), &t->sender);
		return true;
	}
	if (strcmp(t->cli->sender, "<>") == 0)
		return true;
	if (mail_address_parse(slice_of(t->cli->sender), MAIL_ALLOW_UTF8 | MAIL_ALLOW_NULL, &a) != MAIL_OK)
		return false;
	return buf_add_slice(&t->sender, mail_address_text(&a));
}

static int zone_minutes(time_t now)
{
	struct tm local;

	return localtime_r(&now, &local) == NULL ? 0 : (int)(local.tm_gmtoff / 60);
}

static bool make_message(struct trial *t, struct filter_message *out)
{
	struct filter_message m = {
		.recipient = buf_slice(&t->address),
		.address = buf_slice(&t->address),
		.user = buf_slice(&t->user),
		.home = buf_slice(&t->home),
		.host = buf_slice(&t->host),
		.separators = slice_of("+"),
		.id = 0,
		.now = clock_wall_s(),
		.read = read_named,
	};

	m.zone_minutes = zone_minutes((time_t)m.now);
	filter_sample_set(&t->sample, buf_slice(&t->message), &m);
	if (!set_sender(t, m.header))
		return false;
	m.sender = buf_slice(&t->sender);
	*out = m;
	return true;
}

/* ---- for people ---- */

static void tell_step(void *arg, uint32_t line, struct slice what)
{
	struct trial *t = arg;

	if (line > 0)
		buf_addf(&t->out, "%5u  ", line);
	else
		buf_add_text(&t->out, "    -  ");
	text_add_safe(what, &t->out);
	buf_add_char(&t->out, '\n');
}

/* What would be sent, for its owner to look at. */
static void tell_mail(struct trial *t, struct slice text)
{
	struct slice line;

	while (slice_cut(&text, '\n', &line)) {
		buf_add_text(&t->out, "      | ");
		text_add_safe(line, &t->out);
		buf_add_char(&t->out, '\n');
	}
}

static void tell_result(struct trial *t, const struct filter_result *r)
{
	static const char *const ends[] = {
		[FILTER_DONE] = "",
		[FILTER_ERROR] = "the mail stays in the inbox, and its owner is told once",
		[FILTER_LATER] = "the mail waits",
	};

	for (size_t i = 0; i < r->count; i++) {
		struct buf words = buf_make(1 << 20);

		filter_action_text(&r->actions[i], &words);
		buf_add_text(&t->out, "  --> ");
		text_add_safe(buf_slice(&words), &t->out);
		buf_add_char(&t->out, '\n');
		buf_free(&words);
		if (r->actions[i].kind == FILTER_MAIL)
			tell_mail(t, r->actions[i].text);
	}
	if (r->outcome == FILTER_DONE && r->count == 0)
		buf_add_text(&t->out, "  --> nothing: the mail is thrown away\n");
	if (r->outcome == FILTER_DONE)
		return;
	buf_addf(&t->out, "%s: ", t->file);
	text_add_safe(slice_of(r->why), &t->out);
	buf_addf(&t->out, "\n  --> %s\n", ends[r->outcome]);
}

/* ---- for programs ---- */

static void json_key(const char *key, bool first, struct buf *out)
{
	buf_addf(out, "%s\"%s\":", first ? "" : ",", key);
}

static void json_text(const char *key, struct slice text, bool first, struct buf *out)
{
	json_key(key, first, out);
	text_add_json(text, out);
}

static void json_step(void *arg, uint32_t line, struct slice what)
{
	struct trial *t = arg;

	buf_addf(&t->out, "%s{\"line\":%u", t->steps++ > 0 ? "," : "", line);
	json_text("what", what, false, &t->out);
	buf_add_char(&t->out, '}');
}

static void json_list(const char *key, struct slice list, char end, struct buf *out)
{
	struct slice one;
	bool first = true;

	json_key(key, false, out);
	buf_add_char(out, '[');
	while (slice_cut(&list, end, &one)) {
		buf_add_text(out, first ? "" : ",");
		text_add_json(one, out);
		first = false;
	}
	buf_add_char(out, ']');
}

static void json_action(const struct filter_action *a, struct buf *out)
{
	buf_addf(out, "{\"action\":\"%s\",\"line\":%u", filter_action_name(a->kind), a->line);
	if (a->kind == FILTER_PIPE)
		json_list("arguments", a->text, '\0', out);
	else if (a->text.len > 0)
		json_text("text", a->text, false, out);
	if (a->kind == FILTER_MAIL)
		json_list("to", a->to, '\n', out);
	if (a->mode != 0)
		buf_addf(out, ",\"mode\":\"%o\"", a->mode);
	if (a->flags.len > 0)
		json_text("flags", a->flags, false, out);
	if (a->create)
		buf_add_text(out, ",\"create\":true");
	if (a->once_seconds > 0)
		buf_addf(out, ",\"once_seconds\":%llu", (unsigned long long)a->once_seconds);
	buf_add_char(out, '}');
}

static void json_result(struct trial *t, const struct filter_result *r)
{
	static const char *const outcomes[] = {[FILTER_DONE] = "done", [FILTER_ERROR] = "error", [FILTER_LATER] = "later"};

	buf_addf(&t->out, "],\"outcome\":\"%s\"", outcomes[r->outcome]);
	if (r->why[0] != '\0')
		json_text("why", slice_of(r->why), false, &t->out);
	buf_add_text(&t->out, ",\"actions\":[");
	for (size_t i = 0; i < r->count; i++) {
		buf_add_text(&t->out, i > 0 ? "," : "");
		json_action(&r->actions[i], &t->out);
	}
	buf_add_text(&t->out, "]}\n");
}

/* ---- the run ---- */

static enum filter_kind kind_of(const char *file)
{
	return slice_ends_nocase(slice_of(file), slice_of(".sieve")) ? FILTER_KIND_SIEVE : FILTER_KIND_ANY;
}

/* Which it is in the end. */
static enum filter_kind kind_in(const struct trial *t)
{
	enum filter_kind kind = kind_of(t->file);

	return kind == FILTER_KIND_ANY ? filter_kind_of(buf_slice(&t->filter)) : kind;
}

/* Each with its line and a caret. */
static int tell_all_mistakes(struct trial *t)
{
	struct buf all = buf_make(REPORT_MAX);
	struct slice rest, line;

	sieve_mistakes(t->file, buf_slice(&t->filter), &all);
	for (rest = buf_slice(&all); slice_cut(&rest, '\n', &line); buf_add_char(&t->out, '\n'))
		text_add_safe(line, &t->out);
	fputs(buf_text(&t->out), stderr);
	buf_free(&all);
	return CLI_CONFIG;
}

static int tell_mistake(struct trial *t, const struct filter_mistake *m)
{
	if (m->line == 0)
		return complain(CLI_TEMPORARY, t->file, "out of memory");
	if (t->cli->json) {
		buf_addf(&t->out, "{\"outcome\":\"mistake\",\"line\":%u,\"column\":%u", m->line, m->column);
		json_text("why", slice_of(m->why), false, &t->out);
		buf_add_text(&t->out, "}\n");
		return print_out(&t->out) ? CLI_CONFIG : CLI_TEMPORARY;
	}
	if (kind_in(t) == FILTER_KIND_SIEVE)
		return tell_all_mistakes(t);
	buf_addf(&t->out, "%s:%u:%u: ", t->file, m->line, m->column);
	text_add_safe(slice_of(m->why), &t->out);
	fprintf(stderr, "%s\n", buf_text(&t->out));
	return CLI_CONFIG;
}

static int run_trial(struct trial *t, const struct filter *f, const struct filter_message *m)
{
	static const int exits[] = {[FILTER_DONE] = CLI_OK, [FILTER_ERROR] = CLI_REFUSED, [FILTER_LATER] = CLI_TEMPORARY};
	const struct filter_limits limits = FILTER_LIMITS_DEFAULT;
	const struct filter_trace trace = {t->cli->json ? json_step : tell_step, t};
	struct filter_result r;
	int exit;

	if (t->cli->json) {
		buf_add_char(&t->out, '{');
		json_text("language", slice_of(filter_kind_name(filter_kind(f))), true, &t->out);
		buf_add_text(&t->out, ",\"steps\":[");
	}
	filter_run(f, m, &limits, &trace, &r);
	if (t->cli->json)
		json_result(t, &r);
	else
		tell_result(t, &r);
	exit = exits[r.outcome];
	filter_result_free(&r);
	if (!buf_ok(&t->out))
		return complain(CLI_TEMPORARY, t->file, "out of memory");
	return print_out(&t->out) ? exit : CLI_TEMPORARY;
}

static int compile_and_run(struct trial *t)
{
	struct filter_message m;
	struct filter_mistake mistake;
	struct filter *f = filter_compile(buf_slice(&t->filter), kind_of(t->file), &mistake);
	int exit;

	if (f == NULL)
		return tell_mistake(t, &mistake);
	exit = make_message(t, &m) ? run_trial(t, f, &m) : complain(CLI_USAGE, "--sender is no address", t->cli->sender);
	filter_free(&f);
	return exit;
}

static int read_and_run(struct trial *t)
{
	const char *message = t->cli->argument[1];

	if (!read_path(t->file, &t->filter))
		return complain(CLI_REFUSED, t->file, strerrordesc_np(errno));
	if (!read_path(message, &t->message))
		return complain(CLI_REFUSED, message, strerrordesc_np(errno));
	if (!set_user(t))
		return complain(CLI_TEMPORARY, t->file, "out of memory");
	if (!set_address(t))
		return complain(CLI_USAGE, "--recipient is no address", t->cli->recipient == NULL ? "" : t->cli->recipient);
	return compile_and_run(t);
}

int run_filter_test(const struct cli *cli, const struct command *command)
{
	struct trial t = {.cli = cli, .file = cli->argument[0]};
	struct buf *all[] = {&t.address, &t.sender, &t.home, &t.user, &t.host};
	int exit;

	(void)command;
	t.filter = buf_make(2 * FILTER_SOURCE_MAX);
	t.message = buf_make(MESSAGE_MAX);
	t.out = buf_make(REPORT_MAX);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		*all[i] = buf_make(8192);
	exit = read_and_run(&t);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		buf_free(all[i]);
	buf_free(&t.filter);
	buf_free(&t.message);
	buf_free(&t.out);
	return exit;
}
