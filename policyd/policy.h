#ifndef POSTERN_POLICYD_POLICY_H
#define POSTERN_POLICYD_POLICY_H

#include "facts.h"
#include "owner.h"
#include "tags.h"

/*
 * The answer to one stage of a session: the stage's rules, and for a recipient also whether it exists (its route, tried dry) and
 * whether this client may send there.  Pure.
 *
 * Whoever is bound to his own addresses may say no other in MAIL and in the fields From and Sender (owner.h), whatever the rules said.
 *
 * Always: what is not known is TEMPORARY, and never lets a recipient pass; a recipient whose route leaves this host passes only with
 * an attested right, whatever the rules said.
 */
struct policy_request {
	enum conf_stage stage;
	struct facts facts;
	const struct tags *tags; /* of earlier stages */
	bool may_relay; /* attested: a login, a trusted client, a local user */
	bool is_bound; /* may use the addresses of `owner` only */
	struct owner owner;
	/* Of the header, at stage data of who is bound: the addresses of From (a LF between) and Sender; canonical, or local parts. */
	struct slice from, from_sender;
	bool from_unclear; /* one of the two is there twice, or is no list of addresses */
};

#define POLICY_EFFECTS_BYTES 16384u

struct policy_answer {
	bool pending; /* nothing below counts yet */
	enum outcome oc;
	uint16_t code;
	char dsn[16];
	char text[1025];
	char rule[513]; /* "file:line", or "" */
	char cause[513]; /* of a TEMPORARY answer, for the log */
	/* Of a recipient that is let in and has one target: where to; else "". */
	char transport[65], nexthop[513], mailbox[513];
	uint64_t delay_ms;
	bool close;
	struct buf effects; /* effect records; owned: policy_answer_free */
};

void policy_run(const struct conf *conf, const struct policy_request *request, const struct lookups *lookups,
		struct policy_answer *out);
void policy_answer_free(struct policy_answer *a);

/* Sets the tags among its effects. */
void policy_set_tags(const struct policy_answer *a, struct tags *tags);

#endif
