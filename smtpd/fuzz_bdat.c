/*
 * BDAT in two ways, by the first byte.
 *
 * As it comes: the rest is what a client sends once it may; whole and a byte at a time give the same replies and the same
 * messages.  As a body: the rest is a message; cut into any chunks it is judged and kept as in one chunk, and a text as DATA
 * would have it.
 */
#include "session_fake.h"

#include "base/log.h"

#include <stdlib.h>

#define MAIL "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define BINARY_MAIL "MAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\n"
#define SENT_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void be_quiet(enum log_level level, const char *event, struct slice fields)
{
	(void)level;
	(void)event;
	(void)fields;
}

static void begin(struct fake *f)
{
	fake_init(f, FAKE_MX, false);
	f->conf.set.message_size_max = 100000;
	f->conf.set.header_max = 500;
	f->conf.set.line_max = 300;
	f->conf.set.received_max = 3;
	f->conf.set.commands_max = 1000000;
	fake_begin(f);
	fake_send(f, "EHLO c\r\n");
	buf_clear(&f->said);
}

static bool same(const struct buf *a, const struct buf *b)
{
	return slice_eq(buf_slice(a), buf_slice(b));
}

static void as_it_comes(struct slice in, bool binary)
{
	struct fake whole, bytes;

	begin(&whole);
	begin(&bytes);
	fake_send(&whole, binary ? BINARY_MAIL : MAIL);
	fake_send(&bytes, binary ? BINARY_MAIL : MAIL);
	fake_feed(&whole, in, SIZE_MAX);
	fake_feed(&bytes, in, 1);
	if (whole.handshakes + bytes.handshakes == 0 &&
	    slice_find(buf_slice(&whole.said), slice_of("STARTTLS before")) == SLICE_NONE &&
	    (!same(&whole.said, &bytes.said) || !same(&whole.messages, &bytes.messages) ||
	     whole.session.state != bytes.session.state))
		abort();
	fake_clear(&whole);
	fake_clear(&bytes);
}

/* The last reply of a transaction, whose body is in chunks of up to `most` octets, of sizes that vary. */
static void send_chunks(struct fake *f, struct slice body, size_t most, bool binary)
{
	struct buf sent = buf_make(SENT_MAX);
	size_t at = 0, size = most;

	begin(f);
	buf_add_text(&sent, binary ? BINARY_MAIL : MAIL);
	do {
		struct slice chunk = slice_sub(body, at, size);

		at += chunk.len;
		buf_addf(&sent, "BDAT %zu%s\r\n", chunk.len, at == body.len ? " LAST" : "");
		buf_add_slice(&sent, chunk);
		size = (size + 1) % (most + 1);
	} while (at < body.len);
	fake_feed(f, buf_slice(&sent), SIZE_MAX);
	buf_free(&sent);
}

static void send_data(struct fake *f, struct slice body)
{
	struct buf sent = buf_make(SENT_MAX);
	struct dotted_encoder dots = {.in_line = false};

	begin(f);
	buf_add_text(&sent, MAIL "DATA\r\n");
	dotted_encode(&dots, body, &sent);
	dotted_encode_end(&dots, &sent);
	fake_feed(f, buf_slice(&sent), SIZE_MAX);
	buf_free(&sent);
}

static void as_a_body(struct slice body, size_t most, bool binary)
{
	struct fake one, many, data;

	send_chunks(&one, body, SIZE_MAX / 8, binary);
	send_chunks(&many, body, most, binary);
	send_data(&data, body);
	if (one.commits != many.commits || !same(&one.messages, &many.messages))
		abort();
	if (!binary && (one.commits != data.commits || !same(&one.messages, &data.messages)))
		abort();
	if (binary && one.commits == 1 && !slice_starts(buf_slice(&one.messages), body))
		abort(); /* octet for octet */
	fake_clear(&one);
	fake_clear(&many);
	fake_clear(&data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in;
	bool binary;

	if (size < 1 || size > 50000)
		return 0;
	log_set_sink(be_quiet);
	in = slice_make((const char *)data + 1, size - 1);
	binary = (data[0] & 2) != 0;
	if ((data[0] & 1) != 0)
		as_it_comes(in, binary);
	else
		as_a_body(in, 1 + (data[0] >> 2), binary);
	return 0;
}
