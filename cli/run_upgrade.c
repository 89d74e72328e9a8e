#include "command.h"

#include "base/clock.h"

#include <stdio.h>
#include <time.h>

/*
 * An upgrade ends the gate we speak with, so the second half of the answer is asked for: another run of the master is there, and
 * ready; or the same one again, which then could not execute the new.
 */
#define UPGRADE_S 180u
#define ASK_S 10u
#define PAUSE_MS 100
#define GONE_MS 20000u /* no socket for so long: nobody will come */

struct master_now {
	char run[24], state[24];
};

static void keep_field(const struct rec_control_field *f, struct master_now *out)
{
	if (slice_eq(f->key, slice_of("now.run")))
		(void)slice_copy(f->value, out->run, sizeof(out->run));
	else if (slice_eq(f->key, slice_of("state")))
		(void)slice_copy(f->value, out->state, sizeof(out->state));
}

/* The master's row is the first. */
static bool read_master(struct slice rows, struct master_now *out)
{
	struct rec_control_row row;
	struct rec_control_field f;

	*out = (struct master_now){.run = ""};
	if (!rec_control_row_next(&rows, &row))
		return false;
	while (rec_control_field_next(&row.control_field_records, &f))
		keep_field(&f, out);
	return out->run[0] != '\0';
}

static bool ask_master(struct control *c, struct master_now *out)
{
	const struct msg_CONTROL_ANSWER *a = control_ask(c, "status", slice_empty(), slice_empty(), ASK_S);

	return a != NULL && outcome_info(a->outcome)->kind == KIND_OK && read_master(a->control_row_records, out);
}

static bool look_again(const struct cli *cli, struct master_now *out)
{
	struct control c;
	bool seen = ask_open(cli, &c) && ask_master(&c, out);

	control_close(&c);
	return seen;
}

static int await_new(const struct cli *cli, const struct master_now *before)
{
	uint64_t start = clock_mono_ms(), seen_ms = start, now = start;
	struct master_now is;

	while (now - start < UPGRADE_S * 1000 && now - seen_ms < GONE_MS) {
		const struct timespec pause = {0, PAUSE_MS * 1000000L};

		(void)nanosleep(&pause, NULL);
		now = clock_mono_ms();
		if (!look_again(cli, &is))
			continue;
		seen_ms = now;
		if (slice_eq(slice_of(is.state), slice_of("ready"))) {
			if (strcmp(is.run, before->run) == 0)
				return complain(CLI_REFUSED, "upgrade", "the new master could not be executed, the old one runs on: look "
									"at the log for upgrade-failed");
			return printf("upgraded in %.1f s\n", (double)(now - start) / 1000) > 0 ? CLI_OK : CLI_TEMPORARY;
		}
	}
	return complain(CLI_TEMPORARY, "upgrade", "the new programs were tried and found good, but do not answer: look at the log");
}

static int begin(const struct cli *cli, const struct command *command, struct master_now *before)
{
	struct control c;
	const struct msg_CONTROL_ANSWER *a = NULL;
	int exit;

	if (ask_open(cli, &c) && ask_master(&c, before))
		a = control_ask(&c, command->verb, slice_empty(), slice_empty(), command->limit_s);
	exit = a != NULL ? ask_verdict(a, command->name)
			 : complain(c.exit != 0 ? c.exit : CLI_TEMPORARY, command->name, c.why);
	control_close(&c);
	return exit;
}

int run_upgrade(const struct cli *cli, const struct command *command)
{
	struct master_now before;
	int exit = begin(cli, command, &before);

	return exit == CLI_OK ? await_new(cli, &before) : exit;
}
