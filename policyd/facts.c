#include "facts.h"

#include "base/mem.h"
#include "mail/header_names.h"
#include "mail/subaddress.h"
#include "rules/mailbox.h"

#include <sys/utsname.h>

static const char *own_hostname(const struct conf *conf)
{
	static struct utsname own;

	if (conf->set.hostname[0] != '\0')
		return conf->set.hostname;
	return uname(&own) == 0 ? own.nodename : "localhost";
}

static const char *role_word(uint64_t role)
{
	static const char *const names[] = {[LISTENER_MX] = "mx", [LISTENER_SUBMISSION] = "submission", [LISTENER_LOCAL] = "local"};

	return role < ARRAY_LEN(names) ? names[role] : "mx";
}

void facts_set_listener(struct facts *f, const struct conf *conf, uint64_t role, struct slice name, struct slice hostname)
{
	struct slice word = slice_of(role_word(role));

	f->value[FACT_LISTENER_ROLE].text = word;
	f->value[FACT_LISTENER_NAME].text = name.len > 0 ? name : word;
	f->value[FACT_HOSTNAME].text = hostname.len > 0 ? hostname : slice_of(own_hostname(conf));
}

/* ---- the header ---- */

static enum answer guess(struct header_guesses *g, const char *name)
{
	for (size_t i = 0; i < g->count; i++)
		if (strcmp(g->guess[i].name, name) == 0)
			return g->guess[i].present ? ANSWER_YES : ANSWER_NO;
	if (g->count == RULES_HEADERS_MAX)
		return ANSWER_UNKNOWN;
	g->guess[g->count].name = name;
	g->guess[g->count++].present = false;
	return ANSWER_NO;
}

/* What is asked behind an answer may depend on it: the last that was "no" becomes "yes", and what was asked behind it is forgotten. */
bool header_guesses_next(struct header_guesses *g)
{
	while (g->count > 0 && g->guess[g->count - 1].present)
		g->count--;
	if (g->count == 0)
		return false;
	g->guess[g->count - 1].present = true;
	return true;
}

enum answer facts_header(const struct facts *f, const char *name)
{
	static const enum answer answers[] = {
		[HEADER_HAS_NOT] = ANSWER_NO, [HEADER_HAS] = ANSWER_YES, [HEADER_HAS_UNKNOWN] = ANSWER_UNKNOWN};

	return f->guesses != NULL ? guess(f->guesses, name) : answers[header_names_have(f->header_names, slice_of(name))];
}

/* ---- what follows from the recipient ---- */

static enum answer ask_account(const struct lookups *lookups, struct slice address, struct buf *name_out)
{
	struct buf name = buf_make(MAILBOX_PATH_MAX);
	enum answer answer = ANSWER_NO;

	if (address.len > 0 && mailbox_user(address, &name) == MAILBOX_DONE)
		answer = lookups->account(lookups->arg, buf_slice(&name));
	if (answer == ANSWER_YES && !buf_add_slice(name_out, buf_slice(&name)))
		answer = ANSWER_UNKNOWN;
	buf_free(&name);
	return answer;
}

enum answer facts_system_user(const struct conf *conf, const struct lookups *lookups, struct slice address, struct buf *name_out)
{
	char space[MAIL_ADDRESS_MAX + 1];
	enum answer answer = ask_account(lookups, address, name_out);

	if (answer != ANSWER_NO)
		return answer;
	return ask_account(lookups, subaddress_base(slice_of(conf->set.sub_address), address, space), name_out);
}

static enum fact_state state_of(enum answer answer, struct fact_value *out)
{
	static const enum fact_state states[] = {
		[ANSWER_NO] = FACT_KNOWN, [ANSWER_YES] = FACT_KNOWN, [ANSWER_UNKNOWN] = FACT_UNKNOWN, [ANSWER_PENDING] = FACT_PENDING};

	out->number = answer == ANSWER_YES;
	return states[answer];
}

static enum fact_state find_is_user(struct facts_view *v, struct slice address, struct fact_value *out)
{
	struct buf name = buf_make(MAILBOX_PATH_MAX);
	enum answer answer = facts_system_user(v->conf, v->lookups, address, &name);

	buf_free(&name);
	return state_of(answer, out);
}

static enum fact_state find_has_sent(struct facts_view *v, struct slice address, struct fact_value *out)
{
	return state_of(v->lookups->sent == NULL ? ANSWER_UNKNOWN : v->lookups->sent(v->lookups->arg, address), out);
}

enum fact_state facts_find(struct facts_view *v, enum fact_id id, struct fact_value *out)
{
	struct slice separators = slice_of(v->conf->set.sub_address), address = facts_text(v->facts, FACT_RECIPIENT);
	struct slice base;

	*out = v->facts->value[id];
	if (v->facts->no_listener && (id == FACT_LISTENER_ADDRESS || id == FACT_LISTENER_PORT))
		return FACT_UNKNOWN;
	if (id == FACT_RECIPIENT_IS_USER)
		return find_is_user(v, address, out);
	if (id == FACT_RECIPIENT_HAS_SENT)
		return find_has_sent(v, address, out);
	if (id == FACT_RECIPIENT_USER)
		out->text = subaddress_cut(separators, address).user;
	if (id == FACT_RECIPIENT_DETAIL)
		out->text = subaddress_cut(separators, address).detail;
	if (id == FACT_RECIPIENT_BASE) {
		base = subaddress_base(separators, address, v->base);
		out->text = base.len > 0 ? base : address;
	}
	return FACT_KNOWN;
}
