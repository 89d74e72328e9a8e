#ifndef POSTERN_SUBMIT_SESSION_H
#define POSTERN_SUBMIT_SESSION_H

#include <stdbool.h>

/*
 * sendmail -bs: what comes on `in` goes to the server and what the server says to `out`, byte for byte, until the server ends
 * the connection; at the end of `in` the server is told that nothing more comes, and answers what it has heard.  A message
 * without its final dot is none.  Blocking; in each direction at most one buffer is kept.  False: the input or output failed.
 */
bool submit_session_run(int server, int in, int out);

#endif
