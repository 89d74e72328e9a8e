#ifndef POSTERN_CONF_COMPILER_H
#define POSTERN_CONF_COMPILER_H

#include "conf/parse.h"
#include "conf/settings.h"
#include "rules/build.h"

/*
 * One compilation, from text to struct conf: statements are read by the tables in statements.c (which
 * statement, where, how often, what follows it), then check.c looks at the whole.
 */
#define BLOCK_STATEMENTS_MAX 32u

/* Where each statement of a block was said first (line 0: not), by its row. */
struct said {
	struct conf_pos at[BLOCK_STATEMENTS_MAX];
};

/* What the text said of a transport or a listener, kept beside it for the checks. */
struct listener_said {
	struct said said;
	bool broken; /* a mistake in it was told: no more are looked for */
};
struct transport_said {
	struct said said;
	bool broken;
};

struct compiler {
	struct conf *conf;
	struct parser *p; /* the file being read */
	struct slice bundle;
	struct arena *arena;
	struct mistakes *mistakes;
	unsigned depth; /* of includes */
	const char **included;
	size_t included_count;
	struct said said; /* at the top level */
	struct conf_pos set_at[SETTINGS_MAX]; /* of their values */
	struct said tls_said, auth_said;
	bool auth_block; /* there is one, perhaps with mistakes */
	struct listener_said *listeners; /* beside conf->listeners */
	size_t listener_count;
	struct transport_said *transports;
	size_t transport_count;
	struct conf_pos policy_at[STAGE_COUNT], route_at, retry_at, auth_at, mechanisms_at;
};

/* One statement: how it is written, and who reads what stands behind its keyword. */
struct statement {
	const char *keyword;
	bool (*read)(struct compiler *c, const struct statement *st, void *into); /* false: told */
	size_t offset; /* of its field in `into` */
	uint64_t min, max; /* numbers */
	const char *const *words; /* choices, in the order of the enum; ends with NULL */
	bool repeats;
};

/* Statements up to the `}`, which is consumed.  False: some had mistakes (all were read). */
bool read_block(struct compiler *c, const char *of, const struct statement *rows, size_t count,
		void *into, struct said *said);
bool statement_said(const struct said *said, const struct statement *rows, size_t count,
		    const char *keyword, struct conf_pos *at_out);

/* Readers of one argument, into the field at st->offset. */
bool read_name_field(struct compiler *c, const struct statement *st, void *into);
bool read_text_field(struct compiler *c, const struct statement *st, void *into);
bool read_path_field(struct compiler *c, const struct statement *st, void *into);
bool read_choice_field(struct compiler *c, const struct statement *st, void *into);
bool read_yes_no_field(struct compiler *c, const struct statement *st, void *into);
bool read_u32_field(struct compiler *c, const struct statement *st, void *into);
bool read_time_field(struct compiler *c, const struct statement *st, void *into); /* min and max in ms, whole seconds */
/* Networks, as long as words look like one (those of a block share a line with other statements). */
bool read_nets_field(struct compiler *c, const struct statement *st, void *into);
bool read_domain_field(struct compiler *c, const struct statement *st, void *into);
/* An absolute path in which {host} and {hostname} stand for the setting. */
bool read_host_path_field(struct compiler *c, const struct statement *st, void *into);

/* Servers of others (server.c).  "HOST:PORT" or the path of a socket; `example` is for the mistake. */
bool add_server(struct compiler *c, struct conf_ldap_server **servers, size_t *count, const char *example);
bool server_is_here(const struct conf_ldap_server *s);
/* st->words are one of these: which TLS that kind of server speaks. */
extern const char *const tls_words_all[], *const tls_words_verified[], *const tls_words_implicit[];
bool read_server_tls(struct compiler *c, const struct statement *st, void *into);
struct servers_said {
	struct conf_pos pos;
	const char *name; /* of the block, for people */
	const struct conf_ldap_server *servers;
	size_t count;
	const struct conf_server_tls *tls;
	const char *login;
	bool external;
	const char *what, *clear_hint; /* would cross the network in clear; what to write instead */
};
void check_servers(struct compiler *c, const struct servers_said *said);

/* Whole statements. */
bool read_listen(struct compiler *c, const struct statement *st, void *into);
bool read_tls(struct compiler *c, const struct statement *st, void *into);
bool read_auth(struct compiler *c, const struct statement *st, void *into);
void check_ldap(struct compiler *c);
bool read_backend_block(struct compiler *c, struct conf_table *t); /* of a table whose kind is known */
void check_backends(struct compiler *c);
bool take_query(struct compiler *c, const char **into); /* one select with one '?' */
/* The text of a search filter, checked; lives in the arena. */
bool take_ldap_filter(struct compiler *c, const char **out);
bool read_ldap(struct compiler *c, const struct statement *st, void *into);
bool read_table(struct compiler *c, const struct statement *st, void *into);
bool read_transport(struct compiler *c, const struct statement *st, void *into);
/* Of a transport of the local agent: delivery.c. */
bool read_maildir(struct compiler *c, const struct statement *st, void *into);
bool read_mbox(struct compiler *c, const struct statement *st, void *into);
bool read_pipe(struct compiler *c, const struct statement *st, void *into);
bool read_add(struct compiler *c, const struct statement *st, void *into);
bool read_user(struct compiler *c, const struct statement *st, void *into);
bool read_quota(struct compiler *c, const struct statement *st, void *into);
bool read_junk(struct compiler *c, const struct statement *st, void *into);
bool read_owner_file(struct compiler *c, const struct statement *st, void *into);
bool read_retry(struct compiler *c, const struct statement *st, void *into);
bool read_trusted(struct compiler *c, const struct statement *st, void *into);
bool read_policy(struct compiler *c, const struct statement *st, void *into);
bool read_rewrite(struct compiler *c, const struct statement *st, void *into);
bool read_route(struct compiler *c, const struct statement *st, void *into);
bool read_include(struct compiler *c, const struct statement *st, void *into);
/* The name of a setting as the documents write it: with `-`. */
const char *dashed(struct compiler *c, const char *name);
bool read_setting(struct compiler *c, const struct setting *s, size_t index);

/* All files from `name` on. */
void compile_file(struct compiler *c, const char *name, struct slice text);

/* What was said of a listener or a transport by that keyword. */
bool listener_said(const struct compiler *c, size_t listener, const char *keyword);
bool transport_said(const struct compiler *c, size_t transport, const char *keyword,
		    struct conf_pos *at_out);

/* The whole: references, contradictions, what is missing.  Also sets what was left to its default. */
void check_all(struct compiler *c);

/* `host:port`, `[v6]:port`, `:port` (empty host). */
bool split_host_port(struct slice s, struct slice *host_out, uint16_t *port_out);
bool is_host_name(struct slice s); /* letters, digits, - in labels; also one label */

#endif
