#include "conf/settings.h"

#include "base/mem.h"

#define FIELD(name) offsetof(struct conf_settings, name)

static const struct setting settings[] = {
#define SET_TEXT(name, def, doc) {#name, SETTING_TEXT, FIELD(name), def, "", "", doc},
#define SET_NUMBER(name, def, min, max, doc) \
	{#name, SETTING_NUMBER, FIELD(name), #def, #min, #max, doc},
#define SET_SIZE(name, def, min, max, doc) {#name, SETTING_SIZE, FIELD(name), def, min, max, doc},
#define SET_TIME(name, def, min, max, doc) {#name, SETTING_TIME, FIELD(name##_ms), def, min, max, doc},
#define SET_BOOL(name, def, doc) {#name, SETTING_BOOL, FIELD(name), def, "", "", doc},
#include "conf/settings.def"
#undef SET_TEXT
#undef SET_NUMBER
#undef SET_SIZE
#undef SET_TIME
#undef SET_BOOL
};

_Static_assert(ARRAY_LEN(settings) <= SETTINGS_MAX, "raise SETTINGS_MAX");

size_t settings_count(void)
{
	return ARRAY_LEN(settings);
}

const struct setting *setting_at(size_t i)
{
	return &settings[i];
}

static bool same_name(struct slice said, struct slice name)
{
	if (said.len != name.len)
		return false;
	for (size_t i = 0; i < said.len; i++)
		if ((said.at[i] == '-' ? '_' : said.at[i]) != name.at[i])
			return false;
	return true;
}

size_t setting_find(struct slice name)
{
	size_t i = 0;

	while (i < ARRAY_LEN(settings) && !same_name(name, slice_of(settings[i].name)))
		i++;
	return i;
}
