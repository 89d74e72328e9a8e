#ifndef POSTERN_QUEUE_TEST_PLAY_H
#define POSTERN_QUEUE_TEST_PLAY_H

#include "ipc/link.h"
#include "test.h"

/*
 * For the component test: the real postern-queue in a folder of its own, and everybody it talks to played by the test, one
 * blocking sentence at a time.
 */
enum part { PART_MASTER, PART_GATE, PART_SMTPD, PART_OTHER_SMTPD, PART_POLICYD, PART_AUTHD, PART_LOCAL, PART_RELAY, PART_COUNT };

struct play {
	char folder[64];
	int child;
	struct link_now parts[PART_COUNT];
	struct ipc_message heard; /* the last; borrowed texts */
};

struct play *play_new(void); /* folder made, nothing started */
void play_free(struct play *p);
/* Starts it, hands over `conf`, links all parts; returns once it is ready. */
void play_start(struct play *p, const char *conf);
void play_kill(struct play *p); /* kill -9, and waits */
void play_drain(struct play *p); /* orderly */
void play_turn_clock(struct play *p, uint64_t seconds);
/* Another process for a part whose link has ended. */
void play_link(struct play *p, enum part part);

void play_tell(struct play *p, enum part part, enum ipc_type type, const void *body);
void play_ask(struct play *p, enum part part, enum ipc_type type, uint64_t request, const void *body);
void play_answer(struct play *p, enum part part, enum ipc_type type, const void *body); /* to what was heard last */
/* The next message for that part; it must be of this type.  Ten seconds at most. */
struct ipc_message *play_hear(struct play *p, enum part part, enum ipc_type type);
/* The link ends. */
void play_hear_end(struct play *p, enum part part);

/* ---- whole sentences ---- */
void play_session(struct play *p, uint64_t session, enum part worker, const char *client);
/* Everything of a small draft but the commit's answer.  Recipients separated by spaces. */
void play_draft(struct play *p, uint64_t session, uint64_t draft, const char *sender, const char *rcpts, const char *body);
/* The same, of session 1; of `open` what it says of sender and notifications. */
struct draft_rcpt {
	const char *address, *orcpt;
	uint64_t notify;
};
void play_draft_of(struct play *p, uint64_t draft, const struct msg_DRAFT_OPEN *open, const struct draft_rcpt *rcpts, size_t count,
		   const char *body);
/* Answers a ROUTE_ASK for `recipient`: a target, or with an outcome that is not DONE a refusal. */
struct route_reply {
	const char *transport, *nexthop;
	uint64_t leaves, relay_domain, hold;
	enum outcome outcome;
	uint64_t directive;
	struct slice argument;
	uint64_t queue_only;
};
void play_route(struct play *p, const char *recipient, bool final, const struct route_reply *reply);
/* The answer alone, to what was heard last. */
void play_answer_route(struct play *p, const struct route_reply *reply, const char *targets);
/* The same, of what stands for several addresses: these, separated by spaces. */
void play_route_to(struct play *p, const char *recipient, bool final, const struct route_reply *reply, const char *targets);
/* COMMITTED as expected; the id. */
uint64_t play_committed(struct play *p, enum outcome outcome, uint64_t code);
/* The next job of an agent; its file's content from prepend to the end in `text` (NUL-terminated). */
struct job {
	uint64_t job, id, slots[64], notify[64], ret;
	size_t count;
	uint64_t directives[64];
	char arguments[64][128];
	char recipients[64][128], orcpt[64][512], envid[128];
	char sender[128], transport[64], nexthop[128];
	char text[65536];
};
void play_job(struct play *p, enum part agent, struct job *out);
void play_verdict(struct play *p, enum part agent, const struct job *job, size_t i, enum outcome outcome, const char *text);
/* Taken, and so handed over (enum job_handover). */
void play_taken(struct play *p, enum part agent, const struct job *job, size_t i, uint64_t handover);
void play_job_end(struct play *p, enum part agent, const struct job *job);
/* queue.list as text: "id state sender recipients tries last\n" each. */
void play_list(struct play *p, char *out, size_t size);
void play_wait_list(struct play *p, const char *needle); /* until it stands there; "" until the list is empty */
enum outcome play_control(struct play *p, const char *verb, const char *id);
/* Number of files in a folder of the spool ("new"). */
size_t play_files(const struct play *p, const char *folder);
void play_wait_files(const struct play *p, const char *folder, size_t count);

#endif
