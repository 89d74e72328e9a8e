#include "filter/sample.h"

static ssize_t read_body(void *arg, uint64_t offset, char *out, size_t size)
{
	const struct filter_sample *s = arg;
	struct slice part = offset > s->body.len ? slice_empty() : slice_sub(s->body, (size_t)offset, size);

	memcpy(out, part.at, part.len);
	return (ssize_t)part.len;
}

/* Bytes with CRLF at the end of each line. */
static uint64_t size_of(struct slice text)
{
	uint64_t size = text.len;

	for (size_t i = 0; i < text.len; i++)
		size += text.at[i] == '\n' && (i == 0 || text.at[i - 1] != '\r');
	return size;
}

void filter_sample_set(struct filter_sample *s, struct slice text, struct filter_message *message)
{
	struct slice rest = text, line;

	if (slice_starts(rest, slice_of("From ")) && slice_cut(&rest, '\n', &line))
		text = rest;
	rest = text;
	message->header = text;
	s->body = slice_empty();
	while (slice_cut(&rest, '\n', &line)) {
		if (line.len > 0 && !slice_eq(line, slice_of("\r")))
			continue;
		message->header = slice_sub(text, 0, (size_t)(line.at - text.at));
		s->body = rest;
		break;
	}
	message->size = size_of(text);
	message->body = read_body;
	message->arg = s;
}
