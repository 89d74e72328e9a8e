#include "ipc/message.h"

#include "base/mem.h"

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_MASTER] = "master",     [ROLE_GATE] = "gate",	      [ROLE_SMTPD] = "smtpd",
	[ROLE_QUEUE] = "queue",	      [ROLE_POLICYD] = "policyd",     [ROLE_RELAY] = "relay",
	[ROLE_LOCAL] = "local",	      [ROLE_AUTHD] = "authd",	      [ROLE_KEYD] = "keyd",
	[ROLE_RESOLVER] = "resolver", [ROLE_DIAL] = "dial",	      [ROLE_LOG] = "log",
	[ROLE_LOOKUP] = "lookup",
	[ROLE_CONF] = "conf",	      [ROLE_MAILBOX] = "mailbox",     [ROLE_VERIFIER] = "verifier",
	[ROLE_CTL] = "ctl",
};

const char *role_name(enum role role)
{
	return (unsigned)role < ROLE_COUNT ? role_names[role] : "?";
}

enum role role_from(uint64_t number)
{
	return number < ROLE_COUNT ? (enum role)number : ROLE_COUNT;
}

enum fd_rule { FD_NONE, FD_ONE, FD_MAYBE };
enum resend_rule { ONCE, AGAIN };

struct rule {
	const char *name;
	uint32_t from, to;
	enum fd_rule fds;
	uint32_t max;
	enum resend_rule resend;
	bool secret;
};

/* The `secret` column: an expression that is true when one of the fields is SECRET. */
#define R(role) (1u << ROLE_##role)
#define ANY ((1u << ROLE_COUNT) - 1)
#define U64(n) || false
#define OUTCOME(n) || false
#define TEXT(n, max) || false
#define BYTES(n, max) || false
#define SECRET(n, max) || true
#define MSG(name, from, to, fds, max, resend, fields)                                              \
	[IPC_##name] = {#name, (from), (to), fds, (max), resend, false fields},
#define REC(name, max, fields)
static const struct rule rules[IPC_COUNT] = {
#include "ipc/messages.def"
};
#undef MSG
#undef REC
#undef U64
#undef OUTCOME
#undef TEXT
#undef BYTES
#undef SECRET

const char *ipc_type_name(enum ipc_type type)
{
	return (unsigned)type < IPC_COUNT ? rules[type].name : "?";
}

static bool has_role(uint32_t set, enum role role)
{
	return (unsigned)role < ROLE_COUNT && (set >> role & 1) != 0;
}

static bool fd_count_fits(enum fd_rule rule, size_t count)
{
	switch (rule) {
	case FD_NONE:
		return count == 0;
	case FD_ONE:
		return count == 1;
	case FD_MAYBE:
		return count <= 1;
	}
	return false;
}

enum ipc_verdict ipc_admit(enum role self, enum role peer, const struct ipc_head *head, size_t fd_count)
{
	const struct rule *rule;

	if (head->type >= IPC_COUNT || (head->flags & ~IPC_FLAG_ANSWER) != 0)
		return IPC_MALFORMED;
	rule = &rules[head->type];
	if (head->length > rule->max || !fd_count_fits(rule->fds, fd_count))
		return IPC_MALFORMED;
	if ((head->flags & IPC_FLAG_ANSWER) != 0 && head->request == 0)
		return IPC_MALFORMED;
	if (!has_role(rule->from, peer) || !has_role(rule->to, self))
		return IPC_FORGED;
	return IPC_ADMIT;
}

bool ipc_takes_fds(enum role self, enum role peer)
{
	for (size_t i = 0; i < IPC_COUNT; i++)
		if (rules[i].fds != FD_NONE && has_role(rules[i].from, peer) && has_role(rules[i].to, self))
			return true;
	return false;
}

bool ipc_may_carry_fd(enum ipc_type type)
{
	return rules[type].fds != FD_NONE;
}

bool ipc_is_resendable(enum ipc_type type)
{
	return rules[type].resend == AGAIN;
}

bool ipc_is_secret(enum ipc_type type)
{
	return rules[type].secret;
}

static const struct {
	enum ipc_type question, answer;
} answers[] = {
	{IPC_GENERATION_CHECK, IPC_GENERATION_CHECKED},
	{IPC_STATUS_ASK, IPC_STATUS},
	{IPC_PING, IPC_PONG},
	{IPC_GUESTS_LEAVE, IPC_GUESTS_LEFT},
	{IPC_POLICY_ASK, IPC_POLICY_ANSWER},
	{IPC_ROUTE_ASK, IPC_ROUTE_ANSWER},
	{IPC_ROUTE_MORE_ASK, IPC_ROUTE_ANSWER},
	{IPC_SENT_ASK, IPC_SENT},
	{IPC_REWRITE_ASK, IPC_REWRITE_ANSWER},
	{IPC_DRAFT_FILE_ASK, IPC_DRAFT_FILE},
	{IPC_DRAFT_COMMIT, IPC_COMMITTED},
	{IPC_DRAFT_STATUS_ASK, IPC_DRAFT_STATUS},
	{IPC_AUTH_START, IPC_AUTH_RESULT},
	{IPC_AUTH_NEXT, IPC_AUTH_RESULT},
	{IPC_CREDENTIAL_ASK, IPC_CREDENTIAL},
	{IPC_TABLE_LOGIN_ASK, IPC_CREDENTIAL},
	{IPC_LOOKUP_ASK, IPC_LOOKUP},
	{IPC_ACCOUNT_ASK, IPC_ACCOUNT},
	{IPC_QUOTA_ASK, IPC_QUOTA},
	{IPC_MAILBOX_USER_ASK, IPC_MAILBOX_USER},
	{IPC_VERIFY_ASK, IPC_VERIFIED},
	{IPC_PAM_ASK, IPC_VERIFIED},
	{IPC_DIRECTORY_ASK, IPC_VERIFIED},
	{IPC_USER_ASK, IPC_USER_FOUND},
	{IPC_SIGN_ASK, IPC_SIGNED},
	{IPC_CLIENT_ASK, IPC_CLIENT},
	{IPC_WORKER_RETIRE, IPC_WORKER_RETIRED},
	{IPC_MAILBOX_DELIVER, IPC_MAILBOX_DELIVERED},
	{IPC_JOB_EXPAND, IPC_JOB_EXPANDED},
	{IPC_JOB_MAIL, IPC_JOB_EXPANDED},
	{IPC_MX_ASK, IPC_MX_ANSWER},
	{IPC_HOST_ASK, IPC_HOST_ANSWER},
	{IPC_PTR_ASK, IPC_HOST_ANSWER},
	{IPC_DIAL_ASK, IPC_DIALLED},
	{IPC_CONTROL_ASK, IPC_CONTROL_ANSWER},
};

enum ipc_type ipc_answer_of(enum ipc_type question)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		if (answers[i].question == question)
			return answers[i].answer;
	return IPC_COUNT;
}

static void put_number(char *out, uint64_t v, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--) {
		out[i] = (char)(v & 0xff);
		v >>= 8;
	}
}

static uint64_t take_number(const char *in, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | (unsigned char)in[i];
	return v;
}

bool ipc_head_decode(struct slice bytes, struct ipc_head *out)
{
	if (bytes.len < IPC_HEAD_BYTES)
		return false;
	out->type = (uint16_t)take_number(bytes.at, 2);
	out->flags = (uint16_t)take_number(bytes.at + 2, 2);
	out->length = (uint32_t)take_number(bytes.at + 4, 4);
	out->request = take_number(bytes.at + 8, 8);
	return true;
}

void ipc_head_encode(const struct ipc_head *head, char out[IPC_HEAD_BYTES])
{
	put_number(out, head->type, 2);
	put_number(out + 2, head->flags, 2);
	put_number(out + 4, head->length, 4);
	put_number(out + 8, head->request, 8);
}

/* ---- fields ---- */

static bool put_u64(struct buf *out, uint64_t v)
{
	char bytes[8];

	put_number(bytes, v, 8);
	return buf_add(out, bytes, sizeof(bytes));
}

static bool put_bytes(struct buf *out, struct slice s, size_t max)
{
	return s.len <= max && put_u64(out, s.len) && buf_add_slice(out, s);
}

static bool put_text(struct buf *out, struct slice s, size_t max)
{
	return slice_index(s, '\0') == SLICE_NONE && put_bytes(out, s, max);
}

static bool get_u64(struct slice *rest, uint64_t *out)
{
	if (rest->len < 8)
		return false;
	*out = take_number(rest->at, 8);
	*rest = slice_from(*rest, 8);
	return true;
}

static bool get_bytes(struct slice *rest, size_t max, struct slice *out)
{
	uint64_t n;

	if (!get_u64(rest, &n) || n > max || n > rest->len)
		return false;
	*out = slice_sub(*rest, 0, (size_t)n);
	*rest = slice_from(*rest, (size_t)n);
	return true;
}

static bool get_text(struct slice *rest, size_t max, struct slice *out)
{
	return get_bytes(rest, max, out) && slice_index(*out, '\0') == SLICE_NONE;
}

static bool get_outcome(struct slice *rest, enum outcome *out)
{
	uint64_t n;

	if (!get_u64(rest, &n))
		return false;
	*out = outcome_from(n);
	return true;
}

/* One encoder a message and record, from the table. */
#define U64(n) &&put_u64(out, b->n)
#define OUTCOME(n) &&put_u64(out, (uint64_t)b->n)
#define TEXT(n, max) &&put_text(out, b->n, max)
#define BYTES(n, max) &&put_bytes(out, b->n, max)
#define SECRET(n, max) &&put_bytes(out, b->n, max)
#define MSG(name, from, to, fds, max, resend, fields)                                              \
	static bool encode_##name(const void *body, struct buf *out)                               \
	{                                                                                          \
		const struct msg_##name *b = body;                                                 \
		return true fields;                                                                \
	}
#define REC(name, max, fields)                                                                     \
	static bool encode_##name(const struct rec_##name *b, struct buf *out)                     \
	{                                                                                          \
		return true fields;                                                                \
	}
#include "ipc/messages.def"
#undef U64
#undef OUTCOME
#undef TEXT
#undef BYTES
#undef SECRET
#undef MSG
#undef REC

#define U64(n) &&get_u64(rest, &b->n)
#define OUTCOME(n) &&get_outcome(rest, &b->n)
#define TEXT(n, max) &&get_text(rest, max, &b->n)
#define BYTES(n, max) &&get_bytes(rest, max, &b->n)
#define SECRET(n, max) &&get_bytes(rest, max, &b->n)
#define MSG(name, from, to, fds, max, resend, fields)                                              \
	static bool decode_##name(struct slice *rest, struct ipc_message *m)                       \
	{                                                                                          \
		struct msg_##name *b = &m->body.name;                                              \
		return true fields;                                                                \
	}
#define REC(name, max, fields)                                                                     \
	static bool decode_##name(struct slice *rest, struct rec_##name *b)                        \
	{                                                                                          \
		return true fields;                                                                \
	}
#include "ipc/messages.def"
#undef U64
#undef OUTCOME
#undef TEXT
#undef BYTES
#undef SECRET
#undef MSG
#undef REC

struct codec {
	bool (*encode)(const void *body, struct buf *out);
	bool (*decode)(struct slice *rest, struct ipc_message *m);
};

static const struct codec codecs[IPC_COUNT] = {
#define MSG(name, from, to, fds, max, resend, fields) [IPC_##name] = {encode_##name, decode_##name},
#define REC(name, max, fields)
#include "ipc/messages.def"
#undef MSG
#undef REC
};

bool ipc_encode(enum ipc_type type, const void *body, struct buf *out)
{
	size_t start = out->len;

	if (codecs[type].encode(body, out) && out->len - start <= rules[type].max)
		return true;
	out->len = start;
	return false;
}

bool ipc_decode(enum ipc_type type, struct slice payload, struct ipc_message *m)
{
	m->type = type;
	return codecs[type].decode(&payload, m) && payload.len == 0;
}

/* A record is its length (8 bytes) and its fields. */
#define MSG(name, from, to, fds, max, resend, fields)
#define REC(name, max, fields)                                                                     \
	bool rec_##name##_add(struct buf *out, const struct rec_##name *rec)                       \
	{                                                                                          \
		size_t start = out->len;                                                           \
		if (put_u64(out, 0) && encode_##name(rec, out) && out->len - start - 8 <= (max)) { \
			put_number(out->at + start, out->len - start - 8, 8);                      \
			return true;                                                               \
		}                                                                                  \
		out->len = start;                                                                  \
		return false;                                                                      \
	}                                                                                          \
	bool rec_##name##_next(struct slice *rest, struct rec_##name *out)                         \
	{                                                                                          \
		struct slice left = *rest, payload;                                                \
		if (!get_bytes(&left, (max), &payload) || !decode_##name(&payload, out) ||         \
		    payload.len != 0)                                                              \
			return false;                                                              \
		*rest = left;                                                                      \
		return true;                                                                       \
	}
#include "ipc/messages.def"
#undef MSG
#undef REC
