#include "configured.h"

#include "conf/bundle.h"

struct conf *configured(const struct cli *cli, int *exit_out)
{
	const char *path = cli->where.config != NULL ? cli->where.config : CLI_CONFIG_DEFAULT;
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX), why = buf_make(4096);
	struct conf_mistakes mistakes = {buf_make(1 << 20), 0};
	struct conf *conf = NULL;

	*exit_out = CLI_OK;
	if (!bundle_read(path, &bundle, &why))
		*exit_out = complain(CLI_CONFIG, buf_text(&why), "");
	else if ((conf = conf_compile(buf_slice(&bundle), &mistakes)) == NULL)
		*exit_out = complain(CLI_CONFIG, path, "has mistakes; `postern check` shows them");
	buf_free(&mistakes.text);
	buf_free(&bundle);
	buf_free(&why);
	return conf;
}
