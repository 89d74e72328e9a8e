#include "facts.h"

#include "base/mem.h"

#include <sys/utsname.h>

static const char *own_hostname(const struct conf *conf)
{
	static struct utsname own;

	if (conf->set.hostname[0] != '\0')
		return conf->set.hostname;
	return uname(&own) == 0 ? own.nodename : "localhost";
}

static const char *role_word(uint64_t role)
{
	static const char *const names[] = {[LISTENER_MX] = "mx", [LISTENER_SUBMISSION] = "submission", [LISTENER_LOCAL] = "local"};

	return role < ARRAY_LEN(names) ? names[role] : "mx";
}

void facts_set_listener(struct facts *f, const struct conf *conf, uint64_t role, struct slice name, struct slice hostname)
{
	struct slice word = slice_of(role_word(role));

	f->value[FACT_LISTENER_ROLE].text = word;
	f->value[FACT_LISTENER_NAME].text = name.len > 0 ? name : word;
	f->value[FACT_HOSTNAME].text = hostname.len > 0 ? hostname : slice_of(own_hostname(conf));
}
