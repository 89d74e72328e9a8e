#include "owned_filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

static void give_up(const char *what)
{
	fprintf(stderr, "owned: %s\n", what);
	exit(1);
}

int owned_filters_read(pid_t pid, struct owned_filters *out)
{
	*out = (struct owned_filters){.count = 0};
	for (size_t i = 0; i < OWNED_FILTERS_MAX; i++) {
		long length = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, i, NULL);

		if (length == -1)
			return errno == ENOENT ? 0 : errno;
		out->program[i] = calloc((size_t)length, sizeof(struct sock_filter));
		if (out->program[i] == NULL || ptrace(PTRACE_SECCOMP_GET_FILTER, pid, i, out->program[i]) == -1)
			return ENOMEM;
		out->length[i] = (size_t)length;
		out->count++;
	}
	give_up("a process has more filters than are looked at");
	return ENOMEM;
}

static uint32_t word_at(const struct seccomp_data *call, uint32_t offset)
{
	uint32_t word;

	if (offset > sizeof(*call) - sizeof(word))
		give_up("a filter looks beyond the call");
	memcpy(&word, (const char *)call + offset, sizeof(word));
	return word;
}

static int is_taken(const struct sock_filter *s, uint32_t a)
{
	switch (BPF_OP(s->code)) {
	case BPF_JEQ:
		return a == s->k;
	case BPF_JGT:
		return a > s->k;
	case BPF_JGE:
		return a >= s->k;
	case BPF_JSET:
		return (a & s->k) != 0;
	default:
		give_up("a filter jumps in a way that is not known here");
		return 0;
	}
}

/* What libseccomp writes: loads of the call's words, masks, jumps forward, a verdict. */
static uint32_t run(const struct sock_filter *program, size_t length, const struct seccomp_data *call)
{
	uint32_t a = 0;

	for (size_t at = 0; at < length; at++) {
		const struct sock_filter *s = &program[at];

		switch (BPF_CLASS(s->code)) {
		case BPF_LD:
			a = word_at(call, s->k);
			break;
		case BPF_ALU:
			if (BPF_OP(s->code) != BPF_AND)
				give_up("a filter reckons in a way that is not known here");
			a &= s->k;
			break;
		case BPF_JMP:
			if (BPF_OP(s->code) == BPF_JA)
				at += s->k;
			else
				at += is_taken(s, a) ? s->jt : s->jf;
			break;
		case BPF_RET:
			return s->k;
		default:
			give_up("a filter does something that is not known here");
		}
	}
	give_up("a filter ends without a verdict");
	return 0;
}

/* Of several filters the stricter verdict counts; the kernel compares them as signed numbers. */
uint32_t owned_filters_ask(const struct owned_filters *f, const struct seccomp_data *call)
{
	uint32_t strictest = SECCOMP_RET_ALLOW;

	for (size_t i = 0; i < f->count; i++) {
		uint32_t verdict = run(f->program[i], f->length[i], call);

		if ((int32_t)(verdict & SECCOMP_RET_ACTION_FULL) < (int32_t)(strictest & SECCOMP_RET_ACTION_FULL))
			strictest = verdict;
	}
	return strictest;
}
