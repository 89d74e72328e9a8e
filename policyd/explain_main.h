#ifndef POSTERN_POLICYD_EXPLAIN_MAIN_H
#define POSTERN_POLICYD_EXPLAIN_MAIN_H

/*
 * `postern-policyd --route FILE`: evaluates the routes of a configuration without a server, for `postern route`.  The question comes
 * by stdin as control_field records; the rows of explain.h go to stdout.  Run by root it opens the tables that the configuration
 * names, becomes the user that policyd has, enters a cage, and reads them there; others see what they may read.  It writes nothing.
 * Returns the exit code; what is wrong was said on stderr.
 */
int explain_main(const char *config);

#endif
