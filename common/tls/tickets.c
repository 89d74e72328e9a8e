#include "tls/internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>

/*
 * Session tickets (RFC 5077, RFC 8446 §4.6.1) of one listener in one worker: AES-256-CBC, then HMAC-SHA256, by keys that are made
 * here and leave this process never.  A key is used for an hour and accepted for one more.
 */
static EVP_CIPHER *aes; /* fetched once */

static void make_key(struct tls_ticket_key *key)
{
	mem_random(key, sizeof(*key));
}

void tls_tickets_turn(struct tls_tickets *t)
{
	uint64_t age_ms = clock_mono_ms() - t->made_ms;

	if (age_ms < TLS_TICKET_KEY_MS)
		return;
	t->has_before = age_ms < 2ull * TLS_TICKET_KEY_MS;
	t->before = t->now;
	if (!t->has_before)
		mem_wipe(&t->before, sizeof(t->before));
	make_key(&t->now);
	t->made_ms = clock_mono_ms();
}

static bool set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
	static char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1),
		OSSL_PARAM_END,
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int seal(struct tls_tickets *t, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	memcpy(name, t->now.name, sizeof(t->now.name));
	if (RAND_bytes_ex(tls_library(), iv, (size_t)EVP_CIPHER_get_iv_length(aes), 0) != 1 ||
	    EVP_EncryptInit_ex2(cipher, aes, t->now.cipher, iv, NULL) != 1 || !set_mac(mac, &t->now))
		return -1;
	return 1;
}

/* 1: good; 2: good, and to be replaced; 0: not ours, a whole handshake follows. */
static int unseal(const struct tls_tickets *t, const unsigned char *name, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
		  EVP_MAC_CTX *mac)
{
	const struct tls_ticket_key *key = &t->now;
	int good = 1;

	if (CRYPTO_memcmp(name, key->name, sizeof(key->name)) != 0) {
		key = &t->before;
		good = 2;
		if (!t->has_before || CRYPTO_memcmp(name, key->name, sizeof(key->name)) != 0)
			return 0;
	}
	if (!set_mac(mac, key) || EVP_DecryptInit_ex2(cipher, aes, key->cipher, iv, NULL) != 1)
		return -1;
	return good;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	struct tls_server *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	int good;

	tls_tickets_turn(&s->tickets);
	if (sealing)
		return seal(&s->tickets, name, iv, cipher, mac);
	good = unseal(&s->tickets, name, iv, cipher, mac);
	/* In TLS 1.3 a ticket is for one connection: who comes with one gets the next (RFC 8446 §C.4). */
	return good == 1 && SSL_version(ssl) >= TLS1_3_VERSION ? 2 : good;
}

bool tls_tickets_start(SSL_CTX *ctx, struct tls_tickets *t)
{
	if (aes == NULL)
		aes = EVP_CIPHER_fetch(tls_library(), "AES-256-CBC", NULL);
	if (aes == NULL)
		return false;
	make_key(&t->now);
	t->made_ms = clock_mono_ms();
	SSL_CTX_set_num_tickets(ctx, 1);
	SSL_CTX_set_timeout(ctx, TLS_TICKET_KEY_MS / 1000);
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1;
}
