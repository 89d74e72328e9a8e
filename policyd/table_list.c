#include "table_list.h"

#include <stdio.h>

/* The text in hand, and the files it was reached through. */
struct level {
	const struct level *above; /* NULL: the value itself */
	struct slice path; /* "": the value */
	unsigned depth;
};

struct expansion {
	table_include_fn *include;
	void *include_arg;
	target_fn *fn;
	void *arg;
	const struct level *level;
	unsigned files;
	bool stopped;
	char *why; /* [TABLE_LIST_WHY_MAX] */
};

static bool unknown(struct expansion *e, struct slice path, const char *what)
{
	snprintf(e->why, TABLE_LIST_WHY_MAX, ":include:%.*s: %.200s", (int)(path.len > 200 ? 200 : path.len), path.at, what);
	return false;
}

static bool is_being_read(const struct expansion *e, struct slice path)
{
	for (const struct level *l = e->level; l != NULL; l = l->above)
		if (slice_eq(l->path, path))
			return true;
	return false;
}

static bool expand(struct expansion *e, struct slice text, struct level level);

static bool expand_text(struct expansion *e, struct slice path, struct buf *text)
{
	return expand(e, buf_slice(text), (struct level){e->level, path, e->level->depth + 1});
}

static bool read_include(struct expansion *e, struct slice path)
{
	struct buf text = buf_make(TABLE_LIST_FILE_MAX), why = buf_make(256);
	bool done;

	if (e->include == NULL)
		done = unknown(e, path, "nothing can be included here");
	else if (is_being_read(e, path))
		done = unknown(e, path, "it includes itself");
	else if (e->level->depth == TABLE_LIST_DEPTH)
		done = unknown(e, path, "included too deep");
	else if (e->files++ == TABLE_LIST_FILES)
		done = unknown(e, path, "too many files are included");
	else if (!e->include(e->include_arg, path, &text, &why))
		done = unknown(e, path, buf_text(&why));
	else
		done = expand_text(e, path, &text);
	buf_free(&text);
	buf_free(&why);
	return done;
}

static bool is_address(enum target_kind kind)
{
	return kind == TARGET_ADDRESS || kind == TARGET_LOCAL_USER;
}

static bool on_target(const struct target *target, void *arg)
{
	struct expansion *e = arg;

	if (target->kind == TARGET_INCLUDE)
		return read_include(e, target->text);
	if (e->level->above != NULL && !is_address(target->kind))
		return unknown(e, e->level->path, "an included file has addresses only");
	e->stopped = !e->fn(target, e->arg);
	return !e->stopped;
}

static bool expand(struct expansion *e, struct slice text, struct level level)
{
	const struct level *above = e->level;
	struct target_mistake mistake;
	enum target_end end;

	e->level = &level;
	end = target_list_parse(text, on_target, e, &mistake);
	e->level = above;
	if (end == TARGET_BAD)
		snprintf(e->why, TABLE_LIST_WHY_MAX, "%.*s%s%u:%u: %s", (int)(level.path.len > 200 ? 200 : level.path.len), level.path.at,
			 level.path.len > 0 ? ":" : "value:", mistake.line, mistake.column, mistake.why);
	return end == TARGET_DONE;
}

enum table_list_end table_list_expand(struct slice value, table_include_fn *include, void *include_arg, target_fn *fn, void *arg,
				      char why[TABLE_LIST_WHY_MAX])
{
	struct expansion e = {include, include_arg, fn, arg, NULL, 0, false, why};

	why[0] = '\0';
	if (expand(&e, value, (struct level){NULL, slice_empty(), 0}))
		return TABLE_LIST_DONE;
	return e.stopped ? TABLE_LIST_STOPPED : TABLE_LIST_UNKNOWN;
}
