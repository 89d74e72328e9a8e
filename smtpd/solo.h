#ifndef POSTERN_SMTPD_SOLO_H
#define POSTERN_SMTPD_SOLO_H

#include "os/cage.h"
#include "service/service.h"

/*
 * `isolation connection`: a warm parent that forks one process a session (README.md tells what the
 * gate says to it).
 *
 * Always: the parent reads no byte of a client.  A child holds its connection, its five private
 * links and the log's socket, and no other descriptor; it can fork no more; nothing it may say
 * concerns another session, for nobody hears another one on its links.  It ends with its session,
 * or with its link to the gate.
 */
#define SOLO_PARENT_FIRST 1000u
#define SOLO_PARENT_END 100000u

bool solo_is_parent(const struct service *s);
/* What the parent's cage allows more than a worker's. */
void solo_widen(struct cage_spec *cage);
bool solo_attach(struct service *s, struct link *link, struct ipc_message *m);
/* A parent has so many children at most, so that what one learnt of the memory they share (addresses, canaries) is of use against few.
 * Its successor is asked for before that. */
#define SOLO_FORKS_MAX 256u
#define SOLO_FORKS_ASK (SOLO_FORKS_MAX - 64u)
/* Reaps them.  `retire` is called when one was ended by a signal: it may have been a try, and the next finds another memory. */
typedef void solo_retire_fn(struct service *s, uint64_t crashes);
void solo_watch_children(struct service *s, solo_retire_fn *retire);
/* SESSION_START; returns only in the parent: how many there were. */
uint64_t solo_begin(struct service *s, struct link *link, struct ipc_message *m);
void solo_status(struct buf *out);

#endif
