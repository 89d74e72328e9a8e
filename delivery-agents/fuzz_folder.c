#include "folder.h"

#include "base/log.h"
#include "base/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_plain(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] <= ' ' || name.at[i] > '~' || name.at[i] == '&')
			return false;
	return true;
}

/* One name in the Maildir, of printed ASCII, that no level of leads upwards. */
static void check_path(struct slice name, const char path[FOLDER_BYTES])
{
	struct slice rest, level;
	size_t len = strnlen(path, FOLDER_BYTES);

	MUST(len < FOLDER_BYTES && strchr(path, '/') == NULL);
	if (len == 0)
		return;
	MUST(path[0] == '.');
	rest = slice_make(path + 1, len - 1);
	while (slice_cut(&rest, '.', &level))
		MUST(level.len > 0);
	for (size_t i = 0; i < len; i++)
		MUST(path[i] >= ' ' && path[i] <= '~');
	if (is_plain(name) && !slice_starts_nocase(name, slice_of("INBOX")))
		MUST(len == name.len + 1);
}

/* Flags up to the first NUL, then a folder's name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make((const char *)data, size), words;
	char path[FOLDER_BYTES], flags[FLAG_BYTES];

	if (!slice_cut(&rest, '\0', &words))
		return 0;
	folder_flags(words, flags);
	MUST(strnlen(flags, FLAG_BYTES) < FLAG_BYTES);
	for (size_t i = 1; flags[0] != '\0' && flags[i] != '\0'; i++)
		MUST(flags[i - 1] < flags[i]);
	if (folder_path(rest, path))
		check_path(rest, path);
	return 0;
}
