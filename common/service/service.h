#ifndef POSTERN_SERVICE_SERVICE_H
#define POSTERN_SERVICE_SERVICE_H

#include "base/log.h"
#include "conf/conf.h"
#include "event/loop.h"
#include "ipc/link.h"
#include "os/cage.h"

/*
 * The skeleton of every process but the master.  A program's main is
 *
 *     int main(int argc, char **argv) { return service_run(&spec, argc, argv); }
 *
 * and the order is always: inherit one socket (descriptor 3, to the master); be told CAGE, GENERATION_OPEN, its paths and
 * GENERATION_CHECK; `prepare` (files may still be opened; of the configuration there are the facts of CAGE, and nothing else); the cage;
 * the text is compiled; `generation_ready`; `start`; GENERATION_CHECKED, READY.  All else (LINK_ATTACH, messages) arrives after that;
 * LISTENER and GENERATION_DELIVERY come with their generation.
 *
 * At a reload: GENERATION_OPEN, its paths and LISTENERs, GENERATION_CHECK (`generation_ready`), and when all processes agreed
 * GENERATION_SWITCH (`generation_switched`); else GENERATION_DROP.
 *
 * Always: nothing from a peer, and no text of a configuration, is read before the cage is in force.  When the master's link ends, the process ends.
 */
struct service;

/* One generation of the configuration, counted: sessions keep the one they began with. */
struct generation {
	uint64_t number;
	struct conf *conf; /* owned; NULL before the cage, where it could not be compiled, and where spec.text is NULL */
	int text_fd; /* owned: sealed; -1 once it was compiled */
	enum log_level log_level;
	char host[256]; /* `hostname`; "": as the system says */
	void *state; /* what the program made of it (generation_ready), freed by generation_free */
	bool agreed; /* generation_check was true */
	unsigned holders;
	struct generation *next;
};

typedef void service_message_fn(struct service *s, struct link *link, struct ipc_message *m);

/* How the text of a configuration is read: conf_compile in its cage, and nowhere else. */
struct service_text {
	struct conf *(*compile)(int fd); /* NULL: it cannot be, logged */
	void (*free)(struct conf **conf);
};
extern const struct service_text service_text;

struct service_spec {
	enum role role;
	const struct cage_spec *cage;
	/* &service_text; NULL: this program has no compiler in it (local, which keeps capabilities), and no conf in any generation. */
	const struct service_text *text;
	/* Before the cage: libraries loaded, files opened, children forked.  May be NULL. */
	void (*prepare)(struct service *s);
	/* In the cage, loop made, first generation ready.  Sets service_set_state.  May be NULL. */
	void (*start)(struct service *s);
	/* Handlers by message type; NULL: a message no honest peer sends in this state, the link is broken. */
	service_message_fn *const *handlers; /* [IPC_COUNT] */
	/* Checks a generation and makes what the program needs of it.  False with `why`: refused.  May be NULL. */
	bool (*generation_ready)(struct service *s, struct generation *g, char *why, size_t why_size);
	void (*generation_free)(struct service *s, struct generation *g);
	/* What would be new with a generation that is ready, in lines for the operator who made it.  May be NULL. */
	void (*generation_note)(struct service *s, const struct generation *g, struct buf *out);
	void (*generation_switched)(struct service *s);
	void (*link_up)(struct service *s, struct link *link);
	/* A LINK_ATTACH from the gate, which introduces only workers of single sessions.  True: it was for this, and m->fd is taken
	 * where it is kept; false or NULL: as any other link. */
	bool (*attach)(struct service *s, struct link *link, struct ipc_message *m);
	/* The link's memory goes after this call. */
	void (*link_down)(struct service *s, struct link *link);
	/* Finish what is begun, take on nothing new, then service_stop.  NULL: stop at once. */
	void (*drain)(struct service *s, uint64_t deadline_ms);
	/* What it does now, by service_status_number and service_status_text.  Not called during a trial. */
	void (*status)(struct service *s, struct buf *out);
};

/* argv: --instance N.  Returns the exit code. */
int service_run(const struct service_spec *spec, int argc, char **argv);
void service_stop(struct service *s);

/* In words for operators: "messages_accepted"; keys stay, for programs read them. */
void service_status_number(struct buf *out, const char *key, uint64_t value);
void service_status_text(struct buf *out, const char *key, const char *value);

struct loop *service_loop(struct service *s);
void *service_state(struct service *s);
void service_set_state(struct service *s, void *state);
uint64_t service_instance(const struct service *s);
bool service_is_draining(const struct service *s);
/* Set by the test preset `--as-user`: processes share the caller's uid and are not chrooted. */
bool service_is_unprivileged(const struct service *s);
/* What CAGE says of the cage of this role, from `prepare` on.  False: nothing of that name (text_out is NUL-terminated). */
bool service_cage_number(const struct service *s, const char *name, uint64_t *out);
bool service_cage_text(const struct service *s, const char *name, char *text_out, size_t size);
/* The first generation, for a child forked in `prepare` that is in a cage of its own by now; free it by service_text. */
struct conf *service_first_conf(const struct service *s);
/* Who we become, for a child forked in `prepare` that enters a cage of its own: without paths, and with us yet to be named as its
 * parent. */
void service_cage_order(struct service *s, struct cage_order *out);

/* The generation in force; hold it for a session, release it at its end.  From `generation_ready` on its conf is never NULL, where
 * there is a spec.text. */
struct generation *service_generation(struct service *s);
struct generation *generation_find(struct service *s, uint64_t number); /* NULL: gone */
struct generation *generation_hold(struct generation *g);
/* The generation a session began in, held, and the number its listener has there.  Of a session that is older than this process it may
 * be gone: then it is the one in force, and what listens there now under that name; ~0: nothing. */
struct generation *generation_of_session(struct service *s, const struct msg_SESSION_OPEN *open, uint64_t *listener_out);
void generation_release(struct service *s, struct generation **gp);
static inline const struct conf *service_conf(struct service *s)
{
	return service_generation(s)->conf;
}

/* The descriptor (borrowed) of a path that the configuration names, as handed over by the master; -1: not given to us. */
int service_path_fd(struct service *s, uint64_t generation, struct slice path);

/* The link to a role's instance, or NULL while there is none.  Instance SERVICE_ANY: the first. */
#define SERVICE_ANY UINT64_MAX
struct link *service_link(struct service *s, enum role role, uint64_t instance);
/* Calls fn for each link to that role. */
void service_each_link(struct service *s, enum role role, void (*fn)(struct link *l, void *arg), void *arg);

/* Asks the (only) process of a role.  A question marked AGAIN waits up to SERVICE_RELINK_MS for a new link when the old one
 * breaks or there is none, and is then asked again; any other gets NULL at once (never from inside this call). */
#define SERVICE_RELINK_MS 5000u
void service_ask(struct service *s, enum role role, enum ipc_type type, const void *body, uint64_t timeout_ms,
		 link_answer_fn *on_answer, void *arg);
/* The same of one instance of it. */
void service_ask_instance(struct service *s, enum role role, uint64_t instance, enum ipc_type type, const void *body, uint64_t timeout_ms,
			  link_answer_fn *on_answer, void *arg);
/* False: there is no link now. */
bool service_tell(struct service *s, enum role role, enum ipc_type type, const void *body);

#endif
