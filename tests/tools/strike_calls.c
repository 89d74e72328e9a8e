#include "strike.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const struct {
	const char *name;
	int number;
} errors[] = {
	{"pretend", 0},
	{"ENOSPC", ENOSPC}, {"EIO", EIO},	{"EMFILE", EMFILE}, {"ENFILE", ENFILE}, {"ENOMEM", ENOMEM}, {"EINTR", EINTR},
	{"EAGAIN", EAGAIN}, {"EDQUOT", EDQUOT}, {"EROFS", EROFS},   {"EACCES", EACCES}, {"ESTALE", ESTALE},
};

bool deed_parse(const char *name, struct order *order)
{
	static const char *const names[] = {[DEED_NOTHING] = "nothing", [DEED_KILL] = "kill", [DEED_SHORT] = "short"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i] != NULL && strcmp(name, names[i]) == 0) {
			order->deed = (enum deed)i;
			return true;
		}
	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (strcmp(name, errors[i].name) == 0) {
			order->deed = DEED_ERROR;
			order->error = errors[i].number;
			return true;
		}
	return false;
}

bool about_parse(const char *name, struct order *order)
{
	static const char *const names[] = {[ABOUT_FILES] = "files", [ABOUT_OTHERS] = "others", [ABOUT_ALL] = "all"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0) {
			order->about = (enum about)i;
			return true;
		}
	return false;
}

static bool add_call(const char *name, struct order *order)
{
	struct wanted_call call = {seccomp_syscall_resolve_name(name), false};

	call.leases_only = call.number == SYS_fcntl;
	if (call.number == __NR_SCMP_ERROR || order->call_count == CALLS_MAX)
		return false;
	order->calls[order->call_count++] = call;
	return true;
}

bool calls_parse(const char *names, struct order *order)
{
	char *copy = strdup(names), *rest = copy, *name;
	bool ok = copy != NULL;

	while (ok && (name = strsep(&rest, ",")) != NULL)
		ok = add_call(name, order);
	free(copy);
	return ok;
}

/* ---- what a call is about ---- */

static bool has_path(long number)
{
	static const long numbers[] = {SYS_openat, SYS_openat2, SYS_unlinkat, SYS_renameat2, SYS_mkdirat, SYS_newfstatat};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] == number)
			return true;
	return false;
}

static bool has_bare_path(long number)
{
	return number == SYS_open || number == SYS_unlink || number == SYS_rename || number == SYS_mkdir || number == SYS_stat;
}

/* Of the others the first argument is no descriptor, whatever number it has. */
static bool has_descriptor(long number)
{
	static const long numbers[] = {SYS_mmap,  SYS_mremap, SYS_munmap, SYS_brk,	  SYS_socket,  SYS_socketpair,
				       SYS_pipe2, SYS_clone,  SYS_clone3, SYS_eventfd2, SYS_futex, SYS_memfd_create};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (numbers[i] == number)
			return false;
	return true;
}

/* In one page, so that nothing behind it is asked for. */
static void read_text(pid_t tid, uint64_t at, char out[PATH_BYTES])
{
	size_t room = 4096 - (size_t)(at % 4096);
	struct iovec local = {out, room < PATH_BYTES - 1 ? room : PATH_BYTES - 1};
	struct iovec remote = {(void *)(uintptr_t)at, local.iov_len};
	ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	out[got > 0 ? got : 0] = '\0';
}

static bool file_of(const struct call *call, struct stat *out)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)call->tid, (int)call->args[0]);
	return stat(path, out) == 0;
}

void call_path(const struct call *call, char out[PATH_BYTES])
{
	char path[64];
	ssize_t got;

	out[0] = '\0';
	if (has_path(call->number) || has_bare_path(call->number)) {
		read_text(call->tid, call->args[has_path(call->number)], out);
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)call->tid, (int)call->args[0]);
	got = has_descriptor(call->number) && call->args[0] < 65536 ? readlink(path, out, PATH_BYTES - 1) : -1;
	out[got > 0 ? got : 0] = '\0';
}

const char *call_name(const struct call *call, char out[PATH_BYTES])
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)call->number);

	(void)snprintf(out, PATH_BYTES, "%s", name == NULL ? "?" : name);
	free(name);
	return out;
}

static bool is_about_a_file(const struct call *call)
{
	struct stat st;

	if (has_path(call->number) || has_bare_path(call->number))
		return true;
	if (!has_descriptor(call->number))
		return false;
	return file_of(call, &st) && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* A counter in the kernel: it may be full, or the call interrupted, and that is all. */
static bool is_impossible(const struct order *order, const struct call *call)
{
	char path[PATH_BYTES];

	if (order->deed != DEED_ERROR || order->error == EINTR || order->error == EAGAIN)
		return false;
	if (call->number != SYS_write && call->number != SYS_read)
		return false;
	call_path(call, path);
	return strcmp(path, "anon_inode:[eventfd]") == 0 || strcmp(path, "anon_inode:[timerfd]") == 0;
}

bool call_is_wanted(const struct order *order, const struct call *call)
{
	bool listed = order->call_count == 0;

	for (unsigned i = 0; i < order->call_count && !listed; i++)
		listed = order->calls[i].number == call->number &&
			 (!order->calls[i].leases_only || call->args[1] == F_SETLEASE);
	if (!listed || is_impossible(order, call) || (order->deed == DEED_SHORT && !call_is_write(call)))
		return false;
	if (order->deed == DEED_KILL || order->deed == DEED_NOTHING || order->about == ABOUT_ALL)
		return true;
	return is_about_a_file(call) == (order->about == ABOUT_FILES);
}

bool call_is_sync(const struct call *call)
{
	return call->number == SYS_fsync || call->number == SYS_fdatasync;
}

bool call_is_write(const struct call *call)
{
	return call->number == SYS_write || call->number == SYS_pwrite64 || call->number == SYS_pwritev ||
	       call->number == SYS_writev;
}

bool call_runs_all_the_same(const struct call *call)
{
	return call->number == SYS_close;
}

bool call_is_brk(const struct call *call)
{
	return call->number == SYS_brk;
}
