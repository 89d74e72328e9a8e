#include "users/users.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the headers above first */
#include <cmocka.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/test-users-XXXXXX";
static char path[64], secrets_path[80];

static int start(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/users.db", folder);
	return 0;
}

static struct users *open_it(bool create)
{
	struct buf why = buf_make(512);
	struct users *u = users_open(path, create, getgid(), &why);

	assert_int_equal(u == NULL, why.len > 0);
	buf_free(&why);
	return u;
}

struct listing {
	char text[256];
	int count;
};

static bool list_one(struct slice address, int64_t created_s, void *arg)
{
	struct listing *l = arg;
	size_t len = strlen(l->text);

	assert_true(created_s > 0);
	l->count++;
	snprintf(l->text + len, sizeof(l->text) - len, "%.*s ", SLICE_ARG(address));
	return true;
}

static void test_life_of_users(void **state)
{
	struct slice alice = slice_of("alice@example.test"), bob = slice_of("bob@example.test");
	struct buf hash = buf_make_secret(USERS_HASH_MAX);
	struct buf why = buf_make(512);
	struct listing listing = {"", 0};
	struct users *u, *reader;
	struct stat st;
	int fd;

	(void)state;
	assert_null(open_it(false));
	u = open_it(true);
	assert_non_null(u);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(users_add(u, bob, slice_of("builder"), NULL, 0), OC_DONE);
	assert_int_equal(users_add(u, alice, slice_of("wonder land"), NULL, 0), OC_DONE);
	assert_int_equal(users_add(u, slice_of("ALICE@example.test"), slice_of("x"), NULL, 0), OC_NOT_ALLOWED);
	assert_true(strlen(users_why(u)) > 0);
	assert_int_equal(users_list(u, list_one, &listing), OC_DONE);
	assert_string_equal(listing.text, "alice@example.test bob@example.test ");

	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	reader = users_open_at(fd, slice_of("users.db"), &why);
	assert_non_null(reader);
	assert_int_equal(users_find(reader, slice_of("Alice@Example.Test"), &hash), OC_DONE);
	assert_true(users_hash_matches(slice_of("wonder land"), buf_slice(&hash)));
	assert_false(users_hash_matches(slice_of("wonder lan"), buf_slice(&hash)));
	assert_int_equal(users_set_password(u, alice, slice_of("new"), NULL, 0), OC_DONE);
	buf_clear(&hash);
	assert_int_equal(users_find(reader, alice, &hash), OC_DONE);
	assert_true(users_hash_matches(slice_of("new"), buf_slice(&hash)));

	assert_int_equal(users_remove(u, alice), OC_DONE);
	assert_int_equal(users_remove(u, alice), OC_NOT_FOUND);
	assert_int_equal(users_set_password(u, alice, slice_of("new"), NULL, 0), OC_NOT_FOUND);
	buf_clear(&hash);
	assert_int_equal(users_find(reader, alice, &hash), OC_NOT_FOUND);
	assert_int_equal(hash.len, 0);
	/* read only */
	assert_int_not_equal(users_add(reader, alice, slice_of("x"), NULL, 0), OC_DONE);
	users_free(&reader);
	users_free(&u);
	close(fd);
	buf_free(&hash);
	buf_free(&why);
}

/* Every name that SQLite opens here lies beneath a descriptor (sqlite_at.h). */
static void make_old(int fd, const char *sql)
{
	char at[64];
	sqlite3 *db;

	(void)unlink(path);
	(void)unlink(secrets_path);
	snprintf(at, sizeof(at), "/at/%d/moved.db", fd);
	assert_int_equal(sqlite3_open_v2(at, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE users(address TEXT PRIMARY KEY COLLATE NOCASE, hash TEXT NOT NULL,"
					  " created INTEGER NOT NULL)", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static bool file_holds(const char *file, const char *text)
{
	static char content[1 << 20];
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, content, sizeof(content));

	if (fd != -1)
		close(fd);
	return n > 0 && memmem(content, (size_t)n, text, strlen(text)) != NULL;
}

static struct users *open_to_read(int fd)
{
	struct buf why = buf_make(512);
	struct users *u = users_open_at(fd, slice_of("moved.db"), &why);

	if (u == NULL)
		print_message("%s\n", buf_text(&why));
	buf_free(&why);
	return u;
}

/* Two users, of whom one had another hash before, and one who is gone: none of these is left in what policyd may read. */
#define OLD_ROWS                                                                                         \
	"INSERT INTO users VALUES('carol@example.test', '$5$removed$hash', 1);"                          \
	"DELETE FROM users WHERE address LIKE 'carol%';"                                                 \
	"INSERT INTO users VALUES('alice@example.test', '$5$of-alice$hash', 1);"                         \
	"INSERT INTO users VALUES('bob@example.test', '$5$of-bob$hash', 2)"

static void expect_hashes(int fd, bool old)
{
	struct buf hash = buf_make_secret(USERS_HASH_MAX);
	struct users *reader = open_to_read(fd);

	assert_non_null(reader);
	assert_int_equal(users_is_old(reader), old);
	assert_int_equal(users_find(reader, slice_of("Bob@example.test"), &hash), OC_DONE);
	assert_true(slice_eq(buf_slice(&hash), slice_of("$5$of-bob$hash")));
	users_free(&reader);
	buf_free(&hash);
}

static void test_hashes_move(void **state)
{
	struct listing listing = {"", 0};
	struct users *u;
	char kept[96];
	struct stat st;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/moved.db", folder);
	snprintf(kept, sizeof(kept), "%s/kept", folder);
	snprintf(secrets_path, sizeof(secrets_path), "%s" USERS_SECRETS_SUFFIX, path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_old(fd, OLD_ROWS);
	expect_hashes(fd, true);
	/* A death before the table was there: the old file still counts. */
	close(open(secrets_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	expect_hashes(fd, true);
	u = open_it(false);
	assert_non_null(u);
	assert_int_equal(users_moved(u), 2);
	assert_int_equal(users_list(u, list_one, &listing), OC_DONE);
	assert_string_equal(listing.text, "alice@example.test bob@example.test ");
	users_free(&u);
	expect_hashes(fd, false);
	assert_false(file_holds(path, "$5$"));
	assert_true(file_holds(secrets_path, "$5$of-bob$hash"));
	assert_int_equal(stat(secrets_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	u = open_it(false);
	assert_int_equal(users_moved(u), 0);
	users_free(&u);
	/* A death after the new file was whole, and before the old one forgot. */
	assert_int_equal(rename(secrets_path, kept), 0);
	make_old(fd, OLD_ROWS);
	assert_int_equal(rename(kept, secrets_path), 0);
	expect_hashes(fd, false);
	u = open_it(false);
	assert_int_equal(users_moved(u), 2);
	users_free(&u);
	expect_hashes(fd, false);
	assert_false(file_holds(path, "$5$"));
	close(fd);
	snprintf(path, sizeof(path), "%s/users.db", folder);
	print_message("ROW A07 hashes-move pass\n");
}

/* What other mechanisms keep of a password goes with it, whatever the next one brings. */
static void test_verifiers(void **state)
{
	struct slice dave = slice_of("dave@example.test");
	const struct users_verifier first[] = {{"scram-sha-256", slice_of("keys")}, {"cram-md5", slice_of("states")}};
	const struct users_verifier second = {"scram-sha-256", slice_of("other keys")};
	struct buf value = buf_make_secret(USERS_VERIFIER_MAX), seed = buf_make_secret(256), why = buf_make(256);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct users *u = open_it(true), *reader;

	(void)state;
	assert_int_equal(users_add(u, dave, slice_of("a"), first, 2), OC_DONE);
	reader = users_open_at(fd, slice_of("users.db"), &why);
	assert_non_null(reader);
	assert_int_equal(users_find_verifier(reader, slice_of("Dave@Example.test"), "scram-sha-256", &value), OC_DONE);
	assert_true(slice_eq(buf_slice(&value), slice_of("keys")));
	buf_clear(&value);
	assert_int_equal(users_set_password(u, dave, slice_of("b"), &second, 1), OC_DONE);
	assert_int_equal(users_find_verifier(reader, dave, "scram-sha-256", &value), OC_DONE);
	assert_true(slice_eq(buf_slice(&value), slice_of("other keys")));
	buf_clear(&value);
	assert_int_equal(users_find_verifier(reader, dave, "cram-md5", &value), OC_NOT_FOUND);
	assert_int_equal(users_set_password(u, dave, slice_of("c"), NULL, 0), OC_DONE);
	assert_int_equal(users_find_verifier(reader, dave, "scram-sha-256", &value), OC_NOT_FOUND);
	assert_int_equal(users_set_password(u, dave, slice_of("d"), first, 2), OC_DONE);
	assert_int_equal(users_remove(u, dave), OC_DONE);
	assert_int_equal(users_find_verifier(reader, dave, "scram-sha-256", &value), OC_NOT_FOUND);
	assert_int_equal(users_find_verifier(reader, slice_empty(), "scram-sha-256", &value), OC_NOT_FOUND);
	assert_int_equal(value.len, 0);
	/* The seed is made once. */
	assert_int_equal(users_find_verifier(reader, slice_empty(), USERS_SEED, &seed), OC_DONE);
	assert_int_equal(seed.len, 64);
	users_free(&u);
	u = open_it(true);
	assert_int_equal(users_find_verifier(reader, slice_empty(), USERS_SEED, &value), OC_DONE);
	assert_true(slice_eq(buf_slice(&value), buf_slice(&seed)));
	users_free(&u);
	users_free(&reader);
	close(fd);
	buf_free(&value);
	buf_free(&seed);
	buf_free(&why);
}

static void test_injection(void **state)
{
	static const char *const keys[] = {"' OR 1=1--", "x'||(select hash from users)||'", ";attach 'x' as y", "%", "_",
					   "bob@example.test' --", "\xff\xfe@x", "$(id)@x", "%u%d%{"};
	struct users *u = open_it(true);
	struct buf hash = buf_make_secret(USERS_HASH_MAX);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (users_find(u, slice_of(keys[i]), &hash) != OC_NOT_FOUND || hash.len > 0)
			fail_msg("found: %s", keys[i]);
	assert_int_equal(users_find(u, slice_make("bob@example.test\0x", 18), &hash), OC_NOT_FOUND);
	assert_int_equal(users_find(u, slice_of("bob@example.test"), &hash), OC_DONE);
	users_free(&u);
	buf_free(&hash);
	print_message("ROW M01 users pass\nROW S15 users pass\nROW S17 names pass\n");
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"alice@example.test", true},  {"\xc3\xa4@example.test", true}, {"alice", false},	  {"@example.test", false},
		{"alice@", false},	       {"al ice@example.test", false},  {"alice@example\n", false}, {"", false},
		{"alice@example\x7f", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (users_is_address(slice_of(cases[i].text)) != cases[i].good)
			fail_msg("\"%s\"", cases[i].text);
}

static void test_odd_hashes_fit_no_password(void **state)
{
	static const char *const hashes[] = {
		"", "!", "*", "*0", "*1", "x", "!!", "$", "$$", "$5$", "$y$", "$9$zz", "$1$abc$def", "ab12345678901", "$y$j9T$",
		"$y$j9T$salt", "$y$j9T$salt$", "$2b$", "$2b$99$xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		"$6$rounds=1$salt$aaaaaaaaaaaaaaaaaaaaaaaaaaa:aaa", "$y$zzzzzzz$saltsalt$0123456789012345678901234567890123456789",
		"{PLAIN}secret", "secret",
	};
	char longest[400];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "$5$", 3);
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		if (users_hash_matches(slice_of("secret"), slice_of(hashes[i])))
			fail_msg("fits: %s", hashes[i]);
	assert_false(users_hash_matches(slice_of("secret"), slice_make(longest, 300)));
	assert_false(users_hash_matches(slice_of("secret"), slice_make(longest, sizeof(longest))));
	print_message("ROW S19 odd-hashes pass\nROW A11 null-hash pass\n");
}

static void test_passwords(void **state)
{
	struct buf hash = buf_make_secret(USERS_HASH_MAX);
	char longest[USERS_PASSWORD_MAX + 1];

	(void)state;
	memset(longest, 'p', sizeof(longest));
	assert_true(users_hash(slice_make(longest, USERS_PASSWORD_MAX), &hash));
	assert_true(users_hash_is_usable(buf_slice(&hash)));
	assert_true(users_hash_matches(slice_make(longest, USERS_PASSWORD_MAX), buf_slice(&hash)));
	assert_false(users_hash_matches(slice_make(longest, USERS_PASSWORD_MAX - 1), buf_slice(&hash)));
	assert_false(users_hash_matches(slice_make(longest, USERS_PASSWORD_MAX + 1), buf_slice(&hash)));
	buf_clear(&hash);
	assert_false(users_hash(slice_make(longest, USERS_PASSWORD_MAX + 1), &hash));
	assert_false(users_hash(slice_empty(), &hash));
	assert_false(users_hash(slice_make("a\0b", 3), &hash));
	assert_int_equal(hash.len, 0);
	buf_free(&hash);
	print_message("ROW A05 length pass\nROW A11 empty-password pass\n");
}

static void test_other_kinds(void **state)
{
	/* "secret", by libxcrypt's crypt(3) and crypt_gensalt(3) */
	static const char *const hashes[] = {
		"$6$Hqd4TqnGf8D2PAMW$QHp980cHANh/USSIy/Aa/CzKSWVuuLqM56Xn2rYnl2bYxhcOLqC3WMUO91x5UEGZ49lQkSLEDFXYDhrd8YbYO.",
		"$5$Fuw6hjgZG3Z8bzLg$LWnp7ztdYTtgXkLSdb.LOqzidUnEpPn3Y.nH3guGyo8",
		"$7$CU..../....140xlXDKCsZIrmp1MA1af1$HRjwjOWgc7RMKPOUKNdh6L7giDdd7Pp.fvnlTjTVOL8",
		"$gy$j9T$4X89u1ojGBTHBeY4uxBoQ1$cD4tupnqlGQzOG52A9OtSC.Ibh7cl5ihve7qLVCdJi/",
		"$y$j9T$Gcwpcr4aYvsDnta95q3j80$TT0TV7Rw6qFHCFeuew2C7UjEERY0U9S/5ATDd5QuLb6",
		"$2b$05$favzpZTnmY634iamFw8.DOXudC.lfQAQ4YWTmpUkBHYCQcoox3zpi",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		if (!users_hash_matches(slice_of("secret"), slice_of(hashes[i])))
			fail_msg("does not fit: %s", hashes[i]);
		if (users_hash_matches(slice_of("Secret"), slice_of(hashes[i])))
			fail_msg("fits: %s", hashes[i]);
	}
}

/* CPU time of one check, in microseconds: what a clock on the wall shows is the machine's load too. */
static int64_t cpu_us(struct slice hash)
{
	struct timespec from, to;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	assert_false(users_hash_matches(slice_of("wrong password"), hash));
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	return (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
}

static int compare_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

#define SAMPLES 15

/* Who exists, who does not, who is locked: the same work. */
static void test_time_tells_nothing(void **state)
{
	struct buf real = buf_make_secret(USERS_HASH_MAX);
	int64_t samples[4][SAMPLES], medians[4];

	(void)state;
	assert_true(users_hash(slice_of("right"), &real));
	const struct slice hashes[] = {buf_slice(&real), slice_empty(), slice_of("!"), slice_of("$y$j9T$broken")};

	for (size_t n = 0; n < SAMPLES; n++)
		for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
			samples[i][n] = cpu_us(hashes[i]);
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		qsort(samples[i], SAMPLES, sizeof(int64_t), compare_i64);
		medians[i] = samples[i][SAMPLES / 2];
	}
	for (size_t i = 1; i < ARRAY_LEN(hashes); i++)
		if (medians[i] < medians[0] * 8 / 10 || medians[i] > medians[0] * 12 / 10)
			fail_msg("kind %zu takes %lld us, an existing user %lld us", i, (long long)medians[i], (long long)medians[0]);
	buf_free(&real);
	print_message("ROW A01 hash-time pass\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life_of_users), cmocka_unit_test(test_verifiers), cmocka_unit_test(test_hashes_move),
		cmocka_unit_test(test_injection), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_odd_hashes_fit_no_password), cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_other_kinds), cmocka_unit_test(test_time_tells_nothing),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
