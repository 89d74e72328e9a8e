#include "command.h"

#include "import_virtual.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* import postfix: what another server's tables say, as tables of ours on stdout; what could not be carried over, on stderr. */

struct leaving {
	const char *path;
	size_t count;
};

static void tell_left(size_t line, struct slice key, const char *what, void *arg)
{
	struct leaving *l = arg;
	struct buf text = buf_make(2048);

	l->count++;
	if (text_add_safe(key, &text))
		fprintf(stderr, "%s:%zu: %s: %s\n", l->path, line, buf_text(&text), what);
	buf_free(&text);
}

static bool read_whole(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd == -1 ? -1 : 1;

	while (n > 0) {
		char *room = buf_room(out, 65536);

		if (room == NULL) {
			errno = EFBIG;
			n = -1;
			break;
		}
		n = read(fd, room, 65536);
		if (n > 0)
			buf_grew(out, (size_t)n);
	}
	if (fd != -1)
		close(fd);
	return n == 0;
}

int run_import_postfix(const struct cli *cli, const struct command *command)
{
	struct buf text = buf_make(IMPORT_BYTES_MAX + 65536), out = buf_make(IMPORT_BYTES_MAX);
	struct leaving left = {cli->virtual_aliases, 0};
	int exit = CLI_OK;

	(void)command;
	if (cli->virtual_aliases == NULL)
		exit = complain(CLI_USAGE, "import postfix", "say what to read: --virtual FILE, the source of a virtual_alias_maps");
	else if (!read_whole(cli->virtual_aliases, &text))
		exit = complain(CLI_TEMPORARY, cli->virtual_aliases, strerror(errno));
	else if (!import_virtual(buf_slice(&text), &out, tell_left, &left))
		exit = complain(CLI_REFUSED, cli->virtual_aliases, "more than a table's file may hold; put it into a database");
	else if (!print_out(&out))
		exit = CLI_TEMPORARY;
	if (exit == CLI_OK && left.count > 0)
		exit = complain(CLI_REFUSED, cli->virtual_aliases, "all else was carried over, but not these lines");
	buf_free(&text);
	buf_free(&out);
	return exit;
}
