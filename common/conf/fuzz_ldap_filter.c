#include "base/log.h"
#include "conf/ldap_filter.h"

#include <stdlib.h>

/* A filter up to the first NUL, then a value: whatever the value, what is filled in is still a filter of the same items. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(struct slice s, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += s.at[i] == c;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = slice_make((const char *)data, size), filter = slice_sub(all, 0, slice_index(all, '\0'));
	struct slice value = slice_from(all, filter.len < all.len ? filter.len + 1 : all.len);
	struct buf out = buf_make(1 << 20);

	if (ldap_filter_mistake(filter) == NULL && ldap_filter_fill(filter, value, &out) &&
	    (count(buf_slice(&out), '(') != count(filter, '(') || count(buf_slice(&out), ')') != count(filter, ')') ||
	     count(buf_slice(&out), '=') != count(filter, '=') || count(buf_slice(&out), '*') != count(filter, '*')))
		abort();
	buf_free(&out);
	return 0;
}
