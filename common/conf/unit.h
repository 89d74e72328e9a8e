#ifndef POSTERN_CONF_UNIT_H
#define POSTERN_CONF_UNIT_H

#include "base/buf.h"

/*
 * Durations (`90s` `15m` `2h` `4d` `1w`, `250ms`) and sizes (`1000`, `64K`, `50M`, `2G`, `1T`; 1K is
 * 1024).  Every parser takes the whole text or nothing; what does not fit 64 bits is refused.
 */
bool unit_time(struct slice s, uint64_t *ms_out); /* "0" needs no unit */
bool unit_size(struct slice s, uint64_t *bytes_out);
/* "1.5": three decimals at most. */
bool unit_permille(struct slice s, uint64_t *permille_out);

/* The shortest text that is read as the same value. */
void unit_print_time(struct buf *out, uint64_t ms);
void unit_print_size(struct buf *out, uint64_t bytes);
void unit_print_permille(struct buf *out, uint64_t permille);

#endif
