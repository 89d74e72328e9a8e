#ifndef POSTERN_TESTS_OWNED_PUPPET_H
#define POSTERN_TESTS_OWNED_PUPPET_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/user.h>

/*
 * Another process, made to do system calls as if its own code had been taken over (x86-64).  It is stopped while it is held;
 * memory and registers are as before when it is let go.
 */
#define PUPPET_SPACE 4096

struct puppet {
	pid_t pid;
	int memory; /* owned: its memory, by /proc */
	struct user_regs_struct before;
	unsigned long gate; /* where a syscall instruction of its own stands */
	unsigned long space; /* PUPPET_SPACE bytes that may be written */
	char saved[PUPPET_SPACE];
};

/* Ends this program, with words, where it cannot be done. */
void puppet_hold(struct puppet *p, pid_t pid);
void puppet_let_go(struct puppet *p);
/* Writes into its space; returns where that lies for it. */
unsigned long puppet_put(struct puppet *p, size_t offset, const void *bytes, size_t len);
/* What the kernel says: a value, or minus an errno. */
long puppet_call(struct puppet *p, long number, const unsigned long args[6]);

#endif
