#ifndef POSTERN_QUEUE_CRC32C_H
#define POSTERN_QUEUE_CRC32C_H

#include "base/slice.h"

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), to be continued: start with 0, hand the result in for the next piece. */
uint32_t crc32c(uint32_t crc, struct slice bytes);
/* The same without the processor's instruction (tests). */
uint32_t crc32c_portable(uint32_t crc, struct slice bytes);

#endif
