#include "explain_main.h"

#include "explain.h"
#include "ipc/message.h"
#include "offline.h"
#include "os/fd.h"

#include <unistd.h>

static int answer(const struct offline *o, const struct explain_question *question)
{
	size_t skip = 0;
	bool more = true, ok = true;

	while (ok && more) {
		struct explain e = explain_begin(o->conf, o->tables, skip);

		ok = explain_run(&e, question, &o->lookups) != ROUTE_PENDING && os_write_all(STDOUT_FILENO, buf_slice(&e.rows));
		more = e.full;
		skip = e.next;
		explain_free(&e);
	}
	return ok ? 0 : offline_complain(OFFLINE_FAILED, "route", "it could not be evaluated");
}

static bool read_fields(struct buf *fields)
{
	ssize_t n = 1;

	while (n > 0) {
		char *room = buf_room(fields, 4096);

		if (room == NULL)
			return false;
		n = read(STDIN_FILENO, room, 4096);
		if (n > 0)
			buf_grew(fields, (size_t)n);
	}
	return n == 0;
}

static int ask(const struct offline *o)
{
	struct buf fields = buf_make(32768), why = buf_make(1024);
	struct explain_question question;
	int exit;

	if (!read_fields(&fields))
		exit = offline_complain(OFFLINE_FAILED, "route", "out of memory");
	else if (!explain_read(o->conf, buf_slice(&fields), &question, &why))
		exit = offline_complain(OFFLINE_BAD_QUESTION, "route", buf_text(&why));
	else
		exit = answer(o, &question);
	buf_free(&fields);
	buf_free(&why);
	return exit;
}

int explain_main(const char *config)
{
	struct offline o;
	int exit = offline_open(&o, config) ? ask(&o) : o.exit;

	offline_close(&o);
	return exit;
}
