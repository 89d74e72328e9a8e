#include "base/mem.h"
#include "base/utf8.h"
#include "filter/mail.h"
#include "filter/sieve_run.h"

/* Answers to mail that comes while its owner is away (RFC 5230; what an answer must be like and when there is none: RFC 3834). */
#define DAY_SECONDS UINT64_C(86400)
#define DAYS_DEFAULT 7u
#define DAYS_MAX 365u
#define SUBJECT_MAX 500u
#define LINE_BYTES_MAX 4096u
#define FROM_MAX 1000u

/* ---- whether there is an answer ---- */

static bool has_word(struct slice value, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq_nocase(slice_trim(value), slice_of(words[i])))
			return true;
	return false;
}

/* Local parts that programs write from (RFC 5230 §4.6, RFC 3834 §2). */
static bool is_program(struct slice local)
{
	static const char *const names[] = {"mailer-daemon", "listserv", "majordomo", "noreply", "no-reply"};

	return has_word(local, names, ARRAY_LEN(names)) || slice_starts_nocase(local, slice_of("owner-")) ||
	       slice_ends_nocase(local, slice_of("-owner")) || slice_ends_nocase(local, slice_of("-request")) ||
	       slice_ends_nocase(local, slice_of("-bounces"));
}

/* "no", perhaps with a comment or a parameter behind it (RFC 3834 §5). */
static bool says_no(struct slice automatic)
{
	size_t n = 0;

	while (n < automatic.len && ascii_is_alpha(automatic.at[n]))
		n++;
	return slice_eq_nocase(slice_sub(automatic, 0, n), slice_of("no"));
}

static bool is_list_field(struct slice name)
{
	return slice_starts_nocase(name, slice_of("list-"));
}

/* Why a header says that nobody waits for an answer; NULL: it does not.  False: no memory. */
static bool header_forbids(struct sieve_run *r, const char **why)
{
	static const char *const bulk[] = {"bulk", "list", "junk"};
	struct slice automatic, precedence, suppress;

	if (!view_first(r->view, slice_of("auto-submitted"), &automatic) || !view_first(r->view, slice_of("precedence"), &precedence) ||
	    !view_first(r->view, slice_of("x-auto-response-suppress"), &suppress))
		return sieve_no_memory(r);
	if (automatic.len > 0 && !says_no(automatic))
		*why = "a program made it (Auto-Submitted)";
	if (has_word(precedence, bulk, ARRAY_LEN(bulk)))
		*why = "it is for many (Precedence)";
	if (suppress.len > 0 && !slice_eq_nocase(suppress, slice_of("none")))
		*why = "it wants none (X-Auto-Response-Suppress)";
	for (size_t i = 0; i < view_field_count(r->view); i++)
		if (is_list_field(view_field_at(r->view, i)->name))
			*why = "it came by a mailing list (List-...)";
	return true;
}

/* The addresses that are the owner's: of this delivery, and those of `:addresses`. */
static bool is_own(struct sieve_run *r, const struct sieve_node *node, struct slice address, bool *out)
{
	const struct sieve_arg *more = sieve_tag_value(node, SIEVE_TAG_ADDRESSES);

	*out = slice_eq_nocase(address, r->message->recipient) || slice_eq_nocase(address, r->message->address);
	for (size_t i = 0; more != NULL && i < more->count && !*out; i++) {
		struct slice own;

		if (!sieve_text(r, &more->strings[i], &own) || !sieve_spend(r, node->pos.line, own.len + 16))
			return false;
		*out = slice_eq_nocase(address, slice_trim(own));
	}
	return true;
}

static bool names_owner(struct sieve_run *r, const struct sieve_node *node, size_t field, bool *out)
{
	const struct view_addresses *list;

	if (!view_field_addresses(r->view, field, &list))
		return sieve_no_memory(r);
	for (size_t i = 0; i < list->count && !*out; i++)
		if (!sieve_spend(r, node->pos.line, 64) || !is_own(r, node, list->at[i].address, out))
			return false;
	return true;
}

/* It must have been sent to the owner, not merely have got here (§4.5). */
static bool is_addressed(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	static const char *const fields[] = {"to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"};

	*out = false;
	for (size_t i = 0; i < view_field_count(r->view) && !*out; i++)
		if (has_word(view_field_at(r->view, i)->name, fields, ARRAY_LEN(fields)) && !names_owner(r, node, i, out))
			return false;
	return true;
}

static bool find_reason(struct sieve_run *r, const struct sieve_node *node, const char **why)
{
	bool own = false, addressed = false;

	*why = NULL;
	if (r->sender.text.len == 0 || !r->sender.good)
		*why = "nobody can be answered (null sender)";
	else if (is_program(mail_address_plain(&r->sender.address)))
		*why = "its sender is a program";
	if (*why != NULL || !header_forbids(r, why) || *why != NULL)
		return *why != NULL;
	if (!is_own(r, node, r->sender.text, &own) || !is_addressed(r, node, &addressed))
		return false;
	*why = own ? "its owner wrote it" : !addressed ? "it is not addressed to its owner" : NULL;
	return true;
}

/* ---- what the answer is ---- */

bool sieve_read_from(struct arena *arena, struct slice text, struct view_addresses *list, bool *good_out)
{
	*good_out = text.len <= FROM_MAX;
	for (size_t i = 0; i < text.len; i++)
		*good_out = *good_out && (unsigned char)text.at[i] >= ' ';
	if (!*good_out)
		return true;
	if (!view_addresses_parse(arena, text, list))
		return false;
	*good_out = list->count == 1 && list->at[0].good;
	return true;
}

bool sieve_is_mime(struct slice text)
{
	struct slice line;

	return view_line_cut(&text, &line) && slice_starts_nocase(line, slice_of("content-")) && slice_index(line, ':') != SLICE_NONE;
}

/* What stands in From: as `:from` says it, with its name in encoded words. */
static bool find_from(struct sieve_run *r, const struct sieve_node *node, struct buf *out)
{
	const struct sieve_arg *from = sieve_tag_value(node, SIEVE_TAG_FROM);
	struct view_addresses list;
	struct slice text;
	bool good;

	if (from == NULL)
		return buf_add_slice(out, r->message->address) || sieve_no_memory(r);
	if (!sieve_text(r, &from->strings[0], &text))
		return false;
	if (!sieve_read_from(r->arena, text, &list, &good))
		return sieve_no_memory(r);
	if (!good)
		return filter_fail(&r->gather, FILTER_ERROR, from->pos.line, "vacation :from is not an address");
	return filter_mail_add_mailbox(list.at[0].name, list.at[0].address, out) || sieve_no_memory(r);
}

static bool find_subject(struct sieve_run *r, const struct sieve_node *node, struct buf *out)
{
	const struct sieve_arg *subject = sieve_tag_value(node, SIEVE_TAG_SUBJECT);
	struct slice text;

	if (subject != NULL && !sieve_text(r, &subject->strings[0], &text))
		return false;
	if (subject == NULL) {
		if (!view_first(r->view, slice_of("subject"), &text))
			return sieve_no_memory(r);
		buf_add_text(out, text.len > 0 ? "Auto: " : "Automated reply");
	}
	return buf_add_slice(out, utf8_cut(text, SUBJECT_MAX)) || sieve_no_memory(r);
}

static bool write_answer(struct sieve_run *r, const struct sieve_node *node, struct slice reason, struct buf *out)
{
	struct buf from = buf_make(LINE_BYTES_MAX), subject = buf_make(LINE_BYTES_MAX);
	struct filter_mail mail = {.to = r->sender.text, .text = reason, .answers = true};
	bool good = find_from(r, node, &from) && find_subject(r, node, &subject);

	mail.from = buf_slice(&from);
	mail.subject = buf_slice(&subject);
	mail.number = r->gather.redirects;
	mail.mime = sieve_has_tag(node, SIEVE_TAG_MIME);
	if (good && mail.mime && !sieve_is_mime(reason))
		good = filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "vacation :mime, and its text begins with no Content-... field");
	good = good && (filter_mail_write(&mail, r->message, out) || sieve_no_memory(r));
	if (good && out->len > FILTER_MAIL_MAX)
		good = filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "an answer of more than %u bytes", FILTER_MAIL_MAX);
	buf_free(&from);
	buf_free(&subject);
	return good;
}

/* ---- once ---- */

static void add_counted(struct buf *out, struct slice s)
{
	buf_addf(out, "%zu:", s.len);
	buf_add_slice(out, s);
}

static bool add_argument(struct sieve_run *r, const struct sieve_node *node, enum sieve_tag tag, struct buf *out)
{
	const struct sieve_arg *arg = sieve_tag_value(node, tag);
	struct slice text = slice_empty();

	if (arg != NULL && !sieve_text(r, &arg->strings[0], &text))
		return false;
	add_counted(out, text);
	return true;
}

/* By the handle, else by all that makes one answer another (§4.2). */
static bool keep_key(struct sieve_run *r, const struct sieve_node *node, struct slice reason, struct slice *kept_out)
{
	struct buf all = buf_make(SIEVE_TEXT_MAX * 4);
	bool good = add_argument(r, node, SIEVE_TAG_HANDLE, &all);

	if (good && !sieve_has_tag(node, SIEVE_TAG_HANDLE)) {
		add_counted(&all, reason);
		add_counted(&all, slice_of(sieve_has_tag(node, SIEVE_TAG_MIME) ? "mime" : "text"));
		good = add_argument(r, node, SIEVE_TAG_SUBJECT, &all) && add_argument(r, node, SIEVE_TAG_FROM, &all);
	}
	add_counted(&all, r->sender.text);
	if (good && !buf_ok(&all))
		good = sieve_no_memory(r);
	good = good && filter_keep_digest(&r->gather, node->pos.line, buf_slice(&all), kept_out);
	buf_free(&all);
	return good;
}

/* At least a day, so that no two machines answer each other for ever, unless it is said in seconds (RFC 6131 §2). */
static uint64_t seconds_of(const struct sieve_node *node)
{
	const struct sieve_arg *days = sieve_tag_value(node, SIEVE_TAG_DAYS), *seconds = sieve_tag_value(node, SIEVE_TAG_SECONDS);
	uint64_t count = days == NULL ? DAYS_DEFAULT : days->number;

	if (seconds != NULL)
		return seconds->number < DAYS_MAX * DAY_SECONDS ? seconds->number : DAYS_MAX * DAY_SECONDS;
	return (count < 1 ? 1 : count > DAYS_MAX ? DAYS_MAX : count) * DAY_SECONDS;
}

static bool answer(struct sieve_run *r, const struct sieve_node *node, struct slice reason)
{
	struct buf text = buf_make(16 * FILTER_MAIL_MAX); /* more than all its parts can be, encoded */
	struct filter_action *mail = NULL;
	struct slice to, once;

	if (write_answer(r, node, reason, &text) && keep_key(r, node, reason, &once) &&
	    filter_keep(&r->gather, node->pos.line, r->sender.text, &to))
		mail = filter_act(&r->gather, FILTER_MAIL, node->pos.line, buf_slice(&text));
	if (mail != NULL) {
		mail->to = to;
		mail->once_key = once;
		mail->once_seconds = seconds_of(node);
		mail->null_sender = true;
		filter_tell(&r->gather, node->pos.line, "vacation: an answer to %.*s, unless it had one in the last %llu seconds",
			    SLICE_ARG(to), (unsigned long long)mail->once_seconds);
	}
	buf_free(&text);
	return mail != NULL;
}

bool sieve_act_vacation(struct sieve_run *r, const struct sieve_node *node)
{
	const char *why;
	struct slice reason;

	if (r->rejected > 0 || r->answered)
		return filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "vacation, of a message that was %s before",
				   r->rejected > 0 ? "rejected" : "answered");
	r->answered = true;
	if (!sieve_text(r, &node->takes[0]->strings[0], &reason) || !find_reason(r, node, &why))
		return false;
	if (why == NULL)
		return answer(r, node, reason);
	filter_tell(&r->gather, node->pos.line, "vacation: no answer, since %s", why);
	return true;
}
