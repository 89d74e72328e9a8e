#ifndef POSTERN_SMTPD_GATE_DOOR_H
#define POSTERN_SMTPD_GATE_DOOR_H

#include "conf/conf.h"
#include "event/loop.h"

#include <sys/socket.h>

/*
 * The listening sockets.  A door is known by its kind and name; which are open is decided by the configuration in force.
 *
 *   kept (given by the master, its generation not in force) --doors_follow--> open --drain or no longer named--> closed
 *
 * Always: at most DOOR_TURN connections are taken from a door in one turn of the loop; when descriptors run out, one client
 * is told so, and nothing is taken for a moment: the others wait in the kernel's queue.
 */
enum door_kind { DOOR_TCP, DOOR_CONTROL, DOOR_SUBMISSION, DOOR_KINDS };

#define DOOR_TURN 16
#define DOOR_REST_MS 250u
#define DOORS_MAX 256u

struct door_caller {
	enum door_kind kind;
	size_t listener; /* TCP: its number in the configuration in force */
	const char *name;
	struct sockaddr_storage from; /* TCP */
	uid_t uid; /* the others: SO_PEERCRED */
};

struct doors;

/* A connection was accepted; takes `fd`. */
typedef void door_accept_fn(const struct door_caller *caller, int fd, void *arg);
/* No descriptor is left for this one: say so and be quick; `fd` stays the door's. */
typedef void door_refuse_fn(const struct door_caller *caller, int fd, void *arg);
/* All that a turn brought has been accepted. */
typedef void door_turn_fn(void *arg);

struct door_config {
	door_accept_fn *on_accept;
	door_refuse_fn *on_refuse;
	door_turn_fn *on_turn;
	void *arg;
};

struct doors *doors_new(struct loop *loop, const struct door_config *config); /* exits 75 without memory */
void doors_free(struct doors **dp);

/* Takes `fd` in every case.  Takes the place of those with the same kind and name of earlier generations; of one generation there
 * may be several.  False: an unknown kind, or too many. */
bool doors_add(struct doors *d, uint64_t kind, struct slice name, uint64_t generation, int fd);
/* Opens what the configuration names, closes TCP doors that it does not and that are not of a later generation. */
void doors_follow(struct doors *d, const struct conf *conf, uint64_t generation);
/* A generation will never be in force: its doors go. */
void doors_drop(struct doors *d, uint64_t generation);
/* For good: all but the control socket. */
/* Held: who comes for mail waits in the listening socket's backlog, instead of hearing 421. */
void doors_hold_mail(struct doors *d, bool held);
void doors_close_for_mail(struct doors *d);
size_t doors_open_count(const struct doors *d);

#endif
