/*
 * unit_filter UNIT CALLS WRITABLE PROGRAM [ARGUMENT...]
 *
 * Runs PROGRAM in the box that the unit file UNIT describes, without systemd: mounts, bounding set, no_new_privs, system-call
 * filters.  CALLS is the list of @system-service; WRITABLE is the folder that stands for the unit's ReadWritePaths.
 * Root only.  Exit 99: the box could not be made.
 */
#include "unit.h"

#include "base/buf.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_BYTES_MAX 65536
#define NO_BOX 99

static bool read_whole(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char piece[4096];
	ssize_t n = -1;

	while (fd != -1 && (n = read(fd, piece, sizeof(piece))) > 0)
		if (!buf_add_slice(out, slice_make(piece, (size_t)n)))
			break;
	if (n != 0)
		perror(path);
	if (fd != -1)
		close(fd);
	return n == 0;
}

int main(int argc, char **argv)
{
	struct buf text = buf_make(FILE_BYTES_MAX), calls = buf_make(FILE_BYTES_MAX);
	struct unit unit;

	if (argc < 5) {
		fprintf(stderr, "usage: unit_filter UNIT CALLS WRITABLE PROGRAM [ARGUMENT...]\n");
		return NO_BOX;
	}
	if (!read_whole(argv[1], &text) || !read_whole(argv[2], &calls) || !unit_read(buf_slice(&text), &unit))
		return NO_BOX;
	if (!unit_enter_mounts(&unit, argv[3]) || !unit_enter_rights(&unit) || !unit_enter_filters(&unit, buf_slice(&calls)))
		return NO_BOX;
	execv(argv[4], argv + 4);
	perror(argv[4]);
	return NO_BOX;
}
