#include "base/mem.h"
#include "filter/exim_run.h"
#include "filter/exim_text.h"
#include "filter/mail.h"

/*
 * mail and vacation.  What they send is from the null sender and says that a machine wrote it.  A report is never answered; what a machine
 * or a list sent is never answered unless the filter says to whom (RFC 3834 §2), whatever it tests itself.
 */
#define RECIPIENTS_MAX 20u /* of one mail: a sender may have written the list */
#define FOREVER_SECONDS (100ull * 365 * 86400) /* `once` without `once_repeat` */
#define COPY_MAX (100u << 10)
#define FILE_MAX (64u << 10)
#define VACATION_FILE ".vacation.msg"

struct draft {
	struct exim_run *run;
	const struct exim_command *c;
	bool vacation;
	struct buf to, cc, from, reply_to; /* mailboxes, for the fields */
	struct buf recipients; /* a LF between */
	uint32_t count; /* of them */
	struct buf subject, extra, text, copy;
	struct slice key; /* kept; "": always sent */
};

static bool fail(struct draft *d, const char *why)
{
	return filter_fail(&d->run->gather, FILTER_ERROR, d->c->line, "%s", why);
}

static bool no_memory(struct draft *d)
{
	return filter_fail(&d->run->gather, FILTER_LATER, d->c->line, "no memory");
}

static const struct exim_text *word(const struct draft *d, enum exim_mail_word which)
{
	return d->c->mail->words[which];
}

/* ---- addresses ---- */

static bool is_there(const struct buf *list, struct slice address)
{
	struct slice rest = buf_slice(list), one;

	while (slice_cut(&rest, '\n', &one))
		if (slice_eq(one, address))
			return true;
	return false;
}

static bool add_recipient(struct draft *d, struct slice address)
{
	if (is_there(&d->recipients, address))
		return true;
	d->count++;
	return (d->recipients.len == 0 || buf_add_char(&d->recipients, '\n')) && buf_add_slice(&d->recipients, address);
}

static void tell_left_out(struct draft *d, struct slice address)
{
	struct buf shown = buf_make(FILTER_TOLD_MAX);

	filter_show(address, &shown);
	filter_tell(&d->run->gather, d->c->line, "not an address, left out: %s", buf_text(&shown));
	buf_free(&shown);
}

static bool add_mailbox(struct draft *d, const struct view_address *a, struct buf *field, bool is_recipient)
{
	struct buf address = buf_make(1024);
	bool is, good = true;

	if (!exim_address(d->run, d->c->line, a->address, &address, &is))
		return false;
	if (!is) {
		tell_left_out(d, a->address);
	} else {
		if (field != NULL)
			good = filter_mail_add_mailbox(a->name, buf_slice(&address), field);
		if (is_recipient)
			good = good && add_recipient(d, buf_slice(&address));
	}
	buf_free(&address);
	return good || no_memory(d);
}

/* The first `max` addresses of a text. */
static bool add_mailboxes(struct draft *d, struct slice text, size_t max, struct buf *field, bool is_recipient)
{
	struct arena *arena = arena_new(16 << 20);
	struct view_addresses list = {NULL, 0};
	bool good = arena != NULL && view_addresses_parse(arena, text, &list);

	if (!good)
		no_memory(d);
	for (size_t i = 0; good && i < list.count && i < max && d->count <= RECIPIENTS_MAX; i++)
		good = filter_step(&d->run->gather, d->c->line, 1) && add_mailbox(d, &list.at[i], field, is_recipient);
	arena_free(&arena);
	return good;
}

static bool add_word(struct draft *d, enum exim_mail_word which, size_t max, struct buf *field, bool is_recipient)
{
	struct buf text = exim_room(d->run);
	bool good = word(d, which) == NULL || (exim_expand_flat(d->run, word(d, which), &text) &&
					       add_mailboxes(d, buf_slice(&text), max, field, is_recipient));

	buf_free(&text);
	return good;
}

/* To whoever wrote: one address, for the sender chose how many there are. */
static bool add_reply_address(struct draft *d)
{
	struct buf text = exim_room(d->run);
	bool good;

	d->run->flat = true;
	good = exim_reply_address(d->run, d->c->line, &text);
	d->run->flat = false;
	good = good && add_mailboxes(d, buf_slice(&text), 1, &d->to, true);
	buf_free(&text);
	return good;
}

static bool add_addresses(struct draft *d)
{
	if (word(d, EXIM_TO) == NULL && !add_reply_address(d))
		return false;
	if (!add_word(d, EXIM_TO, SIZE_MAX, &d->to, true) || !add_word(d, EXIM_CC, SIZE_MAX, &d->cc, true) ||
	    !add_word(d, EXIM_BCC, SIZE_MAX, NULL, true) || !add_word(d, EXIM_FROM, 1, &d->from, false) ||
	    !add_word(d, EXIM_REPLY_TO, RECIPIENTS_MAX, &d->reply_to, false))
		return false;
	return d->from.len > 0 || exim_own_address(d->run, d->c->line, &d->from);
}

/* ---- fields ---- */

static bool set_subject(struct draft *d)
{
	if (word(d, EXIM_SUBJECT) != NULL)
		return exim_expand_flat(d->run, word(d, EXIM_SUBJECT), &d->subject);
	return !d->vacation || buf_add_text(&d->subject, "On vacation") || no_memory(d);
}

/* Those that we write ourselves. */
static bool is_ours(struct slice name)
{
	static const char *const names[] = {"from",	   "to",	  "cc",		 "bcc",		 "reply-to",
					    "subject",	   "date",	  "message-id",	 "in-reply-to",	 "references",
					    "mime-version", "auto-submitted", "return-path", "received", "sender"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (slice_eq_nocase(name, slice_of(names[i])))
			return true;
	return slice_starts_nocase(name, slice_of("content-"));
}

static bool is_field(struct slice line)
{
	size_t colon = slice_index(line, ':');

	for (size_t i = 0; colon != SLICE_NONE && i < line.len; i++) {
		unsigned char c = (unsigned char)line.at[i];

		if (i < colon ? c <= ' ' || c > '~' : (c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return colon != SLICE_NONE && colon > 0;
}

static bool check_extra(struct draft *d)
{
	struct slice rest = buf_slice(&d->extra), line;
	bool first = true;

	while (slice_cut(&rest, '\n', &line)) {
		bool goes_on = line.len > 0 && (line.at[0] == ' ' || line.at[0] == '\t');

		if (goes_on ? first : !is_field(line))
			return fail(d, "extra_headers takes lines like \"X-Name: text\"");
		if (!goes_on && is_ours(slice_sub(line, 0, slice_index(line, ':'))))
			return fail(d, "extra_headers cannot set a field that every mail has");
		first = false;
	}
	return true;
}

static bool set_extra(struct draft *d)
{
	if (word(d, EXIM_EXTRA_HEADERS) == NULL)
		return true;
	if (!exim_expand_flat(d->run, word(d, EXIM_EXTRA_HEADERS), &d->extra))
		return false;
	while (d->extra.len > 0 && d->extra.at[d->extra.len - 1] == '\n')
		d->extra.len--;
	if (d->extra.len > 0 && !buf_add_char(&d->extra, '\n'))
		return no_memory(d);
	return check_extra(d);
}

/* ---- the text ---- */

static bool read_file(struct draft *d, struct slice path, struct buf *out)
{
	enum filter_read got = d->run->message->read == NULL ? FILTER_READ_MISSING
							      : d->run->message->read(d->run->message->arg, path, out);

	switch (got) {
	case FILTER_READ_DONE:
		return true;
	case FILTER_READ_MISSING:
		return filter_fail(&d->run->gather, FILTER_ERROR, d->c->line,
				   "there is no file %.*s for the text (give one with `text \"...\"`)",
				   SLICE_ARG(slice_sub(path, 0, 100)));
	case FILTER_READ_REFUSED:
		return filter_fail(&d->run->gather, FILTER_ERROR, d->c->line, "the file %.*s cannot be used for the text",
				   SLICE_ARG(slice_sub(path, 0, 100)));
	case FILTER_READ_LATER:
		break;
	}
	return filter_fail(&d->run->gather, FILTER_LATER, d->c->line, "the file for the text cannot be read now");
}

/* The owner's own text, read as the filter itself is. */
static bool expand_file(struct draft *d, struct slice content, struct slice path)
{
	struct arena *arena = arena_new(16 << 20);
	struct exim_text *text;
	struct filter_mistake m;
	bool good;

	if (arena == NULL)
		return no_memory(d);
	good = exim_text_of_file(arena, content, &m, &text);
	if (!good && m.line == 0)
		no_memory(d);
	else if (!good)
		filter_fail(&d->run->gather, FILTER_ERROR, d->c->line, "%.*s:%u:%u: %s", SLICE_ARG(slice_sub(path, 0, 60)), m.line,
			    m.column, m.why);
	good = good && exim_expand(d->run, text, &d->text);
	arena_free(&arena);
	return good;
}

static bool add_file(struct draft *d, struct slice path, bool expand)
{
	struct buf content = buf_make(FILE_MAX);
	bool good = read_file(d, path, &content) &&
		    (expand ? expand_file(d, buf_slice(&content), path) : exim_put(d->run, d->c->line, &d->text, buf_slice(&content)));

	buf_free(&content);
	return good;
}

static bool add_named_file(struct draft *d)
{
	struct buf path = exim_room(d->run);
	bool good = exim_expand_flat(d->run, word(d, EXIM_FILE), &path) &&
		    add_file(d, buf_slice(&path), d->c->mail->expand_file);

	buf_free(&path);
	return good;
}

static bool set_text(struct draft *d)
{
	if (word(d, EXIM_TEXT) != NULL && !exim_expand(d->run, word(d, EXIM_TEXT), &d->text))
		return false;
	if (word(d, EXIM_FILE) != NULL)
		return add_named_file(d);
	if (word(d, EXIM_TEXT) == NULL && d->vacation)
		return add_file(d, slice_of(VACATION_FILE), true);
	return true;
}

static bool set_copy(struct draft *d)
{
	const struct filter_message *m = d->run->message;
	char piece[4096];
	ssize_t n = 1;

	if (!d->c->mail->return_message)
		return true;
	buf_add_slice(&d->copy, slice_sub(m->header, 0, COPY_MAX / 2));
	if (d->copy.len > 0 && d->copy.at[d->copy.len - 1] != '\n')
		buf_add_char(&d->copy, '\n');
	buf_add_char(&d->copy, '\n');
	for (uint64_t at = 0; n > 0 && d->copy.len + sizeof(piece) < COPY_MAX; at += (uint64_t)n) {
		n = m->body(m->arg, at, piece, sizeof(piece));
		if (n < 0)
			return filter_fail(&d->run->gather, FILTER_LATER, d->c->line, "the body of the message cannot be read now");
		buf_add(&d->copy, piece, (size_t)n);
	}
	return buf_ok(&d->copy) || no_memory(d);
}

/* ---- not twice ---- */

static bool set_key(struct draft *d)
{
	struct buf name = exim_room(d->run);
	bool good = true;

	if (word(d, EXIM_ONCE) != NULL)
		good = exim_expand_flat(d->run, word(d, EXIM_ONCE), &name);
	else if (d->vacation)
		good = buf_add_text(&name, ".vacation") || no_memory(d);
	if (good && name.len > 0)
		good = filter_keep_digest(&d->run->gather, d->c->line, buf_slice(&name), &d->key);
	buf_free(&name);
	return good;
}

static uint64_t once_seconds(const struct draft *d)
{
	if (d->key.len == 0)
		return 0;
	if (d->c->mail->once_seconds > 0)
		return d->c->mail->once_seconds;
	return d->vacation ? 7 * 86400 : FOREVER_SECONDS;
}

/* ---- the whole ---- */

static bool not_sent(struct draft *d, const char *why)
{
	filter_tell(&d->run->gather, d->c->line, "%s: not sent, %s", d->vacation ? "vacation" : "mail", why);
	return true;
}

/* A reason not to send it; NULL: none. */
static bool find_reason(struct draft *d, const char **why_out)
{
	bool human = true;

	*why_out = NULL;
	if (d->run->message->sender.len == 0)
		*why_out = "for the message is a report (its sender is null)";
	else if (word(d, EXIM_TO) == NULL && !exim_is_human(d->run, &human))
		return false;
	else if (!human)
		*why_out = "for the message comes from a list or a machine";
	return true;
}

static bool act(struct draft *d, struct slice text)
{
	struct filter_gather *g = &d->run->gather;
	struct filter_action *a = filter_act(g, FILTER_MAIL, d->c->line, text);
	struct slice to;

	if (a == NULL || !filter_keep(g, d->c->line, buf_slice(&d->recipients), &to))
		return false;
	a->to = to;
	a->null_sender = true;
	a->once_seconds = once_seconds(d);
	a->once_key = d->key;
	return true;
}

static void tell_mail(struct draft *d)
{
	struct buf words = buf_make(FILTER_TOLD_MAX);

	if (!filter_is_told(&d->run->gather))
		return;
	buf_addf(&words, "%s to ", d->vacation ? "vacation" : "mail");
	filter_show(buf_slice(&d->recipients), &words);
	buf_add_text(&words, ", subject ");
	filter_show(buf_slice(&d->subject), &words);
	if (word(d, EXIM_LOG) != NULL)
		buf_add_text(&words, " (no log is written)");
	filter_tell(&d->run->gather, d->c->line, "%s", buf_text(&words));
	buf_free(&words);
}

static bool write_mail(struct draft *d)
{
	const struct filter_mail mail = {
		.from = buf_slice(&d->from),
		.to = buf_slice(&d->to),
		.cc = buf_slice(&d->cc),
		.reply_to = buf_slice(&d->reply_to),
		.subject = buf_slice(&d->subject),
		.extra = buf_slice(&d->extra),
		.text = buf_slice(&d->text),
		.copy = buf_slice(&d->copy),
		.answers = word(d, EXIM_TO) == NULL,
		.number = d->run->mails++,
	};
	struct buf text = buf_make(16 * FILTER_MAIL_MAX); /* more than all its parts can be, encoded */
	bool good = filter_mail_write(&mail, d->run->message, &text) || no_memory(d);

	if (good && text.len > FILTER_MAIL_MAX)
		good = fail(d, "the mail is too long");
	if (good)
		tell_mail(d);
	good = good && act(d, buf_slice(&text));
	buf_free(&text);
	return good;
}

static bool compose(struct draft *d)
{
	const char *why;

	if (!find_reason(d, &why))
		return false;
	if (why != NULL)
		return not_sent(d, why);
	if (!add_addresses(d))
		return false;
	if (d->count == 0)
		return not_sent(d, "for there is no address to send it to");
	if (d->count > RECIPIENTS_MAX)
		return not_sent(d, "for it would go to too many addresses");
	return set_subject(d) && set_extra(d) && set_text(d) && set_copy(d) && set_key(d) && write_mail(d);
}

bool exim_run_mail(struct exim_run *run, const struct exim_command *c)
{
	struct draft d = {.run = run, .c = c, .vacation = c->kind == EXIM_VACATION};
	struct buf *all[] = {&d.to, &d.cc, &d.from, &d.reply_to, &d.recipients, &d.subject, &d.extra, &d.text, &d.copy};
	bool good;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		*all[i] = buf_make(FILTER_MAIL_MAX);
	good = compose(&d);
	run->delivered = run->delivered || c->seen;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		buf_free(all[i]);
	return good;
}
