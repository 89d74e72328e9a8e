#ifndef POSTERN_HARNESS_HARNESS_H
#define POSTERN_HARNESS_HARNESS_H

#include "ipc/link.h"

/*
 * For tests: one real process of the suite, with the test as its master and as all its peers.
 *
 * It goes through the whole start (cage, generation, check, ready), so that what is tested is the program in its system call filter.
 * As root it gets a uid of its own and an empty root; else it runs as the caller.  Everything that fails here ends the test program.
 */
struct harness;

struct harness_path {
	const char *path; /* as the configuration names it */
	int fd; /* borrowed */
};

struct harness_spec {
	enum role role;
	const char *program;
	const char *conf;
	const struct harness_path *paths;
	size_t path_count;
	bool as_root; /* only when the caller is */
};

#define HARNESS_UID 65534u

/* NULL: it refused the first generation (`why_out`). */
struct harness *harness_start(const struct harness_spec *spec, char *why_out, size_t why_size);
/* The same for another instance than 0. */
struct harness *harness_start_as(const struct harness_spec *spec, uint64_t instance, char *why_out, size_t why_size);
/* Ends the process, and checks that no signal had killed it before. */
void harness_stop(struct harness **hp);
struct loop *harness_loop(struct harness *h);
/* The number of the generation told last. */
uint64_t harness_generation(const struct harness *h);

/* Another generation: checked, and taken when it agreed. */
bool harness_reload(struct harness *h, const char *conf, const struct harness_path *paths, size_t path_count, char *why_out,
		    size_t why_size);

/* The test's end of a link that the process believes to lead to that role's instance.  Messages other than answers go to `fn`
 * (may be NULL).  Owned by the harness. */
typedef void harness_message_fn(struct link *link, struct ipc_message *m, void *arg);
struct link *harness_peer(struct harness *h, enum role role, uint64_t instance, harness_message_fn *fn, void *arg);
/* The process ended that link. */
bool harness_is_broken(struct harness *h, const struct link *peer);
/* What the process told its master of a peer that broke rules; ROLE_COUNT: of none. */
enum role harness_accused(const struct harness *h);
void harness_detach(struct harness *h, struct link *peer);

/* Turns the loop until `*flag`, at most 10 s; false: it did not come. */
bool harness_until(struct harness *h, const bool *flag);
/* Lets everything that was said be heard (the process answers its master). */
void harness_settle(struct harness *h);
/* While it is stopped what is said waits in its sockets; it then hears them in the order in which they were first spoken to. */
void harness_freeze(struct harness *h, bool frozen);
/* Its clock goes on by that (where clocks can be turned, POSTERN_TEST_CLOCK). */
void harness_turn_clock(struct harness *h, uint64_t forward_ms);
/* The master's RETIRE: another has its place. */
void harness_retire(struct harness *h);
/* It has ended by itself. */
bool harness_is_gone(const struct harness *h);

#endif
