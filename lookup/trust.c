#include "trust.h"

#include "base/buf.h"
#include "os/fd.h"

#include <stdio.h>

static struct buf system_pem; /* kept for reloads */

void trust_prepare(uint64_t needs)
{
	system_pem = buf_make(TLS_TRUST_MAX);
	if ((needs & NEEDS_TLS) != 0)
		tls_prepare();
	if ((needs & NEEDS_SYSTEM_TRUST) != 0)
		(void)tls_trust_read_system(&system_pem);
}

/* No file is named: nothing is added. */
static bool add_file(struct service *s, uint64_t generation, const char *path, struct buf *out, char *why, size_t why_size)
{
	int fd = path == NULL ? -1 : service_path_fd(s, generation, slice_of(path));

	if (path == NULL || (fd >= 0 && os_memfd_read(fd, out->max, out)))
		return true;
	snprintf(why, why_size, "%s cannot be read, or is larger than %zu bytes", path, out->max);
	return false;
}

static struct tls_client *make(const struct conf_server_tls *tls, const struct tls_client_config *config, char *why, size_t why_size)
{
	char tls_why[TLS_WHY_BYTES] = "";
	struct tls_client *client = tls_client_new(config, tls_why);

	if (client == NULL)
		snprintf(why, why_size, "tls-ca %s%s%s: %s", tls->ca == NULL ? "of the system" : tls->ca,
			 tls->certificate == NULL ? "" : ", tls-certificate ", tls->certificate == NULL ? "" : tls->certificate, tls_why);
	return client;
}

struct tls_client *trust_new(struct service *s, uint64_t generation, const struct conf_server_tls *tls, char *why, size_t why_size)
{
	struct buf ca = buf_make(TLS_TRUST_MAX), chain = buf_make(TLS_CHAIN_MAX), key = buf_make_secret(TLS_CHAIN_MAX);
	struct tls_client *client = NULL;

	if (add_file(s, generation, tls->ca, &ca, why, why_size) && add_file(s, generation, tls->certificate, &chain, why, why_size) &&
	    add_file(s, generation, tls->key, &key, why, why_size)) {
		const struct tls_client_config config = {.trust_pem = tls->ca == NULL ? buf_slice(&system_pem) : buf_slice(&ca),
							 .verify = true,
							 .chain_pem = buf_slice(&chain),
							 .key_pem = buf_slice(&key)};

		client = make(tls, &config, why, why_size);
	}
	buf_free(&ca);
	buf_free(&chain);
	buf_free(&key);
	return client;
}
