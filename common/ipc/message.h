#ifndef POSTERN_IPC_MESSAGE_H
#define POSTERN_IPC_MESSAGE_H

#include "base/buf.h"
#include "base/outcome.h"

/*
 * What processes say to each other, made from messages.def: one struct, one encoder and one decoder a message, and the
 * decision who may say it.  Structs never cross a socket: numbers are 8 bytes big-endian, texts a number and their bytes.
 */
enum role {
	ROLE_MASTER,
	ROLE_GATE,
	ROLE_SMTPD,
	ROLE_QUEUE,
	ROLE_POLICYD,
	ROLE_RELAY,
	ROLE_LOCAL,
	ROLE_AUTHD,
	ROLE_KEYD,
	ROLE_RESOLVER,
	ROLE_DIAL,
	ROLE_LOOKUP,
	ROLE_LOG,
	ROLE_CONF, /* the master's configuration reader */
	ROLE_MAILBOX, /* a child of local, one user's */
	ROLE_VERIFIER, /* a child of authd */
	ROLE_CTL, /* an operator's command */
	ROLE_COUNT
};

const char *role_name(enum role role); /* "smtpd"; "?" out of range */
/* ROLE_COUNT when there is no such role. */
enum role role_from(uint64_t number);

enum ipc_type {
#define MSG(name, from, to, fds, max, resend, fields) IPC_##name,
#define REC(name, max, fields)
#include "ipc/messages.def"
#undef MSG
#undef REC
	IPC_COUNT
};

const char *ipc_type_name(enum ipc_type type);

/* struct msg_SESSION_OPEN, ...; texts are borrowed from the receive buffer until the handler returns. */
#define U64(n) uint64_t n;
#define OUTCOME(n) enum outcome n;
#define TEXT(n, max) struct slice n;
#define BYTES(n, max) struct slice n;
#define SECRET(n, max) struct slice n;
#define MSG(name, from, to, fds, max, resend, fields) struct msg_##name { fields };
#define REC(name, max, fields) struct rec_##name { fields };
#include "ipc/messages.def"
#undef U64
#undef OUTCOME
#undef TEXT
#undef BYTES
#undef SECRET
#undef MSG
#undef REC

/* A decoded message.  Use the member of its type: m->body.SESSION_OPEN.session. */
struct ipc_message {
	enum ipc_type type;
	uint64_t request; /* 0: a statement */
	bool is_answer;
	int fd; /* -1: none.  The handler takes it (sets it to -1) or the link closes it. */
	union {
#define MSG(name, from, to, fds, max, resend, fields) struct msg_##name name;
#define REC(name, max, fields)
#include "ipc/messages.def"
#undef MSG
#undef REC
	} body;
};

/* On the wire before each payload: 2 bytes type, 2 bytes flags (1: answer), 4 bytes payload length, 8 bytes request. */
#define IPC_HEAD_BYTES 16
struct ipc_head {
	uint16_t type;
	uint16_t flags;
	uint32_t length;
	uint64_t request;
};
#define IPC_FLAG_ANSWER 1u

enum ipc_verdict { IPC_ADMIT, IPC_FORGED, IPC_MALFORMED };

/* Decides before one byte of the payload is read.  IPC_FORGED: this peer may not say that to us.  IPC_MALFORMED: no honest
 * peer sends this. */
enum ipc_verdict ipc_admit(enum role self, enum role peer, const struct ipc_head *head, size_t fd_count);
/* Whether `peer` may ever send `self` a descriptor: if not, receive without a control buffer. */
bool ipc_takes_fds(enum role self, enum role peer);
/* FD_ONE and FD_MAYBE messages may carry one. */
bool ipc_may_carry_fd(enum ipc_type type);
bool ipc_is_resendable(enum ipc_type type);
/* The payload holds a secret: buffers it passed through are wiped. */
bool ipc_is_secret(enum ipc_type type);

/* The only type that answers this question; IPC_COUNT: it is no question. */
enum ipc_type ipc_answer_of(enum ipc_type question);

bool ipc_head_decode(struct slice bytes, struct ipc_head *out);
void ipc_head_encode(const struct ipc_head *head, char out[IPC_HEAD_BYTES]);

/* `body` is the struct msg_... of that type.  False: a field is beyond its maximum (nothing is cut), or no memory. */
bool ipc_encode(enum ipc_type type, const void *body, struct buf *out);
/* Fills m->body.  False: a truncated, oversized or over-long payload, or a NUL in a text. */
bool ipc_decode(enum ipc_type type, struct slice payload, struct ipc_message *m);

/* Records: rec_mx_host_add(&buf, &host); while (rec_mx_host_next(&rest, &host)) ...; ends with rest.len == 0, and a
 * malformed one ends the walk early with rest.len > 0. */
#define MSG(name, from, to, fds, max, resend, fields)
#define REC(name, max, fields)                                                                     \
	bool rec_##name##_add(struct buf *out, const struct rec_##name *rec);                      \
	bool rec_##name##_next(struct slice *rest, struct rec_##name *out);
#include "ipc/messages.def"
#undef MSG
#undef REC

#endif
