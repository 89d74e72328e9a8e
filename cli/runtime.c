#include "runtime.h"

#include "conf/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct slice without_quotes(struct slice s)
{
	if (s.len >= 2 && s.at[0] == '"' && s.at[s.len - 1] == '"')
		return slice_sub(s, 1, s.len - 2);
	return s;
}

struct slice runtime_in_text(struct slice text)
{
	struct slice line, word, found = slice_empty();

	while (slice_cut(&text, '\n', &line)) {
		if (!slice_word(&line, &word) || !slice_eq(word, slice_of("runtime")))
			continue;
		if (slice_word(&line, &word) && word.len > 0)
			found = without_quotes(word);
	}
	return found;
}

/* The compiler would not do: a command must find a server that runs although its file has a mistake by now. */
static bool from_config(const char *config, char out[CLI_PATH_MAX])
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), why = buf_make(1024);
	struct slice rest, name, text;
	bool found = false;

	if (bundle_read(config, &bundle, &why)) {
		rest = buf_slice(&bundle);
		while (!found && bundle_next(&rest, &name, &text)) {
			struct slice value = runtime_in_text(text);

			found = value.len > 0 && value.at[0] == '/' && slice_copy(value, out, CLI_PATH_MAX);
		}
	}
	buf_free(&bundle);
	buf_free(&why);
	return found;
}

bool runtime_socket(const struct runtime_order *order, const char *name, char out[CLI_PATH_MAX])
{
	const char *folder = order->runtime != NULL ? order->runtime : getenv("POSTERN_RUNTIME");
	char found[CLI_PATH_MAX];
	int n;

	if (folder == NULL || folder[0] == '\0')
		folder = from_config(order->config != NULL ? order->config : CLI_CONFIG_DEFAULT, found) ? found
												     : CLI_RUNTIME_DEFAULT;
	n = snprintf(out, CLI_PATH_MAX, "%s/%s", folder, name);
	return n > 0 && n < CLI_PATH_MAX;
}

void cli_begin(void)
{
	static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGALRM, SIGVTALRM, SIGPROF, SIGUSR1, SIGUSR2};

	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) /* inherited numbers: not CLOEXEC */
			_exit(71);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
}
