#ifndef POSTERN_FILTER_EXIM_LEX_H
#define POSTERN_FILTER_EXIM_LEX_H

#include "filter/exim.h"

/*
 * The words of an Exim filter file: what stands between blanks and line ends (in conditions also round brackets), or in double quotes.
 * In quotes a backslash escapes: \n \r \t \ooo \xhh, at the end of a line it joins the next one, before anything else it stands for
 * that.  `#` at the start of a word begins a comment.
 */
struct exim_source {
	struct slice text;
	size_t at;
	uint32_t line;
	struct arena *arena;
	unsigned depth; /* how deep the parser is in */
	struct filter_mistake *mistake; /* the first one */
};

enum exim_item_kind { EXIM_ITEM_END, EXIM_ITEM_WORD, EXIM_ITEM_QUOTED, EXIM_ITEM_OPEN, EXIM_ITEM_CLOSE };

struct exim_item {
	enum exim_item_kind kind;
	uint32_t line;
	size_t start; /* in the source */
	struct slice text; /* without quotes and escapes */
	const uint32_t *places; /* where in the source each byte of it began, and its end */
};

/* Always false, so that callers can return it.  Only the first mistake is kept.  `at` is in the source. */
bool exim_mistake(struct exim_source *s, size_t at, const char *why, ...) __attribute__((format(printf, 3, 4)));
/* The arena has room for whatever a text of FILTER_SOURCE_MAX can become, so this is our fault, not the filter's. */
bool exim_no_memory(struct exim_source *s);

/* False: a mistake.  `condition`: round brackets are items of their own. */
bool exim_next(struct exim_source *s, bool condition, struct exim_item *out);
/* The same, and stays where it was. */
bool exim_peek(struct exim_source *s, bool condition, struct exim_item *out);
/* It is that word, not in quotes. */
static inline bool exim_item_is(const struct exim_item *i, const char *word)
{
	return i->kind == EXIM_ITEM_WORD && slice_eq(i->text, slice_of(word));
}

/* For what calls itself: false, with a mistake, where it is too deep; else exim_leave afterwards. */
bool exim_enter(struct exim_source *s, size_t at);
static inline void exim_leave(struct exim_source *s)
{
	s->depth--;
}

#endif
