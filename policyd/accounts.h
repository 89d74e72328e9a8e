#ifndef POSTERN_POLICYD_ACCOUNTS_H
#define POSTERN_POLICYD_ACCOUNTS_H

#include "rules/rules.h"
#include "service/service.h"

/*
 * Which system users there are, as authd says: yes is kept for a minute, no for ten seconds, "not known now" for one.  And which addresses
 * have sent, as the queue says: yes is kept for a minute, anything else for a second.
 *
 *   unknown --accounts_find--> asked --ACCOUNT--> known --time--> unknown
 *
 * Who needs an answer that is not there yet waits: `done` is called once, when the first name that was missing is known.
 */
struct accounts;

#define ACCOUNTS_MAX 16384u /* more than an alias has members */

struct accounts *accounts_new(struct service *s); /* exits 75 without memory */
struct accounts *accounts_new_senders(struct service *s);
size_t accounts_count(const struct accounts *a);

/* PENDING: it is asked for.  UNKNOWN: it could not say, or too many names at once. */
enum answer accounts_find(struct accounts *a, struct slice name);
/* Whose name it is, also of a user that mail is never delivered to. */
enum answer accounts_uid(struct accounts *a, struct slice name, uint64_t *uid_out);

typedef void accounts_done_fn(void *arg);
struct accounts_waiter;
/* Waits for a name that accounts_find said PENDING of.  NULL: no memory, or no such question. */
struct accounts_waiter *accounts_wait(struct accounts *a, struct slice name, accounts_done_fn *done, void *arg);
/* `done` will not be called. */
void accounts_forget(struct accounts_waiter **wp);

#endif
