#include "target.h"

#include "conf/net.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

static enum outcome refuse(char why[TARGET_WHY_BYTES], enum outcome outcome, const char *sentence, const char *what)
{
	snprintf(why, TARGET_WHY_BYTES, "%s: %.120s", sentence, what);
	return outcome;
}

static enum outcome unix_target(const char *path, struct slice address, struct target *out, char why[TARGET_WHY_BYTES])
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->address;

	if (address.len > 0)
		return refuse(why, OC_UNAVAILABLE, "an address was given for a destination with a path", path);
	un->sun_family = AF_UNIX;
	if (!slice_copy(slice_of(path), un->sun_path, sizeof(un->sun_path)))
		return refuse(why, OC_UNAVAILABLE, "the path is too long for a socket", path);
	out->len = sizeof(*un);
	snprintf(out->text, sizeof(out->text), "%s", path);
	return OC_DONE;
}

static void fill(struct target *out, const struct in6_addr *address, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;
	char text[INET6_ADDRSTRLEN] = "";

	if (net_is_v4(address)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, &address->s6_addr[12], 4);
		out->len = sizeof(*v4);
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
	} else {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		v6->sin6_addr = *address;
		out->len = sizeof(*v6);
		inet_ntop(AF_INET6, address, text, sizeof(text));
	}
	snprintf(out->text, sizeof(out->text), "%s port %u", text, port);
}

/* The address to use: the transport's own where it has one, else the one in the question. */
static bool pick(const struct conf_transport *t, struct slice asked, struct in6_addr *out)
{
	struct in6_addr own;

	if (t->by_mx || t->host == NULL || !net_address(slice_of(t->host), &own))
		return net_address(asked, out);
	*out = own;
	return asked.len == 0 || (net_address(asked, out) && memcmp(out, &own, sizeof(own)) == 0);
}

static enum outcome inet_target(const struct conf_transport *t, const struct here *here, struct slice asked,
				struct target *out, char why[TARGET_WHY_BYTES])
{
	struct in6_addr address;
	enum here_kind kind;

	if (!pick(t, asked, &address))
		return refuse(why, OC_UNAVAILABLE, "not an address of this transport", t->name);
	fill(out, &address, t->port);
	kind = here_kind(here, &address);
	if (kind == HERE_NO_HOST)
		return refuse(why, OC_CONNECT_FAILED, "mail is never sent to such an address", out->text);
	if (kind == HERE_OWN && !t->allow_local)
		return refuse(why, OC_CONNECT_FAILED, "this host itself; allow-local in the transport permits it",
			      out->text);
	return OC_DONE;
}

enum outcome target_find(const struct conf *c, const struct here *here, enum role asker, uint64_t number, struct slice address,
			 struct target *out, char why[TARGET_WHY_BYTES])
{
	const struct conf_transport *t;

	*out = (struct target){.len = 0};
	why[0] = '\0';
	if (asker == ROLE_AUTHD && number == CONF_TARGET_DOVECOT && c->auth.dovecot != NULL)
		return unix_target(c->auth.dovecot, address, out, why);
	if (asker == ROLE_AUTHD || number >= c->transport_count || c->transports[number].kind == TRANSPORT_MAILDIR)
		return refuse(why, OC_UNAVAILABLE, "no destination has this number", "");
	t = &c->transports[number];
	return t->path != NULL ? unix_target(t->path, address, out, why) : inet_target(t, here, address, out, why);
}
