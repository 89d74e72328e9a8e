#include "base/log.h"
#include "base/mem.h"
#include "os/fd.h"
#include "service/internal.h"

#include <stdio.h>
#include <unistd.h>

/*
 *   opened --in the cage--> compiled --CHECK, agreed--> ready --SWITCH--> current --SWITCH to another--> held --released--> gone
 *      '-----------------------'--- DROP, or refused -----------------------------------------------------------------> gone
 *
 * No text is looked into before the process is in its cage.  `holders` counts the sessions, and one for being opened or current.
 */

struct generation *service_generation(struct service *s)
{
	return s->current;
}

struct generation *generation_find(struct service *s, uint64_t number)
{
	for (struct generation *g = s->generations; g != NULL; g = g->next)
		if (g->number == number)
			return g;
	return NULL;
}

struct generation *generation_hold(struct generation *g)
{
	g->holders++;
	return g;
}

static uint64_t listener_named(const struct conf *conf, struct slice name)
{
	for (size_t i = 0; i < conf->listener_count; i++)
		if (slice_eq(slice_of(conf->listeners[i].name), name))
			return i;
	return UINT64_MAX;
}

struct generation *generation_of_session(struct service *s, const struct msg_SESSION_OPEN *open, uint64_t *listener_out)
{
	struct generation *g = generation_find(s, open->generation);

	*listener_out = open->listener;
	if (g != NULL && g->conf != NULL)
		return generation_hold(g);
	*listener_out = listener_named(service_conf(s), open->name);
	return generation_hold(service_generation(s));
}

static void drop_paths(struct service *s, uint64_t number)
{
	struct handed_path *p = SLIST_FIRST(&s->paths);

	while (p != NULL) {
		struct handed_path *next = SLIST_NEXT(p, next);

		if (p->generation == number) {
			SLIST_REMOVE(&s->paths, p, handed_path, next);
			close(p->fd);
			free(p);
		}
		p = next;
	}
}

void generation_release(struct service *s, struct generation **gp)
{
	struct generation *g = *gp;
	struct generation **at = &s->generations;

	*gp = NULL;
	if (g == NULL || --g->holders > 0)
		return;
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	if (s->spec->generation_free != NULL)
		s->spec->generation_free(s, g);
	drop_paths(s, g->number);
	os_close(&g->text_fd);
	if (g->conf != NULL)
		s->spec->text->free(&g->conf);
	free(g);
}

static void put_in_force(struct service *s, struct generation *g)
{
	s->current = g;
	log_set_level(g->log_level);
}

void generation_compile(struct service *s, struct generation *g)
{
	MUST(s->caged);
	if (s->spec->text != NULL && g->text_fd >= 0)
		g->conf = s->spec->text->compile(g->text_fd);
	os_close(&g->text_fd);
}

/* A generation that cannot be compiled here has no conf; the check then refuses it. */
void on_generation_open(struct service *s, struct ipc_message *m)
{
	const struct msg_GENERATION_OPEN *b = &m->body.GENERATION_OPEN;
	struct generation *g = mem_new(1, sizeof(*g));

	if (g == NULL)
		log_fatal("generation", 0);
	g->number = b->generation;
	g->log_level = b->log_level <= LEVEL_ERROR ? (enum log_level)b->log_level : LEVEL_INFO;
	(void)slice_copy(b->host, g->host, sizeof(g->host));
	g->text_fd = m->fd;
	m->fd = -1;
	g->holders = 1;
	g->next = s->generations;
	s->generations = g;
	if (s->caged)
		generation_compile(s, g);
	if (s->current == NULL)
		put_in_force(s, g);
}

void on_generation_path(struct service *s, struct ipc_message *m)
{
	const struct msg_GENERATION_PATH *b = &m->body.GENERATION_PATH;
	struct handed_path *p = mem_new(1, sizeof(*p) + b->path.len + 1);

	if (p == NULL)
		log_fatal("path", 0);
	p->generation = b->generation;
	p->fd = m->fd;
	m->fd = -1;
	memcpy(p->path, b->path.at, b->path.len);
	SLIST_INSERT_HEAD(&s->paths, p, next);
}

int service_path_fd(struct service *s, uint64_t generation, struct slice path)
{
	struct handed_path *p;

	SLIST_FOREACH(p, &s->paths, next)
		if (p->generation == generation && slice_eq(slice_of(p->path), path))
			return p->fd;
	return -1;
}

/* Where no text is compiled all that counts was decoded on its way. */
static bool is_usable(const struct service *s, const struct generation *g)
{
	return s->spec->text == NULL || g->conf != NULL;
}

bool generation_check(struct service *s, uint64_t number, char *why, size_t why_size)
{
	struct generation *g = generation_find(s, number);

	if (g == NULL || !is_usable(s, g)) {
		snprintf(why, why_size, "%s cannot compile the configuration", role_name(s->spec->role));
		return false;
	}
	g->agreed = g->agreed || s->spec->generation_ready == NULL || s->spec->generation_ready(s, g, why, why_size);
	return g->agreed;
}

/* Who was starting while the others were asked has not been asked yet. */
void on_generation_switch(struct service *s, struct ipc_message *m)
{
	struct generation *g = generation_find(s, m->body.GENERATION_SWITCH.generation);
	struct generation *old = s->current;
	char why[1024] = "";

	if (g == NULL || !is_usable(s, g) || g == old)
		return;
	if (s->running && !g->agreed && !generation_check(s, g->number, why, sizeof(why)))
		log_fatal(why, 0); /* begun anew it gets this one first, or says why not */
	put_in_force(s, g);
	if (s->spec->generation_switched != NULL)
		s->spec->generation_switched(s);
	generation_release(s, &old);
}

void on_generation_drop(struct service *s, struct ipc_message *m)
{
	struct generation *g = generation_find(s, m->body.GENERATION_DROP.generation);

	if (g != NULL && g != s->current)
		generation_release(s, &g);
}
