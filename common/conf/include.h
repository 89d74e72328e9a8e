#ifndef POSTERN_CONF_INCLUDE_H
#define POSTERN_CONF_INCLUDE_H

#include "base/buf.h"

/* How `include` names files: the reader that opens them and the compiler that finds them in the bundle
 * must agree. */
#define INCLUDE_DEPTH_MAX 8u

/* `named` as seen from the folder of `file`. */
void include_resolve(struct slice file, struct slice named, struct buf *out);
/* A `*` in the last component. */
bool include_is_pattern(struct slice named);
/* `*` stands for any run of characters. */
bool include_matches(struct slice pattern, struct slice name);

#endif
