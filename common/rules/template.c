#include "rules/template.h"

#include "rules/place.h"

static bool push(struct arena *arena, struct template *t, const char *literal, enum fact_id fact)
{
	void *pieces = t->pieces;
	struct template_piece *one = arena_push(arena, &pieces, &t->count, sizeof(*one));

	t->pieces = pieces;
	if (one == NULL)
		return false;
	*one = (struct template_piece){literal, fact};
	return true;
}

/* Cuts literal text off `*rest`, up to a brace that opens a name; {{ is one brace. */
static bool push_literal(struct arena *arena, struct template *t, struct slice *rest)
{
	char *text = arena_take(arena, rest->len + 1);
	size_t n = 0, at = 0;

	if (text == NULL)
		return false;
	while (at < rest->len) {
		if (rest->at[at] == '{' && (at + 1 == rest->len || rest->at[at + 1] != '{'))
			break;
		at += rest->at[at] == '{';
		text[n++] = rest->at[at++];
	}
	*rest = slice_from(*rest, at);
	return n == 0 || push(arena, t, text, FACT_COUNT);
}

static bool push_fact(struct parser *p, struct template *t, struct slice *rest, unsigned place)
{
	size_t close = slice_index(*rest, '}');
	struct slice name;
	enum fact_id fact;

	if (close == SLICE_NONE) {
		mistake_add(p->mistakes, t->pos, "a fact is written {name}, a brace {{",
			    "a `{` that is not closed");
		return false;
	}
	name = slice_sub(*rest, 1, close - 1);
	*rest = slice_from(*rest, close + 1);
	fact = place_fact(p, t->pos, name, place);
	return fact != FACT_COUNT && push(p->arena, t, NULL, fact);
}

struct template *template_parse(struct parser *p, const struct token *string, unsigned place)
{
	struct template *t = arena_take(p->arena, sizeof(*t));
	struct slice rest = string->text;
	bool ok = true;

	if (t == NULL)
		return NULL;
	t->pos = string->pos;
	t->source = arena_text(p->arena, string->text);
	if (t->source == NULL)
		return NULL;
	while (rest.len > 0 && ok) {
		ok = push_literal(p->arena, t, &rest);
		if (ok && rest.len > 0)
			ok = push_fact(p, t, &rest, place);
	}
	return ok ? t : NULL;
}

bool template_is_literal(const struct template *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->pieces[i].literal == NULL)
			return false;
	return true;
}
