#include "mail/header_names.h"

#include "mail/field.h"
#include "mail/header.h"

struct header_names header_names_make(void)
{
	return (struct header_names){.text = buf_make(HEADER_NAMES_MAX)};
}

void header_names_free(struct header_names *n)
{
	buf_free(&n->text);
	n->fields = 0;
	n->cut = false;
}

static bool find(struct slice names, struct slice name)
{
	struct slice one;

	while (slice_cut(&names, ':', &one))
		if (slice_eq_nocase(one, name))
			return true;
	return false;
}

/* All of one name, or the mark that it is missing, for which there is always room. */
static void add_new(struct header_names *n, struct slice name)
{
	if (n->text.len == 0)
		buf_add_char(&n->text, ':');
	if (n->text.len + name.len + 2 > HEADER_NAMES_MAX) {
		n->cut = true;
		return;
	}
	for (size_t i = 0; i < name.len; i++)
		buf_add_char(&n->text, ascii_lower(name.at[i]));
	buf_add_char(&n->text, ':');
}

void header_names_add(struct header_names *n, struct slice name)
{
	if (name.len == 0 || name.len > HEADER_NAME_MAX)
		return;
	if (n->fields >= HEADER_NAMES_LOOKED_AT)
		n->cut = true;
	if (n->cut)
		return;
	n->fields++;
	if (!find(buf_slice(&n->text), name))
		add_new(n, name);
}

void header_names_add_header(struct header_names *n, struct slice header)
{
	struct mail_field f;

	while (!n->cut && header.len > 0 && header.at[0] != '\n' && !slice_starts(header, slice_of("\r\n")) && mail_field_next(&header, &f))
		header_names_add(n, f.name);
}

static bool is_left_out(struct slice without, struct slice name)
{
	struct slice one;

	while (slice_cut(&without, '\n', &one))
		if (slice_eq_nocase(one, name))
			return true;
	return false;
}

void header_names_add_all(struct header_names *n, struct slice names, struct slice without)
{
	bool cut = names.len > 0 && names.at[names.len - 1] == '*';
	struct slice rest = slice_sub(names, 0, names.len - cut), one;

	while (slice_cut(&rest, ':', &one))
		if (!is_left_out(without, one))
			header_names_add(n, one);
	n->cut = n->cut || cut;
}

struct slice header_names_text(struct header_names *n)
{
	if (n->text.len == 0)
		buf_add_char(&n->text, ':');
	if (n->cut && n->text.len > 0 && n->text.at[n->text.len - 1] != '*')
		buf_add_char(&n->text, '*');
	return buf_ok(&n->text) ? buf_slice(&n->text) : slice_empty();
}

enum header_has header_names_have(struct slice names, struct slice name)
{
	if (names.len == 0)
		return HEADER_HAS_UNKNOWN;
	if (find(names, name))
		return HEADER_HAS;
	return names.at[names.len - 1] == '*' ? HEADER_HAS_UNKNOWN : HEADER_HAS_NOT;
}
