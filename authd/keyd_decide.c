#include "keyd_decide.h"

enum keyd_decision keyd_decide(struct keyd_sessions *sessions, const struct keyd_ask *ask, keyd_kind_fn *kind_of, void *arg,
			       const struct keyd_session **session_out, const char **why_out)
{
	static const struct {
		enum keyd_decision decision;
		const char *why;
	} by_right[] = {
		[KEYD_RIGHT] = {KEYD_SIGN, NULL},
		[KEYD_UNKNOWN] = {KEYD_NOT_NOW, "no such session"},
		[KEYD_NOT_YOURS] = {KEYD_LIE, "another worker's session"},
		[KEYD_SPENT] = {KEYD_REFUSE, "the session has had its signatures"},
	};
	enum keyd_right right = keyd_sessions_use(sessions, ask->session, ask->worker, session_out);
	const struct keyd_kind *kind;

	*why_out = by_right[right].why;
	if (right != KEYD_RIGHT)
		return by_right[right].decision;
	kind = kind_of((*session_out)->generation, (*session_out)->listener, ask->key, arg);
	*why_out = kind == NULL ? "no key of this listener" : keyd_request_refusal(kind, ask->scheme, ask->tbs);
	return *why_out == NULL ? KEYD_SIGN : KEYD_REFUSE;
}
