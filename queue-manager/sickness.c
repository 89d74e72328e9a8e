#include "sickness.h"

#include "base/mem.h"

#include <errno.h>

#define WAIT_FIRST_MS 1000u
#define WAIT_MOST_MS 30000u

bool sickness_is_one(int err)
{
	static const int errors[] = {EIO, EROFS, ESTALE, EUCLEAN, EBADMSG, ENODEV, ENXIO, ETIMEDOUT, EREMOTEIO};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++)
		if (errors[i] == err)
			return true;
	return false;
}

struct step {
	enum sick_state next;
	unsigned want;
};

static const struct step steps[SICK_STATES][SICK_EVENTS] = {
	[SICK_WELL] = {
		[SICK_WRITE_FAILED] = {SICK_PROBING, SICK_PROBE | SICK_TELL},
		[SICK_PROBE_OK] = {SICK_WELL, SICK_NOTHING},
		[SICK_PROBE_FAILED] = {SICK_WELL, SICK_NOTHING},
		[SICK_TIME] = {SICK_WELL, SICK_NOTHING},
	},
	[SICK_PROBING] = {
		[SICK_WRITE_FAILED] = {SICK_PROBING, SICK_NOTHING}, /* what was under way */
		[SICK_PROBE_OK] = {SICK_WELL, SICK_TELL},
		[SICK_PROBE_FAILED] = {SICK_WAITING, SICK_WAIT},
		[SICK_TIME] = {SICK_PROBING, SICK_NOTHING},
	},
	[SICK_WAITING] = {
		[SICK_WRITE_FAILED] = {SICK_WAITING, SICK_NOTHING},
		[SICK_PROBE_OK] = {SICK_WAITING, SICK_NOTHING},
		[SICK_PROBE_FAILED] = {SICK_WAITING, SICK_NOTHING},
		[SICK_TIME] = {SICK_PROBING, SICK_PROBE},
	},
};

static void wait_longer(struct sickness *s)
{
	if (s->wait_ms == 0)
		s->wait_ms = WAIT_FIRST_MS;
	else
		s->wait_ms = s->wait_ms * 2 < WAIT_MOST_MS ? s->wait_ms * 2 : WAIT_MOST_MS;
}

unsigned sickness_step(struct sickness *s, enum sick_event event, int err, uint64_t now_ms)
{
	const struct step *step = &steps[s->state][event];
	bool was_well = s->state == SICK_WELL;

	s->state = step->next;
	if (event == SICK_WRITE_FAILED || event == SICK_PROBE_FAILED)
		s->err = err;
	if ((step->want & SICK_WAIT) != 0)
		wait_longer(s);
	if ((step->want & SICK_TELL) != 0 && was_well) {
		s->wait_ms = s->refused = 0;
		s->since_ms = now_ms;
	}
	return step->want;
}
