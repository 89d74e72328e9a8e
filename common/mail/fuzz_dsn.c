#include "mail/dsn.h"
#include "mail/xtext.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void one_orcpt(struct slice text, bool utf8)
{
	struct buf out = buf_make(1024), again = buf_make(1024), back = buf_make(1024);

	if (dsn_orcpt_parse(text, utf8, &out)) {
		must(dsn_orcpt_is_valid(buf_slice(&out)));
		if (dsn_orcpt_add(buf_slice(&out), &again)) {
			must(dsn_orcpt_parse(buf_slice(&again), false, &back));
			must(slice_eq(buf_slice(&out), buf_slice(&back)));
		}
	}
	buf_free(&out);
	buf_free(&again);
	buf_free(&back);
}

/* What is accepted is valid, and reads the same once it was written anew. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make((const char *)data, size);
	struct buf out = buf_make(size + 1), again = buf_make(3 * size + 1), back = buf_make(size + 1);
	uint64_t notify = 0;

	if (xtext_decode(text, &out)) {
		must(xtext_encode(buf_slice(&out), &again) && again.len <= size);
		must(xtext_decode(buf_slice(&again), &back) && slice_eq(buf_slice(&out), buf_slice(&back)));
	}
	buf_clear(&out);
	if (dsn_envid_parse(text, &out))
		must(dsn_envid_is_valid(buf_slice(&out)));
	if (dsn_notify_parse(text, &notify))
		must(dsn_notify_is_valid(notify) && notify != 0);
	one_orcpt(text, false);
	one_orcpt(text, true);
	buf_clear(&again);
	dsn_utf8_address_add(text, 100, &again);
	buf_free(&out);
	buf_free(&again);
	buf_free(&back);
	return 0;
}
