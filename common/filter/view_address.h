#ifndef POSTERN_FILTER_VIEW_ADDRESS_H
#define POSTERN_FILTER_VIEW_ADDRESS_H

#include "conf/arena.h"

/*
 * The addresses in a header field: RFC 5322 §3.4 with groups, comments, quoted strings, domain literals, and the obsolete forms of
 * §4.4 (routes, empty members, comments and blanks anywhere), and more than that: a member that is no address is told as it stands.
 * Time and memory are linear in the text; nothing nests on the stack.
 *
 *   Hans "the \"Boss\"" Meier <hans.meier@example.org>    name: Hans the "Boss" Meier
 *   list: "a b"@example.org, c@example.org (Carl);        two addresses; the second's name: Carl
 */
#define VIEW_ADDRESSES_MAX 10000u /* of one field; what comes behind is not seen */

struct view_address {
	struct slice address; /* "local@domain", quotes kept, comments and blanks left out; of no address: all of it */
	struct slice local; /* its content: no quotes, no backslashes */
	struct slice domain; /* "" there is none */
	struct slice name; /* the display name, or the comment behind the address; encoded words decoded */
	bool good; /* it is an address: a local part and a domain of the right characters */
};

struct view_addresses {
	struct view_address *at;
	size_t count;
};

/* `text` is unfolded.  The result lies in the arena.  False: no memory. */
bool view_addresses_parse(struct arena *arena, struct slice text, struct view_addresses *out);

#endif
