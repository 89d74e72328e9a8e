#include "command.h"

#include "base/map.h"
#include "import_exim.h"
#include "import_files.h"
#include "import_postfix.h"
#include "import_virtual.h"
#include "mail/address.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* import postfix, import exim: what another server's tables say, as ours; what could not be carried over, on stderr. */

struct leaving {
	const char *path[IMPORT_TABLES]; /* borrowed */
	size_t count;
};

static void tell_left(struct leaving *l, const char *path, size_t line, struct slice key, const char *what)
{
	struct buf text = buf_make(2048);

	l->count++;
	if (text_add_safe(key, &text))
		fprintf(stderr, "%s:%zu: %s: %s\n", path, line, buf_text(&text), what);
	buf_free(&text);
}

static void left_of_one(size_t line, struct slice key, const char *what, void *arg)
{
	struct leaving *l = arg;

	tell_left(l, l->path[0], line, key, what);
}

static void left_of_table(enum import_table table, size_t line, struct slice key, const char *what, void *arg)
{
	struct leaving *l = arg;

	tell_left(l, l->path[table], line, key, what);
}

/* A plain file; whatever the other server let be a link to one is one. */
static bool read_whole(int folder, const char *path, struct buf *out)
{
	int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = fd == -1 ? -1 : 1;
	struct stat st;

	if (fd != -1 && (fstat(fd, &st) == -1 || S_ISDIR(st.st_mode))) {
		errno = EISDIR;
		n = -1;
	}
	while (n > 0) {
		char *room = buf_room(out, 65536);

		if (room == NULL) {
			errno = EFBIG;
			n = -1;
			break;
		}
		n = read(fd, room, 65536);
		if (n > 0)
			buf_grew(out, (size_t)n);
	}
	if (fd != -1)
		close(fd);
	return n == 0;
}

static int read_table(const char *path, struct buf *out)
{
	if (path == NULL || read_whole(AT_FDCWD, path, out))
		return CLI_OK;
	return complain(CLI_TEMPORARY, path, strerror(errno));
}

/* ---- where it goes ---- */

/* The configuration names its files by whole paths. */
static int find_folder(const struct cli *cli, struct buf *out)
{
	const char *to = cli->import.to == NULL ? "/etc/postern/imported" : cli->import.to;
	char here[CLI_PATH_MAX];

	if (to[0] != '/' && getcwd(here, sizeof(here)) != NULL)
		buf_addf(out, "%s/", here);
	buf_add_text(out, to);
	while (out->len > 1 && out->at[out->len - 1] == '/')
		out->len--;
	for (size_t i = 0; i < out->len; i++)
		if ((unsigned char)out->at[i] <= ' ' || strchr("\"\\{}*", out->at[i]) != NULL)
			return complain(CLI_USAGE, to, "a folder without blanks, quotes, braces and stars is easier for everybody; name another");
	return buf_ok(out) && out->at[0] == '/' && out->len < 512 ? CLI_OK : complain(CLI_USAGE, to, "this path is too long");
}

static bool has_file(const struct import_files *files, const char *name)
{
	for (size_t i = 0; i < files->count; i++)
		if (strcmp(files->all[i]->name, name) == 0)
			return true;
	return false;
}

static bool say_written(const struct import_files *files, const char *folder)
{
	struct buf out = buf_make(4096);
	bool done;

	buf_addf(&out, "%zu files are in %s.  In the configuration, before `route`:\n\tinclude \"%s/first.conf\"\n", files->count, folder, folder);
	if (has_file(files, "last.conf"))
		buf_addf(&out, "and behind it, as the last rules (so without a `relay` for all others in yours):\n\tinclude \"%s/last.conf\"\n", folder);
	if (has_file(files, "credentials"))
		buf_addf(&out, "If you have `credentials` already, append %s/credentials to that file and take the statement out of first.conf.\n", folder);
	buf_add_text(&out, "Then: postern check, and postern reload\n");
	done = print_out(&out);
	buf_free(&out);
	return done;
}

/* Whose logins are: the process that keeps passwords reads them. */
static uid_t secrets_uid(void)
{
	const struct passwd *pw = getpwnam("postern-authd");

	return pw != NULL && geteuid() == 0 ? pw->pw_uid : (uid_t)-1;
}

static int write_files(const struct cli *cli, const struct import_files *files, const char *folder)
{
	struct buf why = buf_make(2048);
	enum outcome oc = import_files_write(files, folder, cli->import.force, secrets_uid(), &why);
	int exit = CLI_OK;

	if (oc != OC_DONE)
		exit = complain(oc == OC_NOT_ALLOWED ? CLI_REFUSED : CLI_TEMPORARY, buf_text(&why), "");
	else if (!say_written(files, folder))
		exit = CLI_TEMPORARY;
	buf_free(&why);
	return exit;
}

static int put_files(const struct cli *cli, const struct import_files *files, const char *folder)
{
	struct buf out = buf_make(256u << 20);
	int exit = CLI_OK;

	if (files->count == 0)
		exit = complain(CLI_REFUSED, "import", "nothing could be carried over");
	else if (cli->import.to != NULL && !cli->import.dry_run)
		exit = write_files(cli, files, folder);
	else if (!import_files_show(files, folder, &out) || !print_out(&out))
		exit = CLI_TEMPORARY;
	buf_free(&out);
	return exit;
}

static int say_left(const struct cli *cli, const struct leaving *left, const char *what, int exit)
{
	if (exit != CLI_OK || left->count == 0)
		return exit;
	complain(CLI_REFUSED, what, "all else was carried over, but not these lines");
	return cli->import.partly ? CLI_OK : CLI_REFUSED;
}

/* ---- postfix ---- */

/* The virtual aliases alone, as a table's file, for who has a configuration. */
static int print_virtual(const struct cli *cli)
{
	struct buf text = buf_make(IMPORT_BYTES_MAX + 65536), out = buf_make(IMPORT_BYTES_MAX);
	struct leaving left = {{cli->import.virtual_aliases}, 0};
	int exit = read_table(cli->import.virtual_aliases, &text);

	if (exit == CLI_OK && !import_virtual(buf_slice(&text), &out, left_of_one, &left))
		exit = complain(CLI_REFUSED, cli->import.virtual_aliases, "more than a table's file may hold; put it into a database");
	if (exit == CLI_OK && !print_out(&out))
		exit = CLI_TEMPORARY;
	exit = say_left(cli, &left, cli->import.virtual_aliases, exit);
	buf_free(&text);
	buf_free(&out);
	return exit;
}

static int add_virtual(const struct cli *cli, struct import_files *files, struct leaving *left)
{
	struct buf text = buf_make(IMPORT_BYTES_MAX + 65536), *out;
	struct leaving of_it = {{cli->import.virtual_aliases}, 0};
	int exit = read_table(cli->import.virtual_aliases, &text);

	if (exit == CLI_OK && cli->import.virtual_aliases != NULL) {
		out = import_files_add(files, "virtual", false);
		if (out == NULL || !import_virtual(buf_slice(&text), out, left_of_one, &of_it))
			exit = complain(CLI_REFUSED, cli->import.virtual_aliases, "more than a table's file may hold; put it into a database");
	}
	left->count += of_it.count;
	buf_free(&text);
	return exit;
}

static int add_postfix(const struct cli *cli, const char *folder, struct import_files *files, struct leaving *left)
{
	struct buf transport = buf_make(IMPORT_BYTES_MAX), sender = buf_make(IMPORT_BYTES_MAX), sasl = buf_make_secret(IMPORT_BYTES_MAX);
	struct import_postfix from = {.folder = folder, .has_virtual = cli->import.virtual_aliases != NULL};
	int exit = read_table(cli->transport, &transport);

	if (exit == CLI_OK)
		exit = read_table(cli->import.sender_relayhost, &sender);
	if (exit == CLI_OK)
		exit = read_table(cli->import.sasl_passwd, &sasl);
	from.text[IMPORT_TRANSPORT] = buf_slice(&transport);
	from.text[IMPORT_SENDER_RELAYHOST] = buf_slice(&sender);
	from.text[IMPORT_SASL_PASSWD] = buf_slice(&sasl);
	from.text[IMPORT_RELAYHOST] = slice_of(cli->import.relayhost == NULL ? "" : cli->import.relayhost);
	if (exit == CLI_OK && !import_postfix(&from, files, left_of_table, left))
		exit = complain(CLI_REFUSED, "import postfix", "more than its tables may hold, or no memory");
	buf_free(&transport);
	buf_free(&sender);
	buf_free(&sasl);
	return exit;
}

int run_import_postfix(const struct cli *cli, const struct command *command)
{
	struct import_files files = {NULL, 0, 0};
	struct buf folder = buf_make(CLI_PATH_MAX);
	struct leaving left = {{[IMPORT_TRANSPORT] = cli->transport,
				[IMPORT_SENDER_RELAYHOST] = cli->import.sender_relayhost,
				[IMPORT_SASL_PASSWD] = cli->import.sasl_passwd,
				[IMPORT_RELAYHOST] = "relayhost"},
			       0};
	bool routes = cli->transport != NULL || cli->import.sender_relayhost != NULL || cli->import.sasl_passwd != NULL || cli->import.relayhost != NULL;
	int exit = CLI_OK;

	(void)command;
	if (!routes && cli->import.virtual_aliases == NULL)
		return complain(CLI_USAGE, "import postfix",
				"say what to read: --virtual FILE, --transport FILE, --relayhost HOST, --sender-relayhost FILE, --sasl-passwd FILE;\n"
				"`postconf virtual_alias_maps transport_maps relayhost sender_dependent_relayhost_maps smtp_sasl_password_maps` names them");
	if (!routes && cli->import.to == NULL && !cli->import.dry_run)
		return print_virtual(cli);
	exit = find_folder(cli, &folder);
	if (exit == CLI_OK)
		exit = add_virtual(cli, &files, &left);
	if (exit == CLI_OK)
		exit = add_postfix(cli, buf_text(&folder), &files, &left);
	if (exit == CLI_OK)
		exit = put_files(cli, &files, buf_text(&folder));
	exit = say_left(cli, &left, "import postfix", exit);
	import_files_free(&files);
	buf_free(&folder);
	return exit;
}

/* ---- exim ---- */

struct domains_read {
	const char *path;
	int folder; /* owned */
	struct slice qualify;
	struct map *names; /* owned: the domains that were read */
};

static int add_domain(struct domains_read *in, const char *file, const char *domain, struct import_files *files, struct leaving *left)
{
	struct buf text = buf_make(IMPORT_BYTES_MAX), *out;
	char name[IMPORT_NAME_MAX], where[CLI_PATH_MAX];
	int exit = CLI_OK;

	snprintf(name, sizeof(name), "domains/%s", domain);
	snprintf(where, sizeof(where), "%s/%s", in->path, file);
	left->path[0] = where;
	if (!read_whole(in->folder, file, &text))
		exit = complain(CLI_TEMPORARY, where, strerror(errno));
	else if (map_find(in->names, slice_of(domain)) != NULL)
		tell_left(left, where, 1, slice_of(domain), "the domain of another file here, written in another way");
	else if (!map_put(in->names, slice_of(domain), in) || (out = import_files_add(files, name, false)) == NULL ||
		 !import_exim(buf_slice(&text), in->qualify, out, left_of_one, left))
		exit = complain(CLI_REFUSED, where, "more than a table's file may hold");
	buf_free(&text);
	return exit;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int add_domains(const char *path, struct slice qualify, struct import_files *files, struct leaving *left)
{
	struct domains_read in = {path, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), qualify, map_new(IMPORT_FILES_MAX)};
	struct dirent **entries = NULL;
	int count = in.folder == -1 || in.names == NULL ? -1 : scandirat(in.folder, ".", &entries, not_hidden, by_name);
	int exit = count < 0 ? complain(CLI_TEMPORARY, path, strerror(errno)) : CLI_OK;

	for (int i = 0; i < count; i++) {
		char domain[MAIL_DOMAIN_MAX + 1];
		const char *file = entries[i]->d_name;

		if (exit == CLI_OK && (!mail_domain_parse(slice_of(file), MAIL_ALLOW_UTF8, domain) || domain[0] == '['))
			tell_left(left, path, (size_t)i + 1, slice_of(file), "a file that is not called as a domain");
		else if (exit == CLI_OK)
			exit = add_domain(&in, file, domain, files, left);
		free(entries[i]);
	}
	free(entries);
	map_free(&in.names);
	if (in.folder != -1)
		close(in.folder);
	return exit;
}

static bool add_exim_conf(const char *folder, struct import_files *files)
{
	struct buf *last = import_files_add(files, "last.conf", false), *first = import_files_add(files, "first.conf", false);

	return last != NULL && first != NULL &&
	       buf_add_text(last, "route {\n\treject \"no such user here\"  if recipient.domain in imported-domains\n}\n") &&
	       buf_addf(first,
			"# Of an Exim.  Include this before `route`, and last.conf behind it.  In `policy rcpt` these domains are ours:\n"
			"#\treject \"relaying denied\"  if recipient.domain not in imported-domains and not authenticated\n"
			"table imported-domains directory \"%s/domains\"\n"
			"route {\n\talias imported-domains  if recipient.domain in imported-domains\n}\n",
			folder);
}

static int read_qualify(const struct cli *cli, char out[MAIL_DOMAIN_MAX + 1])
{
	out[0] = '\0';
	if (cli->import.qualify == NULL ||
	    (mail_domain_parse(slice_of(cli->import.qualify), MAIL_ALLOW_UTF8, out) && out[0] != '[' && out[0] != '.'))
		return CLI_OK;
	return complain(CLI_USAGE, cli->import.qualify, "this is no domain; write one such as mx1.example.org");
}

int run_import_exim(const struct cli *cli, const struct command *command)
{
	struct import_files files = {NULL, 0, 0};
	struct buf folder = buf_make(CLI_PATH_MAX);
	struct leaving left = {{NULL}, 0};
	char qualify[MAIL_DOMAIN_MAX + 1];
	int exit = read_qualify(cli, qualify);

	(void)command;
	if (exit == CLI_OK && cli->import.aliases == NULL)
		exit = complain(CLI_USAGE, "import exim", "say what to read: --aliases FOLDER, in which each file is called as a domain");
	if (exit == CLI_OK)
		exit = find_folder(cli, &folder);
	if (exit == CLI_OK)
		exit = add_domains(cli->import.aliases, slice_of(qualify), &files, &left);
	if (exit == CLI_OK && files.count > 0 && !add_exim_conf(buf_text(&folder), &files))
		exit = complain(CLI_TEMPORARY, "import exim", "out of memory");
	if (exit == CLI_OK)
		exit = put_files(cli, &files, buf_text(&folder));
	exit = say_left(cli, &left, "import exim", exit);
	import_files_free(&files);
	buf_free(&folder);
	return exit;
}
