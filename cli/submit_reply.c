#include "submit_reply.h"

static void keep_text(struct submit_reply *r, struct slice text)
{
	size_t n = text.len < sizeof(r->text) - 1 ? text.len : sizeof(r->text) - 1;

	for (size_t i = 0; i < n; i++)
		r->text[i] = text.at[i] >= ' ' && text.at[i] < 0x7f ? text.at[i] : '?';
	r->text[n] = '\0';
}

bool submit_reply_add(struct submit_reply *r, struct slice line)
{
	uint64_t code;

	if (line.len < 3 || !slice_u64(slice_sub(line, 0, 3), 599, &code) || code < 200)
		return false;
	if (line.len > 3 && line.at[3] != ' ' && line.at[3] != '-')
		return false;
	if (r->code != 0 && r->code != code)
		return false;
	if (r->code == 0)
		keep_text(r, slice_from(line, 4));
	r->code = (unsigned)code;
	r->last = line.len == 3 || line.at[3] == ' ';
	return true;
}

int submit_reply_exit(const struct submit_reply *r)
{
	/* The first that fits: RFC 3463 §3. */
	static const struct {
		const char *start;
		int exit;
	} codes[] = {
		{"5.1.2 ", SUBMIT_EX_NOHOST},	   {"5.1.10 ", SUBMIT_EX_NOHOST}, {"5.1.", SUBMIT_EX_NOUSER},
		{"5.3.4 ", SUBMIT_EX_DATAERR},	   {"5.6.", SUBMIT_EX_DATAERR},	  {"5.7.", SUBMIT_EX_NOPERM},
		{"5.", SUBMIT_EX_UNAVAILABLE},
	};
	struct slice text = slice_of(r->text);

	if (r->code < 400)
		return SUBMIT_EX_OK;
	if (r->code < 500)
		return SUBMIT_EX_TEMPFAIL;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (slice_starts(text, slice_of(codes[i].start)))
			return codes[i].exit;
	return SUBMIT_EX_UNAVAILABLE;
}
