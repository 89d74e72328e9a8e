/*
 * spool_look SPOOL...
 *
 * Reads each message file of a spool as the queue does at its start, and says what it is, a line each:
 *	FOLDER ID ok SLOTS PARENT RECIPIENT,RECIPIENT,... SUBJECT
 *	FOLDER ID unfinished|corrupt|newer|error
 * PARENT is the id of the message that a report is about, or "-".
 * After the last of each spool there is a line "end".
 */
#include "../../queue-manager/spool.h"

#include "base/id.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX (64u << 20)

static const char *const verdicts[] = {
	[SPOOL_OK] = "ok", [SPOOL_UNFINISHED] = "unfinished", [SPOOL_CORRUPT] = "corrupt", [SPOOL_NEWER] = "newer",
	[SPOOL_NO_MEMORY] = "error",
};

static bool read_whole(int dir, const char *name, struct buf *out)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char piece[65536];
	ssize_t n = -1;

	while (fd != -1 && (n = read(fd, piece, sizeof(piece))) > 0)
		if (!buf_add_slice(out, slice_make(piece, (size_t)n)))
			break;
	if (fd != -1)
		close(fd);
	return n == 0;
}

static struct slice subject_of(struct slice file, const struct spool_mail *mail)
{
	struct slice rest = slice_sub(file, (size_t)mail->body_offset, (size_t)mail->body_length), line = slice_empty();

	(void)slice_cut(&rest, '\r', &line);
	return line.len > 9 && memcmp(line.at, "Subject: ", 9) == 0 ? slice_from(line, 9) : slice_empty();
}

static void say(const char *folder, const char *name, const struct buf *file, const struct spool_mail *mail)
{
	char parent[ID_CHARS + 1] = "-";

	if (mail->parent != 0)
		id_text(mail->parent, parent);
	printf("%s %s ok %.*s %s ", folder, name, SLICE_ARG(mail->slots), parent);
	for (size_t i = 0; i < mail->rcpt_count; i++)
		printf("%s%.*s", i == 0 ? "" : ",", SLICE_ARG(mail->rcpts[i].address));
	printf(" %.*s\n", SLICE_ARG(subject_of(buf_slice(file), mail)));
}

static void look_at(const char *folder, int dir, const char *name)
{
	struct buf file = buf_make(FILE_BYTES_MAX);
	struct spool_mail mail;
	enum spool_verdict verdict = SPOOL_NO_MEMORY;

	spool_mail_init(&mail);
	if (read_whole(dir, name, &file))
		verdict = spool_decode_whole(buf_slice(&file), &mail);
	if (verdict == SPOOL_OK)
		say(folder, name, &file, &mail);
	else
		printf("%s %s %s\n", folder, name, verdicts[verdict]);
	spool_mail_free(&mail);
	buf_free(&file);
}

static void look_into(const char *folder, int parent, const char *name, unsigned depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (depth > 0)
			look_into(folder, fd, entry->d_name, depth - 1);
		else
			look_at(folder, fd, entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
}

int main(int argc, char **argv)
{
	static const enum spool_folder folders[] = {SPOOL_NEW, SPOOL_CUR, SPOOL_HOLD, SPOOL_CORRUPT_FOLDER};

	for (int i = 1; i < argc; i++) {
		int spool = open(argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		for (size_t f = 0; spool != -1 && f < ARRAY_LEN(folders); f++)
			look_into(spool_folder_name(folders[f]), spool, spool_folder_name(folders[f]), 2);
		if (spool != -1)
			close(spool);
		printf("end\n");
	}
	return 0;
}
