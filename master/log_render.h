#ifndef POSTERN_LOG_RENDER_H
#define POSTERN_LOG_RENDER_H

#include "base/buf.h"
#include "base/log.h"
#include "ipc/message.h"

/*
 * An event as bytes.  Pure.  Whatever a process sent: one event is one line of printable ASCII, and who said it comes from the
 * link, so that nothing in an event can look like another one.
 */
struct log_event {
	enum log_level level;
	int64_t wall_ms;
	enum role role;
	uint64_t instance;
	struct slice event;
	struct slice fields;
};

/* Takes what a peer sent as far as it is well formed: an unknown level is an error, an event's name that is none becomes
 * "invalid-event", a time that is not within the last minute becomes `now_ms`. */
void log_event_take(const struct msg_LOG_RECORD *record, int64_t now_ms, struct log_event *out);
/* "key=value key="va lue"", as log_format makes it. */
bool log_fields_are_valid(struct slice fields);

/* 2026-11-21T09:11:31.123Z info smtpd[2] recipient-refused code=550\n */
bool log_render_line(const struct log_event *e, struct buf *out);
/* RFC 3164 §4.1, as /dev/log takes it: <22>Nov 21 09:11:31 postern-smtpd[2]: recipient-refused code=550 */
bool log_render_syslog(const struct log_event *e, struct buf *out);
/* The native protocol of systemd-journald: FIELD=value lines. */
bool log_render_journal(const struct log_event *e, struct buf *out);

#endif
