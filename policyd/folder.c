#include "folder.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "file_at/file_at.h"

#include <errno.h>
#include <sys/queue.h>

/* Always: `text` is what the last good reading gave; NULL: none was good. */
struct kept {
	TAILQ_ENTRY(kept) peers;
	struct file_at_mark mark; /* of what was read last, well formed or not */
	struct table_text *text; /* owned */
	size_t bytes; /* of that file */
	char why[256]; /* of what was read last; "": it is well formed */
	char name[256];
};

struct folder {
	int fd; /* borrowed */
	struct map *names; /* struct kept, owned by `files` */
	TAILQ_HEAD(kept_list, kept) files; /* asked for last, first */
	size_t bytes;
};

struct folder *folder_new(int fd)
{
	struct folder *f = mem_new(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->fd = fd;
	TAILQ_INIT(&f->files);
	f->names = map_new(FOLDER_FILES_MAX + 1);
	if (f->names == NULL) {
		free(f);
		return NULL;
	}
	return f;
}

static void drop(struct folder *f, struct kept *k)
{
	(void)map_take(f->names, slice_of(k->name));
	TAILQ_REMOVE(&f->files, k, peers);
	f->bytes -= k->bytes;
	table_text_free(&k->text);
	free(k);
}

void folder_free(struct folder **fp)
{
	struct folder *f = *fp;
	struct kept *k;

	if (f == NULL)
		return;
	*fp = NULL;
	while ((k = TAILQ_FIRST(&f->files)) != NULL)
		drop(f, k);
	map_free(&f->names);
	free(f);
}

size_t folder_kept(const struct folder *f)
{
	return map_count(f->names);
}

/* All but the one in hand may go. */
static void make_room(struct folder *f, const struct kept *in_hand)
{
	struct kept *last;

	while (map_count(f->names) > FOLDER_FILES_MAX || f->bytes > FOLDER_BYTES_MAX) {
		last = TAILQ_LAST(&f->files, kept_list);
		if (last == in_hand)
			return;
		drop(f, last);
	}
}

static void set_why(struct kept *k, struct slice why)
{
	(void)slice_copy(slice_sub(why, 0, sizeof(k->why) - 1), k->why, sizeof(k->why));
}

static void take_text(struct folder *f, struct kept *k, struct buf *text)
{
	struct buf why = buf_make(sizeof(k->why));
	size_t bytes = text->len;
	struct table_text *fresh = table_text_parse(text, &why);

	set_why(k, buf_slice(&why));
	if (fresh != NULL) {
		table_text_free(&k->text);
		k->text = fresh;
		f->bytes = f->bytes - k->bytes + bytes;
		k->bytes = bytes;
	}
	buf_free(&why);
}

/* False: it cannot be read now, and what it said before is not what it says. */
static bool read_again(struct folder *f, struct kept *k, const struct file_at *file)
{
	struct buf text = buf_make(FOLDER_FILE_MAX);
	struct stat st;
	bool done = file_at_read(file, &text, &st, &k->mark);

	if (done)
		take_text(f, k, &text);
	else
		set_why(k, log_errno_text(errno));
	buf_free(&text);
	return done;
}

static struct kept *keep(struct folder *f, struct slice name)
{
	struct kept *k = mem_new(1, sizeof(*k));

	if (k == NULL || !slice_copy(name, k->name, sizeof(k->name)) || !map_put(f->names, name, k)) {
		free(k);
		return NULL;
	}
	TAILQ_INSERT_HEAD(&f->files, k, peers);
	return k;
}

static enum answer answer_of(const struct kept *k, const struct table_text **out, struct buf *why)
{
	buf_add_text(why, k->why);
	*out = k->text;
	return k->text == NULL ? ANSWER_UNKNOWN : ANSWER_YES;
}

static enum answer serve(struct folder *f, struct kept *k, const struct file_at *file, const struct file_at_mark *mark, bool fresh,
			 const struct table_text **out, struct buf *why)
{
	enum answer answer = ANSWER_UNKNOWN;

	TAILQ_REMOVE(&f->files, k, peers);
	TAILQ_INSERT_HEAD(&f->files, k, peers);
	if (!fresh && file_at_mark_eq(mark, &k->mark))
		return answer_of(k, out, why);
	if (read_again(f, k, file)) {
		make_room(f, k);
		return answer_of(k, out, why);
	}
	buf_add_text(why, k->why);
	drop(f, k);
	return answer;
}

/* A file that is gone takes what is kept of it along. */
static enum answer not_there(struct folder *f, struct kept *k, int err, struct buf *why)
{
	if (k != NULL)
		drop(f, k);
	if (err == ENOENT)
		return ANSWER_NO;
	buf_add_slice(why, log_errno_text(err));
	return ANSWER_UNKNOWN;
}

enum answer folder_find(struct folder *f, struct slice name, const struct table_text **out, struct buf *why)
{
	struct kept *k = map_find(f->names, name);
	struct file_at file = {.fd = -1};
	struct file_at_mark mark;
	struct stat st;
	bool fresh = k == NULL;

	*out = NULL;
	if (slice_index(name, '/') != SLICE_NONE || !file_at_init(&file, f->fd, name))
		return ANSWER_NO; /* no file has such a name */
	if (!file_at_look(&file, &st, &mark))
		return not_there(f, k, errno, why);
	if (fresh)
		k = keep(f, name);
	if (k == NULL) {
		buf_add_text(why, "out of memory");
		return ANSWER_UNKNOWN;
	}
	return serve(f, k, &file, &mark, fresh, out, why);
}
