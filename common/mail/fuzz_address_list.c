#include "mail/address_list.h"

#include <stdlib.h>

static bool one(struct slice address, void *arg)
{
	*(size_t *)arg += 1;
	if (address.len == 0 || address.len > ADDRESS_LIST_ONE_MAX)
		abort();
	for (size_t i = 0; i < address.len; i++)
		if ((unsigned char)address.at[i] < ' ' || address.at[i] == 0x7f)
			abort();
	return true;
}

/* Any text: what is found is an address in form, and parses to itself. */
static bool twice(struct slice address, void *arg)
{
	size_t count = 0;

	one(address, arg);
	if (address_list_parse(address, one, &count) != ADDRESS_LIST_DONE || count != 1)
		abort();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t count = 0;

	(void)address_list_parse(slice_make((const char *)data, size), twice, &count);
	return 0;
}
