#ifndef POSTERN_PROGRAM_H
#define POSTERN_PROGRAM_H

#include "base/outcome.h"
#include "base/slice.h"

#include <sys/types.h>

/*
 * Programs that mail is given to.  The runner is forked before its parent's cage, for that cage would be handed down to them: it holds the
 * right to change users, a filter that only denies, and one link.  It reads nothing but PROGRAM_WORKER, and forks a worker for each: that
 * becomes the user for good, and takes messages as a mailbox worker does (MAILBOX_DELIVER), one after the other.
 *
 *	message --fork--> program: its own session, its own limits, execve of words --exit, deadline, or the link closes--> all that it began is killed
 *
 * Always: no word is read by a shell; the environment has fixed names only, and nothing in it that a program could take for code; no word
 * made of an address begins with `-`; nothing that the program says is more than a text.
 */
struct program_order {
	int socket; /* to the parent */
	bool as_root; /* false: stays the caller */
	const char *host;
	pid_t parent;
};

/* The runner's whole life, in a cage already; closes all but 0-2 and the socket. */
_Noreturn void runner_run(const struct program_order *order);

#define PROGRAM_OUTPUT_MAX 4096u

/* ---- pure ---- */

/* A word of a transport's command with its names filled in: DONE; PROGRAM_FAILED: it would begin with `-`, or has no room; NO_MEMORY. */
struct program_facts {
	struct slice recipient, original, sender;
};
enum outcome program_word(struct slice text, const struct program_facts *facts, char *out, size_t size);
/* A value as the environment may have it: whatever a shell could take for a function, what is not printable ASCII or UTF-8, and what is longer than
 * 4 KiB is "INVALID". */
struct slice program_env_value(struct slice value);

#endif
