#include "keyd_session.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>

struct session {
	uint64_t worker;
	unsigned signatures;
};

struct keyd_sessions {
	struct map *by_number; /* -> struct session, owned */
};

struct keyd_sessions *keyd_sessions_new(void)
{
	struct keyd_sessions *s = mem_new(1, sizeof(*s));

	if (s != NULL)
		s->by_number = map_new(KEYD_SESSIONS_MAX);
	if (s == NULL || s->by_number == NULL)
		log_fatal("sessions", ENOMEM);
	return s;
}

static bool free_session(struct slice key, void *value, void *arg)
{
	(void)key;
	(void)arg;
	free(value);
	return true;
}

void keyd_sessions_free(struct keyd_sessions **sp)
{
	struct keyd_sessions *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	map_each(s->by_number, free_session, NULL);
	map_free(&s->by_number);
	free(s);
}

bool keyd_sessions_open(struct keyd_sessions *s, uint64_t number, uint64_t worker)
{
	struct session *session = map_find_u64(s->by_number, number);

	if (session != NULL)
		return session->worker == worker;
	session = mem_new(1, sizeof(*session));
	if (session == NULL)
		return false;
	session->worker = worker;
	if (map_put_u64(s->by_number, number, session))
		return true;
	free(session);
	return false;
}

void keyd_sessions_close(struct keyd_sessions *s, uint64_t number)
{
	free(map_take_u64(s->by_number, number));
}

void keyd_sessions_forget_all(struct keyd_sessions *s)
{
	map_each(s->by_number, free_session, NULL);
	map_free(&s->by_number);
	s->by_number = map_new(KEYD_SESSIONS_MAX);
	if (s->by_number == NULL)
		log_fatal("sessions", ENOMEM);
}

uint64_t keyd_sessions_count(const struct keyd_sessions *s)
{
	return map_count(s->by_number);
}

enum keyd_right keyd_sessions_use(struct keyd_sessions *s, uint64_t number, uint64_t worker)
{
	struct session *session = map_find_u64(s->by_number, number);

	if (session == NULL)
		return KEYD_UNKNOWN;
	if (session->worker != worker)
		return KEYD_NOT_YOURS;
	if (session->signatures >= KEYD_SIGNATURES_MAX)
		return KEYD_SPENT;
	session->signatures++;
	return KEYD_RIGHT;
}
