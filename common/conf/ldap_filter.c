#include "conf/ldap_filter.h"

#define DEPTH_MAX 16u

struct scan {
	unsigned depth;
	bool in_value; /* behind the '=' of an item */
	size_t places; /* '?' so far */
};

/* NULL, or the mistake. */
static const char *step(struct scan *s, char c)
{
	if (c == '(') {
		s->in_value = false;
		return ++s->depth > DEPTH_MAX ? "the filter is nested too deeply" : NULL;
	}
	if (s->depth == 0)
		return "a filter stands in parentheses";
	if (c == ')') {
		s->in_value = false;
		s->depth--;
	} else if (c == '=') {
		s->in_value = true;
	} else if (c == '?') {
		s->places++;
		return s->in_value ? NULL : "? stands for a value, behind a =";
	}
	return NULL;
}

const char *ldap_filter_mistake(struct slice filter)
{
	struct scan s = {0, false, 0};
	const char *mistake = filter.len > LDAP_FILTER_MAX ? "the filter is too long" : NULL;

	for (size_t i = 0; mistake == NULL && i < filter.len; i++) {
		if ((unsigned char)filter.at[i] < ' ' || filter.at[i] == 0x7f)
			return "there is a control character in the filter";
		mistake = step(&s, filter.at[i]);
	}
	if (mistake == NULL && s.depth > 0)
		mistake = "a parenthesis is not closed";
	if (mistake == NULL && s.places == 0)
		mistake = "there is no ? for the login in the filter";
	return mistake;
}

/* More is escaped than has to be: a list of what is plain cannot miss anything. */
static bool is_plain(char c)
{
	return ascii_is_alnum(c) || (c != '\0' && strchr("@.-_", c) != NULL);
}

static bool add_value(struct slice value, struct buf *out)
{
	bool added = true;

	for (size_t i = 0; added && i < value.len; i++)
		added = is_plain(value.at[i]) ? buf_add_char(out, value.at[i])
					      : buf_addf(out, "\\%02x", (unsigned)(unsigned char)value.at[i]);
	return added;
}

bool ldap_filter_fill(struct slice filter, struct slice value, struct buf *out)
{
	bool added = true;

	for (size_t i = 0; added && i < filter.len; i++)
		added = filter.at[i] == '?' ? add_value(value, out) : buf_add_char(out, filter.at[i]);
	return added;
}
