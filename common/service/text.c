#include "base/log.h"
#include "conf/bundle.h"
#include "os/fd.h"
#include "service/service.h"

/* A file of its own, so that a program whose spec does not name it has no compiler in it. */

static struct conf *compile(int fd)
{
	struct buf bundle = buf_make(BUNDLE_BYTES_MAX);
	struct conf_mistakes mistakes = {buf_make(1 << 16), 0};
	struct conf *conf = NULL;

	if (os_memfd_read(fd, BUNDLE_BYTES_MAX, &bundle))
		conf = conf_compile(buf_slice(&bundle), &mistakes);
	if (conf == NULL)
		LOG(LEVEL_ERROR, "configuration-refused", KV_TEXT("mistakes", buf_slice(&mistakes.text)));
	buf_free(&bundle);
	buf_free(&mistakes.text);
	return conf;
}

const struct service_text service_text = {compile, conf_free};
