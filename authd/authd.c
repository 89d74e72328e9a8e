#include "authd.h"

#include "authd_children.h"
#include "authd_dovecot.h"
#include "authd_crew.h"
#include "authd_pam.h"
#include "authd_password.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/user.h"
#include "sasl/sasl.h"
#include "warm/warm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#define VERIFIERS_MAX 4
#define VERIFY_SECONDS 10
#define FINDERS 4
#define FIND_SECONDS 10
#define PAM_SECONDS 10
#define PROCESSES_MAX 256 /* of our user, whose processes the kernel counts across suites */
#define PAM_MEMORY_MAX (256u << 20)

/* From prepare, where children are forked, to start. */
static int verifier_fd = -1, finder_fd = -1, pam_fd = -1;
static unsigned verifiers;

struct backends *authd_backends_of(const struct generation *g)
{
	return g->state;
}

/* ---- children ---- */

static const struct cage_spec verifier_cage = {
	.calls = CALLS_FORK,
	.chroot = true,
	.processes_max = PROCESSES_MAX,
};

/* Reads what the system's name service reads, and speaks to its daemons; nothing else of the host is in reach. */
static const struct cage_spec finder_cage = {
	.calls = CALLS_FORK | CALLS_FILES_READ | CALLS_DATAGRAM,
	.processes_max = PROCESSES_MAX,
};

static void start_verifiers(struct service *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct warm_spec spec = {.owner = ROLE_AUTHD, .name = "verifier", .cage = &verifier_cage, .seconds = VERIFY_SECONDS, .serve = verifier_serve};

	verifiers = cores < 1 ? 1 : cores > VERIFIERS_MAX ? VERIFIERS_MAX : (unsigned)cores;
	spec.children = verifiers;
	service_cage_order(s, &spec.order);
	verifier_fd = warm_start(&spec);
}

/* Where the system keeps its users, and the libraries that know of them.  The first becomes the working directory. */
static const char *const folders[] = {"/etc", "/usr", "/run", "/var", "/lib", "/lib64"};
#define FOLDERS_MAX ARRAY_LEN(folders)

static void open_folders(struct cage_order *order, struct cage_path paths[FOLDERS_MAX])
{
	for (size_t i = 0; i < FOLDERS_MAX; i++) {
		int fd = open(folders[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd != -1)
			paths[order->path_count++] = (struct cage_path){fd, false};
	}
	order->paths = paths;
	order->root_fd = order->path_count > 0 ? paths[0].fd : -1;
}

static void close_folders(const struct cage_order *order)
{
	for (size_t i = 0; i < order->path_count; i++)
		close(order->paths[i].fd);
}

static void start_finders(struct service *s)
{
	struct cage_path paths[FOLDERS_MAX];
	struct warm_spec spec = {.owner = ROLE_AUTHD, .name = "finder", .cage = &finder_cage,
				 .children = FINDERS,
				 .seconds = FIND_SECONDS,
				 .prepare = os_user_prepare,
				 .serve = system_users_serve};

	service_cage_order(s, &spec.order);
	open_folders(&spec.order, paths);
	finder_fd = warm_start(&spec);
	close_folders(&spec.order);
}

/* Modules read what they like of the host's files and speak to its daemons, as PAM is made; the network is in none's reach. */
static const struct cage_spec pam_cage = {
	.calls = CALLS_FORK | CALLS_FILES_READ | CALLS_DATAGRAM | CALLS_LOCKS | CALLS_MODULES,
	.processes_max = PROCESSES_MAX,
	.memory_max = PAM_MEMORY_MAX,
};

static int open_folder_of(const char *path)
{
	size_t slash = slice_rindex(slice_of(path), '/');
	char folder[1025];

	if (slash == SLICE_NONE || !slice_copy(slice_make(path, slash == 0 ? 1 : slash), folder, sizeof(folder)))
		return -1;
	return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Of authd's processes these alone have all the groups that the system lists our user in: by way of `shadow` pam_unix reads hashes. */
static void take_all_groups(struct cage_order *order)
{
	const struct passwd *pw = order->as_root ? getpwuid(order->uid) : NULL;
	gid_t groups[ARRAY_LEN(order->groups)];
	int count = ARRAY_LEN(groups);

	if (pw == NULL || getgrouplist(pw->pw_name, order->gid, groups, &count) == -1)
		return;
	order->group_count = (size_t)count;
	memcpy(order->groups, groups, (size_t)count * sizeof(groups[0]));
}

static void start_pam(struct service *s)
{
	struct warm_spec spec = {.owner = ROLE_AUTHD, .name = "pam", .cage = &pam_cage,
				 .children = PAM_CHILDREN,
				 .seconds = PAM_SECONDS,
				 .prepare = pam_child_prepare,
				 .begin = pam_child_begin,
				 .serve = pam_child_serve};
	static char service[1025];
	struct cage_path paths[FOLDERS_MAX + 1];

	if (!service_cage_text(s, CONF_CAGE_PAM, service, sizeof(service)))
		return;
	service_cage_order(s, &spec.order);
	take_all_groups(&spec.order);
	open_folders(&spec.order, paths);
	paths[spec.order.path_count] = (struct cage_path){open_folder_of(service), false};
	spec.order.path_count += paths[spec.order.path_count].fd != -1;
	pam_child_service(service);
	pam_fd = warm_start(&spec);
	close_folders(&spec.order);
}

static void on_prepare(struct service *s)
{
	start_verifiers(s);
	start_finders(s);
	start_pam(s);
	sasl_start();
}

static void on_child_message(struct link *link, struct ipc_message *m, void *arg)
{
	(void)m;
	(void)arg;
	link_break(link, "a child only answers");
}

/* They cannot be forked again from inside the cage: the master starts all of us anew. */
static void on_children_gone(struct link *link, const char *broke_rules, void *arg)
{
	struct authd *a = arg;

	(void)link;
	LOG(LEVEL_ERROR, "children-gone", KV_STR("why", broke_rules == NULL ? "they ended" : broke_rules));
	service_stop(a->service);
}

struct link *authd_child_link(struct authd *a, int fd)
{
	const struct link_config config = {ROLE_AUTHD, ROLE_VERIFIER, 0, on_child_message, on_children_gone, a};
	struct link *link = link_new(service_loop(a->service), fd, &config);

	if (link == NULL)
		log_fatal("link to children", ENOMEM);
	return link;
}

/* ---- sessions ---- */

static void on_session_open(struct service *s, struct link *link, struct ipc_message *m)
{
	attested_open(((struct authd *)service_state(s))->sessions, link, m);
}

static void on_session_close(struct service *s, struct link *link, struct ipc_message *m)
{
	(void)link;
	attested_close(((struct authd *)service_state(s))->sessions, m);
}

/* ---- generations ---- */

struct paths {
	struct service *service;
	uint64_t generation;
};

static int path_fd(void *arg, const char *path)
{
	const struct paths *paths = arg;

	return service_path_fd(paths->service, paths->generation, slice_of(path));
}

static bool on_generation_ready(struct service *s, struct generation *g, char *why, size_t why_size)
{
	struct paths paths = {s, g->number};
	struct buf sentence = buf_make(why_size);
	struct backends *backends;
	bool good = backends_new(g->conf, path_fd, &paths, &backends, &sentence);

	if (!good)
		snprintf(why, why_size, "%s", buf_text(&sentence));
	g->state = backends;
	buf_free(&sentence);
	return good;
}

static void on_generation_free(struct service *s, struct generation *g)
{
	struct backends *backends = g->state;

	dovecots_drop(service_state(s), g);
	backends_free(&backends);
	g->state = NULL;
}

/* ---- the service ---- */

static void on_start(struct service *s)
{
	struct authd *a = mem_new(1, sizeof(*a));

	if (a == NULL)
		log_fatal("authd", ENOMEM);
	a->service = s;
	a->sessions = attested_new(s, sizeof(struct login_session));
	attested_on_end(a->sessions, logins_session_ends);
	a->logins = logins_new(a);
	a->hashes = hashes_new(a, verifier_fd, verifiers);
	a->grants = grants_new();
	a->names = names_new(a, finder_fd);
	a->pam = pam_crew(a);
	a->directory = directory_crew(a);
	if (pam_fd != -1)
		a->pam_children = authd_child_link(a, pam_fd);
	service_set_state(s, a);
}

static void on_link_up(struct service *s, struct link *link)
{
	if (link_peer(link) == ROLE_GATE)
		attested_gate_up(((struct authd *)service_state(s))->sessions);
}

static void on_link_down(struct service *s, struct link *link)
{
	struct authd *a = service_state(s);

	logins_link_down(a->logins, link);
	names_link_down(a->names, link);
	if (link_peer(link) == ROLE_GATE)
		attested_gate_down(a->sessions);
	if (link_peer(link) == ROLE_QUEUE)
		grants_queue_down(a->grants);
}

static void on_status(struct service *s, struct buf *out)
{
	struct authd *a = service_state(s);

	service_status_number(out, "sessions", attested_count(a->sessions));
	service_status_number(out, "grants", grants_count(a->grants));
	logins_status(a->logins, out);
	hashes_status(a->hashes, out);
	if (a->pam_children != NULL)
		crew_status(a->pam, out);
	dovecots_status(a, out);
	if (service_conf(s)->auth.ldap != NULL)
		crew_status(a->directory, out);
}

static service_message_fn *const handlers[IPC_COUNT] = {
	[IPC_SESSION_OPEN] = on_session_open, [IPC_SESSION_CLOSE] = on_session_close, [IPC_AUTH_START] = on_auth_start,
	[IPC_AUTH_NEXT] = on_auth_next,	      [IPC_AUTH_CANCEL] = on_auth_cancel,     [IPC_JOB_GRANT] = on_job_grant,
	[IPC_JOB_REVOKE] = on_job_revoke,     [IPC_CREDENTIAL_ASK] = on_credential_ask, [IPC_TABLE_LOGIN_ASK] = on_table_login_ask, [IPC_ACCOUNT_ASK] = on_account_ask,
};

static const struct cage_spec cage = {
	.calls = CALLS_FILES_READ | CALLS_LOCKS,
	.chroot = true,
	.takes_fds = true, /* from the master: files of a new generation */
	.files_max = 65536, /* a link for each session with a process of its own */
};

static const struct service_spec spec = {
	.role = ROLE_AUTHD,
	.cage = &cage,
	.text = &service_text,
	.prepare = on_prepare,
	.start = on_start,
	.handlers = handlers,
	.generation_ready = on_generation_ready,
	.generation_free = on_generation_free,
	.link_up = on_link_up,
	.link_down = on_link_down,
	.status = on_status,
};

int main(int argc, char **argv)
{
	return service_run(&spec, argc, argv);
}
