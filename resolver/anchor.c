#include "anchor.h"

#include "base/mem.h"

#include <fcntl.h>
#include <unistd.h>

#define FILE_BYTES_MAX 65536u

/* https://data.iana.org/root-anchors/root-anchors.xml: KSK-2017 and KSK-2024. */
static const char built_in[] = ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
			       ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n";

static const char *const files[] = {"/usr/share/dns/root.key", "/var/lib/unbound/root.key"};

static bool is_anchor(struct slice line)
{
	struct slice word;
	bool is_root = slice_word(&line, &word) && slice_eq(word, slice_of("."));

	while (is_root && slice_word(&line, &word))
		if (slice_eq(word, slice_of("DS")) || slice_eq(word, slice_of("DNSKEY")))
			return line.len > 0;
	return false;
}

void anchor_parse(struct slice text, struct buf *out)
{
	struct slice line;

	while (slice_cut(&text, '\n', &line)) {
		line = slice_trim(slice_sub(line, 0, slice_index(line, ';')));
		if (!is_anchor(line) || slice_index(line, '\r') != SLICE_NONE)
			continue;
		buf_add_slice(out, line);
		buf_add_char(out, '\n');
	}
}

static void read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buf text = buf_make(FILE_BYTES_MAX);
	char *room = fd < 0 ? NULL : buf_room(&text, FILE_BYTES_MAX);
	ssize_t n = room == NULL ? 0 : read(fd, room, FILE_BYTES_MAX);

	if (n > 0) {
		buf_grew(&text, (size_t)n);
		anchor_parse(buf_slice(&text), out);
	}
	buf_free(&text);
	if (fd >= 0)
		close(fd);
}

void anchor_read(struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(files) && out->len == 0; i++)
		read_file(files[i], out);
	if (out->len == 0)
		anchor_parse(slice_of(built_in), out);
}
