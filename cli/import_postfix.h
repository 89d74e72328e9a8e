#ifndef POSTERN_CLI_IMPORT_POSTFIX_H
#define POSTERN_CLI_IMPORT_POSTFIX_H

#include "import_files.h"
#include "import_lines.h"

/*
 * Where a Postfix sends mail: transport(5), relayhost, sender_dependent_relayhost_maps and smtp_sasl_password_maps (their sources, as postmap
 * reads them), as tables, transports, rules and credentials of ours.  Pure.
 *
 *     first.conf    tables and transports; route rules that stand before those of the configuration: aliases, transport(5)
 *     last.conf     route rules that stand behind them: `*` of transport(5), smarthosts by sender, relayhost
 *     FOLDER/...    a file of keys for each table; credentials (secret)
 *
 * Tables are named by what stands in them, transports by what they say, logins by their key (import_name.h): beside an import that is in
 * force another one changes nothing but passwords and virtual aliases, until its first.conf is read.
 *
 * What would mean something else here is left out as a whole line and told, with the table it stands in.
 */
enum import_table { IMPORT_TRANSPORT, IMPORT_SENDER_RELAYHOST, IMPORT_SASL_PASSWD, IMPORT_RELAYHOST, IMPORT_TABLES };

struct import_postfix {
	struct slice text[IMPORT_TABLES]; /* relayhost: its value; empty: not there */
	const char *folder; /* absolute: where the files will lie */
	bool has_virtual; /* a file `virtual` is made besides, of virtual aliases */
};

typedef void import_table_left_fn(enum import_table table, size_t line, struct slice key, const char *what, void *arg);

/* Adds the files, the configuration last.  False: no memory, or more than the bounds. */
bool import_postfix(const struct import_postfix *from, struct import_files *files, import_table_left_fn *left, void *arg);

#endif
