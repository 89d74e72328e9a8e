#include "table_keys.h"

static void add(struct table_keys *k, struct slice key)
{
	if (key.len > 0)
		k->at[k->count++] = key;
}

static void lower(char *text)
{
	for (; *text != '\0'; text++)
		*text = ascii_lower(*text);
}

static bool parse(struct slice text, struct mail_address *out)
{
	if (mail_address_parse(text, MAIL_ALLOW_UTF8, out) != MAIL_OK)
		return false;
	lower(out->text);
	lower(out->plain);
	return true;
}

static void add_defaults(struct table_keys *k, struct slice whole)
{
	size_t at = slice_rindex(whole, '@');

	if (at != SLICE_NONE && at > 0)
		add(k, slice_from(whole, at));
	add(k, slice_of("*"));
}

bool table_keys_alias(enum conf_table_kind kind, struct slice address, struct slice base, struct table_keys *out)
{
	bool has_base = base.len > 0;

	out->count = out->own = 0;
	if (!parse(address, &out->whole) || (has_base && !parse(base, &out->base)))
		return false;
	add(out, mail_address_text(&out->whole));
	if (kind == TABLE_CIDR || kind == TABLE_PCRE2)
		return true;
	if (has_base)
		add(out, mail_address_text(&out->base));
	add(out, mail_address_plain(&out->whole));
	if (has_base)
		add(out, mail_address_plain(&out->base));
	out->own = out->count;
	add_defaults(out, mail_address_text(&out->whole));
	return true;
}

void table_keys_in(enum conf_table_kind kind, struct slice value, struct table_keys *out)
{
	out->count = 0;
	if (kind == TABLE_DIRECTORY && slice_index(value, '@') != SLICE_NONE && table_keys_alias(kind, value, slice_empty(), out))
		return;
	out->count = 0;
	add(out, value);
	if (kind == TABLE_INLINE || kind == TABLE_FILE)
		add_defaults(out, value);
}
