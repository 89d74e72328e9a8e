/* A whole session with all those it asks: the first byte says which listener, whether it has rules, and whether this client is a
 * proxy (XCLIENT). */
#include "session_fake.h"

#include "base/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void be_quiet(enum log_level level, const char *event, struct slice fields)
{
	(void)level;
	(void)event;
	(void)fields;
}

static void run(const uint8_t *data, size_t size, size_t piece, struct fake *f)
{
	static const enum fake_kind kinds[] = {FAKE_MX, FAKE_SUBMISSION, FAKE_SUBMISSIONS, FAKE_LOCAL};

	fake_init(f, kinds[data[0] & 3], (data[0] & 4) != 0);
	f->conf.set.message_size_max = 2000;
	f->conf.set.recipients_max = 5;
	f->conf.set.received_max = 3;
	f->conf.set.header_max = 500;
	f->conf.set.line_max = 300;
	f->place.may_xclient = (data[0] & 8) != 0;
	fake_begin(f);
	fake_feed(f, slice_make((const char *)data + 1, size - 1), piece);
}

/* The same bytes give the same replies and messages; only STARTTLS makes a difference, by design. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fake whole, bytes;

	if (size < 2)
		return 0;
	log_set_sink(be_quiet);
	run(data, size, SIZE_MAX, &whole);
	run(data, size, 1, &bytes);
	if (whole.handshakes == bytes.handshakes &&
	    whole.session.tls.active == bytes.session.tls.active && !whole.session.tls.active &&
	    slice_find(buf_slice(&whole.said), slice_of("STARTTLS before")) == SLICE_NONE &&
	    (!slice_eq(buf_slice(&whole.said), buf_slice(&bytes.said)) ||
	     !slice_eq(buf_slice(&whole.messages), buf_slice(&bytes.messages))))
		abort();
	if (whole.logins > 0 && !whole.session.tls.active)
		abort(); /* a password in clear was looked at */
	fake_clear(&whole);
	fake_clear(&bytes);
	return 0;
}
