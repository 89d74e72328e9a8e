#ifndef POSTERN_AUTHD_KEYD_SESSION_H
#define POSTERN_AUTHD_KEYD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The sessions the gate has attested: which worker each was given to, at which listener and in which generation, and how often a
 * key was used for it.
 */
struct keyd_sessions;

#define KEYD_SESSIONS_MAX 1100000u
#define KEYD_SIGNATURES_MAX 2u /* a session does one handshake; the second is for one that was begun again */

struct keyd_session {
	uint64_t worker, listener;
	void *generation; /* a hold: its keys stay as long as a session that began with them; given back by `release` */
	unsigned signatures;
};
typedef void keyd_release_fn(void *generation, void *arg);

struct keyd_sessions *keyd_sessions_new(keyd_release_fn *release, void *arg); /* exits 75 without memory */
void keyd_sessions_free(struct keyd_sessions **sp);

enum keyd_opened {
	KEYD_OPENED, /* or known already: it keeps what it has */
	KEYD_NOT_KEPT, /* no memory, or too many */
	KEYD_GIVEN_TWICE, /* another worker has it: the gate broke the rules */
};
/* Takes the hold in every case. */
enum keyd_opened keyd_sessions_open(struct keyd_sessions *s, uint64_t number, const struct keyd_session *attested);
void keyd_sessions_close(struct keyd_sessions *s, uint64_t number);
void keyd_sessions_forget_all(struct keyd_sessions *s);
uint64_t keyd_sessions_count(const struct keyd_sessions *s);

enum keyd_right {
	KEYD_RIGHT, /* and counted */
	KEYD_UNKNOWN, /* no such session: not attested yet, or over */
	KEYD_NOT_YOURS, /* another worker's: a lie */
	KEYD_SPENT, /* it has had its signatures */
};
/* `*session_out` is borrowed, and NULL unless it is KEYD_RIGHT. */
enum keyd_right keyd_sessions_use(struct keyd_sessions *s, uint64_t number, uint64_t worker,
				  const struct keyd_session **session_out);

#endif
