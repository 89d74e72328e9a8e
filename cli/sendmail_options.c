#include "sendmail_options.h"

#include "base/mem.h"
#include "mail/dsn.h"

#include <stdio.h>
#include <string.h>

/*
 * The letters, as a table.  Ignored is what changes nothing that matters here: how errors are reported, how delivery is
 * scheduled, hints of mailers long gone.  What would name a file, another configuration or another kind of run is refused:
 * it must not look as if it had worked.
 */
enum value { NO_VALUE, NEEDS_VALUE, MAY_HAVE_VALUE /* attached */ };

struct parsing {
	struct sendmail_options *out;
	char *why;
	size_t why_size;
};

static bool refuse(struct parsing *p, const char *what, const char *option)
{
	snprintf(p->why, p->why_size, "%s: %.100s", what, option);
	return false;
}

typedef bool option_fn(struct parsing *p, const char *value);

static bool set_t(struct parsing *p, const char *value)
{
	(void)value;
	p->out->take_recipients = true;
	return true;
}

static bool set_i(struct parsing *p, const char *value)
{
	(void)value;
	p->out->ignore_dots = true;
	return true;
}

static bool set_f(struct parsing *p, const char *value)
{
	if (value[0] == '-')
		return refuse(p, "a sender's address does not begin with a dash", value);
	p->out->has_sender = true;
	p->out->sender = strcmp(value, "<>") == 0 ? "" : value;
	return true;
}

static bool set_full_name(struct parsing *p, const char *value)
{
	p->out->full_name = value;
	return true;
}

static bool set_mode(struct parsing *p, const char *value)
{
	static const struct {
		const char *value;
		enum sendmail_mode mode;
	} modes[] = {{"m", SENDMAIL_SUBMIT}, {"p", SENDMAIL_LIST}, {"i", SENDMAIL_ALIASES}, {"s", SENDMAIL_SESSION}};
	static const struct {
		const char *value, *why;
	} refused[] = {
		{"d", "postern-master is the daemon, and not started by"},
		{"D", "postern-master is the daemon, and not started by"},
		{"t", "addresses are not tested by this program"},
		{"v", "addresses are not tested by this program"},
		{"S", "SMTP in batches is not spoken; -bs is"},
	};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (strcmp(value, modes[i].value) == 0) {
			p->out->mode = modes[i].mode;
			return true;
		}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		if (strcmp(value, refused[i].value) == 0)
			return refuse(p, refused[i].why, refused[i].value);
	return refuse(p, "-b takes m, p, i or s here, not", value);
}

/* -oX: an option of sendmail's own configuration, of one letter. */
static bool set_o(struct parsing *p, const char *value)
{
	if (value[0] == 'i')
		return set_i(p, value);
	if (value[0] == '\0' || strchr("78bcdehmsv", value[0]) == NULL)
		return refuse(p, "unknown option -o", value);
	return true;
}

static bool is_true(const char *value)
{
	return value[0] == '\0' || strchr("TtYy1", value[0]) != NULL;
}

/* -O Name=value: the same in many letters.  What names a file or a program is not among them. */
static bool set_long(struct parsing *p, const char *value)
{
	static const char *const ignored[] = {"DeliveryMode", "ErrorMode",    "MeToo",	      "Verbose", "EightBitMode",
					      "SaveFromLine", "SevenBitInput", "OldStyleHeaders"};
	struct slice rest = slice_of(value), name = slice_empty();

	if (slice_cut(&rest, '=', &name) && slice_eq_nocase(name, slice_of("IgnoreDots"))) {
		p->out->ignore_dots = is_true(rest.at);
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		if (slice_eq_nocase(name, slice_of(ignored[i])))
			return true;
	return refuse(p, "unknown option -O", value);
}

static bool set_notify(struct parsing *p, const char *value)
{
	return dsn_notify_parse(slice_of(value), &p->out->notify) ||
	       refuse(p, "-N takes never, or a list of success, failure, delay; not", value);
}

static bool set_return(struct parsing *p, const char *value)
{
	return dsn_ret_parse(slice_of(value), &p->out->ret) || refuse(p, "-R takes full or hdrs, not", value);
}

static bool set_envid(struct parsing *p, const char *value)
{
	struct buf text = buf_make(DSN_ENVID_MAX);
	struct slice envid = slice_of(value);
	bool ok = envid.len > 0 && dsn_envid_is_valid(envid) && dsn_envid_add(envid, &text);

	buf_free(&text);
	p->out->envid = value;
	return ok || refuse(p, "-V takes up to 100 printable characters, not", value);
}

static bool set_aliases(struct parsing *p, const char *value)
{
	(void)value;
	p->out->mode = SENDMAIL_ALIASES;
	return true;
}

static bool set_retry(struct parsing *p, const char *value)
{
	p->out->mode = SENDMAIL_RETRY;
	return value[0] == '\0' || refuse(p, "-q takes no value: Postern itself runs the queue, and `postern queue retry ID` tries one message; not", value);
}

static bool refuse_path(struct parsing *p, const char *value)
{
	return refuse(p, "an option that names a file or sets a macro is not taken", value);
}

static bool ignore(struct parsing *p, const char *value)
{
	(void)p;
	(void)value;
	return true;
}

static const struct option {
	char letter;
	enum value value;
	option_fn *set;
} options[] = {
	{'t', NO_VALUE, set_t},
	{'i', NO_VALUE, set_i},
	{'f', NEEDS_VALUE, set_f},
	{'r', NEEDS_VALUE, set_f},
	{'F', NEEDS_VALUE, set_full_name},
	{'b', NEEDS_VALUE, set_mode},
	{'o', NEEDS_VALUE, set_o},
	{'O', NEEDS_VALUE, set_long},
	{'N', NEEDS_VALUE, set_notify},
	{'R', NEEDS_VALUE, set_return},
	{'V', NEEDS_VALUE, set_envid},
	{'I', NO_VALUE, set_aliases},
	{'q', MAY_HAVE_VALUE, set_retry},
	{'A', NEEDS_VALUE, ignore}, /* which of sendmail's configurations */
	{'B', NEEDS_VALUE, ignore}, /* body type: it is seen from the message */
	{'e', NEEDS_VALUE, ignore}, /* how errors are reported */
	{'G', NO_VALUE, ignore},
	{'h', NEEDS_VALUE, ignore}, /* hop count */
	{'L', NEEDS_VALUE, ignore}, /* tag in the log */
	{'m', NO_VALUE, ignore}, /* me too */
	{'n', NO_VALUE, ignore}, /* no aliasing */
	{'p', NEEDS_VALUE, ignore}, /* protocol and host it came by */
	{'U', NO_VALUE, ignore},
	{'v', NO_VALUE, ignore},
	{'C', NEEDS_VALUE, refuse_path},
	{'D', NEEDS_VALUE, refuse_path},
	{'X', NEEDS_VALUE, refuse_path},
};

static const struct option *find_option(char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (options[i].letter == letter)
			return &options[i];
	return NULL;
}

/* The letters of one argument.  False: refused.  `*at` moves on when the value is the next argument. */
static bool parse_argument(struct parsing *p, int argc, char *const *argv, int *at)
{
	const char *whole = argv[*at];

	for (const char *c = whole + 1; *c != '\0'; c++) {
		const struct option *o = find_option(*c);

		if (o == NULL)
			return refuse(p, "unknown option", whole);
		if (o->value == NO_VALUE) {
			if (!o->set(p, ""))
				return false;
			continue;
		}
		if (c[1] != '\0' || o->value == MAY_HAVE_VALUE)
			return o->set(p, c + 1);
		if (*at + 1 >= argc)
			return refuse(p, "this option needs a value", whole);
		return o->set(p, argv[++*at]);
	}
	return true;
}

static enum sendmail_mode mode_of_name(const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash == NULL ? name : slash + 1;

	if (strcmp(base, "mailq") == 0)
		return SENDMAIL_LIST;
	return strcmp(base, "newaliases") == 0 ? SENDMAIL_ALIASES : SENDMAIL_SUBMIT;
}

bool sendmail_options_parse(int argc, char *const *argv, struct sendmail_options *out, char *why, size_t why_size)
{
	struct parsing p = {out, why, why_size};
	int at = 1;

	*out = (struct sendmail_options){.sender = "", .full_name = "", .envid = ""};
	if (argc < 1 || argv[0] == NULL)
		return refuse(&p, "started without a name", "");
	if (argc > SENDMAIL_ARGUMENTS_MAX)
		return refuse(&p, "too many arguments", argv[0]);
	out->mode = mode_of_name(argv[0]);
	for (; at < argc && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (!parse_argument(&p, argc, argv, &at))
			return false;
	}
	out->recipients = argv + at;
	out->recipient_count = (size_t)(argc - at);
	return true;
}
