#ifndef POSTERN_POLICYD_ROUTE_WALK_H
#define POSTERN_POLICYD_ROUTE_WALK_H

#include "mail/directive.h"
#include "route.h"

/* Between the files of the walk along the route rules: route.c walks, route_alias.c expands, route_verbs.c does the rest. */
#define ROUTE_NOBODY SIZE_MAX
#define ROUTE_ADDRESS_MAX 512u

/* One address on its way. */
struct item {
	char *address; /* owned */
	const struct rule *origin; /* the alias that made it; NULL: asked for, or the postmaster */
	size_t from; /* the rule to begin with */
	size_t parent; /* index, or ROUTE_NOBODY */
	unsigned depth;
	bool to_postmaster; /* came here by the setting, or through what did */
	bool held, queue_only;
	bool is_self; /* an alias led back to it: its own mailbox */
	bool is_root; /* a rule would have delivered to the system user root */
	char *owner; /* owned; of a list: who sends to its members; NULL: nobody of its own */
	struct slice sender; /* borrowed, of the question or of the list it is a member of */
	bool ours; /* named by our own tables: may be reached through us, wherever it is */
};

struct walk {
	const struct route_question *question;
	const struct conf *conf; /* the question's */
	const struct lookups *lookups;
	struct facts facts; /* with the item's address as the recipient */
	struct facts_view view; /* of them */
	bool final;
	size_t pending; /* items that something is missing of */
	bool bare; /* <postmaster>, without a domain, was asked for */
	struct item *items; /* owned */
	size_t count, cap;
	const struct rule **held_by; /* owned; rules `hold` that hold for the list that was asked about */
	size_t held_count, held_cap;
	struct map *seen; /* owned; (rule, address in lower case) -> its item's number and one; NULL: there is one item at most */
	size_t at; /* the item in hand; others are added behind it while it is */
	struct route_result *result;
};

/* How one rule leaves the item in hand. */
enum next { GO_ON, ENDED, IS_NO, IS_DEFERRED, IS_PENDING };

typedef enum next route_verb_fn(struct walk *w, const struct route_step *step);

/* route.c */
static inline struct slice walk_address(const struct walk *w)
{
	return slice_of(w->items[w->at].address);
}
enum next walk_defer(struct walk *w, const struct rule *rule, const char *cause);
enum next walk_refuse(struct walk *w, enum outcome oc, const struct rule *rule, struct slice text);
/* Tells whoever wants to see the steps; the item's number and address are filled in here. */
void walk_note(const struct walk *w, struct route_note note);
/* "alice" is alice of the same domain.  What begins like a program, a file or an include is no address, though RFC 5321 would
 * let it be one.  The result is canonical. */
bool walk_complete(struct slice text, struct slice domain, struct buf *out);
/* Too many for one answer: said to the client too. */
enum next walk_defer_width(struct walk *w, const struct rule *rule);
/* Another address to be asked about; the same one is not asked twice from the same rule.  False: too many, or no memory. */
bool walk_push(struct walk *w, struct slice address, struct item item);
/* The address in hand leads to it: as deep and as marked as that is. */
struct item walk_child(const struct walk *w, const struct rule *origin);
/* The same for what a rule made of the address in hand.  GO_ON; or deferred, for there are bounds. */
enum next walk_add(struct walk *w, const struct rule *rule, struct slice address, struct item item);
/* The address in hand is the list that was asked about, to be expanded (route_question.is_list). */
static inline bool walk_is_asked_list(const struct walk *w)
{
	return w->question->is_list && w->at == 0;
}
/* No more addresses are looked at than those that are there (route_question.enough). */
static inline bool walk_has_enough(const struct walk *w, size_t count)
{
	return w->question->enough > 0 && count >= w->question->enough;
}
bool walk_is_ancestor(const struct walk *w, struct slice address);

/* route_verbs.c */
extern route_verb_fn *const route_verbs[VERB_COUNT];
enum next route_add_target(struct walk *w, const struct rule *rule, struct slice nexthop);
enum next route_add_directive(struct walk *w, const struct rule *rule, struct slice nexthop, enum directive_kind directive,
			      struct slice argument);

/* route_alias.c */
enum next route_run_alias(struct walk *w, const struct route_step *step);

#endif
