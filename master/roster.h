#ifndef POSTERN_MASTER_ROSTER_H
#define POSTERN_MASTER_ROSTER_H

#include "ipc/message.h"

/*
 * Who is started, and who may talk to whom: two tables, each on one screen.
 */
enum roster_root { ROOT_EMPTY, ROOT_SPOOL };

struct roster_row {
	enum role role;
	enum roster_root root; /* the folder it is chrooted into */
	/* At the end: 0 first; a turn begins when all of the one before are gone.  The gate and its workers go together: it waits
	 * for the sessions that they end. */
	unsigned drain_turn;
};

#define ROSTER_COUNT 12u
extern const struct roster_row roster[ROSTER_COUNT];
#define ROSTER_TURNS 5u
#define ROSTER_WORKERS_MAX 64u
/* The smtpd that forks a process for each connection: its instance number, by which it and the gate know what it is.  It is
 * linked with those two only that speak to it (smtpd/README.md). */
#define ROSTER_SMTPD_PARENT 1000u
/* Two instances of smtpd take turns in one place: N and N + ROSTER_TURN.  The second is started before the first retires. */
#define ROSTER_TURN 100u
uint64_t roster_place(uint64_t instance); /* the first of the two */
uint64_t roster_other(uint64_t instance);

/* NULL: not one that the master starts. */
const struct roster_row *roster_find(enum role role);

struct trust_pair {
	enum role a, b;
};
/* Every link there is between two of them; all are linked with the log besides. */
bool trust_has(enum role a, enum role b);
bool trust_has_instance(enum role a, uint64_t instance_a, enum role b, uint64_t instance_b);

/* Whose word counts when one accuses the other.  Who speaks with strangers is believed last: else, taken over, it could end the
 * queue again and again.  True: the accused is to end; false: the accuser, who has cut its own link. */
bool trust_believes(enum role accuser, enum role accused);

#endif
