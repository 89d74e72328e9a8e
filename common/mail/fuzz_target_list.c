#include "mail/target_list.h"

#include "mail/address.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* What is told is as the header says, whatever stood there. */
static bool look(const struct target *t, void *arg)
{
	struct mail_address a;
	uint32_t *line = arg;

	check(t->line >= *line && t->text.len <= TARGET_TEXT_MAX);
	*line = t->line;
	for (size_t i = 0; i < t->text.len; i++)
		check((unsigned char)t->text.at[i] >= ' ' || t->text.at[i] == '\t' ||
		      (t->text.at[i] == '\0' && t->kind == TARGET_PROGRAM));
	if (t->kind == TARGET_ADDRESS || t->kind == TARGET_LOCAL_USER)
		check(mail_address_parse(t->text, MAIL_ALLOW_UTF8 | MAIL_ALLOW_BARE, &a) == MAIL_OK &&
		      slice_eq(mail_address_text(&a), t->text) && !mail_address_is_routed(&a));
	else if (t->kind == TARGET_PROGRAM)
		check(t->text.len > 1 && t->text.at[0] == '/' && t->text.at[t->text.len - 1] == '\0');
	else if (t->kind == TARGET_FILE || t->kind == TARGET_INCLUDE)
		check(t->text.len > 0 && t->text.at[0] == '/');
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target_mistake m;
	uint32_t line = 1;
	enum target_end end = target_list_parse(slice_make((const char *)data, size), look, &line, &m);

	check(end != TARGET_STOPPED);
	check(end != TARGET_BAD || (m.line >= line && m.column > 0 && m.why[0] != '\0'));
	return 0;
}
