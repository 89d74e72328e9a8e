#ifndef POSTERN_SMTPD_SESSION_PRIVATE_H
#define POSTERN_SMTPD_SESSION_PRIVATE_H

#include "session.h"

/* What the files of the session share: session.c, verb.c, envelope.c, bdat.c, sasl.c. */

/* What this client is offered here: EHLO shows it, and only then commands take it. */
bool offers_dsn(const struct session *s);
bool offers_chunking(const struct session *s);
bool offers_binarymime(const struct session *s);
bool offers_smtputf8(const struct session *s);

/* A reply; its class decides whether it is counted as an error and logged.  `dsn` may be "". */
void reply(struct session *s, unsigned code, const char *dsn, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* A refusal with its rule, by another process; texts are made safe to send. */
void reply_verdict(struct session *s, const struct session_verdict *v);
/* As the table of outcomes says it. */
void reply_outcome(struct session *s, enum outcome outcome);
/* A refusal behind which the stream cannot be read any more: the end. */
void refuse_and_close(struct session *s, unsigned code, const char *dsn, const char *text);
/* 421 and the end. */
void reply_and_close(struct session *s, const char *dsn, const char *text);

void session_enter(struct session *s, enum session_state next);
/* Between two mails a session that should leave does so. */
void session_settle(struct session *s);
/* Forgets the transaction. */
void session_reset(struct session *s);
/* Of one of our users: a login, a local user; whoever is only trusted hands on mail of others. */
bool session_is_ours(const struct session *s);
/* Bound to its own addresses, by its login or as a local user. */
bool session_is_bound(const struct session *s);
/* Asks the rules of that stage, if there are any; `allowed` is the state they lead to. */
void session_consult(struct session *s, enum conf_stage stage, enum session_state allowed,
		     enum session_state refused);

/* Whether what came of the body can be taken; if not, that is told and the mail is over. */
bool session_body_is_good(struct session *s);
/* The header is here, and policyd is to say how it is written: true, and the session waits for that. */
bool session_asks_rewrite(struct session *s);
/* The whole body is here. */
void session_end_of_data(struct session *s);

/* verb.c: one command. */
void verb_run(struct session *s, struct slice line);
/* What follows an accepted stage, by stage. */
void verb_accepted(struct session *s, enum conf_stage stage);

/* envelope.c */
void envelope_mail(struct session *s, struct slice args);
void envelope_rcpt(struct session *s, struct slice args);

/* xclient.c */
void xclient_begin(struct session *s, struct slice args);

/* bdat.c */
void bdat_begin(struct session *s, struct slice args);
/* Octets of a chunk; returns how many it used. */
size_t bdat_input(struct session *s, struct slice in);
/* A full piece was put away. */
void bdat_go_on(struct session *s);

/* sasl.c */
void auth_begin(struct session *s, struct slice args);
void auth_line(struct session *s, struct slice line);
/* Nothing is left of the dialogue here; who drives the session sees that authd hears of it. */
void auth_forget(struct session *s);
bool auth_offers(const struct session *s, enum mechanism m);

#endif
