#ifndef POSTERN_AUTHD_KEYD_GENERATION_H
#define POSTERN_AUTHD_KEYD_GENERATION_H

#include "keyd_certificate.h"

#include "service/service.h"

/*
 * The keys of a generation, by the numbers of their certificates in the configuration.
 *
 * Whether certificate and key may take the place of those in force (for the same host) is decided here, and nowhere else:
 * readable, of each other, not out of date where the one in force is good, and for the names it must be for.  With nothing in
 * force (a start) dates and names are only complained of: mail with a poor certificate is better than no mail.
 */
bool keyd_generation_ready(struct service *s, struct generation *g, char *why, size_t why_size);
void keyd_generation_free(struct service *s, struct generation *g);
/* Which certificates are not those in force: "certificate of HOST until DATE (FILE)". */
void keyd_generation_note(struct service *s, const struct generation *g, struct buf *out);
/* In force now: logs the certificates that are new, and whatever ends soon. */
void keyd_generation_switched(struct service *s);
/* Logs what ends soon or has ended. */
void keyd_generation_look(struct service *s);

/* keyd_kind_fn; `generation` is a struct generation, `arg` unused. */
const struct keyd_kind *keyd_generation_kind(void *generation, uint64_t listener, uint64_t number, void *arg);
struct keyd_key *keyd_generation_key(const struct generation *g, uint64_t number); /* NULL: none */

/* "good", "ends-soon", "out-of-date" by the worst of them; "none". */
const char *keyd_generation_state(const struct generation *g);

#endif
