#include "maildir_path.h"

#include "base/id.h"

#include <stdio.h>

bool maildir_beneath(struct slice base, struct slice path, struct slice *relative_out)
{
	struct slice rest = slice_from(path, base.len);

	if (!slice_starts(path, base))
		return false;
	if (base.len > 1 && rest.len > 0) {
		if (rest.at[0] != '/')
			return false;
		rest = slice_from(rest, 1);
	}
	if (rest.len > 0 && rest.at[rest.len - 1] == '/')
		rest.len--;
	*relative_out = rest;
	return maildir_is_safe(rest);
}

static bool is_safe_part(struct slice part)
{
	if (part.len == 0 || part.len > 255)
		return false;
	return !slice_eq(part, slice_of(".")) && !slice_eq(part, slice_of(".."));
}

static bool has_control_byte(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] < ' ' || s.at[i] == 0x7f)
			return true;
	return false;
}

bool maildir_is_safe(struct slice relative)
{
	struct slice rest = relative, part;
	size_t depth = 0;

	if (relative.len >= MAILDIR_PATH_MAX || has_control_byte(relative))
		return false;
	if (relative.len > 0 && relative.at[relative.len - 1] == '/')
		return false;
	while (slice_cut(&rest, '/', &part))
		if (!is_safe_part(part) || ++depth > MAILDIR_DEPTH_MAX)
			return false;
	return true;
}

#define HOST_BYTES 64

static void host_text(struct slice host, char out[HOST_BYTES])
{
	size_t n = 0;

	for (size_t i = 0; i < host.len && n < HOST_BYTES - 1; i++) {
		char c = host.at[i];

		out[n++] = ascii_is_alnum(c) || c == '.' || c == '-' ? c : '_';
	}
	out[n] = '\0';
}

void maildir_name_make(const struct maildir_name *n, char out[MAILDIR_NAME_BYTES])
{
	char host[HOST_BYTES];
	char id[ID_CHARS + 1];

	host_text(n->host, host);
	id_text(n->id, id);
	snprintf(out, MAILDIR_NAME_BYTES, "%lld.M%03lldI%sP%lluQ%llu.%s", (long long)(n->wall_ms / 1000),
		 (long long)(n->wall_ms % 1000), id, (unsigned long long)n->process, (unsigned long long)n->counter,
		 host[0] == '\0' ? "localhost" : host);
}
