/*
 * block_log DISK LOG FOLDER
 *
 * A FUSE file system of two files: FOLDER/disk, which is DISK, for a loop device to lie on; and FOLDER/mark.  All that is written
 * to either is appended to LOG, in order, and so is each flush of the disk: what a real disk would have been told, so that every
 * state in which it may be after a power cut can be built again.  A mark that begins with "fail" makes all writes to the disk fail
 * with EIO from then on, one with "heal" ends that.  Ends when FOLDER is unmounted.
 *
 * A record of LOG, in the byte order of the machine: kind ('W' write, 'F' flush, 'M' mark), three zero bytes, length (4 bytes),
 * offset (8), and the bytes that were written.
 */
#define FUSE_USE_VERSION 31

#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct record {
	char kind, zero[3];
	uint32_t length;
	uint64_t offset;
};

static const char disk_path[] = "/disk", mark_path[] = "/mark";
static int disk = -1, log_file = -1;
static off_t disk_bytes;
static bool failing; /* guarded by order */
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

static int append(char kind, uint64_t offset, const char *data, size_t length)
{
	struct record r = {kind, {0, 0, 0}, (uint32_t)length, offset};
	struct iovec parts[] = {{&r, sizeof(r)}, {(void *)(uintptr_t)data, length}};

	return writev(log_file, parts, 2) == (ssize_t)(sizeof(r) + length) ? 0 : -EIO;
}

static int get_attributes(const char *path, struct stat *out, struct fuse_file_info *info)
{
	bool is_disk = strcmp(path, disk_path) == 0;

	(void)info;
	*out = (struct stat){.st_mode = S_IFREG | 0600, .st_nlink = 1, .st_size = is_disk ? disk_bytes : 0};
	if (strcmp(path, "/") == 0)
		*out = (struct stat){.st_mode = S_IFDIR | 0700, .st_nlink = 2};
	else if (!is_disk && strcmp(path, mark_path) != 0)
		return -ENOENT;
	return 0;
}

/* Marks are told at once; the disk may be cached, as its owner decides when it is flushed. */
static int open_file(const char *path, struct fuse_file_info *info)
{
	info->direct_io = strcmp(path, mark_path) == 0;
	info->keep_cache = 1;
	return 0;
}

static int read_file(const char *path, char *into, size_t size, off_t offset, struct fuse_file_info *info)
{
	ssize_t got = strcmp(path, disk_path) == 0 ? pread(disk, into, size, offset) : 0;

	(void)info;
	return got == -1 ? -errno : (int)got;
}

static bool begins(const char *data, size_t size, const char *word)
{
	return size >= strlen(word) && memcmp(data, word, strlen(word)) == 0;
}

static void hear_mark(const char *data, size_t size)
{
	if (begins(data, size, "fail"))
		failing = true;
	else if (begins(data, size, "heal"))
		failing = false;
}

static int write_file(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *info)
{
	bool is_disk = strcmp(path, disk_path) == 0;
	int result = 0;

	(void)info;
	pthread_mutex_lock(&order);
	if (!is_disk)
		hear_mark(data, size);
	else if (failing || pwrite(disk, data, size, offset) != (ssize_t)size)
		result = -EIO;
	if (result == 0)
		result = append(is_disk ? 'W' : 'M', (uint64_t)offset, data, size);
	pthread_mutex_unlock(&order);
	return result == 0 ? (int)size : result;
}

static int flush_disk(const char *path, int data_only, struct fuse_file_info *info)
{
	int result = 0;

	(void)data_only;
	(void)info;
	pthread_mutex_lock(&order);
	if (strcmp(path, disk_path) == 0)
		result = append('F', 0, NULL, 0);
	pthread_mutex_unlock(&order);
	return result;
}

static int truncate_file(const char *path, off_t size, struct fuse_file_info *info)
{
	(void)path;
	(void)size;
	(void)info;
	return 0;
}

/* Neither holes nor zeroes without bytes: all that happens is in the log. */
static int refuse_holes(const char *path, int mode, off_t offset, off_t length, struct fuse_file_info *info)
{
	(void)path;
	(void)mode;
	(void)offset;
	(void)length;
	(void)info;
	return -EOPNOTSUPP;
}

static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
	connection->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	config->kernel_cache = 1;
	config->attr_timeout = 1e6;
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct fuse_operations operations = {
		.init = begin,
		.getattr = get_attributes,
		.open = open_file,
		.read = read_file,
		.write = write_file,
		.fsync = flush_disk,
		.truncate = truncate_file,
		.fallocate = refuse_holes,
	};
	struct stat st;

	if (argc != 4) {
		fprintf(stderr, "usage: block_log DISK LOG FOLDER\n");
		return 2;
	}
	disk = open(argv[1], O_RDWR | O_CLOEXEC);
	log_file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (disk == -1 || log_file == -1 || fstat(disk, &st) == -1) {
		perror("block_log");
		return 1;
	}
	disk_bytes = st.st_size;
	char foreground[] = "-f", option[] = "-o", name[] = "fsname=block_log", *words[] = {argv[0], foreground, option, name, argv[3], NULL};

	return fuse_main(5, words, &operations, NULL);
}
