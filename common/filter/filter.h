#ifndef POSTERN_FILTER_FILTER_H
#define POSTERN_FILTER_FILTER_H

#include "base/buf.h"

#include <sys/types.h>

/* What became of reading a file. */
enum filter_read {
	FILTER_READ_DONE,
	FILTER_READ_MISSING,
	FILTER_READ_REFUSED, /* not a file of its owner's, or larger than `out` may become */
	FILTER_READ_LATER,
};

/*
 * What a user's filter sees of a message, and what it may ask for; the same for each filter language.  A filter acts on nothing: it is
 * run over a message and tells a list of actions, which whoever ran it carries out.  Pure but for `body` and `read`.
 *
 * A filter is hostile as far as we go: it is its owner's, and runs as its owner, but must not keep the process busy or large.  Every
 * loop, text, list, pattern and nesting has a bound (struct filter_limits); reaching one is FILTER_ERROR.
 */
struct filter_message {
	struct slice sender; /* of the envelope; "" is the null sender */
	struct slice recipient; /* as accepted: RCPT TO */
	struct slice address; /* being delivered: what aliases made of it */
	struct slice user, home; /* the owner's login name ("" of a virtual one) and home folder */
	struct slice host; /* what this host calls itself */
	struct slice separators; /* that begin the detail of a local part: "+"; "" none */
	struct slice header; /* lines with LF or CRLF, without the empty line behind them */
	uint64_t id, size; /* size: octets of the message, lines with CRLF */
	int64_t now; /* seconds since 1970 */
	int zone_minutes; /* of local time, east of UTC */
	/* Up to `size` bytes of what stands behind the empty line, from `offset` on: how many, 0 at its end, -1: cannot be read now. */
	ssize_t (*body)(void *arg, uint64_t offset, char *out, size_t size);
	/* Adds the whole of a file that the filter names (`:include:`, the text of an answer) to `out`; `path` is absolute or beneath home.
	 * Opened as the owner would, and no further.  NULL: there are no files. */
	enum filter_read (*read)(void *arg, struct slice path, struct buf *out);
	bool (*has_folder)(void *arg, struct slice name); /* is it there?  NULL: nobody knows, which is no */
	void *arg;
};

struct filter_limits {
	uint32_t steps; /* commands and tests carried out */
	uint32_t actions;
	uint32_t redirects; /* of these: what makes mail */
	size_t text; /* bytes of all texts it makes, together */
	uint64_t body; /* bytes of a body that are looked at */
};
#define FILTER_LIMITS_DEFAULT {.steps = 100000, .actions = 100, .redirects = 16, .text = 512 << 10, .body = 1 << 20}
#define FILTER_SOURCE_MAX (256u << 10) /* of a filter's own text */

enum filter_action_kind {
	FILTER_INBOX, /* into the mailbox that is its owner's */
	FILTER_FOLDER, /* `text`: the folder's name, in UTF-8, with `/` or `.` between levels as its owner wrote it */
	FILTER_FILE, /* `text`: a path, absolute or beneath home; with `/` at its end a Maildir, else an mbox file */
	FILTER_REDIRECT, /* `text`: an address, canonical */
	FILTER_PIPE, /* `text`: program and arguments, a NUL behind each */
	FILTER_MAIL, /* `text`: a whole message, lines with LF; `to`: its recipients, a LF between */
	FILTER_REJECT, /* `text`: why, for the sender */
	FILTER_HOLD, /* waits for the operator */
	FILTER_ADD_HEADER, /* `text`: a field, "Name: value", for what is delivered behind this */
	FILTER_REMOVE_HEADER, /* `text`: a name; all fields of it */
};

/* Texts lie in the result. */
struct filter_action {
	enum filter_action_kind kind;
	uint32_t line; /* of the filter's text; 0: nobody asked for it (the inbox, where nothing else was done) */
	struct slice text, to;
	struct slice flags; /* IMAP flags and keywords, a blank between; of INBOX and FOLDER */
	bool create; /* FOLDER: made where it is missing; else it is the inbox then */
	bool null_sender; /* MAIL: from <>; else from the owner */
	uint32_t mode; /* FILE: of a new file; 0: as usual */
	/* MAIL: not again within so many seconds to whom it went with this key (a digest); 0: always. */
	uint64_t once_seconds;
	struct slice once_key;
};

enum filter_outcome {
	FILTER_DONE,
	FILTER_ERROR, /* `why`: "line 12: ..."; nothing of it is to be done, but the inbox */
	FILTER_LATER, /* no memory, or the body cannot be read now */
};

#define FILTER_WHY_MAX 256u
struct filter_result {
	enum filter_outcome outcome;
	char why[FILTER_WHY_MAX];
	struct filter_action *actions; /* owned; none: thrown away by the filter's will */
	size_t count;
	struct filter_memory *memory; /* owned: the texts */
};

/* Where a filter's text is not what its language takes. */
struct filter_mistake {
	uint32_t line, column; /* from 1; characters */
	char why[FILTER_WHY_MAX]; /* for people; "" with line 0: no memory */
};

void filter_result_free(struct filter_result *r); /* the outcome stays */

#define FILTER_TOLD_MAX 4096u /* bytes of one step */
/* Told of each test and command that was carried out, in order; `what` in words for people.  NULL: nobody. */
struct filter_trace {
	void (*step)(void *arg, uint32_t line, struct slice what);
	void *arg;
};

/* ---- the languages ---- */

enum filter_kind {
	FILTER_KIND_ANY, /* by the first words: "# Exim filter", "# Sieve filter", or a list */
	FILTER_KIND_FORWARD, /* a list of addresses and more: .forward */
	FILTER_KIND_EXIM,
	FILTER_KIND_SIEVE,
};

enum filter_kind filter_kind_of(struct slice text);
const char *filter_kind_name(enum filter_kind kind); /* for people */

struct filter;

/* NULL with the first mistake.  Nothing of a broken filter is ever run: see filter_kind_waits. */
struct filter *filter_compile(struct slice text, enum filter_kind kind, struct filter_mistake *mistake);
/* What a mistake in such a text means for mail: it waits until its owner has mended it (true), or is kept in the inbox, and its owner told. */
bool filter_kind_waits(enum filter_kind kind);
void filter_free(struct filter **fp);
enum filter_kind filter_kind(const struct filter *f);

/* `result` is overwritten; filter_result_free afterwards.  `trace` may be NULL.  Of a list whatever goes wrong is FILTER_LATER. */
void filter_run(const struct filter *f, const struct filter_message *message, const struct filter_limits *limits,
		const struct filter_trace *trace, struct filter_result *result);

#endif
