#include "report.h"

#include "base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BOUNDARY "0123456789abcdef01234567"
#define LINE_OCTETS 998u

static void need(bool ok)
{
	if (!ok)
		abort();
}

/* Whole lines of bounded length; returns how many of them part the report. */
static unsigned check_lines(struct slice text, bool may_be_8bit)
{
	unsigned boundaries = 0;

	while (text.len > 0) {
		size_t end = slice_find(text, slice_of("\r\n"));
		struct slice line = slice_sub(text, 0, end);

		need(end != SLICE_NONE && end <= LINE_OCTETS);
		for (size_t i = 0; i < line.len; i++) {
			unsigned char c = (unsigned char)line.at[i];

			need(c != '\r' && c != '\n' && c != '\0' && (may_be_8bit || c < 0x80));
		}
		boundaries += slice_starts(line, slice_of("--" BOUNDARY));
		text = slice_from(text, end + 2);
	}
	return boundaries;
}

static unsigned count(struct slice text, const char *what)
{
	unsigned n = 0;
	size_t at;

	while ((at = slice_find(text, slice_of(what))) != SLICE_NONE) {
		text = slice_from(text, at + strlen(what));
		n++;
	}
	return n;
}

/* The first part that programs read, from its head to the next part's. */
static struct slice part_for_programs(struct slice text)
{
	const struct slice head = slice_of("Content-Type: message/delivery-status\r\n\r\n");

	text = slice_from(text, slice_find(text, head) + head.len);
	return slice_sub(text, 0, slice_find(text, slice_of("--" BOUNDARY)));
}

static void check(const struct report *r)
{
	struct buf out = buf_make(REPORT_BYTES_MAX);
	struct slice status;

	need(report_add(&out, r));
	need(check_lines(buf_slice(&out), report_is_8bit(r)) == 4);
	status = part_for_programs(buf_slice(&out));
	need(count(status, "\r\n\r\n") == r->rcpt_count + 1); /* one group of fields for the message, one a recipient */
	need(count(status, "\r\nFinal-Recipient: ") == r->rcpt_count && count(status, "\r\nAction: ") == r->rcpt_count);
	buf_free(&out);
}

/* Bits and the texts of a recipient, each up to a NUL; what is left is the message that comes back. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size);
	struct report_rcpt rcpts[2] = {{.code = 550, .attempt_s = 1699999990}};
	struct report r = {.id = 1, .about = 2, .hostname = slice_of("mx.example.test"), .sender = slice_of("a@b.example"),
			   .now_s = 1700000000, .arrived_s = 1699990000, .expires_s = 1700400000,
			   .boundary = slice_of(BOUNDARY), .rcpts = rcpts, .rcpt_count = 2};
	struct slice *const texts[] = {&rcpts[0].address, &rcpts[0].original, &rcpts[0].orcpt, &rcpts[0].dsn,
				       &rcpts[0].text,    &rcpts[0].remote,   &r.sender,       &r.envid};

	if (size < 1)
		return 0;
	rest = slice_from(rest, 1);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (!slice_cut(&rest, '\0', texts[i]))
			*texts[i] = slice_empty();
	if (slice_find(slice_make((const char *)data, size), slice_of(BOUNDARY)) != SLICE_NONE)
		return 0; /* it is made by chance */
	rcpts[0].action = (enum report_action)(data[0] % REPORT_ACTIONS);
	rcpts[1] = rcpts[0];
	rcpts[1].action = (enum report_action)(data[0] / 8 % REPORT_ACTIONS);
	r.whole = (data[0] & 0x80) != 0 && report_may_be_whole(rest);
	r.original = r.whole ? rest : report_headers_of(rest);
	check(&r);
	return 0;
}
