#ifndef POSTERN_TESTS_OWNED_FILTER_H
#define POSTERN_TESTS_OWNED_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The filters of a traced process, asked without being met: a call that would kill it can be tried and it lives on. */
#define OWNED_FILTERS_MAX 8

struct owned_filters {
	struct sock_filter *program[OWNED_FILTERS_MAX]; /* owned; freed with the process that asks */
	size_t length[OWNED_FILTERS_MAX], count;
};

/* 0, or an errno: EACCES, EIO or EINVAL where this kernel does not tell. */
int owned_filters_read(pid_t pid, struct owned_filters *out);
/* What the kernel would do: SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | errno, or SECCOMP_RET_KILL_PROCESS. */
uint32_t owned_filters_ask(const struct owned_filters *f, const struct seccomp_data *call);

#endif
