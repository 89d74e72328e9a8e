#include "keyd_session.h"

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>

struct keyd_sessions {
	struct map *by_number; /* -> struct keyd_session, owned */
	keyd_release_fn *release;
	void *arg;
};

struct keyd_sessions *keyd_sessions_new(keyd_release_fn *release, void *arg)
{
	struct keyd_sessions *s = mem_new(1, sizeof(*s));

	if (s != NULL)
		s->by_number = map_new(KEYD_SESSIONS_MAX);
	if (s == NULL || s->by_number == NULL)
		log_fatal("sessions", ENOMEM);
	s->release = release;
	s->arg = arg;
	return s;
}

static void free_session(struct keyd_sessions *s, struct keyd_session *session)
{
	if (session == NULL)
		return;
	s->release(session->generation, s->arg);
	free(session);
}

static bool free_each(struct slice key, void *value, void *arg)
{
	(void)key;
	free_session(arg, value);
	return true;
}

void keyd_sessions_free(struct keyd_sessions **sp)
{
	struct keyd_sessions *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	map_each(s->by_number, free_each, s);
	map_free(&s->by_number);
	free(s);
}

enum keyd_opened keyd_sessions_open(struct keyd_sessions *s, uint64_t number, const struct keyd_session *attested)
{
	struct keyd_session *known = map_find_u64(s->by_number, number), *session = NULL;

	if (known == NULL)
		session = mem_new(1, sizeof(*session));
	if (session != NULL) {
		*session = *attested;
		session->signatures = 0;
		if (map_put_u64(s->by_number, number, session))
			return KEYD_OPENED;
		free(session);
	}
	s->release(attested->generation, s->arg);
	if (known == NULL)
		return KEYD_NOT_KEPT;
	return known->worker == attested->worker ? KEYD_OPENED : KEYD_GIVEN_TWICE;
}

void keyd_sessions_close(struct keyd_sessions *s, uint64_t number)
{
	free_session(s, map_take_u64(s->by_number, number));
}

void keyd_sessions_forget_all(struct keyd_sessions *s)
{
	map_each(s->by_number, free_each, s);
	map_free(&s->by_number);
	s->by_number = map_new(KEYD_SESSIONS_MAX);
	if (s->by_number == NULL)
		log_fatal("sessions", ENOMEM);
}

uint64_t keyd_sessions_count(const struct keyd_sessions *s)
{
	return map_count(s->by_number);
}

enum keyd_right keyd_sessions_use(struct keyd_sessions *s, uint64_t number, uint64_t worker,
				  const struct keyd_session **session_out)
{
	struct keyd_session *session = map_find_u64(s->by_number, number);

	*session_out = NULL;
	if (session == NULL)
		return KEYD_UNKNOWN;
	if (session->worker != worker)
		return KEYD_NOT_YOURS;
	if (session->signatures >= KEYD_SIGNATURES_MAX)
		return KEYD_SPENT;
	session->signatures++;
	*session_out = session;
	return KEYD_RIGHT;
}
