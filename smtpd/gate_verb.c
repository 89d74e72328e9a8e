#include "gate_verb.h"

#include "base/mem.h"

static const struct gate_verb verbs[] = {
	{"queue.", ROLE_QUEUE, false},	 {"route.", ROLE_POLICYD, false}, {"policy.", ROLE_POLICYD, false},
	{"table.", ROLE_POLICYD, false},
	{"status", ROLE_MASTER, false},	 {"reload", ROLE_MASTER, false},  {"stop", ROLE_MASTER, false},
	{"clock.", ROLE_MASTER, false},	 {"upgrade", ROLE_MASTER, false},
};

static bool is_verb(const struct gate_verb *v, struct slice verb)
{
	struct slice name = slice_of(v->name);

	if (name.at[name.len - 1] == '.')
		return verb.len > name.len && slice_starts(verb, name);
	return slice_eq(verb, name);
}

const struct gate_verb *gate_verb_find(struct slice verb)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (is_verb(&verbs[i], verb))
			return &verbs[i];
	return NULL;
}

bool gate_verb_may(const struct gate_verb *verb, uid_t who, uid_t own)
{
	return verb->anybody || who == 0 || who == own;
}
