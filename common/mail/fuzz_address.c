#include "mail/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted is canonical, and safe to stand between angle brackets. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_make((const char *)data, size), rest = text, inside;
	struct mail_address a, b;

	if (mail_path_cut(&rest, &inside) && inside.len + rest.len + 2 != text.len)
		abort();
	for (unsigned options = 0; options < 16; options++) {
		if (mail_address_parse(text, options, &a) != MAIL_OK)
			continue;
		if (mail_address_parse(mail_address_text(&a), options, &b) != MAIL_OK ||
		    memcmp(a.text, b.text, sizeof(a.text)) != 0)
			abort();
		if (strpbrk(a.text, "\r\n") != NULL || strlen(a.plain) > MAIL_LOCAL_MAX)
			abort();
		mail_address_is_routed(&a);
	}
	return 0;
}
