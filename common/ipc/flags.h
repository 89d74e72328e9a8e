#ifndef POSTERN_IPC_FLAGS_H
#define POSTERN_IPC_FLAGS_H

/*
 * The bits inside number fields of messages: what several processes must read alike.  `notify`, `ret`, `envid` and `orcpt`:
 * mail/dsn.h.
 */

/* POLICY_ASK.flags: what the client did out of turn. */
enum policy_flag {
	POLICY_EARLY = 1 << 0, /* spoke before the banner */
	POLICY_PIPELINED = 1 << 1, /* sent commands behind HELO or EHLO before the answer */
	POLICY_FROM_UNCLEAR = 1 << 2, /* From or Sender is there twice, or is no list of addresses that can be read; or a line goes
				   on with nothing, which readers may take for the rest of another */
};

/* ROUTE_ASK.mode. */
enum route_mode {
	ROUTE_MODE_WHOLE, /* as the rules say; a list with an owner is one target, DIRECTIVE_LIST */
	ROUTE_MODE_FINAL, /* it was expanded before: transport and next hop only */
	ROUTE_MODE_LIST, /* such a list: its members, whose sender is `owner` */
};

/* ROUTE_ANSWER.route_target_records: of one page, and of all pages of an answer, in bytes. */
#define ROUTE_PAGE_MAX 120000u
#define ROUTE_RECORDS_MAX (16u << 20)

/* ACCOUNT.uid of NOT_FOUND, where there is no such user at all. */
#define ACCOUNT_NO_UID UINT64_MAX

/* DRAFT_OPEN.flags and JOB_START.flags: what the message needs from the hosts it goes to. */
enum job_flag {
	JOB_8BIT = 1 << 0, /* the body has octets above 127 (RFC 6152) */
	JOB_SMTPUTF8 = 1 << 1, /* an address or header is UTF-8 (RFC 6531) */
	JOB_BINARY = 1 << 2, /* behind the header come octets, not lines (RFC 3030): never by DATA */
};

/* JOB_RECIPIENT.handover: who owes the sender word of a success (RFC 3461 §5.2). */
enum job_handover {
	HANDOVER_DELIVERED, /* nobody comes after: we do */
	HANDOVER_RELAYED, /* to a host without DSN: we do, for nobody else will */
	HANDOVER_PASSED_ON, /* with all that was asked for, to a host with DSN: that host */
	HANDOVER_EXPANDED, /* to several, who do not ask for it: we do, of that much */
};

#endif
