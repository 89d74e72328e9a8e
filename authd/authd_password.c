#include "authd_password.h"

#include "base/mem.h"

static const struct password_backend *const backends[] = {
	&hash_backend,
	&pam_backend,
	&directory_backend,
};

bool password_check(struct authd *a, struct password_check *check)
{
	const struct conf_auth *auth = &check->generation->conf->auth;

	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		if (backends[i]->is_named(auth)) {
			backends[i]->check(a, check);
			return true;
		}
	}
	return false;
}
