#include "crew.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * The loop puts tasks into a thread's list; the thread takes the whole list at once, and puts what is done into the crew's
 * list; whoever makes that list non-empty rings the eventfd once.
 */
#define STACK_BYTES (512u << 10)

struct task_list {
	struct crew_task *first, *last;
};

struct member {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct task_list list; /* guarded by lock */
	bool stop; /* guarded by lock */
	bool started;
	struct crew *crew;
};

struct crew {
	struct crew_hooks hooks;
	struct member *members; /* owned */
	unsigned count;
	pthread_mutex_t done_lock;
	struct task_list done; /* guarded by done_lock */
	int bell; /* eventfd, owned */
	struct watch *watch;
	size_t pending; /* the loop's */
};

static void list_add(struct task_list *list, struct crew_task *task)
{
	task->next = NULL;
	if (list->last != NULL)
		list->last->next = task;
	else
		list->first = task;
	list->last = task;
}

static struct crew_task *list_take(struct task_list *list)
{
	struct crew_task *first = list->first;

	list->first = list->last = NULL;
	return first;
}

/* ---- in a thread ---- */

static struct crew_task *wait_for_work(struct member *m)
{
	struct crew_task *tasks;

	pthread_mutex_lock(&m->lock);
	while (m->list.first == NULL && !m->stop)
		pthread_cond_wait(&m->work, &m->lock);
	tasks = list_take(&m->list);
	pthread_mutex_unlock(&m->lock);
	return tasks;
}

/* An interruption must not swallow it: nobody rings again while the list is not empty. */
static void ring_bell(int bell)
{
	while (eventfd_write(bell, 1) == -1 && errno == EINTR)
		continue;
}

static void hand_back(struct crew *crew, struct crew_task *first, struct crew_task *last)
{
	bool ring;

	pthread_mutex_lock(&crew->done_lock);
	ring = crew->done.first == NULL;
	if (crew->done.last != NULL)
		crew->done.last->next = first;
	else
		crew->done.first = first;
	crew->done.last = last;
	pthread_mutex_unlock(&crew->done_lock);
	if (ring)
		ring_bell(crew->bell);
}

static void prepare_some(struct crew_task *tasks)
{
	for (int i = 0; i < CREW_TOGETHER && tasks != NULL; i++, tasks = tasks->next)
		if (tasks->prepare != NULL)
			tasks->prepare(tasks);
}

static void run_each(struct crew *crew, struct crew_task *tasks)
{
	for (int i = 0; tasks != NULL; i++) {
		struct crew_task *task = tasks;

		if (i % CREW_TOGETHER == 0)
			prepare_some(tasks);

		tasks = task->next;
		task->next = NULL;
		task->run(task);
		hand_back(crew, task, task);
	}
}

static void run_together(struct crew *crew, struct crew_task *tasks)
{
	struct crew_task *last = tasks;

	crew->hooks.begin(crew->hooks.arg);
	for (struct crew_task *t = tasks; t != NULL; t = t->next) {
		t->run(t);
		last = t;
	}
	crew->hooks.end(crew->hooks.arg);
	hand_back(crew, tasks, last);
}

static void *member_main(void *arg)
{
	struct member *m = arg;
	struct crew_task *tasks;

	while ((tasks = wait_for_work(m)) != NULL) {
		if (m->crew->hooks.begin != NULL)
			run_together(m->crew, tasks);
		else
			run_each(m->crew, tasks);
	}
	return NULL;
}

/* ---- in the loop ---- */

static void call_done(struct crew *crew)
{
	struct crew_task *tasks;

	pthread_mutex_lock(&crew->done_lock);
	tasks = list_take(&crew->done);
	pthread_mutex_unlock(&crew->done_lock);
	while (tasks != NULL) {
		struct crew_task *task = tasks;

		tasks = task->next;
		crew->pending--;
		task->done(task);
	}
}

static void on_bell(int fd, unsigned what, void *arg)
{
	eventfd_t count;

	(void)what;
	(void)eventfd_read(fd, &count);
	call_done(arg);
}

static bool member_start(struct member *m, struct crew *crew)
{
	pthread_attr_t attr;
	sigset_t all, before;

	m->crew = crew;
	(void)pthread_mutex_init(&m->lock, NULL);
	(void)pthread_cond_init(&m->work, NULL);
	(void)sigfillset(&all); /* signals are the loop's */
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	m->started = pthread_create(&m->thread, &attr, member_main, m) == 0;
	(void)pthread_attr_destroy(&attr);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return m->started;
}

static void member_end(struct member *m)
{
	if (m->started) {
		pthread_mutex_lock(&m->lock);
		m->stop = true;
		pthread_cond_signal(&m->work);
		pthread_mutex_unlock(&m->lock);
		(void)pthread_join(m->thread, NULL);
	}
	if (m->crew != NULL) {
		(void)pthread_mutex_destroy(&m->lock);
		(void)pthread_cond_destroy(&m->work);
	}
}

struct crew *crew_new(struct loop *loop, unsigned threads, const struct crew_hooks *hooks)
{
	struct crew *crew = mem_new(1, sizeof(*crew));

	if (crew == NULL)
		return NULL;
	if (hooks != NULL)
		crew->hooks = *hooks;
	crew->count = threads;
	(void)pthread_mutex_init(&crew->done_lock, NULL);
	crew->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	crew->members = mem_new(threads, sizeof(*crew->members));
	if (crew->bell == -1 || crew->members == NULL)
		goto fail;
	crew->watch = watch_new(loop, crew->bell, on_bell, crew);
	watch_want(crew->watch, WATCH_READ);
	for (unsigned i = 0; i < threads; i++)
		if (!member_start(&crew->members[i], crew))
			goto fail;
	return crew;
fail:
	crew_free(&crew);
	return NULL;
}

void crew_free(struct crew **cp)
{
	struct crew *crew = *cp;

	if (crew == NULL)
		return;
	if (crew->pending > 0)
		crew_wait(crew);
	*cp = NULL;
	for (unsigned i = 0; crew->members != NULL && i < crew->count; i++)
		member_end(&crew->members[i]);
	watch_free(&crew->watch);
	if (crew->bell != -1)
		(void)close(crew->bell);
	(void)pthread_mutex_destroy(&crew->done_lock);
	free(crew->members);
	free(crew);
}

/* Keys are ids, which differ in their low bits first; all of them have a say. */
static unsigned member_of(const struct crew *crew, uint64_t key)
{
	return (unsigned)((key ^ key >> 20) % crew->count);
}

void crew_give(struct crew *crew, uint64_t key, struct crew_task *task)
{
	struct member *m = &crew->members[member_of(crew, key)];
	bool wake;

	crew->pending++;
	pthread_mutex_lock(&m->lock);
	wake = m->list.first == NULL;
	list_add(&m->list, task);
	if (wake)
		pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&m->lock);
}

size_t crew_pending(const struct crew *crew)
{
	return crew->pending;
}

void crew_wait(struct crew *crew)
{
	while (crew->pending > 0) {
		struct pollfd bell = {.fd = crew->bell, .events = POLLIN};

		if (poll(&bell, 1, -1) == -1 && errno != EINTR)
			log_fatal("waiting for writer threads", errno);
		on_bell(crew->bell, WATCH_READ, crew);
	}
}
