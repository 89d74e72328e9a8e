#include "process_facts.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_MAX (64u << 10)

static bool read_file(pid_t pid, const char *name, struct buf *out)
{
	char path[64];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	while ((n = read(fd, buf_room(out, 4096), 4096)) > 0)
		buf_grew(out, (size_t)n);
	close(fd);
	return n == 0 && buf_ok(out);
}

/* ---- status ---- */

/* The next number; false: none. */
static bool number_next(struct slice *rest, unsigned base, uint64_t *out)
{
	static const char digits[] = "0123456789abcdef";
	struct slice word;

	if (!slice_word(rest, &word))
		return false;
	*out = 0;
	for (size_t i = 0; i < word.len; i++) {
		const char *at = memchr(digits, ascii_lower(word.at[i]), base);

		if (at == NULL)
			return false;
		*out = *out * base + (uint64_t)(at - digits);
	}
	return true;
}

static void read_four(struct slice value, uint64_t out[4])
{
	for (size_t i = 0; i < 4; i++)
		(void)number_next(&value, 10, &out[i]);
}

static void read_groups(struct slice value, struct process_facts *f)
{
	uint64_t group;

	while (f->group_count < PROCESS_GROUPS_MAX && number_next(&value, 10, &group))
		f->groups[f->group_count++] = (gid_t)group;
}

static void read_number(struct slice value, unsigned base, uint64_t *out)
{
	(void)number_next(&value, base, out);
}

static void read_line(struct slice key, struct slice value, struct process_facts *f)
{
	const struct {
		const char *key;
		unsigned base;
		uint64_t *out;
	} numbers[] = {
		{"CapEff", 16, &f->effective},	{"CapPrm", 16, &f->permitted},	    {"CapInh", 16, &f->inheritable},
		{"CapAmb", 16, &f->ambient},	{"NoNewPrivs", 10, &f->no_new_privs}, {"Seccomp", 10, &f->seccomp},
		{"Seccomp_filters", 10, &f->filters}, {"Threads", 10, &f->threads},
	};
	uint64_t parent = 0;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (slice_eq(key, slice_of(numbers[i].key)))
			read_number(value, numbers[i].base, numbers[i].out);
	if (slice_eq(key, slice_of("Name")))
		(void)slice_copy(slice_sub(slice_trim(value), 0, sizeof(f->name) - 1), f->name, sizeof(f->name));
	else if (slice_eq(key, slice_of("PPid")))
		read_number(value, 10, &parent);
	else if (slice_eq(key, slice_of("Uid")))
		read_four(value, f->uids);
	else if (slice_eq(key, slice_of("Gid")))
		read_four(value, f->gids);
	else if (slice_eq(key, slice_of("Groups")))
		read_groups(value, f);
	if (parent > 0)
		f->parent = (pid_t)parent;
}

static bool read_status(struct process_facts *f)
{
	struct buf text = buf_make(STATUS_MAX);
	bool done = read_file(f->pid, "status", &text);
	struct slice rest = buf_slice(&text), line, key;

	while (done && slice_cut(&rest, '\n', &line))
		if (slice_cut(&line, ':', &key))
			read_line(key, line, f);
	buf_free(&text);
	return done;
}

/* "Max core file size   soft   hard   bytes" */
static bool read_limits(struct process_facts *f)
{
	struct buf text = buf_make(STATUS_MAX);
	bool done = read_file(f->pid, "limits", &text);
	static const char core[] = "Max core file size";
	size_t at = slice_find(buf_slice(&text), slice_of(core));
	struct slice rest = at == SLICE_NONE ? slice_empty() : slice_from(buf_slice(&text), at + strlen(core)), soft, hard;

	f->core_dumps = !slice_word(&rest, &soft) || !slice_word(&rest, &hard) || !slice_eq(hard, slice_of("0"));
	buf_free(&text);
	return done;
}

/* ---- what it holds ---- */

static bool read_link(pid_t pid, const char *name, char out[PROCESS_PATH_MAX])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	n = readlink(path, out, PROCESS_PATH_MAX - 1);
	if (n < 0)
		return false;
	out[n] = '\0';
	return true;
}

static const struct {
	const char *name; /* in the table */
	const char *link; /* how /proc begins it */
} kinds[FD_KINDS] = {
	[FD_SOCKET] = {"socket", "socket:"},		   [FD_PIPE] = {"pipe", "pipe:"},
	[FD_NULL] = {"null", "/dev/null"},		   [FD_EVENTPOLL] = {"eventpoll", "anon_inode:[eventpoll]"},
	[FD_EVENTFD] = {"eventfd", "anon_inode:[eventfd"}, [FD_TIMERFD] = {"timerfd", "anon_inode:[timerfd]"},
	[FD_SIGNALFD] = {"signalfd", "anon_inode:[signalfd]"}, [FD_MEMFD] = {"memfd", "/memfd:"},
};

static void take_fd(struct process_facts *f, unsigned long number, const char *link)
{
	/* Standard output and error lead where the operator sent them. */
	if (number == 1 || number == 2)
		return;
	for (size_t i = 0; i < FD_KINDS; i++)
		if (slice_starts(slice_of(link), slice_of(kinds[i].link))) {
			f->fds[i]++;
			return;
		}
	if (f->path_count < ARRAY_LEN(f->paths))
		snprintf(f->paths[f->path_count], PROCESS_PATH_MAX, "%s", link);
	f->path_count++;
}

static bool read_fds(struct process_facts *f)
{
	char path[64], name[300], link[PROCESS_PATH_MAX];
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)f->pid);
	dir = opendir(path); /* which is O_CLOEXEC */
	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL) {
		uint64_t number;

		if (!slice_u64(slice_of(entry->d_name), INT32_MAX, &number))
			continue;
		snprintf(name, sizeof(name), "fd/%s", entry->d_name);
		if (read_link(f->pid, name, link))
			take_fd(f, (unsigned long)number, link);
	}
	closedir(dir);
	return true;
}

static bool is_dumpable(const struct process_facts *f)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)f->pid);
	return f->uids[0] != 0 && stat(path, &st) == 0 && st.st_uid != 0;
}

bool process_read(pid_t pid, struct process_facts *f, const char **why)
{
	*f = (struct process_facts){.pid = pid};
	errno = 0;
	if (read_status(f) && read_limits(f) && read_link(pid, "root", f->root) && read_link(pid, "cwd", f->cwd) && read_fds(f)) {
		f->dumpable = is_dumpable(f);
		return true;
	}
	*why = errno == ENOENT || errno == ESRCH ? "it is gone" : "it may not be looked at from here (root with CAP_SYS_PTRACE may)";
	return false;
}

/* ---- the table ---- */

const struct process_row process_rows[] = {
#define PROCESS(name, user, group, capabilities, filters, threads, root, cwd, descriptors) \
	{(name), (user), (group), (capabilities), (filters), (threads), (root), (cwd), (descriptors)},
#include "processes.def"
#undef PROCESS
};
const size_t process_row_count = ARRAY_LEN(process_rows);

const struct process_row *process_row_find(const char *name)
{
	for (size_t i = 0; i < process_row_count; i++)
		if (strcspn(process_rows[i].name, "@") == strlen(name) && strncmp(process_rows[i].name, name, strlen(name)) == 0)
			return &process_rows[i];
	return NULL;
}

/* ---- differences ---- */

struct differences {
	struct buf *out;
	size_t count;
};

__attribute__((format(printf, 3, 4))) static void differ(struct differences *d, const char *why, const char *format, ...)
{
	char what[PROCESS_PATH_MAX + 100];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	buf_addf(d->out, "%s%s: %s", d->count++ > 0 ? "; " : "", what, why);
}

static const struct {
	const char *name;
	unsigned bit;
} capability_names[] = {{"setuid", 7}, {"setgid", 6}, {"net_bind_service", 10}, {"sys_chroot", 18}};

static uint64_t capabilities_of(const char *text)
{
	struct slice rest = slice_of(text), word;
	uint64_t mask = 0;

	while (slice_cut(&rest, ',', &word))
		for (size_t i = 0; i < ARRAY_LEN(capability_names); i++)
			if (slice_eq(word, slice_of(capability_names[i].name)))
				mask |= 1ull << capability_names[i].bit;
	return mask;
}

static void compare_user(const struct process_wish *w, const struct process_facts *f, struct differences *d)
{
	bool groups = f->group_count == w->group_count;

	for (size_t i = 0; i < 4; i++) {
		if (f->uids[i] != w->uid) {
			differ(d, "it is another user than its own", "uid %llu, not %u", (unsigned long long)f->uids[i], (unsigned)w->uid);
			break;
		}
		if (f->gids[i] != w->gid) {
			differ(d, "it may open what that group may", "gid %llu, not %u", (unsigned long long)f->gids[i], (unsigned)w->gid);
			break;
		}
	}
	for (size_t i = 0; groups && i < f->group_count; i++) {
		bool wanted = false;

		for (size_t k = 0; k < w->group_count; k++)
			wanted = wanted || w->groups[k] == f->groups[i];
		groups = wanted;
	}
	if (!groups && !w->as_user)
		differ(d, "it may open what its groups may", "supplementary groups that are not its own (%zu, not %zu)", f->group_count,
		       w->group_count);
}

static void compare_rights(const struct process_wish *w, const struct process_facts *f, struct differences *d)
{
	uint64_t may = w->as_user ? 0 : capabilities_of(w->row->capabilities);

	if ((f->effective & ~may) != 0 || (f->permitted & ~may) != 0 || f->inheritable != 0 || f->ambient != 0)
		differ(d, "it may do what only root should", "capabilities %llx, not %llx", (unsigned long long)(f->permitted | f->effective),
		       (unsigned long long)may);
	if (f->no_new_privs != 1)
		differ(d, "a set-id program would give it rights", "no_new_privs is off");
	if (f->filters != w->row->filters || f->seccomp != (w->row->filters > 0 ? 2u : 0u))
		differ(d, "who takes it over may make calls that it was never meant to make", "%llu system call filters, not %u",
		       (unsigned long long)f->filters, w->row->filters);
	if (f->threads != w->row->threads)
		differ(d, "it does more at once than it was written to", "%llu threads, not %u", (unsigned long long)f->threads, w->row->threads);
	if (f->dumpable)
		differ(d, "others of its user may read its memory", "dumpable");
	if (f->core_dumps && w->row->filters > 0)
		differ(d, "a crash would leave its memory on the disk", "core dumps are allowed");
}

static void compare_places(const struct process_wish *w, const struct process_facts *f, struct differences *d)
{
	if (w->root != NULL && strcmp(w->root, f->root) != 0)
		differ(d, "files of the host are in its reach", "root %.200s, not %.200s", f->root, w->root);
	if (w->cwd != NULL && strcmp(w->cwd, f->cwd) != 0)
		differ(d, "it can open what lies there", "working directory %.200s, not %.200s", f->cwd, w->cwd);
}

/* "name=count" of the row; false: it may have none. */
static bool wanted_fds(const char *descriptors, const char *kind, struct slice *count)
{
	struct slice rest = slice_of(descriptors), word, name;

	while (slice_word(&rest, &word))
		if (slice_cut(&word, '=', &name) && slice_eq(name, slice_of(kind))) {
			*count = word;
			return true;
		}
	return false;
}

static bool is_count(struct slice wanted, size_t has)
{
	uint64_t number;

	if (slice_eq(wanted, slice_of("*")))
		return true;
	return slice_eq(wanted, slice_of("+")) ? has > 0 : slice_u64(wanted, SIZE_MAX, &number) && has == number;
}

static void compare_fds(const struct process_wish *w, const struct process_facts *f, struct differences *d)
{
	static const char why[] = "it holds what it was not given";

	for (size_t i = 0; i < FD_KINDS; i++) {
		struct slice count = slice_of("0");

		(void)wanted_fds(w->row->descriptors, kinds[i].name, &count);
		/* As many as there are keys and generations. */
		if (i == FD_MEMFD && !slice_eq(count, slice_of("0")))
			continue;
		if (!is_count(count, f->fds[i]))
			differ(d, why, "%zu of %s, not %.*s", f->fds[i], kinds[i].name, SLICE_ARG(count));
	}
	for (size_t i = 0; i < f->path_count && i < ARRAY_LEN(f->paths); i++)
		if (!w->may_hold(f->paths[i], w->arg))
			differ(d, why, "%.300s is open", f->paths[i]);
}

size_t process_compare(const struct process_wish *w, const struct process_facts *f, struct buf *out)
{
	struct differences d = {out, 0};

	compare_user(w, f, &d);
	compare_rights(w, f, &d);
	compare_places(w, f, &d);
	compare_fds(w, f, &d);
	return d.count;
}
