#include "authd_pam.h"

#include "base/mem.h"
#include "ipc/link.h"
#include "os/user.h"
#include "users/users.h"

#include <security/pam_appl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 *   begin: pam_start --question--> authenticate --right--> account --may--> AUTHENTICATED, as PAM_USER
 *
 * Always: an attempt that fails has cost at least one hash, whoever it names; PAM's own delays are none, for authd delays by itself
 * without holding a child.
 */
#define LOGIN_MAX 255u
#define PASSWORD_MAX 1024u
#define WHY_MAX 255u
/* What fails with less of the processor's time than this was no hash of ours (a yescrypt hash takes some 20 ms). */
#define HASH_US 4000

static const char *service;
static pam_handle_t *handle; /* NULL: it could not be started */
static char why_not[WHY_MAX + 1];
static char login[LOGIN_MAX + 1], known_as[LOGIN_MAX + 1], password[PASSWORD_MAX + 1];
static struct pam_answers answers = {login, password, 0, false};

void pam_child_service(const char *name)
{
	service = name;
}

/* ---- pure parts ---- */

static const struct {
	int code;
	enum outcome outcome;
} meanings[] = {
	{PAM_SUCCESS, OC_AUTHENTICATED},
	{PAM_AUTH_ERR, OC_AUTH_FAILED},
	{PAM_USER_UNKNOWN, OC_AUTH_FAILED},
	{PAM_MAXTRIES, OC_AUTH_FAILED},
	{PAM_PERM_DENIED, OC_AUTH_FAILED},
	{PAM_ACCT_EXPIRED, OC_AUTH_FAILED},
	{PAM_NEW_AUTHTOK_REQD, OC_AUTH_FAILED},
	{PAM_AUTHTOK_EXPIRED, OC_AUTH_FAILED},
};

enum outcome pam_outcome(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (meanings[i].code == code)
			return meanings[i].outcome;
	return OC_AUTH_UNAVAILABLE;
}

bool pam_is_login(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.at[i] <= ' ' || name.at[i] == 0x7f || name.at[i] == '/' || name.at[i] == ':')
			return false;
	return name.len > 0 && name.len <= LOGIN_MAX && name.at[0] != '-' && name.at[0] != '.';
}

/* NULL: no memory.  PAM frees it. */
static char *answer_of(int style, const struct pam_answers *a)
{
	return slice_dup(slice_of(style == PAM_PROMPT_ECHO_OFF ? a->password : a->login));
}

static bool answer_one(const struct pam_message *m, struct pam_response *response, struct pam_answers *a)
{
	switch (m == NULL ? PAM_BINARY_PROMPT : m->msg_style) {
	case PAM_ERROR_MSG:
	case PAM_TEXT_INFO:
		return true;
	case PAM_PROMPT_ECHO_OFF:
	case PAM_PROMPT_ECHO_ON:
		if (a->prompts++ >= PAM_PROMPTS_MAX)
			return false;
		response->resp = answer_of(m->msg_style, a);
		return response->resp != NULL;
	default: /* binary ones, of which we know nothing */
		return false;
	}
}

static void forget(struct pam_response *responses, int count)
{
	for (int i = 0; i < count; i++) {
		if (responses[i].resp != NULL)
			mem_wipe(responses[i].resp, strlen(responses[i].resp));
		free(responses[i].resp);
	}
	free(responses);
}

static bool answer_all(int count, const struct pam_message **messages, struct pam_response *responses, struct pam_answers *a)
{
	for (int i = 0; i < count; i++)
		if (!answer_one(messages[i], &responses[i], a))
			return false;
	return true;
}

int pam_converse(int count, const struct pam_message **messages, struct pam_response **responses_out, void *arg)
{
	struct pam_answers *a = arg;
	struct pam_response *responses = NULL;

	*responses_out = NULL;
	if (count > 0 && count <= PAM_MAX_NUM_MSG && messages != NULL)
		responses = mem_new((size_t)count, sizeof(*responses));
	if (responses != NULL && answer_all(count, messages, responses, a)) {
		*responses_out = responses;
		return PAM_SUCCESS;
	}
	if (responses != NULL)
		forget(responses, count);
	a->broken = true;
	return PAM_CONV_ERR;
}

/* ---- the child ---- */

static void no_delay(int code, unsigned delay_us, void *arg)
{
	(void)code;
	(void)delay_us;
	(void)arg;
}

static int set_no_delay(void)
{
	const union {
		void (*call)(int, unsigned, void *);
		const void *item;
	} delay = {no_delay};

	return pam_set_item(handle, PAM_FAIL_DELAY, delay.item);
}

/* Where the file is missing PAM would take that of `other`, which may let in anybody. */
static bool has_file(const char *name)
{
	static const char *const folders[] = {"/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d", "/usr/share/pam.d"};
	char path[512];
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (snprintf(path, sizeof(path), "%s/%s", folders[i], name) < (int)sizeof(path) && stat(path, &st) == 0)
			return true;
	return false;
}

static int start(const struct pam_conv *talk)
{
	const char *slash = strrchr(service, '/');
	char folder[1025];
	struct stat st;

	if (slash == NULL)
		return has_file(service) ? pam_start(service, NULL, talk, &handle) : PAM_SERVICE_ERR;
	if (stat(service, &st) == -1 || !slice_copy(slice_make(service, (size_t)(slash - service)), folder, sizeof(folder)))
		return PAM_SERVICE_ERR;
	return pam_start_confdir(slash + 1, NULL, talk, folder, &handle);
}

static const char *text_of(int code)
{
	return code == PAM_SERVICE_ERR ? "there is no such PAM service" : pam_strerror(handle, code);
}

void pam_child_prepare(void)
{
	os_user_prepare();
	/* Libraries stay loaded in those that are forked later. */
	pam_child_begin();
}

void pam_child_begin(void)
{
	static const struct pam_conv talk = {pam_converse, &answers};
	int code;

	handle = NULL;
	code = start(&talk);
	if (code == PAM_SUCCESS)
		code = set_no_delay();
	if (code == PAM_SUCCESS)
		return;
	snprintf(why_not, sizeof(why_not), "pam %.100s: %.100s", service, text_of(code));
	handle = NULL;
}

static int authenticate(const struct msg_PAM_ASK *ask, char client[65])
{
	int code = pam_set_item(handle, PAM_USER, login);

	if (code == PAM_SUCCESS && slice_copy(ask->client, client, 65) && client[0] != '\0')
		code = pam_set_item(handle, PAM_RHOST, client);
	if (code == PAM_SUCCESS)
		code = pam_authenticate(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	return code;
}

static int64_t cpu_us(void)
{
	struct timespec t = {0, 0};

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* As long as for a user who is there: a module that knows none has had nothing to compute. */
static void spend_a_hash(int64_t since_us)
{
	if (cpu_us() - since_us < HASH_US)
		(void)users_hash_matches(slice_of(password), slice_empty());
}

static void explain(struct msg_VERIFIED *answer, const char *phase, int code, char why[WHY_MAX + 1])
{
	snprintf(why, WHY_MAX + 1, "pam %.100s: %s: %.100s", service, phase, pam_strerror(handle, code));
	answer->why = slice_of(why);
}

/* Modules may make another name of the one that was asked for: that is who it is. */
static void name_user(struct msg_VERIFIED *answer, char why[WHY_MAX + 1])
{
	const void *user = NULL;

	if (pam_get_item(handle, PAM_USER, &user) == PAM_SUCCESS && user != NULL && pam_is_login(slice_of(user)) &&
	    slice_copy(slice_of(user), known_as, sizeof(known_as))) {
		answer->login = slice_of(known_as);
		return;
	}
	answer->outcome = OC_AUTH_UNAVAILABLE;
	snprintf(why, WHY_MAX + 1, "pam %.100s: a module made a user of it that has no name we take", service);
	answer->why = slice_of(why);
}

static void ask_pam(const struct msg_PAM_ASK *ask, struct msg_VERIFIED *answer, char why[WHY_MAX + 1])
{
	int64_t since_us = cpu_us();
	const char *phase = "authentication";
	char client[65] = "";
	int code = authenticate(ask, client);

	if (pam_outcome(code) == OC_AUTHENTICATED) {
		phase = "account";
		code = pam_acct_mgmt(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	} else {
		spend_a_hash(since_us);
	}
	answer->outcome = pam_outcome(code);
	if (answer->outcome == OC_AUTH_FAILED && answers.broken)
		answer->outcome = OC_AUTH_UNAVAILABLE;
	if (code != PAM_SUCCESS)
		explain(answer, phase, code, why);
	if (answer->outcome == OC_AUTHENTICATED)
		name_user(answer, why);
	(void)pam_end(handle, code | PAM_DATA_SILENT);
}

/* False: nobody has that name, or the password is none; but it costs what others cost. */
static bool take(const struct msg_PAM_ASK *ask)
{
	bool good = pam_is_login(ask->login) && slice_copy(ask->login, login, sizeof(login)) &&
		    slice_copy(ask->secret, password, sizeof(password)) && password[0] != '\0';

	if (!good)
		(void)users_hash_matches(ask->secret, slice_empty());
	return good;
}

void pam_child_serve(int fd, const struct ipc_message *m)
{
	const struct msg_PAM_ASK *ask = &m->body.PAM_ASK;
	struct msg_VERIFIED answer = {OC_AUTH_FAILED, {"", 0}, {"", 0}};
	char why[WHY_MAX + 1] = "";

	if (m->type != IPC_PAM_ASK)
		return;
	if (handle == NULL)
		answer = (struct msg_VERIFIED){OC_AUTH_UNAVAILABLE, slice_of(why_not), {"", 0}};
	else if (take(ask))
		ask_pam(ask, &answer, why);
	mem_wipe(password, sizeof(password));
	(void)link_tell_now(fd, IPC_VERIFIED, m->request, true, &answer, -1);
}
