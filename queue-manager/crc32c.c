#include "crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ ((v & 1) != 0 ? POLYNOMIAL : 0);
		table[i] = v;
	}
}

uint32_t crc32c_portable(uint32_t crc, struct slice bytes)
{
	(void)pthread_once(&table_once, table_make);
	crc = ~crc;
	for (size_t i = 0; i < bytes.len; i++)
		crc = crc >> 8 ^ table[(crc ^ (unsigned char)bytes.at[i]) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_processor(uint32_t crc, struct slice bytes)
{
	uint64_t wide = (uint32_t)~crc, word;
	size_t i = 0;

	for (; bytes.len - i >= 8; i += 8) {
		memcpy(&word, bytes.at + i, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; i < bytes.len; i++)
		crc = __builtin_ia32_crc32qi(crc, (unsigned char)bytes.at[i]);
	return ~crc;
}
#endif

uint32_t crc32c(uint32_t crc, struct slice bytes)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_by_processor(crc, bytes);
#endif
	return crc32c_portable(crc, bytes);
}
