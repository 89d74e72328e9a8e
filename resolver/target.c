#include "target.h"

#include "conf/net.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

/* What the configuration says of it. */
struct destination {
	const char *name; /* for people */
	const char *host, *path; /* neither: by MX */
	uint16_t port;
	bool by_mx, allow_local;
};

static enum outcome refuse(char why[TARGET_WHY_BYTES], enum outcome outcome, const char *sentence, const char *what)
{
	snprintf(why, TARGET_WHY_BYTES, "%s: %.120s", sentence, what);
	return outcome;
}

static enum outcome unix_target(const struct destination *t, struct slice address, struct target *out,
				char why[TARGET_WHY_BYTES])
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->address;

	if (address.len > 0)
		return refuse(why, OC_UNAVAILABLE, "an address was given for a destination with a path", t->path);
	un->sun_family = AF_UNIX;
	if (!slice_copy(slice_of(t->path), un->sun_path, sizeof(un->sun_path)))
		return refuse(why, OC_UNAVAILABLE, "the path is too long for a socket", t->path);
	out->len = sizeof(*un);
	snprintf(out->text, sizeof(out->text), "%s", t->path);
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
static bool pick(const struct destination *t, struct slice asked, struct in6_addr *out)
{
	struct in6_addr own;

	if (t->by_mx || t->host == NULL || !net_address(slice_of(t->host), &own))
		return net_address(asked, out);
	*out = own;
	return asked.len == 0 || (net_address(asked, out) && memcmp(out, &own, sizeof(own)) == 0);
}

static enum outcome inet_target(const struct destination *t, const struct here *here, struct slice asked,
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

/* The server of a table may be on this host. */
static bool find_table_server(const struct conf *c, uint64_t number, struct destination *out)
{
	uint64_t table = number >> 8 & 0xffffff, server = number & 0xff;
	const struct conf_backend *b = table < c->table_count ? c->tables[table].backend : NULL;

	if (b == NULL || server >= b->server_count || number != CONF_TARGET_TABLE(table, server))
		return false;
	*out = (struct destination){c->tables[table].name, b->servers[server].host, b->servers[server].path, b->servers[server].port, false,
				    true};
	return true;
}

static bool find_destination(const struct conf *c, enum role asker, uint64_t number, struct destination *out)
{
	const struct conf_ldap *l = c->auth.ldap;

	if (asker == ROLE_AUTHD) {
		*out = (struct destination){.name = "dovecot", .path = c->auth.dovecot};
		return number == CONF_TARGET_DOVECOT && c->auth.dovecot != NULL;
	}
	if (asker == ROLE_LOOKUP && number >> 32 != 0)
		return find_table_server(c, number, out);
	if (asker == ROLE_LOOKUP) {
		if (l == NULL || number >= l->server_count)
			return false;
		/* A directory may be on this host. */
		*out = (struct destination){"ldap", l->servers[number].host, l->servers[number].path, l->servers[number].port, false, true};
		return true;
	}
	if (number >= c->transport_count || conf_transport_is_local(&c->transports[number]))
		return false;
	*out = (struct destination){c->transports[number].name,  c->transports[number].host,  c->transports[number].path,
				    c->transports[number].port, c->transports[number].by_mx, c->transports[number].allow_local};
	return true;
}

enum outcome target_find(const struct conf *c, const struct here *here, enum role asker, uint64_t number, struct slice address,
			 struct target *out, char why[TARGET_WHY_BYTES])
{
	struct destination to;

	*out = (struct target){.len = 0};
	why[0] = '\0';
	if (!find_destination(c, asker, number, &to))
		return refuse(why, OC_UNAVAILABLE, "no destination has this number", "");
	return to.path != NULL ? unix_target(&to, address, out, why) : inet_target(&to, here, address, out, why);
}
