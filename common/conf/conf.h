#ifndef POSTERN_CONF_CONF_H
#define POSTERN_CONF_CONF_H

#include "base/buf.h"
#include "base/outcome.h"
#include "quota/quota_limit.h"

#include <netinet/in.h>

/*
 * What a configuration says, compiled.  Made by conf_compile from the bundle (the text of all its files, conf/bundle.h): a
 * pure function, so that every process makes it for itself in its cage, and `postern check` the same.  All texts are
 * NUL-terminated and owned by the conf.  Never changes after it was made.
 */
struct conf;
struct rule_list; /* rules/rules.h */

struct conf_pos {
	const char *file;
	uint32_t line, column; /* from 1 */
};

enum conf_listener_role { LISTENER_MX, LISTENER_SUBMISSION, LISTENER_LOCAL /* the local submission socket */ };
enum conf_tls_mode { TLS_OFF, TLS_OPTIONAL, TLS_REQUIRED, TLS_IMPLICIT, TLS_VERIFIED /* transports only */ };
enum conf_auth_mode { AUTH_OFF, AUTH_OPTIONAL, AUTH_REQUIRED };
enum conf_dsn { DSN_FOR_KNOWN /* trusted, logged in, local */, DSN_FOR_ALL, DSN_FOR_NOBODY };
/* What a listener may be told not to offer. */
enum conf_extension { EXTENSION_CHUNKING, EXTENSION_BINARYMIME, EXTENSION_SMTPUTF8, EXTENSION_COUNT };
/* What a login, or a local user, may say it is: its own addresses, or anything. */
enum conf_senders { SENDERS_OWN, SENDERS_ANY };
enum conf_isolation { ISOLATION_SHARED, ISOLATION_CONNECTION };

struct conf_cidr {
	struct in6_addr address; /* v4 mapped */
	unsigned bits; /* of 128 */
};

struct conf_nets {
	struct conf_cidr *at;
	size_t count;
};

enum conf_tls_version { TLS_1_2, TLS_1_3 };
enum conf_client_certificate { CLIENT_CERTIFICATE_OFF, CLIENT_CERTIFICATE_ASK, CLIENT_CERTIFICATE_REQUIRE };

struct conf_name {
	struct conf_pos pos;
	const char *name;
};

struct conf_listener {
	struct conf_pos pos;
	char name[64]; /* "127.0.0.1:2525" */
	char address[64]; /* "" is every address */
	uint16_t port;
	enum conf_listener_role role;
	enum conf_tls_mode tls;
	enum conf_auth_mode auth;
	enum conf_isolation isolation;
	const char *hostname; /* in banner and EHLO; the setting's unless said */
	const char *called; /* listener.name of rules; `name` unless said; several may share one */
	const char *banner; /* what stands behind the host name in the banner; NULL: our own words */
	struct conf_nets auth_from; /* not empty: AUTH is offered to these alone */
	struct conf_nets proxy; /* not empty: each connection comes from these, and begins with a PROXY header */
	struct conf_nets xclient; /* who may say XCLIENT */
	enum conf_dsn dsn;
	enum conf_senders senders; /* of who is logged in */
	bool withholds_client; /* Received says nothing of the clients that log in here */
	uint32_t hidden; /* 1 << enum conf_extension */
	uint64_t greet_pause_ms; /* how long the gate looks whether the client speaks first */
	struct conf_name *tls_hosts; /* the certificates it may use, by their names; none: all */
	size_t tls_host_count;
	bool tls_known_hosts; /* a handshake that asks for a name no certificate is for is refused */
	enum conf_tls_version tls_minimum;
	const char *tls_ciphers; /* "compatible", "intermediate", "modern", or a list as OpenSSL writes it */
	enum conf_client_certificate client_certificate;
	const char *client_ca; /* file of trusted certificates; NULL: none is trusted, only asked for */
};

/* A certificate and its private key.  Its place in `certificates` is the key's number at keyd; the first is the default.  Two with
 * the same name are for one host, one with an ECDSA key and one with an RSA key (keyd looks): a client sees what it can verify. */
#define CONF_CERTIFICATES_MAX 200u
struct conf_certificate {
	struct conf_pos pos;
	const char *name; /* the host it is for, in lower case: "mail.example.net", "*.example.net"; NULL: the default */
	const char *chain, *key; /* files */
};

enum conf_table_kind {
	TABLE_INLINE,
	TABLE_FILE,
	TABLE_CIDR,
	TABLE_PCRE2,
	TABLE_DIRECTORY,
	TABLE_SQLITE,
	TABLE_POSTGRESQL, /* from here on: asked by postern-lookup */
	TABLE_REDIS,
	TABLE_SOCKETMAP,
	TABLE_LDAP,
	TABLE_KIND_COUNT,
};

struct conf_table_entry {
	const char *key;
	const char *value; /* "" where there is only a key */
};

struct conf_backend;

struct conf_table {
	struct conf_pos pos;
	const char *name;
	enum conf_table_kind kind;
	const char *path; /* not inline; of a directory with "/." at its end, for what is named is the folder itself */
	const char *include; /* folder of what `:include:` may name, with "/." at its end; NULL: that of the table's file */
	const char *query; /* sqlite: exactly one '?' */
	struct conf_backend *backend; /* of those that postern-lookup asks; else NULL */
	struct conf_table_entry *entries; /* inline */
	size_t entry_count;
};

enum conf_transport_kind {
	TRANSPORT_MAILDIR, /* local agent */
	TRANSPORT_SMTP, /* relay: a smarthost by name and port, or by MX */
	TRANSPORT_LMTP, /* relay */
	TRANSPORT_MBOX, /* local agent */
	TRANSPORT_PIPE, /* local agent */
};

/* Fields that the delivery itself adds, beside Return-Path (RFC 5321 §4.4). */
enum conf_add {
	ADD_DELIVERED_TO = 1 << 0,
	ADD_ENVELOPE_TO = 1 << 1, /* as the recipient was accepted: RCPT TO */
	ADD_DELIVERY_DATE = 1 << 2,
};

#define CONF_PROGRAM_BYTES_MAX 4096u
#define CONF_PROGRAM_WORDS_MAX 64u

struct conf_transport {
	struct conf_pos pos;
	const char *name;
	enum conf_transport_kind kind;
	size_t index; /* in conf_transports; also the `target` of DIAL_ASK */
	/* maildir, mbox, pipe: the local agent's */
	const char *maildir; /* of maildir and mbox: "~/Maildir/", or a template with {domain} {local} {address} */
	const char *user; /* whom mail is delivered as; with a table, who is not in it; NULL: nobody, without a table the recipient's own system user */
	const char *user_by; /* the table that says so; NULL: none */
	struct conf_pos user_at;
	const struct conf_table *user_table;
	const char *group; /* instead of the user's; NULL: none */
	bool delivered_to; /* add Delivered-To (default) */
	unsigned add; /* enum conf_add, without ADD_DELIVERED_TO */
	struct quota_limit quota; /* of a Maildir; where there is a table, of those who are not in it */
	const char *quota_by; /* that table's name; NULL: none */
	struct conf_pos quota_at;
	const struct conf_table *quota_table;
	const char *junk_field, *junk_folder; /* mail with that field, "X-Spam-Flag: YES", goes to that folder; NULL: none does */
	const char *forward, *filter; /* "~/.forward": its owner's files; NULL: not asked */
	bool programs; /* they may name programs and files */
	const char *program; /* pipe: words, a NUL behind each; NULL: only what a directive says */
	size_t program_bytes;
	uint64_t timeout_ms; /* of a program */
	/* smtp, lmtp */
	bool by_mx; /* smtp mx */
	const char *host; /* name or address; NULL with by_mx or path */
	const char *path; /* lmtp "/run/dovecot/lmtp": a Unix socket */
	uint16_t port;
	enum conf_tls_mode tls; /* off, optional, required, verified, implicit (implicit is verified unless tls_verify no) */
	bool tls_verify;
	const char *tls_ca; /* file of trusted certificates; NULL: the system's */
	const char *tls_name; /* the name the certificate must have; NULL: host */
	const char *login; /* the credential's name for authd; NULL: none.  "" never */
	bool allow_local; /* loopback and own addresses may be connected to */
	uint32_t connections; /* at once to one destination */
	uint32_t messages; /* on one connection */
	uint32_t recipients; /* in one transaction */
};

static inline bool conf_transport_is_local(const struct conf_transport *t)
{
	return t->kind == TRANSPORT_MAILDIR || t->kind == TRANSPORT_MBOX || t->kind == TRANSPORT_PIPE;
}

/* retry { every 15m until 2h  then from 1h by 1.5 until 16h  then every 6h until 4d }: one step each. */
struct conf_retry_step {
	uint64_t first_s;
	uint32_t factor_permille; /* 1000: "every" */
	uint64_t until_s; /* age of the message */
};
struct conf_retry {
	struct conf_retry_step *steps;
	size_t count;
};

/* Settings: settings.def names each with its type, default, bounds and one line of documentation. */
struct conf_settings {
#define SET_TEXT(name, def, doc) const char *name;
#define SET_NUMBER(name, def, min, max, doc) uint64_t name;
#define SET_SIZE(name, def, min, max, doc) uint64_t name; /* bytes */
#define SET_TIME(name, def, min, max, doc) uint64_t name##_ms;
#define SET_BOOL(name, def, doc) bool name;
#include "conf/settings.def"
#undef SET_TEXT
#undef SET_NUMBER
#undef SET_SIZE
#undef SET_TIME
#undef SET_BOOL
};

struct conf_ldap_server {
	const char *host; /* name or address; NULL with path */
	const char *path; /* of a Unix socket */
	uint16_t port;
};

/* TLS to a server that is asked: always verified, by its name and the trusted certificates. */
struct conf_server_tls {
	enum conf_tls_mode mode; /* off; verified: begun by a word of the protocol (postgresql, ldap); implicit (redis, ldap) */
	const char *ca; /* file of trusted certificates; NULL: the system's */
	const char *certificate, *key; /* files: what we show of ourselves; both or neither */
};

/* A directory, which is asked who has a login and then, with that entry's name, whether the password is right. */
struct conf_ldap {
	struct conf_pos pos;
	struct conf_ldap_server *servers; /* asked in this order; lookup dials them by their number */
	size_t server_count;
	struct conf_server_tls tls;
	const char *base, *filter; /* each '?' of the filter stands for the login */
	const char *object_class; /* that the entry must have; NULL: any */
	const char *login; /* name of the credential to search with; NULL: anonymous */
	bool external; /* search as who the connection shows us to be */
	uint64_t timeout_ms; /* for one server */
};
#define CONF_LDAP_SERVERS_MAX 8u

/* A table that another server keeps. */
struct conf_backend {
	struct conf_pos pos;
	struct conf_ldap_server *servers; /* asked in this order */
	size_t server_count;
	const char *login; /* name of the credential; NULL: none */
	uint64_t timeout_ms; /* for one key */
	uint64_t keep_ms, keep_no_ms; /* how long an answer counts */
	const char *database, *query; /* postgresql; exactly one '?', a parameter */
	uint32_t number; /* redis: of the database */
	const char *hash; /* redis; NULL: no hash, the key itself */
	const char *key; /* redis: '?' in it stands for what is asked */
	const char *map; /* socketmap */
	struct conf_server_tls tls;
	/* ldap */
	const char *base, *filter; /* the filter's '?' stands for the key */
	const char *object_class; /* that an entry must have; NULL: any */
	const char *attribute; /* its values are what stands there */
	bool external; /* who the connection shows us to be; else `login`, or nobody */
};
#define CONF_BACKENDS_MAX 32u /* each has a process of its own */

struct conf_auth {
	uint32_t mechanisms; /* MECHANISM_BIT of each that is offered; SCRAM-SHA-256-PLUS with SCRAM-SHA-256 */
	const char *sqlite; /* users database of `postern user` */
	const char *file; /* "login:hash" lines */
	const char *dovecot; /* socket of Dovecot's authentication service */
	const char *pam; /* name of a service, or the path of its file; NULL: PAM is not asked */
	struct conf_ldap *ldap; /* NULL: no directory is asked */
	const char *external; /* "CERTIFICATE: login" lines; NULL: no certificate logs in */
};

/* What DIAL_ASK may name besides the transports. */
#define CONF_TARGET_DOVECOT (1ull << 32)
/* A server of a table, by the table's place in `tables`. */
#define CONF_TARGET_TABLE(table, server) (2ull << 32 | (uint64_t)(table) << 8 | (uint64_t)(server))

enum conf_stage { STAGE_CONNECT, STAGE_HELO, STAGE_MAIL, STAGE_RCPT, STAGE_DATA, STAGE_COUNT };

struct conf {
	struct conf_settings set;
	struct conf_cidr *trusted;
	size_t trusted_count;
	struct conf_listener *listeners;
	size_t listener_count;
	struct conf_certificate *certificates; /* none: no TLS is offered */
	size_t certificate_count;
	struct conf_auth auth;
	enum conf_senders local_senders; /* of who writes to the submission socket */
	const struct conf_table *delegations; /* the setting; NULL: none */
	const struct conf_table *domains; /* the setting, a directory or sqlite; NULL: none */
	const char *credentials; /* file for authd: "NAME: user password" lines; NULL: none */
	struct conf_table *tables;
	size_t table_count;
	struct conf_transport *transports;
	size_t transport_count;
	struct rule_list *policy[STAGE_COUNT]; /* NULL: no rules there */
	struct rule_list *route; /* never NULL */
	struct rule_list *rewrite; /* NULL: no rules */
	struct conf_retry retry;
	void *arena; /* owns all of the above */
};

/* The mistakes found, all of them: text for people ("FILE:LINE:COLUMN: what\n  line\n  ^ expected ...; did you mean ...?"). */
struct conf_mistakes {
	struct buf text;
	size_t count;
};

/* NULL when there is any mistake (told in `mistakes`), or no memory (count 0).  `*mistakes` is written over in every case; its
 * text is then the caller's (buf_free).  The bundle is not needed any more afterwards. */
struct conf *conf_compile(struct slice bundle, struct conf_mistakes *mistakes);
void conf_free(struct conf **cp);

const struct conf_transport *conf_transport_find(const struct conf *c, struct slice name); /* NULL: none */
const struct conf_table *conf_table_find(const struct conf *c, struct slice name);
/* What each instance of postern-lookup does: the first asks the directory of `auth`, where there is one, each other one table. */
size_t conf_lookup_count(const struct conf *c);
const struct conf_table *conf_lookup_table(const struct conf *c, uint64_t instance); /* NULL: the directory, or nothing */
uint64_t conf_lookup_instance(const struct conf *c, const struct conf_table *t);
/* `address`: "192.0.2.1", "2001:db8::1"; false for what is no address. */
bool conf_is_trusted(const struct conf *c, struct slice address);
/* Whether that client may log in there. */
bool conf_takes_logins(const struct conf_listener *l, struct slice client);
/* As `hide` names it. */
const char *conf_extension_name(enum conf_extension e);
/* Whether a client certificate may log in there, where logins are taken. */
bool conf_takes_certificates(const struct conf_listener *l);
/* How many kinds there are that could say whether a password is right. */
unsigned conf_password_kinds(const struct conf_auth *a);
/* Whether sessions of that listener (its number) may be shown that certificate (its number): keyd signs nothing else. */
bool conf_may_use_certificate(const struct conf *c, uint64_t listener, uint64_t certificate);
/* The other one for the same host; the certificate itself: there is none. */
size_t conf_other_certificate(const struct conf *c, size_t certificate);
/* What a client of that listener is shown that asks for no name, or for one no certificate is for. */
size_t conf_default_certificate(const struct conf *c, size_t listener);
bool conf_is_local_name(const struct conf *c, struct slice domain); /* the hostname itself */

/* Every path the configuration names, and which roles may have it (the master opens it and hands it on). */
enum conf_path_kind {
	PATH_FILE, /* opened read-only */
	PATH_FOLDER_OF, /* the folder the file lies in: the file may be replaced, and has companions (sqlite) */
	PATH_COPY, /* what the file holds now, sealed: the same for every process of a generation, whenever it starts; a file that
		      changes makes a new generation */
};
#define CONF_EACH_INSTANCE UINT64_MAX
struct conf_path {
	uint32_t roles; /* 1u << enum role */
	uint64_t instance; /* of these roles, or CONF_EACH_INSTANCE */
	enum conf_path_kind kind;
	const char *path;
};
typedef void conf_path_fn(const struct conf_path *path, void *arg);
void conf_each_path(const struct conf *c, conf_path_fn *fn, void *arg);
/* As which path the local agent is given the folder of virtual Maildirs: "/var/mail/{domain}/{local}" -> "/var/mail/.".  False:
 * the transport has none (homes, or no Maildir), or its path is too long. */
#define CONF_BASE_MAX 4096
bool conf_transport_base(const struct conf_transport *t, char out[CONF_BASE_MAX]);
/* "/var/mail/{local}": the last part is the name of a system user, and nothing else differs. */
bool conf_transport_names_user(const struct conf_transport *t);
/* Its mailboxes belong to system users, each to its own: no `user` says whose they are. */
static inline bool conf_transport_is_system(const struct conf_transport *t)
{
	return t->user == NULL && t->user_by == NULL;
}
/* The part beneath a user's home: "~/Maildir/" -> "Maildir".  False: its Maildirs lie elsewhere, or it has none. */
bool conf_transport_in_home(const struct conf_transport *t, struct slice *part_out);

/* What the cages of processes depend on, and hence what they know of a configuration before them: worked out by the reader, handed on
 * as it is (CAGE).  The agent of local delivery has one more, which needs the system's users: CONF_CAGE_UID_MIN. */
#define CONF_CAGE_LOG "log" /* text: "file", or stderr, syslog, journald */
#define CONF_CAGE_PAM "pam" /* text: the service */
#define CONF_CAGE_SECONDS "seconds" /* number: of a question to a directory */
#define CONF_CAGE_BLOCK "block" /* text: the directory, as printed; another one takes another process */
#define CONF_CAGE_NEEDS "needs.%u" /* number: what that instance of lookup sets up before its cage, enum conf_cage_needs */
#define CONF_CAGE_TABLES "tables" /* number: what tells one set of tables of other servers from another, which takes other processes */
#define CONF_CAGE_UID_MIN "uid-min" /* number: the lowest uid that mail is delivered as */
#define CONF_CAGE_PROGRAMS "programs" /* number: 1 where a transport may run programs */
enum conf_cage_needs { NEEDS_LIBLDAP = 1 << 0, NEEDS_TLS = 1 << 1, NEEDS_SYSTEM_TRUST = 1 << 2 };
/* text NULL: it is beyond its bound, and such a configuration cannot be served. */
typedef void conf_cage_fact_fn(unsigned role, const char *name, uint64_t number, const char *text, void *arg);
void conf_each_cage_fact(const struct conf *c, conf_cage_fact_fn *fn, void *arg);

/* Seconds from now to the next attempt of a message that is `age_s` old and was tried `tries` times, by the retry rule;
 * 0: no more attempts, it has expired. */
uint64_t conf_retry_next(const struct conf_retry *r, uint64_t age_s, unsigned tries);

#endif
