#include "master.h"

#include "base/log.h"
#include "inherit.h"
#include "os/fd.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Flags and surroundings; the master itself is master.c. */
#define EX_USAGE 64
#define FILES_MAX 16384u

static int usage(FILE *to)
{
	fputs("usage: postern-master [-c FILE] [--libexec FOLDER] [--ready-fd N]\n"
	      "\n"
	      "  -c FILE          the configuration (" POSTERN_SYSCONF "/postern.conf)\n"
	      "  -F               in the foreground, as always\n"
	      "  --libexec FOLDER where postern-gate and the others are\n"
	      "  --ready-fd N     the line \"ready\" is also written there\n"
	      "\n"
	      "SIGHUP reloads, SIGUSR2 upgrades, SIGTERM and SIGINT stop.\n",
	      to);
	return to == stderr ? EX_USAGE : 0;
}

/* What is read from the environment, kept over its cleaning. */
static const char *const kept_names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
#define KEPT (sizeof(kept_names) / sizeof(kept_names[0]))

static bool clean_environment(void)
{
	char *kept[KEPT];
	bool done = true;

	for (size_t i = 0; i < KEPT; i++) {
		const char *value = getenv(kept_names[i]);

		kept[i] = value == NULL ? NULL : slice_dup(slice_of(value));
	}
	done = clearenv() == 0 && setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) == 0;
	for (size_t i = 0; i < KEPT; i++) {
		if (kept[i] != NULL)
			done = setenv(kept_names[i], kept[i], 1) == 0 && done;
		free(kept[i]);
	}
	return done;
}

/* Relative names are meant from where the caller stands; afterwards the master stands in "/". */
static bool make_absolute(const char *name, char *out, size_t size)
{
	char here[PATH_MAX];
	int n;

	if (name[0] == '/')
		return slice_copy(slice_of(name), out, size) && out[0] != '\0';
	if (getcwd(here, sizeof(here)) == NULL)
		return false;
	n = snprintf(out, size, "%s/%s", here, name);
	return n > 0 && (size_t)n < size;
}

/* In a build tree the programs lie side by side; installed, they are where the build was told. */
static bool default_libexec(char *out, size_t size)
{
	char self[PATH_MAX], gate[PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t slash;

	if (n > 0) {
		slash = slice_rindex(slice_make(self, (size_t)n), '/');
		self[slash == SLICE_NONE ? 0 : slash] = '\0';
		snprintf(gate, sizeof(gate), "%s/postern-gate", self);
		if (access(gate, X_OK) == 0)
			return slice_copy(slice_of(self), out, size);
	}
	return slice_copy(slice_of(POSTERN_LIBEXEC), out, size);
}

/* The name we were executed by: it leads to the new program when that is installed, where /proc/self/exe stays with the old. */
static bool own_name(char *out, size_t size)
{
	const char *name = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr): so it is handed to us */
	struct stat named, running;
	ssize_t n;

	if (name != NULL && make_absolute(name, out, size) && stat(out, &named) == 0 && stat("/proc/self/exe", &running) == 0 &&
	    named.st_dev == running.st_dev && named.st_ino == running.st_ino)
		return true;
	n = readlink("/proc/self/exe", out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	return n > 0;
}

enum { OPTION_LIBEXEC = 256, OPTION_READY_FD, OPTION_KERNEL, OPTION_INHERIT, OPTION_TRIAL };

static const struct option long_options[] = {
	{"libexec", required_argument, NULL, OPTION_LIBEXEC},
	{"ready-fd", required_argument, NULL, OPTION_READY_FD},
	{"kernel", required_argument, NULL, OPTION_KERNEL}, /* tests: behave as that kernel does */
	{"inherit", required_argument, NULL, OPTION_INHERIT}, /* from the master before us: inherit.h */
	{"trial", no_argument, NULL, OPTION_TRIAL}, /* upgrade.c */
	{"config", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool take_number(const char *text, uint64_t max, uint64_t *out)
{
	return slice_u64(slice_of(text), max, out);
}

static bool take_option(int option, struct master_options *o)
{
	uint64_t fd;

	switch (option) {
	case 'c':
		return make_absolute(optarg, o->config, sizeof(o->config));
	case 'F':
		return true;
	case OPTION_LIBEXEC:
		return make_absolute(optarg, o->libexec, sizeof(o->libexec));
	case OPTION_READY_FD:
		if (!take_number(optarg, INT_MAX, &fd))
			return false;
		o->ready_fd = (int)fd;
		return true;
	case OPTION_INHERIT:
		return inherit_take(optarg);
	case OPTION_TRIAL:
		o->trial = true;
		return true;
	case OPTION_KERNEL:
		return take_number(optarg, 999, &o->kernel);
	default:
		return false;
	}
}

/* Two descriptors for each certificate of a generation, and of the next one.  What children may have is set in their cages. */
static void raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1)
		return;
	files.rlim_cur = files.rlim_max < FILES_MAX ? files.rlim_max : FILES_MAX;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	struct master_options options = {.config = POSTERN_SYSCONF "/postern.conf", .ready_fd = -1};
	int option;

	if (argc < 1 || !os_stdio_open() || !clean_environment() || !own_name(options.self, sizeof(options.self)) ||
	    !default_libexec(options.libexec, sizeof(options.libexec)))
		return EX_USAGE;
	umask(077);
	raise_files();
	while ((option = getopt_long(argc, argv, "c:Fh", long_options, NULL)) != -1) {
		if (option == 'h')
			return usage(stdout);
		if (!take_option(option, &options))
			return usage(stderr);
	}
	if (optind < argc)
		return usage(stderr);
	if (chdir("/") == -1)
		log_fatal("chdir /", errno);
	return master_run(&options);
}
