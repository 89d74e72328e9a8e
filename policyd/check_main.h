#ifndef POSTERN_POLICYD_CHECK_MAIN_H
#define POSTERN_POLICYD_CHECK_MAIN_H

/*
 * `postern-policyd --check FILE`: what `postern check` and newaliases say of the tables of a configuration: files that are not well
 * formed and aliases that say nothing, each with file and line (exit 78); mail for root that is for nobody in particular (a warning).
 * Files that it may not read are passed over.
 */
int check_main(const char *config);

#endif
