#ifndef POSTERN_FILTER_EXIM_TEXT_H
#define POSTERN_FILTER_EXIM_TEXT_H

#include "filter/exim_lex.h"

/*
 * A data value to a text: Exim's string expansion, of which this is the whole grammar.
 *
 *	text      = { plain | "\" escape | "\N" plain "\N" | "$" name | "${" name "}" | "$h_" field ":" | "${" item "}" }
 *	item      = "if" test [ "{" text "}" [ "{" text "}" ] ] | ( "lc" | "uc" | ... ) ":" text
 *	          | ( "length" | "substr" ) "{" text "}" ...
 *	test      = [ "!" ] ( "def:" name | ( "eq" | "eqi" | "match" | ">" | ... ) "{" text "}" "{" text "}"
 *	          | ( "and" | "or" ) "{" { "{" test "}" } "}" )
 *
 * What is not in it is a mistake that names it: nothing runs, reads, looks up or connects.
 */
bool exim_text_compile(struct exim_source *s, const struct exim_item *item, struct exim_text **out);
/* A part of an item: `text` and its `places`.  For the words of a command line. */
bool exim_text_compile_part(struct exim_source *s, struct slice text, const uint32_t *places, uint32_t line, struct exim_text **out);

/* It is the same for each message: then what it is, added to `out`. */
bool exim_text_is_constant(const struct exim_text *text, struct buf *out);

/* The content of a file of its own, whose mistakes are told as places in it. */
bool exim_text_of_file(struct arena *arena, struct slice content, struct filter_mistake *mistake, struct exim_text **out);

/* The row of a variable's name; -1: there is none; -2: it is one of Exim's that no user's filter has here. */
int exim_variable_find(struct slice name);

#endif
