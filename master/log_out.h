#ifndef POSTERN_LOG_OUT_H
#define POSTERN_LOG_OUT_H

#include "log_render.h"

/*
 * Where events go.  Nothing here waits: what a destination does not take now is kept up to a ceiling, and then dropped and
 * counted.
 *
 * A file is opened only beneath the folder's descriptor, without following a symbolic link, and only taken when it is a regular
 * file of ours with one name; while there is none, lines go to stderr.
 */
enum log_kind { LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_SYSLOG, LOG_TO_JOURNALD };

/* The setting `log`: "stderr", "syslog", "journald", or an absolute path.  False: none of these. */
bool log_kind_of(struct slice setting, enum log_kind *out);
/* "/var/log/postern/log" -> "/var/log/postern" and "log".  False: no file's path. */
bool log_split_path(struct slice path, struct slice *folder_out, struct slice *name_out);

struct log_out {
	enum log_kind kind;
	int folder_fd; /* owned; -1 */
	char name[256]; /* of the file */
	const char *socket_path;
	int fd; /* owned: the file, or the connected socket; -1 */
	struct buf waiting; /* lines not yet written */
	uint64_t dropped; /* since log_out_dropped */
	char why[160]; /* why there is no destination now; "" */
};

#define LOG_WAITING_MAX (4u << 20)
#define LOG_SYSLOG_SOCKET "/dev/log"
#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

void log_out_init(struct log_out *o, enum log_kind kind);
/* For LOG_TO_FILE; `folder_fd` is duplicated.  False: no such name. */
bool log_out_set_file(struct log_out *o, int folder_fd, struct slice name);
void log_out_close(struct log_out *o);

/* Opens or connects again.  False with `why`; the destination it had stays where a file is concerned. */
bool log_out_open(struct log_out *o);
void log_out_add(struct log_out *o, const struct log_event *e);
/* Writes what waits, as far as it is taken. */
void log_out_flush(struct log_out *o);
/* The file's name is another file now (it was rotated), or a destination is missing: opened again.  False as log_out_open. */
bool log_out_check(struct log_out *o);
uint64_t log_out_dropped(struct log_out *o);

#endif
