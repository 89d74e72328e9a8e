#ifndef POSTERN_AUTHD_KEYD_SESSION_H
#define POSTERN_AUTHD_KEYD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The sessions the gate has attested: which worker each was given to, and how often a key was used for it.
 */
struct keyd_sessions;

#define KEYD_SESSIONS_MAX 1100000u
#define KEYD_SIGNATURES_MAX 2u /* a session does one handshake; the second is for one that was begun again */

struct keyd_sessions *keyd_sessions_new(void); /* exits 75 without memory */
void keyd_sessions_free(struct keyd_sessions **sp);

/* False: no memory, or too many.  A session that is known already keeps its count. */
bool keyd_sessions_open(struct keyd_sessions *s, uint64_t session, uint64_t worker);
void keyd_sessions_close(struct keyd_sessions *s, uint64_t session);
void keyd_sessions_forget_all(struct keyd_sessions *s);
uint64_t keyd_sessions_count(const struct keyd_sessions *s);

enum keyd_right {
	KEYD_RIGHT, /* and counted */
	KEYD_UNKNOWN, /* no such session: not attested yet, or over */
	KEYD_NOT_YOURS, /* another worker's: a lie */
	KEYD_SPENT, /* it has had its signatures */
};
enum keyd_right keyd_sessions_use(struct keyd_sessions *s, uint64_t session, uint64_t worker);

#endif
