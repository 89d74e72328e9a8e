#include "os/landlock.h"

#include "base/mem.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/landlock.h at ABI 7; call numbers are the same on every architecture. */
#define CALL_CREATE 444
#define CALL_ADD 445
#define CALL_RESTRICT 446
#define CREATE_VERSION 1u
#define RULE_PATH_BENEATH 1u

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,
	FS_TRUNCATE = 1 << 14,
	FS_IOCTL_DEV = 1 << 15,
};
#define FS_ABI_1 ((1u << 13) - 1)
#define FS_FOR_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define FS_READ (FS_READ_FILE | FS_READ_DIR)
#define FS_WRITE                                                                                   \
	(FS_READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE)
#define NET_ALL 3u /* bind, connect */
#define SCOPE_ALL 3u /* abstract Unix sockets, signals */

struct ruleset {
	uint64_t fs, net, scoped;
};
struct path_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

/* What each ABI added to the rights on files. */
static const struct {
	int abi;
	uint64_t fs;
} fs_by_abi[] = {{1, FS_ABI_1}, {2, FS_REFER}, {3, FS_TRUNCATE}, {5, FS_IOCTL_DEV}};

static uint64_t fs_known(int abi)
{
	uint64_t fs = 0;

	for (size_t i = 0; i < ARRAY_LEN(fs_by_abi); i++)
		if (abi >= fs_by_abi[i].abi)
			fs |= fs_by_abi[i].fs;
	return fs;
}

/* A kernel refuses a longer structure than it knows only where the rest is not zero; an older one needs no more than this. */
static size_t ruleset_bytes(int abi)
{
	if (abi >= LANDLOCK_ABI_SCOPES)
		return sizeof(struct ruleset);
	return abi >= LANDLOCK_ABI_NET ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

int landlock_abi(void)
{
	long abi = syscall(CALL_CREATE, NULL, 0, CREATE_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static bool allow_path(int ruleset, const struct cage_path *path, uint64_t known)
{
	struct path_beneath rule = {(path->write ? FS_WRITE : FS_READ) & known, path->fd};
	struct stat st;

	if (fstat(path->fd, &st) == -1)
		return false;
	if (!S_ISDIR(st.st_mode))
		rule.allowed &= FS_FOR_FILES;
	return syscall(CALL_ADD, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0;
}

/* Any ruleset denies to rename from one folder into another, one without rules on files too, and a child cannot have it back:
 * what is handed down must allow it everywhere (linux Documentation/userspace-api/landlock.rst, "File renaming and linking"). */
static bool allow_refer(int ruleset)
{
	struct path_beneath rule = {FS_REFER, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	bool done = rule.fd >= 0 && syscall(CALL_ADD, ruleset, RULE_PATH_BENEATH, &rule, 0) == 0;

	if (rule.fd >= 0)
		close(rule.fd);
	return done;
}

bool landlock_enter(const struct landlock_wish *wish)
{
	const struct ruleset attr = {
		.fs = wish->only_scopes ? FS_REFER : fs_known(wish->abi),
		.net = wish->abi >= LANDLOCK_ABI_NET && !wish->net && !wish->only_scopes ? NET_ALL : 0,
		.scoped = wish->abi >= LANDLOCK_ABI_SCOPES ? SCOPE_ALL : 0,
	};
	int ruleset = (int)syscall(CALL_CREATE, &attr, ruleset_bytes(wish->abi), 0);
	bool done = ruleset >= 0 && (!wish->only_scopes || allow_refer(ruleset));

	for (size_t i = 0; done && i < wish->path_count; i++)
		done = allow_path(ruleset, &wish->paths[i], attr.fs);
	done = done && syscall(CALL_RESTRICT, ruleset, 0) == 0;
	if (ruleset >= 0)
		close(ruleset);
	return done;
}
