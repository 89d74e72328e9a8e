/* Lines of Dovecot, one after the other: what is borrowed lies in its line, and what is taken for a user is one. */
#include "dovecot_line.h"

#include "mail/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct slice part, struct slice whole)
{
	return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size), line;
	struct dovecot_line out;

	while (slice_cut(&rest, '\n', &line)) {
		if (!dovecot_line_parse(line, &out))
			continue;
		if (!lies_in(out.text, line) || !lies_in(out.user, line) || !lies_in(out.reason, line))
			abort();
		if (out.user.len > DOVECOT_USER_MAX || (out.word == DOVECOT_OK && out.user.len == 0) || !mail_utf8_is_clean(out.user))
			abort();
	}
	return 0;
}
