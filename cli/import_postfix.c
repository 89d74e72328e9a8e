#include "import_postfix.h"

#include "base/mem.h"
#include "import_hop.h"
#include "import_name.h"
#include "mail/address.h"

#include <stdio.h>
#include <strings.h>

#define HOPS_MAX 200u /* each is a transport */
#define PATTERNS_MAX 200u /* each is a rule */
#define LOGINS_MAX 1000u
#define HEAD "# Of a Postfix.  Include this before `route`, and last.conf behind it.\n"

enum key_kind { KEY_ADDRESS, KEY_DOMAIN, KEY_BENEATH, KEY_ANY, KEY_KINDS };

struct key {
	enum key_kind kind;
	char *text; /* owned; canonical; a domain without its dot or @ */
	size_t hop, line;
};

struct keys {
	struct key *all; /* owned */
	size_t count, cap, patterns;
};

struct login {
	char *key, *user, *password; /* owned; the password wiped */
	size_t line;
	bool is_used;
	char name[IMPORT_NAME_BYTES]; /* by its key */
};

struct route_hop {
	struct hop hop;
	size_t login; /* of `logins`, or none */
	char name[IMPORT_NAME_BYTES]; /* by all that its transport says */
};
#define NO_LOGIN SIZE_MAX

struct import {
	const struct import_postfix *from;
	struct import_files *files; /* borrowed */
	import_table_left_fn *left;
	void *arg;
	struct keys recipients, senders;
	struct route_hop *hops; /* owned */
	size_t hop_count, hop_cap;
	struct login *logins; /* owned */
	size_t login_count, login_cap;
	size_t relayhost; /* a hop, or none */
	bool failed; /* no memory */
};

static void leave(const struct import *im, enum import_table table, size_t line, struct slice key, const char *what)
{
	im->left(table, line, slice_sub(key, 0, 200), what, im->arg);
}

/* ---- hops ---- */

static bool is_same_hop(const struct hop *a, const struct hop *b)
{
	return a->kind == b->kind && a->port == b->port && strcmp(a->where, b->where) == 0 && strcmp(a->dsn, b->dsn) == 0;
}

/* SIZE_MAX: too many, or no memory.  `hop` may be one of them. */
static size_t add_hop(struct import *im, const struct hop *hop, size_t login)
{
	const struct hop added = *hop;
	void *hops = im->hops;

	for (size_t i = 0; i < im->hop_count; i++)
		if (is_same_hop(&im->hops[i].hop, hop) && im->hops[i].login == login)
			return i;
	if (!mem_grow(&hops, &im->hop_cap, im->hop_count, sizeof(struct route_hop), HOPS_MAX))
		return SIZE_MAX;
	im->hops = hops;
	im->hops[im->hop_count] = (struct route_hop){added, login, ""};
	return im->hop_count++;
}

/* ---- logins ---- */

/* The destination as it stands in the map, or the host's name (smtp_sasl_password_maps). */
static bool is_for(const struct login *l, const struct hop *h)
{
	char forms[4][HOP_TEXT_MAX + 16];
	size_t count = h->port == 25 ? 4 : 3;

	snprintf(forms[0], sizeof(forms[0]), "%s", h->where);
	snprintf(forms[1], sizeof(forms[1]), "[%s]:%u", h->where, (unsigned)h->port);
	snprintf(forms[2], sizeof(forms[2]), "%s:%u", h->where, (unsigned)h->port);
	snprintf(forms[3], sizeof(forms[3]), "[%s]", h->where);
	for (size_t i = 0; i < count; i++)
		if (slice_eq_nocase(slice_of(l->key), slice_of(forms[i])))
			return true;
	return false;
}

static size_t login_for(struct import *im, const struct hop *h)
{
	for (size_t i = 0; h->kind == HOP_SMTP && i < im->login_count; i++)
		if (is_for(&im->logins[i], h)) {
			im->logins[i].is_used = true;
			return i;
		}
	return NO_LOGIN;
}

static const char *check_login(struct slice user, struct slice password)
{
	if (user.len == 0 || password.len == 0)
		return "what is no user:password";
	if (user.len > 512 || password.len > 1024)
		return "a user or a password that is too long";
	for (size_t i = 0; i < user.len; i++)
		if ((unsigned char)user.at[i] <= ' ' || user.at[i] == 0x7f)
			return "a user with a blank in it; a line of credentials ends the user there";
	for (size_t i = 0; i < password.len; i++)
		if ((unsigned char)password.at[i] < ' ' || password.at[i] == 0x7f)
			return "a password with a control character";
	return NULL;
}

static bool add_login(struct import *im, struct slice key, struct slice user, struct slice password, size_t line)
{
	void *logins = im->logins;
	struct login *l;

	if (!mem_grow(&logins, &im->login_cap, im->login_count, sizeof(struct login), LOGINS_MAX))
		return false;
	im->logins = logins;
	l = &im->logins[im->login_count++];
	*l = (struct login){slice_dup(key), slice_dup(user), slice_dup(password), line, false, ""};
	return import_name_of(key, key, l->name) && l->key != NULL && l->user != NULL && l->password != NULL;
}

static void read_login(struct import *im, size_t line, struct slice key, struct slice value)
{
	size_t colon = slice_index(value, ':');
	struct slice user = slice_sub(value, 0, colon), password = colon == SLICE_NONE ? slice_empty() : slice_from(value, colon + 1);
	const char *mistake = check_login(user, password);

	for (size_t i = 0; mistake == NULL && i < im->login_count; i++)
		if (slice_eq_nocase(slice_of(im->logins[i].key), key))
			mistake = "this key stood there before; Postfix takes the first";
	if (mistake == NULL && im->login_count == LOGINS_MAX)
		mistake = "more than 1000 logins";
	if (mistake != NULL)
		leave(im, IMPORT_SASL_PASSWD, line, key, mistake);
	else
		im->failed = !add_login(im, key, user, password, line) || im->failed;
}

/* ---- keys ---- */

/* NULL: kind and canonical text. */
static const char *read_address(struct slice key, char out[MAIL_ADDRESS_MAX + 1])
{
	struct mail_address a;

	if (mail_address_parse(key, MAIL_ALLOW_UTF8, &a) != MAIL_OK || a.literal || !import_is_plain(mail_address_text(&a)))
		return "a key that cannot be written in a table's file";
	memcpy(out, a.text, sizeof(a.text));
	return NULL;
}

static const char *read_domain(struct slice key, char out[MAIL_DOMAIN_MAX + 1])
{
	if (!mail_domain_parse(key, MAIL_ALLOW_UTF8, out) || out[0] == '[' || out[0] == '.')
		return "a key that is neither an address nor a domain";
	return NULL;
}

static const char *read_key(struct slice key, bool of_sender, enum key_kind *kind, char out[MAIL_DOMAIN_MAX + 1])
{
	size_t at = slice_rindex(key, '@');

	if (key.at[0] == '/' || key.at[0] == '!')
		return "a regular expression; write a rule with `matches`";
	out[0] = '\0';
	*kind = at != SLICE_NONE && at > 0 ? KEY_ADDRESS : KEY_DOMAIN;
	if (of_sender && at == SLICE_NONE)
		return "a sender is an address, or @domain";
	if (slice_eq(key, slice_of("*"))) {
		*kind = KEY_ANY;
		return NULL;
	}
	if (*kind == KEY_ADDRESS)
		return read_address(key, out);
	if (key.at[0] == '.')
		*kind = KEY_BENEATH;
	if (key.at[0] == '@' && !of_sender)
		return "a key that Postfix does not look for; a domain stands there without the @";
	return read_domain(key.at[0] == '.' || key.at[0] == '@' ? slice_from(key, 1) : key, out);
}

/* Also of those of which it was not known yet: `text` borrowed. */
static const char *check_key(struct keys *keys, enum key_kind kind, const char *text)
{
	if (kind == KEY_BENEATH && ++keys->patterns > PATTERNS_MAX)
		return "more than 200 keys that begin with a dot; write a rule with `matches` for several of them";
	return text == NULL ? "no memory" : NULL;
}

static bool add_key(struct keys *keys, enum key_kind kind, const char *text, size_t hop, size_t line)
{
	void *all = keys->all;

	if (!mem_grow(&all, &keys->cap, keys->count, sizeof(struct key), IMPORT_ENTRIES_MAX))
		return false;
	keys->all = all;
	keys->all[keys->count] = (struct key){kind, slice_dup(slice_of(text)), hop, line};
	return keys->all[keys->count++].text != NULL;
}

static void read_route(struct import *im, enum import_table table, size_t line, struct slice key, struct slice value)
{
	bool of_sender = table == IMPORT_SENDER_RELAYHOST;
	struct keys *keys = of_sender ? &im->senders : &im->recipients;
	char text[MAIL_DOMAIN_MAX + 1];
	enum key_kind kind = KEY_ANY;
	struct hop hop;
	const char *mistake = read_key(key, of_sender, &kind, text);
	size_t at = SIZE_MAX;

	if (mistake == NULL)
		mistake = of_sender ? hop_read_host(value, 25, &hop) : hop_read(value, &hop);
	if (mistake == NULL)
		mistake = check_key(keys, kind, text);
	if (mistake == NULL) {
		at = add_hop(im, &hop, login_for(im, &hop));
		mistake = at == SIZE_MAX ? "more than 200 next hops" : NULL;
	}
	if (mistake != NULL)
		leave(im, table, line, key, mistake);
	else
		im->failed = !add_key(keys, kind, text, at, line) || im->failed;
}

static void read_relayhost(struct import *im)
{
	struct slice text = slice_trim(im->from->text[IMPORT_RELAYHOST]);
	const char *mistake;
	struct hop hop;

	im->relayhost = SIZE_MAX;
	if (text.len == 0)
		return;
	mistake = hop_read_host(text, 25, &hop);
	if (mistake != NULL)
		leave(im, IMPORT_RELAYHOST, 1, text, mistake);
	else
		im->relayhost = add_hop(im, &hop, login_for(im, &hop));
}

static struct key *find_sender(struct import *im, enum key_kind kind, const char *text)
{
	for (size_t i = 0; i < im->senders.count; i++)
		if (im->senders.all[i].kind == kind && strcasecmp(im->senders.all[i].text, text) == 0)
			return &im->senders.all[i];
	return NULL;
}

/* His own, that of his domain, or the one of all. */
static size_t relayhost_of(struct import *im, enum key_kind kind, const char *text)
{
	const struct key *k = find_sender(im, kind, text);
	const char *at = strrchr(text, '@');

	if (k == NULL && kind == KEY_ADDRESS && at != NULL)
		k = find_sender(im, KEY_DOMAIN, at + 1);
	return k != NULL ? k->hop : im->relayhost;
}

/* A login for a sender goes to the relayhost that this sender has. */
static void read_sender_login(struct import *im, struct login *l)
{
	size_t hop = SIZE_MAX, at;
	char text[MAIL_DOMAIN_MAX + 1];
	enum key_kind kind;
	struct key *own;
	const char *mistake = read_key(slice_of(l->key), true, &kind, text);

	if (mistake == NULL)
		hop = relayhost_of(im, kind, text);
	if (mistake == NULL && hop == SIZE_MAX)
		mistake = "a login for a sender that has no relayhost among what is imported";
	if (mistake != NULL) {
		leave(im, IMPORT_SASL_PASSWD, l->line, slice_of(l->key), mistake);
		return;
	}
	at = add_hop(im, &im->hops[hop].hop, (size_t)(l - im->logins));
	l->is_used = true;
	own = find_sender(im, kind, text);
	if (at == SIZE_MAX)
		leave(im, IMPORT_SASL_PASSWD, l->line, slice_of(l->key), "more than 200 next hops");
	else if (own != NULL)
		own->hop = at;
	else
		im->failed = !add_key(&im->senders, kind, text, at, l->line) || im->failed;
}

static void settle_logins(struct import *im)
{
	for (size_t i = 0; i < im->login_count; i++) {
		struct login *l = &im->logins[i];

		if (!l->is_used && strchr(l->key, '@') != NULL && l->key[0] != '[')
			read_sender_login(im, l);
		else if (!l->is_used)
			leave(im, IMPORT_SASL_PASSWD, l->line, slice_of(l->key), "a login for a host that nothing imported leads to; add it to credentials by hand");
	}
}

/* The first of a key counts; ours would have both say something. */
static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int diff = x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcasecmp(x->text, y->text);

	return diff != 0 ? diff : x->line < y->line ? -1 : x->line > y->line;
}

static void drop_doubles(struct import *im, struct keys *keys, enum import_table table)
{
	size_t kept = 0;

	if (keys->count > 1)
		qsort(keys->all, keys->count, sizeof(struct key), by_key);
	for (size_t i = 0; i < keys->count; i++) {
		struct key *k = &keys->all[i];

		if (kept > 0 && keys->all[kept - 1].kind == k->kind && strcasecmp(keys->all[kept - 1].text, k->text) == 0) {
			leave(im, table, k->line, slice_of(k->text), "this key stood there before; Postfix takes the first");
			free(k->text);
		} else {
			keys->all[kept++] = *k;
		}
	}
	keys->count = kept;
}

/* ---- what is read ---- */

static void read_line(struct import *im, enum import_table table, const struct import_line *l)
{
	struct buf line = l->text; /* only read */
	struct slice text = buf_slice(&line), key, value;
	size_t len = 0;

	while (len < text.len && !import_is_blank(text.at[len]))
		len++;
	key = slice_sub(text, 0, len);
	value = slice_trim(slice_from(text, len));
	if (l->too_long)
		leave(im, table, l->number, key, "a line of more than 64 KiB");
	else if (value.len == 0)
		leave(im, table, l->number, key, "a key without a value");
	else if (table == IMPORT_SASL_PASSWD)
		read_login(im, l->number, key, value);
	else
		read_route(im, table, l->number, key, value);
}

static void read_table(struct import *im, enum import_table table)
{
	struct import_lines lines = import_lines_of(im->from->text[table]);
	struct import_line l = import_line_make();

	if (table == IMPORT_SASL_PASSWD)
		l.text = buf_make_secret(IMPORT_LINE_MAX);
	im->failed = im->failed || im->from->text[table].len > IMPORT_BYTES_MAX;
	while (!im->failed && import_line_next(&lines, &l))
		read_line(im, table, &l);
	buf_free(&l.text);
}

/* ---- what is written ---- */

static const char *const kind_names[] = {[KEY_ADDRESS] = "addresses", [KEY_DOMAIN] = "domains"};

static void print_hop(const struct import *im, const struct route_hop *r, struct buf *out)
{
	char login[sizeof("imported-") + IMPORT_NAME_BYTES] = "";

	if (r->login != NO_LOGIN)
		snprintf(login, sizeof(login), "imported-%s", im->logins[r->login].name);
	hop_print(&r->hop, login, out);
}

static void name_hops(struct import *im)
{
	for (size_t i = 0; i < im->hop_count; i++) {
		struct route_hop *r = &im->hops[i];
		struct buf text = buf_make(4u * HOP_TEXT_MAX);

		print_hop(im, r, &text);
		im->failed = !buf_ok(&text) || !import_name_of(slice_of(r->hop.kind == HOP_MX ? "mx" : r->hop.where), buf_slice(&text), r->name) || im->failed;
		buf_free(&text);
	}
}

/* What a rule does with it: "relay imported-hub.test-3f0c5d1e9a77". */
static void add_verb(const struct route_hop *r, struct buf *out)
{
	const struct hop *h = &r->hop;

	buf_add_char(out, '\t');
	if (h->kind == HOP_DISCARD) {
		buf_add_text(out, "discard");
	} else if (h->kind == HOP_REJECT) {
		buf_addf(out, "reject 550 %s%s\"", h->dsn, h->dsn[0] != '\0' ? " " : "");
		for (const char *c = h->where; *c != '\0'; c++)
			buf_addf(out, "%s%c", *c == '"' || *c == '\\' ? "\\" : *c == '{' ? "{" : "", *c);
		buf_add_char(out, '"');
	} else {
		buf_addf(out, "%s imported-%s", h->kind == HOP_SMTP || h->kind == HOP_MX ? "relay" : "deliver", r->name);
	}
}

static bool has_keys(const struct keys *keys, size_t hop, enum key_kind kind)
{
	for (size_t i = 0; i < keys->count; i++)
		if (keys->all[i].hop == hop && keys->all[i].kind == kind)
			return true;
	return false;
}

static bool list_keys(const struct keys *keys, size_t hop, enum key_kind kind, struct buf *out)
{
	for (size_t i = 0; i < keys->count; i++)
		if (keys->all[i].hop == hop && keys->all[i].kind == kind)
			buf_addf(out, "%s\n", keys->all[i].text);
	return buf_ok(out);
}

/* Named by what stands in it: a file that a configuration in force asks stays as it is, whatever is imported next to it. */
static bool add_table_file(struct import *im, const struct keys *keys, size_t hop, enum key_kind kind, const char *of, char name[64])
{
	struct buf text = buf_make(IMPORT_BYTES_MAX), *file = NULL;
	char hash[IMPORT_NAME_BYTES];

	if (list_keys(keys, hop, kind, &text) && import_name_of(slice_empty(), buf_slice(&text), hash)) {
		snprintf(name, 64, "%ss-%s-%s", of, kind_names[kind], hash);
		file = import_files_add(im->files, name, false);
	}
	if (file == NULL || !buf_add_slice(file, buf_slice(&text)))
		im->failed = true;
	buf_free(&text);
	return !im->failed;
}

/* A rule for each hop with such keys, and the table that it asks. */
static void add_rules_in(struct import *im, const struct keys *keys, enum key_kind kind, const char *of, struct buf *tables, struct buf *rules)
{
	char name[64];

	for (size_t hop = 0; hop < im->hop_count; hop++) {
		if (!has_keys(keys, hop, kind) || !add_table_file(im, keys, hop, kind, of, name))
			continue;
		buf_addf(tables, "table imported-%s file \"%s/%s\"\n", name, im->from->folder, name);
		add_verb(&im->hops[hop], rules);
		if (kind == KEY_DOMAIN)
			buf_addf(rules, "  if %s.domain in imported-%s\n", of, name);
		else if (strcmp(of, "recipient") == 0)
			buf_addf(rules, "  if recipient in imported-%s or recipient.base in imported-%s\n", name, name);
		else
			buf_addf(rules, "  if %s in imported-%s\n", of, name);
	}
}

static int by_length(const void *a, const void *b)
{
	const struct key *const *x = a, *const *y = b;
	size_t m = strlen((*x)->text), n = strlen((*y)->text);

	return m > n ? -1 : m < n;
}

/* The longest first. */
static void add_patterns(struct import *im, struct buf *rules)
{
	const struct key *found[PATTERNS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < im->recipients.count && count < PATTERNS_MAX; i++)
		if (im->recipients.all[i].kind == KEY_BENEATH)
			found[count++] = &im->recipients.all[i];
	if (count > 1)
		qsort(found, count, sizeof(found[0]), by_length);
	for (size_t i = 0; i < count; i++) {
		add_verb(&im->hops[found[i]->hop], rules);
		buf_add_text(rules, "  if recipient.domain matches \"[.]");
		for (const char *c = found[i]->text; *c != '\0'; c++)
			buf_addf(rules, *c == '.' ? "[%c]" : "%c", *c);
		buf_add_text(rules, "$\"\n");
	}
}

static bool is_transport(const struct hop *h)
{
	return h->kind != HOP_DISCARD && h->kind != HOP_REJECT;
}

/* Some were only on the way to what was settled in the end. */
static bool is_used(const struct import *im, size_t hop)
{
	for (unsigned kind = 0; kind < KEY_KINDS; kind++)
		if (has_keys(&im->recipients, hop, (enum key_kind)kind) || has_keys(&im->senders, hop, (enum key_kind)kind))
			return true;
	return hop == im->relayhost;
}

static void add_transports(const struct import *im, struct buf *out)
{
	for (size_t i = 0; i < im->hop_count; i++) {
		const struct route_hop *r = &im->hops[i];

		if (!is_transport(&r->hop) || !is_used(im, i))
			continue;
		buf_addf(out, "transport imported-%s { ", r->name);
		print_hop(im, r, out);
		buf_add_text(out, " }\n");
	}
}

static bool add_credentials(struct import *im)
{
	struct buf *text = NULL;

	for (size_t i = 0; i < im->login_count; i++) {
		if (!im->logins[i].is_used)
			continue;
		if (text == NULL)
			text = import_files_add(im->files, "credentials", true);
		if (text == NULL || !buf_addf(text, "imported-%s: %s %s\n", im->logins[i].name, im->logins[i].user, im->logins[i].password))
			im->failed = true;
	}
	return text != NULL;
}

static void add_route(struct buf *rules, struct buf *out)
{
	if (rules->len == 0)
		return;
	buf_add_text(out, "route {\n");
	buf_add_slice(out, buf_slice(rules));
	buf_add_text(out, "}\n");
}

/* What is for any recipient or sender, and what depends on the sender: behind what the configuration says of its own domains. */
static void add_last_rules(struct import *im, struct buf *tables, struct buf *rules)
{
	size_t any = SIZE_MAX;

	for (size_t i = 0; i < im->recipients.count; i++)
		if (im->recipients.all[i].kind == KEY_ANY)
			any = im->recipients.all[i].hop;
	if (any == SIZE_MAX) {
		add_rules_in(im, &im->senders, KEY_ADDRESS, "sender", tables, rules);
		add_rules_in(im, &im->senders, KEY_DOMAIN, "sender", tables, rules);
		any = im->relayhost;
	}
	if (any != SIZE_MAX) {
		add_verb(&im->hops[any], rules);
		buf_add_char(rules, '\n');
	}
}

static bool add_file(struct import *im, const char *name, struct buf *text)
{
	struct buf *file = text->len == 0 ? NULL : import_files_add(im->files, name, false);

	if (text->len > 0 && (file == NULL || !buf_ok(text) || !buf_add_slice(file, buf_slice(text))))
		im->failed = true;
	return !im->failed;
}

static void write_all(struct import *im)
{
	struct buf first = buf_make(1u << 20), last = buf_make(1u << 20), rules = buf_make(1u << 20), behind = buf_make(1u << 20);
	bool secrets = add_credentials(im);

	name_hops(im);
	buf_add_text(&first, HEAD);
	if (secrets)
		buf_addf(&first, "credentials \"%s/credentials\"\n", im->from->folder);
	if (im->from->has_virtual) {
		buf_addf(&first, "table imported-virtual file \"%s/virtual\"\n", im->from->folder);
		buf_add_text(&rules, "\talias imported-virtual\n");
	}
	add_rules_in(im, &im->recipients, KEY_ADDRESS, "recipient", &first, &rules);
	add_rules_in(im, &im->recipients, KEY_DOMAIN, "recipient", &first, &rules);
	add_patterns(im, &rules);
	add_last_rules(im, &first, &behind);
	add_transports(im, &first);
	add_route(&rules, &first);
	add_route(&behind, &last);
	if (first.len == strlen(HEAD) && last.len == 0)
		buf_clear(&first);
	(void)(add_file(im, "last.conf", &last) && add_file(im, "first.conf", &first));
	buf_free(&first);
	buf_free(&last);
	buf_free(&rules);
	buf_free(&behind);
}

static void free_keys(struct keys *keys)
{
	for (size_t i = 0; i < keys->count; i++)
		free(keys->all[i].text);
	free(keys->all);
}

static void free_import(struct import *im)
{
	for (size_t i = 0; i < im->login_count; i++) {
		if (im->logins[i].password != NULL)
			mem_wipe(im->logins[i].password, strlen(im->logins[i].password));
		free(im->logins[i].key);
		free(im->logins[i].user);
		free(im->logins[i].password);
	}
	free(im->logins);
	free(im->hops);
	free_keys(&im->recipients);
	free_keys(&im->senders);
}

bool import_postfix(const struct import_postfix *from, struct import_files *files, import_table_left_fn *left, void *arg)
{
	struct import im = {.from = from, .files = files, .left = left, .arg = arg};

	read_table(&im, IMPORT_SASL_PASSWD); /* first: a next hop asks for its login */
	read_table(&im, IMPORT_TRANSPORT);
	read_table(&im, IMPORT_SENDER_RELAYHOST);
	read_relayhost(&im);
	drop_doubles(&im, &im.recipients, IMPORT_TRANSPORT);
	drop_doubles(&im, &im.senders, IMPORT_SENDER_RELAYHOST);
	if (!im.failed)
		settle_logins(&im);
	if (!im.failed)
		write_all(&im);
	free_import(&im);
	return !im.failed;
}
