#ifndef POSTERN_QUEUE_CHECK_MAIN_H
#define POSTERN_QUEUE_CHECK_MAIN_H

/*
 * `postern-queue --check`: looks through the spool in the working folder, which nobody uses, and writes what it finds to stdout, in
 * pages of control_row records behind their length (8 bytes, big-endian).  It is run as the owner of the spool, reads only, and does
 * so in a cage without any other right.  Returns the exit code: 0, or 75 when it could not look.
 */
int check_main(void);

#endif
