#ifndef POSTERN_TESTS_STRIKE_H
#define POSTERN_TESTS_STRIKE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * strike: breaks one system call of a running process, the n-th of those that were asked for.
 *
 *	strike.c         options, signals, what is told to whoever started it
 *	strike_calls.c   which call it is, and about which file
 */
enum deed { DEED_NOTHING, DEED_KILL, DEED_ERROR, DEED_SHORT };

struct wanted_call {
	long number;
	bool leases_only; /* fcntl: what else it does is none of a file's durability */
};

#define CALLS_MAX 48
/* What a call that fails may be about. */
enum about { ABOUT_FILES, ABOUT_OTHERS, ABOUT_ALL };
#define PATH_BYTES 256

struct order {
	pid_t pid;
	const char *birth; /* NULL; or the next child of pid that runs this program, "" for the next it forks */
	long thread; /* -1: any; else its place: 0 is the first */
	uint64_t at; /* 0: every one */
	enum deed deed;
	int error;
	enum about about;
	struct wanted_call calls[CALLS_MAX]; /* none: all */
	unsigned call_count;
};

/* A call as it begins. */
struct call {
	pid_t tid;
	long number;
	uint64_t args[6];
};

/* "fsync,close": false on a name that is none. */
bool calls_parse(const char *names, struct order *order);
/* "EIO", "kill", "short", "nothing"; "pretend": it is not done, and said to be. */
bool deed_parse(const char *name, struct order *order);
/* "files", "others", "all". */
bool about_parse(const char *name, struct order *order);
/* Errors and short counts are for files and folders unless the order says otherwise: a pipe or an eventfd never runs out of space. */
bool call_is_wanted(const struct order *order, const struct call *call);
const char *call_name(const struct call *call, char out[PATH_BYTES]);
/* The file its descriptor is of, or the name it is given; "" for neither. */
void call_path(const struct call *call, char out[PATH_BYTES]);
bool call_is_sync(const struct call *call);
bool call_is_write(const struct call *call);
/* What really happens to the descriptor of a close() that fails: it is closed. */
bool call_runs_all_the_same(const struct call *call);
/* It tells of no error: one that fails returns where the data ends now. */
bool call_is_brk(const struct call *call);

#endif
