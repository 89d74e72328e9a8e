#include "users/users.h"

#include "base/mem.h"

#include <crypt.h>

/* Strong kinds only (crypt(5)); what is not named here fits no password. */
static const char *const allowed[] = {"$y$", "$7$", "$gy$", "$2a$", "$2b$", "$2y$", "$6$", "$5$"};

#define KIND_FOR_NEW "$y$"

bool users_hash_is_usable(struct slice hash)
{
	bool known = false;

	if (hash.len > USERS_HASH_MAX)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		known = known || slice_starts(hash, slice_of(allowed[i]));
	for (size_t i = 0; i < hash.len; i++)
		known = known && hash.at[i] > ' ' && hash.at[i] < 0x7f && hash.at[i] != ':';
	/* "$y$" and its like with nothing behind: no salt, or no hash. */
	return known && slice_rindex(hash, '$') > 3 && hash.len - slice_rindex(hash, '$') > 20;
}

static bool is_password(struct slice password)
{
	return password.len > 0 && password.len <= USERS_PASSWORD_MAX && slice_index(password, '\0') == SLICE_NONE;
}

/* crypt_ra grows its own memory for it; `work` is wiped by the caller. */
static bool compute(struct slice password, const char *setting, struct crypt_data *work, struct buf *out)
{
	char text[USERS_PASSWORD_MAX + 1];
	const char *hash;
	bool done;

	if (!slice_copy(password, text, sizeof(text)))
		return false;
	hash = crypt_r(text, setting, work);
	done = hash != NULL && hash[0] != '*' && buf_add_text(out, hash);
	mem_wipe(text, sizeof(text));
	return done;
}

static bool compute_wiped(struct slice password, const char *setting, struct buf *out)
{
	struct crypt_data *work = mem_new(1, sizeof(*work));
	bool done = work != NULL && compute(password, setting, work, out);

	if (work != NULL)
		mem_wipe(work, sizeof(*work));
	free(work);
	return done;
}

bool users_hash(struct slice password, struct buf *hash_out)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE], noise[32];

	if (!is_password(password))
		return false;
	mem_random(noise, sizeof(noise));
	if (crypt_gensalt_rn(KIND_FOR_NEW, 0, noise, sizeof(noise), setting, sizeof(setting)) == NULL)
		return false;
	return compute_wiped(password, setting, hash_out);
}

/* One hash of the cost that new users get, so that time does not tell who exists. */
static void hash_for_nobody(struct slice password)
{
	struct buf unused = buf_make_secret(USERS_HASH_MAX + 1);

	(void)users_hash(password, &unused);
	buf_free(&unused);
}

bool users_hash_matches(struct slice password, struct slice hash)
{
	struct buf got = buf_make_secret(USERS_HASH_MAX + 1);
	char setting[USERS_HASH_MAX + 1];
	bool same;

	if (!is_password(password))
		return false;
	if (!users_hash_is_usable(hash) || !slice_copy(hash, setting, sizeof(setting))) {
		hash_for_nobody(password);
		return false;
	}
	same = compute_wiped(password, setting, &got) && mem_equal_secret(buf_slice(&got), hash);
	if (got.len == 0)
		hash_for_nobody(password);
	mem_wipe(setting, sizeof(setting));
	buf_free(&got);
	return same;
}
