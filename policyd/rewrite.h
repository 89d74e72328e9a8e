#ifndef POSTERN_POLICYD_REWRITE_H
#define POSTERN_POLICYD_REWRITE_H

#include "facts.h"

/*
 * How one address is written otherwise: the rules of `rewrite` from the top, each over what the one before made of it.  Pure.
 *
 *   address "TEXT"   the text, with its facts, is the new address
 *   lookup TABLE     what stands there of the address, or of `@domain`; a value that begins with `@` is another domain for the same
 *                    local part
 */
enum rewrite_outcome {
	REWRITE_SAME,
	REWRITE_NEW, /* in `address` */
	REWRITE_UNKNOWN, /* `rule` and `cause` say why */
	REWRITE_PENDING,
};

struct rewriting {
	char address[513];
	char rule[513]; /* "file:line" of the last that said something */
	char cause[257];
};

enum rewrite_outcome rewrite_run(const struct conf *conf, const struct facts *facts, enum rewrite_field field, struct slice address,
				 const struct lookups *lookups, struct rewriting *out);

#endif
