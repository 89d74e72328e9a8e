/* For a test, by LD_PRELOAD: a process believes that it has loaded its system call filter, and has none. */
#include <seccomp.h>

int seccomp_load(const scmp_filter_ctx filter)
{
	(void)filter;
	return 0;
}
