#ifndef POSTERN_OS_CAGE_H
#define POSTERN_OS_CAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The cage: what a process gives up before it reads the first byte from a peer.
 *
 * Floor (without it the process does not start): own uid, gid and groups; empty chroot (where the role's spec has one); no
 * capabilities; no_new_privs; not dumpable; rlimits; seccomp allow-list that kills.
 * Extras by kernel (missing ones are named, in `missing`): landlock, mdwe, scopes, passrights.
 *
 * Without root (as_user) uid and chroot stay the caller's; all else is the same.
 * In either case root_fd becomes the working directory, and files may be opened beneath it: to read with CALLS_FILES_READ, to
 * write with CALLS_FILES.
 */
enum cage_syscalls {
	CALLS_BASE = 0, /* read write recv send on what is open, memory, time, epoll, exit: every role */
	CALLS_FILES = 1 << 0, /* open, create, rename, unlink, sync beneath what Landlock and permissions leave */
	CALLS_FILES_READ = 1 << 1, /* open for reading only */
	CALLS_SOCKETS = 1 << 2, /* socket, connect, bind, for AF_INET AF_INET6 AF_UNIX */
	CALLS_THREADS = 1 << 3, /* clone of threads, futex */
	CALLS_ACCEPT = 1 << 4, /* accept4, getpeername, SO_PEERCRED */
	CALLS_LEASE = 1 << 5, /* fcntl F_SETLEASE */
	CALLS_FORK = 1 << 6, /* fork without exec: warm parents, authd's children */
	CALLS_LOCKS = 1 << 7, /* fcntl and flock locks: SQLite */
	CALLS_DATAGRAM = 1 << 8, /* AF_UNIX datagram connect: /dev/log, journal */
	CALLS_BECOME = 1 << 9, /* keeps CAP_SETUID CAP_SETGID; its children become users (never below become_min), take cages of
				* their own and can be killed: the local agent's parent.  With CALLS_FORK.  No landlock here
				* but scopes, and no mdwe: both would be handed down. */
	CALLS_PROGRAMS = 1 << 11, /* with CALLS_BECOME: what is called here is allowed but for a list, for the filter is handed down to
				  * programs of users; never below become_min here either */
	CALLS_MODULES = 1 << 10, /* maps libraries (dlopen) from files; with CALLS_FILES_READ: PAM */
};

struct cage_spec {
	unsigned calls;
	bool chroot; /* into the folder the master gives: empty, or the role's own */
	bool takes_fds; /* SO_PASSRIGHTS stays on its links */
	uint64_t files_max; /* RLIMIT_NOFILE; 0: 1024 */
	uint64_t file_bytes_max; /* RLIMIT_FSIZE; 0: may write no file */
	uint64_t memory_max; /* RLIMIT_AS; 0: 1 GiB */
	uint64_t processes_max; /* RLIMIT_NPROC where CALLS_THREADS or CALLS_FORK; 0: none */
	uid_t become_min; /* CALLS_BECOME: the order's, where a service says it (it may be set by `prepare`) */
};

/* What Landlock still allows, beneath descriptors opened before. */
struct cage_path {
	int fd; /* borrowed */
	bool write;
};

struct cage_order {
	uid_t uid;
	gid_t gid;
	gid_t groups[4];
	size_t group_count;
	bool as_root; /* false: as_user */
	bool is_user; /* it has become the user already, by cage_become */
	int root_fd; /* the folder to chroot into; -1: none */
	const struct cage_path *paths;
	size_t path_count;
	const char *require; /* extras that are floor here: "landlock mdwe" */
	pid_t parent; /* dies with it: PDEATHSIG is set after the drop, then getppid compared; 0: no */
	unsigned kernel; /* 0: as it is; 61: behave as Debian 12's 6.1 does (tests) */
	uid_t become_min; /* CALLS_BECOME: no setresuid below it; 0 is 1, for root is never given */
};

/* The change of user alone, before the rest: for who has to load what the cage would not let it, and needs no right for that.  Not with
 * CALLS_BECOME, and not where there is a root to be changed into.  Sets `is_user`.  False with `why`: exit. */
bool cage_become(const struct cage_spec *spec, struct cage_order *order, char *why, size_t why_size);

#define CAGE_MISSING_BYTES 128
/* Enters it.  False with `why` (the process must exit 75); `missing` lists extras this kernel does not have, or "". */
bool cage_enter(const struct cage_spec *spec, const struct cage_order *order, char missing[CAGE_MISSING_BYTES], char *why,
		size_t why_size);

/* For a forked child: gives up the calls that `calls` does not name, for good.  Needs CALLS_FORK in the cage it was forked in.
 * False: exit. */
bool cage_narrow(unsigned calls);

#endif
