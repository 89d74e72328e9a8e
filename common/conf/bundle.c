#include "conf/bundle.h"

#include "conf/include.h"
#include "conf/lex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of each file: 4 bytes length of the name, 4 bytes of the text (big-endian), the name, the text. */
#define HEAD_BYTES 8u
#define NAME_BYTES_MAX 4095u

static void put_u32(char out[4], size_t n)
{
	for (int i = 3; i >= 0; i--, n >>= 8)
		out[i] = (char)(n & 0xff);
}

static size_t get_u32(const char *at)
{
	size_t n = 0;

	for (int i = 0; i < 4; i++)
		n = n << 8 | (unsigned char)at[i];
	return n;
}

bool bundle_add(struct buf *bundle, struct slice name, struct slice text)
{
	char head[HEAD_BYTES];
	size_t before = bundle->len;

	if (name.len == 0 || name.len > NAME_BYTES_MAX || text.len > BUNDLE_FILE_MAX)
		return false;
	put_u32(head, name.len);
	put_u32(head + 4, text.len);
	if (buf_add(bundle, head, sizeof(head)) && buf_add_slice(bundle, name) &&
	    buf_add_slice(bundle, text))
		return true;
	bundle->len = before;
	return false;
}

bool bundle_next(struct slice *rest, struct slice *name_out, struct slice *text_out)
{
	size_t name, text;

	if (rest->len < HEAD_BYTES)
		return false;
	name = get_u32(rest->at);
	text = get_u32(rest->at + 4);
	if (name == 0 || name > NAME_BYTES_MAX || text > BUNDLE_FILE_MAX ||
	    name + text > rest->len - HEAD_BYTES)
		return false;
	*name_out = slice_sub(*rest, HEAD_BYTES, name);
	*text_out = slice_sub(*rest, HEAD_BYTES + name, text);
	*rest = slice_from(*rest, HEAD_BYTES + name + text);
	return true;
}

bool bundle_find(struct slice bundle, struct slice name, struct slice *text_out)
{
	struct slice at, text;

	while (bundle_next(&bundle, &at, &text))
		if (slice_eq(at, name)) {
			*text_out = text;
			return true;
		}
	return false;
}

/* ---- reading from disk ---- */

struct reader {
	struct buf *bundle, *why;
	size_t files;
	const char *from; /* the statement that names the file, for messages: "postern.conf:3: " */
};

static bool refuse(struct reader *r, const char *path, const char *what)
{
	buf_addf(r->why, "%s%s: %s", r->from, path, what);
	return false;
}

static bool read_all(struct reader *r, int fd, const char *path, size_t size, struct buf *text)
{
	char *room = buf_room(text, size);
	ssize_t n;

	if (room == NULL)
		return refuse(r, path, "out of memory");
	while (text->len < size) {
		n = read(fd, text->at + text->len, size - text->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return refuse(r, path, strerror(errno));
		if (n == 0)
			break; /* it shrank meanwhile: what is left is its text */
		buf_grew(text, (size_t)n);
	}
	return true;
}

/* O_NONBLOCK: a FIFO in place of a file must not stop us. */
static bool read_text(struct reader *r, const char *path, struct buf *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool ok;

	if (fd < 0)
		return refuse(r, path, strerror(errno));
	if (fstat(fd, &st) != 0)
		ok = refuse(r, path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		ok = refuse(r, path, "is not a regular file");
	else if (st.st_size > (off_t)BUNDLE_FILE_MAX)
		ok = refuse(r, path, "is larger than 1 MiB");
	else
		ok = read_all(r, fd, path, (size_t)st.st_size, text);
	close(fd);
	return ok;
}

static bool read_file(struct reader *r, const char *path, unsigned depth);

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t list_matching(const char *folder, struct slice pattern, char **names, size_t max)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t n = 0;

	if (dir == NULL)
		return 0;
	while (n < max && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.' && include_matches(pattern, slice_of(entry->d_name))) {
			names[n] = slice_dup(slice_of(entry->d_name));
			n += names[n] != NULL;
		}
	closedir(dir);
	qsort(names, n, sizeof(names[0]), by_name);
	return n;
}

/* `conf.d/X*.conf`: those there are, by name; none is no mistake. */
static bool read_matching(struct reader *r, const char *path, unsigned depth)
{
	char *names[BUNDLE_FILES_MAX];
	size_t slash = slice_rindex(slice_of(path), '/');
	struct buf folder = buf_make(NAME_BYTES_MAX);
	bool ok = true;
	size_t n;

	buf_add(&folder, path, slash == SLICE_NONE ? 0 : slash + 1);
	n = list_matching(folder.len == 0 ? "." : buf_text(&folder), slice_of(path + folder.len), names,
			  BUNDLE_FILES_MAX);
	for (size_t i = 0; i < n; i++) {
		struct buf full = buf_make(NAME_BYTES_MAX);

		buf_add_slice(&full, buf_slice(&folder));
		buf_add_text(&full, names[i]);
		ok = ok && (buf_ok(&full) ? read_file(r, buf_text(&full), depth)
					  : refuse(r, names[i], "the path is too long"));
		buf_free(&full);
		free(names[i]);
	}
	buf_free(&folder);
	return ok;
}

static bool follow(struct reader *r, const char *file, const struct token *t, unsigned depth)
{
	struct buf path = buf_make(NAME_BYTES_MAX), from = buf_make(NAME_BYTES_MAX + 64);
	const char *before = r->from;
	bool ok;

	include_resolve(slice_of(file), t->text, &path);
	buf_addf(&from, "%s:%u: include ", file, t->pos.line);
	r->from = buf_text(&from);
	if (!buf_ok(&path))
		ok = refuse(r, "", "the path is too long");
	else if (include_is_pattern(t->text))
		ok = read_matching(r, buf_text(&path), depth);
	else
		ok = read_file(r, buf_text(&path), depth);
	r->from = before;
	buf_free(&path);
	buf_free(&from);
	return ok;
}

/* Mistakes in the text are not told here: the compiler tells them, and more of them. */
static bool follow_includes(struct reader *r, const char *file, struct slice text, unsigned depth)
{
	struct arena *arena = arena_new(2 * BUNDLE_FILE_MAX + 65536);
	struct lex lex = lex_make(file, text, arena, NULL);
	enum token_kind before = TOKEN_LINE;
	bool ok = arena != NULL;

	while (ok) {
		struct token t = lex_next(&lex);

		if (t.kind == TOKEN_END)
			break;
		if (before == TOKEN_LINE && t.kind == TOKEN_WORD &&
		    slice_eq(t.text, slice_of("include"))) {
			t = lex_next(&lex);
			if (t.kind == TOKEN_STRING || t.kind == TOKEN_WORD)
				ok = follow(r, file, &t, depth + 1);
		}
		before = t.kind;
	}
	arena_free(&arena);
	return ok;
}

static bool read_file(struct reader *r, const char *path, unsigned depth)
{
	struct slice known;
	struct buf text = buf_make(BUNDLE_FILE_MAX);
	bool ok;

	if (bundle_find(buf_slice(r->bundle), slice_of(path), &known))
		return true; /* said twice: the compiler tells it */
	if (depth > INCLUDE_DEPTH_MAX)
		return refuse(r, path, "is included too deeply");
	if (r->files++ >= BUNDLE_FILES_MAX)
		return refuse(r, path, "is one file too many (256 at most)");
	ok = read_text(r, path, &text);
	if (ok && !bundle_add(r->bundle, slice_of(path), buf_slice(&text)))
		ok = refuse(r, path, "the whole configuration is larger than 8 MiB");
	ok = ok && follow_includes(r, path, buf_slice(&text), depth);
	buf_free(&text);
	return ok;
}

/* What the system calls itself is the default of `hostname`: read once, so that every process says the
 * same. */
static void add_system_name(struct buf *bundle)
{
	struct buf text = buf_make(512);
	char name[256] = "";

	if (gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0') {
		buf_addf(&text, "hostname \"%s\"\n", name);
		bundle_add(bundle, slice_of(BUNDLE_SYSTEM), buf_slice(&text));
	}
	buf_free(&text);
}

bool bundle_read(const char *path, struct buf *bundle, struct buf *why)
{
	struct reader r = {bundle, why, 0, ""};

	buf_free(bundle);
	*bundle = buf_make(BUNDLE_BYTES_MAX);
	if (!read_file(&r, path, 0))
		return false;
	add_system_name(bundle);
	return true;
}
