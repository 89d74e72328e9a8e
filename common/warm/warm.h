#ifndef POSTERN_WARM_WARM_H
#define POSTERN_WARM_WARM_H

#include "ipc/link.h"
#include "os/cage.h"

/*
 * Children that do what blocks, for authd and lookup: hashing, asking the system for its users, PAM, LDAP.
 *
 *   owner --fork, before its cage--> parent --cage of its own, fork--> child, child, child
 *                                       ^------------ one ends, the next is forked
 *
 * The parent knows nothing: it was forked before its owner had a secret, and never reads.  Each child takes one question from the shared
 * socket, answers and ends, so that no question's secret is there at the next one.  A child that takes too long is killed by its own
 * alarm, and none but those with modules can fork; one that is still there four seconds later (whoever took it over has switched that off) ends the parent, with it all of
 * them, and so the owner, which is started anew.  One that crashes costs the question it had.  When the owner ends, they end.
 */
#define WARM_CHILDREN_MAX 64u

struct warm_spec {
	enum role owner;
	const char *name; /* what the children are, at most 15 bytes: seen by ps(1), and by `postern sandbox verify` */
	const struct cage_spec *cage;
	struct cage_order order; /* whose parent is filled in here */
	unsigned children; /* at most WARM_CHILDREN_MAX */
	unsigned seconds; /* for one question, of the clock and of the processor */
	void (*prepare)(void); /* in the parent, before its cage (one without a root of its own), as the user already; or NULL */
	bool (*caged)(void); /* in the parent, in its cage, with what its owner has open still there; false: it ends; or NULL */
	void (*begin)(void); /* in each child, before it reads its question; or NULL */
	/* One question: answers it by link_tell_now on `fd`; `m->fd`, where there is one, is its own. */
	void (*serve)(int fd, const struct ipc_message *m);
};

/* The owner's end of the socket; exits 75 when it cannot be had.  Each question must leave as a packet of its own (link_flush). */
int warm_start(const struct warm_spec *spec);

#endif
