#ifndef POSTERN_BASE_ID_H
#define POSTERN_BASE_ID_H

#include "base/slice.h"

/*
 * Message and session ids: 64 bits, written as 13 characters of base32 (0-9 a-z without i l o u, most significant first, so
 * that text sorts like the number).
 */
#define ID_CHARS 13

void id_text(uint64_t id, char out[ID_CHARS + 1]);
/* Exactly 13 characters of the alphabet that fit 64 bits; false for anything else. */
bool id_parse(struct slice text, uint64_t *out);

#endif
