/*
 * A PAM module for tests: asks, answers and fails as the login says, which is words with commas between them.
 *
 *   auth=NUMBER     what pam_authenticate returns instead (a number of _pam_types.h), account=NUMBER the same of pam_acct_mgmt
 *   map=NAME        who it then says that the user is (the rest of the login; PAM_USER); odd: that it is "../shadow"
 *   messages=N      how many prompts it makes at once, style=N of which style
 *   hang, crash, write, connect    what a module should not do
 *
 * The password is right when it is the module's argument.
 */
#include <fcntl.h>
#include <security/pam_modules.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGES_MAX 64

/* What stands behind "name" or "name=" among the words of the login; NULL: it is none of them. */
static const char *word_of(pam_handle_t *handle, const char *name)
{
	const void *user = NULL;
	const char *at;
	size_t len = strlen(name);

	if (pam_get_item(handle, PAM_USER, &user) != PAM_SUCCESS || user == NULL)
		return NULL;
	for (at = user; at != NULL; at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1)
		if (strncmp(at, name, len) == 0 && strchr("=,", at[len]) != NULL)
			return at + len + (at[len] == '=');
	return NULL;
}

static int number(pam_handle_t *handle, const char *name, int otherwise)
{
	const char *text = word_of(handle, name);

	return text == NULL ? otherwise : atoi(text);
}

static void misbehave(pam_handle_t *handle)
{
	if (word_of(handle, "hang") != NULL)
		for (;;)
			(void)usleep(1000);
	if (word_of(handle, "crash") != NULL)
		abort();
	if (word_of(handle, "write") != NULL)
		(void)!open("/tmp/postern-pam-probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (word_of(handle, "connect") != NULL)
		(void)!socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int ask(pam_handle_t *handle, int count, int style, struct pam_response **responses)
{
	static struct pam_message messages[MESSAGES_MAX];
	const struct pam_message *pointers[MESSAGES_MAX];
	const struct pam_conv *talk = NULL;
	const void *item = NULL;
	int code = pam_get_item(handle, PAM_CONV, &item);

	talk = item;
	if (code != PAM_SUCCESS || talk == NULL)
		return PAM_SYSTEM_ERR;
	for (int i = 0; i < MESSAGES_MAX; i++) {
		messages[i] = (struct pam_message){style, "Password: "};
		pointers[i] = &messages[i];
	}
	return talk->conv(count, pointers, responses, talk->appdata_ptr);
}

static int compare(struct pam_response *responses, int count, const char *password)
{
	bool right = true;

	for (int i = 0; responses != NULL && i < count; i++) {
		right = right && responses[i].resp != NULL && password != NULL && strcmp(responses[i].resp, password) == 0;
		free(responses[i].resp);
	}
	free(responses);
	return right ? PAM_SUCCESS : PAM_AUTH_ERR;
}

static int rename_user(pam_handle_t *handle)
{
	const char *map = word_of(handle, "odd") != NULL ? "../shadow" : word_of(handle, "map");
	char *name = map == NULL ? NULL : strdup(map);
	int code = name == NULL ? PAM_SUCCESS : pam_set_item(handle, PAM_USER, name);

	free(name);
	return code;
}

int pam_sm_authenticate(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	int count = number(handle, "messages", 1), code;
	struct pam_response *responses = NULL;

	(void)flags;
	misbehave(handle);
	code = ask(handle, count, number(handle, "style", PAM_PROMPT_ECHO_OFF), &responses);
	if (code == PAM_SUCCESS)
		code = compare(responses, count, argc > 0 ? argv[0] : NULL);
	if (code == PAM_SUCCESS)
		code = rename_user(handle);
	else
		code = PAM_AUTH_ERR; /* as careless modules do */
	return number(handle, "auth", code);
}

int pam_sm_setcred(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	(void)handle;
	(void)flags;
	(void)argc;
	(void)argv;
	return PAM_SUCCESS;
}

int pam_sm_acct_mgmt(pam_handle_t *handle, int flags, int argc, const char **argv)
{
	(void)flags;
	(void)argc;
	(void)argv;
	return number(handle, "account", PAM_SUCCESS);
}
