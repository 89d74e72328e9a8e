#include "command.h"

#include "base/mem.h"
#include "configured.h"
#include "ipc/message.h"
#include "process_facts.h"

#include <dirent.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * `postern sandbox verify`: which processes there are says the master (`status`), who their children are and what each is says the
 * kernel (/proc), what each should be says the table (tests/processes.table, compiled in).
 */
#define PROCESSES_MAX 4096u
#define STATUS_SECONDS 30u
#define REPORT_MAX (64u << 10)

struct one {
	pid_t pid;
	enum role role;
	bool is_child; /* of a process of that role */
	char missing[256]; /* extras, as the process said */
};

struct verification {
	const struct cli *cli;
	struct conf *conf; /* owned */
	struct one *all; /* owned */
	size_t count, deviating;
	uid_t master_uid;
	struct buf rows;
	const struct one *now; /* the one that is looked at */
};

/* ---- which there are ---- */

static struct one *add(struct verification *v, pid_t pid, enum role role, bool is_child)
{
	struct one *o = v->count < PROCESSES_MAX ? &v->all[v->count] : NULL;

	if (o == NULL)
		return NULL;
	*o = (struct one){.pid = pid, .role = role, .is_child = is_child};
	v->count++;
	return o;
}

static enum role role_of(struct slice name)
{
	for (unsigned r = 0; r < ROLE_COUNT; r++)
		if (slice_eq(name, slice_of(role_name((enum role)r))))
			return (enum role)r;
	return ROLE_COUNT;
}

static void take_row(struct verification *v, struct slice fields)
{
	struct slice role = slice_empty(), missing = slice_empty();
	struct rec_control_field field;
	uint64_t pid = 0;
	struct one *o;

	while (rec_control_field_next(&fields, &field)) {
		if (slice_eq(field.key, slice_of("role")))
			role = field.value;
		else if (slice_eq(field.key, slice_of("missing")))
			missing = field.value;
		else if (slice_eq(field.key, slice_of("pid")))
			(void)slice_u64(field.value, INT32_MAX, &pid);
	}
	o = pid > 0 && role_of(role) != ROLE_COUNT ? add(v, (pid_t)pid, role_of(role), false) : NULL;
	if (o != NULL)
		(void)slice_copy(missing, o->missing, sizeof(o->missing));
}

/* What the master says.  Not CLI_OK: it was said why not. */
static int ask_master(struct verification *v)
{
	const struct msg_CONTROL_ANSWER *answer;
	char path[CLI_PATH_MAX];
	struct rec_control_row row;
	struct control c = {.fd = -1};
	struct slice rows;
	int exit = CLI_OK;

	if (!runtime_socket(&v->cli->where, "control", path) || !control_open(&c, path))
		return complain(c.exit == CLI_OK ? CLI_USAGE : c.exit, "sandbox verify", c.why);
	answer = control_ask(&c, "status", slice_empty(), slice_empty(), STATUS_SECONDS);
	if (answer == NULL) {
		exit = complain(c.exit, "sandbox verify", c.why);
	} else {
		rows = answer->control_row_records;
		while (rec_control_row_next(&rows, &row))
			take_row(v, row.control_field_records);
	}
	control_close(&c);
	return exit;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[512], *end;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	/* "pid (name, which may hold anything) state parent" */
	end = strrchr(text, ')');
	return end == NULL || strlen(end) < 5 ? 0 : (pid_t)strtol(end + 4, NULL, 10);
}

static const struct one *find(const struct verification *v, pid_t pid)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->all[i].pid == pid)
			return &v->all[i];
	return NULL;
}

/* All that have one of ours as their parent, and were not known; how many. */
static size_t add_children(struct verification *v)
{
	DIR *dir = opendir("/proc"); /* which is O_CLOEXEC */
	const struct dirent *entry;
	size_t before = v->count;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		const struct one *parent;
		uint64_t pid;

		if (!slice_u64(slice_of(entry->d_name), INT32_MAX, &pid) || find(v, (pid_t)pid) != NULL)
			continue;
		parent = find(v, parent_of((pid_t)pid));
		if (parent != NULL && parent->role != ROLE_MASTER)
			(void)add(v, (pid_t)pid, parent->role, true);
	}
	if (dir != NULL)
		closedir(dir);
	return v->count - before;
}

static int find_processes(struct verification *v)
{
	struct process_facts *facts = mem_new(1, sizeof(*facts));
	const char *why;
	int exit = facts == NULL ? complain(CLI_TEMPORARY, "sandbox verify", "out of memory") : ask_master(v);
	pid_t master = 0;

	/* It says its own line, too. */
	for (size_t i = 0; i < v->count; i++)
		if (v->all[i].role == ROLE_MASTER)
			master = v->all[i].pid;
	if (exit == CLI_OK && master == 0)
		exit = complain(CLI_TEMPORARY, "sandbox verify", "the master's processes are not to be seen from here");
	if (exit == CLI_OK && process_read(master, facts, &why)) {
		v->master_uid = (uid_t)facts->uids[0];
	} else if (exit == CLI_OK) {
		exit = complain(CLI_NO_PERMISSION, "sandbox verify: the master", why);
	}
	while (exit == CLI_OK && add_children(v) > 0)
		continue;
	free(facts);
	return exit;
}

/* ---- what each should be ---- */

static void name_of(const struct one *o, const struct process_facts *f, char out[64])
{
	bool is_mailbox = o->role == ROLE_LOCAL && strncmp(f->name, "program", 7) != 0; /* program, programs */
	const char *kind = o->role == ROLE_SMTPD ? "session" : is_mailbox ? "mailbox" : f->name;

	snprintf(out, 64, o->is_child ? "%s.%s" : "%s", role_name(o->role), kind);
}

/* As the master looks users up: the table says postern-x, the configuration how they begin. */
static const struct passwd *user_of(const struct verification *v, const char *user)
{
	const char *rest = strchr(user, '-');
	const struct passwd *pw;
	char name[256];

	if (rest == NULL)
		return getpwnam(user);
	snprintf(name, sizeof(name), "%.200s%s", v->conf->set.user_prefix, rest);
	pw = getpwnam(name);
	return pw != NULL ? pw : getpwnam(v->conf->set.user_prefix);
}

static void wish_groups(const struct verification *v, const struct passwd *pw, struct process_wish *w)
{
	const struct group *shared = strcmp(w->row->group, "postern") == 0 ? getgrnam(v->conf->set.user_prefix) : NULL;
	int count = PROCESS_GROUPS_MAX;

	if (strcmp(w->row->group, "all") == 0 && getgrouplist(pw->pw_name, pw->pw_gid, w->groups, &count) != -1) {
		w->group_count = (size_t)count;
	} else if (strcmp(w->row->group, "-") != 0) {
		w->groups[0] = shared != NULL ? shared->gr_gid : pw->pw_gid;
		w->group_count = 1;
	}
}

/* Folders are those of the master's own names, without what is at the end of "/var/mail/." and links on the way. */
static const char *real(const char *path, char out[PROCESS_PATH_MAX])
{
	char *found = realpath(path, NULL);

	snprintf(out, PROCESS_PATH_MAX, "%s", found != NULL ? found : path);
	free(found);
	return out;
}

static const char *place(const struct verification *v, const char *of, char out[PROCESS_PATH_MAX])
{
	char path[PROCESS_PATH_MAX];

	if (of[0] == '/')
		return of;
	if (strcmp(of, "spool") == 0)
		return real(v->conf->set.spool, out);
	if (strcmp(of, "run/empty") != 0)
		return NULL;
	snprintf(path, sizeof(path), "%.480s/empty", v->conf->set.runtime);
	return real(path, out);
}

struct search {
	const struct verification *v;
	const char *held;
	bool found;
};

static bool is_beneath(const char *held, const char *path)
{
	size_t len = strlen(path);

	return strncmp(held, path, len) == 0 && (held[len] == '\0' || held[len] == '/' || path[len - 1] == '/');
}

static void on_path(const struct conf_path *p, void *arg)
{
	struct search *s = arg;
	char at[PROCESS_PATH_MAX], folder[PROCESS_PATH_MAX];
	const char *path = p->path, *slash = strrchr(path, '/');

	/* The master holds what it hands on. */
	if ((p->roles >> s->v->now->role & 1) == 0 && s->v->now->role != ROLE_MASTER)
		return;
	if (p->kind == PATH_FOLDER_OF && slash != NULL) {
		snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
		s->found = s->found || is_beneath(s->held, real(folder, at));
	} else {
		s->found = s->found || strcmp(s->held, real(path, at)) == 0;
	}
}

/* The master holds the programs it starts: those that the table names. */
static bool is_program(const char *held)
{
	const struct process_row *row = process_row_find("master");
	const char *slash = strrchr(held, '/');
	char word[300];

	snprintf(word, sizeof(word), "file:%.200s=", slash == NULL ? held : slash + 1);
	return row != NULL && strstr(row->descriptors, word) != NULL;
}

/* What the configuration names for that role, and the folders that every suite has. */
static bool may_hold(const char *path, void *arg)
{
	const struct verification *v = arg;
	char held[PROCESS_PATH_MAX], at[PROCESS_PATH_MAX];
	size_t len = strlen(path), cut = sizeof(" (deleted)") - 1;
	struct search s = {v, held, false};

	snprintf(held, sizeof(held), "%.*s", (int)(len > cut && strcmp(path + len - cut, " (deleted)") == 0 ? len - cut : len), path);
	conf_each_path(v->conf, on_path, &s);
	if (v->conf->set.log[0] == '/' && (v->now->role == ROLE_LOG || v->now->role == ROLE_MASTER))
		on_path(&(struct conf_path){UINT32_MAX, CONF_EACH_INSTANCE, PATH_FOLDER_OF, v->conf->set.log}, &s);
	if (v->now->role == ROLE_QUEUE || v->now->role == ROLE_MASTER)
		s.found = s.found || is_beneath(held, real(v->conf->set.spool, at));
	if (v->now->role == ROLE_MASTER)
		s.found = s.found || is_program(held) || is_beneath(held, real(v->conf->set.runtime, at));
	/* The queue and its messages, which an agent has while it delivers. */
	if (v->now->role == ROLE_RELAY || v->now->role == ROLE_LOCAL)
		s.found = s.found || is_beneath(held, real(v->conf->set.spool, at));
	return s.found || strcmp(held, place(v, "run/empty", at)) == 0;
}

static bool make_wish(struct verification *v, const struct process_row *row, struct process_wish *w, char root[PROCESS_PATH_MAX],
		      char cwd[PROCESS_PATH_MAX])
{
	const struct passwd *pw = v->master_uid == 0 ? user_of(v, row->user) : getpwuid(v->master_uid);

	if (pw == NULL)
		return false;
	*w = (struct process_wish){.row = row,
				   .uid = pw->pw_uid,
				   .gid = pw->pw_gid,
				   .as_user = v->master_uid != 0,
				   .root = v->master_uid == 0 ? place(v, row->root, root) : "/",
				   .cwd = place(v, row->cwd, cwd),
				   .may_hold = may_hold,
				   .arg = v};
	wish_groups(v, pw, w);
	return true;
}

/* A mailbox worker is the owner of its mailbox: whoever that is, neither root nor one of the other processes. */
static void adopt_owner(const struct one *o, const struct process_facts *f, struct process_wish *w)
{
	if (o->role != ROLE_LOCAL || !o->is_child || strcmp(f->name, "programs") == 0 || f->uids[0] == 0 || f->gids[0] == 0)
		return;
	w->uid = (uid_t)f->uids[0];
	w->gid = (gid_t)f->gids[0];
	w->group_count = f->group_count;
	memcpy(w->groups, f->groups, sizeof(w->groups));
}

/* ---- the report ---- */

static bool add_row(struct verification *v, const char *name, const char *verdict, struct slice deviates)
{
	struct buf fields = buf_make(REPORT_MAX);
	struct rec_control_row row;
	char pid[16];
	bool added;

	snprintf(pid, sizeof(pid), "%d", (int)v->now->pid);
	added = rec_control_field_add(&fields, &(struct rec_control_field){slice_of("process"), slice_of(name)}) &&
		rec_control_field_add(&fields, &(struct rec_control_field){slice_of("pid"), slice_of(pid)}) &&
		rec_control_field_add(&fields, &(struct rec_control_field){slice_of("verdict"), slice_of(verdict)}) &&
		rec_control_field_add(&fields, &(struct rec_control_field){slice_of("missing"), slice_of(v->now->missing)}) &&
		rec_control_field_add(&fields, &(struct rec_control_field){slice_of("deviates"), slice_sub(deviates, 0, 8000)});
	row.control_field_records = buf_slice(&fields);
	added = added && rec_control_row_add(&v->rows, &row);
	buf_free(&fields);
	return added;
}

static bool report(struct verification *v, const char *name, struct slice deviates)
{
	v->deviating += deviates.len > 0;
	return add_row(v, name, deviates.len > 0 ? "WEAKER" : "ok", deviates);
}

static bool verify_one(struct verification *v, struct process_facts *f)
{
	char name[64] = "", root[PROCESS_PATH_MAX], cwd[PROCESS_PATH_MAX];
	struct buf deviates = buf_make(REPORT_MAX);
	const struct process_row *row;
	struct process_wish wish;
	const char *why = "";
	bool reported = true;

	if (!process_read(v->now->pid, f, &why)) {
		/* Children come and go. */
		name_of(v->now, f, name);
		reported = v->now->is_child || report(v, name, slice_of(why));
		buf_free(&deviates);
		return reported;
	}
	name_of(v->now, f, name);
	row = process_row_find(name);
	if (row == NULL || !make_wish(v, row, &wish, root, cwd)) {
		buf_add_text(&deviates, row == NULL ? "there should be no such process: it is none of ours" : "its user is not there");
	} else {
		adopt_owner(v->now, f, &wish);
		(void)process_compare(&wish, f, &deviates);
	}
	reported = report(v, name, buf_slice(&deviates));
	buf_free(&deviates);
	return reported;
}

static int show(struct verification *v, const struct command *command)
{
	struct buf out = buf_make(8u << 20);
	struct rows rows = rows_begin(v->cli->json ? ROWS_JSON : command->style, &out);
	bool shown = rows_page(&rows, buf_slice(&v->rows)) && rows_end(&rows, "") && print_out(&out);

	buf_free(&out);
	if (!shown)
		return CLI_TEMPORARY;
	return v->deviating > 0 ? CLI_REFUSED : CLI_OK;
}

static int verify_all(struct verification *v, const struct command *command)
{
	struct process_facts *facts = mem_new(1, sizeof(*facts));
	bool done = facts != NULL;

	for (size_t i = 0; done && i < v->count; i++) {
		v->now = &v->all[i];
		done = verify_one(v, facts);
	}
	free(facts);
	return done ? show(v, command) : complain(CLI_TEMPORARY, "sandbox verify", "out of memory");
}

int run_sandbox_verify(const struct cli *cli, const struct command *command)
{
	struct verification v = {.cli = cli, .rows = buf_make(4u << 20)};
	int exit;

	if (geteuid() != 0)
		return complain(CLI_NO_PERMISSION, "sandbox verify", "only root may look at what each process is");
	v.all = mem_new(PROCESSES_MAX, sizeof(*v.all));
	v.conf = configured(cli, &exit);
	if (v.conf != NULL)
		exit = v.all == NULL ? complain(CLI_TEMPORARY, "sandbox verify", "out of memory") : find_processes(&v);
	if (exit == CLI_OK)
		exit = verify_all(&v, command);
	conf_free(&v.conf);
	free(v.all);
	buf_free(&v.rows);
	return exit;
}
