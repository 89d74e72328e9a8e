#ifndef POSTERN_CONF_SETTINGS_H
#define POSTERN_CONF_SETTINGS_H

#include "conf/conf.h"

/* settings.def as a table. */
enum setting_kind { SETTING_TEXT, SETTING_NUMBER, SETTING_SIZE, SETTING_TIME, SETTING_BOOL };

struct setting {
	const char *name; /* with _ ; `-` is read as the same */
	enum setting_kind kind;
	size_t offset; /* in struct conf_settings */
	const char *initial, *min, *max; /* as in the text of a configuration */
	const char *about;
};

#define SETTINGS_MAX 128u

size_t settings_count(void);
const struct setting *setting_at(size_t i);
/* settings_count(): no such setting. */
size_t setting_find(struct slice name);

#endif
