#ifndef POSTERN_FILTER_EXIM_RUN_H
#define POSTERN_FILTER_EXIM_RUN_H

#include "filter/exim.h"
#include "filter/gather.h"
#include "filter/view.h"
#include "rules/pattern.h"

/*
 * One run of an Exim filter; inside common/filter/exim_*.c only.  A function that returns bool gives false when the run is over: outcome
 * and reason are set then (filter/gather.h).
 */
struct exim_groups {
	struct buf text; /* owned: the whole match */
	size_t at[PATTERN_GROUPS_MAX], len[PATTERN_GROUPS_MAX]; /* in it; of a group that lies outside (look-behind): none */
};

struct exim_run {
	struct filter_gather gather;
	const struct filter_message *message;
	struct view *view; /* owned */
	struct slice local, domain; /* of the address that is delivered */
	int64_t counters[EXIM_COUNTERS];
	struct exim_groups *groups; /* of the last match; NULL: there was none */
	bool owns_groups;
	struct slice this_address; /* borrowed from the loop */
	bool delivered, finished;
	bool flat; /* see exim_expand_flat */
	uint32_t mails; /* made so far */
};

/* Adds what the text becomes.  `out` has a ceiling; beyond it the filter makes too much text. */
bool exim_expand(struct exim_run *run, const struct exim_text *text, struct buf *out);
/* The same; what is put in brings no line ends: they are blanks.  Those that the filter itself writes stay. */
bool exim_expand_flat(struct exim_run *run, const struct exim_text *text, struct buf *out);
static inline struct buf exim_room(const struct exim_run *run)
{
	return buf_make(run->gather.limits.text);
}
/* A piece of text at the end of `out`; a NUL becomes `?`. */
bool exim_put(struct exim_run *run, uint32_t line, struct buf *out, struct slice text);

/* The variable of that row, as it is now. */
bool exim_variable_put(struct exim_run *run, int row, uint32_t line, struct buf *out);
/* $reply_address: Reply-To, or From. */
bool exim_reply_address(struct exim_run *run, uint32_t line, struct buf *out);
/* All fields of that name, joined. */
bool exim_field_put(struct exim_run *run, struct slice name, enum exim_field_form form, uint32_t line, struct buf *out);

bool exim_test(struct exim_run *run, const struct exim_test *test, bool *holds_out);
/* "12", "-3", "10k", "2M"; blanks around it do not count. */
bool exim_number(struct slice text, int64_t *out);
/* Is the message no machine's: neither a report, nor from a list, nor an automatic answer? */
bool exim_is_human(struct exim_run *run, bool *is_out);
/* local@domain, without a detail: what this mailbox writes from. */
bool exim_own_address(struct exim_run *run, uint32_t line, struct buf *out);
/* One of the addresses this mailbox is known by. */
bool exim_is_own(const struct exim_run *run, struct slice address);

bool exim_run_commands(struct exim_run *run, const struct exim_command *commands);
bool exim_run_mail(struct exim_run *run, const struct exim_command *c);
/* An address as a filter writes it, perhaps with a name, perhaps without a domain: canonical, with the domain of this mailbox, added to
 * `out`.  *is_out: it is one. */
bool exim_address(struct exim_run *run, uint32_t line, struct slice text, struct buf *out, bool *is_out);

#endif
