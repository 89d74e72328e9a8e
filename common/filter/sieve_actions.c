#include "base/utf8.h"
#include "filter/sieve_run.h"

#define FOLDER_MAX 1000u
#define FLAGS_MAX SIEVE_VALUE_MAX

/* ---- what may go with what (RFC 5429 §2.6, RFC 5230 §4.7) ---- */

/* All that says the mail is taken. */
static bool may_act(struct sieve_run *r, const struct sieve_node *node)
{
	if (r->rejected == 0)
		return true;
	return filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "%s, of a message that line %u has rejected", node->word->name,
			   r->rejected);
}

static struct filter_action *find(struct sieve_run *r, enum filter_action_kind kind, struct slice text)
{
	struct filter_result *result = r->gather.result;

	for (size_t i = 0; i < result->count; i++)
		if (result->actions[i].kind == kind && slice_eq(result->actions[i].text, text))
			return &result->actions[i];
	return NULL;
}

static void tell(const struct sieve_run *r, const struct sieve_node *node, struct slice what)
{
	struct buf text = buf_make(FILTER_TOLD_MAX);

	if (filter_is_told(&r->gather)) {
		filter_show(what, &text);
		filter_tell(&r->gather, node->pos.line, "%s %s", node->word->name, buf_text(&text));
	}
	buf_free(&text);
}

/* The same twice is one (RFC 5228 §2.10.3); the later flags hold. */
static struct filter_action *act(struct sieve_run *r, uint32_t line, enum filter_action_kind kind, struct slice text)
{
	struct filter_action *same = find(r, kind, text);

	return same != NULL ? same : filter_act(&r->gather, kind, line, text);
}

static struct filter_action *file(struct sieve_run *r, uint32_t line, enum filter_action_kind kind, struct slice name,
				  struct slice flags)
{
	struct slice kept;
	struct filter_action *action = filter_keep(&r->gather, line, flags, &kept) ? act(r, line, kind, name) : NULL;

	if (action != NULL)
		action->flags = kept;
	return action;
}

bool sieve_inbox(struct sieve_run *r, uint32_t line, struct slice flags)
{
	return file(r, line, FILTER_INBOX, slice_empty(), flags) != NULL;
}

/* ---- flags (RFC 5232) ---- */

static const char *const system_flags[] = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"};

static const char *system_flag(struct slice flag)
{
	for (size_t i = 0; i < sizeof(system_flags) / sizeof(system_flags[0]); i++)
		if (slice_eq_nocase(flag, slice_of(system_flags[i])))
			return system_flags[i];
	return NULL;
}

/* A flag of the system's, or a keyword: an atom of IMAP (RFC 9051 §9). */
bool sieve_is_flag(struct slice flag)
{
	if (flag.len > 0 && flag.at[0] == '\\')
		return system_flag(flag) != NULL;
	for (size_t i = 0; i < flag.len; i++)
		if ((unsigned char)flag.at[i] <= ' ' || (unsigned char)flag.at[i] >= 0x7f || strchr("(){%*\"\\]", flag.at[i]) != NULL)
			return false;
	return flag.len > 0;
}

static bool has_flag(struct slice flags, struct slice flag)
{
	struct slice one;

	while (slice_word(&flags, &one))
		if (slice_eq_nocase(one, flag))
			return true;
	return false;
}

static void add_word(struct buf *out, struct slice flag)
{
	if (out->len > 0)
		buf_add_char(out, ' ');
	buf_add_slice(out, flag);
}

/* Adds the flags of `more` that are none of `out` yet; what is no flag is left out (§2). */
static void add_flags(struct buf *out, struct slice more)
{
	struct slice flag;

	while (slice_word(&more, &flag)) {
		const char *known = system_flag(flag);

		if (sieve_is_flag(flag) && !has_flag(buf_slice(out), flag))
			add_word(out, known == NULL ? flag : slice_of(known));
	}
}

static void remove_flags(struct buf *out, struct slice from, struct slice flags)
{
	struct slice flag;

	while (slice_word(&from, &flag))
		if (!has_flag(flags, flag))
			add_word(out, flag);
}

/* The texts of a list, a blank between. */
static bool join(struct sieve_run *r, const struct sieve_arg *list, struct buf *out)
{
	for (size_t i = 0; i < list->count; i++) {
		struct slice text;

		if (!sieve_text(r, &list->strings[i], &text))
			return false;
		if (out->len + 1 + text.len > FLAGS_MAX)
			return filter_fail(&r->gather, FILTER_ERROR, list->pos.line, "flags of more than %u bytes", FLAGS_MAX);
		add_word(out, text);
	}
	return buf_ok(out) || sieve_no_memory(r);
}

static bool spend_flags(struct sieve_run *r, const struct sieve_node *node, const struct buf *a, struct slice b)
{
	return sieve_spend(r, node->pos.line, (a->len + 1) * (b.len + 1));
}

typedef void change_fn(struct buf *out, struct slice old, struct slice flags);

static bool change_flags(struct sieve_run *r, const struct sieve_node *node, change_fn *change)
{
	struct slice *variable = node->has_variable ? &r->variables[node->variable] : &r->flags;
	struct buf flags = buf_make(FLAGS_MAX), now = buf_make(FLAGS_MAX + SIEVE_VALUE_MAX + 1);
	bool good = join(r, node->takes[1], &flags) && spend_flags(r, node, &flags, *variable) &&
		    spend_flags(r, node, &flags, buf_slice(&flags));

	if (good) {
		change(&now, *variable, buf_slice(&flags));
		good = buf_ok(&now) || sieve_no_memory(r);
		if (good && now.len > FLAGS_MAX)
			good = filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "flags of more than %u bytes", FLAGS_MAX);
		good = good && sieve_keep(r, node->pos.line, buf_slice(&now), variable);
	}
	if (good)
		tell(r, node, *variable);
	buf_free(&flags);
	buf_free(&now);
	return good;
}

static void set(struct buf *out, struct slice old, struct slice flags)
{
	(void)old;
	add_flags(out, flags);
}

static void add(struct buf *out, struct slice old, struct slice flags)
{
	add_flags(out, old);
	add_flags(out, flags);
}

bool sieve_act_setflag(struct sieve_run *r, const struct sieve_node *node)
{
	return change_flags(r, node, set);
}

bool sieve_act_addflag(struct sieve_run *r, const struct sieve_node *node)
{
	return change_flags(r, node, add);
}

bool sieve_act_removeflag(struct sieve_run *r, const struct sieve_node *node)
{
	return change_flags(r, node, remove_flags);
}

static bool meet_flags(struct sieve_matcher *m, struct slice flags)
{
	struct slice flag;

	while (!m->found && slice_word(&flags, &flag))
		if (!sieve_matcher_meet(m, flag))
			return false;
	return true;
}

/* §4: each flag by itself. */
bool sieve_test_hasflag(struct sieve_run *r, const struct sieve_node *node, bool *out)
{
	const struct sieve_arg *variables = node->takes[0];
	struct sieve_matcher m;
	bool good = sieve_matcher_begin(&m, r, node);

	if (good && variables == NULL)
		good = meet_flags(&m, r->flags);
	for (size_t i = 0; good && variables != NULL && i < variables->count; i++) {
		struct slice flags = slice_empty();

		good = sieve_text(r, &variables->strings[i], &flags) && meet_flags(&m, flags);
	}
	return good && sieve_matcher_end(&m, out);
}

/* Those of `:flags`, else of the internal variable as it is now. */
static bool flags_of(struct sieve_run *r, const struct sieve_node *node, struct slice *out)
{
	const struct sieve_arg *list = sieve_tag_value(node, SIEVE_TAG_FLAGS);
	struct buf flags = buf_make(FLAGS_MAX), clean = buf_make(FLAGS_MAX);
	bool good;

	*out = r->flags;
	if (list == NULL)
		return true;
	good = join(r, list, &flags) && spend_flags(r, node, &flags, buf_slice(&flags));
	add_flags(&clean, buf_slice(&flags));
	good = good && (buf_ok(&clean) || sieve_no_memory(r)) && sieve_keep(r, node->pos.line, buf_slice(&clean), out);
	buf_free(&flags);
	buf_free(&clean);
	return good;
}

/* ---- actions (RFC 5228 §4, RFC 5429) ---- */

bool sieve_act_keep(struct sieve_run *r, const struct sieve_node *node)
{
	struct slice flags;

	if (!may_act(r, node) || !flags_of(r, node, &flags))
		return false;
	filter_tell(&r->gather, node->pos.line, "keep");
	r->implicit_keep = false;
	return sieve_inbox(r, node->pos.line, flags);
}

bool sieve_act_discard(struct sieve_run *r, const struct sieve_node *node)
{
	r->implicit_keep = false;
	filter_tell(&r->gather, node->pos.line, "discard");
	return true;
}

bool sieve_is_folder(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.at[i] < ' ' || name.at[i] == 0x7f)
			return false;
	return name.len > 0 && name.len <= FOLDER_MAX && utf8_is_well_formed(name);
}

static void cancel_keep(struct sieve_run *r, const struct sieve_node *node)
{
	if (!sieve_has_tag(node, SIEVE_TAG_COPY)) /* RFC 3894 */
		r->implicit_keep = false;
}

bool sieve_act_fileinto(struct sieve_run *r, const struct sieve_node *node)
{
	struct slice name, flags;
	struct filter_action *action;

	if (!may_act(r, node) || !sieve_text(r, &node->takes[0]->strings[0], &name) || !flags_of(r, node, &flags))
		return false;
	if (!sieve_is_folder(name))
		return filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "not the name of a folder");
	tell(r, node, name);
	cancel_keep(r, node);
	if (slice_eq_nocase(name, slice_of("INBOX")))
		return sieve_inbox(r, node->pos.line, flags);
	action = file(r, node->pos.line, FILTER_FOLDER, name, flags);
	if (action != NULL)
		action->create = action->create || sieve_has_tag(node, SIEVE_TAG_CREATE);
	return action != NULL;
}

bool sieve_act_redirect(struct sieve_run *r, const struct sieve_node *node)
{
	struct mail_address address;
	enum mail_verdict verdict;
	struct slice text;

	if (!may_act(r, node) || !sieve_text(r, &node->takes[0]->strings[0], &text))
		return false;
	verdict = mail_address_parse(slice_trim(text), MAIL_ALLOW_UTF8, &address);
	if (verdict != MAIL_OK)
		return filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "redirect: %s", mail_verdict_text(verdict));
	tell(r, node, mail_address_text(&address));
	cancel_keep(r, node);
	return act(r, node->pos.line, FILTER_REDIRECT, mail_address_text(&address)) != NULL;
}

static bool may_reject(struct sieve_run *r, const struct sieve_node *node)
{
	if (!may_act(r, node))
		return false;
	if (r->gather.result->count == 0 && !r->answered)
		return true;
	return filter_fail(&r->gather, FILTER_ERROR, node->pos.line, "%s, of a message that was kept, filed, redirected or answered before",
			   node->word->name);
}

bool sieve_act_reject(struct sieve_run *r, const struct sieve_node *node)
{
	struct slice why;

	if (!may_reject(r, node) || !sieve_text(r, &node->takes[0]->strings[0], &why))
		return false;
	tell(r, node, why);
	r->implicit_keep = false;
	r->rejected = node->pos.line;
	return filter_act(&r->gather, FILTER_REJECT, node->pos.line, why) != NULL;
}

/* ---- set (RFC 5229 §4) ---- */

static void change_case(char *text, size_t len, bool upper)
{
	for (size_t i = 0; i < len; i++) {
		if (upper && text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char)(text[i] - 'a' + 'A');
		else if (!upper)
			text[i] = ascii_lower(text[i]);
	}
}

/* `special` behind a backslash each. */
static void quote(struct buf *b, const char *special)
{
	struct buf quoted = buf_make(b->len * 2 + 1);

	for (size_t i = 0; i < b->len; i++) {
		if (b->at[i] != '\0' && strchr(special, b->at[i]) != NULL)
			buf_add_char(&quoted, '\\');
		buf_add_char(&quoted, b->at[i]);
	}
	buf_clear(b);
	b->max = quoted.max;
	buf_add_slice(b, buf_slice(&quoted));
	b->failed = b->failed || !buf_ok(&quoted);
	buf_free(&quoted);
}

/* In the order of their precedence (§4.1). */
static void modify(const struct sieve_node *node, struct buf *b)
{
	if (sieve_has_tag(node, SIEVE_TAG_LOWER) || sieve_has_tag(node, SIEVE_TAG_UPPER))
		change_case(b->at, b->len, sieve_has_tag(node, SIEVE_TAG_UPPER));
	if (sieve_has_tag(node, SIEVE_TAG_LOWERFIRST) || sieve_has_tag(node, SIEVE_TAG_UPPERFIRST))
		change_case(b->at, b->len == 0 ? 0 : 1, sieve_has_tag(node, SIEVE_TAG_UPPERFIRST));
	if (sieve_has_tag(node, SIEVE_TAG_QUOTEWILDCARD))
		quote(b, "*?\\");
	if (sieve_has_tag(node, SIEVE_TAG_QUOTEREGEX))
		quote(b, "\\^$.[]|()*+?{}-#");
	if (sieve_has_tag(node, SIEVE_TAG_LENGTH)) {
		size_t count = utf8_count(buf_slice(b));

		buf_clear(b);
		b->max = b->max < 32 ? 32 : b->max;
		buf_addf(b, "%zu", count);
	}
}

bool sieve_act_set(struct sieve_run *r, const struct sieve_node *node)
{
	struct buf value = buf_make(SIEVE_TEXT_MAX);
	struct slice text;
	bool good = sieve_text(r, &node->takes[1]->strings[0], &text);

	if (good && buf_add_slice(&value, text))
		modify(node, &value);
	good = good && (buf_ok(&value) ? sieve_keep(r, node->pos.line, utf8_cut(buf_slice(&value), SIEVE_VALUE_MAX),
						    &r->variables[node->variable])
				       : sieve_no_memory(r));
	if (good && filter_is_told(&r->gather)) {
		struct buf what = buf_make(FILTER_TOLD_MAX);

		filter_show(r->variables[node->variable], &what);
		filter_tell(&r->gather, node->pos.line, "set %.*s: %s", SLICE_ARG(node->takes[0]->strings[0].text), buf_text(&what));
		buf_free(&what);
	}
	buf_free(&value);
	return good;
}
