#include "pages.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "route.h"

#include <errno.h>
#include <sys/queue.h>

struct open {
	LIST_ENTRY(open) peers;
	struct link *link; /* borrowed: it goes with it */
	uint64_t cursor, generation, until_ms;
	struct buf records; /* owned */
	size_t given;
};

struct pages {
	struct service *service;
	struct timer *timer;
	LIST_HEAD(, open) all;
	size_t count, bytes;
	uint64_t last; /* cursor */
};

static void open_free(struct pages *p, struct open *o)
{
	LIST_REMOVE(o, peers);
	p->count--;
	p->bytes -= o->records.len;
	buf_free(&o->records);
	free(o);
}

static bool is_over(const struct pages *p, const struct open *o, uint64_t now_ms)
{
	return o->given == o->records.len || now_ms >= o->until_ms || o->generation != service_generation(p->service)->number;
}

static void on_timer(void *arg)
{
	struct pages *p = arg;
	struct open *o = LIST_FIRST(&p->all), *next;

	for (; o != NULL; o = next) {
		next = LIST_NEXT(o, peers);
		if (is_over(p, o, clock_mono_ms()))
			open_free(p, o);
	}
	if (p->count > 0)
		timer_set(p->timer, PAGES_KEEP_MS);
}

struct pages *pages_new(struct service *s)
{
	struct pages *p = mem_new(1, sizeof(*p));

	if (p == NULL)
		log_fatal("pages", ENOMEM);
	p->service = s;
	p->timer = timer_new(service_loop(s), on_timer, p);
	LIST_INIT(&p->all);
	return p;
}

uint64_t pages_open(struct pages *p, struct link *link, struct buf *records, size_t given)
{
	bool fits = p->count < PAGES_OPEN_MAX && records->len <= PAGES_BYTES_MAX - p->bytes;
	struct open *o = fits ? mem_new(1, sizeof(*o)) : NULL;

	if (o == NULL)
		return 0;
	o->link = link;
	o->cursor = ++p->last;
	o->generation = service_generation(p->service)->number;
	o->until_ms = clock_mono_ms() + PAGES_KEEP_MS;
	o->records = *records;
	o->given = given;
	*records = buf_make(0);
	LIST_INSERT_HEAD(&p->all, o, peers);
	p->count++;
	p->bytes += o->records.len;
	if (!timer_is_set(p->timer))
		timer_set(p->timer, PAGES_KEEP_MS);
	return o->cursor;
}

bool pages_next(struct pages *p, struct link *link, uint64_t cursor, struct slice *page_out, uint64_t *cursor_out)
{
	struct open *o = LIST_FIRST(&p->all);

	while (o != NULL && (o->cursor != cursor || o->link != link))
		o = LIST_NEXT(o, peers);
	if (o == NULL || is_over(p, o, clock_mono_ms()))
		return false;
	*page_out = route_page(slice_from(buf_slice(&o->records), o->given));
	o->given += page_out->len;
	o->until_ms = clock_mono_ms() + PAGES_KEEP_MS;
	*cursor_out = o->given < o->records.len ? (o->cursor = ++p->last) : 0;
	return true;
}

void pages_end(struct pages *p)
{
	struct open *o = LIST_FIRST(&p->all), *next;

	for (; o != NULL; o = next) {
		next = LIST_NEXT(o, peers);
		if (o->given == o->records.len)
			open_free(p, o);
	}
}

void pages_drop(struct pages *p, const struct link *link)
{
	struct open *o = LIST_FIRST(&p->all), *next;

	for (; o != NULL; o = next) {
		next = LIST_NEXT(o, peers);
		if (o->link == link)
			open_free(p, o);
	}
}
