#include "tls/internal.h"

#include "base/log.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdio.h>

static OSSL_LIB_CTX *library;

void tls_prepare(void)
{
	if (library != NULL)
		return;
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		log_fatal("starting OpenSSL", 0);
	library = OSSL_LIB_CTX_new();
	if (library == NULL || OSSL_PROVIDER_load(library, "default") == NULL || !tls_provider_load(library) ||
	    EVP_set_default_properties(library, TLS_PROPERTIES) != 1)
		log_fatal("loading OpenSSL's providers", 0);
}

OSSL_LIB_CTX *tls_library(void)
{
	MUST(library != NULL);
	return library;
}

void tls_explain(char *why, size_t size, const char *sentence)
{
	unsigned long first = ERR_get_error();
	const char *reason = ERR_reason_error_string(first);

	if (reason == NULL)
		snprintf(why, size, "%s", sentence);
	else
		snprintf(why, size, "%s: %s", sentence, reason);
	ERR_clear_error();
}
