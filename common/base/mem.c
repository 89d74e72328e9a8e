#include "base/mem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sys/random.h>

bool mem_grow(void **items, size_t *cap, size_t count, size_t size, size_t max)
{
	size_t want = *cap == 0 ? 8 : *cap;
	void *grown;

	if (count >= max)
		return false;
	if (count < *cap)
		return true;
	while (want <= count)
		want *= 2;
	if (want > max)
		want = max;
	grown = reallocarray(*items, want, size);
	if (grown == NULL)
		return false;
	*items = grown;
	*cap = want;
	return true;
}

bool mem_equal_secret(struct slice a, struct slice b)
{
	return a.len == b.len && CRYPTO_memcmp(a.at, b.at, a.len) == 0;
}

void mem_wipe(void *at, size_t len)
{
	explicit_bzero(at, len);
}

void mem_random(void *out, size_t len)
{
	char *at = out;

	while (len > 0) {
		ssize_t n = getrandom(at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		at += n;
		len -= (size_t)n;
	}
}
