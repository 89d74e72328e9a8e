/*
 * provider.c: an OpenSSL provider built in, for keys whose private half is in another process.
 *
 * A key object is the certificate's public key and a number; everything but signing is the default provider's work on that
 * public key.  digest_sign hands over the message to be signed itself, never a digest: keyd must see what it signs.
 * It runs inside the handshake's ASYNC job (a stack of 32 KiB) and is paused there until the answer has come.
 */
#include "tls/internal.h"
#include "tls/scheme.h"

#include "base/mem.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <strings.h>

#define PARAM_KEY "postern-key"
#define ENTRY(id, function)                                                                        \
	{                                                                                          \
		(id), (void (*)(void))(function)                                                   \
	}

/* ---- KEYMGMT ---- */

struct remote_key {
	EVP_PKEY *public_half; /* owned, of the default provider */
	uint64_t number;
	bool is_ec;
};

static void *key_new(bool is_ec)
{
	struct remote_key *k = mem_new(1, sizeof(*k));

	if (k != NULL)
		k->is_ec = is_ec;
	return k;
}

static void *key_new_rsa(void *provider)
{
	(void)provider;
	return key_new(false);
}

static void *key_new_ec(void *provider)
{
	(void)provider;
	return key_new(true);
}

static void key_free(void *key)
{
	struct remote_key *k = key;

	if (k == NULL)
		return;
	EVP_PKEY_free(k->public_half);
	free(k);
}

static void *key_dup(const void *from, int selection)
{
	const struct remote_key *k = from;
	struct remote_key *copy = key_new(k->is_ec);

	(void)selection;
	if (copy == NULL)
		return NULL;
	*copy = *k;
	if (copy->public_half != NULL)
		EVP_PKEY_up_ref(copy->public_half);
	return copy;
}

/* OpenSSL asks whether there is a private half before it uses the key: there is, though not here. */
static int key_has(const void *key, int selection)
{
	const struct remote_key *k = key;

	(void)selection;
	return k != NULL && k->public_half != NULL;
}

static int key_match(const void *a, const void *b, int selection)
{
	const struct remote_key *x = a, *y = b;

	(void)selection;
	return EVP_PKEY_eq(x->public_half, y->public_half) == 1;
}

static EVP_PKEY *public_from(bool is_ec, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(tls_library(), is_ec ? "EC" : "RSA", "provider=default");
	EVP_PKEY *key = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static int key_import(void *key, int selection, const OSSL_PARAM params[])
{
	struct remote_key *k = key;
	const OSSL_PARAM *number = OSSL_PARAM_locate_const(params, PARAM_KEY);
	OSSL_PARAM *copy;

	(void)selection;
	if (number == NULL || OSSL_PARAM_get_uint64(number, &k->number) != 1)
		return 0;
	copy = OSSL_PARAM_dup(params);
	k->public_half = copy == NULL ? NULL : public_from(k->is_ec, copy);
	OSSL_PARAM_free(copy);
	return k->public_half != NULL;
}

static const OSSL_PARAM *key_import_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_uint64(PARAM_KEY, NULL),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)selection;
	return types;
}

/* What is not here cannot be exported; with this refusal OpenSSL signs through us. */
static int key_export(void *key, int selection, OSSL_CALLBACK *take, void *arg)
{
	struct remote_key *k = key;
	OSSL_PARAM *params = NULL;
	int ok;

	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
		return 0;
	ok = EVP_PKEY_todata(k->public_half, EVP_PKEY_PUBLIC_KEY, &params) > 0 && take(params, arg);
	OSSL_PARAM_free(params);
	return ok;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
	struct remote_key *k = key;

	return k->public_half != NULL && EVP_PKEY_get_params(k->public_half, params);
}

static const OSSL_PARAM *key_gettable(void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provider;
	return types;
}

static const char *operation_rsa(int operation)
{
	(void)operation;
	return "RSA";
}

static const char *operation_ec(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

#define KEY_MANAGEMENT(name, make, operation)                                                      \
	static const OSSL_DISPATCH name[] = {                                                      \
		ENTRY(OSSL_FUNC_KEYMGMT_NEW, make),                                                \
		ENTRY(OSSL_FUNC_KEYMGMT_FREE, key_free),                                           \
		ENTRY(OSSL_FUNC_KEYMGMT_DUP, key_dup),                                             \
		ENTRY(OSSL_FUNC_KEYMGMT_HAS, key_has),                                             \
		ENTRY(OSSL_FUNC_KEYMGMT_MATCH, key_match),                                         \
		ENTRY(OSSL_FUNC_KEYMGMT_IMPORT, key_import),                                       \
		ENTRY(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),                           \
		ENTRY(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                                       \
		ENTRY(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_import_types),                           \
		ENTRY(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                               \
		ENTRY(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),                            \
		ENTRY(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),                          \
		{0, NULL},                                                                         \
	}
KEY_MANAGEMENT(management_rsa, key_new_rsa, operation_rsa);
KEY_MANAGEMENT(management_ec, key_new_ec, operation_ec);

/* ---- SIGNATURE ---- */

struct signing {
	struct remote_key *key; /* borrowed from the EVP_PKEY that OpenSSL holds */
	char digest[16];
	bool is_pss;
	bool salt_is_digest; /* the only salt length TLS has */
};

static void *signing_new(void *provider, const char *properties)
{
	struct signing *s = mem_new(1, sizeof(*s));

	(void)provider;
	(void)properties;
	if (s != NULL)
		s->salt_is_digest = true;
	return s;
}

static void signing_free(void *signing)
{
	free(signing);
}

static void *signing_dup(void *from)
{
	struct signing *s = mem_new(1, sizeof(*s));

	if (s != NULL)
		*s = *(const struct signing *)from;
	return s;
}

static bool set_padding(struct signing *s, const OSSL_PARAM *p)
{
	int mode = 0;

	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		s->is_pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
	else if (OSSL_PARAM_get_int(p, &mode) == 1)
		s->is_pss = mode == RSA_PKCS1_PSS_PADDING;
	else
		return false;
	return true;
}

static bool set_salt(struct signing *s, const OSSL_PARAM *p)
{
	int length = 0;

	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		s->salt_is_digest = strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0;
	else if (OSSL_PARAM_get_int(p, &length) == 1)
		s->salt_is_digest = length == RSA_PSS_SALTLEN_DIGEST;
	else
		return false;
	return true;
}

static int signing_set_params(void *signing, const OSSL_PARAM params[])
{
	struct signing *s = signing;
	const OSSL_PARAM *padding, *salt;

	if (params == NULL)
		return 1;
	padding = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	salt = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
	return (padding == NULL || set_padding(s, padding)) && (salt == NULL || set_salt(s, salt));
}

static const OSSL_PARAM *signing_settable(void *signing, void *provider)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)signing;
	(void)provider;
	return types;
}

static int signing_init(void *signing, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *s = signing;

	if (key != NULL)
		s->key = key;
	if (!slice_copy(slice_of(digest), s->digest, sizeof(s->digest)))
		return 0;
	return signing_set_params(s, params);
}

static bool is_digest(const char *name, const struct tls_scheme *scheme)
{
	size_t family = strlen("SHA2-");

	if (strncasecmp(name, "SHA2-", family) == 0)
		return strcmp(name + family, scheme->digest + strlen("SHA")) == 0;
	return strcasecmp(name, scheme->digest) == 0;
}

static const struct tls_scheme *scheme_of(const struct signing *s)
{
	for (size_t i = 0; i < tls_scheme_count; i++) {
		const struct tls_scheme *scheme = &tls_schemes[i];

		if (scheme->is_ec == s->key->is_ec && scheme->is_pss == s->is_pss && is_digest(s->digest, scheme))
			return scheme;
	}
	return NULL;
}

static int signing_sign(void *signing, unsigned char *signature, size_t *len, size_t size, const unsigned char *tbs,
			size_t tbs_len)
{
	struct signing *s = signing;
	struct tls_key_request request = {.tbs = slice_make((const char *)tbs, tbs_len)};
	const struct tls_scheme *scheme;

	if (s->key == NULL || s->key->public_half == NULL)
		return 0;
	if (signature == NULL) {
		*len = (size_t)EVP_PKEY_get_size(s->key->public_half);
		return 1;
	}
	scheme = scheme_of(s);
	if (scheme == NULL || !s->salt_is_digest)
		return 0;
	request.key = s->key->number;
	request.scheme = scheme->number;
	return tls_sign_elsewhere(&request, signature, size, len);
}

static const OSSL_DISPATCH signing_functions[] = {
	ENTRY(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	ENTRY(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
	ENTRY(OSSL_FUNC_SIGNATURE_DUPCTX, signing_dup),
	ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),
	ENTRY(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set_params),
	ENTRY(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
	{0, NULL},
};

/* ---- the provider ---- */

static const char ours[] = "provider=" TLS_PROVIDER_NAME;
static const OSSL_ALGORITHM managements[] = {
	{"RSA:rsaEncryption", ours, management_rsa, ""},
	{"EC:id-ecPublicKey", ours, management_ec, ""},
	{NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
	{"RSA:rsaEncryption", ours, signing_functions, ""},
	{"ECDSA", ours, signing_functions, ""},
	{NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *provider_query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return managements;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
	ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
	{0, NULL},
};

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core, const OSSL_DISPATCH **out,
			 void **provider)
{
	static char context; /* OpenSSL wants a context that is not NULL; there is nothing to keep */

	(void)handle;
	(void)core;
	*out = provider_functions;
	*provider = &context;
	return 1;
}

bool tls_provider_load(OSSL_LIB_CTX *library)
{
	return OSSL_PROVIDER_add_builtin(library, TLS_PROVIDER_NAME, provider_init) == 1 &&
	       OSSL_PROVIDER_load(library, TLS_PROVIDER_NAME) != NULL;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(tls_library(), type, ours);
	EVP_PKEY *key = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

EVP_PKEY *tls_key_new(X509 *leaf, uint64_t number)
{
	EVP_PKEY *public_half = X509_get0_pubkey(leaf);
	OSSL_PARAM extra[2] = {OSSL_PARAM_construct_uint64(PARAM_KEY, &number), OSSL_PARAM_construct_end()};
	OSSL_PARAM *params = NULL, *all = NULL;
	EVP_PKEY *key = NULL;
	bool is_ec;

	if (public_half == NULL)
		return NULL;
	is_ec = EVP_PKEY_is_a(public_half, "EC");
	if ((is_ec || EVP_PKEY_is_a(public_half, "RSA")) &&
	    EVP_PKEY_todata(public_half, EVP_PKEY_PUBLIC_KEY, &params) > 0)
		all = OSSL_PARAM_merge(params, extra);
	if (all != NULL)
		key = key_from(is_ec ? "EC" : "RSA", all);
	OSSL_PARAM_free(all);
	OSSL_PARAM_free(params);
	return key;
}
