#ifndef POSTERN_SMTPD_GATE_WITNESS_H
#define POSTERN_SMTPD_GATE_WITNESS_H

#include "ipc/link.h"

/*
 * The four who must know a session before its worker does: queue, policyd, authd, keyd.
 * Links are borrowed until gate_witnesses_down.  One that does not read is given up: its link breaks, the master hears of it.
 */
#define GATE_WITNESSES 4u
#define GATE_LAG_BYTES (256u << 10) /* queue or policyd further behind than this: no new sessions */
#define GATE_LAG_DEAD_BYTES (8u << 20) /* any of the four further behind: it does not read */

struct gate_witnesses {
	struct link *link[GATE_WITNESSES]; /* NULL while away */
	bool seen[GATE_WITNESSES];
};

/* False: it is none of the four. */
bool gate_witnesses_up(struct gate_witnesses *w, struct link *link);
void gate_witnesses_down(struct gate_witnesses *w, const struct link *link);
bool gate_witnesses_all_seen(const struct gate_witnesses *w);
/* True while queue or policyd lags: without them nothing can be accepted. */
bool gate_witnesses_lag(struct gate_witnesses *w);

void gate_witness_tell_open(struct link *witness, const struct msg_SESSION_OPEN *open);
void gate_witnesses_tell_open(struct gate_witnesses *w, const struct msg_SESSION_OPEN *open);
void gate_witnesses_tell_closed(struct gate_witnesses *w, uint64_t session);
void gate_witnesses_flush(struct gate_witnesses *w);
/* A private link between each that is there and the smtpd of instance `worker`, whose ends go over `parent`. */
bool gate_witnesses_introduce(struct gate_witnesses *w, struct link *parent, uint64_t worker, uint64_t generation);

#endif
