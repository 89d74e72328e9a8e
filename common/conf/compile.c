#include "conf/compiler.h"

#include "base/log.h"
#include "conf/bundle.h"
#include "conf/unit.h"

/* A configuration's compiled form never needs more than a few times its text; the ceiling is for
 * hostile ones. */
#define ARENA_BYTES_MAX (64u << 20)
#define MISTAKES_TEXT_MAX (512u << 10)

/* ---- defaults ---- */

static void set_initial(struct conf *conf, const struct setting *s)
{
	struct slice initial = slice_of(s->initial);
	void *into = (char *)&conf->set + s->offset;
	bool ok = true;

	switch (s->kind) {
	case SETTING_TEXT:
		*(const char **)into = s->initial;
		break;
	case SETTING_NUMBER:
		ok = slice_u64(initial, UINT64_MAX, into);
		break;
	case SETTING_SIZE:
		ok = unit_size(initial, into);
		break;
	case SETTING_TIME:
		ok = unit_time(initial, into);
		break;
	case SETTING_BOOL:
		*(bool *)into = slice_eq(initial, slice_of("yes"));
		break;
	}
	MUST(ok);
}

static struct conf *new_conf(struct arena *arena)
{
	struct conf *conf = arena_take(arena, sizeof(*conf));

	if (conf == NULL)
		return NULL;
	conf->arena = arena;
	conf->route = arena_take(arena, sizeof(*conf->route));
	if (conf->route == NULL)
		return NULL;
	conf->route->place = RULES_ROUTE;
	for (size_t i = 0; i < settings_count(); i++)
		set_initial(conf, setting_at(i));
	return conf;
}

/* What the system calls itself stands in the bundle, so that every process of a generation says the
 * same name. */
static void default_hostname(struct compiler *c)
{
	struct slice text, name;
	struct lex lex;

	if (c->conf->set.hostname[0] != '\0')
		return;
	c->conf->set.hostname = "localhost";
	if (!bundle_find(c->bundle, slice_of(BUNDLE_SYSTEM), &text))
		return;
	lex = lex_make(BUNDLE_SYSTEM, text, c->arena, NULL);
	lex_next(&lex);
	name = lex_next(&lex).text;
	if (is_host_name(name))
		c->conf->set.hostname = arena_text(c->arena, name);
	if (c->conf->set.hostname == NULL)
		c->conf->set.hostname = "localhost";
}

static void default_retry(struct compiler *c)
{
	/* 15m until 2h, then from 1h by 1.5 until 16h, then every 6h until 4d */
	static struct conf_retry_step steps[] = {
		{900, 1000, 7200}, {3600, 1500, 57600}, {21600, 1000, 345600}};

	if (c->conf->retry.count == 0)
		c->conf->retry = (struct conf_retry){steps, sizeof(steps) / sizeof(steps[0])};
}

/* A path with {host} and {hostname} filled in. */
static const char *with_host(struct compiler *c, const char *path, const char *host)
{
	struct buf out = buf_make(8192);
	struct slice rest = slice_of(path);
	const char *text = NULL;
	size_t open;

	if (path == NULL || slice_index(rest, '{') == SLICE_NONE)
		return path;
	while ((open = slice_index(rest, '{')) != SLICE_NONE) {
		struct slice from = slice_from(rest, open);

		buf_add_slice(&out, slice_sub(rest, 0, open));
		buf_add_text(&out, slice_starts(from, slice_of("{host}")) ? host : c->conf->set.hostname);
		rest = slice_from(from, slice_index(from, '}') + 1);
	}
	buf_add_slice(&out, rest);
	if (buf_ok(&out))
		text = arena_text(c->arena, buf_slice(&out));
	buf_free(&out);
	return text;
}

/* Of the default, what a host without paths has: its first, or for the second of that host its second. */
static const struct conf_certificate *usual_of(const struct conf *c, size_t i)
{
	return &c->certificates[conf_other_certificate(c, i) < i ? conf_other_certificate(c, 0) : 0];
}

/* {host} is the name of that host (without its wildcard), of the default the name of this one.  A host without paths of its own
 * has those of the default, which comes before it. */
static void fill_certificates(struct compiler *c)
{
	struct conf_certificate *all = c->conf->certificates;

	for (size_t i = c->conf->certificate_count; i-- > 0;) {
		const char *host = all[i].name == NULL ? c->conf->set.hostname : all[i].name;
		const struct conf_certificate *usual = usual_of(c->conf, i);

		if (all[i].chain == NULL && strstr(usual->chain, "{host}") == NULL)
			mistake_add(c->mistakes, all[i].pos,
				    "write host NAME { certificate PATH  key PATH }, or {host} in the paths of tls",
				    "host %s would have the certificate of all others", host);
		if (host[0] == '*')
			host += strlen("*.");
		all[i].chain = with_host(c, all[i].chain == NULL ? usual->chain : all[i].chain, host);
		all[i].key = with_host(c, all[i].key == NULL ? usual->key : all[i].key, host);
	}
}

/* ---- the compilation ---- */

static void compile(struct compiler *c)
{
	struct slice rest = c->bundle, name, text;

	if (!bundle_next(&rest, &name, &text) || memchr(name.at, '\0', name.len) != NULL) {
		mistake_add(c->mistakes, (struct conf_pos){"(configuration)", 1, 1}, "",
			    "there is no text");
		return;
	}
	compile_file(c, arena_text(c->arena, name), text);
	default_hostname(c);
	default_retry(c);
	if (mistakes_count(c->mistakes) == 0)
		fill_certificates(c);
	if (!arena_failed(c->arena))
		check_all(c);
}

static bool is_whole(struct slice bundle)
{
	struct slice name, text;

	while (bundle_next(&bundle, &name, &text))
		;
	return bundle.len == 0;
}

static struct conf *compile_in(struct arena *arena, struct slice bundle, struct conf_mistakes *out)
{
	struct compiler *c = arena_take(arena, sizeof(*c));

	if (c == NULL || !is_whole(bundle))
		return NULL;
	c->arena = arena;
	c->bundle = bundle;
	c->mistakes = mistakes_new(arena, bundle);
	c->conf = new_conf(arena);
	if (c->mistakes == NULL || c->conf == NULL)
		return NULL;
	compile(c);
	if (mistakes_count(c->mistakes) > 0)
		mistakes_render(c->mistakes, out);
	if (arena_failed(arena) || mistakes_count(c->mistakes) > 0)
		return NULL;
	return c->conf;
}

struct conf *conf_compile(struct slice bundle, struct conf_mistakes *mistakes)
{
	struct arena *arena = arena_new(ARENA_BYTES_MAX);
	struct conf *conf;

	*mistakes = (struct conf_mistakes){buf_make(MISTAKES_TEXT_MAX), 0};
	if (arena == NULL)
		return NULL;
	conf = compile_in(arena, bundle, mistakes);
	if (conf == NULL)
		arena_free(&arena);
	return conf;
}

void conf_free(struct conf **cp)
{
	struct conf *conf = *cp;
	struct arena *arena;

	if (conf == NULL)
		return;
	*cp = NULL;
	arena = conf->arena; /* conf itself lies in it */
	arena_free(&arena);
}
