#ifndef POSTERN_SMTPD_SESSION_FAKE_H
#define POSTERN_SMTPD_SESSION_FAKE_H

#include "sasl/sasl.h"
#include "session.h"

/*
 * For tests: a session, and all those it asks, in one piece.  Recipients: "unknown@..." 550,
 * "later@..." 451, "slow@..." a delay, any other known; senders the same.  The only login is alice
 * with "secret"; "away" finds authd away.  A message with a line "X-Away: queue" finds the queue
 * away, one with "X-Refuse: queue" is refused by it.
 */
struct fake {
	struct session session;
	struct conf conf;
	struct session_place place;
	struct sasl sasl; /* authd's side of the dialogue; owned */
	struct buf said; /* all replies; owned */
	struct buf stored; /* pieces of the message under way that were put away; owned */
	struct buf messages; /* all committed bodies, each ended by "\n--\n"; owned */
	unsigned policies, logins, commits, stores, pauses, handshakes;
	bool policy_away;
	bool closed;
};

enum fake_kind { FAKE_MX, FAKE_SUBMISSION, FAKE_SUBMISSIONS, FAKE_LOCAL };

/* With rules at each stage, if `rules`. */
void fake_init(struct fake *f, enum fake_kind kind, bool rules);
void fake_begin(struct fake *f);
void fake_clear(struct fake *f);
/* In pieces of `piece` bytes; 0: by lines.  False: the session was closed before all was taken. */
bool fake_feed(struct fake *f, struct slice in, size_t piece);
bool fake_send(struct fake *f, const char *text);
/* The last reply line said, without CRLF. */
struct slice fake_last(const struct fake *f);
/* Sends, and whether the last reply begins so. */
bool fake_expect(struct fake *f, const char *text, const char *reply);

#endif
