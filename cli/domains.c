#include "domains_own.h"

#include "base/mem.h"
#include "sqlite_at/sqlite_at.h"

#include <unistd.h>

enum outcome domains_fail(struct buf *why, enum outcome oc, const char *text)
{
	buf_add_text(why, text);
	return oc;
}

struct domains *domains_open(const struct conf_table *table, bool create, struct buf *why)
{
	struct domains *d = mem_new(1, sizeof(*d));

	if (d == NULL) {
		buf_add_text(why, "out of memory");
		return NULL;
	}
	*d = (struct domains){table->kind == TABLE_SQLITE ? &domains_sqlite : &domains_folder, table->path, -1, NULL};
	if (!d->kind->open(d, create, why))
		domains_close(&d);
	return d;
}

void domains_close(struct domains **dp)
{
	struct domains *d = *dp;

	if (d == NULL)
		return;
	*dp = NULL;
	sqlite_at_close(&d->db);
	if (d->folder != -1)
		close(d->folder);
	free(d);
}

enum outcome domains_add(struct domains *d, struct slice domain, struct buf *why)
{
	return d->kind->add(d, domain, why);
}

enum outcome domains_remove(struct domains *d, struct slice domain, struct buf *why)
{
	return d->kind->remove(d, domain, why);
}

enum outcome domains_restore(struct domains *d, struct slice domain, struct buf *why)
{
	return d->kind->restore(d, domain, why);
}

enum outcome domains_find(struct domains *d, struct slice domain, domains_fn *fn, void *arg, struct buf *why)
{
	return d->kind->find(d, domain, fn, arg, why);
}

enum outcome domains_list(struct domains *d, domains_fn *fn, void *arg, struct buf *why)
{
	return d->kind->list(d, fn, arg, why);
}

/* A line that begins with a blank goes on with the one before. */
size_t domains_count_aliases(struct slice text)
{
	struct slice line;
	size_t count = 0;

	while (slice_cut(&text, '\n', &line))
		count += line.len > 0 && line.at[0] != '#' && line.at[0] != ' ' && line.at[0] != '\t' && slice_trim(line).len > 0;
	return count;
}
