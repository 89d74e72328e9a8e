#ifndef POSTERN_SERVICE_INTERNAL_H
#define POSTERN_SERVICE_INTERNAL_H

#include "service/service.h"

#include <sys/queue.h>

/* What the files of this folder share; nobody else includes it. */

struct peer {
	LIST_ENTRY(peer) peers;
	struct service *service;
	struct link *link; /* owned */
	uint64_t instance;
	enum role role;
};

struct handed_path {
	SLIST_ENTRY(handed_path) next;
	uint64_t generation;
	int fd; /* owned */
	char path[];
};

/* A question that may outlive the link it was asked on. */
struct ask {
	LIST_ENTRY(ask) waiting; /* in service.parked while `parked` */
	struct service *service;
	enum role role;
	uint64_t instance; /* or SERVICE_ANY */
	enum ipc_type type;
	struct buf payload; /* owned */
	uint64_t deadline_ms; /* of the answer */
	uint64_t relink_until_ms;
	link_answer_fn *on_answer;
	void *arg;
	bool parked;
};

struct service {
	const struct service_spec *spec;
	uint64_t instance;
	struct loop *loop;
	struct link *master;
	LIST_HEAD(, peer) links;
	SLIST_HEAD(, handed_path) paths;
	LIST_HEAD(, ask) parked;
	struct timer *parked_tick;
	struct generation *generations; /* all that are held, the newest first */
	struct generation *current;
	struct msg_CAGE cage; /* its numbers; the texts are the next two */
	char require[256];
	struct buf cage_facts; /* owned: cage_fact records */
	int root_fd;
	pid_t parent;
	void *state;
	bool cage_told, caged, running, draining;
};

/* generation.c */
void on_generation_open(struct service *s, struct ipc_message *m);
void on_generation_path(struct service *s, struct ipc_message *m);
/* In the cage: what was opened before it, compiled. */
void generation_compile(struct service *s, struct generation *g);
bool generation_check(struct service *s, uint64_t number, char *why, size_t why_size);
void on_generation_switch(struct service *s, struct ipc_message *m);
void on_generation_drop(struct service *s, struct ipc_message *m);

/* peers.c */
void on_link_attach(struct service *s, struct link *from, struct ipc_message *m);
void peers_flush_parked(struct service *s, enum role role);

/* service_log.c */
void service_log_start(struct service *s);
void service_log_flush(struct service *s);

/* service.c */
void service_dispatch(struct service *s, struct link *link, struct ipc_message *m);

#endif
