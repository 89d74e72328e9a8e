#ifndef POSTERN_DIALOGUE_H
#define POSTERN_DIALOGUE_H

#include "base/buf.h"

/*
 * Tests only.  Plays a written dialogue against the client and writes down what came of it.  Lines of a dialogue:
 *
 *   # comment
 *   set tls=required lmtp mx login in-clear     before anything else
 *   mail FROM [8bit] [utf8] [binary] TO...      gives it a mail as soon as it is ready; a binary one is as long as the body
 *   again                                       the same, for recipients that are left
 *   body TEXT                                   and, when it asks, this body (\n is CRLF)
 *   S: TEXT                                     the server says a line; "S+ TEXT" says it together with the next
 *   tls | login USER SECRET | quit | lost | late
 * and what is found out, which a replay must give again:
 *   C: TEXT                                     the client says
 *   = want                                      wants something other than to read
 *   V: ADDRESS outcome code dsn phase text      a verdict
 *   F: outcome code dsn phase text              why the session ended
 */
/* Bytes a client is given at a time; 0: as written. */
void dialogue_play(struct slice script, size_t piece, struct buf *transcript);

#endif
