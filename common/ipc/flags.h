#ifndef POSTERN_IPC_FLAGS_H
#define POSTERN_IPC_FLAGS_H

/*
 * The bits inside number fields of messages: what several processes must read alike.
 */

/* POLICY_ASK.flags: what the client did out of turn. */
enum policy_flag {
	POLICY_EARLY = 1 << 0, /* spoke before the banner */
	POLICY_PIPELINED = 1 << 1, /* sent commands behind HELO or EHLO before the answer */
};

/* DRAFT_OPEN.flags and JOB_START.flags: what the message needs from the hosts it goes to. */
enum job_flag {
	JOB_8BIT = 1 << 0, /* the body has octets above 127 (RFC 6152) */
	JOB_SMTPUTF8 = 1 << 1, /* an address or header is UTF-8 (RFC 6531) */
	JOB_BINARY = 1 << 2, /* behind the header come octets, not lines (RFC 3030): never by DATA */
};

/* DRAFT_RCPT.notify, job_recipient.notify: RFC 3461 §4.1; 0 is what is usual: FAILURE and DELAY. */
enum dsn_notify { DSN_NEVER = 1 << 0, DSN_SUCCESS = 1 << 1, DSN_FAILURE = 1 << 2, DSN_DELAY = 1 << 3 };

/* DRAFT_OPEN.ret, JOB_START.ret: RFC 3461 §4.3. */
enum dsn_ret { DSN_RET_UNSAID, DSN_RET_FULL, DSN_RET_HDRS };

#endif
